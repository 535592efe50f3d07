//! Whose turn it is: a row is claimed by moving its `look_at` on. That time is the claim's
//! own; what a look found is kept only while the row still has it, so that neither a look
//! that took too long nor one at something deleted changes anything.

use crate::App;
use crate::db::{Db, Tx};
use crate::time::now_ms;
use anyhow::{Result, bail};
use sqlx::Row;
use std::time::Duration;

/// How long a look may take. A registry's 256 agents at 200 ms each fit.
pub(super) const LOOK: Duration = Duration::from_secs(60);

/// How long a claim holds: a look, and the time to keep what it found.
const CLAIM_MS: i64 = 90_000;

/// After failures a registry is asked less often, but twice at least within the 300 s for
/// which badges are good without its answer (RFC-002 section 7.5).
const LONGEST_PAUSE_MS: i64 = 120_000;

/// A row that is ours until `look_at`.
#[derive(Debug)]
pub(super) struct Claim {
    /// The origin or the DID.
    pub id: String,
    /// The keys as the database has them.
    pub keys: String,
    /// Where the feed was left.
    pub cursor: Option<String>,
    /// The claim itself.
    pub look_at: i64,
    failures: i64,
}

/// Claims a registry that is due.
pub(super) async fn registry(db: &Db) -> Result<Option<Claim>> {
    claim(
        db,
        "SELECT origin FROM followed_issuers WHERE look_at <= $1 ORDER BY look_at LIMIT 1",
        "UPDATE followed_issuers SET look_at = $1 WHERE origin = $2 AND look_at <= $3 \
         RETURNING origin AS id, keys, feed_cursor, failures",
    )
    .await
}

/// Claims a DID document that is due.
pub(super) async fn document(db: &Db) -> Result<Option<Claim>> {
    claim(
        db,
        "SELECT did FROM did_documents WHERE look_at <= $1 ORDER BY look_at LIMIT 1",
        "UPDATE did_documents SET look_at = $1 WHERE did = $2 AND look_at <= $3 \
         RETURNING did AS id, keys, NULL AS feed_cursor, failures",
    )
    .await
}

/// Reads first, so that nothing is written while nothing is due. Who loses the race for a
/// row tries again at the next tick.
async fn claim(db: &Db, due: &'static str, update: &'static str) -> Result<Option<Claim>> {
    let now = now_ms();
    let Some((id,)): Option<(String,)> = sqlx::query_as(due).bind(now).fetch_optional(db.pool()).await?
    else {
        return Ok(None);
    };
    let look_at = now.saturating_add(CLAIM_MS);
    let mut tx = db.write().await?;
    let row = sqlx::query(update).bind(look_at).bind(&id).bind(now).fetch_optional(&mut *tx).await?;
    tx.commit().await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Claim {
        id,
        keys: row.try_get("keys")?,
        cursor: row.try_get("feed_cursor")?,
        look_at,
        failures: row.try_get("failures")?,
    }))
}

impl Claim {
    /// Makes sure that a registry is still claimed by this, and stays so until `tx` ends.
    pub(super) async fn hold_registry(&self, tx: &mut Tx) -> Result<()> {
        // Written, as it is, so that whoever would claim it waits.
        let held =
            sqlx::query("UPDATE followed_issuers SET look_at = look_at WHERE origin = $1 AND look_at = $2")
                .bind(&self.id)
                .bind(self.look_at)
                .execute(&mut **tx)
                .await?;
        if held.rows_affected() == 0 {
            bail!("it is no longer followed, or another instance looks at it");
        }
        Ok(())
    }

    /// The number of failures in a row after this look, and when to look again.
    pub(super) fn next(&self, app: &App, has_failed: bool) -> (i64, i64) {
        let pause = i64::from(app.settings.outside.follow_seconds.max(1)).saturating_mul(1000);
        if !has_failed {
            return (0, now_ms().saturating_add(pause));
        }
        let failures = self.failures.saturating_add(1);
        let factor = 1_i64.checked_shl(u32::try_from(failures).unwrap_or(u32::MAX).min(16)).unwrap_or(1);
        let longest = LONGEST_PAUSE_MS.max(pause);
        let pause = pause.saturating_mul(factor).min(longest);
        (failures, now_ms().saturating_add(pause).saturating_sub(jitter(pause / 4)))
    }
}

/// Up to `most`, so that those who failed together do not come back together.
fn jitter(most: i64) -> i64 {
    let mut random = [0; 8];
    // Without randomness there is no jitter, which is no harm.
    let _ = getrandom::fill(&mut random);
    let random = i64::from_le_bytes(random).unsigned_abs();
    i64::try_from(random.checked_rem(most.unsigned_abs().max(1)).unwrap_or(0)).unwrap_or(0)
}
