//! Catalogs as callers see them.

use crate::App;
use crate::catalog::Stored;
use crate::db::Tx;
use crate::error::ApiResult;
use crate::time::iso;
use anyhow::Context;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// A published catalog, with all that is needed to check it: the SHA-256 of the snapshot's
/// RFC 8785 text is `content_hash`, and `signature` is over the 32 bytes of that.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PublishedCatalog {
    /// The gate.
    gate_id: String,
    /// The version.
    version: i64,
    /// What is offered, as it was signed: `{gate_id, permissions, published_at, version}`.
    #[schema(value_type = Object)]
    catalog_snapshot: Box<RawValue>,
    /// The SHA-256 of its canonical text, in lower-case hexadecimal.
    pub(super) content_hash: String,
    /// The gate's signature, in standard base64.
    pub(super) signature: String,
    /// The key that it is by, one of those of `/api/gates/{gate_id}/public`.
    pub(super) signing_key_id: String,
    /// That key, in standard base64.
    pub(super) public_key: String,
    /// From when on it is in force.
    effective_at: String,
    /// What its operator said of it.
    change_summary: Option<String>,
    /// What it has changed of the version before it; not where many catalogs are told at once.
    #[schema(value_type = Option<Vec<Object>>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) changes: Option<Value>,
    /// Whether some of that is worse for agents: a higher price, a permission that is gone, a
    /// promise that is less.
    has_breaking_changes: bool,
    /// When it was published.
    created_at: String,
}

/// A published catalog without what it offers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CatalogVersion {
    /// The gate.
    gate_id: String,
    /// The version.
    version: i64,
    /// The SHA-256 of its canonical text, in lower-case hexadecimal.
    pub(super) content_hash: String,
    /// From when on it is in force, or was.
    effective_at: String,
    /// What its operator said of it.
    change_summary: Option<String>,
    /// Whether it is worse for agents than the version before it.
    has_breaking_changes: bool,
    /// When it was published.
    created_at: String,
}

impl PublishedCatalog {
    pub(super) async fn of(tx: &mut Tx, app: &App, stored: Stored) -> ApiResult<Self> {
        let word = stored.word(tx, app).await?;
        Ok(PublishedCatalog {
            catalog_snapshot: RawValue::from_string(stored.snapshot)
                .context("a stored catalog is unreadable")?,
            gate_id: stored.gate_id,
            version: stored.version,
            content_hash: stored.content_hash,
            signature: word.signature,
            signing_key_id: word.signing_key_id,
            public_key: word.public_key,
            effective_at: iso(stored.effective_at),
            change_summary: stored.change_summary,
            changes: Some(stored.changes),
            has_breaking_changes: stored.has_breaking_changes,
            created_at: iso(stored.created_at),
        })
    }
}

impl From<Stored> for CatalogVersion {
    fn from(stored: Stored) -> Self {
        CatalogVersion {
            gate_id: stored.gate_id,
            version: stored.version,
            content_hash: stored.content_hash,
            effective_at: iso(stored.effective_at),
            change_summary: stored.change_summary,
            has_breaking_changes: stored.has_breaking_changes,
            created_at: iso(stored.created_at),
        }
    }
}
