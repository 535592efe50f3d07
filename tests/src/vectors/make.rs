//! Passports, right and wrong in one thing.

use portcullis_core::json::{Limits, canonical_text, parse};
use portcullis_core::modei::{Draft, Issuer, RootKind, Signed, delegate, issue, self_issue};
use portcullis_core::{SecretKey, UnixTime, base64, sha256};
use serde_json::{Value, json};

/// 2026-06-01T12:00:00.000Z, when the vectors' passports are in the middle of their time.
pub(super) const NOW: UnixTime = UnixTime::from_millis(1_780_315_200_000);

pub(super) const HOUR: i64 = 3_600_000;

/// The key of a made-up person.
pub(super) fn key(owner: &str) -> SecretKey {
    SecretKey::from_seed(sha256(owner.as_bytes()))
}

/// A draft that grants `flights:search`.
pub(super) fn draft(id: &str) -> Draft {
    Draft {
        passport_id: id.into(),
        agent_name: Some("Research Bot".into()),
        permissions: vec![("flights:search".into(), Default::default())],
        issued_at: NOW.plus_millis(-HOUR),
        expires_at: NOW.plus_millis(HOUR),
        delegation_authority: true,
    }
}

/// `draft` with these constraints on its permission.
pub(super) fn constrained(id: &str, constraints: &Value) -> Draft {
    let text = constraints.to_string();
    let parsed =
        parse(text.as_bytes(), Limits { bytes: 1 << 20, depth: 16, values: 1 << 12 }).expect("constraints");
    let constraints = parsed.into_owned().as_object().expect("an object").clone();
    Draft { permissions: vec![("flights:search".into(), constraints)], ..draft(id) }
}

/// The holder of the passport after `hop` delegations.
pub(super) fn holder(hop: usize) -> SecretKey {
    key(&format!("agent {hop}"))
}

/// A passport that was delegated `depth` times.
pub(super) fn delegated(depth: usize) -> Signed {
    (1..=depth).fold(self_issue(&holder(0), &draft("pp_root")), |parent, hop| {
        let id = format!("pp_hop_{hop}");
        delegate(&parent, &holder(hop - 1), &holder(hop).public_key(), &draft(&id)).expect("a delegation")
    })
}

/// The managed issuer of the vectors, and the trust material that has it.
pub(super) fn managed(kind: RootKind) -> Issuer {
    let gate_id = (kind == RootKind::Gate).then(|| "gate_flights".to_owned());
    Issuer { kind, id: "issuer:acme".into(), key_id: "ik_1".into(), gate_id }
}

pub(super) fn issued(kind: RootKind) -> Signed {
    issue(&key("acme"), &managed(kind), "research-bot-001", &holder(0).public_key(), &draft("pp_issued"))
}

pub(super) fn trust(kind: &str) -> Value {
    let public_key = base64::encode(&key("acme").public_key());
    json!({
        "issuers": [{
            "id": "issuer:acme", "type": kind, "tier": 2, "actions": ["flights:*"],
            "keys": [{"key_id": "ik_1", "public_key": public_key}],
        }],
        "self_issued": {"actions": ["flights:search"]},
    })
}

/// The passport as JSON to change.
pub(super) fn json_of(signed: &Signed) -> Value {
    parsed(&signed.to_json())
}

/// A passport's text as JSON.
pub(super) fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("a passport is JSON")
}

/// The passport with its envelope changed and signed again.
pub(super) fn changed(signed: &Signed, signer: &SecretKey, change: impl FnOnce(&mut Value)) -> String {
    let mut whole = json_of(signed);
    change(&mut whole["passport_json"]);
    sign_again(&mut whole, signer);
    whole.to_string()
}

/// Signs the passport's envelope again.
pub(super) fn sign_again(whole: &mut Value, signer: &SecretKey) {
    let text = whole["passport_json"].to_string();
    let parsed =
        parse(text.as_bytes(), Limits { bytes: 1 << 20, depth: 64, values: 1 << 16 }).expect("an envelope");
    whole["signature"] = base64::encode(&signer.sign(canonical_text(&parsed).as_bytes())).into();
}
