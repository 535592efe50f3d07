//! How long records are kept. Their texts go; the log's tree and its checkpoints stay, so
//! that all which was ever proved of the log can still be proved.

use crate::App;
use crate::db::Tx;
use crate::error::ApiResult;
use crate::time::now_ms;
use anyhow::Result;

/// Records that go in one transaction, so that nobody waits for long.
const AT_ONCE: i64 = 1000;

const DAY_MS: i64 = 24 * 3_600_000;

/// Removes what is older than the settings, or the gate's own, say.
///
/// # Errors
/// No database.
pub async fn prune(app: &App) -> Result<()> {
    let logs: Vec<(String, Option<i64>)> =
        sqlx::query_as("SELECT gate_id, retention_days FROM record_logs ORDER BY gate_id")
            .fetch_all(app.db.pool())
            .await?;
    let general = app.settings.keep_records.map(i64::from);
    for (gate, own) in logs {
        let Some(days) = own.or(general) else { continue };
        let before = now_ms().saturating_sub(days.saturating_mul(DAY_MS));
        // Each turn takes some, of a number that is finite: what comes meanwhile is new.
        while prune_some(app, &gate, before).await? {}
    }
    Ok(())
}

/// Answers whether there may be more.
async fn prune_some(app: &App, gate: &str, before: i64) -> Result<bool> {
    let mut tx = app.db.write().await?;
    let (pruned_to,): (i64,) =
        sqlx::query_as("UPDATE record_logs SET size = size WHERE gate_id = $1 RETURNING pruned_to")
            .bind(gate)
            .fetch_one(&mut *tx)
            .await?;
    let end = pruned_to.saturating_add(AT_ONCE);
    // A log has records in the order in which they came: of the oldest, those before the
    // first that stays.
    let (first_kept,): (Option<i64>,) = sqlx::query_as(
        "SELECT MIN(log_index) FROM records WHERE gate_id = $1 AND log_index < $2 AND received_at >= $3",
    )
    .bind(gate)
    .bind(end)
    .bind(before)
    .fetch_one(&mut *tx)
    .await?;
    let removed = sqlx::query("DELETE FROM records WHERE gate_id = $1 AND log_index < $2")
        .bind(gate)
        .bind(first_kept.unwrap_or(end))
        .execute(&mut *tx)
        .await?
        .rows_affected();
    if removed == 0 {
        return Ok(false);
    }
    let pruned_to = pruned_to.saturating_add(i64::try_from(removed)?);
    sqlx::query("UPDATE record_logs SET pruned_to = $1 WHERE gate_id = $2")
        .bind(pruned_to)
        .bind(gate)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    tracing::info!(gate, removed, pruned_to, "records were removed, as their time is over");
    Ok(first_kept.is_none())
}

/// How many days the records of a gate are kept by its own setting; `None` for the
/// service's.
///
/// # Errors
/// No database.
pub async fn of_gate(tx: &mut Tx, gate: &str) -> ApiResult<Option<i64>> {
    let row: Option<(Option<i64>,)> =
        sqlx::query_as("SELECT retention_days FROM record_logs WHERE gate_id = $1")
            .bind(gate)
            .fetch_optional(&mut **tx)
            .await?;
    Ok(row.and_then(|(days,)| days))
}

/// Says how many days the records of a gate are kept; `None` for as the service's settings
/// say.
///
/// # Errors
/// No database.
pub async fn set(tx: &mut Tx, gate: &str, days: Option<i64>) -> ApiResult<()> {
    super::store::make(tx, gate).await?;
    sqlx::query("UPDATE record_logs SET retention_days = $1 WHERE gate_id = $2")
        .bind(days)
        .bind(gate)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
