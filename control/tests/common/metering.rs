//! A gate that sells something, passports pinned to its prices, and receipts for uses.

use super::Bench;
use super::passports::{agent, now, public};
use super::records::{Gate, Lane, draft};
use portcullis_core::attestation::{Decision, Draft, ReceiptName, Signed};
use portcullis_core::catalog::{Price, PricingModel};
use portcullis_core::modei::CatalogPin;
use portcullis_core::receipt::{
    AgentProof, Attachment, Charge, Consumer, Outcome, PopDraft, ProofForm, Rate, Receipt,
};
use portcullis_core::{UnixTime, base64, sha256};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is sold.
#[derive(Clone, Copy)]
pub struct Offer {
    pub action: &'static str,
    pub model: PricingModel,
    pub cents: u64,
    pub fee: u64,
    pub free: u64,
    pub uptime: Option<u64>,
}

impl Offer {
    pub const fn new(action: &'static str, model: PricingModel, cents: u64) -> Self {
        Offer { action, model, cents, fee: 250, free: 0, uptime: None }
    }

    fn to_json(self) -> Value {
        let member = match self.model {
            PricingModel::PerCall | PricingModel::Usage => "per_call_cents",
            PricingModel::PerMinute => "per_minute_cents",
            PricingModel::Subscription => "subscription_cents",
        };
        let mut terms = Map::new();
        terms.insert("core:pricing:model".to_owned(), json!(self.model.name()));
        terms.insert(format!("core:pricing:{member}"), json!(self.cents));
        terms.insert("core:platform_fee:basis_points".to_owned(), json!(self.fee));
        if self.free > 0 {
            terms.insert("core:pricing:free_tier_calls".to_owned(), json!(self.free));
        }
        if let Some(uptime) = self.uptime {
            terms.insert("core:sla:uptime_basis_points".to_owned(), json!(uptime));
        }
        json!({"permission_key": self.action, "display_name": self.action, "description": "", "constraints": terms})
    }
}

/// A gate that is enrolled and has published what it sells.
pub struct Shop {
    pub gate: Arc<Gate>,
    pub pin: CatalogPin,
    offers: Vec<Offer>,
}

impl Shop {
    pub fn open(bench: &Bench, id: &str, seed: u8, offers: &[Offer]) -> Self {
        let gate = Arc::new(Gate::enrolled(bench, id, seed));
        let pin = publish(bench, id, offers);
        Shop { gate, pin, offers: offers.to_vec() }
    }

    /// The same gate, when it says that it sells other things.
    pub fn with(&self, offers: &[Offer], pin: CatalogPin) -> Self {
        Shop { gate: Arc::clone(&self.gate), pin, offers: offers.to_vec() }
    }

    /// A passport of the gate for all that it sells.
    pub fn issue(&self, bench: &Bench, number: u8) -> String {
        let actions: Vec<_> = self.offers.iter().map(|offer| offer.action).collect();
        let asked = json!({"agent_id": format!("agent-{number}"), "agent_public_key": public(&agent(number)),
            "permissions": actions});
        let (status, passport) =
            bench.call("POST", &format!("/api/gates/{}/passports", self.gate.id), Some(asked));
        assert_eq!(status, 201, "{passport}");
        text(&passport, "passport_id")
    }

    /// A receipt by the gate, for what this agent has signed for.
    pub fn used(
        &self,
        (passport, number): (&str, u8),
        action: &str,
        outcome: Outcome,
        quantity: u64,
        at: UnixTime,
    ) -> (Receipt, String) {
        let offer = self.offers.iter().find(|offer| offer.action == action).unwrap();
        let rate =
            Rate { price: Price { model: offer.model, cents: offer.cents }, fee_basis_points: offer.fee };
        let id = unique();
        let nonce = base64::encode_url(&id);
        let charge = Charge::of(rate, outcome, quantity).unwrap();
        let pop = PopDraft {
            action,
            catalog_content_hash: &self.pin.content_hash,
            gate_id: &self.gate.id,
            nonce: &nonce,
            outcome,
            passport_id: passport,
            quantity,
            request_payload_hash: None,
            response_payload_hash: None,
            created: at,
        };
        let base = pop.canonical();
        let receipt = Receipt {
            action: action.to_owned(),
            agent: Consumer {
                agent_id: format!("agent-{number}"),
                issuer_id: self.gate.id.clone(),
                passport_id: passport.to_owned(),
                public_key: agent(number).public_key(),
            },
            attestation_id: None,
            catalog: self.pin.clone(),
            charge,
            duration_ms: None,
            gate_id: self.gate.id.clone(),
            issued_at: at,
            outcome,
            proof: AgentProof {
                base_sha256: sha256(base.as_bytes()),
                created: at,
                form: ProofForm::AgentPopJcs,
                nonce,
                signature: agent(number).sign(base.as_bytes()),
            },
            id,
            request_payload_hash: None,
            response_payload_hash: None,
            status: Some(200),
        };
        (receipt, base)
    }
}

/// Publishes what is sold; answers what passports are pinned to from then on.
pub fn publish(bench: &Bench, gate: &str, offers: &[Offer]) -> CatalogPin {
    let permissions: Vec<_> = offers.iter().map(|offer| offer.to_json()).collect();
    let draft = json!({"permissions": permissions, "is_active": true});
    let (status, answer) = bench.call("POST", &format!("/api/gates/{gate}/catalog"), Some(draft));
    assert!(status < 300, "{answer}");
    let (status, answer) = bench.call("POST", &format!("/api/gates/{gate}/catalog/publish"), Some(json!({})));
    assert_eq!(status, 201, "{answer}");
    CatalogPin {
        version: answer.get("version").and_then(Value::as_i64).unwrap(),
        content_hash: text(&answer, "content_hash"),
    }
}

fn text(answer: &Value, name: &str) -> String {
    answer.get(name).and_then(Value::as_str).unwrap().to_owned()
}

/// The record that stands for a receipt.
pub fn record_of(lane: &Lane<'_>, (receipt, _): &(Receipt, String)) -> Draft {
    let mut draft = draft(&lane.gate.id, &receipt.agent.agent_id, Decision::Consumption);
    let agent = draft.agent.as_mut().unwrap();
    agent.issuer_id = receipt.agent.issuer_id.clone();
    agent.passport_id = receipt.agent.passport_id.clone();
    let request = draft.request.as_mut().unwrap();
    request.action = Some(receipt.action.clone());
    request.cost_cents = receipt.charge.total_cents();
    let sha256 = sha256(receipt.sign(&lane.signer).as_bytes());
    draft.receipt = Some(ReceiptName { id: receipt.id, sha256 });
    draft
}

/// Signs receipts and the records that stand for them, and makes a batch's body of both.
pub fn batch(lane: &mut Lane<'_>, used: &[(Receipt, String)]) -> (Vec<u8>, Vec<Signed>) {
    let drafts: Vec<_> = used.iter().map(|used| record_of(lane, used)).collect();
    batch_of(lane, used, &drafts)
}

/// The same, with these records.
pub fn batch_of(lane: &mut Lane<'_>, used: &[(Receipt, String)], drafts: &[Draft]) -> (Vec<u8>, Vec<Signed>) {
    let records = lane.sign(drafts);
    let mut body = lane.head().to_json() + "\n";
    for (record, (receipt, base)) in records.iter().zip(used) {
        let line = Attachment { base: base.clone(), receipt: receipt.sign(&lane.signer) }.to_json();
        body.push_str(&format!("{}\n{line}\n", record.text));
    }
    (body.into_bytes(), records)
}

/// Brings receipts as a gate does, in batches.
pub fn bring(lane: &mut Lane<'_>, used: &[(Receipt, String)]) {
    for some in used.chunks(100) {
        let (body, records) = batch(lane, some);
        let answer = lane.gate.post(lane.to, "attestations", &body);
        assert_eq!(answer.status, 200, "{}", super::gates::text(&answer));
        lane.believe(&answer, &records);
    }
}

/// An id that no other receipt has.
pub fn unique() -> [u8; 16] {
    static MADE: AtomicU64 = AtomicU64::new(1);
    let mut id = [0; 16];
    id[..8].copy_from_slice(&MADE.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    id[8..].copy_from_slice(&now().as_millis().to_be_bytes());
    id
}

pub fn at(text: &str) -> UnixTime {
    UnixTime::from_rfc3339(text).unwrap()
}
