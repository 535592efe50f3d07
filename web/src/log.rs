//! A gate's log from outside: its checkpoints, and proofs about them (RFC 9162).

use crate::answer::{Answer, answer, count, optional, owned, time};
use crate::input::{Given, Unusable, json, keys};
use alloc::string::ToString;
use alloc::vec::Vec;
use portcullis_core::attestation::log::{verify_consistency, verify_inclusion};
use portcullis_core::attestation::{AttestationError, AuditKeys, Checkpoint, Hash, Record};
use portcullis_core::base64;
use portcullis_core::json::{Object, Value};
use wasm_bindgen::prelude::wasm_bindgen;

/// Reads a checkpoint, a signed note (C2SP tlog-checkpoint), of the log of `gate`. `given` is
/// JSON: `note`, `gate`, `service_keys`.
///
/// # Errors
/// What is not of its form.
#[wasm_bindgen(js_name = verifyCheckpoint)]
pub fn checkpoint(given: &[u8]) -> Answer {
    answer(with(given, &["gate", "note", "service_keys"], |given| {
        let read = read_note(given, "note")?;
        let mut report = report(read.as_ref().err());
        report.set("checkpoint", read.as_ref().map_or(Value::Null, |checkpoint| facts(checkpoint).into()));
        Ok(report)
    }))
}

/// Whether a record is in the log that a checkpoint names. `given` is JSON: what the service
/// answers to `log/proof` (`index`, `size`, `hashes`, `checkpoint`), with `record`, its text, or
/// `leaf`, and `gate` and `service_keys`.
///
/// # Errors
/// What is not of its form.
#[wasm_bindgen(js_name = verifyInclusion)]
pub fn inclusion(given: &[u8]) -> Answer {
    let known = ["checkpoint", "gate", "hashes", "index", "leaf", "record", "service_keys", "size"];
    answer(with(given, &known, |given| {
        let record = given.optional_text("record")?.map(|text| Record::read(text.as_bytes())).transpose();
        let record = match record {
            Ok(record) => record,
            Err(error) => return Ok(report(Some(&error))),
        };
        let leaf = match (&record, given.optional_text("leaf")?) {
            (Some(record), None) => record.leaf(),
            (Some(record), Some(leaf)) if hash(leaf) == Some(record.leaf()) => record.leaf(),
            (None, Some(leaf)) => hash(leaf).ok_or_else(|| given.fault("leaf", "base64url of 32 bytes"))?,
            (Some(_), Some(_)) => return Ok(report(Some(&AttestationError::LeafMismatch))),
            (None, None) => return Err(given.fault("record", "there, or leaf")),
        };
        let (index, proof) = (given.count("index")?, hashes(given)?);
        let checkpoint = match read_note(given, "checkpoint")? {
            Ok(checkpoint) => checkpoint,
            Err(error) => return Ok(report(Some(&error))),
        };
        let is_size = given.optional("size").is_none() || given.count("size")? == checkpoint.size;
        let holds = is_size && verify_inclusion(&leaf, index, checkpoint.size, &proof, &checkpoint.root);
        let mut report = report((!holds).then_some(&AttestationError::LeafMismatch));
        report.set("checkpoint", facts(&checkpoint).into());
        Ok(report)
    }))
}

/// Whether the log of one checkpoint is that of an older one, grown. `given` is JSON: `older`
/// and `newer`, both notes, `hashes`, `gate`, `service_keys`.
///
/// # Errors
/// What is not of its form.
#[wasm_bindgen(js_name = verifyConsistency)]
pub fn consistency(given: &[u8]) -> Answer {
    answer(with(given, &["gate", "hashes", "newer", "older", "service_keys"], |given| {
        let (older, newer) = match (read_note(given, "older")?, read_note(given, "newer")?) {
            (Ok(older), Ok(newer)) => (older, newer),
            (Err(error), _) | (_, Err(error)) => return Ok(report(Some(&error))),
        };
        let proof = hashes(given)?;
        let holds = verify_consistency(older.size, &older.root, newer.size, &newer.root, &proof)
            && older.time <= newer.time;
        let mut report = report((!holds).then_some(&AttestationError::CheckpointInconsistent));
        report.set("newer", facts(&newer).into());
        report.set("older", facts(&older).into());
        Ok(report)
    }))
}

fn with(
    text: &[u8],
    known: &[&str],
    judge: impl Fn(&Given<'_, '_>) -> Result<Object<'static>, Unusable>,
) -> Result<Object<'static>, Unusable> {
    let value = json(text)?;
    judge(&Given::of("options", &value, known)?)
}

fn read_note(
    given: &Given<'_, '_>,
    name: &'static str,
) -> Result<Result<Checkpoint, AttestationError>, Unusable> {
    let keys = AuditKeys::new(&[], &keys(given.list("service_keys")?)?)
        .map_err(|error| Unusable::new("INVALID_KEYS", &error.to_string()))?;
    Ok(keys.checkpoint(given.text("gate")?, given.text(name)?))
}

fn report(error: Option<&AttestationError>) -> Object<'static> {
    Object::from([
        ("detail", optional(error.map(ToString::to_string))),
        ("reason_code", Value::from(error.map(|error| error.code()))),
        ("valid", error.is_none().into()),
    ])
}

/// What a checkpoint says.
pub(crate) fn facts(checkpoint: &Checkpoint) -> Object<'static> {
    Object::from([
        ("origin", owned(checkpoint.origin.clone())),
        ("root", owned(base64::encode(&checkpoint.root))),
        ("size", count(checkpoint.size)),
        ("time", time(checkpoint.time)),
    ])
}

fn hashes(given: &Given<'_, '_>) -> Result<Vec<Hash>, Unusable> {
    let read = |value: &Value<'_>| value.as_str().and_then(hash);
    let hashes: Option<Vec<Hash>> = given.list("hashes")?.iter().map(read).collect();
    hashes.ok_or_else(|| given.fault("hashes", "a list of base64url of 32 bytes each"))
}

fn hash(text: &str) -> Option<Hash> {
    base64::decode_url(text)?.try_into().ok()
}
