//! Who calls, and what it may do: API keys with scopes, and sessions of the console that
//! have those of their key. A handler that takes a [`Caller`] is called by nobody else.

use crate::App;
use crate::console::session;
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::time::now_ms;
use anyhow::anyhow;
use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use portcullis_core::{base64, sha256};
use sqlx::Row;
use std::collections::BTreeSet;
use std::marker::PhantomData;
use subtle::ConstantTimeEq;

/// Something that a caller may be allowed to do.
pub trait Scope: Send + Sync + 'static {
    /// Its name, as API keys list it.
    const NAME: &'static str;
}

macro_rules! scopes {
    ($($(#[$doc:meta])* $scope:ident = $name:literal;)+) => {
        $($(#[$doc])* #[derive(Clone, Copy, Debug)] pub struct $scope;
        impl Scope for $scope { const NAME: &'static str = $name; })+
        /// The names of all scopes.
        pub const SCOPES: &[&str] = &[$($name),+];
    };
}

scopes! {
    /// See and make API keys, none with more scopes than one's own.
    ApiKeys = "api_keys";
    /// Read the records of what gates decided, and their proofs.
    Audit = "audit";
    /// Add records of what was decided elsewhere.
    AuditRecord = "audit:record";
    /// See requests that wait for a person, and answer them.
    Approve = "approve";
    /// Read what was changed by whom.
    AuditRead = "audit:read";
    /// Settle what agents owe, and say what became of it.
    BillingWrite = "billing:write";
    /// See settlements and what they are made of, and whether gates keep their promises.
    BillingRead = "billing:read";
    /// Ask a gate for a decision, without passing it.
    Check = "check";
    /// Meter uses outside a gate: each makes a receipt.
    Consume = "consume";
    /// Have the service decide on actions: it counts, spends and records them.
    Enforce = "enforce";
    /// Follow registries of others.
    Following = "following";
    /// See gates.
    GatesRead = "gates:read";
    /// Make, change, enrol and delete gates.
    GatesWrite = "gates:write";
    /// Say that an agent has begun.
    Heartbeat = "heartbeat";
    /// See issuers.
    IssuersRead = "issuers:read";
    /// Make, change and delete issuers.
    IssuersWrite = "issuers:write";
    /// Certify issuers for tier 3.
    IssuersCertify = "issuers:certify";
    /// See and rotate the service's signing keys.
    SigningKeys = "signing_keys";
    /// Read what is measured of the service.
    Metrics = "metrics";
    /// See passports.
    PassportsRead = "passports:read";
    /// Issue, reissue and revoke passports.
    PassportsWrite = "passports:write";
    /// Read receipts, with what agents signed.
    ReceiptsRead = "receipts:read";
    /// Revoke whatever others have issued, and take it back.
    Revocations = "revocations";
    /// Register agents, issue, revoke and disable in the badge registry.
    Registry = "registry";
}

/// Whoever calls with an API key that has the scope `S`.
#[derive(Clone, Debug)]
pub struct Caller<S> {
    /// The API key's id.
    pub key_id: String,
    /// All its scopes.
    pub scopes: BTreeSet<String>,
    scope: PhantomData<S>,
}

impl<S: Scope> FromRequestParts<App> for Caller<S> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let known = identify(parts, app).await?.ok_or_else(needed)?;
        if !known.scopes.contains(S::NAME) {
            return Err(ApiError::forbidden(format!("the API key lacks the scope {}", S::NAME)));
        }
        Ok(Caller { key_id: known.id, scopes: known.scopes, scope: PhantomData })
    }
}

/// 401, where no API key was presented.
pub(crate) fn needed() -> ApiError {
    ApiError::unauthorized("an API key is needed: Authorization: Bearer mod_live_…")
}

/// The header in which CapiscIO's clients bring an API key.
pub(crate) const REGISTRY_KEY: &str = "x-capiscio-registry-key";

/// An API key that was presented and is good.
#[derive(Clone, Debug)]
pub struct KnownKey {
    /// Its id.
    pub id: String,
    /// Its scopes.
    pub scopes: BTreeSet<String>,
}

/// The API key of a request, in `X-Capiscio-Registry-Key` or else `Authorization: Bearer`, or
/// the one in whose name a console's session is; `None` where there is none.
///
/// # Errors
/// 401 for a key that is unknown or revoked and for a session that is over, 403 for a session's
/// request that another page may have sent, 429 for too many requests.
pub async fn identify(parts: &Parts, app: &App) -> ApiResult<Option<KnownKey>> {
    let Some(token) = presented(parts) else {
        return Ok(session::of_request(parts, app).await?.map(|session| session.key));
    };
    let known = find(app, token).await?;
    app.limits.check(&known.id)?;
    Ok(Some(known))
}

/// The token that a request's headers bring as an API key.
pub(crate) fn presented(parts: &Parts) -> Option<&str> {
    let bearer = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let registry = parts.headers.get(REGISTRY_KEY).and_then(|value| value.to_str().ok());
    // Where a request has both, the other is a badge (RFC-003 section 3.1).
    registry.or(bearer)
}

async fn find(app: &App, token: &str) -> ApiResult<KnownKey> {
    let unknown = || ApiError::unauthorized("the API key is unknown or revoked");
    let presented = hash(token);
    let row = sqlx::query("SELECT id, hash, scopes FROM api_keys WHERE hash = $1 AND revoked_at IS NULL")
        .bind(&presented)
        .fetch_optional(app.db.pool())
        .await?
        .ok_or_else(unknown)?;
    // What the database finds by, it compares in its own time; a hash of 256 random bits
    // tells nothing by that. The comparison that counts is this one.
    let stored: String = row.try_get("hash")?;
    if !bool::from(stored.as_bytes().ct_eq(presented.as_bytes())) {
        return Err(unknown());
    }
    Ok(KnownKey { id: row.try_get("id")?, scopes: scopes_of(&row.try_get::<String, _>("scopes")?)? })
}

/// An API key that was just made. The key itself is nowhere else.
#[derive(Debug)]
pub struct NewKey {
    /// Its id.
    pub id: String,
    /// The key.
    pub key: String,
    /// When, in milliseconds since 1970.
    pub created_at: i64,
}

/// Makes an API key.
///
/// # Errors
/// 422 for a scope that does not exist.
pub async fn create(tx: &mut Tx, name: &str, scopes: &BTreeSet<String>) -> ApiResult<NewKey> {
    if let Some(unknown) = scopes.iter().find(|scope| !SCOPES.contains(&scope.as_str())) {
        let problem = format!("there is no scope {unknown:.100}; there are {}", SCOPES.join(", "));
        return Err(ApiError::invalid("scopes", problem));
    }
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| anyhow!("no randomness: {error}"))?;
    let key = format!("mod_live_{}", base64::encode_url(&random));
    let id = format!("key_{}", uuid::Uuid::new_v4().simple());
    let created_at = now_ms();
    let prefix: String = key.chars().take(13).collect();
    sqlx::query(
        "INSERT INTO api_keys (id, name, hash, prefix, scopes, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(&id)
    .bind(name)
    .bind(hash(&key))
    .bind(prefix)
    .bind(serde_json::json!(scopes).to_string())
    .bind(created_at)
    .execute(&mut **tx)
    .await?;
    Ok(NewKey { id, key, created_at })
}

/// The scopes of a database row.
///
/// # Errors
/// The row is damaged.
pub fn scopes_of(json: &str) -> ApiResult<BTreeSet<String>> {
    serde_json::from_str(json).map_err(|error| anyhow!("an API key's scopes are unreadable: {error}").into())
}

/// Keys are random, so that a plain hash is enough: there is no guessing them.
pub fn hash(token: &str) -> String {
    base64::encode(&sha256(token.as_bytes()))
}
