//! Who changed what: a line for each administrative action, in the transaction that does it.

use crate::db::Tx;
use crate::error::ApiResult;
use crate::time::now_ms;
use serde_json::Value;

/// Writes a line. `actor` is an API key's id, a gate's id or an agent's; `detail` holds no
/// secrets.
///
/// # Errors
/// The database does not answer; the action must then not happen either.
pub async fn record(tx: &mut Tx, actor: &str, action: &str, target: &str, detail: Value) -> ApiResult<()> {
    sqlx::query("INSERT INTO audit (id, at, actor, action, target, detail) VALUES ($1, $2, $3, $4, $5, $6)")
        .bind(uuid::Uuid::new_v4().to_string())
        .bind(now_ms())
        .bind(actor)
        .bind(action)
        .bind(target)
        .bind(detail.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}
