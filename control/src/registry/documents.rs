//! DID documents: those that this registry serves, and where the keys of an agent come
//! from when it has to prove one.

use super::agents::Agent;
use super::{own_did, served_did};
use crate::App;
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::time::now_ms;
use axum::http::StatusCode;
use portcullis_core::base64;
use portcullis_core::capiscio::method_of_did_key;
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::Row;

/// A verification method that has an Ed25519 key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Method {
    /// Its DID URL.
    pub id: String,
    /// Its key.
    pub key: [u8; 32],
    /// Whether its subject authenticates itself by it.
    pub authenticates: bool,
}

/// RFC-003 section 9.6: how old a document may be.
const MAX_AGE_MS: i64 = 300_000;

/// The verification methods of an agent's DID document. A `did:key` is its own document,
/// those of this registry are served from what is registered, and those of other hosts
/// are the ones that the service has fetched in the background: no request fetches one.
///
/// # Errors
/// 502 `did_resolution_failed` or `did_document_invalid`.
pub async fn methods(tx: &mut Tx, app: &App, agent: &Agent) -> ApiResult<Vec<Method>> {
    if let Some((id, key)) = method_of_did_key(&agent.did) {
        return Ok(vec![Method { id, key, authenticates: true }]);
    }
    if agent.is_served_here(app) {
        let method = |key| Method { id: key_url(&agent.did), key, authenticates: true };
        return Ok(agent.key.map(method).into_iter().collect());
    }
    let row = sqlx::query("SELECT keys, seen_at FROM did_documents WHERE did = $1")
        .bind(&agent.did)
        .fetch_optional(&mut **tx)
        .await?;
    let failed = |code, message: &str| ApiError::new(StatusCode::BAD_GATEWAY, code, message);
    let Some(row) = row else {
        return Err(failed("did_resolution_failed", "the agent's DID document is not followed"));
    };
    let seen_at: Option<i64> = row.try_get("seen_at")?;
    if seen_at.is_none_or(|seen_at| seen_at < now_ms().saturating_sub(MAX_AGE_MS)) {
        let message = "the agent's DID document could not be fetched in the last 300 s";
        return Err(failed("did_resolution_failed", message));
    }
    let keys: String = row.try_get("keys")?;
    stored(&keys).ok_or_else(|| failed("did_document_invalid", "the agent's DID document cannot be used"))
}

/// The document of an agent whose DID is of this registry.
pub fn of_agent(app: &App, agent: &Agent) -> Option<Value> {
    if !agent.is_served_here(app) {
        return None;
    }
    let did = served_did(app, &agent.id);
    let methods = agent.key.map(|key| method(&did, &key_url(&did), &key));
    let authentication = methods.is_some().then(|| key_url(&did));
    Some(json!({
        "@context": CONTEXT,
        "id": did,
        "verificationMethod": methods.into_iter().collect::<Vec<_>>(),
        "authentication": authentication.into_iter().collect::<Vec<_>>(),
    }))
}

/// The registry's own document: the keys of its badges, by their ids.
pub fn of_registry(app: &App, keys: &[(String, [u8; 32])]) -> Value {
    let did = own_did(app);
    let url = |id: &str| format!("{did}#{id}");
    json!({
        "@context": CONTEXT,
        "id": did,
        "verificationMethod": keys.iter().map(|(id, key)| method(&did, &url(id), key)).collect::<Vec<_>>(),
        "assertionMethod": keys.iter().map(|(id, _)| url(id)).collect::<Vec<_>>(),
    })
}

const CONTEXT: [&str; 2] = ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/suites/jws-2020/v1"];

/// What the clients take for granted.
fn key_url(did: &str) -> String {
    format!("{did}#key-1")
}

fn method(did: &str, id: &str, key: &[u8; 32]) -> Value {
    json!({
        "id": id,
        "type": "JsonWebKey2020",
        "controller": did,
        "publicKeyJwk": {"kty": "OKP", "crv": "Ed25519", "x": base64::encode_url(key)},
    })
}

#[derive(Deserialize)]
struct StoredKey {
    key_id: String,
    public_key: String,
    #[serde(default)]
    authentication: bool,
}

fn stored(keys: &str) -> Option<Vec<Method>> {
    let keys: Vec<StoredKey> = serde_json::from_str(keys).ok()?;
    let method = |stored: StoredKey| {
        let key = base64::decode_array(&stored.public_key)?;
        Some(Method { id: stored.key_id, key, authenticates: stored.authentication })
    };
    keys.into_iter().map(method).collect()
}
