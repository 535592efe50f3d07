//! Agents with keys, and passports that they sign.

use portcullis_core::json::{self, canonical_text};
use portcullis_core::modei::{self, Draft, Signed};
use portcullis_core::{SecretKey, UnixTime, base64};
use serde_json::{Value, json};
use std::time::SystemTime;

pub fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    UnixTime::from_millis(i64::try_from(since.as_millis()).unwrap())
}

/// An agent's key; another number, another agent.
pub fn agent(number: u8) -> SecretKey {
    SecretKey::from_seed([number; 32])
}

pub fn public(key: &SecretKey) -> String {
    base64::encode(&key.public_key())
}

pub fn draft(id: &str, permissions: &[&str]) -> Draft {
    Draft {
        passport_id: id.to_owned(),
        agent_name: Some("an agent".to_owned()),
        permissions: permissions.iter().map(|key| ((*key).to_owned(), json::Object::default())).collect(),
        issued_at: now(),
        expires_at: now().plus_millis(3_600_000),
        delegation_authority: true,
    }
}

/// `{passport_json, signature}`, the envelope as an object.
pub fn wire(signed: &Signed) -> Value {
    serde_json::from_str(&signed.to_json()).unwrap()
}

/// A passport that the agent signs for itself.
pub fn self_issued(key: &SecretKey, id: &str, permissions: &[&str]) -> Value {
    wire(&modei::self_issue(key, &draft(id, permissions)))
}

/// The word of a passport's holder that it is to be revoked.
pub fn assertion(key: &SecretKey, passport_id: &str, nonce: u8, at: UnixTime) -> Value {
    signed_assertion(
        key,
        &json!({
            "passport_id": passport_id, "action": "revoke",
            "nonce": base64::encode_url(&[nonce; 16]), "revoked_at": at.to_iso(),
        }),
    )
}

pub fn signed_assertion(key: &SecretKey, assertion: &Value) -> Value {
    let text = assertion.to_string();
    let canonical = canonical_text(&json::parse(text.as_bytes(), modei::LIMITS).unwrap());
    let signature = base64::encode(&key.sign(canonical.as_bytes()));
    json!({"assertion_json": assertion, "assertion_signature": signature})
}
