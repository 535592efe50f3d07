//! A gate that records what it decides, as a proxy does: lanes, batches, and nothing
//! believed that does not verify.

use super::Bench;
use super::gates::{enrolled, signed, text};
use super::passports::now;
use portcullis_core::attestation::{
    AccessMode, Agent, AttestedRequest, BatchAnswer, BatchHead, Decision, Draft, Hash, Hold, Known,
    LaneAnswer, LaneQuestion, Record, Signed, Signer, leaf, verify_batch_answer,
};
use portcullis_core::live::ServiceKeys;
use portcullis_core::{Mode, SecretKey, UnixTime, base64};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use xtask::http::Response;

/// A gate's key, and the service's keys that it believes.
pub struct Gate {
    pub id: String,
    pub key: SecretKey,
    pub keys: ServiceKeys,
}

impl Gate {
    /// Makes a gate in the service and enrols it.
    pub fn enrolled(bench: &Bench, id: &str, seed: u8) -> Self {
        let key = SecretKey::from_seed([seed; 32]);
        let config = enrolled(bench, id, &key);
        Gate { id: id.to_owned(), key, keys: ServiceKeys::new(&config.service.keys).unwrap() }
    }

    pub fn post(&self, to: SocketAddr, what: &str, body: &[u8]) -> Response {
        let path = format!("/gate/v1/gates/{}/{what}", self.id);
        signed(to, &self.key, ("POST", &path, "", body), now(), [7; 16])
    }

    /// Opens a lane.
    pub fn lane(&self, to: SocketAddr, number: u8) -> Lane<'_> {
        let signer = Signer::new(&self.key.attestation_key());
        let question = LaneQuestion { lane: [number; 16], attestation_key_id: signer.key_id().to_owned() };
        let answer = self.post(to, "lanes", question.to_json().as_bytes());
        assert_eq!(answer.status, 200, "{}", text(&answer));
        let answer = LaneAnswer::read(&answer.body).unwrap();
        Lane {
            gate: self,
            to,
            id: question.lane,
            signer,
            previous: answer.previous,
            next: answer.next,
            known: None,
        }
    }
}

/// A lane that is open.
pub struct Lane<'g> {
    pub gate: &'g Gate,
    pub to: SocketAddr,
    pub id: [u8; 16],
    pub signer: Signer,
    pub previous: Hash,
    pub next: u64,
    pub known: Option<Known>,
}

impl Lane<'_> {
    /// Signs the next records.
    pub fn sign(&mut self, drafts: &[Draft]) -> Vec<Signed> {
        let mut all = Vec::new();
        for draft in drafts {
            let signed = draft.unsigned().sign(&self.id, self.next, &self.previous, &self.signer);
            self.previous = signed.chain_hash;
            self.next = self.next.saturating_add(1);
            all.push(signed);
        }
        all
    }

    pub fn head(&self) -> BatchHead {
        BatchHead { dropped: 0, known: self.known, lane: self.id, waiting: self.next.saturating_sub(1) }
    }

    pub fn body(&self, records: &[Signed]) -> Vec<u8> {
        body(&self.head(), records)
    }

    pub fn send(&self, records: &[Signed]) -> Response {
        self.gate.post(self.to, "attestations", &self.body(records))
    }

    /// Sends records, and checks the answer as a gate does.
    pub fn deliver(&mut self, records: &[Signed]) -> BatchAnswer {
        let answer = self.send(records);
        assert_eq!(answer.status, 200, "{}", text(&answer));
        self.believe(&answer, records)
    }

    pub fn believe(&mut self, answer: &Response, records: &[Signed]) -> BatchAnswer {
        let answer = BatchAnswer::read(&answer.body).unwrap();
        let leaves: Vec<Hash> = records.iter().map(|one| leaf(&one.chain_hash, &one.signature)).collect();
        let known =
            verify_batch_answer(&answer, &self.gate.id, &self.gate.keys, now(), &leaves, self.known.as_ref());
        self.known = Some(known.unwrap());
        answer
    }

    /// Records decisions, whole.
    pub fn record(&mut self, drafts: &[Draft]) -> Vec<Signed> {
        let records = self.sign(drafts);
        self.deliver(&records);
        records
    }
}

pub fn body(head: &BatchHead, records: &[Signed]) -> Vec<u8> {
    let mut body = head.to_json() + "\n";
    for record in records {
        body.push_str(&record.text);
        body.push('\n');
    }
    body.into_bytes()
}

/// The status of an answer, and its code.
pub fn refusal(answer: &Response) -> (u16, String) {
    let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let code = told.get("code").and_then(Value::as_str).unwrap_or_default();
    (answer.status, code.to_owned())
}

/// A decision about an agent.
pub fn draft(gate: &str, agent: &str, decision: Decision) -> Draft {
    static MADE: AtomicU64 = AtomicU64::new(1);
    let mut id = [0; 16];
    id[..8].copy_from_slice(&MADE.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    id[8..].copy_from_slice(&now().as_millis().to_be_bytes());
    Draft {
        access_mode: AccessMode::Credential,
        agent: Some(Agent {
            agent_id: agent.to_owned(),
            agent_name: Some("An \"agent\"".to_owned()),
            issuer_id: "iss_1".to_owned(),
            passport_id: format!("pass_{agent}"),
            tier: 2,
        }),
        approval_request_id: None,
        id,
        decision,
        detail: None,
        dropped: None,
        gate_id: gate.to_owned(),
        gate_name: None,
        guardrails: Vec::new(),
        hold: (decision == Decision::RequestHold).then(|| Hold {
            agent_key: base64::encode_url(&[1; 32]),
            binding: [2; 32],
            expires_at: UnixTime::from_millis(2_000_000_000_000),
            summary: "a request".to_owned(),
        }),
        mode: Mode::Enforce,
        reason_code: (decision == Decision::Block).then(|| "permission_not_granted".to_owned()),
        receipt: None,
        request: Some(AttestedRequest {
            action: Some("flights:search".to_owned()),
            cost_cents: 120,
            method: "GET".to_owned(),
            path: "/flights".to_owned(),
            target_domain: Some("flights.test".to_owned()),
        }),
        time: now(),
    }
}

pub fn allowed(gate: &str, count: usize) -> Vec<Draft> {
    (0..count).map(|_| draft(gate, "agent-1", Decision::Allow)).collect()
}

pub fn id(signed: &Signed) -> String {
    Record::read(signed.text.as_bytes()).unwrap().id()
}
