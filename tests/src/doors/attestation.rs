//! Records, checkpoints, and what carries them.

use super::{Answer, NOW, altered, key};
use portcullis_core::attestation::export::{ExportHeader, ExportLine, ExportTrailer};
use portcullis_core::attestation::log::Frontier;
use portcullis_core::attestation::{
    AttestationError, Batch, BatchAnswer, BatchHead, Checkpoint, LaneAnswer, LaneQuestion, Note, Record,
    Signer, Unsigned, key_hash, verify_batch_answer,
};
use portcullis_core::live::ServiceKeys;
use portcullis_core::{KeyConfig, PublicKey, base64};
use std::sync::LazyLock;

const GATE: &str = "gate_flights";

static KEYS: LazyLock<ServiceKeys> = LazyLock::new(|| {
    let public_key = base64::encode(&key("service").public_key());
    let pinned = KeyConfig { key_id: "trust-1".into(), public_key, not_before: None, not_after: None };
    ServiceKeys::new(&[pinned]).expect("a key")
});

pub(super) static SIGNER: LazyLock<Signer> = LazyLock::new(|| Signer::new(&key("gate").attestation_key()));

/// Reads bytes as everything that is read of records; a record is then signed, and a note
/// made of the text and signed, and nothing that is not them may pass for them.
pub fn attestation(input: &[u8]) -> Answer {
    documents(input);
    let checkpoint = std::str::from_utf8(input).map_or(Answer::Refused, |text| {
        assert!(Checkpoint::read(text, GATE, &KEYS, Some(NOW)).is_err() || text.contains("control"));
        checkpoint(text)
    });
    record(input).or(checkpoint)
}

fn record(text: &[u8]) -> Answer {
    let Ok(read) = Record::read(text) else { return Answer::Refused };
    assert_eq!(read.text().as_bytes(), text);
    let value: serde_json::Value = serde_json::from_slice(text).expect("JSON to others too");
    assert_eq!(value["sequence_number"], read.number());
    assert_eq!(value["attestation_id"], read.id());
    let dollars = value["request"]["estimated_cost_usd"].as_f64();
    let cents = value["request"]["cost_cents"].as_f64();
    assert_eq!(dollars, cents.map(|cents| cents / 100.0));
    let unsigned = read.draft().unsigned();
    let again = unsigned.sign(read.lane(), read.number(), &[7; 32], &SIGNER);
    let signed = Record::read(again.text.as_bytes()).expect("what was read can be made");
    assert_eq!(signed.draft(), read.draft());
    let key = PublicKey::from_bytes(SIGNER.public_key()).expect("a key");
    let holds = |record: &Record| record.verify(&key).is_ok() && record.previous_fits(&[7; 32]);
    assert!(holds(&signed));
    for copy in altered(again.text.as_bytes()) {
        assert!(!Record::read(&copy).is_ok_and(|copy| holds(&copy)), "{}", String::from_utf8_lossy(&copy));
    }
    Answer::Accepted
}

/// The note that has this text, signed by the service under the name that is its first line.
fn checkpoint(text: &str) -> Answer {
    let name = text.lines().next().unwrap_or_default();
    let signer = key("service");
    let signature = [&key_hash(name, &signer.public_key())[..], &signer.sign(text.as_bytes())].concat();
    let note = format!("{text}\n\u{2014} {name} {}\n", base64::encode(&signature));
    if let Some(read) = Note::read(&note) {
        assert!(read.text.ends_with('\n') && note.starts_with(read.text));
    }
    let Ok(checkpoint) = Checkpoint::read(&note, GATE, &KEYS, None) else { return Answer::Refused };
    assert!(checkpoint.origin.ends_with("/gate_flights"));
    assert_eq!(checkpoint.sign(&[&signer]), note);
    for copy in altered(note.as_bytes()) {
        let copy = String::from_utf8_lossy(&copy);
        assert!(Checkpoint::read(&copy, GATE, &KEYS, None).is_err(), "{copy}");
    }
    Answer::Accepted
}

/// Whatever is read is written as something that is read as the same.
fn documents(input: &[u8]) {
    if let Ok(question) = LaneQuestion::read(input) {
        assert_eq!(LaneQuestion::read(question.to_json().as_bytes()), Ok(question));
    }
    if let Ok(answer) = LaneAnswer::read(input) {
        assert_eq!(LaneAnswer::read(answer.to_json().as_bytes()), Ok(answer));
    }
    if let Ok(head) = BatchHead::read(input) {
        assert_eq!(BatchHead::read(head.to_json().as_bytes()), Ok(head));
    }
    if let Ok(answer) = BatchAnswer::read(input) {
        assert_eq!(BatchAnswer::read(answer.to_json().as_bytes()).as_ref(), Ok(&answer));
        let judged = verify_batch_answer(&answer, GATE, &KEYS, NOW, &[[1; 32]], None);
        assert_eq!(judged, Err(AttestationError::CheckpointInvalid), "nobody signed it");
    }
    if let Ok(batch) = Batch::read(input) {
        assert!((1..=256).contains(&batch.records.len()));
    }
    if let Ok(header) = ExportHeader::read(input) {
        assert_eq!(ExportHeader::read(header.to_json().as_bytes()), Ok(header));
    }
    if let Ok(line) = ExportLine::read(input) {
        assert_eq!(ExportLine::read(line.to_json().as_bytes()), Ok(line));
    }
    if let Ok(trailer) = ExportTrailer::read(input) {
        assert!(ExportTrailer::read(trailer.to_json().as_bytes()).is_ok());
    }
    if let Some(unsigned) = Unsigned::from_bytes(input) {
        assert_eq!(unsigned.to_bytes(), input);
        let _ = (unsigned.id(), unsigned.sign(&[1; 16], 1, &[0; 32], &SIGNER));
    }
    if let Some(frontier) = std::str::from_utf8(input).ok().and_then(Frontier::from_text) {
        assert_eq!(frontier.to_text().as_bytes(), input);
        let _ = frontier.root();
    }
}
