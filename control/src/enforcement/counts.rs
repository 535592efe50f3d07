//! How often something was done, by what the service has decided: in the windows by which
//! gates count, kept in the database.

use crate::db::Tx;
use crate::error::ApiResult;
use crate::time::{iso, now_ms};
use portcullis_core::guardrails::{Count, Counted, Guards};
use portcullis_core::modei::Passport;
use portcullis_core::{COUNTER_WINDOWS, UnixTime, Usage, base64};
use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;
use utoipa::ToSchema;

/// What was counted in a window that is not over.
#[derive(Debug, Serialize, ToSchema)]
pub struct RateState {
    /// The gate at which it counts.
    pub gate_id: String,
    /// The permission.
    pub permission: String,
    /// `minute`, `hour` or `day`.
    pub window_type: &'static str,
    /// When it began.
    pub window_start: String,
    /// How often it was done.
    pub count: i64,
}

/// The names of the windows, and the columns of each.
const NAMES: [&str; 3] = ["minute", "hour", "day"];

/// For whom something is counted at a gate.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// The gate.
    pub gate: &'a str,
    /// Whose passport it is.
    pub passport: &'a Passport,
    /// What is done.
    pub action: &'a str,
    /// When.
    pub now: UnixTime,
}

impl At<'_> {
    /// What was counted; whoever else decides waits from then on until this transaction
    /// ends.
    ///
    /// # Errors
    /// No database.
    pub async fn hold(&self, tx: &mut Tx, guards: &Guards<'_>) -> ApiResult<Vec<Counted>> {
        let mut order: Vec<&Count> = guards.counted().iter().collect();
        // One order for all, so that no two wait for each other.
        order.sort_by_key(|count| *count.key.digest());
        for count in order {
            let passport = count.hop.and_then(|hop| self.passport.hops().nth(hop));
            sqlx::query(
                "INSERT INTO enforced_counts (gate_id, counter, issuer_id, passport_id, permission, minute, \
                 minute_count, hour, hour_count, day, day_count) VALUES ($1, $2, $3, $4, $5, 0, 0, 0, 0, $6, 0) \
                 ON CONFLICT (gate_id, counter) DO UPDATE SET permission = excluded.permission",
            )
            .bind(self.gate)
            .bind(counter(count))
            .bind(self.passport.root().issuer())
            .bind(passport.map(|hop| hop.passport_id().to_owned()))
            .bind(self.action)
            .bind(self.window(2))
            .execute(&mut **tx)
            .await?;
        }
        self.look(tx, guards).await
    }

    /// What was counted.
    ///
    /// # Errors
    /// No database.
    pub async fn look(&self, tx: &mut Tx, guards: &Guards<'_>) -> ApiResult<Vec<Counted>> {
        let mut counted = Vec::with_capacity(guards.counted().len());
        for count in guards.counted() {
            let row = sqlx::query(
                "SELECT minute, minute_count, hour, hour_count, day, day_count FROM enforced_counts \
                 WHERE gate_id = $1 AND counter = $2",
            )
            .bind(self.gate)
            .bind(counter(count))
            .fetch_optional(&mut **tx)
            .await?;
            let used = match row {
                Some(row) => self.used(&row)?,
                None => Usage::default(),
            };
            counted.push(Counted { limits: count.limits, used });
        }
        Ok(counted)
    }

    /// Counts once more for each, of counts that are held.
    ///
    /// # Errors
    /// No database.
    pub async fn charge(
        &self,
        tx: &mut Tx,
        guards: &Guards<'_>,
        counted: &[Counted],
    ) -> Result<(), sqlx::Error> {
        for (count, Counted { used: Usage(used), .. }) in guards.counted().iter().zip(counted) {
            let [minute, hour, day] = used.map(|used| i64::from(used).saturating_add(1));
            sqlx::query(
                "UPDATE enforced_counts SET minute = $1, minute_count = $2, hour = $3, hour_count = $4, \
                 day = $5, day_count = $6 WHERE gate_id = $7 AND counter = $8",
            )
            .bind(self.window(0))
            .bind(minute)
            .bind(self.window(1))
            .bind(hour)
            .bind(self.window(2))
            .bind(day)
            .bind(self.gate)
            .bind(counter(count))
            .execute(&mut **tx)
            .await?;
        }
        Ok(())
    }

    fn used(&self, row: &AnyRow) -> Result<Usage, sqlx::Error> {
        let mut used = [0; 3];
        for (index, (used, name)) in used.iter_mut().zip(NAMES).enumerate() {
            // What was counted in another window counts no more.
            if row.try_get::<i64, _>(name)? == self.window(index) {
                let count: i64 = row.try_get(format!("{name}_count").as_str())?;
                *used = u32::try_from(count).unwrap_or(u32::MAX);
            }
        }
        Ok(Usage(used))
    }

    fn window(&self, index: usize) -> i64 {
        window(index, self.now.as_millis())
    }
}

fn counter(count: &Count) -> String {
    base64::encode_url(count.key.digest())
}

/// The length of a window, in milliseconds.
fn length(index: usize) -> i64 {
    i64::from(COUNTER_WINDOWS.get(index).copied().unwrap_or(1)).saturating_mul(1000)
}

fn window(index: usize, at_ms: i64) -> i64 {
    at_ms.div_euclid(length(index))
}

/// As many rows of one passport are shown.
const SHOWN: i64 = 1000;

/// What was counted of a passport, in windows that are not over.
///
/// # Errors
/// No database.
pub async fn state(tx: &mut Tx, passport_id: &str, issuer_id: &str) -> ApiResult<Vec<RateState>> {
    let rows = sqlx::query(
        "SELECT gate_id, permission, minute, minute_count, hour, hour_count, day, day_count \
         FROM enforced_counts WHERE passport_id = $1 AND issuer_id = $2 ORDER BY gate_id, permission LIMIT $3",
    )
    .bind(passport_id)
    .bind(issuer_id)
    .bind(SHOWN)
    .fetch_all(&mut **tx)
    .await?;
    let now = now_ms();
    let mut all = Vec::new();
    for row in rows {
        for (index, name) in NAMES.into_iter().enumerate() {
            let count: i64 = row.try_get(format!("{name}_count").as_str())?;
            if count == 0 || row.try_get::<i64, _>(name)? != window(index, now) {
                continue;
            }
            all.push(RateState {
                gate_id: row.try_get("gate_id")?,
                permission: row.try_get("permission")?,
                window_type: name,
                window_start: iso(window(index, now).saturating_mul(length(index))),
                count,
            });
        }
    }
    Ok(all)
}

/// Counts a passport's windows from nothing: all of them, or those of the day alone.
///
/// # Errors
/// No database.
pub async fn reset(tx: &mut Tx, passport_id: &str, issuer_id: &str, all: bool) -> Result<(), sqlx::Error> {
    let sql = if all {
        "UPDATE enforced_counts SET minute_count = 0, hour_count = 0, day_count = 0 \
         WHERE passport_id = $1 AND issuer_id = $2"
    } else {
        "UPDATE enforced_counts SET day_count = 0 WHERE passport_id = $1 AND issuer_id = $2"
    };
    sqlx::query(sql).bind(passport_id).bind(issuer_id).execute(&mut **tx).await?;
    Ok(())
}

/// Forgets what was counted in days that are over.
///
/// # Errors
/// No database.
pub async fn forget(app: &crate::App) -> anyhow::Result<()> {
    sqlx::query("DELETE FROM enforced_counts WHERE day < $1")
        .bind(window(2, now_ms()))
        .execute(app.db.pool())
        .await?;
    Ok(())
}
