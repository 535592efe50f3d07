//! Proofs of possession, and what a DID document lets prove.

use portcullis_core::capiscio::{DidDocument, Proof, ProofError, did_of_key, method_of_did_key};
use portcullis_core::{SecretKey, UnixTime, base64};

const NOW: UnixTime = UnixTime::from_millis(1_780_315_200_000);

fn agent() -> SecretKey {
    SecretKey::from_seed([7; 32])
}

fn proof() -> Proof {
    let did = did_of_key(&agent().public_key());
    let (kid, _) = method_of_did_key(&did).expect("a did:key");
    Proof {
        kid,
        cid: "ch-550e8400-e29b-41d4-a716-446655440000".into(),
        nonce: base64::encode_url(&[1; 32]),
        sub: did,
        aud: "https://registry.example".into(),
        htu: "https://registry.example/v1/agents/x/badge".into(),
        htm: "POST".into(),
        iat: NOW,
        exp: NOW.plus_millis(60_000),
        jti: "1".into(),
    }
}

/// A token of these parts; its signature has the right length.
fn token(header: &str, claims: &str) -> String {
    let parts = [header, claims].map(|part| base64::encode_url(part.as_bytes()));
    format!("{}.{}", parts.join("."), base64::encode_url(&[0; 64]))
}

#[test]
fn a_proof_is_read_as_it_was_signed_and_verifies_with_its_own_key_only() {
    let token = proof().sign(&agent());
    let (read, unverified) = Proof::read(token.as_bytes()).expect("a proof");
    assert_eq!(read, proof());
    assert!(unverified.is_signed_by(&agent().public_key()));
    assert!(!unverified.is_signed_by(&SecretKey::from_seed([8; 32]).public_key()));
    let claims = token.split('.').nth(1).unwrap();
    let changed = Proof { htm: "PUT".into(), ..proof() }.sign(&agent());
    let swapped = changed.replace(changed.split('.').nth(1).unwrap(), claims);
    let (_, unverified) = Proof::read(swapped.as_bytes()).expect("a proof");
    assert!(!unverified.is_signed_by(&agent().public_key()));
}

#[test]
fn what_is_malformed_or_missing_is_told() {
    let good = proof().sign(&agent());
    let part = |at: usize| base64::decode_url(good.split('.').nth(at).unwrap()).unwrap();
    let [header, claims] = [0, 1].map(|at| String::from_utf8(part(at)).unwrap());
    assert!(Proof::read(token(&header, &claims).as_bytes()).is_ok());
    let malformed = |token: &str| matches!(Proof::read(token.as_bytes()), Err(ProofError::Malformed(_)));
    for (from, to) in [
        ("pop+jwt", "JWT"),
        ("\"EdDSA\"", "\"none\""),
        ("\"kid\"", "\"kid2\""),
        ("#", "?versionId=1#"),
        ("#", ":"),
        ("{", "{\"crit\":[\"b64\"],"),
    ] {
        assert!(malformed(&token(&header.replacen(from, to, 1), &claims)), "{to}");
    }
    for name in ["nonce", "sub", "aud", "htu", "htm", "iat", "jti"] {
        let without = claims.replace(&format!("\"{name}\""), "\"other\"");
        assert!(malformed(&token(&header, &without)), "{name}");
    }
    assert!(malformed(&token(&header, &claims.replace("\"aud\":", "\"aud\":\"x\",\"aud\":"))));
    assert!(malformed(&token(&header, &claims.replace("\"aud\":", "\"AUD\":\"x\",\"aud\":"))));
    for (name, error) in [("cid", ProofError::MissingCid), ("exp", ProofError::MissingExp)] {
        let without = claims.replace(&format!("\"{name}\""), "\"other\"");
        assert_eq!(Proof::read(token(&header, &without).as_bytes()).unwrap_err(), error);
    }
    let short = format!("{}.AAAA", good.rsplit_once('.').unwrap().0);
    for broken in ["", "a.b", "a.b.c", &short, &format!("{good} "), &format!("{good}=")] {
        assert!(malformed(broken), "{broken}");
    }
}

#[test]
fn a_document_says_by_which_methods_its_subject_authenticates_itself() {
    let x = base64::encode_url(&agent().public_key());
    let document = |authentication: &str| {
        let jwk = format!(r##"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"##);
        let text = format!(
            r##"{{"id":"did:web:a.example","verificationMethod":[{{"id":"#key-1","publicKeyJwk":{jwk}}}]{authentication}}}"##
        );
        DidDocument::read(text.as_bytes()).map(|document| document.authentication)
    };
    let named = ["did:web:a.example#key-1".to_owned()];
    assert_eq!(document(""), Ok(Vec::new()));
    assert_eq!(document(r##","authentication":["#key-1"]"##).unwrap(), named);
    assert_eq!(document(r#","authentication":["did:web:a.example#key-1"]"#).unwrap(), named);
    assert_eq!(document(r#","authentication":[{"id":"did:web:a.example#key-1"}]"#).unwrap(), named);
    for wrong in [r#","authentication":"x""#, r#","authentication":[1]"#, r#","authentication":[{}]"#] {
        assert!(document(wrong).is_err(), "{wrong}");
    }
}
