//! What agents have signed for uses outside a gate: each is taken once.

use crate::App;
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::time::now_ms;
use anyhow::Result;
use axum::http::StatusCode;

/// How long a nonce is kept. What was signed is taken for minutes; a day leaves room for
/// clocks, and for questions.
const KEPT_MS: i64 = 24 * 3_600_000;

/// Uses a nonce up.
///
/// # Errors
/// 409 `nonce_already_used`; no database.
pub async fn use_once(tx: &mut Tx, nonce: &str, passport: &str, gate: &str) -> ApiResult<()> {
    let done = sqlx::query(
        "INSERT INTO consumption_nonces (nonce, passport_id, gate_id, used_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT DO NOTHING",
    )
    .bind(nonce)
    .bind(passport)
    .bind(gate)
    .bind(now_ms())
    .execute(&mut **tx)
    .await?;
    if done.rows_affected() == 1 {
        return Ok(());
    }
    let message = "agent_pop.nonce: was used before with this passport at this gate: sign anew, with another";
    let mut error = ApiError::new(StatusCode::CONFLICT, "nonce_already_used", message);
    error.field = Some("agent_pop.nonce".to_owned());
    Err(error)
}

/// Forgets what is older than a day.
///
/// # Errors
/// No database.
pub async fn forget(app: &App) -> Result<()> {
    sqlx::query("DELETE FROM consumption_nonces WHERE used_at < $1")
        .bind(now_ms().saturating_sub(KEPT_MS))
        .execute(app.db.pool())
        .await?;
    Ok(())
}
