//! Answers of discovery, from services that nobody knows.

use super::Answer;
use super::keys::key;
use portcullis_core::UnixTime;
use portcullis_core::catalog::{Catalog, draft, verify_answer};
use serde_json::{Value, json};

/// Verifies the input as an answer, and, where it is a draft's permissions, as the catalog that a
/// gate has signed of them, which must hold then and not after a change.
pub fn catalog(input: &[u8]) -> Answer {
    let verified = verify_answer(input, None).is_ok();
    let Ok(permissions) = draft(input) else {
        return if verified { Answer::Accepted } else { Answer::Refused };
    };
    let key = key("gate");
    let (gate_id, published_at) = ("gate_door".to_owned(), UnixTime::from_millis(1_780_315_200_000));
    let made = Catalog { gate_id, version: 1, published_at, permissions };
    let Ok(signed) = made.sign(&key) else { return Answer::Refused };
    let snapshot: Value = serde_json::from_str(&signed.snapshot).expect("a snapshot is JSON");
    let answer = |snapshot: &Value| {
        let public_key = portcullis_core::base64::encode(&key.public_key());
        let answer = json!({
            "catalog_snapshot": snapshot, "content_hash": signed.content_hash, "signature": signed.signature,
            "public_key": public_key,
        });
        verify_answer(answer.to_string().as_bytes(), None)
    };
    let read = answer(&snapshot).expect("what was signed is believed");
    assert_eq!(read.catalogs[0].catalog, made, "what is read is what was signed");
    let mut other = snapshot;
    other["version"] = json!(2);
    assert!(answer(&other).is_err(), "another version is believed");
    Answer::Accepted
}
