//! Settling, and checking what comes of it.

use super::Bench;
use super::metering::{Offer, Shop, at};
use super::passports::agent;
use portcullis_core::catalog::PricingModel;
use portcullis_core::json::{self, Limits, canonical_text};
use portcullis_core::modei;
use portcullis_core::receipt::{Outcome, ProofForm, Receipt};
use portcullis_core::{PublicKey, base64, sha256};
use serde_json::{Map, Value, json};
use xtask::control::Service;

pub const SEARCH: Offer = Offer::new("flights:search", PricingModel::PerCall, 5);
pub const CALL: Offer = Offer::new("calls:hold", PricingModel::PerMinute, 7);
pub const TOKENS: Offer = Offer::new("models:ask", PricingModel::Usage, 3);
pub const FREE: Offer = Offer { free: 3, ..Offer::new("maps:show", PricingModel::PerCall, 11) };
pub const NEWS: Offer = Offer { free: 1, ..Offer::new("news:read", PricingModel::Subscription, 901) };
pub const ALL: [Offer; 5] = [SEARCH, CALL, TOKENS, FREE, NEWS];

pub type Used = (Receipt, String);

/// Asks until it is settled, or refused.
pub fn settle(bench: &Bench, of: &str, start: &str, end: &str) -> (u16, Value) {
    let asked = json!({"gate_id": "gate_a", "period_type": of, "period_start": start, "period_end": end});
    let mut answer = settle_at(&bench.service, asked.clone());
    // Each time the service lets it wait for 20 s.
    for _ in 0..10 {
        if answer.0 != 202 {
            break;
        }
        answer = settle_at(&bench.service, asked.clone());
    }
    answer
}

/// Waits longer than the service lets anybody wait.
pub fn settle_at(service: &Service, asked: Value) -> (u16, Value) {
    let answer = service.call_patiently("POST", "/api/billing", Some(&asked.to_string())).unwrap();
    (answer.status, serde_json::from_slice(&answer.body).unwrap())
}

pub fn march(bench: &Bench) -> Value {
    let (status, summary) = settle(bench, "monthly", "2025-03-01", "2025-03-31");
    assert_eq!(status, 201, "{summary}");
    summary
}

pub fn lines(bench: &Bench, id: &str) -> Vec<Value> {
    let answer = bench.service.call("GET", &format!("/api/billing/{id}/records"), None).unwrap();
    assert_eq!(answer.status, 200);
    let text = String::from_utf8(answer.body).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub fn canonical(value: &Value) -> String {
    let limits = Limits { bytes: 1 << 24, depth: 8, values: 1 << 20 };
    canonical_text(&json::parse(value.to_string().as_bytes(), limits).unwrap())
}

/// Checks a summary as whoever is to pay does: its hash, its signature, and that its records add
/// up to it. Answers the records.
pub fn verified(bench: &Bench, summary: &Value) -> Vec<Value> {
    let text = summary["summary"].as_str().unwrap();
    let mut content: Map<String, Value> = serde_json::from_str(text).unwrap();
    assert_eq!(canonical(&json!(content)), text, "it is canonical");
    let signature = content.remove("signature").unwrap();
    let hash = content.remove("content_hash").unwrap();
    let signed = canonical(&json!(content));
    assert_eq!(hash, json!(portcullis_core::live::hex(&sha256(signed.as_bytes()))));
    assert_eq!((&summary["content_hash"], &summary["signature"]), (&hash, &signature));
    let keys = bench.call("GET", "/api/gates/gate_a/attestation-keys", None).1;
    let key =
        keys["keys"].as_array().unwrap().iter().find(|key| key["key_id"] == signature["key_id"]).unwrap();
    let key = base64::decode_array(key["public_key"].as_str().unwrap()).unwrap();
    let value = base64::decode_url(signature["value"].as_str().unwrap()).unwrap().try_into().unwrap();
    assert!(PublicKey::from_bytes(&key).unwrap().verify(signed.as_bytes(), &value));

    let lines = lines(bench, summary["id"].as_str().unwrap());
    let sum = |member: &str| lines.iter().map(|line| line[member].as_u64().unwrap()).sum::<u64>();
    assert_eq!(summary["total_cost_cents"], sum("charged_cents"));
    assert_eq!(summary["total_platform_fee_cents"], sum("charged_fee_cents"));
    assert_eq!(summary["total_transactions"], lines.len());
    for breakdown in ["permission_breakdown", "outcome_breakdown"] {
        for (of, member) in [
            ("total_cost_cents", "cost_cents"),
            ("total_platform_fee_cents", "platform_fee_cents"),
            ("verified_count", "transactions"),
        ] {
            let parts = summary[breakdown].as_object().unwrap().values();
            assert_eq!(summary[of], parts.map(|part| part[member].as_u64().unwrap()).sum::<u64>());
        }
    }
    let agents = summary["agent_breakdown"].as_array().unwrap().iter();
    assert_eq!(
        summary["total_cost_cents"],
        agents.map(|part| part["cost_cents"].as_u64().unwrap()).sum::<u64>()
    );
    let mut chain = [0; 32];
    for line in &lines {
        let hash = portcullis_core::live::hex(&sha256(line["receipt"].as_str().unwrap().as_bytes()));
        let link = json!({"charged_cents": line["charged_cents"], "charged_fee_cents": line["charged_fee_cents"],
            "mark": line["mark"], "receipt_sha256": hash});
        chain = sha256(&[&chain[..], canonical(&link).as_bytes()].concat());
    }
    assert_eq!(summary["records_sha256"], json!(portcullis_core::live::hex(&chain)));
    lines
}

/// Numbers that look like chance, and are the same each time.
pub fn chance(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// The use of an agent that has signed a request with this passport.
pub fn requested(shop: &Shop, offer: Offer, passport: &modei::Signed, number: u8, when: i64) -> Used {
    let (mut receipt, _) = shop.used(
        ("", number),
        offer.action,
        Outcome::Success,
        1,
        at("2025-03-04T00:00:00Z").plus_millis(when),
    );
    let envelope: Value = serde_json::from_str(&passport.to_json()).unwrap();
    let text =
        |path: &str| envelope["passport_json"].pointer(path).and_then(Value::as_str).map(str::to_owned);
    receipt.agent.passport_id = text("/passport_id").unwrap();
    receipt.agent.agent_id = text("/identity/agent_id").unwrap();
    let root = "/provenance/delegation_chain/0/passport_json/provenance/issuer/id";
    receipt.agent.issuer_id = text(root).or_else(|| text("/provenance/issuer/id")).unwrap();
    let base = format!(
        "\"@method\": GET\n\"agent-passport\": :{}:\n\"@signature-params\": (\"@method\" \"agent-passport\");\
         created={};nonce=\"{}\";keyid=\"{}\";alg=\"ed25519\";tag=\"agent-proof\"",
        base64::encode(passport.to_json().as_bytes()),
        receipt.proof.created.as_millis().div_euclid(1000),
        receipt.proof.nonce,
        receipt.agent.agent_id
    );
    // A permit whose record was lost: no record has an id that begins so.
    receipt.attestation_id = Some(receipt.receipt_id().replacen("rcpt_00", "att_ff", 1));
    receipt.proof.form = ProofForm::Rfc9421;
    receipt.proof.base_sha256 = sha256(base.as_bytes());
    receipt.proof.signature = agent(number).sign(base.as_bytes());
    (receipt, base)
}
