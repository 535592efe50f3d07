//! Beginning a settlement: what may stand beside it, and what it is of.

use super::{Period, RUNNING, Settlement, Status, claim, run, select_settlements, take_over};
use crate::App;
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::time::now_ms;
use tokio::sync::OwnedSemaphorePermit;

/// What is to be settled.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The gate.
    pub gate_id: String,
    /// The agent; `None` for all.
    pub agent_id: Option<String>,
    /// The issuer of that agent.
    pub issuer_id: Option<String>,
    /// The period.
    pub period: Period,
}

/// What [`begin`] found or made.
#[derive(Debug)]
pub struct Begun {
    /// The settlement.
    pub settlement: Settlement,
    /// Leave for the caller to work on it: it is new, or its worker is gone.
    pub permit: Option<OwnedSemaphorePermit>,
}

/// Begins a settlement; or joins the very same one that is under way. Where this process works on
/// as many as it may, it waits.
///
/// # Errors
/// 404 for no gate; 422 for a period that is not over, or an agent's id that two issuers have
/// given; 409 where another settlement of the gate is under way, where it overlaps one that is not
/// void or paid, or where all is part of those that are paid.
pub async fn begin(tx: &mut Tx, app: &App, asked: Asked, caller: &str) -> ApiResult<Begun> {
    let now = now_ms();
    asked.period.must_be_over(now)?;
    // Whoever settles for the gate at the same time waits here. A deleted gate is settled too.
    let held = sqlx::query("UPDATE gates SET name = name WHERE gate_id = $1")
        .bind(&asked.gate_id)
        .execute(&mut **tx)
        .await?;
    if held.rows_affected() == 0 {
        return Err(ApiError::not_found("gate", &asked.gate_id));
    }
    let running = sqlx::query(select_settlements!("WHERE gate_id = $1 AND status = 'running'"))
        .bind(&asked.gate_id)
        .fetch_optional(&mut **tx)
        .await?;
    if let Some(row) = running {
        let running = Settlement::read(&row)?;
        if !running.is_of(&asked) {
            return Err(another_runs(&running));
        }
        let permit = if running.is_silent() { run::permit(app) } else { None };
        let settlement = if permit.is_some() { take_over(tx, running).await? } else { running };
        return Ok(Begun { settlement, permit });
    }
    let issuer_id = one_issuer(tx, &asked).await?;
    let mut settlement = Settlement {
        id: format!("stl_{}", uuid::Uuid::new_v4().simple()),
        run_id: format!("run_{}", uuid::Uuid::new_v4().simple()),
        gate_id: asked.gate_id,
        agent_id: asked.agent_id,
        issuer_id,
        period: asked.period,
        status: RUNNING.to_owned(),
        created_at: now,
        created_by: caller.to_owned(),
        attempt: 0,
        seen_at: 0,
        claimed: 0,
        verified: 0,
        failure: None,
        summary: None,
    };
    must_be_open(tx, &settlement).await?;
    let permit = run::permit(app);
    if permit.is_some() {
        (settlement.attempt, settlement.seen_at) = (1, now);
    }
    insert(tx, &settlement).await?;
    Ok(Begun { settlement, permit })
}

impl Settlement {
    fn is_of(&self, asked: &Asked) -> bool {
        let same_issuer = asked.issuer_id.is_none() || asked.issuer_id == self.issuer_id;
        self.agent_id == asked.agent_id && same_issuer && self.period == asked.period
    }

    /// Whether no receipt can be of both.
    fn is_apart(&self, other: &Settlement) -> bool {
        let differ = |one: &Option<String>, other: &Option<String>| {
            one.as_ref().zip(other.as_ref()).is_some_and(|(one, other)| one != other)
        };
        differ(&self.agent_id, &other.agent_id) || differ(&self.issuer_id, &other.issuer_id)
    }
}

/// The issuer of the agent that is to be settled: an id is one agent's at one issuer alone.
async fn one_issuer(tx: &mut Tx, asked: &Asked) -> ApiResult<Option<String>> {
    let Some(agent_id) = asked.agent_id.as_ref().filter(|_| asked.issuer_id.is_none()) else {
        return Ok(asked.issuer_id.clone());
    };
    let issuers: Vec<(String,)> = sqlx::query_as(
        "SELECT DISTINCT issuer_id FROM receipts WHERE gate_id = $1 AND agent_id = $2 \
         AND issued_at >= $3 AND issued_at < $4 ORDER BY issuer_id LIMIT 2",
    )
    .bind(&asked.gate_id)
    .bind(agent_id)
    .bind(asked.period.begins_at)
    .bind(asked.period.ends_at)
    .fetch_all(&mut **tx)
    .await?;
    match issuers.as_slice() {
        [(one,), (other,)] => {
            let problem = format!("is missing: {one} and {other} each have an agent of this id");
            Err(ApiError::invalid("issuer_id", problem))
        }
        issuers => Ok(issuers.first().map(|(issuer,)| issuer.clone())),
    }
}

/// That no receipt of a settlement that is to begin can be part of one that may still change, and
/// that something is left where all others are paid.
async fn must_be_open(tx: &mut Tx, new: &Settlement) -> ApiResult<()> {
    let rows = sqlx::query(select_settlements!(
        "WHERE gate_id = $1 AND begins_at < $2 AND ends_at > $3 AND status <> 'void' AND status <> 'failed'"
    ))
    .bind(&new.gate_id)
    .bind(new.period.ends_at)
    .bind(new.period.begins_at)
    .fetch_all(&mut **tx)
    .await?;
    let mut paid = None;
    for row in &rows {
        let other = Settlement::read(row)?;
        if other.is_apart(new) {
            continue;
        }
        if other.status != Status::Paid.name() {
            let message = format!("{}: void it to settle again", other.in_words("overlaps and is"));
            return Err(conflict("period_overlaps", message));
        }
        paid = Some(other);
    }
    match paid {
        Some(paid) if claim::late(tx, new, 1).await? == 0 => {
            let message = format!("{}, and no receipt has come since", paid.in_words("overlaps and is"));
            Err(conflict("period_settled", message))
        }
        _ => Ok(()),
    }
}

impl Settlement {
    fn in_words(&self, is: &str) -> String {
        let (id, status, start, end) = (&self.id, &self.status, &self.period.start, &self.period.end);
        let whose = self.agent_id.as_ref().map_or(String::new(), |agent| format!(" for {agent}"));
        format!("period_start: {id}{whose}, from {start} to {end}, {is} {status}")
    }
}

fn conflict(code: &'static str, message: String) -> ApiError {
    let mut error = ApiError::new(axum::http::StatusCode::CONFLICT, code, message);
    error.field = Some("period_start".to_owned());
    error
}

/// One at a time: what is free at one depends on what others have given.
fn another_runs(running: &Settlement) -> ApiError {
    let (run, start, end) = (&running.run_id, &running.period.start, &running.period.end);
    let message = format!("{run} of this gate, from {start} to {end}, is under way: wait until it is done");
    ApiError::new(axum::http::StatusCode::CONFLICT, "settlement_running", message)
}

async fn insert(tx: &mut Tx, new: &Settlement) -> ApiResult<()> {
    sqlx::query(
        "INSERT INTO settlements (settlement_id, run_id, gate_id, agent_id, period_type, period_start, \
         period_end, begins_at, ends_at, status, created_at, created_by, attempt, seen_at, claimed, verified, \
         issuer_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 0, 0, $15)",
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
    .bind(&new.issuer_id)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
