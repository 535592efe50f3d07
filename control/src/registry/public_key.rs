//! An agent's public key as clients write it.

use portcullis_core::capiscio::{key_of_did, key_of_jwk};
use portcullis_core::json::{self, Limits};
use portcullis_core::{PublicKey, base64};
use serde_json::Value;

/// The Ed25519 key of a JWK (an object, or its text), of a multibase text as `did:key`s
/// end with, or of base64 of 32 bytes, standard or base64url. `None` for anything else,
/// for a JWK with its private part, and for keys of small order.
pub fn read(value: &Value) -> Option<[u8; 32]> {
    let key = match value {
        Value::Object(_) => of_jwk(&value.to_string()),
        Value::String(text) if text.starts_with('{') => of_jwk(text),
        Value::String(text) => key_of_did(&format!("did:key:{text}"))
            .or_else(|| base64::decode_array(text))
            .or_else(|| base64::decode_url(text)?.try_into().ok()),
        _ => None,
    };
    key.filter(|key| PublicKey::from_bytes(key).is_some())
}

fn of_jwk(text: &str) -> Option<[u8; 32]> {
    // A JWK of this kind has some 150 bytes.
    const LIMITS: Limits = Limits { bytes: 4096, depth: 8, values: 64 };
    key_of_jwk(json::parse(text.as_bytes(), LIMITS).ok()?.as_object()?)
}
