//! A gate's log that nobody decided: as long as one wants it, and whole.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use portcullis_core::attestation::export::{ExportHeader, ExportLine, ExportTrailer};
use portcullis_core::attestation::log::Frontier;
use portcullis_core::attestation::{
    AccessMode, Agent, AttestedRequest, Checkpoint, Decision, Draft, Evaluation, Outcome, Signer, leaf,
};
use portcullis_core::{Mode, SecretKey, UnixTime, base64};
use serde_json::json;

const LANES: usize = 4;
/// As many as a batch has, after each of which there is a checkpoint.
const BATCH: u64 = 256;

const GATE: &str = "gate_made";
const BEGIN: UnixTime = UnixTime::from_millis(1_780_315_200_000);

/// Writes an export of so many records, and the keys by which it is valid; gives both files.
/// `draft` says what is decided, from a number and a time.
///
/// # Errors
/// The files cannot be written.
pub fn write(
    folder: &Path,
    records: u64,
    draft: impl Fn(u64, UnixTime) -> Draft,
) -> Result<(PathBuf, PathBuf)> {
    let signer = Signer::new(&SecretKey::from_seed([1; 32]).attestation_key());
    let service = SecretKey::from_seed([2; 32]);
    let checkpoint = |frontier: &Frontier, time| {
        let origin = format!("control.example/{GATE}");
        Checkpoint { origin, size: frontier.size(), root: frontier.root(), time }.sign(&[&service])
    };
    let path = folder.join("log.jsonl");
    let mut out = BufWriter::new(File::create(&path)?);
    let header = ExportHeader { complete: true, first_index: 0, gate: GATE.into() };
    writeln!(out, "{}", header.to_json())?;
    let mut lanes: Vec<Option<(u64, [u8; 32])>> = vec![None; LANES];
    let (mut frontier, mut last, mut time) = (Frontier::default(), [0; 32], BEGIN);
    for id in 0..records {
        let index = usize::try_from(id)?.rem_euclid(LANES);
        let lane = [u8::try_from(index)?; 16];
        let place = lanes.get_mut(index).context("a lane")?;
        if place.is_none() {
            writeln!(out, "{}", ExportLine::Lane { lane, previous: last }.to_json())?;
        }
        let (number, previous) = place.unwrap_or((0, last));
        let number = number.saturating_add(1);
        time = time.plus_millis(20);
        let signed = draft(id, time).unsigned().sign(&lane, number, &previous, &signer);
        *place = Some((number, signed.chain_hash));
        last = signed.chain_hash;
        frontier.push(leaf(&signed.chain_hash, &signed.signature));
        writeln!(out, "{}", signed.text)?;
        if frontier.size().rem_euclid(BATCH) == 0 {
            writeln!(out, "{}", ExportLine::Checkpoint(checkpoint(&frontier, time)).to_json())?;
        }
    }
    let trailer = ExportTrailer { checkpoint: checkpoint(&frontier, time), count: records, keys: Vec::new() };
    writeln!(out, "{}", trailer.to_json())?;
    out.flush()?;

    let keys = folder.join("keys.json");
    let gate = json!({ "key_id": signer.key_id(), "public_key": base64::encode(signer.public_key()) });
    let service = json!({ "key_id": "trust-1", "public_key": base64::encode(&service.public_key()) });
    std::fs::write(&keys, json!({ "keys": [gate], "service_keys": [service] }).to_string())?;
    Ok((path, keys))
}

/// A decision as a gate with two guardrails makes it.
pub fn decision(id: u64, time: UnixTime) -> Draft {
    let evaluation = |name: &str, detail: &str| Evaluation {
        name: name.into(),
        result: Outcome::Pass,
        detail: detail.into(),
    };
    Draft {
        access_mode: AccessMode::Credential,
        agent: Some(Agent {
            agent_id: "research-bot-001".into(),
            agent_name: Some("Research Bot".into()),
            issuer_id: "issuer:acme".into(),
            passport_id: format!("pp_{id:026}"),
            tier: 2,
        }),
        approval_request_id: None,
        id: u128::from(id).to_be_bytes(),
        decision: Decision::Allow,
        detail: None,
        dropped: None,
        gate_id: GATE.into(),
        gate_name: Some("A gate".into()),
        guardrails: vec![
            evaluation("core:rate:max_per_minute", "48/60 requests used this minute"),
            evaluation("core:spend:max_per_day", "$12.50/$100.00 daily spend used"),
        ],
        hold: None,
        mode: Mode::Enforce,
        reason_code: None,
        receipt: None,
        request: Some(AttestedRequest {
            action: Some("web:search".into()),
            cost_cents: 1,
            method: "GET".into(),
            path: "/search".into(),
            target_domain: Some("api.example.com".into()),
        }),
        time,
    }
}
