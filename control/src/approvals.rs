//! Requests that wait for a person: kept from the record in which a gate says so, until
//! somebody answers or five minutes are over.
//!
//! An approval goes into the snapshot of its gate and lets the same request through once.
//! What became of each stands in the gate's log, as a record of the service's own.

use crate::App;
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::records;
use crate::time::{iso, now, now_ms};
use crate::trust::changes;
use anyhow::{Context, Result};
use axum::http::StatusCode;
use portcullis_core::attestation::{Decision, Draft, Record};
use portcullis_core::{base64, live::hex};
use serde_json::{Value, json};
use sqlx::Row;
use sqlx::any::AnyRow;
use std::time::Duration;

/// A request that waits, or waited.
#[derive(Clone, Debug)]
pub struct Approval {
    /// `appr_…`; whoever knows it may ask for the status.
    pub approval_id: String,
    /// The gate that holds it.
    pub gate_id: String,
    /// The record of it.
    pub attestation_id: String,
    /// Who asked.
    pub agent_id: Option<String>,
    /// Whose agent that is.
    pub issuer_id: Option<String>,
    /// What for.
    pub action: Option<String>,
    /// At which domain.
    pub target: Option<String>,
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// What it costs.
    pub cost_cents: i64,
    /// What it is about, for a person.
    pub summary: String,
    /// Where it stands.
    pub status: Status,
    /// When it came to the service.
    pub created_at: i64,
    /// Until when it can be answered; once approved, until when it lets the request through.
    pub expires_at: i64,
    /// When it was answered.
    pub resolved_at: Option<i64>,
    /// By whom: an API key's id, or `service`.
    pub resolved_by: Option<String>,
    /// What was said with it.
    pub note: Option<String>,
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Status {
    /// Nobody has answered.
    Pending,
    /// It may pass, once.
    Approved,
    /// It may not.
    Denied,
    /// Nobody has answered in time: it may not.
    Expired,
}

/// How long a person has, and how long the agent has once it is approved.
pub const WAIT_MS: i64 = 300_000;

/// Requests of a gate that wait at a time: more than people answer in five minutes. As many
/// approvals are in its snapshot.
const MOST_PENDING: i64 = 1000;

/// Requests of an agent's key that wait at a time.
const MOST_OF_AGENT: i64 = 20;

/// How long those that are over are kept. Their records stay in the log.
const KEPT_MS: i64 = 30 * 86_400_000;

/// How often is looked for those whose time is over. Gates judge times for themselves.
const LOOK: Duration = Duration::from_secs(1);

/// How many of those are taken at a look.
const AT_ONCE: i64 = 100;

const SERVICE: &str = "service";

macro_rules! select_approvals {
    ($rest:expr) => {
        concat!(
            "SELECT approval_id, gate_id, attestation_id, agent_id, issuer_id, action, target, method, path, \
             cost_cents, summary, status, created_at, expires_at, resolved_at, resolved_by, note \
             FROM approvals ",
            $rest
        )
    };
}

impl Status {
    /// All of them.
    pub const ALL: [Status; 4] = [Status::Pending, Status::Approved, Status::Denied, Status::Expired];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Approved => "approved",
            Status::Denied => "denied",
            Status::Expired => "expired",
        }
    }

    /// The status of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

impl Approval {
    fn read(row: &AnyRow) -> ApiResult<Self> {
        let status = Status::named(&row.try_get::<String, _>("status")?);
        let status = status.context("the status of an approval is unreadable")?;
        let expires_at = row.try_get("expires_at")?;
        // The task that says so looks once a second.
        let is_late = status == Status::Pending && expires_at <= now_ms();
        Ok(Approval {
            approval_id: row.try_get("approval_id")?,
            gate_id: row.try_get("gate_id")?,
            attestation_id: row.try_get("attestation_id")?,
            agent_id: row.try_get("agent_id")?,
            issuer_id: row.try_get("issuer_id")?,
            action: row.try_get("action")?,
            target: row.try_get("target")?,
            method: row.try_get("method")?,
            path: row.try_get("path")?,
            cost_cents: row.try_get("cost_cents")?,
            summary: row.try_get("summary")?,
            status: if is_late { Status::Expired } else { status },
            created_at: row.try_get("created_at")?,
            expires_at,
            resolved_at: row.try_get("resolved_at")?,
            resolved_by: row.try_get("resolved_by")?,
            note: row.try_get("note")?,
        })
    }
}

/// Takes up a record that a gate has brought, in the transaction that stores it, after it
/// is stored: if a request is held by it, somebody is to answer.
///
/// # Errors
/// No database.
pub async fn on_record(tx: &mut Tx, app: &App, record: &Record) -> ApiResult<()> {
    let draft = record.draft();
    let (Some(hold), Some(id)) = (&draft.hold, &draft.approval_request_id) else { return Ok(()) };
    if !is_id(id) {
        return Ok(());
    }
    let now = now_ms();
    let agent = draft.agent.as_ref();
    let request = draft.request.as_ref();
    let expires_at = hold.expires_at.as_millis().min(now.saturating_add(WAIT_MS));
    let pending = count_pending(tx, &draft.gate_id, None).await?;
    let of_agent = count_pending(tx, &draft.gate_id, Some(&hold.agent_key)).await?;
    let refusal = if expires_at <= now {
        Some((Status::Expired, None))
    } else if pending >= MOST_PENDING || of_agent >= MOST_OF_AGENT {
        Some((Status::Denied, Some("too many requests wait already")))
    } else {
        None
    };
    let inserted = sqlx::query(
        "INSERT INTO approvals (approval_id, gate_id, attestation_id, lane, binding, agent_key, agent_id, \
         issuer_id, action, target, method, path, cost_cents, summary, status, in_force, created_at, expires_at, \
         resolved_at, resolved_by, note) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, \
         $15, 0, $16, $17, $18, $19, $20) ON CONFLICT DO NOTHING",
    )
    .bind(id)
    .bind(&draft.gate_id)
    .bind(record.id())
    .bind(base64::encode_url(record.lane()))
    .bind(hex(&hold.binding))
    .bind(&hold.agent_key)
    .bind(agent.map(|agent| agent.agent_id.clone()))
    .bind(agent.map(|agent| agent.issuer_id.clone()))
    .bind(request.and_then(|request| request.action.clone()))
    .bind(request.and_then(|request| request.target_domain.clone()))
    .bind(request.map_or("", |request| &request.method))
    .bind(request.map_or("", |request| &request.path))
    .bind(request.map_or(0, |request| i64::try_from(request.cost_cents).unwrap_or(i64::MAX)))
    .bind(&hold.summary)
    .bind(refusal.map_or(Status::Pending, |(status, _)| status).name())
    .bind(now)
    .bind(expires_at)
    .bind(refusal.map(|_| now))
    .bind(refusal.map(|_| SERVICE))
    .bind(refusal.and_then(|(_, note)| note))
    .execute(&mut **tx)
    .await?;
    if let (Some((_, note)), 1) = (refusal, inserted.rows_affected()) {
        record_outcome(tx, app, draft, Decision::Denied, SERVICE, note).await?;
    }
    Ok(())
}

/// The approval of this id.
///
/// # Errors
/// 404.
pub async fn find(tx: &mut Tx, id: &str) -> ApiResult<Approval> {
    let row = sqlx::query(select_approvals!("WHERE approval_id = $1"))
        .bind(id)
        .fetch_optional(&mut **tx)
        .await?
        .ok_or_else(|| ApiError::not_found("approval", id))?;
    Approval::read(&row)
}

/// The newest approvals, of one gate or of all, of one status or of any.
///
/// # Errors
/// No database.
pub async fn list(
    tx: &mut Tx,
    gate: Option<&str>,
    status: Option<Status>,
    limit: i64,
) -> ApiResult<Vec<Approval>> {
    // What is late but not yet said to be has expired.
    let rows = sqlx::query(select_approvals!(
        "WHERE ($1 = '' OR gate_id = $2) AND ($3 = '' OR (status = $4 AND (status <> 'pending' OR expires_at > $5)) \
         OR ($6 = 'expired' AND status = 'pending' AND expires_at <= $7)) \
         ORDER BY created_at DESC, approval_id LIMIT $8"
    ))
    .bind(gate.unwrap_or_default())
    .bind(gate.unwrap_or_default())
    .bind(status.map_or("", Status::name))
    .bind(status.map_or("", Status::name))
    .bind(now_ms())
    .bind(status.map_or("", Status::name))
    .bind(now_ms())
    .bind(limit)
    .fetch_all(&mut **tx)
    .await?;
    rows.iter().map(Approval::read).collect()
}

/// Answers a request that waits. Answers the number of the gate's new snapshot where that
/// has it.
///
/// # Errors
/// 404; 409 for one that nobody waits for any more, and where too many are in force.
pub async fn resolve(
    tx: &mut Tx,
    app: &App,
    id: &str,
    decision: Decision,
    by: &str,
    note: Option<&str>,
) -> ApiResult<(Approval, Option<i64>)> {
    let approval = find(tx, id).await?;
    let approves = decision == Decision::Approved;
    // The clock first, then the row: everyone takes them in this order.
    let number = if approves { Some(changes::renew_gate(tx, &approval.gate_id).await?) } else { None };
    let now = now_ms();
    let status = if approves { Status::Approved } else { Status::Denied };
    let resolved = sqlx::query(
        "UPDATE approvals SET status = $1, in_force = $2, resolved_at = $3, resolved_by = $4, note = $5, \
         expires_at = $6 WHERE approval_id = $7 AND status = 'pending' AND expires_at > $8",
    )
    .bind(status.name())
    .bind(i64::from(approves))
    .bind(now)
    .bind(by)
    .bind(note)
    .bind(if approves { now.saturating_add(WAIT_MS) } else { approval.expires_at })
    .bind(id)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    if resolved.rows_affected() == 0 {
        let status = find(tx, id).await?.status.name();
        return Err(ApiError::conflict(format!("nobody waits for it any more: it is {status}")));
    }
    if approves && in_force(tx, &approval.gate_id, now).await?.len() > MOST_IN_FORCE {
        let message = "the gate has as many approvals as it may; wait until some are used or over";
        return Err(ApiError::new(StatusCode::CONFLICT, "too_many_approvals", message));
    }
    let held = held_record(tx, &approval).await?;
    record_outcome(tx, app, held.draft(), decision, by, note).await?;
    Ok((find(tx, id).await?, number))
}

/// What a gate's snapshot says of approvals at the time `at`: those of what the service has
/// held itself are not for gates.
///
/// # Errors
/// No database.
pub async fn in_force(tx: &mut Tx, gate: &str, at: i64) -> Result<Vec<Value>, sqlx::Error> {
    let rows: Vec<(String, String, String, i64)> = sqlx::query_as(
        "SELECT approval_id, binding, lane, expires_at FROM approvals \
         WHERE gate_id = $1 AND in_force = 1 AND expires_at > $2 AND lane <> $3 \
         ORDER BY expires_at, approval_id LIMIT $4",
    )
    .bind(gate)
    .bind(at)
    .bind(own_lane(gate))
    .bind(MOST_PENDING.saturating_add(1))
    .fetch_all(&mut **tx)
    .await?;
    let entry = |(id, binding, lane, expires_at)| json!({"id": id, "binding": binding, "lane": lane, "expires_at": iso(expires_at)});
    Ok(rows.into_iter().map(entry).collect())
}

/// Uses an approval of what the service itself has held, if there is one. Answers its id.
///
/// # Errors
/// No database.
pub async fn use_own(tx: &mut Tx, gate: &str, binding: &[u8; 32]) -> Result<Option<String>, sqlx::Error> {
    // No snapshot has these, so that none changes. Whoever else uses it waits for the row.
    let used: Option<(String,)> = sqlx::query_as(
        "UPDATE approvals SET in_force = 0 WHERE approval_id = (SELECT approval_id FROM approvals \
         WHERE gate_id = $1 AND lane = $2 AND binding = $3 AND in_force = 1 AND expires_at > $4 \
         ORDER BY expires_at, approval_id LIMIT 1) AND in_force = 1 RETURNING approval_id",
    )
    .bind(gate)
    .bind(own_lane(gate))
    .bind(hex(binding))
    .bind(now_ms())
    .fetch_optional(&mut **tx)
    .await?;
    Ok(used.map(|(id,)| id))
}

fn own_lane(gate: &str) -> String {
    base64::encode_url(&records::own_lane(gate))
}

/// Approvals of a gate's snapshot: what core takes.
const MOST_IN_FORCE: usize = 1000;

/// Ends what nobody has answered in time, for as long as it is polled.
pub async fn run(app: App) {
    loop {
        if let Err(error) = expire(&app).await {
            tracing::warn!(error = error.message, "requests that wait stay for now");
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn expire(app: &App) -> ApiResult<()> {
    let now = now_ms();
    let late: Vec<(String,)> = sqlx::query_as(
        "SELECT approval_id FROM approvals WHERE status = 'pending' AND expires_at <= $1 LIMIT $2",
    )
    .bind(now)
    .bind(AT_ONCE)
    .fetch_all(app.db.pool())
    .await?;
    for (id,) in late {
        let mut tx = app.db.write().await?;
        let expired = sqlx::query(
            "UPDATE approvals SET status = 'expired', resolved_at = $1, resolved_by = $2 \
             WHERE approval_id = $3 AND status = 'pending'",
        )
        .bind(now)
        .bind(SERVICE)
        .bind(&id)
        .execute(&mut *tx)
        .await?;
        // Another instance may have been first.
        if expired.rows_affected() == 1 {
            let approval = find(&mut tx, &id).await?;
            let held = held_record(&mut tx, &approval).await?;
            record_outcome(
                &mut tx,
                app,
                held.draft(),
                Decision::Denied,
                SERVICE,
                Some("nobody answered in time"),
            )
            .await?;
            tx.commit().await?;
        }
    }
    let gates: Vec<(String,)> = sqlx::query_as(
        "SELECT DISTINCT gate_id FROM approvals WHERE status = 'approved' AND in_force = 1 AND expires_at <= $1 \
         LIMIT $2",
    )
    .bind(now)
    .bind(AT_ONCE)
    .fetch_all(app.db.pool())
    .await?;
    for (gate,) in gates {
        let mut tx = app.db.write().await?;
        let number = changes::renew_gate(&mut tx, &gate).await?;
        let over = sqlx::query(
            "UPDATE approvals SET in_force = 0 WHERE gate_id = $1 AND status = 'approved' AND in_force = 1 \
             AND expires_at <= $2",
        )
        .bind(&gate)
        .bind(now)
        .execute(&mut *tx)
        .await?;
        if over.rows_affected() > 0 {
            tx.commit().await?;
            app.trust.wake(number);
        }
    }
    Ok(())
}

/// Forgets those that have been over for long.
///
/// # Errors
/// No database.
pub async fn forget(app: &App) -> Result<()> {
    sqlx::query("DELETE FROM approvals WHERE resolved_at < $1 AND in_force = 0")
        .bind(now_ms().saturating_sub(KEPT_MS))
        .execute(app.db.pool())
        .await?;
    Ok(())
}

/// Those of a gate that wait, or of an agent's key there.
async fn count_pending(tx: &mut Tx, gate: &str, key: Option<&str>) -> Result<i64, sqlx::Error> {
    let (count,): (i64,) = sqlx::query_as(
        "SELECT COUNT(*) FROM approvals WHERE gate_id = $1 AND status = 'pending' \
         AND ($2 = '' OR agent_key = $3)",
    )
    .bind(gate)
    .bind(key.unwrap_or_default())
    .bind(key.unwrap_or_default())
    .fetch_one(&mut **tx)
    .await?;
    Ok(count)
}

/// The record in which the gate said that it holds the request.
async fn held_record(tx: &mut Tx, approval: &Approval) -> ApiResult<Record> {
    let (text,): (String,) =
        sqlx::query_as("SELECT text FROM records WHERE gate_id = $1 AND attestation_id = $2")
            .bind(&approval.gate_id)
            .bind(&approval.attestation_id)
            .fetch_one(&mut **tx)
            .await?;
    let record = Record::read(text.as_bytes());
    Ok(record.map_err(|error| anyhow::anyhow!("a stored record is unreadable: {error}"))?)
}

/// Puts what became of a request into the gate's log.
async fn record_outcome(
    tx: &mut Tx,
    app: &App,
    held: &Draft,
    decision: Decision,
    by: &str,
    note: Option<&str>,
) -> ApiResult<()> {
    let detail = match note {
        Some(note) => format!("{} by {by}: {note}", decision.name()),
        None => format!("{} by {by}", decision.name()),
    };
    let draft = Draft {
        id: records::new_id()?,
        decision,
        detail: Some(detail),
        guardrails: Vec::new(),
        hold: None,
        reason_code: None,
        receipt: None,
        time: now(),
        ..held.clone()
    };
    records::record_own(tx, app, &draft, None).await?;
    app.metrics.recorded(decision.name());
    Ok(())
}

/// `appr_` and letters, digits, hyphens and underscores: gates take no others.
fn is_id(id: &str) -> bool {
    let rest = id.strip_prefix("appr_").unwrap_or_default();
    (1..=64).contains(&rest.len())
        && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}
