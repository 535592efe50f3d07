//! Catalogs of gates: drafts, published versions, and what is found of them.

pub mod discover;
mod draft;
mod impact;
mod pin;
mod prices;
mod publish;

pub use draft::Draft;
pub use impact::{Impact, impact};
pub use pin::{accept, pin};
pub use prices::prices;
pub use publish::{Publication, publish};

use crate::App;
use crate::db::Tx;
use crate::error::ApiResult;
use crate::keys::{self, Purpose};
use crate::time::now_ms;
use anyhow::{Context, anyhow};
use portcullis_core::catalog::{Catalog, Permission, Published};
use portcullis_core::{base64, catalog};
use serde_json::Value;
use sqlx::Row;
use sqlx::any::AnyRow;

/// A published version as it is stored. Times are milliseconds since 1970.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The gate.
    pub gate_id: String,
    /// The version.
    pub version: i64,
    /// The snapshot's canonical text.
    pub snapshot: String,
    /// The hexadecimal SHA-256 of that.
    pub content_hash: String,
    /// The gate's signature over the hash, in standard base64.
    pub signature: String,
    /// The key that it is by.
    pub signing_key_id: String,
    /// What the operator said of it.
    pub change_summary: Option<String>,
    /// What it has changed of the version before it.
    pub changes: Value,
    /// Whether some of that is worse for agents.
    pub has_breaking_changes: bool,
    /// From when on it is in force.
    pub effective_at: i64,
    /// When it was published.
    pub created_at: i64,
}

/// A gate's word for a version, by a key that is good now.
#[derive(Clone, Debug)]
pub struct Word {
    /// The signature, in standard base64.
    pub signature: String,
    /// The key's id.
    pub signing_key_id: String,
    /// The key, in standard base64.
    pub public_key: String,
}

/// `SELECT` of what [`Stored::read`] reads, and the rest.
macro_rules! select_catalogs {
    ($rest:expr) => {
        concat!(
            "SELECT gate_id, version, snapshot, content_hash, signature, signing_key_id, change_summary, \
             changes, has_breaking_changes, effective_at, created_at FROM catalogs ",
            $rest
        )
    };
}

impl Stored {
    fn read(row: &AnyRow) -> ApiResult<Self> {
        let changes: String = row.try_get("changes")?;
        Ok(Stored {
            gate_id: row.try_get("gate_id")?,
            version: row.try_get("version")?,
            snapshot: row.try_get("snapshot")?,
            content_hash: row.try_get("content_hash")?,
            signature: row.try_get("signature")?,
            signing_key_id: row.try_get("signing_key_id")?,
            change_summary: row.try_get("change_summary")?,
            changes: serde_json::from_str(&changes).context("a catalog's row is unreadable")?,
            has_breaking_changes: row.try_get::<i64, _>("has_breaking_changes")? != 0,
            effective_at: row.try_get("effective_at")?,
            created_at: row.try_get("created_at")?,
        })
    }

    /// What it offers.
    ///
    /// # Errors
    /// The row is damaged.
    pub fn permissions(&self) -> ApiResult<Vec<Permission>> {
        let catalog = Catalog::from_json(self.snapshot.as_bytes());
        Ok(catalog.map_err(|error| anyhow!("a stored catalog is unreadable: {error}"))?.permissions)
    }

    /// The gate's word for it. A key's signature counts for as long as the key does: where
    /// the one that signed has ended, the gate's present one signs what that has signed.
    ///
    /// # Errors
    /// No database, the gate has no key, or the row is not what was signed.
    pub async fn word(&self, tx: &mut Tx, app: &App) -> ApiResult<Word> {
        let halves = keys::published(tx, Purpose::Passports, &self.gate_id).await?;
        if let Some(half) = halves.into_iter().find(|half| half.key_id == self.signing_key_id) {
            return Ok(Word {
                signature: self.signature.clone(),
                signing_key_id: half.key_id,
                public_key: half.public_key,
            });
        }
        // All that the gate has had.
        let halves = keys::published_at(tx, Purpose::Passports, &self.gate_id, 0).await?;
        let signed_by = halves.into_iter().find(|half| half.key_id == self.signing_key_id);
        let signed_by = signed_by.context("a stored catalog names a key that was none of its gate's")?;
        let published = Published {
            snapshot: self.snapshot.as_bytes(),
            content_hash: &self.content_hash,
            signature: &self.signature,
            public_key: &signed_by.public_key,
        };
        published.verify().map_err(|error| anyhow!("a stored catalog is not what was signed: {error}"))?;
        let signer = keys::signer(tx, &app.vault, Purpose::Passports, &self.gate_id).await?;
        Ok(Word {
            signature: catalog::sign_text(&self.snapshot, &signer.key),
            public_key: base64::encode(&signer.key.public_key()),
            signing_key_id: signer.key_id,
        })
    }
}

/// A published version, if there is one of this number.
///
/// # Errors
/// No database.
pub async fn find(tx: &mut Tx, gate: &str, version: i64) -> ApiResult<Option<Stored>> {
    let row = sqlx::query(select_catalogs!("WHERE gate_id = $1 AND version = $2"))
        .bind(gate)
        .bind(version)
        .fetch_optional(&mut **tx)
        .await?;
    row.as_ref().map(Stored::read).transpose()
}

/// The version that was published last, whether it is in force or not.
///
/// # Errors
/// No database.
pub async fn latest(tx: &mut Tx, gate: &str) -> ApiResult<Option<Stored>> {
    let row = sqlx::query(select_catalogs!("WHERE gate_id = $1 ORDER BY version DESC LIMIT 1"))
        .bind(gate)
        .fetch_optional(&mut **tx)
        .await?;
    row.as_ref().map(Stored::read).transpose()
}

/// The version that is in force.
///
/// # Errors
/// No database.
pub async fn in_force(tx: &mut Tx, gate: &str) -> ApiResult<Option<Stored>> {
    let row = sqlx::query(select_catalogs!(
        "WHERE gate_id = $1 AND effective_at <= $2 ORDER BY version DESC LIMIT 1"
    ))
    .bind(gate)
    .bind(now_ms())
    .fetch_optional(&mut **tx)
    .await?;
    row.as_ref().map(Stored::read).transpose()
}

/// All published versions, the first first: at most
/// [`MAX_VERSIONS`](portcullis_core::catalog::MAX_VERSIONS).
///
/// # Errors
/// No database.
pub async fn versions(tx: &mut Tx, gate: &str) -> ApiResult<Vec<Stored>> {
    // Whole snapshots would be some megabytes, and are not what is asked for.
    let rows = sqlx::query(
        "SELECT gate_id, version, '' AS snapshot, content_hash, signature, signing_key_id, change_summary, \
         '[]' AS changes, has_breaking_changes, effective_at, created_at FROM catalogs \
         WHERE gate_id = $1 ORDER BY version",
    )
    .bind(gate)
    .fetch_all(&mut **tx)
    .await?;
    rows.iter().map(Stored::read).collect()
}

/// The hashes of all published versions, the first first: what gates know passports' pins by.
///
/// # Errors
/// No database.
pub async fn hashes(tx: &mut Tx, gate: &str) -> ApiResult<Vec<String>> {
    let rows: Vec<(String,)> =
        sqlx::query_as("SELECT content_hash FROM catalogs WHERE gate_id = $1 ORDER BY version")
            .bind(gate)
            .fetch_all(&mut **tx)
            .await?;
    Ok(rows.into_iter().map(|(hash,)| hash).collect())
}
