//! Passports: of gates as the Modei client has them, of managed issuers under `/api/v1`,
//! and those that agents sign themselves and register.

mod asked;
mod heartbeats;
mod of_agents;
mod of_gates;
mod v1;

use crate::App;
use crate::passports::Passport;
use crate::time::iso;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

/// The routes of passports.
pub fn routes() -> OpenApiRouter<App> {
    of_gates::routes().merge(of_agents::routes()).merge(v1::routes()).merge(heartbeats::routes())
}

/// A passport.
#[derive(Debug, Serialize, ToSchema)]
struct PassportRecord {
    /// Its id.
    passport_id: String,
    /// The gate that issued it; null for a managed issuer's, and for an agent's own.
    gate_id: Option<String>,
    /// The agent that holds it.
    agent_id: String,
    /// The agent's name.
    agent_name: Option<String>,
    /// The agent's key, in standard base64.
    agent_public_key: String,
    /// The issuer at its root.
    issuer_id: String,
    /// The actions that it grants.
    permissions: Vec<String>,
    /// Their constraints.
    #[schema(value_type = Object)]
    constraints: Map<String, Value>,
    /// The signed envelope, as canonical text (RFC 8785).
    passport_json: String,
    /// The Ed25519 signature over that text, in standard base64.
    signature: String,
    /// The key that the signature is by, in standard base64.
    public_key: String,
    /// Until when it is valid.
    expires_at: String,
    /// When it was revoked.
    revoked_at: Option<String>,
    /// `active`, `expired` or `revoked`.
    status: &'static str,
    /// When it was issued, or registered.
    created_at: String,
    /// The catalog that it is pinned to.
    catalog_version: Option<i64>,
    /// That catalog's hash.
    catalog_content_hash: Option<String>,
    /// What was noted at its issue.
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
}

/// That it is done.
#[derive(Debug, Serialize, ToSchema)]
struct PassportRevoked {
    /// Always true.
    revoked: bool,
}

impl From<Passport> for PassportRecord {
    fn from(passport: Passport) -> Self {
        PassportRecord {
            status: passport.status(),
            passport_id: passport.passport_id,
            gate_id: passport.gate_id,
            agent_id: passport.agent_id,
            agent_name: passport.agent_name,
            agent_public_key: passport.public_key,
            issuer_id: passport.issuer_id,
            permissions: passport.permissions,
            constraints: passport.constraints,
            passport_json: passport.passport_json,
            signature: passport.signature,
            public_key: passport.signed_by,
            expires_at: iso(passport.expires_at),
            revoked_at: passport.revoked_at.map(iso),
            created_at: iso(passport.created_at),
            catalog_version: passport.catalog_version,
            catalog_content_hash: passport.catalog_content_hash,
            metadata: passport.metadata,
        }
    }
}
