//! Settlements that are done, in pages.

use super::{Settlement, select_settlements};
use crate::db::Tx;
use crate::error::ApiResult;
use sqlx::AssertSqlSafe;

/// Which settlements. Times are milliseconds since 1970.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of this gate.
    pub gate_id: Option<String>,
    /// Of this agent alone.
    pub agent_id: Option<String>,
    /// `daily`, `weekly` or `monthly`.
    pub period_type: Option<String>,
    /// Of this status.
    pub status: Option<String>,
    /// Of periods that end after this.
    pub from: Option<i64>,
    /// Of periods that begin at this or before.
    pub to: Option<i64>,
}

/// A page of them, the newest first, and how many there are.
///
/// # Errors
/// No database.
pub async fn list(
    tx: &mut Tx,
    wanted: &Wanted,
    limit: i64,
    offset: i64,
) -> ApiResult<(Vec<Settlement>, i64)> {
    let mut texts = Vec::new();
    let mut condition = String::from("WHERE ends_at > $1 AND begins_at <= $2 AND summary IS NOT NULL");
    for (column, value) in [
        ("gate_id", &wanted.gate_id),
        ("agent_id", &wanted.agent_id),
        ("period_type", &wanted.period_type),
        ("status", &wanted.status),
    ] {
        if let Some(value) = value {
            texts.push(value);
            condition.push_str(&format!(" AND {column} = ${}", texts.len().saturating_add(2)));
        }
    }
    let (from, to) = (wanted.from.unwrap_or(i64::MIN), wanted.to.unwrap_or(i64::MAX));
    // Numbers and names of columns of this file; what callers wrote is bound.
    let order =
        format!(" ORDER BY begins_at DESC, created_at DESC, settlement_id LIMIT {limit} OFFSET {offset}");
    let select = [select_settlements!(""), &condition, &order].concat();
    let mut selecting = sqlx::query(AssertSqlSafe(select)).bind(from).bind(to);
    let count = format!("SELECT COUNT(*) FROM settlements {condition}");
    let mut counting = sqlx::query_as(AssertSqlSafe(count)).bind(from).bind(to);
    for text in texts {
        selecting = selecting.bind(text);
        counting = counting.bind(text);
    }
    let (total,): (i64,) = counting.fetch_one(&mut **tx).await?;
    let rows = selecting.fetch_all(&mut **tx).await?;
    let found: ApiResult<Vec<_>> = rows.iter().map(Settlement::read).collect();
    Ok((found?, total))
}
