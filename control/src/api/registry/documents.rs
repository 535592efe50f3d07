//! Keys and DID documents: what others verify this registry's badges with.

use crate::App;
use crate::anyone::Anyone;
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::Path;
use crate::keys::{self, Purpose};
use crate::registry::{agents, documents, served_did};
use anyhow::anyhow;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, header};
use portcullis_core::base64;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// For how long caches may keep keys and documents: as short as a badge's shortest life.
/// Keys are published before they sign, by more than this.
const CACHED: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "public, max-age=60")];

/// The same for DID documents (DID Core section 6.3).
const DOCUMENT: [(HeaderName, &str); 2] =
    [(header::CACHE_CONTROL, "public, max-age=60"), (header::CONTENT_TYPE, "application/did+json")];

/// A JWK set (RFC 7517).
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct JwkSet {
    /// The keys, the newest first.
    keys: Vec<Jwk>,
}

/// A public key of Ed25519 (RFC 8037).
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Jwk {
    /// `OKP`
    kty: &'static str,
    /// `Ed25519`
    crv: &'static str,
    /// Its id, in the header of badges.
    kid: String,
    /// base64url of its 32 bytes.
    x: String,
    /// `sig`
    #[serde(rename = "use")]
    usage: &'static str,
    /// `EdDSA`
    alg: &'static str,
}

/// The keys of this registry's badges: the next one before it signs, and old ones until
/// what they signed has expired.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "badge registry", responses(
    (status = 200, description = "The keys", body = JwkSet),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
pub(super) async fn jwks(
    _: Anyone,
    State(app): State<App>,
) -> ApiResult<([(HeaderName, &'static str); 1], Json<JwkSet>)> {
    let keys = badge_keys(&app).await?.into_iter().map(|(kid, key)| Jwk {
        kty: "OKP",
        crv: "Ed25519",
        kid,
        x: base64::encode_url(&key),
        usage: "sig",
        alg: "EdDSA",
    });
    Ok((CACHED, Json(JwkSet { keys: keys.collect() })))
}

/// The registry's own DID document, with the keys of its badges.
#[utoipa::path(get, path = "/.well-known/did.json", tag = "badge registry", responses(
    (status = 200, description = "The document", body = Object, content_type = "application/did+json"),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
pub(super) async fn own_document(
    _: Anyone,
    State(app): State<App>,
) -> ApiResult<([(HeaderName, &'static str); 2], String)> {
    let document = documents::of_registry(&app, &badge_keys(&app).await?);
    Ok((DOCUMENT, document.to_string()))
}

/// The DID document of an agent whose `did:web` is of this registry.
#[utoipa::path(get, path = "/agents/{id}/did.json", tag = "badge registry",
    params(("id" = String, Path, description = "The last segment of the agent's DID")), responses(
    (status = 200, description = "The document", body = Object, content_type = "application/did+json"),
    (status = 404, description = "No such agent, or its DID is another host's", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
pub(super) async fn agent_document(
    _: Anyone,
    State(app): State<App>,
    Path(id): Path<String>,
) -> ApiResult<([(HeaderName, &'static str); 2], String)> {
    // By its id, also where that begins as a DID does.
    let agent = agents::find(app.db.pool(), &served_did(&app, &id)).await;
    let not_found = || ApiError::not_found("DID document of the agent", &id);
    let agent = agent.map_err(|error| if error.status.is_client_error() { not_found() } else { error })?;
    let document: Value = documents::of_agent(&app, &agent).ok_or_else(not_found)?;
    Ok((DOCUMENT, document.to_string()))
}

async fn badge_keys(app: &App) -> ApiResult<Vec<(String, [u8; 32])>> {
    let mut tx = app.db.read().await?;
    let keys = keys::published(&mut tx, Purpose::Badges, keys::SERVICE).await?;
    let key = |half: keys::PublicHalf| {
        let key =
            base64::decode_array(&half.public_key).ok_or_else(|| anyhow!("a public key is unreadable"))?;
        Ok((half.key_id, key))
    };
    keys.into_iter().map(key).collect()
}
