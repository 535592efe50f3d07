//! Claiming receipts for a settlement, and giving them free.
//!
//! A receipt's claim is a row that there can be once. Runs that overlap exclude each other by
//! the gate's row before either begins, and where one meets a row of another all the same, it
//! waits and leaves the receipt: to skip what is locked could lose what its holder gives free.

use super::Settlement;
use super::run::Stop;
use crate::App;
use crate::db::Tx;
use crate::error::ApiResult;
use crate::receipts::Place;

/// Receipts that are claimed in one transaction: in SQLite nobody else writes for its tenths
/// of a second.
const AT_ONCE: i64 = 10_000;

/// Claims all receipts of the period that no settlement has. Those of a former attempt stay
/// claimed. Answers how many there are now.
pub(super) async fn claim(app: &App, settlement: &Settlement) -> Result<i64, Stop> {
    let mut place = Place::default();
    // Each turn goes on behind the last; a period that is over has no end of receipts only
    // for whoever makes them faster than they are claimed.
    while let Some(end) = next_end(app, settlement, &place).await? {
        let mut tx = app.db.write().await?;
        super::run::still_mine(&mut tx, settlement, None).await?;
        sqlx::query(
            "INSERT INTO settled_receipts (receipt_id, settlement_id) \
             SELECT receipt_id, $1 FROM receipts WHERE gate_id = $2 AND ($3 = '' OR agent_id = $4) \
             AND issued_at >= $5 AND issued_at < $6 \
             AND (issued_at, receipt_id) > ($7, $8) AND (issued_at, receipt_id) <= ($9, $10) \
             ON CONFLICT (receipt_id) DO NOTHING",
        )
        .bind(&settlement.id)
        .bind(&settlement.gate_id)
        .bind(agent(settlement))
        .bind(agent(settlement))
        .bind(settlement.period.begins_at)
        .bind(settlement.period.ends_at)
        .bind(place.0)
        .bind(&place.1)
        .bind(end.0)
        .bind(&end.1)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        place = end;
    }
    let mut tx = app.db.read().await?;
    let (claimed,): (i64,) = sqlx::query_as(
        "SELECT COUNT(*) FROM receipts JOIN settled_receipts \
         ON settled_receipts.receipt_id = receipts.receipt_id \
         WHERE gate_id = $1 AND issued_at >= $2 AND issued_at < $3 AND settlement_id = $4",
    )
    .bind(&settlement.gate_id)
    .bind(settlement.period.begins_at)
    .bind(settlement.period.ends_at)
    .bind(&settlement.id)
    .fetch_one(&mut *tx)
    .await?;
    Ok(claimed)
}

/// No agent's id is empty.
fn agent(settlement: &Settlement) -> &str {
    settlement.agent_id.as_deref().unwrap_or_default()
}

/// The last of the next receipts after a place, if there are any.
async fn next_end(app: &App, settlement: &Settlement, after: &Place) -> Result<Option<Place>, Stop> {
    // Of the last some fewer than a whole batch.
    for skipped in [AT_ONCE.saturating_sub(1), 0] {
        let order = if skipped == 0 { "DESC" } else { "ASC" };
        let text = format!(
            "SELECT issued_at, receipt_id FROM receipts WHERE gate_id = $1 \
             AND issued_at >= $2 AND issued_at < $3 AND (issued_at, receipt_id) > ($4, $5) \
             ORDER BY issued_at {order}, receipt_id {order} LIMIT 1 OFFSET $6"
        );
        let found: Option<(i64, String)> = sqlx::query_as(sqlx::AssertSqlSafe(text))
            .bind(&settlement.gate_id)
            .bind(settlement.period.begins_at)
            .bind(settlement.period.ends_at)
            .bind(after.0)
            .bind(&after.1)
            .bind(skipped)
            .fetch_optional(app.db.pool())
            .await?;
        if let Some((at, id)) = found {
            return Ok(Some(Place(at, id)));
        }
    }
    Ok(None)
}

/// Gives the receipts of a settlement free.
pub(super) async fn release(tx: &mut Tx, settlement: &Settlement) -> ApiResult<()> {
    sqlx::query(
        "DELETE FROM settled_receipts WHERE settlement_id = $1 AND receipt_id IN \
         (SELECT receipt_id FROM receipts WHERE gate_id = $2 AND issued_at >= $3 AND issued_at < $4)",
    )
    .bind(&settlement.id)
    .bind(&settlement.gate_id)
    .bind(settlement.period.begins_at)
    .bind(settlement.period.ends_at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// How many receipts of the period of a settlement no settlement has: they came after it.
///
/// # Errors
/// No database.
pub(crate) async fn late(tx: &mut Tx, settlement: &Settlement) -> ApiResult<i64> {
    let (late,): (i64,) = sqlx::query_as(
        "SELECT COUNT(*) FROM receipts WHERE gate_id = $1 AND ($2 = '' OR agent_id = $3) \
         AND issued_at >= $4 AND issued_at < $5 AND NOT EXISTS \
         (SELECT 1 FROM settled_receipts WHERE settled_receipts.receipt_id = receipts.receipt_id)",
    )
    .bind(&settlement.gate_id)
    .bind(agent(settlement))
    .bind(agent(settlement))
    .bind(settlement.period.begins_at)
    .bind(settlement.period.ends_at)
    .fetch_one(&mut **tx)
    .await?;
    Ok(late)
}
