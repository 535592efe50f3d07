//! Settlements: what agents owe for a period at a gate, worked out anew from every signature.
//!
//! A settlement begins under the lock of its gate's row, where no other one of the period may
//! stand. It claims its receipts, each of which is part of one settlement at a time, and then
//! goes through them in the order in which they were made ([`run`]). Whoever works on it says
//! so with each step, under a number; who is not heard of is followed by another, with the
//! next number, who begins from the first receipt: all that was claimed stays claimed, and
//! nothing is summed up but what one attempt has seen from beginning to end.

mod claim;
mod list;
mod period;
mod records;
pub mod run;
mod status;
mod summary;
mod sums;
mod verify;

pub(crate) use claim::late;
pub use list::{Wanted, list};
pub(crate) use period::{DAY_MS, date};
pub use period::{Period, PeriodType, day, month_of};
pub use records::lines;
pub(crate) use records::receipts_as;
pub use status::Status;
pub use summary::{Part, Signature, Summary};

use crate::App;
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
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
    /// The period.
    pub period: Period,
    /// `running`, `failed`, or one of [`Status`].
    pub status: String,
    /// When it was begun, in milliseconds since 1970.
    pub created_at: i64,
    /// The API key that asked for it.
    pub created_by: String,
    /// Who works on it, counted up by whoever takes over.
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

/// Who is not heard of for so long is gone: each step takes a fraction of a second.
const SILENT_MS: i64 = 30_000;

/// `SELECT` of what [`Settlement::read`] reads, and the rest.
macro_rules! select_settlements {
    ($rest:expr) => {
        concat!(
            "SELECT settlement_id, run_id, gate_id, agent_id, period_type, period_start, period_end, \
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

/// What [`begin`] found or made.
#[derive(Debug)]
pub struct Begun {
    /// The settlement.
    pub settlement: Settlement,
    /// Whether the caller is to work on it: it is new, or its worker is gone.
    pub is_mine: bool,
}

/// Begins a settlement; or joins the one of the very same period that is under way.
///
/// # Errors
/// 404 for no gate; 422 for a period that is not over; 409 where it overlaps a settlement
/// that is not void.
pub async fn begin(
    tx: &mut Tx,
    gate_id: &str,
    agent_id: Option<&str>,
    period: Period,
    caller: &str,
) -> ApiResult<Begun> {
    let now = now_ms();
    period.must_be_over(now)?;
    // Whoever settles for the gate at the same time waits here. A deleted gate is settled too.
    let held = sqlx::query("UPDATE gates SET name = name WHERE gate_id = $1")
        .bind(gate_id)
        .execute(&mut **tx)
        .await?;
    if held.rows_affected() == 0 {
        return Err(ApiError::not_found("gate", gate_id));
    }
    let rows = sqlx::query(select_settlements!(
        "WHERE gate_id = $1 AND begins_at < $2 AND ends_at > $3 AND status <> 'void' AND status <> 'failed'"
    ))
    .bind(gate_id)
    .bind(period.ends_at)
    .bind(period.begins_at)
    .fetch_all(&mut **tx)
    .await?;
    for row in &rows {
        let other = Settlement::read(row)?;
        let same_agent = other.agent_id.as_deref() == agent_id;
        if !same_agent && other.agent_id.is_some() && agent_id.is_some() {
            continue;
        }
        if !(same_agent && other.is_running() && other.period == period) {
            return Err(overlap(&other));
        }
        let is_mine = other.is_silent();
        let settlement = if is_mine { take_over(tx, other).await? } else { other };
        return Ok(Begun { settlement, is_mine });
    }
    let settlement = Settlement {
        id: format!("stl_{}", uuid::Uuid::new_v4().simple()),
        run_id: format!("run_{}", uuid::Uuid::new_v4().simple()),
        gate_id: gate_id.to_owned(),
        agent_id: agent_id.map(str::to_owned),
        period,
        status: RUNNING.to_owned(),
        created_at: now,
        created_by: caller.to_owned(),
        attempt: 1,
        seen_at: now,
        claimed: 0,
        verified: 0,
        failure: None,
        summary: None,
    };
    insert(tx, &settlement).await?;
    Ok(Begun { settlement, is_mine: true })
}

fn overlap(other: &Settlement) -> ApiError {
    let (id, status, start, end) = (&other.id, &other.status, &other.period.start, &other.period.end);
    let whose = other.agent_id.as_ref().map_or(String::new(), |agent| format!(" for {agent}"));
    let message = format!(
        "period_start: {id}{whose}, from {start} to {end}, overlaps and is {status}: void it to settle again"
    );
    let mut error = ApiError::new(axum::http::StatusCode::CONFLICT, "period_overlaps", message);
    error.field = Some("period_start".to_owned());
    error
}

async fn insert(tx: &mut Tx, new: &Settlement) -> ApiResult<()> {
    sqlx::query(
        "INSERT INTO settlements (settlement_id, run_id, gate_id, agent_id, period_type, period_start, \
         period_end, begins_at, ends_at, status, created_at, created_by, attempt, seen_at, claimed, verified) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 0, 0)",
    )
    .bind(&new.id)
    .bind(&new.run_id)
    .bind(&new.gate_id)
    .bind(&new.agent_id)
    .bind(new.period.of.name())
    .bind(&new.period.start)
    .bind(&new.period.end)
    .bind(new.period.begins_at)
    .bind(new.period.ends_at)
    .bind(&new.status)
    .bind(new.created_at)
    .bind(&new.created_by)
    .bind(new.attempt)
    .bind(new.seen_at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

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

/// Takes over what nobody works on any more.
///
/// # Errors
/// No database.
pub async fn resume(app: &App) -> Result<()> {
    let rows: Vec<(String,)> =
        sqlx::query_as("SELECT settlement_id FROM settlements WHERE status = 'running' AND seen_at < $1")
            .bind(now_ms().saturating_sub(SILENT_MS))
            .fetch_all(app.db.pool())
            .await?;
    for (id,) in rows {
        let mut tx = app.db.write().await?;
        sqlx::query("UPDATE settlements SET status = status WHERE settlement_id = $1")
            .bind(&id)
            .execute(&mut *tx)
            .await?;
        let found = find(&mut tx, &id).await.map_err(|error| anyhow!(error.message))?;
        if let Some(settlement) = found.filter(Settlement::is_silent) {
            let taken = take_over(&mut tx, settlement).await.map_err(|error| anyhow!(error.message))?;
            tx.commit().await?;
            tracing::warn!(settlement = taken.id, attempt = taken.attempt, "a settlement is taken over");
            run::spawn(app, taken);
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
    if next == Status::Void {
        claim::release(tx, &found).await?;
    }
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

/// How a settlement's status came to be, the first first. It has no circles longer than a
/// dispute, so that these are few.
///
/// # Errors
/// No database.
pub async fn changes(tx: &mut Tx, id: &str) -> ApiResult<Vec<Change>> {
    let rows: Vec<(String, i64, String)> = sqlx::query_as(
        "SELECT status, at, actor FROM settlement_changes WHERE settlement_id = $1 ORDER BY number LIMIT 1000",
    )
    .bind(id)
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(|(status, at, actor)| Change { status, at, actor }).collect())
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
