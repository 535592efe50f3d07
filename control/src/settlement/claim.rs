//! Claiming receipts for a settlement.
//!
//! A receipt's claim is a row that there can be once. What a void settlement or a failed one has
//! claimed counts as free everywhere: the next takes the row over, and upkeep deletes it some
//! time, so that nobody who voids a million waits for that.

use super::Settlement;
use super::run::Stop;
use crate::App;
use crate::db::{Backend, Tx};
use crate::error::ApiResult;
use crate::receipts::Place;
use anyhow::Result;
use sqlx::AssertSqlSafe;

/// Receipts that are claimed, or given free, in one transaction: in SQLite nobody else writes for
/// its twentieth of a second.
const AT_ONCE: i64 = 5_000;

/// Receipts of a settlement from which on it matters how a database looks for them: of fewer, all are
/// sorted for each page in some milliseconds.
const MANY: i64 = 5_000;

/// Binds what [`receipts_of`] asks for.
macro_rules! bind {
    ($query:expr, $settlement:expr, $after:expr, $to:expr) => {
        $query
            .bind(&$settlement.gate_id)
            .bind($after.0)
            .bind(&$after.1)
            .bind($to.0)
            .bind(&$to.1)
            .bind($settlement.agent_id.as_deref().unwrap_or_default())
            .bind($settlement.issuer_id.as_deref().unwrap_or_default())
    };
}

/// Claims all receipts of the period that no settlement has, and answers how many the settlement has
/// then. Those of a former attempt stay claimed.
pub(super) async fn claim(app: &App, settlement: &Settlement) -> Result<i64, Stop> {
    let (mut place, last) = places(settlement);
    let mut claimed = count(app, settlement).await?;
    // Each turn goes on behind the last; a period that is over has no end of receipts only
    // for whoever makes them faster than they are claimed.
    while let Some(end) = next_end(app, settlement, &place, &last).await? {
        let mut tx = app.db.write().await?;
        super::run::still_mine(&mut tx, settlement, Some((claimed, 0))).await?;
        let receipts = receipts_of(settlement, 1);
        let text = format!(
            "INSERT INTO settled_receipts (gate_id, issued_at, receipt_id, settlement_id) \
             SELECT gate_id, issued_at, receipt_id, $1 {receipts} \
             ON CONFLICT (gate_id, issued_at, receipt_id) DO UPDATE \
             SET settlement_id = excluded.settlement_id, mark = NULL, allowance = NULL \
             WHERE EXISTS (SELECT 1 FROM settlements \
             WHERE settlements.settlement_id = settled_receipts.settlement_id AND status IN ('void', 'failed'))"
        );
        let query = sqlx::query(AssertSqlSafe(text)).bind(&settlement.id);
        let these = bind!(query, settlement, place, end).execute(&mut *tx).await?.rows_affected();
        tx.commit().await?;
        place = end;
        claimed = claimed.saturating_add_unsigned(these);
    }
    let claimed = count(app, settlement).await?;
    let mut tx = app.db.write().await?;
    super::run::still_mine(&mut tx, settlement, Some((claimed, 0))).await?;
    tx.commit().await?;
    if app.db.backend() == Backend::Postgres && claimed >= MANY {
        // It knows nothing yet of rows that have just come, and would sort them all for each page. Where
        // it cannot look, as somebody holds a table, that takes longer, and no more.
        let looked = sqlx::query("ANALYZE (SKIP_LOCKED) settled_receipts, receipts, records");
        if let Err(error) = looked.execute(app.db.pool()).await {
            tracing::warn!(settlement = settlement.id, %error, "the tables cannot be analyzed");
        }
    }
    Ok(claimed)
}

async fn count(app: &App, settlement: &Settlement) -> Result<i64, sqlx::Error> {
    let (count,) = sqlx::query_as("SELECT COUNT(*) FROM settled_receipts WHERE settlement_id = $1")
        .bind(&settlement.id)
        .fetch_one(app.db.pool())
        .await?;
    Ok(count)
}

/// What stands before all receipts of the period, and behind them: no id is empty.
fn places(settlement: &Settlement) -> (Place, Place) {
    let place = |at| Place(at, String::new());
    (place(settlement.period.begins_at), place(settlement.period.ends_at))
}

/// `FROM` and `WHERE` of receipts of the gate between two places, and of the agent if it is of one
/// alone, after so many parameters; `bind!` binds its own. Of the time alone nothing is said: where
/// two bounds are, SQLite begins at the looser one.
fn receipts_of(settlement: &Settlement, bound: usize) -> String {
    let [gate, after, after_id, to, to_id, agent, issuer] =
        [1, 2, 3, 4, 5, 6, 7].map(|number| bound.saturating_add(number));
    let of_agent = if settlement.agent_id.is_some() { "agent_id" } else { "''" };
    let of_issuer = if settlement.issuer_id.is_some() { "issuer_id" } else { "''" };
    format!(
        "FROM receipts WHERE gate_id = ${gate} AND (issued_at, receipt_id) > (${after}, ${after_id}) \
         AND (issued_at, receipt_id) <= (${to}, ${to_id}) AND {of_agent} = ${agent} AND {of_issuer} = ${issuer}"
    )
}

/// The last of the next receipts between two places, if there are any.
async fn next_end(
    app: &App,
    settlement: &Settlement,
    after: &Place,
    to: &Place,
) -> Result<Option<Place>, Stop> {
    // Of the last some fewer than a whole batch.
    for skipped in [AT_ONCE.saturating_sub(1), 0] {
        let order = if skipped == 0 { "DESC" } else { "ASC" };
        let receipts = receipts_of(settlement, 1);
        let text = format!(
            "SELECT issued_at, receipt_id {receipts} \
             ORDER BY issued_at {order}, receipt_id {order} LIMIT 1 OFFSET $1"
        );
        let query = sqlx::query_as(AssertSqlSafe(text)).bind(skipped);
        let found: Option<(i64, String)> =
            bind!(query, settlement, after, to).fetch_optional(app.db.pool()).await?;
        if let Some((at, id)) = found {
            return Ok(Some(Place(at, id)));
        }
    }
    Ok(None)
}

/// How many receipts of a settlement's period and agent are part of no settlement, up to `most`:
/// they came after it.
///
/// # Errors
/// No database.
pub(crate) async fn late(tx: &mut Tx, settlement: &Settlement, most: i64) -> ApiResult<i64> {
    let receipts = receipts_of(settlement, 1);
    let text = format!(
        "SELECT COUNT(*) FROM (SELECT 1 {receipts} \
         AND NOT EXISTS (SELECT 1 FROM settled_receipts JOIN settlements \
         ON settlements.settlement_id = settled_receipts.settlement_id \
         WHERE settled_receipts.gate_id = receipts.gate_id \
         AND settled_receipts.issued_at = receipts.issued_at \
         AND settled_receipts.receipt_id = receipts.receipt_id AND status NOT IN ('void', 'failed')) \
         LIMIT $1) AS late"
    );
    let query = sqlx::query_as(AssertSqlSafe(text)).bind(most);
    let (begin, end) = places(settlement);
    let (late,): (i64,) = bind!(query, settlement, begin, end).fetch_one(&mut **tx).await?;
    Ok(late)
}

/// Deletes what void settlements and failed ones have claimed, some at a time.
///
/// # Errors
/// No database.
pub(crate) async fn forget(app: &App) -> Result<()> {
    // Each turn deletes rows that are made only by settling.
    loop {
        let ended: Option<(String,)> = sqlx::query_as(
            "SELECT settlement_id FROM settlements WHERE status IN ('void', 'failed') AND EXISTS \
             (SELECT 1 FROM settled_receipts WHERE settled_receipts.settlement_id = settlements.settlement_id) \
             LIMIT 1",
        )
        .fetch_optional(app.db.pool())
        .await?;
        let Some((id,)) = ended else { return Ok(()) };
        // Said of the row itself too: one that was taken over meanwhile is another's.
        let text = format!(
            "DELETE FROM settled_receipts WHERE settlement_id = $1 AND (gate_id, issued_at, receipt_id) IN \
             (SELECT gate_id, issued_at, receipt_id FROM settled_receipts WHERE settlement_id = $2 LIMIT {AT_ONCE})"
        );
        sqlx::query(AssertSqlSafe(text)).bind(&id).bind(&id).execute(app.db.pool()).await?;
    }
}
