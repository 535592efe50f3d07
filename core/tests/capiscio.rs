//! CapiscIO's credentials at a gate, and properties of what is read.

use portcullis_core::capiscio::{
    self, Audience, BadgeDraft, BadgeIssuer, DidDocument, Jwks, Level, did_of_key, key_of_did, sign_request,
};
use portcullis_core::json::Object;
use portcullis_core::{
    Config, CredentialCache, LocalMemory, Process, Profile, Reason, RequestHead, SecretKey, Snapshot, Step,
    Trust, TrustConfig, UnixTime, Verifier, base64, sha256,
};
use proptest::prelude::*;

const NOW: UnixTime = UnixTime::from_millis(1_780_315_200_000);
const REGISTRY: &str = "https://registry.example";

fn key(owner: &str) -> SecretKey {
    SecretKey::from_seed(sha256(owner.as_bytes()))
}

fn public(owner: &str) -> String {
    base64::encode(&key(owner).public_key())
}

fn draft() -> BadgeDraft {
    BadgeDraft {
        id: "550e8400-e29b-41d4-a716-446655440000".into(),
        audience: Vec::new(),
        issued_at: NOW.plus_millis(-60_000),
        expires_at: NOW.plus_millis(240_000),
        domain: Some("agents.example".into()),
    }
}

fn badge(level: Level, is_bound: bool) -> String {
    let by = BadgeIssuer { origin: REGISTRY.into(), key_id: "registry-1".into() };
    let bob = key("bob").public_key();
    let did = did_of_key(&bob);
    let method = format!("{did}#{}", did.trim_start_matches("did:key:"));
    let confirmed = is_bound.then_some(method.as_str());
    draft().sign(&key("registry"), &by, &did, &bob, level, confirmed).expect("a badge")
}

fn material(more: &str) -> String {
    format!(
        r#"{{"badge_issuers":[{{"id":"{REGISTRY}","tier":3,"actions":["a"],
             "keys":[{{"key_id":"registry-1","public_key":"{}"}}]}}],
            "simpleguard_agents":[{{"key_id":"k","public_key":"{}","actions":["a"]}}]{more}}}"#,
        public("registry"),
        public("agent")
    )
}

fn snapshot(more: &str) -> Snapshot {
    let text = format!(
        r#"{{"gate":{{"id":"g"}},"profile":"L1","authorities":["api.example"],"max_body_bytes":100,"routes":[
            {{"path":"/once","methods":["POST"],"action":"a"}},
            {{"path":"/again","methods":["POST"],"action":"a","simpleguard_repeats":"same_second"}},
            {{"path":"/other","methods":["POST"],"action":"b"}}],"trust":{}}}"#,
        material(more)
    );
    Snapshot::new(&Config::from_json(text.as_bytes()).unwrap()).unwrap()
}

/// A gate with its memories.
struct Gate {
    snapshot: Snapshot,
    cache: CredentialCache,
    replay: LocalMemory,
}

impl Gate {
    fn new() -> Self {
        Gate {
            snapshot: snapshot(""),
            cache: CredentialCache::new(1 << 20),
            replay: LocalMemory::new(&Process::new([1; 32], NOW)),
        }
    }

    /// What comes of a request: `ok`, or a reason's code.
    fn ask(&mut self, path: &str, headers: &[(&str, &str)], body: &[&[u8]], now: UnixTime) -> &'static str {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let head = RequestHead {
            method: b"POST",
            authority: b"api.example",
            path: path.as_bytes(),
            headers: &headers,
            source: None,
        };
        let verifier = Verifier::new(&self.snapshot);
        let step = match verifier.begin(&head, now, &mut self.cache, &mut self.replay) {
            Step::NeedBody(mut pending) => {
                for chunk in body {
                    if let Err(refused) = pending.absorb(chunk) {
                        return refused.denial.reason.code();
                    }
                }
                verifier.finish(pending, now, &mut self.replay)
            }
            decided => decided,
        };
        match step {
            Step::Permit(permit) => {
                assert!(permit.identity().is_some());
                "ok"
            }
            Step::Deny(refused) => refused.denial.reason.code(),
            Step::NeedBody(_) | Step::NeedAuthority(_) | Step::Hold(_) => panic!("a body is asked for once"),
        }
    }
}

fn signature(number: i32, body: Option<&[u8]>) -> String {
    sign_request(&key("agent"), "k", Object::from([("n", number.into())]), body, NOW)
}

#[test]
fn a_badge_that_is_known_is_judged_anew_under_each_snapshot_and_at_each_time() {
    let mut gate = Gate::new();
    let token = badge(Level::DomainValidated, false);
    let headers = [("x-capiscio-badge", token.as_str())];
    assert_eq!(gate.ask("/once", &headers, &[], NOW), "ok");
    assert_eq!(gate.cache.len(), 1);
    let ask = |gate: &mut Gate, now| gate.ask("/once", &headers, &[], now);
    assert_eq!(ask(&mut gate, NOW.plus_millis(299_999)), "ok");
    assert_eq!(ask(&mut gate, NOW.plus_millis(300_000)), "BADGE_EXPIRED");
    assert_eq!(ask(&mut gate, NOW.plus_millis(-120_001)), "BADGE_NOT_YET_VALID");
    let revoked = r#","revoked_badges":[{"issuer":"https://registry.example","jti":"550e8400-e29b-41d4-a716-446655440000"}]"#;
    gate.snapshot = snapshot(revoked);
    assert_eq!(ask(&mut gate, NOW), "BADGE_REVOKED");
    let did = did_of_key(&key("bob").public_key());
    gate.snapshot =
        snapshot(&format!(r#","disabled_agents":[{{"issuer":"{REGISTRY}","agent_id":"{did}"}}]"#));
    assert_eq!(ask(&mut gate, NOW), "BADGE_AGENT_DISABLED");
    gate.snapshot = {
        // The registry's key is another now.
        let text = material("").replace(&public("registry"), &public("registry, next"));
        let gate = format!(
            r#"{{"gate":{{"id":"g"}},"profile":"L1","authorities":["api.example"],
            "routes":[{{"path":"/once","methods":["POST"],"action":"a"}}],"trust":{text}}}"#
        );
        Snapshot::new(&Config::from_json(gate.as_bytes()).unwrap()).unwrap()
    };
    assert_eq!(ask(&mut gate, NOW), "BADGE_SIGNATURE_INVALID");
    gate.snapshot = snapshot("");
    assert_eq!(ask(&mut gate, NOW), "ok");
    assert_eq!(gate.ask("/other", &headers, &[], NOW), "issuer_ceiling_exceeded");
}

#[test]
fn a_signature_is_used_up_by_the_request_that_passes_and_by_no_other() {
    let mut gate = Gate::new();
    let signed = signature(1, Some(b"hello"));
    let headers = [("x-capiscio-jws", signed.as_str())];
    assert_eq!(gate.ask("/once", &headers, &[b"hellO"], NOW), "body_digest_mismatch");
    assert_eq!(gate.ask("/once", &headers, &[], NOW), "body_digest_mismatch");
    assert_eq!(gate.ask("/once", &headers, &[&[0; 101]], NOW), "body_too_large");
    assert_eq!(gate.ask("/other", &headers, &[b"hello"], NOW), "issuer_ceiling_exceeded");
    assert_eq!(gate.ask("/once", &headers, &[b"hello"], NOW.plus_millis(120_000)), "simpleguard_expired");
    assert_eq!(gate.ask("/once", &headers, &[b"he", b"", b"llo"], NOW), "ok");
    assert_eq!(gate.ask("/once", &headers, &[b"hello"], NOW), "request_replayed");
    let last = NOW.plus_millis(119_999);
    assert_eq!(gate.ask("/once", &headers, &[b"hello"], last), "request_replayed");
}

#[test]
fn equal_requests_pass_for_a_second_where_the_route_lets_them() {
    let mut gate = Gate::new();
    let signed = signature(2, None);
    let headers = [("x-capiscio-jws", signed.as_str())];
    let mut ask = |path, millis| gate.ask(path, &headers, &[], NOW.plus_millis(millis));
    assert_eq!(ask("/again", 0), "ok");
    assert_eq!(ask("/again", 1000), "ok");
    assert_eq!(ask("/once", 1000), "request_replayed");
    assert_eq!(ask("/again", 1999), "ok");
    assert_eq!(ask("/again", 2000), "request_replayed");
}

#[test]
fn a_body_that_is_not_signed_is_refused_at_its_first_byte() {
    let mut gate = Gate::new();
    let signed = signature(3, None);
    let headers = [("x-capiscio-jws", signed.as_str())];
    assert_eq!(gate.ask("/once", &headers, &[b"x"], NOW), "body_not_signed");
    assert_eq!(gate.ask("/once", &headers, &[b""], NOW), "ok");
}

#[test]
fn only_a_badge_and_a_signature_by_its_holder_belong_together() {
    let mut gate = Gate::new();
    let badge = badge(Level::Registered, false);
    let own = sign_request(&key("bob"), "any", Object::default(), None, NOW);
    let other = signature(4, None);
    let bearer = format!("Bearer {badge}");
    let mut ask = |headers: &[(&str, &str)]| gate.ask("/once", headers, &[], NOW);
    assert_eq!(ask(&[("x-capiscio-badge", &badge), ("x-capiscio-jws", &own)]), "ok");
    assert_eq!(ask(&[("x-capiscio-badge", &badge), ("x-capiscio-jws", &own)]), "request_replayed");
    assert_eq!(
        ask(&[("x-capiscio-badge", &badge), ("x-capiscio-jws", &other)]),
        "simpleguard_signature_invalid"
    );
    for headers in [
        [("x-capiscio-badge", badge.as_str()), ("authorization", bearer.as_str())],
        [("x-capiscio-badge", &other), ("x-capiscio-jws", &own)],
        [("agent-passport", ":e30=:"), ("x-capiscio-badge", &badge)],
        [("agent-passport", ":e30=:"), ("x-capiscio-jws", &own)],
    ] {
        assert_eq!(ask(&headers), "credential_ambiguous", "{headers:?}");
    }
    let third = [("x-capiscio-badge", other.as_str()), ("x-capiscio-jws", &own), ("authorization", &bearer)];
    assert_eq!(ask(&third), "credential_ambiguous");
    assert_eq!(ask(&[("authorization", "Bearer abc.def.ghi")]), "credential_missing");
}

#[test]
fn a_badge_that_expires_while_the_body_comes_is_refused() {
    let gate = Gate::new();
    let bob = key("bob");
    let draft = BadgeDraft { expires_at: NOW.plus_millis(-50_000), ..draft() };
    let by = BadgeIssuer { origin: REGISTRY.into(), key_id: "registry-1".into() };
    let did = did_of_key(&bob.public_key());
    let token = draft.sign(&key("registry"), &by, &did, &bob.public_key(), Level::Registered, None).unwrap();
    let own = sign_request(&bob, "any", Object::default(), None, NOW);
    let headers: [(&[u8], &[u8]); 2] =
        [(b"x-capiscio-badge", token.as_bytes()), (b"x-capiscio-jws", own.as_bytes())];
    let head = RequestHead {
        method: b"POST",
        authority: b"api.example",
        path: b"/once",
        headers: &headers,
        source: None,
    };
    let judged = |later: i64| {
        let verifier = Verifier::new(&gate.snapshot);
        let Step::NeedBody(pending) = verifier.begin(
            &head,
            NOW,
            &mut CredentialCache::new(0),
            &mut LocalMemory::new(&Process::new([1; 32], NOW)),
        ) else {
            panic!("the signature covers the body");
        };
        let mut replay = LocalMemory::new(&Process::new([1; 32], NOW));
        match verifier.finish(pending, NOW.plus_millis(later), &mut replay) {
            Step::Permit(_) => "ok",
            Step::Deny(refused) => refused.denial.reason.code(),
            Step::NeedBody(_) | Step::NeedAuthority(_) | Step::Hold(_) => panic!("a body is asked for once"),
        }
    };
    assert_eq!(judged(9_999), "ok");
    assert_eq!(judged(10_000), "BADGE_EXPIRED");
}

#[test]
fn profiles_ask_for_levels_and_assurance() {
    let judged = |profile, level, is_bound| {
        let config = TrustConfig::from_json(material("").as_bytes()).unwrap();
        let trust = Trust::new(&config, profile).unwrap();
        let badge = capiscio::verify(badge(level, is_bound).as_bytes(), &trust, NOW)?;
        capiscio::check_standing(&badge, &trust, Audience::Unchecked, NOW)
    };
    let levels =
        [Level::Registered, Level::DomainValidated, Level::OrganizationValidated, Level::ExtendedValidated];
    for (profile, least, needs_proof) in [
        (Profile::L1, Level::Registered, false),
        (Profile::L2, Level::DomainValidated, false),
        (Profile::L3, Level::OrganizationValidated, true),
    ] {
        for level in levels {
            for is_bound in [false, true] {
                let reason = judged(profile, level, is_bound).err().map(|denial| denial.reason);
                let is_enough = level >= least && (is_bound || !needs_proof);
                let expected = (!is_enough).then_some(Reason::BadgeLevelInsufficient);
                assert_eq!(reason, expected, "{profile:?} {level:?} {is_bound}");
            }
        }
    }
}

#[test]
fn profiles_ask_for_the_tier_of_a_badges_issuer_whatever_the_level() {
    for (profile, least) in [(Profile::L1, 1), (Profile::L2, 2), (Profile::L3, 3)] {
        for tier in 1..=3 {
            let material = material("").replace("\"tier\":3", &format!("\"tier\":{tier}"));
            let trust = Trust::new(&TrustConfig::from_json(material.as_bytes()).unwrap(), profile).unwrap();
            let token = badge(Level::ExtendedValidated, true);
            let reason = capiscio::verify(token.as_bytes(), &trust, NOW).err().map(|denial| denial.reason);
            let expected = (tier < least).then_some(Reason::TrustTierInsufficient);
            assert_eq!(reason, expected, "{profile:?}, tier {tier}");
        }
        // A SimpleGuard signature does not cover the request, and nobody vouches for its key.
        let trust = Trust::new(&TrustConfig::from_json(material("").as_bytes()).unwrap(), profile).unwrap();
        let reason = trust.simpleguard_key("k", NOW).err().map(|denial| denial.reason);
        assert_eq!(reason, (least > 1).then_some(Reason::TrustTierInsufficient), "{profile:?}");
    }
}

#[test]
fn badges_of_level_0_pass_at_l1_by_opt_in_and_nowhere_else() {
    let token = BadgeDraft { domain: None, ..draft() }.self_sign(&key("bob"));
    let did = did_of_key(&key("bob").public_key());
    let listed = format!(r#"{{"badge_issuers":[{{"id":"{did}","tier":1,"actions":["a"]}}]}}"#);
    let opted = r#"{"accept_self_signed":{"actions":["a"]}}"#.to_owned();
    let (none, low) = (Some(Reason::BadgeIssuerUntrusted), Some(Reason::TrustTierInsufficient));
    for (material, expected) in
        [("{}".to_owned(), [none; 3]), (opted, [None, low, low]), (listed, [None, low, low])]
    {
        for (profile, expected) in [Profile::L1, Profile::L2, Profile::L3].into_iter().zip(expected) {
            let trust = Trust::new(&TrustConfig::from_json(material.as_bytes()).unwrap(), profile).unwrap();
            let reason = capiscio::verify(token.as_bytes(), &trust, NOW).err().map(|denial| denial.reason);
            assert_eq!(reason, expected, "{profile:?} {material}");
        }
    }
}

#[test]
fn a_did_document_is_read_in_both_forms_of_key() {
    let bob = key("bob").public_key();
    let multibase = did_of_key(&bob).trim_start_matches("did:key:").to_owned();
    let text = format!(
        r##"{{"@context":["https://www.w3.org/ns/did/v1"],"id":"did:web:a.example","verificationMethod":[
            {{"id":"did:web:a.example#key-1","type":"Ed25519VerificationKey2020","publicKeyMultibase":"{multibase}"}},
            {{"id":"#key-2","publicKeyJwk":{{"kty":"OKP","crv":"Ed25519","x":"{}"}}}},
            {{"id":"#key-3","publicKeyJwk":{{"kty":"EC","crv":"P-256","x":"","y":""}}}}]}}"##,
        base64::encode_url(&bob)
    );
    let document = DidDocument::read(text.as_bytes()).unwrap();
    assert_eq!(document.id, "did:web:a.example");
    let expected = [("did:web:a.example#key-1".to_owned(), bob), ("did:web:a.example#key-2".to_owned(), bob)];
    assert_eq!(document.keys, expected);
    for (from, to) in [
        ("#key-2", "#key-1"),
        ("#key-2", "did:web:b.example#key-2"),
        ("\"id\":\"did:web:a.example\"", "\"id\":\"a.example\""),
        ("\"verificationMethod\"", "\"VerificationMethod\""),
    ] {
        assert!(DidDocument::read(text.replace(from, to).as_bytes()).is_err(), "{to}");
    }
}

#[test]
fn a_key_set_is_read_by_kid() {
    let jwk = |kid: &str| {
        format!(
            r#"{{"kty":"OKP","crv":"Ed25519","kid":"{kid}","x":"{}","use":"sig","alg":"EdDSA"}}"#,
            base64::encode_url(&key("bob").public_key())
        )
    };
    let set = |keys: &[String]| Jwks::read(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes());
    let other = r#"{"kty":"RSA","kid":"r","n":"AQAB","e":"AQAB"}"#.to_owned();
    let names: Vec<_> =
        set(&[jwk("a"), other.clone(), jwk("b")]).unwrap().keys.into_iter().map(|(kid, _)| kid).collect();
    assert_eq!(names, ["a", "b"]);
    assert!(set(&[jwk("a"), jwk("a")]).is_err());
    assert!(set(&[other]).is_err());
    assert!(set(&[jwk("a").replace("\"kid\":\"a\",", "")]).is_err());
}

#[test]
fn a_did_key_is_the_registrys_own_vector() {
    let did = did_of_key(&SecretKey::from_seed([2; 32]).public_key());
    assert_eq!(did, "did:key:z6Mko9hTggMwjSTEaJaPUfE6tqcy2xvU6BnNq3e3o8qVBiyH");
    // The did:key method's own example for X25519: another kind of key.
    assert_eq!(key_of_did("did:key:z6LSbysY2xFMRpGMhb7tFTLMpeuPRaqaWM1yECx2AtzE3KCc"), None);
}

proptest! {
    #[test]
    fn a_did_key_says_its_key_and_no_other_text_does(bytes in any::<[u8; 32]>(), at in 9_usize..56, letter in "[1-9A-HJ-NP-Za-km-z]") {
        let did = did_of_key(&bytes);
        prop_assert_eq!(key_of_did(&did), Some(bytes));
        let mut other = did.clone();
        other.replace_range(at..=at, &letter);
        prop_assert_eq!(key_of_did(&other) == Some(bytes), other == did);
        let longer = format!("{did}1");
        prop_assert_eq!(key_of_did(&longer), None);
    }

    /// A badge that says another thing in any byte is another badge, or none.
    #[test]
    fn no_byte_of_a_badge_can_be_changed(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let token = badge(Level::DomainValidated, false).into_bytes();
        let config = TrustConfig::from_json(material("").as_bytes()).unwrap();
        let trust = Trust::new(&config, Profile::L1).unwrap();
        let mut changed = token.clone();
        let at = at.index(token.len());
        if let Some(place) = changed.get_mut(at) {
            *place = byte;
        }
        prop_assert_eq!(capiscio::verify(&changed, &trust, NOW).is_ok(), changed == token);
    }

    #[test]
    fn no_text_makes_a_reader_panic(text in any::<Vec<u8>>()) {
        let config = TrustConfig::from_json(material("").as_bytes()).unwrap();
        let trust = Trust::new(&config, Profile::L1).unwrap();
        prop_assert!(capiscio::verify(&text, &trust, NOW).is_err());
        prop_assert!(capiscio::key_id(&text).is_err());
        let _ = (DidDocument::read(&text), Jwks::read(&text), capiscio::is_request_signature(&text));
    }
}
