//! Settlements: what agents owe for a period at a gate, worked out anew from every signature.
//!
//! A settlement begins under the lock of its gate's row, where no other one of the period may
//! stand that can still change, and no other one of the gate may be under way: what is free at
//! one depends on what others have given. It claims its receipts, each of which is part of one
//! settlement at a time, and then goes through them in the order in which they were made
//! ([`run`]). Whoever works on it says so now and then, under a number; who is not heard of is
//! followed by another, with the next number, who begins from the first receipt: all that was
//! claimed stays claimed, and nothing is summed up but what one attempt has seen from beginning
//! to end.

mod allowances;
mod begin;
mod claim;
mod known;
mod list;
mod log;
mod period;
mod records;
pub mod run;
mod status;
mod summary;
mod sums;
mod verify;

pub use begin::{Asked, Begun, begin};
pub(crate) use claim::{forget, late};
pub use list::{Wanted, list};
pub(crate) use period::{DAY_MS, date};
pub use period::{Period, PeriodType, day};
pub use records::lines;
pub(crate) use records::receipts_as;
pub use status::Status;
pub use summary::{Part, Signature, Summary};

use crate::App;
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::receipts;
use crate::time::now_ms;
use anyhow::{Context, Result, anyhow};
use sqlx::Row;
use sqlx::any::AnyRow;

/// A settlement as it is stored, under way or done.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// `stl_…`
    pub id: String,
    /// `run_…`: how it is asked after while it is under way.
    pub run_id: String,
    /// The gate.
    pub gate_id: String,
    /// The agent; `None` for all.
    pub agent_id: Option<String>,
    /// The issuer of that agent, if it is known.
    pub issuer_id: Option<String>,
    /// The period.
    pub period: Period,
    /// `running`, `failed`, or one of [`Status`].
    pub status: String,
    /// When it was begun, in milliseconds since 1970.
    pub created_at: i64,
    /// The API key that asked for it.
    pub created_by: String,
    /// Who works on it, counted up by whoever takes over; 0 until somebody does.
    pub attempt: i64,
    /// When that was last heard of.
    pub seen_at: i64,
    /// How many receipts it has claimed.
    pub claimed: i64,
    /// How many of them are verified.
    pub verified: i64,
    /// Why it failed.
    pub failure: Option<String>,
    /// What was signed.
    pub summary: Option<String>,
}

/// Who is not heard of for so long is gone: who works on it says so every 5 s.
const SILENT_MS: i64 = 30_000;

/// `SELECT` of what [`Settlement::read`] reads, and the rest.
macro_rules! select_settlements {
    ($rest:expr) => {
        concat!(
            "SELECT settlement_id, run_id, gate_id, agent_id, issuer_id, period_type, period_start, period_end, \
             begins_at, ends_at, status, created_at, created_by, attempt, seen_at, claimed, verified, \
             failure, summary FROM settlements ",
            $rest
        )
    };
}
use select_settlements;

impl Settlement {
    /// From a row of `select_settlements!`.
    ///
    /// # Errors
    /// The row is damaged.
    pub fn read(row: &AnyRow) -> ApiResult<Self> {
        let of: String = row.try_get("period_type")?;
        Ok(Settlement {
            id: row.try_get("settlement_id")?,
            run_id: row.try_get("run_id")?,
            gate_id: row.try_get("gate_id")?,
            agent_id: row.try_get("agent_id")?,
            issuer_id: row.try_get("issuer_id")?,
            period: Period {
                of: PeriodType::named(&of).context("a settlement's period is unreadable")?,
                start: row.try_get("period_start")?,
                end: row.try_get("period_end")?,
                begins_at: row.try_get("begins_at")?,
                ends_at: row.try_get("ends_at")?,
            },
            status: row.try_get("status")?,
            created_at: row.try_get("created_at")?,
            created_by: row.try_get("created_by")?,
            attempt: row.try_get("attempt")?,
            seen_at: row.try_get("seen_at")?,
            claimed: row.try_get("claimed")?,
            verified: row.try_get("verified")?,
            failure: row.try_get("failure")?,
            summary: row.try_get("summary")?,
        })
    }

    /// Those that it has claimed.
    fn receipts(&self) -> receipts::Wanted {
        receipts::Wanted {
            gate_id: self.gate_id.clone(),
            agent_id: None,
            passport_id: None,
            from: self.period.begins_at,
            to: self.period.ends_at,
            settlement_id: Some(self.id.clone()),
        }
    }

    /// Whether it is under way.
    pub fn is_running(&self) -> bool {
        self.status == RUNNING
    }

    fn is_silent(&self) -> bool {
        self.is_running() && self.seen_at < now_ms().saturating_sub(SILENT_MS)
    }
}

const RUNNING: &str = "running";
const FAILED: &str = "failed";

/// Makes the caller the one who works on it. The former one, if it still lives, finds another
/// number at its next step, and ends.
async fn take_over(tx: &mut Tx, settlement: Settlement) -> ApiResult<Settlement> {
    let row: (i64,) = sqlx::query_as(
        "UPDATE settlements SET attempt = attempt + 1, seen_at = $1 WHERE settlement_id = $2 RETURNING attempt",
    )
    .bind(now_ms())
    .bind(&settlement.id)
    .fetch_one(&mut **tx)
    .await?;
    Ok(Settlement { attempt: row.0, ..settlement })
}

/// Takes over what nobody works on, as far as this process has permits.
///
/// # Errors
/// No database.
pub async fn resume(app: &App) -> Result<()> {
    let rows: Vec<(String,)> = sqlx::query_as(
        "SELECT settlement_id FROM settlements WHERE status = 'running' AND seen_at < $1 \
         ORDER BY created_at LIMIT 100",
    )
    .bind(now_ms().saturating_sub(SILENT_MS))
    .fetch_all(app.db.pool())
    .await?;
    for (id,) in rows {
        let Some(permit) = run::permit(app) else { return Ok(()) };
        let mut tx = app.db.write().await?;
        sqlx::query("UPDATE settlements SET status = status WHERE settlement_id = $1")
            .bind(&id)
            .execute(&mut *tx)
            .await?;
        let found = find(&mut tx, &id).await.map_err(|error| anyhow!(error.message))?;
        if let Some(settlement) = found.filter(Settlement::is_silent) {
            let taken = take_over(&mut tx, settlement).await.map_err(|error| anyhow!(error.message))?;
            tx.commit().await?;
            tracing::info!(settlement = taken.id, attempt = taken.attempt, "a settlement is taken over");
            run::spawn(app, taken, permit);
        }
    }
    Ok(())
}

/// The settlement of this id, under way or done.
///
/// # Errors
/// No database.
pub async fn find(tx: &mut Tx, id: &str) -> ApiResult<Option<Settlement>> {
    let row = sqlx::query(select_settlements!("WHERE settlement_id = $1"))
        .bind(id)
        .fetch_optional(&mut **tx)
        .await?;
    row.as_ref().map(Settlement::read).transpose()
}

/// The settlement of this run.
///
/// # Errors
/// No database.
pub async fn of_run(tx: &mut Tx, run_id: &str) -> ApiResult<Option<Settlement>> {
    let row =
        sqlx::query(select_settlements!("WHERE run_id = $1")).bind(run_id).fetch_optional(&mut **tx).await?;
    row.as_ref().map(Settlement::read).transpose()
}

/// Changes the status. What is void gives its receipts free.
///
/// # Errors
/// 404 for no settlement; 409 for one that is under way, or does not become this.
pub async fn change(tx: &mut Tx, id: &str, next: Status, caller: &str) -> ApiResult<Settlement> {
    // Until the end nobody else changes it.
    sqlx::query("UPDATE settlements SET status = status WHERE settlement_id = $1")
        .bind(id)
        .execute(&mut **tx)
        .await?;
    let unknown = || ApiError::not_found("settlement", id);
    let found = find(tx, id).await?.filter(|found| found.status != FAILED).ok_or_else(unknown)?;
    let Some(status) = Status::named(&found.status) else {
        let message = "status: the settlement is still under way: it has none yet";
        return Err(ApiError::new(axum::http::StatusCode::CONFLICT, "settlement_running", message));
    };
    status.must_lead_to(next)?;
    sqlx::query("UPDATE settlements SET status = $1 WHERE settlement_id = $2")
        .bind(next.name())
        .bind(id)
        .execute(&mut **tx)
        .await?;
    noted(tx, id, next, caller).await?;
    Ok(Settlement { status: next.name().to_owned(), ..found })
}

/// One change of a status.
#[derive(Clone, Debug)]
pub struct Change {
    /// What it became.
    pub status: String,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// By which API key.
    pub actor: String,
}

/// How a settlement's status came to be, the first first: the last thousand changes, as a dispute
/// can go on.
///
/// # Errors
/// No database.
pub async fn changes(tx: &mut Tx, id: &str) -> ApiResult<Vec<Change>> {
    let rows: Vec<(String, i64, String)> = sqlx::query_as(
        "SELECT status, at, actor FROM settlement_changes WHERE settlement_id = $1 \
         ORDER BY number DESC LIMIT 1000",
    )
    .bind(id)
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().rev().map(|(status, at, actor)| Change { status, at, actor }).collect())
}

async fn noted(tx: &mut Tx, id: &str, status: Status, actor: &str) -> ApiResult<()> {
    sqlx::query(
        "INSERT INTO settlement_changes (settlement_id, number, status, at, actor) \
         SELECT $1, COUNT(*) + 1, $2, $3, $4 FROM settlement_changes WHERE settlement_id = $5",
    )
    .bind(id)
    .bind(status.name())
    .bind(now_ms())
    .bind(actor)
    .bind(id)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
