//! A log as its auditors have it: exports and proofs, judged with core.

use crate::common::Bench;
use crate::common::gates::text;
use portcullis_core::attestation::export::ExportHeader;
use portcullis_core::attestation::log::verify_consistency;
use portcullis_core::attestation::{Audit, AuditKeys, Broken, Checkpoint, Hash, Known, Verdict};
use portcullis_core::{KeyConfig, base64};
use serde_json::Value;

pub(crate) fn text_of(bench: &Bench, path: &str) -> String {
    let answer = bench.service.call("GET", path, None).unwrap();
    assert_eq!(answer.status, 200, "{}", text(&answer));
    text(&answer)
}

pub(crate) fn export(bench: &Bench, query: &str) -> String {
    text_of(bench, &format!("/api/v1/attestations/export?{query}"))
}

pub(crate) fn keys(bench: &Bench, gate: &str) -> AuditKeys {
    let told = bench.call("GET", &format!("/api/gates/{gate}/attestation-keys"), None).1;
    let list = |name: &str| -> Vec<KeyConfig> {
        let text = |key: &Value, name: &str| key[name].as_str().map(str::to_owned);
        let keys = told[name].as_array().unwrap().iter();
        keys.map(|key| KeyConfig {
            key_id: text(key, "key_id").unwrap(),
            public_key: text(key, "public_key").unwrap(),
            not_before: text(key, "not_before"),
            not_after: text(key, "not_after"),
        })
        .collect()
    };
    AuditKeys::new(&list("keys"), &list("service_keys")).unwrap()
}

/// Judges an export as an auditor does.
pub(crate) fn audit(keys: &AuditKeys, export: &str, older: Option<Checkpoint>) -> Result<Verdict, Broken> {
    let mut lines = export.lines();
    let header = ExportHeader::read(lines.next().unwrap().as_bytes()).unwrap();
    let gate = header.gate.clone();
    let mut audit = Audit::new(header, older);
    for line in lines {
        let index = audit.index();
        let checked = keys.check(&gate, line.as_bytes());
        audit.add(keys, checked.map_err(|(error, record)| Broken { error, index, record })?)?;
    }
    audit.finish()
}

pub(crate) fn report(bench: &Bench, gate: &str, body: Value) -> String {
    let (status, answer) = bench.call("POST", &format!("/api/gates/{gate}/attestations"), Some(body));
    assert_eq!(status, 201, "{answer}");
    answer["attestation_id"].as_str().unwrap().to_owned()
}

pub(crate) fn hashes(value: &Value) -> Vec<Hash> {
    let hash = |text: &Value| base64::decode_url(text.as_str().unwrap()).unwrap().try_into().unwrap();
    value.as_array().unwrap().iter().map(hash).collect()
}

pub(crate) fn consistent(bench: &Bench, keys: &AuditKeys, known: &Known) -> bool {
    let path = format!("/api/gates/gate_a/log/consistency?from={}", known.size);
    let (status, proof) = bench.call("GET", &path, None);
    assert_eq!(status, 200, "{proof}");
    let now = keys.checkpoint("gate_a", proof["checkpoint"].as_str().unwrap()).unwrap();
    assert_eq!(proof["to"], now.size);
    verify_consistency(known.size, &known.root, now.size, &now.root, &hashes(&proof["hashes"]))
}
