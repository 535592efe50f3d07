//! Trust Badges and SimpleGuard signatures on the command line.

use crate::support::Desk;
use portcullis_core::capiscio::sign_request;
use portcullis_core::json::Object;
use portcullis_core::{SecretKey, UnixTime, base64};
use serde_json::{Value, json};

const REAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/capiscio-cli");
const REGISTRY: &str = "https://registry.example";

/// A desk with a registry's key `ca.json` and an agent's `agent.json`.
fn registry() -> Desk {
    let desk = Desk::new();
    desk.done(&["keygen", "--out", "ca.json"]);
    desk.done(&["keygen", "--out", "agent.json"]);
    desk
}

/// A badge of level 2 in `bob.jws`.
fn issue(desk: &Desk, more: &[&str]) -> Value {
    let base = ["badge", "issue", "--key", "ca.json", "--kid", "ca-1", "--issuer", REGISTRY];
    let about = ["--agent-key", "agent.json", "--subject", "did:web:agents.example:bob", "--level", "2"];
    let rest = ["--domain", "agents.example", "--out", "bob.jws"];
    desk.done_json(&[base.as_slice(), &about, &rest, more].concat())
}

const TRUSTED: [&str; 7] = ["verify", "bob.jws", "--issuer", REGISTRY, "--issuer-key", "ca.json", "ca-1"];

#[test]
fn a_badge_is_issued_and_verified_by_its_issuers_key() {
    let desk = registry();
    let issued = issue(&desk, &["--audience", "https://api.example"]);
    assert_eq!(desk.mode("bob.jws"), 0o600);
    let verdict = desk.done_json(&[&TRUSTED[..], &["--audience", "https://api.example"]].concat());
    assert_eq!(verdict["kind"], "badge");
    assert_eq!(verdict["valid"], true);
    assert_eq!(verdict["reason_code"], Value::Null);
    assert_eq!(verdict["level"], "2");
    assert_eq!(verdict["ial"], "0");
    assert_eq!(verdict["audience_checked"], true);
    assert_eq!(verdict["badge"]["jti"], issued["jti"]);
    assert_eq!(verdict["badge"]["subject"], "did:web:agents.example:bob");
    assert_eq!(verdict["badge"]["domain"], "agents.example");
    assert_eq!(verdict["badge"]["signed_by"], "ca-1");
    let text = desk.done(&TRUSTED);
    assert!(text.contains("VALID") && text.contains("not compared: --audience"), "{text}");
}

#[test]
fn a_badge_is_refused_for_what_is_wrong_with_it() {
    let desk = registry();
    issue(&desk, &["--audience", "https://api.example"]);
    let reason = |arguments: &[&str]| desk.refused_json(arguments)["reason_code"].clone();
    assert_eq!(reason(&["verify", "bob.jws"]), "BADGE_ISSUER_UNTRUSTED");
    let with = |more: &[&str]| reason(&[&TRUSTED[..], more].concat());
    assert_eq!(with(&["--audience", "https://other.example"]), "BADGE_AUDIENCE_MISMATCH");
    assert_eq!(with(&["--at", "2040-01-01T00:00:00Z"]), "BADGE_EXPIRED");
    assert_eq!(with(&["--at", "2020-01-01T00:00:00Z"]), "BADGE_NOT_YET_VALID");
    let other = ["verify", "bob.jws", "--issuer", REGISTRY, "--issuer-key", "agent.json", "ca-1"];
    assert_eq!(reason(&other), "BADGE_SIGNATURE_INVALID");
    desk.write("bob.jws", format!("X-Capiscio-Badge: {}.x", desk.read("bob.jws").trim()));
    assert_eq!(reason(&TRUSTED), "BADGE_MALFORMED");
}

#[test]
fn a_self_signed_badge_is_accepted_on_request_only() {
    let desk = registry();
    let issued =
        desk.done_json(&["badge", "issue", "--key", "agent.json", "--self-sign", "--out", "own.jws"]);
    assert_eq!(issued["level"], "0");
    assert_eq!(issued["issuer"], issued["subject"]);
    assert_eq!(desk.refused_json(&["verify", "own.jws"])["reason_code"], "BADGE_ISSUER_UNTRUSTED");
    let verdict = desk.done_json(&["verify", "own.jws", "--accept-self-signed"]);
    assert_eq!(verdict["level"], "0");
    assert_eq!(verdict["badge"]["key_did"], issued["subject"]);
    let did = issued["subject"].as_str().unwrap();
    assert_eq!(desk.done_json(&["verify", "own.jws", "--issuer", did])["valid"], true);
    let verdict = desk.done_json(&["badge", "verify", "own.jws", "--accept-self-signed"]);
    assert_eq!(verdict["valid"], true);
}

#[test]
fn the_real_command_lines_badges_need_every_switch() {
    let desk = Desk::new();
    let judge = |level: usize, switches: &str| {
        let (badge, key) = (format!("{REAL}/badge-level{level}.jws"), format!("{REAL}/ca.pub.jwk"));
        let arguments =
            ["verify", &badge, "--accept-self-signed", "--issuer", REGISTRY, "--issuer-key", &key, "ca"];
        let at = ["--at", "2026-11-28T00:00:00Z", "--audience", "https://api.example"];
        let switches = if switches.is_empty() { vec![] } else { vec!["--compatibility", switches] };
        let arguments = [arguments.as_slice(), &at, &switches].concat();
        if switches.last() == Some(&"missing_typ,missing_kid,empty_ial") {
            desk.done_json(&arguments)
        } else {
            desk.refused_json(&arguments)
        }
    };
    for level in 0..5 {
        let verdict = judge(level, "missing_typ,missing_kid,empty_ial");
        assert_eq!(verdict["level"], level.to_string());
        for switches in ["", "missing_typ", "missing_typ,missing_kid", "missing_kid,empty_ial"] {
            assert_eq!(judge(level, switches)["reason_code"], "BADGE_CLAIMS_INVALID", "{level} {switches}");
        }
    }
}

#[test]
fn badges_that_rfc_002_does_not_have_are_not_issued() {
    let desk = registry();
    let base = ["badge", "issue", "--key", "ca.json", "--kid", "ca-1", "--agent-key", "agent.json"];
    for (more, told) in [
        (&["--issuer", REGISTRY, "--level", "2"][..], "there must be --domain"),
        (&["--issuer", "http://registry.example", "--level", "1"], "an HTTPS origin"),
        (&["--issuer", REGISTRY, "--level", "1", "--subject", "bob"], "a DID"),
        (&["--issuer", REGISTRY, "--level", "0"], "--self-sign"),
        (&["--issuer", REGISTRY, "--level", "1", "--expires-in", "2h"], "from 1m to 1h"),
        (&["--issuer", REGISTRY, "--level", "1", "--confirmed", "did:web:other#key-1"], "--confirmed"),
    ] {
        let outcome = desk.run(&[base.as_slice(), more].concat());
        assert_eq!(outcome.code, 2, "{more:?}");
        assert!(outcome.err.contains(told), "{more:?}: {}", outcome.err);
    }
}

#[test]
fn a_badge_is_inspected_without_being_believed() {
    let desk = registry();
    issue(&desk, &[]);
    let view = desk.done_json(&["inspect", "bob.jws"]);
    assert_eq!(view["kind"], "badge");
    assert_eq!(view["verified"], false);
    assert_eq!(view["jwt_header"]["kid"], "ca-1");
    assert_eq!(view["contents"]["sub"], "did:web:agents.example:bob");
}

#[test]
fn a_bundle_admits_issuers_of_badges_and_what_they_have_revoked() {
    let desk = registry();
    let issued = issue(&desk, &[]);
    // The registry's own key and another's, as a JWK set has them.
    let mut old: Value =
        serde_json::from_str(&std::fs::read_to_string(format!("{REAL}/ca.pub.jwk")).unwrap()).unwrap();
    old["kid"] = json!("old");
    desk.done(&["badge", "issue", "--key", "ca.json", "--self-sign", "--out", "ca.jws"]);
    let mut own = desk.done_json(&["verify", "ca.jws", "--accept-self-signed"])["badge"]["key"].clone();
    own["kid"] = json!("ca-1");
    let jwk = json!({"keys": [old, own]});
    desk.write("jwks.json", jwk.to_string());
    desk.write(
        "registry.json",
        json!({"id": REGISTRY, "tier": 2, "actions": ["flights:*"], "jwks_file": "jwks.json"}).to_string(),
    );
    desk.done(&["bundle", "--badge-issuer", "registry.json", "--out", "trust.json"]);
    assert_eq!(desk.done_json(&["verify", "bob.jws", "--trust", "trust.json"])["valid"], true);

    let revoke = format!("{REGISTRY}/{}", issued["jti"].as_str().unwrap());
    desk.done(&[
        "bundle",
        "--badge-issuer",
        "registry.json",
        "--revoke-badge",
        &revoke,
        "--out",
        "trust.json",
    ]);
    let verdict = desk.refused_json(&["verify", "bob.jws", "--trust", "trust.json"]);
    assert_eq!(verdict["reason_code"], "BADGE_REVOKED");

    desk.write(
        "revocations.json",
        r#"{"syncedAt": "2026-01-01T01:00:00.123456789+01:00", "revocations": null}"#,
    );
    let stale = format!("{REGISTRY}=revocations.json");
    desk.done(&[
        "bundle",
        "--badge-issuer",
        "registry.json",
        "--badge-revocations",
        &stale,
        "--out",
        "trust.json",
    ]);
    let verdict = desk.refused_json(&["verify", "bob.jws", "--trust", "trust.json"]);
    assert_eq!(verdict["reason_code"], "REVOCATION_CHECK_FAILED");
    let trust = desk.read_json("trust.json");
    assert_eq!(trust["badge_issuers"][0]["revocations_synced_at"], "2026-01-01T00:00:00.123Z");

    // A revocation that fits no badge must not seem to be one.
    for (revoked, told) in [
        ("https://registry.example#550e8400-e29b-41d4-a716-446655440000", "there is no --badge-issuer"),
        ("https://registri.example/550e8400-e29b-41d4-a716-446655440000", "there is no --badge-issuer"),
        ("https://registry.example/badge-1", "UUID"),
    ] {
        let error = desk.unusable(&["bundle", "--badge-issuer", "registry.json", "--revoke-badge", revoked]);
        assert!(error.contains(told), "{revoked}: {error}");
    }
}

#[test]
fn a_signature_is_verified_by_a_trust_store_or_by_a_key() {
    let desk = Desk::new();
    let key = SecretKey::from_seed([9; 32]);
    let public = base64::encode(&key.public_key());
    desk.write("key.txt", public);
    desk.done(&["trust", "add", "--store", ".", "--kid", "k-1", "key.txt"]);
    desk.done(&["bundle", "--trust-store", ".", "--trust-store-actions", "*", "--out", "trust.json"]);
    let now = UnixTime::from_rfc3339("2026-06-01T12:00:00Z").unwrap();
    let token = sign_request(&key, "k-1", Object::default(), Some(b"window seat"), now);
    desk.write("signed.jws", format!("X-Capiscio-JWS: {token}"));
    desk.write("bare.jws", &token);
    desk.write("body", "window seat");
    desk.write("other", "window seaT");
    fn verify<'a>(more: &[&'a str]) -> Vec<&'a str> {
        [&["verify"][..], more, &["--at", "2026-06-01T12:00:30Z"]].concat()
    }

    let verdict = desk.done_json(&verify(&["signed.jws", "--trust", "trust.json", "--body", "body"]));
    assert_eq!(verdict["kind"], "simpleguard");
    assert_eq!(verdict["signature"]["kid"], "k-1");
    assert_eq!(verdict["body_checked"], true);
    let verdict = desk.done_json(&verify(&["bare.jws", "--trust", "trust.json"]));
    assert_eq!(verdict["body_checked"], false);
    let reason = |arguments: &[&str]| desk.refused_json(arguments)["reason_code"].clone();
    let with = |more: &[&str]| reason(&verify(&[&["signed.jws"][..], more].concat()));
    assert_eq!(with(&["--trust", "trust.json", "--body", "other"]), "body_digest_mismatch");
    assert_eq!(with(&[]), "simpleguard_key_untrusted");
    let late = ["verify", "signed.jws", "--trust", "trust.json", "--at", "2026-06-01T12:02:00Z"];
    assert_eq!(reason(&late), "simpleguard_expired");
}

#[test]
fn an_option_for_another_kind_of_credential_is_not_ignored() {
    let desk = registry();
    issue(&desk, &[]);
    desk.write("body", "x");
    for more in [&["--body", "body"][..], &["--compatibility", "missing_typ"]] {
        desk.unusable(&[&["verify", "bob.jws"][..], more].concat());
    }
    let token =
        sign_request(&SecretKey::from_seed([9; 32]), "k", Object::default(), None, UnixTime::from_millis(0));
    desk.write("signed.jws", token);
    desk.unusable(&["verify", "signed.jws", "--accept-self-signed"]);
    let error = desk.unusable(&["badge", "verify", "signed.jws"]);
    assert!(error.contains("no Trust Badge"), "{error}");
    let outcome = desk.run_reading("signed.jws", &["badge", "inspect", "-"]);
    assert_eq!(outcome.code, 2);
}
