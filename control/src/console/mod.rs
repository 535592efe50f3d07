//! The console: pages for operators, inside this program, and who is signed in at them.
//!
//! The pages call the REST surface as everybody does. What is the console's own is a
//! [`session`] in place of an API key, a [`link`] that begins one, and which pages of a
//! browser may use it ([`browser`]).

pub mod assets;
pub mod browser;
pub mod link;
pub mod session;

use crate::App;
use crate::db::Tx;
use crate::error::ApiResult;
use crate::time::now_ms;
use anyhow::anyhow;
use portcullis_core::base64;

/// A token of 256 random bits: `prefix`, and base64url of them.
///
/// # Errors
/// No randomness.
fn random_token(prefix: &str) -> anyhow::Result<String> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| anyhow!("no randomness: {error}"))?;
    Ok(format!("{prefix}{}", base64::encode_url(&random)))
}

/// Revokes a key that was made for one link, as nobody has it.
async fn end_own_key(tx: &mut Tx, key_id: &str) -> ApiResult<()> {
    sqlx::query("UPDATE api_keys SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL")
        .bind(now_ms())
        .bind(key_id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Forgets sessions and links that are over, with the keys that were made for them.
///
/// # Errors
/// No database.
pub async fn forget(app: &App) -> anyhow::Result<()> {
    let now = now_ms();
    let idle = now.saturating_sub(session::IDLE_MS);
    let mut tx = app.db.write().await?;
    sqlx::query(
        "UPDATE api_keys SET revoked_at = $1 WHERE revoked_at IS NULL AND (\
         id IN (SELECT key_id FROM console_links WHERE own_key = 1 AND expires_at <= $2) OR \
         id IN (SELECT key_id FROM console_sessions WHERE own_key = 1 AND (expires_at <= $3 OR seen_at <= $4)))",
    )
    .bind(now)
    .bind(now)
    .bind(now)
    .bind(idle)
    .execute(&mut *tx)
    .await?;
    sqlx::query("DELETE FROM console_links WHERE expires_at <= $1").bind(now).execute(&mut *tx).await?;
    sqlx::query(
        "DELETE FROM console_sessions WHERE expires_at <= $1 OR seen_at <= $2 OR \
         key_id IN (SELECT id FROM api_keys WHERE revoked_at IS NOT NULL)",
    )
    .bind(now)
    .bind(idle)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}
