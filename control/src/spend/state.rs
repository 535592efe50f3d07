//! What a passport has spent, as people are told, and setting it back.

use super::book::{Amount, Sums, cents, first_day};
use crate::db::Tx;
use crate::enforcement::counts::{self, RateState};
use crate::error::{ApiError, ApiResult};
use crate::passports::{self, SELF_PREFIX};
use crate::time::{iso, now};
use anyhow::Context;
use portcullis_core::spend::{Rolling, SpendUsed, SpendWindow, day_of};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::Row;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What a passport has spent at all gates.
#[derive(Debug, Serialize, ToSchema)]
pub struct PassportState {
    /// The passport.
    pub passport_id: String,
    /// The issuer at its root; null where nothing was spent and the service does not know
    /// the passport.
    pub issuer_id: Option<String>,
    /// Always `daily`: the members at the top are of today, over all permissions.
    pub window_type: &'static str,
    /// When today began.
    pub window_start: String,
    /// What was spent today, in cents.
    pub cost_cumulative_cents: u64,
    /// How often each action was let through today, by what gates have recorded.
    pub action_counts: BTreeMap<String, u64>,
    /// The number of the last record about it, in its lane; 0 where there is none.
    pub sequence_number: i64,
    /// That record.
    pub last_attestation_id: Option<String>,
    /// Each window of each permission.
    pub windows: Vec<WindowState>,
    /// How often each permission was used, by what the service itself has decided: gates
    /// count for themselves.
    pub rates: Vec<RateState>,
}

/// A window of a permission.
#[derive(Debug, Serialize, ToSchema)]
pub struct WindowState {
    /// The permission.
    pub permission: String,
    /// `daily`, `rolling` or `total`.
    pub window_type: &'static str,
    /// When it began; null for all time.
    pub window_start: Option<String>,
    /// What gates have reported as spent, in cents.
    pub cost_cumulative_cents: u64,
    /// What gates may still spend, or have not reported yet, in cents. It counts too.
    pub held_cents: u64,
    /// The cap that a gate stated last, in cents.
    pub cap_cents: Option<u64>,
}

/// Which window is set back.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ResetWindow {
    /// Today.
    Daily,
    /// The days of a rolling cap.
    Rolling,
    /// All time.
    Total,
}

/// Accounts of one passport: one for each permission that has a cap. More are not shown.
const SHOWN: i64 = 1000;

/// The state of a passport. `issuer` tells which, where two issuers use the same id.
///
/// # Errors
/// 404 for a passport that nothing is known of; 409 where there are several issuers'.
pub async fn read_state(tx: &mut Tx, passport_id: &str, issuer: Option<&str>) -> ApiResult<PassportState> {
    let issuer_id = issuer_of(tx, passport_id, issuer).await?;
    let today = i64::try_from(day_of(now())).unwrap_or(i64::MAX);
    let rows = sqlx::query(
        "SELECT account, permission, caps, spent_cents, held_cents, daily_reset_day, daily_reset_cents, \
         rolling_reset_day, rolling_reset_cents, total_reset_cents FROM spend_accounts \
         WHERE passport_id = $1 AND issuer_id = $2 ORDER BY permission LIMIT $3",
    )
    .bind(passport_id)
    .bind(&issuer_id)
    .bind(SHOWN)
    .fetch_all(&mut **tx)
    .await?;
    let mut windows = Vec::new();
    for row in rows {
        let mut sums = Sums::read(&row)?;
        let caps: Value = serde_json::from_str(&row.try_get::<String, _>("caps")?)
            .context("the caps of an account are unreadable")?;
        let days = caps.pointer("/rolling/days").and_then(Value::as_u64);
        let days = days.and_then(|days| u16::try_from(days).ok());
        let first = first_day(today, days.unwrap_or(1).min(Rolling::MOST_DAYS));
        sums.read_days(tx, &row.try_get::<String, _>("account")?, first).await?;
        let permission: String = row.try_get("permission")?;
        let used = sums.used(today, days, Amount::all);
        let held = held(&sums, today, days);
        for (window, start, cap) in [
            (SpendWindow::Daily, Some(today), "/daily_cents"),
            (SpendWindow::Rolling, days.map(|_| first), "/rolling/cents"),
            (SpendWindow::Total, None, "/total_cents"),
        ] {
            if window == SpendWindow::Rolling && days.is_none() {
                continue;
            }
            let held_cents = held.of(window).min(used.of(window));
            windows.push(WindowState {
                permission: permission.clone(),
                window_type: window.name(),
                window_start: start.map(day_start),
                cost_cumulative_cents: used.of(window).saturating_sub(held_cents),
                held_cents,
                cap_cents: caps.pointer(cap).and_then(Value::as_u64),
            });
        }
    }
    let (sequence_number, last_attestation_id) = last_record(tx, passport_id, &issuer_id).await?.unzip();
    let action_counts = action_counts(tx, passport_id, &issuer_id, today).await?;
    let rates = counts::state(tx, passport_id, &issuer_id).await?;
    let daily = windows.iter().filter(|window| window.window_type == SpendWindow::Daily.name());
    Ok(PassportState {
        passport_id: passport_id.to_owned(),
        issuer_id: Some(issuer_id),
        window_type: SpendWindow::Daily.name(),
        window_start: day_start(today),
        cost_cumulative_cents: daily.map(|window| window.cost_cumulative_cents).fold(0, u64::saturating_add),
        action_counts,
        sequence_number: sequence_number.unwrap_or_default(),
        last_attestation_id,
        windows,
        rates,
    })
}

/// Sets windows of a passport back to nothing: one, or all, and with today or all what the
/// service itself has counted. What gates hold at that moment
/// may be spent beside what is spent anew, and is not given back.
///
/// # Errors
/// As [`read_state`].
pub async fn reset(
    tx: &mut Tx,
    passport_id: &str,
    issuer: Option<&str>,
    window: Option<ResetWindow>,
) -> ApiResult<()> {
    let issuer_id = issuer_of(tx, passport_id, issuer).await?;
    // In the order in which gates' questions take them.
    let accounts: Vec<(String,)> = sqlx::query_as(
        "SELECT account FROM spend_accounts WHERE passport_id = $1 AND issuer_id = $2 ORDER BY account",
    )
    .bind(passport_id)
    .bind(&issuer_id)
    .fetch_all(&mut **tx)
    .await?;
    let mut ids: Vec<String> = accounts.into_iter().map(|(account,)| account).collect();
    ids.sort_by_key(|account| portcullis_core::base64::decode_url(account));
    match window {
        None => counts::reset(tx, passport_id, &issuer_id, true).await?,
        Some(ResetWindow::Daily) => counts::reset(tx, passport_id, &issuer_id, false).await?,
        Some(ResetWindow::Rolling | ResetWindow::Total) => {}
    }
    for account in ids {
        reset_account(tx, &account, window).await?;
    }
    Ok(())
}

async fn reset_account(tx: &mut Tx, account: &str, window: Option<ResetWindow>) -> ApiResult<()> {
    // Its row first. What is held becomes spent, so that a late report changes nothing.
    let (total,): (i64,) = sqlx::query_as(
        "UPDATE spend_accounts SET spent_cents = spent_cents + held_cents, held_cents = 0 \
         WHERE account = $1 RETURNING spent_cents",
    )
    .bind(account)
    .fetch_one(&mut **tx)
    .await?;
    for sql in [
        "UPDATE spend_leases SET done = 1 WHERE account = $1",
        "UPDATE spend_days SET spent_cents = spent_cents + held_cents, held_cents = 0 WHERE account = $1",
    ] {
        sqlx::query(sql).bind(account).execute(&mut **tx).await?;
    }
    let today = i64::try_from(day_of(now())).unwrap_or(i64::MAX);
    let spent: Option<(i64,)> =
        sqlx::query_as("SELECT spent_cents FROM spend_days WHERE account = $1 AND day = $2")
            .bind(account)
            .bind(today)
            .fetch_optional(&mut **tx)
            .await?;
    let spent = spent.map_or(0, |(spent,)| spent);
    if window.is_none_or(|window| window == ResetWindow::Daily) {
        sqlx::query(
            "UPDATE spend_accounts SET daily_reset_day = $1, daily_reset_cents = $2 WHERE account = $3",
        )
        .bind(today)
        .bind(spent)
        .bind(account)
        .execute(&mut **tx)
        .await?;
    }
    if window.is_none_or(|window| window == ResetWindow::Rolling) {
        sqlx::query(
            "UPDATE spend_accounts SET rolling_reset_day = $1, rolling_reset_cents = $2 WHERE account = $3",
        )
        .bind(today)
        .bind(spent)
        .bind(account)
        .execute(&mut **tx)
        .await?;
    }
    if window.is_none_or(|window| window == ResetWindow::Total) {
        sqlx::query("UPDATE spend_accounts SET total_reset_cents = $1 WHERE account = $2")
            .bind(total)
            .bind(account)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// The issuer whose passport of this id is meant.
async fn issuer_of(tx: &mut Tx, passport_id: &str, asked: Option<&str>) -> ApiResult<String> {
    // Two are enough to know that there are several.
    let spent: Vec<(String,)> = sqlx::query_as(
        "SELECT DISTINCT issuer_id FROM spend_accounts WHERE passport_id = $1 \
         AND (issuer_id = $2 OR $3 = 0) ORDER BY issuer_id LIMIT 2",
    )
    .bind(passport_id)
    .bind(asked.unwrap_or_default())
    .bind(i64::from(asked.is_some()))
    .fetch_all(&mut **tx)
    .await?;
    let known = passports::find(tx, passport_id).await?.map(|passport| passport.issuer_id);
    let known = known.filter(|issuer| asked.is_none_or(|asked| asked == issuer));
    match (spent.as_slice(), known) {
        // The service's own passport is meant unless another issuer is named; but agents give the ids of
        // what they register themselves.
        (spent, Some(issuer))
            if !issuer.starts_with(SELF_PREFIX) || spent.iter().all(|(other,)| *other == issuer) =>
        {
            Ok(issuer)
        }
        ([(issuer,)], None) => Ok(issuer.clone()),
        ([], _) => Err(passports::no_passport(passport_id)),
        _ => Err(ApiError::conflict(format!(
            "several issuers have a passport {passport_id:.200}: name one with ?issuer_id="
        ))),
    }
}

/// What is held in each window. What was reset is held by nobody.
fn held(sums: &Sums, today: i64, days: Option<u16>) -> SpendUsed {
    let since = |first: i64| {
        let counted = sums.days.range(first..);
        cents(counted.map(|(_, amount)| amount.held).fold(0, i64::saturating_add))
    };
    SpendUsed {
        daily: since(today),
        rolling: days.map_or(0, |days| since(first_day(today, days))),
        total: cents(sums.total.held),
    }
}

/// The number and the id of the newest record about a passport.
async fn last_record(
    tx: &mut Tx,
    passport_id: &str,
    issuer_id: &str,
) -> Result<Option<(i64, String)>, sqlx::Error> {
    sqlx::query_as(
        "SELECT number, attestation_id FROM records WHERE passport_id = $1 AND issuer_id = $2 \
         ORDER BY at DESC, attestation_id LIMIT 1",
    )
    .bind(passport_id)
    .bind(issuer_id)
    .fetch_optional(&mut **tx)
    .await
}

async fn action_counts(
    tx: &mut Tx,
    passport_id: &str,
    issuer_id: &str,
    today: i64,
) -> Result<BTreeMap<String, u64>, sqlx::Error> {
    let counts: Vec<(String, i64)> = sqlx::query_as(
        "SELECT action, COUNT(*) FROM records WHERE passport_id = $1 AND issuer_id = $2 AND at >= $3 \
         AND decision = 'allow' AND action IS NOT NULL GROUP BY action ORDER BY action LIMIT $4",
    )
    .bind(passport_id)
    .bind(issuer_id)
    .bind(today.saturating_mul(DAY_MS))
    .bind(SHOWN)
    .fetch_all(&mut **tx)
    .await?;
    Ok(counts.into_iter().map(|(action, count)| (action, cents(count))).collect())
}

const DAY_MS: i64 = 86_400_000;

fn day_start(day: i64) -> String {
    iso(day.saturating_mul(DAY_MS))
}
