//! A gate's log as a service keeps it, and its export.

use portcullis_core::attestation::export::{ExportHeader, ExportLine, ExportTrailer};
use portcullis_core::attestation::log::Frontier;
use portcullis_core::attestation::{
    AccessMode, AttestedRequest, Audit, AuditKeys, Broken, Checkpoint, Decision, Draft, Signed, Signer,
    Verdict, leaf,
};
use portcullis_core::{KeyConfig, Mode, SecretKey, UnixTime, base64, sha256};
use std::collections::BTreeMap;

pub const GATE: &str = "gate_test";
pub const ORIGIN: &str = "control.example/gate_test";
/// 2026-06-01T12:00:00.000Z
pub const BEGIN: UnixTime = UnixTime::from_millis(1_780_315_200_000);

pub fn gate_key(name: u8) -> SecretKey {
    SecretKey::from_seed([name; 32]).attestation_key()
}

pub fn service_key() -> SecretKey {
    SecretKey::from_seed([200; 32])
}

pub fn key_config(key: &SecretKey, until: Option<UnixTime>) -> KeyConfig {
    let public = key.public_key();
    KeyConfig {
        key_id: base64::encode_url(&sha256(&public)),
        public_key: base64::encode(&public),
        not_before: None,
        not_after: until.map(UnixTime::to_iso),
    }
}

/// Keys 1 and 2 of the gate, the first valid until `until`, and the service's.
pub fn audit_keys(until: Option<UnixTime>) -> AuditKeys {
    let gate = [key_config(&gate_key(1), until), key_config(&gate_key(2), None)];
    AuditKeys::new(&gate, &[key_config(&service_key(), None)]).unwrap()
}

pub fn draft(id: u64) -> Draft {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&id.to_be_bytes());
    Draft {
        access_mode: AccessMode::Public,
        agent: None,
        approval_request_id: None,
        id: bytes,
        decision: if id.is_multiple_of(3) { Decision::Block } else { Decision::Allow },
        detail: None,
        dropped: None,
        gate_id: GATE.into(),
        gate_name: None,
        guardrails: vec![],
        hold: None,
        mode: Mode::Enforce,
        reason_code: None,
        receipt: None,
        request: Some(AttestedRequest {
            action: None,
            cost_cents: id,
            method: "GET".into(),
            path: format!("/{id}"),
            target_domain: None,
        }),
        time: BEGIN.plus_millis(i64::try_from(id).unwrap() * 1000),
    }
}

/// Lanes, and the log that takes their records.
#[derive(Clone, Default)]
pub struct Log {
    pub lines: Vec<String>,
    pub frontier: Frontier,
    lanes: BTreeMap<u8, (u64, [u8; 32])>,
    last: [u8; 32],
    pub count: u64,
}

impl Log {
    /// A log of `count` records in two lanes, the second opened at the fifth record.
    pub fn grown(count: u64) -> Self {
        let mut log = Log::default();
        for id in 0..count {
            log.decide(if id >= 4 && id % 2 == 0 { 2 } else { 1 }, id);
        }
        log
    }

    /// Lane `lane` makes a record.
    pub fn decide(&mut self, lane: u8, id: u64) -> Signed {
        self.decide_by(lane, &draft(id), &Signer::new(&gate_key(1)))
    }

    pub fn decide_by(&mut self, lane: u8, draft: &Draft, signer: &Signer) -> Signed {
        let (number, previous) = match self.lanes.get(&lane) {
            Some((number, hash)) => (number + 1, *hash),
            None => {
                let root = ExportLine::Lane { lane: [lane; 16], previous: self.last };
                self.lines.push(root.to_json());
                (1, self.last)
            }
        };
        let signed = draft.unsigned().sign(&[lane; 16], number, &previous, signer);
        self.lanes.insert(lane, (number, signed.chain_hash));
        self.append(&signed);
        signed
    }

    /// Whatever it is, the log takes it.
    pub fn append(&mut self, signed: &Signed) {
        self.lines.push(signed.text.clone());
        self.frontier.push(leaf(&signed.chain_hash, &signed.signature));
        self.last = signed.chain_hash;
        self.count += 1;
    }

    pub fn checkpoint(&self, time: UnixTime) -> String {
        let (size, root) = (self.frontier.size(), self.frontier.root());
        Checkpoint { origin: ORIGIN.into(), size, root, time }.sign(&[&service_key()])
    }

    /// A checkpoint between two records.
    pub fn note(&mut self, time: UnixTime) {
        let line = ExportLine::Checkpoint(self.checkpoint(time));
        self.lines.push(line.to_json());
    }

    pub fn export(&self, time: UnixTime) -> Vec<String> {
        let trailer = ExportTrailer { checkpoint: self.checkpoint(time), count: self.count, keys: vec![] };
        [vec![header(true, 0)], self.lines.clone(), vec![trailer.to_json()]].concat()
    }
}

pub fn header(complete: bool, first_index: u64) -> String {
    ExportHeader { complete, first_index, gate: GATE.into() }.to_json()
}

/// What an audit says of an export.
pub fn audit(lines: &[String], keys: &AuditKeys, older: Option<&str>) -> Result<Verdict, Broken> {
    let header = ExportHeader::read(lines[0].as_bytes()).unwrap();
    let older = older.map(|note| keys.checkpoint(GATE, note).unwrap());
    let mut audit = Audit::new(header, older);
    for line in &lines[1..] {
        let index = audit.index();
        let checked = keys.check(GATE, line.as_bytes());
        audit.add(keys, checked.map_err(|(error, record)| Broken { error, index, record })?)?;
    }
    audit.finish()
}
