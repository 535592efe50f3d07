//! Settlements, as the Modei client has them.

mod answers;

use super::gates::full_id;
use super::receipts::JSON_LINES;
use super::shapes::{Page, check_id};
use crate::App;
use crate::audit;
use crate::auth::{BillingRead, BillingWrite, Caller};
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::{Body, Path, Query};
use crate::settlement::{self, Asked, Period, PeriodType, Settlement, Status, day};
use crate::time::iso;
use answers::{Run, SettlementList, SettlementRecord};
use anyhow::Context;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(generate_settlement, list_settlements))
        .routes(routes!(get_run))
        .routes(routes!(get_settlement))
        .routes(routes!(get_records))
        .routes(routes!(update_settlement_status))
}

/// What is to be settled.
#[derive(Debug, Deserialize, ToSchema)]
struct SettlementRequest {
    /// The gate.
    #[schema(min_length = 1, max_length = 256)]
    gate_id: String,
    /// How long the period is.
    period_type: PeriodType,
    /// Its first day, `YYYY-MM-DD`, in UTC: of a week a Monday, of a month the first.
    #[schema(min_length = 10, max_length = 10)]
    period_start: String,
    /// Its last day.
    #[schema(min_length = 10, max_length = 10)]
    period_end: String,
    /// Of this agent alone; left out: of all.
    #[schema(min_length = 1, max_length = 256)]
    agent_id: Option<String>,
    /// The issuer of that agent, where two have given its id.
    #[schema(min_length = 1, max_length = 256)]
    issuer_id: Option<String>,
}

/// Late receipts that are counted, and one more.
const MOST_LATE: i64 = 10_001;

/// How long a caller is kept waiting: the Modei client waits 30 s.
const WAIT: Duration = Duration::from_secs(20);

/// How often a run is looked at meanwhile, which may be another instance's.
const LOOK: Duration = Duration::from_millis(100);

/// Settles a period: all receipts of it are verified anew, both signatures of each, and added
/// up. What takes longer than 20 s is answered with 202, and goes on: ask again with the same
/// body, or after the run.
#[utoipa::path(post, path = "/api/billing", tag = "settlement", security(("api_key" = ["billing:write"])), request_body = SettlementRequest, responses(
    (status = 201, description = "The settlement", body = SettlementRecord),
    (status = 202, description = "It is under way", body = Run),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such gate", body = ErrorBody),
    (status = 409, description = "The period overlaps a settlement that may still change (`period_overlaps`), or all of it is paid (`period_settled`), or another settlement of the gate is under way (`settlement_running`)", body = ErrorBody),
    (status = 413, description = "The body is too large", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body, or the period is not over: `field` says what", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn generate_settlement(
    caller: Caller<BillingWrite>,
    State(app): State<App>,
    Body(asked): Body<SettlementRequest>,
) -> ApiResult<Response> {
    check_id("gate_id", &asked.gate_id)?;
    if let Some(agent) = &asked.agent_id {
        check_id("agent_id", agent)?;
    }
    if let Some(issuer) = &asked.issuer_id {
        check_id("issuer_id", issuer)?;
        if asked.agent_id.is_none() {
            return Err(ApiError::invalid("issuer_id", "goes with agent_id"));
        }
    }
    let asked = Asked {
        gate_id: full_id(&asked.gate_id),
        period: Period::new(asked.period_type, &asked.period_start, &asked.period_end)?,
        agent_id: asked.agent_id,
        issuer_id: asked.issuer_id,
    };
    let mut tx = app.db.write().await?;
    let begun = settlement::begin(&mut tx, &app, asked, &caller.key_id).await?;
    tx.commit().await?;
    let id = begun.settlement.id.clone();
    if let Some(permit) = begun.permit {
        settlement::run::spawn(&app, begun.settlement, permit);
    }
    let until = Instant::now().checked_add(WAIT).context("a time that cannot be told")?;
    loop {
        let mut tx = app.db.read().await?;
        let found = settlement::find(&mut tx, &id).await?.context("a settlement that was begun is gone")?;
        if !found.is_running() {
            if let Some(why) = &found.failure {
                return Err(ApiError::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "settlement_failed",
                    why.clone(),
                ));
            }
            let record = SettlementRecord::read(&found, settlement::changes(&mut tx, &id).await?, None)?;
            return Ok((StatusCode::CREATED, Json(record)).into_response());
        }
        tx.rollback().await?;
        if Instant::now() >= until {
            return Ok((StatusCode::ACCEPTED, Json(Run::from(found))).into_response());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Which settlements.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct SettlementQuery {
    /// Of this gate.
    #[param(max_length = 256)]
    gate_id: Option<String>,
    /// Of this agent alone.
    #[param(max_length = 256)]
    agent_id: Option<String>,
    /// Of this kind of period.
    period_type: Option<PeriodType>,
    /// Of this status.
    status: Option<Status>,
    /// Of periods that end on this day or later.
    #[param(max_length = 10)]
    from: Option<String>,
    /// Of periods that begin on this day or before.
    #[param(max_length = 10)]
    to: Option<String>,
    /// How many, at most; left out: 20.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    /// After how many others; left out: 0.
    #[param(minimum = 0)]
    offset: Option<i64>,
}

/// Settlements, the newest first.
#[utoipa::path(get, path = "/api/billing", tag = "settlement", security(("api_key" = ["billing:read"])),
    params(SettlementQuery), responses(
    (status = 200, description = "A page of them", body = SettlementList),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 422, description = "A parameter is wrong", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn list_settlements(
    _: Caller<BillingRead>,
    State(app): State<App>,
    Query(asked): Query<SettlementQuery>,
) -> ApiResult<Json<SettlementList>> {
    let page = Page::new(asked.limit.or(Some(20)), asked.offset)?;
    let wanted = settlement::Wanted {
        gate_id: asked.gate_id.as_deref().map(full_id),
        agent_id: asked.agent_id,
        period_type: asked.period_type.map(|of| of.name().to_owned()),
        status: asked.status.map(|status| status.name().to_owned()),
        from: asked.from.as_deref().map(|text| day("from", text)).transpose()?,
        to: asked.to.as_deref().map(|text| day("to", text)).transpose()?,
    };
    let mut tx = app.db.read().await?;
    let (found, total) = settlement::list(&mut tx, &wanted, page.limit, page.offset).await?;
    let mut settlements = Vec::with_capacity(found.len());
    for one in &found {
        settlements.push(SettlementRecord::read(one, Vec::new(), None)?.shortened());
    }
    Ok(Json(SettlementList { settlements, total, limit: page.limit, offset: page.offset }))
}

/// A settlement, with how its status came to be.
#[utoipa::path(get, path = "/api/billing/{settlement_id}", tag = "settlement", security(("api_key" = ["billing:read"])),
    params(("settlement_id" = String, Path, description = "`stl_…`")), responses(
    (status = 200, description = "The settlement", body = SettlementRecord),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is none, or it is still under way", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn get_settlement(
    _: Caller<BillingRead>,
    State(app): State<App>,
    Path(id): Path<String>,
) -> ApiResult<Json<SettlementRecord>> {
    let mut tx = app.db.read().await?;
    let found = done(settlement::find(&mut tx, &id).await?, &id)?;
    let late = match found.status.as_str() {
        "void" => None,
        _ => Some(settlement::late(&mut tx, &found, MOST_LATE).await?),
    };
    Ok(Json(SettlementRecord::read(&found, settlement::changes(&mut tx, &id).await?, late)?))
}

/// How far a settlement is that is under way, or how it ended.
#[utoipa::path(get, path = "/api/billing/runs/{run_id}", tag = "settlement", security(("api_key" = ["billing:read"])),
    params(("run_id" = String, Path, description = "`run_…`")), responses(
    (status = 200, description = "The run", body = Run),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is none", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn get_run(
    _: Caller<BillingRead>,
    State(app): State<App>,
    Path(id): Path<String>,
) -> ApiResult<Json<Run>> {
    let found = settlement::of_run(&mut app.db.read().await?, &id).await?;
    found.map(|found| Json(Run::from(found))).ok_or_else(|| ApiError::not_found("run", &id))
}

/// The records of a settlement, in the order in which the receipts were made: a line of JSON for
/// each, with the texts that both sides signed, and what is charged for it. They add up to the
/// summary.
#[utoipa::path(get, path = "/api/billing/{settlement_id}/records", tag = "settlement", security(("api_key" = ["billing:read"])),
    params(("settlement_id" = String, Path, description = "`stl_…`")), responses(
    (status = 200, description = "The records, all of them", body = String, content_type = "application/jsonl"),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such settlement, or it is still under way", body = ErrorBody),
    (status = 409, description = "It is void, and has given its records free", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn get_records(
    _: Caller<BillingRead>,
    State(app): State<App>,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    let found = done(settlement::find(&mut app.db.read().await?, &id).await?, &id)?;
    if found.status == Status::Void.name() {
        return Err(ApiError::conflict("the settlement is void, and has given its records free"));
    }
    let lines = settlement::lines(&app, &found);
    Ok(([(CONTENT_TYPE, JSON_LINES)], axum::body::Body::from_stream(lines)).into_response())
}

/// What a settlement is to become.
#[derive(Debug, Deserialize, ToSchema)]
struct StatusRequest {
    /// From `pending` to `invoiced` or `void`; from `invoiced` to `paid`, `disputed` or `void`;
    /// from `disputed` to `invoiced` or `void`.
    #[serde(alias = "new_status")]
    status: Status,
}

/// Changes the status of a settlement. What is void gives its receipts free, to be settled again.
#[utoipa::path(post, path = "/api/billing/{settlement_id}/status", tag = "settlement", security(("api_key" = ["billing:write"])),
    params(("settlement_id" = String, Path, description = "`stl_…`")), request_body = StatusRequest, responses(
    (status = 200, description = "The settlement", body = SettlementRecord),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is none", body = ErrorBody),
    (status = 409, description = "It does not become this: `transition_forbidden`; or it is still under way", body = ErrorBody),
    (status = 413, description = "The body is too large", body = ErrorBody),
    (status = 422, description = "There is no such status", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn update_settlement_status(
    caller: Caller<BillingWrite>,
    State(app): State<App>,
    Path(id): Path<String>,
    Body(asked): Body<StatusRequest>,
) -> ApiResult<Json<SettlementRecord>> {
    let mut tx = app.db.write().await?;
    let changed = settlement::change(&mut tx, &id, asked.status, &caller.key_id).await?;
    let detail =
        json!({"status": changed.status, "gate_id": changed.gate_id, "at": iso(crate::time::now_ms())});
    audit::record(&mut tx, &caller.key_id, "settlement.status", &id, detail).await?;
    let record = SettlementRecord::read(&changed, settlement::changes(&mut tx, &id).await?, None)?;
    tx.commit().await?;
    Ok(Json(record))
}

/// A settlement that has a summary.
fn done(found: Option<Settlement>, id: &str) -> ApiResult<Settlement> {
    let found = found.filter(|found| found.summary.is_some());
    found.ok_or_else(|| ApiError::not_found("settlement that is done", id))
}
