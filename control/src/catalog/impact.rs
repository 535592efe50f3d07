//! What publishing a draft would change, and for whom.

use super::{Draft, find, latest};
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::time::now_ms;
use anyhow::Context;
use futures_util::TryStreamExt;
use portcullis_core::catalog::{Change, changes};
use std::collections::{BTreeMap, BTreeSet};

/// What would change.
#[derive(Clone, Debug, Default)]
pub struct Impact {
    /// Passports that are good now and pinned to other terms, of a permission that they
    /// grant, than the draft's. They keep theirs until they are issued again.
    pub affected_passports: i64,
    /// Those of them for which some of the draft's terms are worse.
    pub breaking_passports: i64,
    /// What the draft changes of the version that was published last.
    pub changes: Vec<Change>,
}

/// Compares the gate's draft with what was published, and with what passports are pinned to.
///
/// # Errors
/// 404 for no gate and for no draft.
pub async fn impact(tx: &mut Tx, gate: &str) -> ApiResult<Impact> {
    let draft =
        Draft::read(tx, gate).await?.ok_or_else(|| ApiError::not_found("draft of a catalog of", gate))?;
    let drafted = draft.permissions()?;
    let published = match latest(tx, gate).await? {
        Some(latest) => latest.permissions()?,
        None => Vec::new(),
    };
    let mut impact = Impact { changes: changes(&published, &drafted), ..Impact::default() };
    let now = now_ms();
    let pinned: Vec<(i64,)> = sqlx::query_as(
        "SELECT DISTINCT catalog_version FROM passports \
         WHERE gate_id = $1 AND catalog_version IS NOT NULL AND revoked_at IS NULL AND expires_at > $2",
    )
    .bind(gate)
    .bind(now)
    .fetch_all(&mut **tx)
    .await?;
    // As many as a gate has versions, at most.
    let mut of_versions: BTreeMap<i64, Vec<Change>> = BTreeMap::new();
    for (version,) in pinned {
        let terms = find(tx, gate, version).await?.map(|stored| stored.permissions()).transpose()?;
        of_versions.insert(version, terms.map_or_else(Vec::new, |terms| changes(&terms, &drafted)));
    }
    // One row for all passports that grant the same under the same version. There may be as many
    // as passports: each is looked at as it comes.
    let mut groups = sqlx::query_as::<_, (i64, String, i64)>(
        "SELECT catalog_version, permissions, COUNT(*) FROM passports \
         WHERE gate_id = $1 AND catalog_version IS NOT NULL AND revoked_at IS NULL AND expires_at > $2 \
         GROUP BY catalog_version, permissions",
    )
    .bind(gate)
    .bind(now)
    .fetch(&mut **tx);
    while let Some((pinned, permissions, count)) = groups.try_next().await? {
        let of_version = of_versions.get(&pinned).map_or(&[][..], Vec::as_slice);
        let granted: BTreeSet<String> =
            serde_json::from_str(&permissions).context("a passport's row is unreadable")?;
        let found = of_version.iter().filter(|change| granted.contains(&change.permission_key));
        let found: Vec<&Change> = found.collect();
        if !found.is_empty() {
            impact.affected_passports = impact.affected_passports.saturating_add(count);
        }
        if found.iter().any(|change| change.breaking) {
            impact.breaking_passports = impact.breaking_passports.saturating_add(count);
        }
    }
    Ok(impact)
}
