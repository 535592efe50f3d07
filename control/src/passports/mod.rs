//! Passports: those that the service issues, and those that agents have registered.

mod issue;
pub mod judge;

pub use issue::{By, Grant, grant_of, issue};

use crate::App;
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::time::now_ms;
use crate::trust::TrustFeed;
use crate::trust::changes::{self, Kind, Revocation};
use anyhow::Context;
use axum::http::StatusCode;
use portcullis_core::CLOCK_SKEW_MS;
use portcullis_core::modei::CatalogPin;
use serde_json::{Map, Value};
use sqlx::Row;
use sqlx::any::AnyRow;

/// The longest life of a passport: a year, and a day to renew it.
pub const MAX_LIFE_MS: i64 = 366 * 86_400_000;

/// Passports that were registered and are kept: some hundreds of megabytes. Who needs no key must not fill
/// the disk.
const MOST_REGISTERED: i64 = 100_000;

/// How long such a one is kept after its end: longer than what it has used may be settled.
const KEPT_MS: i64 = 100 * 86_400_000;

/// And one that its agent has signed for itself, which pays for nothing: for questions.
const SELF_KEPT_MS: i64 = 86_400_000;

/// Rows that are forgotten at a time: SQLite lets nobody else write meanwhile.
const FORGOTTEN_AT_ONCE: i64 = 1_000;

/// What issuer ids of passports begin with that agents have signed for themselves.
pub const SELF_PREFIX: &str = "self:";

/// A passport as it is stored. Times are milliseconds since 1970, keys standard base64.
#[derive(Clone, Debug)]
pub struct Passport {
    /// Its id.
    pub passport_id: String,
    /// The issuer at its root.
    pub issuer_id: String,
    /// The gate at its root, if a gate issued it.
    pub gate_id: Option<String>,
    /// The agent that holds it.
    pub agent_id: String,
    /// The agent's name.
    pub agent_name: Option<String>,
    /// The agent's key.
    pub public_key: String,
    /// The key that its signature is by.
    pub signed_by: String,
    /// The actions that it grants.
    pub permissions: Vec<String>,
    /// Their constraints, as they were given, or for each permission that has some.
    pub constraints: Map<String, Value>,
    /// The envelope's canonical text.
    pub passport_json: String,
    /// The signature over that, in standard base64.
    pub signature: String,
    /// What was noted at its issue; it is not part of the passport.
    pub metadata: Map<String, Value>,
    /// The catalog that it is pinned to.
    pub catalog_version: Option<i64>,
    /// That catalog's hash.
    pub catalog_content_hash: Option<String>,
    /// When it was issued, or registered.
    pub created_at: i64,
    /// Until when it is valid.
    pub expires_at: i64,
    /// When it was revoked.
    pub revoked_at: Option<i64>,
}

/// `SELECT` of what [`Passport::read`] reads, and the rest.
macro_rules! select_passports {
    ($rest:expr) => {
        concat!(
            "SELECT passport_id, issuer_id, gate_id, agent_id, agent_name, public_key, signed_by, \
             permissions, constraints, passport_json, signature, metadata, catalog_version, \
             catalog_content_hash, created_at, expires_at, revoked_at FROM passports ",
            $rest
        )
    };
}
pub(crate) use select_passports;

impl Passport {
    /// From a row of `select_passports!`.
    ///
    /// # Errors
    /// The row is damaged.
    pub fn read(row: &AnyRow) -> ApiResult<Self> {
        let json = |column: &str| row.try_get::<String, _>(column);
        let damaged = "a passport's row is unreadable";
        Ok(Passport {
            passport_id: row.try_get("passport_id")?,
            issuer_id: row.try_get("issuer_id")?,
            gate_id: row.try_get("gate_id")?,
            agent_id: row.try_get("agent_id")?,
            agent_name: row.try_get("agent_name")?,
            public_key: row.try_get("public_key")?,
            signed_by: row.try_get("signed_by")?,
            permissions: serde_json::from_str(&json("permissions")?).context(damaged)?,
            constraints: serde_json::from_str(&json("constraints")?).context(damaged)?,
            passport_json: row.try_get("passport_json")?,
            signature: row.try_get("signature")?,
            metadata: serde_json::from_str(&json("metadata")?).context(damaged)?,
            catalog_version: row.try_get("catalog_version")?,
            catalog_content_hash: row.try_get("catalog_content_hash")?,
            created_at: row.try_get("created_at")?,
            expires_at: row.try_get("expires_at")?,
            revoked_at: row.try_get("revoked_at")?,
        })
    }

    /// Whether an agent has signed it for itself, or delegated such a one.
    pub fn is_self_issued(&self) -> bool {
        self.issuer_id.starts_with(SELF_PREFIX)
    }

    /// Whether an agent has delegated it, and so signed it.
    ///
    /// # Errors
    /// The stored envelope is damaged.
    pub fn is_delegated(&self) -> ApiResult<bool> {
        let envelope: Value =
            serde_json::from_str(&self.passport_json).context("a stored passport is unreadable")?;
        Ok(!envelope.pointer("/provenance/delegation_chain").unwrap_or(&Value::Null).is_null())
    }

    /// The id of the passport at the root of its chain, or its own.
    ///
    /// # Errors
    /// The stored envelope is damaged.
    pub fn root_id(&self) -> ApiResult<String> {
        let envelope: Value =
            serde_json::from_str(&self.passport_json).context("a stored passport is unreadable")?;
        let root = envelope.pointer("/provenance/delegation_chain/0/passport_json/passport_id");
        Ok(root.and_then(Value::as_str).unwrap_or(&self.passport_id).to_owned())
    }

    /// The catalog that it is pinned to.
    pub fn pin(&self) -> Option<CatalogPin> {
        Some(CatalogPin { version: self.catalog_version?, content_hash: self.catalog_content_hash.clone()? })
    }

    /// `active`, `expired` or `revoked`.
    pub fn status(&self) -> &'static str {
        match self.revoked_at {
            Some(_) => "revoked",
            None if self.expires_at <= now_ms() => "expired",
            None => "active",
        }
    }
}

/// The passport of this id.
///
/// # Errors
/// No database.
pub async fn find(tx: &mut Tx, passport_id: &str) -> ApiResult<Option<Passport>> {
    let row = sqlx::query(select_passports!("WHERE passport_id = $1"))
        .bind(passport_id)
        .fetch_optional(&mut **tx)
        .await?;
    row.as_ref().map(Passport::read).transpose()
}

/// Notes that a passport, just stored, was registered by somebody without a key.
///
/// # Errors
/// 409 `passports_full`.
pub async fn registered(tx: &mut Tx, passport_id: &str) -> ApiResult<()> {
    let (count,): (i64,) =
        sqlx::query_as("SELECT COUNT(*) FROM passports WHERE registered = 1").fetch_one(&mut **tx).await?;
    if count >= MOST_REGISTERED {
        let message = format!(
            "{MOST_REGISTERED} passports are registered, which is all that there is room for: a gate takes this \
             one without its being registered"
        );
        return Err(ApiError::new(StatusCode::CONFLICT, "passports_full", message));
    }
    sqlx::query("UPDATE passports SET registered = 1 WHERE passport_id = $1")
        .bind(passport_id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Forgets registered passports that are over and can matter no more.
///
/// # Errors
/// No database.
pub async fn forget(app: &App) -> anyhow::Result<()> {
    let now = now_ms();
    // Each turn forgets a thousand of those that are there.
    loop {
        // Nobody else is held up to find that there are none.
        let over: Vec<(String,)> = sqlx::query_as(
            "SELECT passport_id FROM passports WHERE registered = 1 AND expires_at < $1 \
             AND (expires_at < $2 OR substr(issuer_id, 1, 5) = $3) LIMIT $4",
        )
        .bind(now.saturating_sub(SELF_KEPT_MS))
        .bind(now.saturating_sub(KEPT_MS))
        .bind(SELF_PREFIX)
        .bind(FORGOTTEN_AT_ONCE)
        .fetch_all(app.db.pool())
        .await?;
        if over.is_empty() {
            return Ok(());
        }
        let mut tx = app.db.write().await?;
        for (passport_id,) in &over {
            for sql in [
                "DELETE FROM heartbeats WHERE passport_id = $1",
                "DELETE FROM passport_constraints WHERE passport_id = $1",
                "DELETE FROM passports WHERE passport_id = $1",
            ] {
                sqlx::query(sql).bind(passport_id).execute(&mut *tx).await?;
            }
        }
        tx.commit().await?;
    }
}

/// Stores a new passport. Answers false where there is one of its id.
///
/// # Errors
/// No database.
pub async fn insert(tx: &mut Tx, passport: &Passport) -> ApiResult<bool> {
    let inserted = sqlx::query(
        "INSERT INTO passports (passport_id, issuer_id, gate_id, agent_id, agent_name, public_key, \
         signed_by, permissions, constraints, passport_json, signature, metadata, catalog_version, \
         catalog_content_hash, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) ON CONFLICT DO NOTHING",
    )
    .bind(&passport.passport_id)
    .bind(&passport.issuer_id)
    .bind(&passport.gate_id)
    .bind(&passport.agent_id)
    .bind(&passport.agent_name)
    .bind(&passport.public_key)
    .bind(&passport.signed_by)
    .bind(serde_json::json!(passport.permissions).to_string())
    .bind(serde_json::json!(passport.constraints).to_string())
    .bind(&passport.passport_json)
    .bind(&passport.signature)
    .bind(serde_json::json!(passport.metadata).to_string())
    .bind(passport.catalog_version)
    .bind(&passport.catalog_content_hash)
    .bind(passport.created_at)
    .bind(passport.expires_at)
    .execute(&mut **tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Revokes a passport, and with it whatever was delegated from it. Answers the change's
/// number, or `None` if it was revoked already.
///
/// # Errors
/// No database.
pub async fn revoke(
    tx: &mut Tx,
    feed: &TrustFeed,
    passport: &Passport,
    reason: Option<&str>,
) -> ApiResult<Option<i64>> {
    let what = Revocation { kind: Kind::Passport, issuer: &passport.issuer_id, id: &passport.passport_id };
    // It matters for as long as a gate with a slow clock takes the passport.
    let moot_at = passport.expires_at.saturating_add(CLOCK_SKEW_MS);
    // The clock first, then the row: everyone takes them in this order.
    let number = changes::revoke(tx, feed, what, reason, Some(moot_at)).await?;
    sqlx::query("UPDATE passports SET revoked_at = $1 WHERE passport_id = $2 AND revoked_at IS NULL")
        .bind(now_ms())
        .bind(&passport.passport_id)
        .execute(&mut **tx)
        .await?;
    Ok(number)
}

/// 404 for a passport.
pub fn no_passport(passport_id: &str) -> ApiError {
    ApiError::not_found("passport", passport_id)
}
