//! What changes while the body of a request with a proof, or of one that is signed, comes.

use crate::common::{NOW, SELF_ISSUED, chain, key, snapshot};
use portcullis_core::capiscio::sign_request;
use portcullis_core::json::Object;
use portcullis_core::{
    CredentialCache, LocalMemory, Process, ProofDraft, RequestHead, Snapshot, Step, UnixTime, Verifier,
    base64,
};

const BODY: &[u8] = b"window seat";
const SECOND: i64 = 1000;

/// Sends a request with a proof to one snapshot, its body and its end to another one, later.
fn held(first: &Snapshot, second: &Snapshot, later: UnixTime, body: &[u8]) -> &'static str {
    let credential = chain(0, &["flights:book"]).to_header();
    let agent = portcullis_core::modei::self_agent_id(&key(1).public_key());
    let draft = ProofDraft {
        method: "POST",
        authority: "api.example",
        path: "/bookings/1",
        query: None,
        credential: ("agent-passport", &credential),
        body: Some(BODY),
        key_id: &agent,
        created: NOW,
        expires: None,
        nonce: "AAAAAAAAAAAAAAAAAAAAAA",
    };
    let proof = draft.sign(&key(1));
    let mut headers = vec![(&b"agent-passport"[..], credential.as_bytes())];
    headers.extend(proof.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
    let head = RequestHead {
        method: b"POST",
        authority: b"api.example",
        path: b"/bookings/1",
        headers: &headers,
        source: None,
    };
    let mut replay = LocalMemory::new(&Process::new([7; 32], NOW));
    let begun = Verifier::new(first).begin(&head, NOW, &mut CredentialCache::new(1 << 16), &mut replay);
    let Step::NeedBody(mut pending) = begun else { panic!("{begun:?}") };
    pending.absorb(body).unwrap();
    match Verifier::new(second).finish(pending, later, &mut replay) {
        Step::Permit(permit) => {
            assert!(permit.wanted().is_none());
            "ok"
        }
        Step::Deny(refused) => refused.denial.reason.code(),
        other @ (Step::NeedBody(_) | Step::NeedAuthority(_) | Step::Hold(_)) => panic!("{other:?}"),
    }
}

#[test]
fn nothing_that_changed_meanwhile_is_overlooked() {
    let trusting = snapshot(SELF_ISSUED);
    assert_eq!(held(&trusting, &trusting, NOW, BODY), "ok");
    assert_eq!(held(&trusting, &trusting, NOW, b"aisle seat"), "body_digest_mismatch");
    assert_eq!(held(&trusting, &snapshot("{}"), NOW, BODY), "self_issued_not_allowed");
    let narrower = snapshot(r#"{"self_issued":{"actions":["flights:search"]}}"#);
    assert_eq!(held(&trusting, &narrower, NOW, BODY), "self_issued_platform_ceiling_exceeded");
    let issuer = portcullis_core::modei::self_issuer_id(&key(1).public_key());
    let revoked = snapshot(&format!(
        r#"{{"self_issued":{{"actions":["flights:*"]}},"revoked_passports":[{{"issuer":"{issuer}","passport_id":"pp_0"}}]}}"#
    ));
    assert_eq!(held(&trusting, &revoked, NOW, BODY), "passport_revoked");
}

#[test]
fn a_body_that_takes_longer_than_its_proof_lives_is_refused() {
    let trusting = snapshot(SELF_ISSUED);
    let end = NOW.plus_millis(360 * SECOND);
    assert_eq!(held(&trusting, &trusting, end.plus_millis(-1), BODY), "ok");
    assert_eq!(held(&trusting, &trusting, end, BODY), "proof_expired");
}

#[test]
fn a_body_that_takes_longer_than_its_signature_lives_is_refused() {
    let public = base64::encode(&key(1).public_key());
    let trusting = snapshot(&format!(
        r#"{{"simpleguard_agents":[{{"key_id":"k","public_key":"{public}","actions":["flights:*"]}}]}}"#
    ));
    let signature = sign_request(&key(1), "k", Object::default(), Some(BODY), NOW);
    for (later, expected) in [(0, "ok"), (600 * SECOND, "simpleguard_expired")] {
        let headers = [(&b"x-capiscio-jws"[..], signature.as_bytes())];
        let head = RequestHead {
            method: b"POST",
            authority: b"api.example",
            path: b"/bookings/1",
            headers: &headers,
            source: None,
        };
        let mut replay = LocalMemory::new(&Process::new([7; 32], NOW));
        let verifier = Verifier::new(&trusting);
        let begun = verifier.begin(&head, NOW, &mut CredentialCache::new(1 << 16), &mut replay);
        let Step::NeedBody(mut pending) = begun else { panic!("{begun:?}") };
        pending.absorb(BODY).unwrap();
        let code = match verifier.finish(pending, NOW.plus_millis(later), &mut replay) {
            Step::Permit(_) => "ok",
            Step::Deny(refused) => refused.denial.reason.code(),
            other @ (Step::NeedBody(_) | Step::NeedAuthority(_) | Step::Hold(_)) => panic!("{other:?}"),
        };
        assert_eq!(code, expected);
    }
}
