//! Requests that wait for a person: who sees them, and who answers.

use super::check_page;
use super::gates::full_id;
use super::shapes::check_text;
use crate::anyone::KeyOrNone;
use crate::approvals::{self, Status};
use crate::auth::{Approve, Caller};
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::{Body, Path, Query};
use crate::time::iso;
use crate::{App, audit};
use axum::Json;
use axum::extract::State;
use portcullis_core::attestation::Decision;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show)).routes(routes!(resolve))
}

/// A request that waits for a person, or waited.
#[derive(Debug, Serialize, ToSchema)]
struct Approval {
    /// Its id, `appr_…`.
    approval_request_id: String,
    /// `pending`, `approved`, `denied` or `expired`.
    status: &'static str,
    /// Until when it can be answered; once approved, until when it lets the request through.
    expires_at: String,
    /// The gate that holds it.
    gate_id: String,
    /// The record in which the gate says so.
    attestation_id: String,
    /// Who asked.
    agent_id: Option<String>,
    /// Whose agent that is.
    issuer_id: Option<String>,
    /// What for.
    action: Option<String>,
    /// At which domain.
    target: Option<String>,
    /// The method.
    method: String,
    /// The path, without its query.
    path: String,
    /// What it costs.
    cost_cents: i64,
    /// What it is about.
    summary: String,
    /// When it came to the service.
    created_at: String,
    /// When it was answered.
    resolved_at: Option<String>,
    /// By whom: an API key's id, or `service`.
    resolved_by: Option<String>,
    /// What was said with it.
    note: Option<String>,
}

/// What whoever knows the id may know.
#[derive(Debug, Serialize, ToSchema)]
struct ApprovalStatus {
    /// Its id, `appr_…`.
    approval_request_id: String,
    /// `pending`, `approved`, `denied` or `expired`. Once approved, the same request passes.
    status: &'static str,
    /// Until when it can be answered; once approved, until when it lets the request through.
    expires_at: String,
}

/// All of it, or the status.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
enum Shown {
    /// For API keys with the scope `approve`.
    Approval(Approval),
    /// For whoever knows the id.
    Status(ApprovalStatus),
}

impl From<approvals::Approval> for Approval {
    fn from(approval: approvals::Approval) -> Self {
        Approval {
            approval_request_id: approval.approval_id,
            status: approval.status.name(),
            expires_at: iso(approval.expires_at),
            gate_id: approval.gate_id,
            attestation_id: approval.attestation_id,
            agent_id: approval.agent_id,
            issuer_id: approval.issuer_id,
            action: approval.action,
            target: approval.target,
            method: approval.method,
            path: approval.path,
            cost_cents: approval.cost_cents,
            summary: approval.summary,
            created_at: iso(approval.created_at),
            resolved_at: approval.resolved_at.map(iso),
            resolved_by: approval.resolved_by,
            note: approval.note,
        }
    }
}

/// Which approvals.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Listed {
    /// Of this gate; left out: of all.
    #[param(min_length = 1, max_length = 256)]
    gate_id: Option<String>,
    /// `pending`, `approved`, `denied` or `expired`; left out: any.
    #[param(max_length = 16)]
    status: Option<String>,
    /// How many, at most; left out: 100.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

/// Requests that wait for a person, or waited within 30 days, the newest first.
#[utoipa::path(get, path = "/api/approvals", tag = "approvals", security(("api_key" = ["approve"])),
    params(Listed), responses(
    (status = 200, description = "The requests", body = [Approval]),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 422, description = "Something is wrong in the query", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn list(
    _: Caller<Approve>,
    State(app): State<App>,
    Query(asked): Query<Listed>,
) -> ApiResult<Json<Vec<Approval>>> {
    let limit = asked.limit.unwrap_or(100);
    check_page(limit, 0)?;
    let status = match &asked.status {
        None => None,
        Some(name) => Some(
            Status::named(name)
                .ok_or_else(|| ApiError::invalid("status", "must be pending, approved, denied or expired"))?,
        ),
    };
    let gate = asked.gate_id.as_deref().map(full_id);
    let listed = approvals::list(&mut app.db.read().await?, gate.as_deref(), status, limit).await?;
    Ok(Json(listed.into_iter().map(Approval::from).collect()))
}

/// Where a request stands. Its id is enough to ask; an API key with the scope `approve` is
/// told everything.
#[utoipa::path(get, path = "/api/approvals/{id}", tag = "approvals", security((), ("api_key" = ["approve"])),
    params(("id" = String, Path, description = "Its id, as in the gate's answer")), responses(
    (status = 200, description = "The request, or its status", body = Shown),
    (status = 401, description = "The API key is unknown", body = ErrorBody),
    (status = 404, description = "There is none", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn show(key: KeyOrNone, State(app): State<App>, Path(id): Path<String>) -> ApiResult<Json<Shown>> {
    let approval = approvals::find(&mut app.db.read().await?, &id).await?;
    if key.require::<Approve>("").is_ok() {
        return Ok(Json(Shown::Approval(approval.into())));
    }
    Ok(Json(Shown::Status(ApprovalStatus {
        approval_request_id: approval.approval_id,
        status: approval.status.name(),
        expires_at: iso(approval.expires_at),
    })))
}

/// An answer.
#[derive(Debug, Deserialize, ToSchema)]
struct Answer {
    /// Whether it may pass.
    decision: Answered,
    /// What to say with it; it goes into the record.
    #[schema(max_length = 200)]
    note: Option<String>,
}

/// Whether a request may pass.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Answered {
    /// Once, within five minutes.
    Approve,
    /// Not.
    Deny,
}

/// Answers a request that waits. Approved, it passes once, when the agent sends the very
/// same again within five minutes.
#[utoipa::path(post, path = "/api/approvals/{id}/resolve", tag = "approvals", security(("api_key" = ["approve"])),
    params(("id" = String, Path, description = "Its id")), request_body = Answer, responses(
    (status = 200, description = "The request as it stands now", body = Approval),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is none", body = ErrorBody),
    (status = 409, description = "It was answered, or nobody waits any more", body = ErrorBody),
    (status = 413, description = "The body is too large", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn resolve(
    caller: Caller<Approve>,
    State(app): State<App>,
    Path(id): Path<String>,
    Body(answer): Body<Answer>,
) -> ApiResult<Json<Approval>> {
    check_text("note", answer.note.as_deref().unwrap_or_default(), 0, 200)?;
    let decision = match answer.decision {
        Answered::Approve => Decision::Approved,
        Answered::Deny => Decision::Denied,
    };
    let mut tx = app.db.write().await?;
    let by = &caller.key_id;
    let (approval, number) =
        approvals::resolve(&mut tx, &app, &id, decision, by, answer.note.as_deref()).await?;
    audit::record(&mut tx, by, "approval.resolve", &id, json!({"decision": answer.decision})).await?;
    tx.commit().await?;
    if let Some(number) = number {
        app.trust.wake(number);
    }
    Ok(Json(approval.into()))
}
