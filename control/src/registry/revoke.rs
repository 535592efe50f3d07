//! Revoking badges. Gates learn of it by their fingerprints, followers by the feed.

use super::{SKEW_MS, origin};
use crate::App;
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::time::now_ms;
use crate::trust::changes::{self, Kind, Revocation};
use sqlx::Row;
use sqlx::any::AnyRow;
use sqlx::{Any, Executor};

/// What the registry knows of a badge that it issued.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its id, in lower case.
    pub jti: String,
    /// Until when it is valid.
    pub expires_at: i64,
    /// Since when it is revoked.
    pub revoked_at: Option<i64>,
    /// Why it is.
    pub reason: Option<String>,
}

/// The badge of this id, in upper or lower case.
///
/// # Errors
/// 404: this registry has not issued it, or so long ago that nobody asks.
pub async fn find<'e>(db: impl Executor<'e, Database = Any>, jti: &str) -> ApiResult<Record> {
    let row = sqlx::query("SELECT jti, expires_at, revoked_at, reason FROM badges WHERE jti = $1")
        .bind(jti.to_ascii_lowercase())
        .fetch_optional(db)
        .await?
        .ok_or_else(|| ApiError::not_found("badge", jti))?;
    Ok(record(&row)?)
}

/// Revokes a badge. Answers the number of the change; `None` if it was revoked already.
///
/// # Errors
/// No database.
pub async fn one(tx: &mut Tx, app: &App, badge: &Record, reason: Option<&str>) -> ApiResult<Option<i64>> {
    let what = Revocation { kind: Kind::Badge, issuer: origin(app), id: &badge.jti };
    let moot_at = badge.expires_at.saturating_add(SKEW_MS);
    let number = match changes::revoke(tx, &app.trust, what, reason, Some(moot_at)).await? {
        Some(number) => number,
        None if badge.revoked_at.is_some() => return Ok(None),
        // Gates were told of it as a revocation by itself; followers, who ask here, were not.
        None => changes::next_number(tx).await?,
    };
    sqlx::query("UPDATE badges SET revoked_at = $1, reason = $2, revoked_number = $3 WHERE jti = $4")
        .bind(now_ms())
        .bind(reason)
        .bind(number)
        .bind(&badge.jti)
        .execute(&mut **tx)
        .await?;
    Ok(Some(number))
}

/// Revokes the badges of a DID that could still be taken; its agent is locked, so that no
/// new ones come. They are as many as can be issued within the longest life of one.
///
/// # Errors
/// No database.
pub async fn all_of(tx: &mut Tx, app: &App, did: &str, reason: &str) -> ApiResult<Option<i64>> {
    let rows = sqlx::query(
        "SELECT jti, expires_at, revoked_at, reason FROM badges \
         WHERE subject = $1 AND revoked_at IS NULL AND expires_at > $2",
    )
    .bind(did)
    .bind(now_ms().saturating_sub(SKEW_MS))
    .fetch_all(&mut **tx)
    .await?;
    let mut newest = None;
    for row in &rows {
        newest = one(tx, app, &record(row)?, Some(reason)).await?.or(newest);
    }
    Ok(newest)
}

fn record(row: &AnyRow) -> Result<Record, sqlx::Error> {
    Ok(Record {
        jti: row.try_get("jti")?,
        expires_at: row.try_get("expires_at")?,
        revoked_at: row.try_get("revoked_at")?,
        reason: row.try_get("reason")?,
    })
}
