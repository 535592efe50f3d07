//! A request's head, decided by a gate.

use super::gate::{GATE, NOW};
use super::passport::contents;
use super::{Answer, RequestText, altered};
use portcullis_core::{
    Carrier, CredentialCache, Identity, Kind, LocalMemory, Permit, Process, Reason, RouteConfig, Snapshot,
    Step, UnixTime, Verifier, check_window,
};

/// Decides a request, with nothing remembered, with itself remembered, and with no room
/// to remember: alike. Of a permit checks that it had to be one, by rules written anew.
pub fn headers(input: &[u8]) -> Answer {
    let request = RequestText::read(input);
    let mut cache = CredentialCache::new(1 << 20);
    let shown = |snapshot, cache: &mut CredentialCache| {
        decide(snapshot, &request, NOW, cache, |step| format!("{step:?}"))
    };
    let cold = shown(&GATE.snapshot, &mut cache);
    assert_eq!(cold, shown(&GATE.snapshot, &mut cache), "remembered, and another answer");
    assert_eq!(cold, shown(&GATE.snapshot, &mut CredentialCache::new(0)), "forgotten, and another answer");

    check_stricter_gates(&request, &mut cache);
    decide(&GATE.snapshot, &request, NOW, &mut CredentialCache::new(0), |step| match step {
        Step::Permit(permit) => {
            check_permit(&request, &permit, &mut cache);
            Answer::Accepted
        }
        Step::Deny(refused) => {
            let mode = refused.route.map_or(GATE.config.mode, |route| route.mode());
            assert_eq!(refused.mode, mode);
            check_refusal(&request, refused.denial.reason);
            Answer::Refused
        }
        Step::NeedBody(_) | Step::NeedAuthority(_) | Step::Hold(_) => {
            panic!("this gate trusts nobody who signs bodies")
        }
    })
}

fn decide<T>(
    snapshot: &Snapshot,
    request: &RequestText,
    now: UnixTime,
    cache: &mut CredentialCache,
    then: impl FnOnce(Step) -> T,
) -> T {
    request.with(|head| {
        let mut memory = LocalMemory::new(&Process::new([1; 32], NOW));
        then(Verifier::new(snapshot).begin(head, now, cache, &mut memory))
    })
}

fn refusal(
    snapshot: &Snapshot,
    request: &RequestText,
    now: UnixTime,
    cache: &mut CredentialCache,
) -> Option<Reason> {
    decide(snapshot, request, now, cache, |step| match step {
        Step::Deny(refused) => Some(refused.denial.reason),
        Step::Permit(_) => None,
        Step::NeedBody(_) | Step::NeedAuthority(_) | Step::Hold(_) => {
            panic!("this gate trusts nobody who signs bodies")
        }
    })
}

/// To revoke more or to trust less never opens a gate, whatever is remembered.
fn check_stricter_gates(request: &RequestText, cache: &mut CredentialCache) {
    let here = refusal(&GATE.snapshot, request, NOW, cache);
    for stricter in [&GATE.revoking, &GATE.trusting_nobody] {
        let there = refusal(stricter, request, NOW, cache);
        assert!(here.is_none() || there.is_some(), "refused for {here:?}, permitted by a stricter gate");
        assert_eq!(there, refusal(stricter, request, NOW, &mut CredentialCache::new(0)));
    }
    decide(&GATE.trusting_nobody, request, NOW, cache, |step| {
        let named = matches!(&step, Step::Permit(permit) if permit.identity().is_some());
        assert!(!named, "a gate that trusts nobody permitted {step:?}");
    });
}

fn check_permit(request: &RequestText, permit: &Permit, cache: &mut CredentialCache) {
    let route = route(request).expect("a permit is for a route");
    assert_eq!(permit.route().mode(), route.mode.unwrap_or_default());
    assert_eq!(permit.route().keeps_credential(), route.keep_credential);
    let authority = String::from_utf8(request.authority.to_ascii_lowercase()).expect("an own authority");
    assert!(GATE.config.authorities.contains(&authority));
    let hosts: Vec<_> = request.values("host").collect();
    assert!(hosts.len() <= 1 && hosts.iter().all(|host| host.eq_ignore_ascii_case(&request.authority)));
    let switches = request.values("upgrade").next().is_some()
        || request
            .values("connection")
            .any(|value| lower(value).split(',').any(|part| part.trim() == "upgrade"));
    assert!(!switches || route.allow_upgrade);

    match (permit.identity(), &route.action) {
        (None, None) => assert!(route.public),
        (Some(identity), Some(action)) => {
            assert!(!route.public);
            assert_eq!(identity.action(), action);
            check_identity(request, identity);
            check_neighbours(request, identity, cache);
        }
        (identity, action) => panic!("{identity:?} on a route for {action:?}"),
    }
}

fn check_identity(request: &RequestText, identity: &Identity) {
    let passport = identity.passport().expect("this gate trusts passports only");
    assert!(check_window(passport, NOW).is_ok());
    assert!(passport.permissions().get(identity.action()).is_some_and(|constraints| constraints.is_empty()));
    assert_eq!(request.values(carrier(identity).header()).count(), 1);
    let carried = Carrier::ALL
        .into_iter()
        .filter(|carrier| request.values(carrier.header()).any(|value| carrier.carries(value)));
    assert!(carried.eq([carrier(identity)]));
    let trust = &GATE.config.trust;
    let managed = trust.issuers.iter().find(|issuer| issuer.id == identity.issuer());
    let ceiling =
        managed.map(|issuer| &issuer.actions).or(trust.self_issued.as_ref().map(|own| &own.actions));
    let may_grant = ceiling.expect("an issuer that is trusted").iter().any(|action| {
        action == identity.action()
            || action.strip_suffix('*').is_some_and(|namespace| identity.action().starts_with(namespace))
    });
    assert!(may_grant, "{} may not grant {}", identity.issuer(), identity.action());
    assert_eq!(identity.tier().number(), managed.map_or(1, |issuer| issuer.tier));
    for (id, whose) in [(identity.agent_id(), passport.agent_id()), (identity.credential_id(), passport.id())]
    {
        assert!(id == whose && id.bytes().all(|byte| byte.is_ascii_graphic()));
    }
}

/// The header that a passport comes in.
fn carrier(identity: &Identity) -> Carrier {
    match identity.kind() {
        Kind::Passport => Carrier::AgentPassport,
        Kind::PassportJwt => Carrier::Authorization,
        kind => panic!("this gate trusts no {kind:?}"),
    }
}

/// Requests that differ in one thing from one that was permitted.
fn check_neighbours(request: &RequestText, identity: &Identity, cache: &mut CredentialCache) {
    let passport = identity.passport().expect("this gate trusts passports only");
    let name = carrier(identity).header().as_bytes();
    assert!(!cache.is_empty(), "nothing was remembered");
    let (issuer, lists) = (identity.issuer(), &GATE.revoked);
    let is_revoked = passport.hops().any(|hop| {
        lists
            .revoked_passports
            .iter()
            .any(|entry| entry.issuer == issuer && entry.passport_id == hop.passport_id())
            || lists
                .disabled_agents
                .iter()
                .any(|entry| entry.issuer == issuer && entry.agent_id == hop.agent_id())
    });
    let by_revoking = refusal(&GATE.revoking, request, NOW, cache);
    let says_so = matches!(by_revoking, Some(Reason::PassportRevoked | Reason::AgentDisabled));
    assert!(says_so == is_revoked && by_revoking.is_some() == is_revoked, "{by_revoking:?}");
    let mut refused = |request: &RequestText, now| {
        let warm = refusal(&GATE.snapshot, request, now, cache);
        assert_eq!(warm, refusal(&GATE.snapshot, request, now, &mut CredentialCache::new(0)));
        warm
    };
    let early = refused(request, passport.issued_at().plus_millis(-60_001));
    assert_eq!(early, Some(Reason::PassportNotYetValid));
    let late = refused(request, passport.expires_at().plus_millis(60_000));
    assert!(matches!(late, Some(Reason::PassportExpired | Reason::SignatureKeyUnavailable)), "{late:?}");

    let mut without = request.clone();
    without.headers.retain(|(other, _)| other != name);
    assert_eq!(refused(&without, NOW), Some(Reason::CredentialMissing));
    let mut twice = request.clone();
    twice.headers.extend(request.headers.iter().filter(|(other, _)| other == name).cloned());
    assert_eq!(refused(&twice, NOW), Some(Reason::HeaderAmbiguous));

    let at = request.headers.iter().position(|(other, _)| other == name).expect("its header");
    for copy in altered(&request.headers[at].1) {
        let mut forged = request.clone();
        forged.headers[at].1 = copy;
        decide(&GATE.snapshot, &forged, NOW, cache, |step| {
            if let Step::Permit(permit) = step {
                // Only what signs the same may pass: `bearer` for `Bearer`.
                let passed = permit.identity().and_then(Identity::passport);
                assert_eq!(contents(passed.expect("a passport")), contents(passport));
            }
        });
    }
}

fn check_refusal(request: &RequestText, reason: Reason) {
    match reason {
        Reason::CredentialMissing => {
            assert!(route(request).is_some_and(|route| !route.public), "{request:?} needs none");
        }
        Reason::RouteUnknown => assert!(route(request).is_none(), "{request:?} has a route"),
        Reason::PathAmbiguous => {
            let path = request.path.split(|byte| *byte == b'?').next().unwrap_or_default();
            let is_plain = path.len() > 1
                && path[0] == b'/'
                && path[1..].split(|byte| *byte == b'/').all(|segment| !segment.is_empty())
                && path.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'/')
                && path.len() == request.path.len();
            assert!(!is_plain, "{request:?} is as plain as can be");
        }
        _ => {}
    }
}

/// The route of a request whose path is in normal form, found by going through them all.
fn route(request: &RequestText) -> Option<&'static RouteConfig> {
    let path = normal_path(&request.path)?;
    let method = std::str::from_utf8(&request.method).ok()?;
    let routes = &GATE.config.routes;
    let exact: Vec<_> = routes.iter().filter(|route| route.path.as_ref() == Some(&path)).collect();
    let prefix = routes.iter().filter_map(|route| route.path_prefix.as_ref());
    let longest = prefix.filter(|prefix| path.starts_with(*prefix)).max_by_key(|prefix| prefix.len());
    let of_prefix = routes.iter().filter(|route| longest.is_some() && route.path_prefix.as_ref() == longest);
    let candidates = if exact.is_empty() { of_prefix.collect() } else { exact };
    candidates.into_iter().find(|route| route.methods.iter().any(|name| name == method))
}

/// A path as the upstream may read it, if all that may read it read it alike.
fn normal_path(target: &[u8]) -> Option<String> {
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let mut decoded = Vec::new();
    let mut rest = path;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            decoded.push(*byte);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        let is_slash = digits.eq_ignore_ascii_case("2f");
        decoded.push(u8::from_str_radix(digits, 16).ok().filter(|_| !is_slash && !digits.starts_with('+'))?);
        rest = &rest[2..];
    }
    let text = String::from_utf8(decoded).ok()?;
    let collapsed = text.strip_prefix('/')?;
    let is_clear = !text.contains("//")
        && !collapsed.split('/').any(|segment| segment == "." || segment == "..")
        && !text.contains(['\\', ';', '%'])
        && !text.chars().any(char::is_control)
        && target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#');
    is_clear.then_some(text)
}

fn lower(value: &[u8]) -> String {
    String::from_utf8_lossy(value).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_core::Mode;

    #[test]
    fn the_paths_that_readers_differ_on_are_not_normal() {
        for path in ["/a//b", "/a/../b", "/%2e", "/a%2Fb", "/a%5cb", "/a;b", "/%25", "/%+1", "a", "/\u{e9}"] {
            assert_eq!(normal_path(path.as_bytes()), None, "{path}");
        }
        assert_eq!(normal_path(b"/fl%C3%BCge?a/../b").as_deref(), Some("/fl\u{fc}ge"));
    }

    #[test]
    fn modes_left_out_are_the_gates() {
        assert_eq!(GATE.config.mode, Mode::default());
    }
}
