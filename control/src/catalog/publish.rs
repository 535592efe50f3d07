//! Publishing a draft: signed, numbered, and on its way to the gate, all or nothing.

use super::draft::{Draft, invalid};
use super::{Stored, latest};
use crate::App;
use crate::api::gates::hold;
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::keys::{self, Purpose};
use crate::time::now;
use crate::trust::changes;
use crate::trust::snapshot::Content;
use anyhow::Context;
use portcullis_core::catalog::{Catalog, MAX_VERSIONS, Permission, changes as changes_of};
use portcullis_core::{CLOCK_SKEW_MS, UnixTime};
use serde_json::json;

/// What is said of a version beside its catalog.
#[derive(Clone, Debug, Default)]
pub struct Publication {
    /// What has changed, in the operator's words.
    pub change_summary: Option<String>,
    /// From when on it is in force, in place of every version before it; left out: at once.
    pub effective_at: Option<UnixTime>,
}

/// The farthest future from which a version may be in force, a year.
const MAX_AHEAD_MS: i64 = 366 * 86_400_000;

/// The most versions that wait for their time: discovery looks through what each of them lists.
const MAX_WAITING: i64 = 10;

/// Publishes the gate's draft as its next version. Answers that, and the number of the
/// change of what the gate sees.
///
/// # Errors
/// 404 for no gate; 422 for a draft that is missing, empty, not active or too long, for a time
/// that is none, and for prices at a gate that records nothing; 409 for too many versions, in all
/// or to come.
pub async fn publish(
    tx: &mut Tx,
    app: &App,
    gate: &str,
    publication: Publication,
) -> ApiResult<(Stored, i64)> {
    // The clock first, then the row: everyone takes them in this order. Who publishes at the
    // same time waits here, and takes the next version.
    let number = changes::renew_gate(tx, gate).await?;
    hold(tx, gate).await?;
    let permissions = ready(Draft::read(tx, gate).await?)?;
    let before = latest(tx, gate).await?;
    let version = before.as_ref().map_or(1, |before| before.version.saturating_add(1));
    if usize::try_from(version).is_ok_and(|version| version > MAX_VERSIONS) {
        let problem = format!("a gate has at most {MAX_VERSIONS} catalog versions: make another gate");
        return Err(ApiError::conflict(problem));
    }
    let published_at = now();
    let effective_at = effective_at(&publication, published_at)?;
    if effective_at > published_at && waiting(tx, gate, published_at).await? >= MAX_WAITING {
        let problem = format!("{MAX_WAITING} versions wait for their time already: publish one at once");
        return Err(ApiError::conflict(problem));
    }
    let old = before.as_ref().map(Stored::permissions).transpose()?.unwrap_or_default();
    let found = changes_of(&old, &permissions);
    let signer = keys::signer(tx, &app.vault, Purpose::Passports, gate).await?;
    let catalog =
        Catalog { gate_id: gate.to_owned(), version: version.cast_unsigned(), published_at, permissions };
    let signed = catalog.sign(&signer.key).map_err(invalid)?;
    let stored = Stored {
        gate_id: gate.to_owned(),
        version,
        snapshot: signed.snapshot,
        content_hash: signed.content_hash,
        signature: signed.signature,
        signing_key_id: signer.key_id,
        change_summary: publication.change_summary,
        has_breaking_changes: found.iter().any(|change| change.breaking),
        changes: serde_json::to_value(found).context("changes cannot be written")?,
        effective_at: effective_at.as_millis(),
        created_at: published_at.as_millis(),
    };
    insert(tx, &stored).await?;
    list(tx, &catalog).await?;
    forget(tx, gate, published_at).await?;
    if let Some(content) = Content::read(tx, &app.settings, gate).await? {
        content.check()?;
    }
    Ok((stored, number))
}

fn ready(draft: Option<Draft>) -> ApiResult<Vec<Permission>> {
    let empty = "has none: a catalog offers at least one; POST …/catalog sets the draft";
    let draft = draft.ok_or_else(|| ApiError::invalid("permissions", empty))?;
    if !draft.is_active {
        return Err(ApiError::invalid("is_active", "is false in the draft: set it to true to publish it"));
    }
    let permissions = draft.permissions()?;
    if permissions.is_empty() { Err(ApiError::invalid("permissions", empty)) } else { Ok(permissions) }
}

fn effective_at(publication: &Publication, published_at: UnixTime) -> ApiResult<UnixTime> {
    let wrong = |problem| Err(ApiError::invalid("effective_at", problem));
    match publication.effective_at {
        None => Ok(published_at),
        Some(asked) if asked.plus_millis(CLOCK_SKEW_MS) < published_at => {
            wrong("is past: terms do not change for what has happened")
        }
        Some(asked) if asked > published_at.plus_millis(MAX_AHEAD_MS) => wrong("must be within 366 days"),
        Some(asked) => Ok(asked.max(published_at)),
    }
}

/// How many versions are not in force yet.
async fn waiting(tx: &mut Tx, gate: &str, now: UnixTime) -> ApiResult<i64> {
    let (count,): (i64,) =
        sqlx::query_as("SELECT COUNT(*) FROM catalogs WHERE gate_id = $1 AND effective_at > $2")
            .bind(gate)
            .bind(now.as_millis())
            .fetch_one(&mut **tx)
            .await?;
    Ok(count)
}

async fn insert(tx: &mut Tx, stored: &Stored) -> ApiResult<()> {
    sqlx::query(
        "INSERT INTO catalogs (gate_id, version, snapshot, content_hash, signature, signing_key_id, \
         change_summary, changes, has_breaking_changes, effective_at, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(&stored.gate_id)
    .bind(stored.version)
    .bind(&stored.snapshot)
    .bind(&stored.content_hash)
    .bind(&stored.signature)
    .bind(&stored.signing_key_id)
    .bind(&stored.change_summary)
    .bind(json!(stored.changes).to_string())
    .bind(i64::from(stored.has_breaking_changes))
    .bind(stored.effective_at)
    .bind(stored.created_at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Lists what has a price, to be found.
async fn list(tx: &mut Tx, catalog: &Catalog) -> ApiResult<()> {
    for permission in &catalog.permissions {
        let Some(price) = permission.terms.price else { continue };
        sqlx::query(
            "INSERT INTO catalog_services (gate_id, version, permission_key, namespace, pricing_model, \
             price_cents, uptime_basis_points, response_time_ms, fee_basis_points) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(&catalog.gate_id)
        .bind(catalog.version.cast_signed())
        .bind(&permission.key)
        .bind(namespace(&permission.key))
        .bind(price.model.name())
        .bind(price.cents.cast_signed())
        .bind(permission.terms.uptime_basis_points.map(u64::cast_signed))
        .bind(permission.terms.response_time_ms.map(u64::cast_signed))
        .bind(permission.terms.fee_basis_points.map(u64::cast_signed))
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// Forgets what older versions listed than the one in force: nobody finds it any more.
async fn forget(tx: &mut Tx, gate: &str, now: UnixTime) -> ApiResult<()> {
    sqlx::query(
        "DELETE FROM catalog_services WHERE gate_id = $1 AND version < \
         (SELECT MAX(version) FROM catalogs WHERE catalogs.gate_id = $2 AND effective_at <= $3)",
    )
    .bind(gate)
    .bind(gate)
    .bind(now.as_millis())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What comes before the first colon of a permission's name.
pub(super) fn namespace(key: &str) -> &str {
    key.split(':').next().unwrap_or(key)
}
