//! A document of live trust material, as it is and signed for the fuzzer.

use super::gate::NOW;
use super::{Answer, altered, key};
use portcullis_core::live::{
    Head, LiveError, NonceQuestion, RevocationDelta, RevocationPage, Revocations, ServiceKeys,
    SnapshotDocument, SpendQuestion, TrustResponse,
};
use portcullis_core::spend::Leases;
use portcullis_core::{KeyConfig, Snapshot, base64, sha256};
use std::sync::LazyLock;

const GATE: &str = "gate_flights";
const SIGNER: &str = "service";
const KEY_ID: &str = "trust-1";

static KEYS: LazyLock<ServiceKeys> = LazyLock::new(|| {
    let public_key = base64::encode(&key(SIGNER).public_key());
    let pinned = KeyConfig { key_id: KEY_ID.into(), public_key, not_before: None, not_after: None };
    ServiceKeys::new(&[pinned]).expect("a key")
});

/// Reads a token as each kind of document; then, with the first line as its header and
/// the rest as its payload, the token that is made of them and signed by the service.
pub fn live(input: &[u8]) -> Answer {
    let _ = TrustResponse::read(input);
    if let Ok(question) = NonceQuestion::read(input) {
        assert_eq!(NonceQuestion::read(question.to_json().as_bytes()), Ok(question));
    }
    if let Ok(question) = SpendQuestion::read(input) {
        assert_eq!(SpendQuestion::read(question.to_json().as_bytes()), Ok(question));
    }
    // A page comes from other workers of the same proxy.
    if let Ok(page) = Leases::decode(input) {
        assert_eq!(Leases::decode(&page.encode()), Ok(page));
    }
    let as_it_stands = read(input);
    let made = made_of(input).map(|token| read(token.as_bytes()));
    as_it_stands.or(made.unwrap_or(Answer::Refused))
}

type Reader = fn(&[u8]) -> Result<(), LiveError>;

fn read(token: &[u8]) -> Answer {
    const READERS: [Reader; 6] = [head, snapshot, page, delta, nonce, spend];
    let accepted = READERS.iter().filter(|reader| reader(token).is_ok()).count();
    assert!(accepted <= 1, "a document is read as two kinds");
    if accepted == 0 {
        return Answer::Refused;
    }
    let payload = payload(token).expect("a payload");
    let value: serde_json::Value =
        serde_json::from_slice(&payload).expect("what was let in is JSON to others too");
    assert_eq!(value["gate"], GATE);
    for copy in altered(token) {
        let is_refused = READERS.iter().all(|reader| reader(&copy).is_err());
        assert!(is_refused, "something else was signed than {}", String::from_utf8_lossy(&copy));
    }
    Answer::Accepted
}

fn head(token: &[u8]) -> Result<(), LiveError> {
    let head = Head::read(token, GATE, &KEYS, NOW)?;
    assert_eq!(head.number, head.snapshot_number.max(head.revocations.number));
    assert!(head.followed.is_sorted());
    let again = head.sign(&key(SIGNER), KEY_ID);
    assert_eq!(Head::read(again.as_bytes(), GATE, &KEYS, NOW), Ok(head));
    Ok(())
}

fn snapshot(token: &[u8]) -> Result<(), LiveError> {
    let hash = sha256(&payload(token).unwrap_or_default());
    let document = SnapshotDocument::read(token, GATE, &KEYS, NOW, &hash)?;
    assert_eq!(document.config.gate.id, GATE);
    let _ = Snapshot::new(&document.config);
    Ok(())
}

fn page(token: &[u8]) -> Result<(), LiveError> {
    let page = RevocationPage::read(token, GATE, &KEYS, NOW)?;
    assert!(page.fingerprints.iter().all(|fingerprint| (page.from..=page.to).contains(fingerprint)));
    assert!(Revocations::new(page.key, page.number, page.fingerprints.clone()).is_some());
    let again = page.sign(&key(SIGNER), KEY_ID);
    assert_eq!(RevocationPage::read(again.as_bytes(), GATE, &KEYS, NOW), Ok(page));
    Ok(())
}

fn delta(token: &[u8]) -> Result<(), LiveError> {
    let delta = RevocationDelta::read(token, GATE, &KEYS, NOW)?;
    // What it removes is there before, and what it adds is there after.
    let before = Revocations::new(delta.key, delta.since, delta.removed.clone()).expect("they ascend");
    let after = before.apply(&delta).expect("it begins where the set ends");
    assert_eq!(after.fingerprints(), delta.added);
    let again = delta.sign(&key(SIGNER), KEY_ID);
    assert_eq!(RevocationDelta::read(again.as_bytes(), GATE, &KEYS, NOW), Ok(delta));
    Ok(())
}

/// The answer to a question about nothing.
fn spend(token: &[u8]) -> Result<(), LiveError> {
    let asked = SpendQuestion { accounts: Vec::new(), lane: [1; 16], random: [2; 16] };
    asked.read_answer(token, GATE, &KEYS, NOW).map(drop)
}

/// The answer to the question of the vectors.
fn nonce(token: &[u8]) -> Result<(), LiveError> {
    let asked = NonceQuestion {
        key: sha256(b"agent"),
        nonce: sha256(b"nonce"),
        until: NOW.plus_millis(60_000),
        random: core::array::from_fn(|at| u8::try_from(at).unwrap_or_default()),
    };
    let decision = asked.read_answer(token, GATE, &KEYS, NOW)?;
    let again = asked.answer(GATE, decision, NOW, &key(SIGNER), KEY_ID);
    assert_eq!(asked.read_answer(again.as_bytes(), GATE, &KEYS, NOW), Ok(decision));
    Ok(())
}

fn payload(token: &[u8]) -> Option<Vec<u8>> {
    base64::decode_url(std::str::from_utf8(token).ok()?.split('.').nth(1)?)
}

fn made_of(input: &[u8]) -> Option<String> {
    let at = input.iter().position(|byte| *byte == b'\n')?;
    let parts = [&input[..at], &input[at + 1..]].map(base64::encode_url);
    let signing_input = parts.join(".");
    let signature = base64::encode_url(&key(SIGNER).sign(signing_input.as_bytes()));
    Some(format!("{signing_input}.{signature}"))
}
