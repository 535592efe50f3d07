//! What is done now and then: what can matter to nobody any more is forgotten.

use super::{changes, proxies};
use crate::App;
use crate::enforcement::counts;
use crate::receipts::nonces;
use crate::records::retention;
use crate::time::now_ms;
use crate::{approvals, console, constraints, passports, settlement};
use anyhow::Result;
use std::time::Duration;

/// How often. What is forgotten has been of no use for a while already.
const EVERY: Duration = Duration::from_secs(60);

/// Assertions are refused 300 s after they were made, and that far before.
const ASSERTIONS_MS: i64 = 2 * 300_000;

/// Tokens that were used or came to their end are kept for a week, for questions.
const TOKENS_MS: i64 = 7 * 24 * 3_600_000;

/// Does it at the start, and then for as long as it is polled.
pub async fn run(app: App) {
    loop {
        // By itself: what is wrong there, or slow, is no reason to keep what is to be forgotten.
        let resuming = app.clone();
        tokio::spawn(async move {
            if let Err(error) = settlement::resume(&resuming).await {
                tracing::warn!(error = format!("{error:#}"), "settlements wait for now");
            }
        });
        if let Err(error) = once(&app).await {
            tracing::warn!(error = format!("{error:#}"), "old records stay for now");
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn once(app: &App) -> Result<()> {
    // Each turn takes some hundred rows that others then do not see.
    loop {
        let mut tx = app.db.write().await?;
        let (number, more) = changes::drop_moot(&mut tx).await?;
        tx.commit().await?;
        if let Some(number) = number {
            app.trust.wake(number);
        }
        if !more {
            break;
        }
    }
    sqlx::query("DELETE FROM used_assertions WHERE used_at < $1")
        .bind(now_ms().saturating_sub(ASSERTIONS_MS))
        .execute(app.db.pool())
        .await?;
    sqlx::query("DELETE FROM enrolment_tokens WHERE expires_at < $1")
        .bind(now_ms().saturating_sub(TOKENS_MS))
        .execute(app.db.pool())
        .await?;
    app.nonces.upkeep(&app.db).await?;
    app.spend.upkeep(&app.db).await?;
    approvals::forget(app).await?;
    constraints::forget(app).await?;
    console::forget(app).await?;
    proxies::forget(app).await?;
    counts::forget(app).await?;
    passports::forget(app).await?;
    nonces::forget(app).await?;
    settlement::forget(app).await?;
    retention::prune(app).await?;
    app.trust.snapshots.retain(|gate| app.trust.state().gates.contains_key(gate));
    Ok(())
}
