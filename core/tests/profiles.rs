//! What gates of L2 and L3 ask for beside a proof of the request: fresh trust material,
//! issuers that somebody vouches for, credentials that do not live for long.

use crate::common::service::{MAX_AGE, Service, gate, service_config};
use crate::common::{HOUR, NOW, SELF_ISSUED, chain, config, draft, key};
use portcullis_core::capiscio::{BadgeDraft, BadgeIssuer, Level, did_of_key, sign_request};
use portcullis_core::json::Object;
use portcullis_core::live::{Current, LiveTrust};
use portcullis_core::modei::{Draft, Issuer, RootKind, Signed, delegate, issue};
use portcullis_core::{
    Config, ConfigError, CredentialCache, LocalMemory, Process, RequestHead, Snapshot, Step, UnixTime,
    Verifier, Windows, base64,
};
use proptest::prelude::*;

/// What a request above L1 whose credential is good still lacks: a proof, which is judged after all that is judged here.
const GOOD: &str = "proof_missing";

fn good(profile: &str) -> &'static str {
    if profile == "L1" { "ok" } else { GOOD }
}

const SECOND: i64 = 1000;
const REGISTRY: &str = "https://registry.example";

/// A gate's configuration with this profile and these windows.
fn gate_of(profile: &str, windows: &str, trust: &str) -> String {
    config(trust).replacen(r#""L1""#, &format!(r#""{profile}","windows":{windows}"#), 1)
}

/// A managed issuer whose domain is verified, a registry, and an agent of SimpleGuard's.
fn material() -> String {
    let public = |name| base64::encode(&key(name).public_key());
    format!(
        r#"{{"issuers":[{{"id":"iss_1","type":"platform","tier":3,"domain_verified":true,"actions":["*"],
                "keys":[{{"key_id":"k1","public_key":"{}"}}]}}],
            "badge_issuers":[{{"id":"{REGISTRY}","tier":3,"actions":["*"],
                "keys":[{{"key_id":"r1","public_key":"{}"}}]}}],
            "simpleguard_agents":[{{"key_id":"agent","public_key":"{}","actions":["*"]}}]}}"#,
        public(8),
        public(20),
        public(21)
    )
}

/// A gate with live trust material, and what it remembers.
struct Gate {
    service: Service,
    trust: LiveTrust,
    cache: CredentialCache,
}

impl Gate {
    fn new(config: String) -> Self {
        let service = Service::new(config);
        let mut trust = gate();
        service.bring(&mut trust, NOW);
        Gate { service, trust, cache: CredentialCache::new(1 << 20) }
    }

    fn of(profile: &str) -> Self {
        Gate::new(gate_of(profile, "{}", &material()))
    }

    fn configure(&mut self, config: String) {
        self.service.configure(config);
        self.service.bring(&mut self.trust, NOW);
    }

    fn ask_at(&mut self, header: (&str, &str), now: UnixTime) -> &'static str {
        let Current { snapshot, live } = self.trust.current().unwrap();
        judge(Verifier::new(snapshot).with_live(live), "/flights", header, now, &mut self.cache)
    }

    fn ask(&mut self, header: (&str, &str)) -> &'static str {
        self.ask_at(header, NOW)
    }
}

fn judge(
    verifier: Verifier<'_>,
    path: &str,
    header: (&str, &str),
    now: UnixTime,
    cache: &mut CredentialCache,
) -> &'static str {
    let headers = [(header.0.as_bytes(), header.1.as_bytes())];
    let head = RequestHead {
        method: b"GET",
        authority: b"api.example",
        path: path.as_bytes(),
        headers: &headers,
        source: None,
    };
    match verifier.begin(&head, now, cache, &mut LocalMemory::new(&Process::new([1; 32], NOW))) {
        Step::Permit(_) => "ok",
        Step::Deny(refused) => refused.denial.reason.code(),
        Step::NeedBody(_) | Step::NeedAuthority(_) | Step::Hold(_) => "need body",
    }
}

/// A draft that is valid for so long, from a second ago on.
fn living(id: &str, life: i64) -> Draft {
    let issued_at = NOW.plus_millis(-SECOND);
    Draft { issued_at, expires_at: issued_at.plus_millis(life), ..draft(id, &["flights:search"]) }
}

/// A passport of the managed issuer.
fn passport(life: i64) -> Signed {
    issued(8, &living("pp_1", life))
}

/// A passport in the name of the managed issuer, which has the key 8.
fn issued(signer: u8, draft: &Draft) -> Signed {
    let by = Issuer { kind: RootKind::Platform, id: "iss_1".into(), key_id: "k1".into(), gate_id: None };
    issue(&key(signer), &by, "bot", &key(1).public_key(), draft)
}

/// The last of these, delegated hop by hop from the first.
fn delegated(drafts: &[Draft]) -> Signed {
    let (root, hops) = drafts.split_first().unwrap();
    hops.iter().zip(1..).fold(issued(8, root), |parent, (draft, hop)| {
        delegate(&parent, &key(hop), &key(hop + 1).public_key(), draft).unwrap()
    })
}

fn badge(level: Level, life: i64) -> String {
    let issued_at = NOW.plus_millis(-SECOND);
    let draft = BadgeDraft {
        id: "550e8400-e29b-41d4-a716-446655440000".into(),
        audience: Vec::new(),
        issued_at,
        expires_at: issued_at.plus_millis(life),
        domain: Some("agents.example".into()),
    };
    let by = BadgeIssuer { origin: REGISTRY.into(), key_id: "r1".into() };
    let holder = key(22).public_key();
    let did = did_of_key(&holder);
    let method = format!("{did}#{}", did.trim_start_matches("did:key:"));
    draft.sign(&key(20), &by, &did, &holder, level, Some(&method)).unwrap()
}

#[test]
fn a_gate_with_static_trust_material_is_of_l1_and_one_with_live_material_of_any_profile() {
    let config = |profile| Config::from_json(gate_of(profile, "{}", &material()).as_bytes()).unwrap();
    assert!(Snapshot::of_static(&config("L1")).is_ok());
    for profile in ["L2", "L3"] {
        let error = Snapshot::of_static(&config(profile)).unwrap_err();
        assert_eq!(error.path, "profile");
        assert!(error.problem.contains("service"), "{error}");
        assert_eq!(Gate::of(profile).trust.current().unwrap().snapshot.profile(), config(profile).profile);
    }
}

#[test]
fn above_l1_nothing_passes_by_material_whose_age_nobody_says_not_even_a_public_route() {
    for (profile, expected) in
        [("L1", "ok"), ("L2", "trust_material_missing"), ("L3", "trust_material_missing")]
    {
        let config = Config::from_json(gate_of(profile, "{}", &material()).as_bytes()).unwrap();
        let snapshot = Snapshot::new(&config).unwrap();
        let header = passport(HOUR).to_header();
        for path in ["/flights", "/health"] {
            let mut cache = CredentialCache::new(0);
            let verifier = Verifier::new(&snapshot);
            assert_eq!(judge(verifier, path, ("agent-passport", &header), NOW, &mut cache), expected);
        }
    }
}

#[test]
fn windows_have_the_profiles_defaults_and_bounds() {
    let windows = |profile: &str, windows: &str| -> Result<[i64; 4], ConfigError> {
        let config = Config::from_json(gate_of(profile, windows, "{}").as_bytes())?;
        let snapshot = Snapshot::new(&config)?;
        let windows = snapshot.windows();
        Ok([windows.proof_ms(), windows.challenge_ms(), windows.trust_age_ms(), windows.credential_ms()])
    };
    const NONE: i64 = Windows::UNBOUNDED;
    assert_eq!(windows("L1", "{}"), Ok([300_000, NONE, NONE, NONE]));
    assert_eq!(windows("L2", "{}"), Ok([300_000, NONE, 300_000, NONE]));
    assert_eq!(windows("L3", "{}"), Ok([300_000, 60_000, 10_000, 3_600_000]));
    let all = r#"{"proof_seconds":1,"challenge_seconds":2,"trust_age_seconds":3,"credential_seconds":60}"#;
    assert_eq!(windows("L3", all), Ok([1000, 2000, 3000, 60_000]));
    for (member, least, most, profile) in [
        ("proof_seconds", 1, 3600, "L1"),
        ("challenge_seconds", 1, 300, "L3"),
        ("trust_age_seconds", 1, 3600, "L2"),
        ("credential_seconds", 60, 86_400, "L3"),
    ] {
        let with = |profile: &str, value: &str| {
            let error = windows(profile, &format!(r#"{{"{member}":{value}}}"#)).err();
            error.map(|error| error.path)
        };
        let wrong = Some(format!("windows.{member}"));
        for profile in ["L1", "L2", "L3"].into_iter().filter(|one| *one >= profile) {
            for good in [least, most] {
                assert_eq!(with(profile, &good.to_string()), None, "{profile} {member} {good}");
            }
            for bad in [least - 1, most + 1] {
                assert_eq!(with(profile, &bad.to_string()), wrong, "{profile} {member} {bad}");
            }
            for bad in ["-1", "1.5", "\"60\"", "null", "4294967297"] {
                assert_eq!(with(profile, bad), wrong, "{profile} {member} {bad}");
            }
        }
        // What a profile does not ask for cannot be said there: nobody would keep it.
        for profile in ["L1", "L2", "L3"].into_iter().filter(|one| *one < profile) {
            assert_eq!(with(profile, &most.to_string()), wrong, "{profile} {member}");
        }
    }
    assert_eq!(windows("L3", r#"{"skew_seconds":1}"#).unwrap_err().path, "windows.skew_seconds");
    assert_eq!(windows("L3", "[]").unwrap_err().path, "windows");
}

#[test]
fn above_l1_an_issuer_whose_domain_is_unverified_is_refused_before_any_signature() {
    let good = passport(HOUR).to_header();
    let forged = issued(9, &living("pp_1", HOUR)).to_header();
    for unverified in [r#""domain_verified":false,"#, ""] {
        let trust = material().replacen(r#""domain_verified":true,"#, unverified, 1);
        for (profile, expected) in [
            ("L1", ["ok", "signature_invalid"]),
            ("L2", ["issuer_domain_unverified"; 2]),
            ("L3", ["issuer_domain_unverified"; 2]),
        ] {
            let mut gate = Gate::new(gate_of(profile, "{}", &trust));
            for (header, expected) in [&good, &forged].into_iter().zip(expected) {
                assert_eq!(gate.ask(("agent-passport", header)), expected, "{profile}");
            }
        }
    }
    for profile in ["L2", "L3"] {
        assert_eq!(Gate::of(profile).ask(("agent-passport", &good)), GOOD, "{profile}");
        assert_eq!(Gate::of(profile).ask(("agent-passport", &forged)), "signature_invalid", "{profile}");
    }
}

#[test]
fn a_known_passport_falls_with_its_issuers_domain_and_tier() {
    for (profile, least) in [("L2", 2), ("L3", 3)] {
        let mut gate = Gate::of(profile);
        let header = delegated(&[living("pp_1", HOUR), living("pp_2", HOUR)]).to_header();
        let header = ("agent-passport", header.as_str());
        assert_eq!(gate.ask(header), GOOD);
        assert_eq!(gate.cache.len(), 1);
        let trust = material().replace(r#""domain_verified":true,"#, "");
        gate.configure(gate_of(profile, "{}", &trust));
        assert_eq!(gate.ask(header), "issuer_domain_unverified");
        let lower = format!(r#""tier":{},"domain"#, least - 1);
        gate.configure(gate_of(profile, "{}", &material().replace(r#""tier":3,"domain"#, &lower)));
        assert_eq!(gate.ask(header), "trust_tier_insufficient");
        gate.configure(gate_of(profile, "{}", &material()));
        assert_eq!(gate.ask(header), GOOD);
    }
}

#[test]
fn who_vouches_for_itself_passes_at_l1_only() {
    let own = chain(0, &["flights:search"]).to_header();
    let signed = sign_request(&key(21), "agent", Object::default(), None, NOW);
    let trust =
        material().replacen('{', &format!("{},", SELF_ISSUED.trim_end_matches('}').to_owned() + "}"), 1);
    for (profile, expected) in [
        ("L1", ["ok", "need body"]),
        ("L2", ["trust_tier_insufficient"; 2]),
        ("L3", ["trust_tier_insufficient"; 2]),
    ] {
        let mut gate = Gate::new(gate_of(profile, "{}", &trust));
        assert_eq!(gate.ask(("agent-passport", &own)), expected[0], "{profile}");
        assert_eq!(gate.ask(("x-capiscio-jws", &signed)), expected[1], "{profile}");
    }
}

#[test]
fn at_l3_no_credential_lives_longer_than_an_hour() {
    let exceeded = "credential_lifetime_exceeded";
    for (profile, expected) in [("L1", "ok"), ("L2", GOOD), ("L3", exceeded)] {
        let mut gate = Gate::of(profile);
        let long = passport(HOUR + 1).to_header();
        assert_eq!(gate.ask(("agent-passport", &long)), expected, "{profile}");
        // Known or not.
        assert_eq!(gate.ask(("agent-passport", &long)), expected, "{profile}");
        assert_eq!(gate.cache.len(), 1);
        let long = badge(Level::OrganizationValidated, HOUR + SECOND);
        assert_eq!(gate.ask(("x-capiscio-badge", &long)), expected, "{profile}");
        assert_eq!(gate.ask(("x-capiscio-badge", &long)), expected, "{profile}");
        for (name, value) in [
            ("agent-passport", passport(HOUR).to_header()),
            ("x-capiscio-badge", badge(Level::OrganizationValidated, HOUR)),
        ] {
            assert_eq!(gate.ask((name, &value)), good(profile), "{profile}");
        }
    }
    // That a signature is forged is said first.
    let forged = issued(9, &living("pp_1", 2 * HOUR)).to_header();
    assert_eq!(Gate::of("L3").ask(("agent-passport", &forged)), "signature_invalid");
}

#[test]
fn each_hop_of_a_chain_counts_with_its_whole_life() {
    let mut gate = Gate::of("L3");
    let mut ask = |drafts: &[Draft]| gate.ask(("agent-passport", &delegated(drafts).to_header()));
    let exceeded = "credential_lifetime_exceeded";
    let of = |id, life| living(id, life);
    let short = 60 * SECOND;
    assert_eq!(ask(&[of("pp_1", HOUR), of("pp_2", HOUR), of("pp_3", HOUR)]), GOOD);
    assert_eq!(ask(&[of("pp_1", HOUR + 1), of("pp_2", short), of("pp_3", short)]), exceeded);
    // A hop may say that it is older than what it was delegated from.
    let old = |id, life: i64| {
        let expires_at = of(id, short).expires_at;
        Draft { issued_at: expires_at.plus_millis(-life), expires_at, ..of(id, short) }
    };
    assert_eq!(ask(&[of("pp_1", HOUR), old("pp_2", HOUR), of("pp_3", short)]), GOOD);
    assert_eq!(ask(&[of("pp_1", HOUR), old("pp_2", HOUR + 1), of("pp_3", short)]), exceeded);
    assert_eq!(ask(&[of("pp_1", HOUR), of("pp_2", short), old("pp_3", HOUR + 1)]), exceeded);
    // What is left of it does not count.
    assert_eq!(ask(&[old("pp_1", HOUR + 1), of("pp_2", short)]), exceeded);
}

#[test]
fn a_known_credential_is_judged_by_the_window_of_the_day() {
    let mut gate = Gate::of("L3");
    let passport = delegated(&[living("pp_1", HOUR), living("pp_2", HOUR)]).to_header();
    let badge = badge(Level::OrganizationValidated, HOUR);
    let headers = [("agent-passport", passport.as_str()), ("x-capiscio-badge", badge.as_str())];
    let mut ask = |windows: &str, expected: &str| {
        gate.configure(gate_of("L3", windows, &material()));
        for header in headers {
            assert_eq!(gate.ask(header), expected, "{windows} {}", header.0);
        }
        assert_eq!(gate.cache.len(), 2);
    };
    ask("{}", GOOD);
    ask(r#"{"credential_seconds":3599}"#, "credential_lifetime_exceeded");
    ask(r#"{"credential_seconds":3600}"#, GOOD);
}

#[test]
fn above_l1_the_age_of_the_head_is_bounded_by_the_snapshot_too() {
    let header = passport(HOUR).to_header();
    let header = ("agent-passport", header.as_str());
    for (profile, windows, most) in [
        ("L1", "{}", MAX_AGE),
        ("L2", "{}", 300 * SECOND),
        ("L3", "{}", 10 * SECOND),
        ("L2", r#"{"trust_age_seconds":20}"#, 20 * SECOND),
        ("L3", r#"{"trust_age_seconds":20}"#, 20 * SECOND),
        // The smaller wins: the gate's own configuration says 600 s.
        ("L2", r#"{"trust_age_seconds":3600}"#, MAX_AGE),
        ("L3", r#"{"trust_age_seconds":3600}"#, MAX_AGE),
    ] {
        let mut gate = Gate::new(gate_of(profile, windows, &material()));
        let good = good(profile);
        assert_eq!(gate.ask_at(header, NOW.plus_millis(most)), good, "{profile} {windows}");
        let stale = NOW.plus_millis(most + 1);
        assert_eq!(gate.ask_at(header, stale), "trust_material_stale", "{profile} {windows}");
        let Current { snapshot, live } = gate.trust.current().unwrap();
        let verifier = Verifier::new(snapshot).with_live(live);
        let public = judge(verifier, "/health", ("a", "b"), stale, &mut CredentialCache::new(0));
        assert_eq!(public, "trust_material_stale", "{profile} {windows}");
    }
}

#[test]
fn above_l1_a_followed_issuer_must_be_as_fresh_as_the_head() {
    let failed = "REVOCATION_CHECK_FAILED";
    let badge = badge(Level::OrganizationValidated, HOUR);
    for (profile, windows, most) in [
        // RFC-002's own bound, and no other.
        ("L1", "{}", 300 * SECOND),
        ("L2", "{}", 300 * SECOND),
        ("L2", r#"{"trust_age_seconds":20}"#, 20 * SECOND),
        ("L3", "{}", 10 * SECOND),
        ("L3", r#"{"trust_age_seconds":3600}"#, 300 * SECOND),
    ] {
        let mut gate = Gate::new(gate_of(profile, windows, &material()));
        let good = good(profile);
        for (age, expected) in [(most, good), (most + 1, failed)] {
            gate.service.followed = vec![(REGISTRY.into(), NOW.plus_millis(-age))];
            gate.service.bring(&mut gate.trust, NOW);
            assert_eq!(gate.ask(("x-capiscio-badge", &badge)), expected, "{profile} {windows} {age}");
        }
        // Another issuer's age is its own matter.
        gate.service.followed = vec![("https://other.example".into(), NOW.plus_millis(-10 * HOUR))];
        gate.service.bring(&mut gate.trust, NOW);
        assert_eq!(gate.ask(("x-capiscio-badge", &badge)), good, "{profile} {windows}");
    }
}

#[test]
fn at_l1_the_greatest_age_of_a_head_is_no_bound_for_a_followed_issuer() {
    let mut config = service_config();
    config.service.max_age_seconds = 60;
    let mut gate = Gate::of("L1");
    gate.trust = LiveTrust::new(&config).unwrap();
    gate.service.followed = vec![(REGISTRY.into(), NOW.plus_millis(-200 * SECOND))];
    gate.service.bring(&mut gate.trust, NOW);
    let badge = badge(Level::OrganizationValidated, HOUR);
    assert_eq!(gate.ask(("x-capiscio-badge", &badge)), "ok");
}

proptest! {
    /// The longest life in a chain decides, wherever it stands.
    #[test]
    fn a_chain_passes_exactly_if_all_its_lives_do(
        hops in proptest::collection::vec((0_i64..4000, 1_i64..4000), 1..6),
        allowed in 60_i64..8000,
    ) {
        let mut left = i64::MAX;
        let drafts: Vec<Draft> = hops
            .iter()
            .enumerate()
            .map(|(at, (age, more))| {
                // No hop ends later than the one before it.
                left = left.min(*more);
                let (issued_at, expires_at) = (NOW.plus_millis(-age * SECOND), NOW.plus_millis(left * SECOND));
                Draft { issued_at, expires_at, ..draft(&format!("pp_{at}"), &["flights:search"]) }
            })
            .collect();
        let life = |draft: &Draft| draft.expires_at.as_millis() - draft.issued_at.as_millis();
        let is_good = drafts.iter().all(|draft| life(draft) <= allowed * SECOND);
        let mut gate = Gate::new(gate_of("L3", &format!(r#"{{"credential_seconds":{allowed}}}"#), &material()));
        let expected = if is_good { GOOD } else { "credential_lifetime_exceeded" };
        prop_assert_eq!(gate.ask(("agent-passport", &delegated(&drafts).to_header())), expected);
    }
}

#[test]
fn which_proxy_a_gate_runs_in_is_said_beside_its_service() {
    let of_host = |host: &str| {
        Config::from_json(config(SELF_ISSUED).replacen('{', &format!(r#"{{"host":"{host}","#), 1).as_bytes())
    };
    let nginx = of_host("nginx").unwrap();
    assert!(Snapshot::of_static(&nginx).is_ok());
    assert_eq!(Snapshot::new(&nginx).unwrap_err().path, "host");
    assert!(Snapshot::new(&of_host("envoy").unwrap()).is_ok());
    assert_eq!(of_host("apache").unwrap_err().path, "host");
}
