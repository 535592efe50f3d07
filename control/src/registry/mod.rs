//! The badge registry: the agents that this service knows, and the Trust Badges that it
//! issues to them (CapiscIO RFC-002 and RFC-003). Its issuer is the service's public URL.
//!
//! [`proofs::prove`] is the order of checks of a proof of possession, [`issue::issue`]
//! that of every badge.

pub mod agents;
pub mod challenges;
pub mod documents;
pub mod feed;
pub mod issue;
pub mod proofs;
pub mod public_key;
pub mod revoke;
pub mod standing;

use crate::App;
use crate::error::ApiError;
use axum::http::StatusCode;

/// How long after its end a badge is still taken by clocks that are late.
pub const SKEW_MS: i64 = portcullis_core::CLOCK_SKEW_MS;

/// The `iss` of this registry's badges, and what proofs name as their audience.
pub fn origin(app: &App) -> &str {
    &app.settings.public_url
}

/// The registry's own DID: `did:web` of its origin, a port's colon encoded.
pub fn own_did(app: &App) -> String {
    let host = origin(app).trim_start_matches("https://").replace(':', "%3A");
    format!("did:web:{host}")
}

/// The DID of the agent whose document this registry serves under `/agents/{id}/did.json`.
pub fn served_did(app: &App, id: &str) -> String {
    format!("{}:agents:{id}", own_did(app))
}

/// 403 with one of RFC-003's codes.
fn refused(code: &'static str, message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, code, message)
}

/// 429 under the code of RFC-003 section 11.
fn too_often(what: &str, wait_ms: i64) -> ApiError {
    let seconds = u64::try_from(wait_ms).unwrap_or_default().div_ceil(1000).max(1);
    let mut error = ApiError::too_many(seconds);
    error.code = "rate_limit_exceeded";
    error.message = format!("{what}; try again in {seconds} s");
    error
}
