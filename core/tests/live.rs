//! How a gate takes up live trust material, and how it judges by it.

use crate::common::service::{ECHO, FINGERPRINTS, GATE, MAX_AGE, Service, gate};
use crate::common::{HOUR, NOW, SELF_ISSUED, chain, config, key};
use portcullis_core::capiscio::{BadgeDraft, BadgeIssuer, Level, did_of_key, sign_request};
use portcullis_core::json::Object;
use portcullis_core::live::{
    Current, Head, LiveError, LiveTrust, MAX_REVOCATIONS, Next, RevocationDelta, RevocationLoad,
    RevocationPage, Revocations,
};
use portcullis_core::{
    CredentialCache, LocalMemory, Process, Reason, RequestHead, Step, UnixTime, Verifier, base64,
};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn service() -> Service {
    let mut service = Service::new(config(SELF_ISSUED));
    for one in 1..=5 {
        service.change(one << 60, true);
    }
    service
}

fn ready(service: &Service) -> LiveTrust {
    let mut gate = gate();
    service.bring(&mut gate, NOW);
    gate
}

fn sign(head: &Head) -> String {
    head.sign(&key(9), "k1")
}

fn accept(gate: &mut LiveTrust, head: &Head) -> Result<(), LiveError> {
    gate.accept_head(sign(head).as_bytes(), NOW, Some(ECHO))
}

#[test]
fn nothing_is_judged_until_head_snapshot_and_revocations_are_there() {
    let service = service();
    let mut gate = gate();
    let missing = |gate: &LiveTrust| {
        let reason = gate.current().map(|_| ()).map_err(|denial| denial.reason);
        assert_eq!(reason, Err(Reason::TrustMaterialMissing));
    };
    missing(&gate);
    assert_eq!(gate.next(), Next::Ask { snapshot: 0, revocations: 0 });
    accept(&mut gate, &service.head(NOW)).unwrap();
    missing(&gate);
    gate.accept_snapshot(service.snapshot().token.as_bytes(), NOW).unwrap();
    missing(&gate);
    for from in [0, (2 << 60) + 1] {
        assert_eq!(gate.next(), Next::Page { from });
        service.step(&mut gate, NOW).unwrap();
        missing(&gate);
    }
    service.step(&mut gate, NOW).unwrap();
    let current = gate.current().unwrap();
    assert_eq!((current.snapshot.gate(), current.live.revocations().state()), (GATE, service.state()));
    assert_eq!(current.live.head(), &service.head(NOW));
    assert_eq!(gate.next(), Next::Ask { snapshot: 1, revocations: 6 });
}

#[test]
fn changes_come_as_deltas() {
    let mut service = service();
    let mut gate = ready(&service);
    service.change(3 << 60, false);
    service.change(7, true);
    service.change(8, true);
    service.change(8, false);
    service.configure(config("{}"));
    service.step(&mut gate, NOW).unwrap();
    let current = gate.current().unwrap();
    let set: Vec<u64> = service.revoked().into_iter().collect();
    assert_eq!(current.live.revocations().fingerprints(), set);
    assert_eq!(gate.next(), Next::Ask { snapshot: 11, revocations: 10 });
}

#[test]
fn a_service_that_goes_on_while_pages_are_fetched_is_caught_up_with() {
    let mut service = service();
    let mut gate = gate();
    service.step(&mut gate, NOW).unwrap();
    service.step(&mut gate, NOW).unwrap();
    // On a page that the gate has, and on one that it has not.
    service.change(1 << 60, false);
    service.change(4 << 60, false);
    service.change(9, true);
    while gate.next() != (Next::Ask { snapshot: 1, revocations: 6 }) {
        service.step(&mut gate, NOW).unwrap();
    }
    assert!(gate.current().is_err());
    // An instance that lags behind says nothing of what the newer pages have.
    let mut late = service.clone();
    late.changes.truncate(7);
    late.step(&mut gate, NOW).unwrap_err();
    service.bring(&mut gate, NOW);
    assert_eq!(gate.current().unwrap().live.revocations().state(), service.state());
}

#[test]
fn what_is_not_as_the_head_says_is_loaded_anew_and_the_old_stays_in_force() {
    let mut service = service();
    let mut gate = ready(&service);
    let old = gate.current().unwrap().live.revocations().state();
    service.change(7, true);
    accept(&mut gate, &service.head(NOW)).unwrap();
    let mut delta = service.delta(6);
    delta.added.clear();
    let error = gate.accept_delta(delta.sign(&key(9), "k1").as_bytes(), NOW).unwrap_err();
    assert_eq!(error.code(), "mismatch");
    assert_eq!(gate.current().unwrap().live.revocations().state(), old);
    assert_eq!(gate.next(), Next::Page { from: 0 });
    // Pages that are not the head's either.
    while let Next::Page { from } = gate.next() {
        let mut page = service.page(from);
        page.fingerprints.retain(|one| *one != 7);
        let result = gate.accept_page(page.sign(&key(9), "k1").as_bytes(), NOW);
        if page.to == u64::MAX {
            assert_eq!(result.unwrap_err().code(), "mismatch");
            break;
        }
    }
    assert_eq!(gate.next(), Next::Page { from: 0 });
    assert_eq!(gate.current().unwrap().live.revocations().state(), old);
    service.bring(&mut gate, NOW);
    assert_eq!(gate.current().unwrap().live.revocations().state(), service.state());
}

#[test]
fn a_gate_whose_number_the_service_does_not_know_loads_all_anew() {
    let mut service = service();
    let mut gate = ready(&service);
    service.key = portcullis_core::live::FingerprintKey::new([8; 16]);
    service.change(7, true);
    let answer =
        portcullis_core::live::TrustResponse { reload: true, delta: None, ..service.answer(1, 6, NOW) };
    gate.accept(&answer, NOW, Some(ECHO)).unwrap();
    assert_eq!(gate.next(), Next::Page { from: 0 });
    service.step(&mut gate, NOW).unwrap();
    // Asked for again meanwhile, it does not begin again.
    let next = gate.next();
    gate.accept(&answer, NOW, Some(ECHO)).unwrap();
    assert_eq!(gate.next(), next);
    service.bring(&mut gate, NOW);
    // Nor once it has what the head names.
    gate.accept(&answer, NOW, Some(ECHO)).unwrap();
    assert!(matches!(gate.next(), Next::Ask { .. }));
}

#[test]
fn numbers_and_times_never_go_back() {
    let mut service = service();
    service.configure(config(SELF_ISSUED));
    service.change(7, true);
    let mut gate = ready(&service);
    let last = service.head(NOW);
    assert_eq!((last.number, last.snapshot_number, last.revocations.number), (8, 7, 8));
    let refused = |gate: &mut LiveTrust, head: &Head| accept(gate, head).unwrap_err().code();

    // Older in time alone: another instance.
    accept(&mut gate, &Head { time: NOW.plus_millis(-5), ..last.clone() }).unwrap();
    assert_eq!(gate.head(), Some(&last));
    let mut newer = Head { number: 9, time: NOW.plus_millis(-1), ..last.clone() };
    newer.revocations.number = 9;
    assert_eq!(refused(&mut gate, &newer), "went_back");
    newer.time = NOW;
    assert_eq!(refused(&mut gate, &Head { snapshot_number: 6, ..newer.clone() }), "went_back");
    let mut older = Head { number: 9, snapshot_number: 9, ..last.clone() };
    older.revocations.number = 7;
    assert_eq!(refused(&mut gate, &older), "went_back");
    let mut older = Head { number: 7, ..last.clone() };
    older.revocations.number = 6;
    assert_eq!(refused(&mut gate, &older), "went_back");

    // One number, two contents.
    assert_eq!(refused(&mut gate, &Head { snapshot_sha256: [0; 32], ..last.clone() }), "mismatch");
    let mut other = last.clone();
    other.revocations.digest ^= 1;
    assert_eq!(refused(&mut gate, &other), "mismatch");
    let mut other = last.clone();
    other.revocations.count += 1;
    assert_eq!(refused(&mut gate, &other), "mismatch");

    assert_eq!(gate.head(), Some(&last));
    accept(&mut gate, &newer).unwrap();
    assert_eq!(gate.head(), Some(&newer));
    // A delta that came late changes nothing.
    let set = gate.current().unwrap().live.revocations().state();
    gate.accept_delta(service.delta(1).sign(&key(9), "k1").as_bytes(), NOW).unwrap();
    assert_eq!(gate.current().unwrap().live.revocations().state(), set);
    // Nor one that leads where the head is not.
    service.change(8, true);
    service.change(9, true);
    let error = gate.accept_delta(service.delta(8).sign(&key(9), "k1").as_bytes(), NOW).unwrap_err();
    assert_eq!(error.code(), "mismatch");
    assert_eq!(gate.current().unwrap().live.revocations().state(), set);
    // That is no reason to load everything.
    assert!(matches!(gate.next(), Next::Ask { .. }));
}

#[test]
fn a_head_is_the_answer_to_what_was_asked() {
    let service = service();
    let mut gate = gate();
    let token = sign(&service.head(NOW));
    let other = "AAAAAAAAAAAAAAAAAAAAAQ";
    assert_eq!(gate.accept_head(token.as_bytes(), NOW, Some(other)), Err(LiveError::WrongEcho));
    assert_eq!(gate.accept_head(token.as_bytes(), NOW, Some("")), Err(LiveError::WrongEcho));
    assert!(gate.head().is_none());
    // Another worker has compared it.
    gate.accept_head(token.as_bytes(), NOW, None).unwrap();
}

#[test]
fn documents_before_their_head_are_refused() {
    let service = service();
    let mut gate = gate();
    let code = |result: Result<(), LiveError>| result.unwrap_err().code();
    assert_eq!(code(gate.accept_snapshot(service.snapshot().token.as_bytes(), NOW)), "mismatch");
    assert_eq!(code(gate.accept_delta(service.delta(1).sign(&key(9), "k1").as_bytes(), NOW)), "mismatch");
    assert_eq!(code(gate.accept_page(service.page(0).sign(&key(9), "k1").as_bytes(), NOW)), "mismatch");
    accept(&mut gate, &service.head(NOW)).unwrap();
    assert_eq!(code(gate.accept_delta(service.delta(1).sign(&key(9), "k1").as_bytes(), NOW)), "mismatch");
}

#[test]
fn a_snapshot_that_cannot_be_used_leaves_the_old_one_in_force_until_it_is_too_old() {
    let mut service = service();
    let mut gate = ready(&service);
    let later = NOW.plus_millis(1000);
    // Another one than the head's.
    let first = service.snapshot();
    service.configure(config("{}"));
    gate.accept_head(sign(&service.head(NOW)).as_bytes(), NOW, Some(ECHO)).unwrap();
    assert_eq!(gate.accept_snapshot(first.token.as_bytes(), NOW), Err(LiveError::Hash));
    // One that the head names by another number.
    let mut other = gate.head().unwrap().clone();
    other.snapshot_number += 1;
    other.number += 1;
    other.time = later;
    other.snapshot_sha256 = first.sha256;
    let mut fresh = ready(&Service::new(config("{}")));
    fresh.accept_head(sign(&other).as_bytes(), later, Some(ECHO)).unwrap();
    assert_eq!(fresh.accept_snapshot(first.token.as_bytes(), later).unwrap_err().code(), "mismatch");
    // Readable, and nothing to decide by. What is revoked is taken up all the same.
    service.configure(config("{}").replace("\"L1\"", "\"L1\",\"windows\":{\"proof_seconds\":0}"));
    service.change(7, true);
    let error = service.step(&mut gate, later).unwrap_err();
    let LiveError::Config(error) = error else { panic!("{error}") };
    assert_eq!(error.path, "windows.proof_seconds");
    let current = gate.current().unwrap();
    assert_eq!(current.live.revocations().state(), service.state());
    assert_eq!(current.live.check_age(NOW.plus_millis(MAX_AGE)).map_err(|denial| denial.reason), Ok(()));
    let stale = current.live.check_age(NOW.plus_millis(MAX_AGE + 1)).unwrap_err();
    assert_eq!(stale.reason, Reason::TrustMaterialStale);
}

#[test]
fn material_is_as_old_as_the_last_head_that_was_fulfilled() {
    let mut service = service();
    let mut gate = ready(&service);
    let age = |gate: &LiveTrust, now: i64| {
        gate.current().unwrap().live.check_age(NOW.plus_millis(now)).map_err(|denial| denial.reason)
    };
    let later = |millis| NOW.plus_millis(millis);
    assert_eq!(age(&gate, MAX_AGE), Ok(()));
    assert_eq!(age(&gate, MAX_AGE + 1), Err(Reason::TrustMaterialStale));
    // With nothing new, a head alone renews it.
    gate.accept_head(sign(&service.head(later(10))).as_bytes(), later(10), Some(ECHO)).unwrap();
    assert_eq!(age(&gate, MAX_AGE + 10), Ok(()));
    // A head whose revocations have not come does not.
    service.change(7, true);
    gate.accept_head(sign(&service.head(later(20))).as_bytes(), later(20), Some(ECHO)).unwrap();
    assert_eq!(age(&gate, MAX_AGE + 10), Ok(()));
    assert_eq!(age(&gate, MAX_AGE + 11), Err(Reason::TrustMaterialStale));
    gate.accept_delta(service.delta(6).sign(&key(9), "k1").as_bytes(), later(20)).unwrap();
    assert_eq!(age(&gate, MAX_AGE + 20), Ok(()));
    assert_eq!(age(&gate, MAX_AGE + 21), Err(Reason::TrustMaterialStale));
    // Nor does one whose snapshot has not come.
    service.configure(config("{}"));
    gate.accept_head(sign(&service.head(later(30))).as_bytes(), later(30), Some(ECHO)).unwrap();
    assert_eq!(age(&gate, MAX_AGE + 21), Err(Reason::TrustMaterialStale));
}

#[test]
fn a_service_whose_clock_is_ahead_makes_no_material_younger_than_it_is() {
    let service = service();
    let mut gate = ready(&service);
    let ahead = service.head(NOW.plus_millis(60_000));
    accept(&mut gate, &ahead).unwrap();
    let live = gate.current().unwrap().live;
    assert_eq!(live.check_age(NOW.plus_millis(MAX_AGE)).map_err(|denial| denial.reason), Ok(()));
    assert!(live.check_age(NOW.plus_millis(MAX_AGE + 1)).is_err());
    // And is believed again once the gate's own has come there.
    let later = NOW.plus_millis(60_001);
    gate.accept_head(sign(&service.head(later)).as_bytes(), later, Some(ECHO)).unwrap();
    assert_eq!(gate.current().unwrap().live.head().time, later);
}

/// What judges requests in these tests.
struct Judge {
    service: Service,
    gate: LiveTrust,
    cache: CredentialCache,
    replay: LocalMemory,
}

const REGISTRY: &str = "https://registry.example";
const JTI: &str = "550e8400-e29b-41d4-a716-446655440000";

impl Judge {
    fn new(trust: &str) -> Self {
        let mut service = Service::new(config(trust));
        // Something is revoked, so that the set is asked.
        service.change(1, true);
        let gate = ready(&service);
        Judge {
            service,
            gate,
            cache: CredentialCache::new(1 << 20),
            replay: LocalMemory::new(&Process::new([1; 32], NOW)),
        }
    }

    /// What comes of a request: `ok`, or a reason's code. `meanwhile` happens before its
    /// body is there.
    fn ask_while(
        &mut self,
        path: &str,
        header: (&str, &str),
        now: UnixTime,
        meanwhile: impl FnOnce(&mut Service),
    ) -> &'static str {
        let headers = [(header.0.as_bytes(), header.1.as_bytes())];
        let head = RequestHead {
            method: b"GET",
            authority: b"api.example",
            path: path.as_bytes(),
            headers: &headers,
            source: None,
        };
        let Current { snapshot, live } = self.gate.current().unwrap();
        let begun =
            Verifier::new(snapshot).with_live(live).begin(&head, now, &mut self.cache, &mut self.replay);
        let step = match begun {
            Step::NeedBody(pending) => {
                meanwhile(&mut self.service);
                self.service.bring(&mut self.gate, NOW);
                let Current { snapshot, live } = self.gate.current().unwrap();
                Verifier::new(snapshot).with_live(live).finish(pending, now, &mut self.replay)
            }
            decided => decided,
        };
        match step {
            Step::Permit(_) => "ok",
            Step::Deny(refused) => refused.denial.reason.code(),
            Step::NeedBody(_) | Step::NeedAuthority(_) | Step::Hold(_) => panic!("a body is asked for once"),
        }
    }

    fn ask(&mut self, header: (&str, &str)) -> &'static str {
        self.ask_while("/flights", header, NOW, |_| ())
    }

    /// Revokes something, or takes that back.
    fn change(&mut self, fingerprint: u64, is_revoked: bool) {
        self.service.change(fingerprint, is_revoked);
        self.service.bring(&mut self.gate, NOW);
    }
}

fn material() -> String {
    let public = |name| base64::encode(&key(name).public_key());
    format!(
        r#"{{"self_issued":{{"actions":["flights:*"]}},
            "badge_issuers":[{{"id":"{REGISTRY}","tier":3,"actions":["*"],
                "keys":[{{"key_id":"r1","public_key":"{}"}}],"revocations_synced_at":"2026-06-01T11:59:58.000Z"}}],
            "simpleguard_agents":[{{"key_id":"agent","public_key":"{}","actions":["*"]}}]}}"#,
        public(20),
        public(21)
    )
}

fn badge() -> String {
    let draft = BadgeDraft {
        id: JTI.into(),
        audience: Vec::new(),
        issued_at: NOW.plus_millis(-60_000),
        expires_at: NOW.plus_millis(HOUR),
        domain: Some("agents.example".into()),
    };
    let by = BadgeIssuer { origin: REGISTRY.into(), key_id: "r1".into() };
    let holder = key(22).public_key();
    draft.sign(&key(20), &by, &did_of_key(&holder), &holder, Level::DomainValidated, None).unwrap()
}

#[test]
fn a_passport_falls_with_any_of_its_hops_also_when_it_is_known() {
    let mut judge = Judge::new(SELF_ISSUED);
    let passport = chain(2, &["flights:search"]).to_header();
    let header = ("agent-passport", passport.as_str());
    assert_eq!(judge.ask(header), "ok");
    assert_eq!(judge.cache.len(), 1);
    let verified = portcullis_core::modei::verify(
        &portcullis_core::modei::from_header(passport.as_bytes()).unwrap(),
        &portcullis_core::modei::SelfContained,
    )
    .unwrap();
    let issuer = verified.root().issuer();
    for hop in verified.hops() {
        for (one, code) in [
            (FINGERPRINTS.passport(issuer, hop.passport_id()), "passport_revoked"),
            (FINGERPRINTS.agent(issuer, hop.agent_id()), "agent_disabled"),
        ] {
            judge.change(one, true);
            assert_eq!(judge.ask(header), code);
            judge.change(one, false);
            assert_eq!(judge.ask(header), "ok");
        }
        // Ids belong to issuers, and to kinds.
        judge.change(FINGERPRINTS.passport("issuer:other", hop.passport_id()), true);
        judge.change(FINGERPRINTS.badge(issuer, hop.passport_id()), true);
        judge.change(FINGERPRINTS.agent(issuer, hop.passport_id()), true);
        assert_eq!(judge.ask(header), "ok");
    }
}

#[test]
fn a_badge_falls_with_its_id_and_with_its_agent_also_when_it_is_known() {
    let mut judge = Judge::new(&material());
    let badge = badge();
    let header = ("x-capiscio-badge", badge.as_str());
    assert_eq!(judge.ask(header), "ok");
    assert_eq!(judge.cache.len(), 1);
    let agent = did_of_key(&key(22).public_key());
    for (one, code) in [
        (FINGERPRINTS.badge(REGISTRY, JTI), "BADGE_REVOKED"),
        (FINGERPRINTS.agent(REGISTRY, &agent), "BADGE_AGENT_DISABLED"),
    ] {
        judge.change(one, true);
        assert_eq!(judge.ask(header), code);
        judge.change(one, false);
        assert_eq!(judge.ask(header), "ok");
    }
}

#[test]
fn a_followed_issuer_is_as_fresh_as_the_service_says_whatever_the_configuration_says() {
    let mut judge = Judge::new(&material());
    let badge = badge();
    let mut ask = |followed: Vec<(String, UnixTime)>, now: i64| {
        judge.service.followed = followed;
        judge.service.bring(&mut judge.gate, NOW);
        judge.ask_while("/flights", ("x-capiscio-badge", &badge), NOW.plus_millis(now), |_| ())
    };
    assert_eq!(ask(vec![], 298_000), "ok");
    assert_eq!(ask(vec![], 298_001), "REVOCATION_CHECK_FAILED");
    let at = |millis| {
        vec![
            ("https://a.example".into(), NOW),
            (REGISTRY.into(), NOW.plus_millis(millis)),
            ("https://z.example".into(), NOW),
        ]
    };
    assert_eq!(ask(at(-1000), 299_000), "ok");
    assert_eq!(ask(at(-1000), 299_001), "REVOCATION_CHECK_FAILED");
    assert_eq!(ask(at(-3000), 297_001), "REVOCATION_CHECK_FAILED");
    // No look was later than the head that tells of it.
    assert_eq!(ask(at(1000), 300_000), "ok");
    assert_eq!(ask(at(1000), 300_001), "REVOCATION_CHECK_FAILED");
}

#[test]
fn an_agent_that_is_disabled_while_its_body_comes_is_refused() {
    let mut judge = Judge::new(&material());
    let signed =
        |number: i32| sign_request(&key(21), "agent", Object::from([("n", number.into())]), None, NOW);
    let token = signed(1);
    let header = ("x-capiscio-jws", token.as_str());
    let disabled = FINGERPRINTS.agent("simpleguard", "agent");
    assert_eq!(
        judge.ask_while("/flights", header, NOW, |service| service.change(disabled, true)),
        "agent_disabled"
    );
    // Known to be, it is refused before its body comes.
    let code = judge.ask_while("/flights", header, NOW, |_| panic!("its body is not waited for"));
    assert_eq!(code, "agent_disabled");
    judge.change(disabled, false);
    assert_eq!(judge.ask(header), "ok");
    // Nor does a key pass that is another's by then.
    let token = signed(2);
    let other =
        material().replace(&base64::encode(&key(21).public_key()), &base64::encode(&key(23).public_key()));
    let code = judge
        .ask_while("/flights", ("x-capiscio-jws", &token), NOW, |service| service.configure(config(&other)));
    assert_eq!(code, "simpleguard_key_untrusted");
}

#[test]
fn nothing_passes_by_material_that_is_too_old_not_even_a_public_route() {
    let mut judge = Judge::new(&material());
    let signed = sign_request(&key(21), "agent", Object::default(), None, NOW.plus_millis(MAX_AGE));
    let header = ("x-capiscio-jws", signed.as_str());
    let stale = NOW.plus_millis(MAX_AGE + 1);
    assert_eq!(judge.ask_while("/flights", header, stale, |_| ()), "trust_material_stale");
    assert_eq!(judge.ask_while("/health", ("a", "b"), stale, |_| ()), "trust_material_stale");
    assert_eq!(judge.ask_while("/health", ("a", "b"), NOW.plus_millis(MAX_AGE), |_| ()), "ok");
    assert_eq!(judge.ask_while("/nowhere", ("a", "b"), stale, |_| ()), "route_unknown");
    // While the body comes.
    let headers = [(header.0.as_bytes(), header.1.as_bytes())];
    let head = RequestHead {
        method: b"GET",
        authority: b"api.example",
        path: b"/flights",
        headers: &headers,
        source: None,
    };
    let Current { snapshot, live } = judge.gate.current().unwrap();
    let verifier = Verifier::new(snapshot).with_live(live);
    let begun = verifier.begin(&head, NOW.plus_millis(MAX_AGE), &mut judge.cache, &mut judge.replay);
    let Step::NeedBody(pending) = begun else { panic!("it has a signature") };
    let Step::Deny(refused) = verifier.finish(pending, stale, &mut judge.replay) else { panic!("too old") };
    assert_eq!(refused.denial.reason, Reason::TrustMaterialStale);
}

#[test]
fn what_the_configuration_lists_is_refused_beside_what_is_live() {
    let passport = chain(0, &["flights:search"]);
    let value = passport.to_header();
    let verified = portcullis_core::modei::verify(
        &portcullis_core::modei::from_header(value.as_bytes()).unwrap(),
        &portcullis_core::modei::SelfContained,
    )
    .unwrap();
    let trust = format!(
        r#"{{"self_issued":{{"actions":["flights:*"]}},"revoked_passports":[{{"issuer":"{}","passport_id":"{}"}}]}}"#,
        verified.root().issuer(),
        verified.id()
    );
    let mut judge = Judge::new(&trust);
    assert_eq!(judge.ask(("agent-passport", &value)), "passport_revoked");
}

fn set(fingerprints: &BTreeSet<u64>, number: u64) -> Revocations {
    Revocations::new(FINGERPRINTS, number, fingerprints.iter().copied().collect()).unwrap()
}

#[test]
fn a_set_ascends_and_a_delta_must_fit_to_it() {
    assert!(Revocations::new(FINGERPRINTS, 1, vec![1, 1]).is_none());
    assert!(Revocations::new(FINGERPRINTS, 1, vec![2, 1]).is_none());
    let set = Revocations::new(FINGERPRINTS, 5, vec![1, 2]).unwrap();
    let delta = RevocationDelta {
        gate: GATE.into(),
        since: 5,
        number: 6,
        key: FINGERPRINTS,
        added: vec![3],
        removed: vec![1],
    };
    assert_eq!(set.apply(&delta).unwrap().fingerprints(), [2, 3]);
    assert_eq!(set.apply(&RevocationDelta { since: 1, ..delta.clone() }).unwrap().fingerprints(), [2, 3]);
    let code = |delta: RevocationDelta| set.apply(&delta).unwrap_err().code();
    assert_eq!(code(RevocationDelta { since: 6, number: 7, ..delta.clone() }), "mismatch");
    assert_eq!(code(RevocationDelta { since: 1, number: 4, ..delta.clone() }), "went_back");
    let key = portcullis_core::live::FingerprintKey::new([0; 16]);
    assert_eq!(code(RevocationDelta { key, ..delta }), "mismatch");
}

#[test]
fn pages_follow_on_each_other_from_the_first_fingerprint_to_the_last() {
    let page = |from, to, number| RevocationPage {
        gate: GATE.into(),
        number,
        key: FINGERPRINTS,
        from,
        to,
        fingerprints: vec![from],
    };
    let mut load = RevocationLoad::new(5);
    let code = |load: &mut RevocationLoad, page: &RevocationPage| {
        load.add(page).map_or_else(|error| error.code(), |()| "ok")
    };
    assert_eq!(code(&mut load, &page(1, 9, 5)), "mismatch");
    assert_eq!(code(&mut load, &page(0, 9, 4)), "went_back");
    assert_eq!(code(&mut load, &page(0, 9, 5)), "ok");
    assert_eq!(code(&mut load, &page(9, 19, 5)), "mismatch");
    assert_eq!(code(&mut load, &page(11, 19, 5)), "mismatch");
    let other =
        RevocationPage { key: portcullis_core::live::FingerprintKey::new([0; 16]), ..page(10, 19, 5) };
    assert_eq!(code(&mut load, &other), "mismatch");
    assert_eq!(load.next_from(), Some(10));
    assert_eq!(code(&mut load, &page(10, u64::MAX - 1, 7)), "ok");
    assert_eq!(code(&mut load, &page(u64::MAX, u64::MAX, 6)), "ok");
    assert_eq!(load.next_from(), None);
    assert_eq!(code(&mut load, &page(0, 9, 7)), "mismatch");
    let set = load.finish().unwrap();
    assert_eq!((set.state().number, set.newest(), set.state().count), (5, 7, 3));
    let mut part = RevocationLoad::new(5);
    part.add(&page(0, 9, 5)).unwrap();
    assert_eq!(part.finish().unwrap_err().code(), "mismatch");
    assert_eq!(RevocationLoad::new(5).finish().unwrap_err().code(), "mismatch");
}

#[test]
fn a_gate_holds_no_more_than_it_has_room_for() {
    let most: Vec<u64> = (0..MAX_REVOCATIONS).collect();
    let set = Revocations::new(FINGERPRINTS, 1, most.clone()).unwrap();
    let added = vec![MAX_REVOCATIONS];
    let delta =
        RevocationDelta { gate: GATE.into(), since: 1, number: 2, key: FINGERPRINTS, added, removed: vec![] };
    assert_eq!(set.apply(&delta).unwrap_err().code(), "mismatch");
    assert!(Revocations::new(FINGERPRINTS, 1, (0..=MAX_REVOCATIONS).collect()).is_none());

    let page = |from, to, fingerprints| RevocationPage {
        gate: GATE.into(),
        number: 1,
        key: FINGERPRINTS,
        from,
        to,
        fingerprints,
    };
    let mut load = RevocationLoad::new(1);
    load.add(&page(0, MAX_REVOCATIONS - 1, most)).unwrap();
    let one = page(MAX_REVOCATIONS, u64::MAX, vec![MAX_REVOCATIONS]);
    assert_eq!(load.add(&one).unwrap_err().code(), "mismatch");
    load.add(&page(MAX_REVOCATIONS, u64::MAX, vec![])).unwrap();

    let mut load = RevocationLoad::new(1);
    let added = (0..10_000).take_while(|at| load.add(&page(*at, *at, vec![])).is_ok()).count();
    assert_eq!(added, 8192);
}

proptest! {
    #[test]
    fn a_delta_does_to_a_set_what_it_says(
        old in proptest::collection::btree_set(0_u64..40, 0..30),
        changed in proptest::collection::btree_map(0_u64..40, any::<bool>(), 0..30),
    ) {
        let part = |is_added| changed.iter().filter(|(_, added)| **added == is_added).map(|(one, _)| *one).collect();
        let (added, removed): (Vec<u64>, Vec<u64>) = (part(true), part(false));
        let mut model = old.clone();
        model.extend(&added);
        model.retain(|one| !removed.contains(one));
        let delta = RevocationDelta { gate: GATE.into(), since: 1, number: 2, key: FINGERPRINTS, added, removed };
        let new = set(&old, 1).apply(&delta).unwrap();
        prop_assert_eq!(new.state(), set(&model, 2).state());
        prop_assert_eq!(new.fingerprints(), model.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn a_delta_does_so_to_a_set_of_many_parts(
        // Three full parts or more, of every second fingerprint.
        count in 24_577_u64..26_000,
        changed in proptest::collection::btree_map(0_u64..52_010, any::<bool>(), 0..9000),
    ) {
        let old: BTreeSet<u64> = (0..count).map(|at| at * 2).collect();
        let part = |is_added| -> Vec<u64> {
            changed.iter().filter(|(_, added)| **added == is_added).map(|(one, _)| *one).collect()
        };
        let (added, removed) = (part(true), part(false));
        let mut model = old.clone();
        model.extend(&added);
        for one in &removed {
            model.remove(one);
        }
        let delta = RevocationDelta { gate: GATE.into(), since: 1, number: 2, key: FINGERPRINTS, added, removed };
        let before = set(&old, 1);
        let new = before.apply(&delta).unwrap();
        prop_assert_eq!(new.state(), set(&model, 2).state());
        prop_assert_eq!(new.fingerprints(), model.into_iter().collect::<Vec<_>>());
        prop_assert_eq!(before.state(), set(&old, 1).state());
    }

    #[test]
    fn a_gate_gets_to_what_the_service_has_whatever_happens_meanwhile(
        before in proptest::collection::vec((0_u64..20, any::<bool>()), 1..20),
        meanwhile in proptest::collection::vec(proptest::option::of((0_u64..20, any::<bool>())), 0..40),
        size in 1_usize..5,
    ) {
        let mut service = Service::new(config(SELF_ISSUED));
        service.page = size;
        for (one, is_revoked) in before {
            service.change(one, is_revoked);
        }
        let mut gate = gate();
        for change in meanwhile {
            service.step(&mut gate, NOW).unwrap();
            if let Some((one, is_revoked)) = change {
                service.change(one, is_revoked);
            }
            if let Ok(current) = gate.current() {
                prop_assert_eq!(current.live.revocations().newest(), current.live.revocations().state().number);
            }
        }
        service.bring(&mut gate, NOW);
        let current = gate.current().unwrap();
        prop_assert_eq!(current.live.revocations().state(), service.state());
    }
}
