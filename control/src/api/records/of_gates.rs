//! Records as the Modei client has them: those of a gate, those of a passport, and records
//! of what was decided elsewhere.

use super::must_be_known;
use crate::App;
use crate::api::gates::{full_id, hold};
use crate::api::shapes::{GateQuery, Page, check_id, check_text};
use crate::auth::{Audit, AuditRecord, Caller};
use crate::db::Tx;
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::{Body, Path, Query};
use crate::issuers;
use crate::passports::{self, Passport};
use crate::records::read::{self, Stored, Wanted};
use crate::records::{self, Reported};
use crate::time::now;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use portcullis_core::attestation::Record;
use portcullis_core::attestation::log::verify_inclusion;
use portcullis_core::attestation::{AccessMode, Agent, AttestedRequest, Decision, Draft};
use portcullis_core::live::hex;
use portcullis_core::{Mode, PublicKey, UnixTime, base64, sha256};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, record))
        .routes(routes!(of_passport))
        .routes(routes!(get))
        .routes(routes!(verify))
}

/// A record, with all its members, and these.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RecordRow {
    /// `att_…`
    id: String,
    /// The gate.
    gate_id: String,
    /// The passport that it is about.
    passport_id: Option<String>,
    /// The agent that it is about.
    agent_id: Option<String>,
    /// What was asked for.
    action: Option<String>,
    /// The domain that it was for.
    target: Option<String>,
    /// `allow`, `block`, `request_hold`, `approved`, `denied` or `gap`.
    decision: String,
    /// Why it was refused.
    reason_code: Option<String>,
    /// Standard base64 of the signature over `attestation_json`.
    signature: Option<String>,
    /// The id of the key that signed.
    signing_key_id: Option<String>,
    /// The text that was signed.
    attestation_json: Option<String>,
    /// When it was decided.
    created_at: String,
    /// The number in its lane.
    sequence_number: u64,
    /// Its place in the gate's log, from 0.
    log_index: i64,
    /// The guardrails that were evaluated.
    #[schema(value_type = Vec<Object>)]
    constraint_evaluations: Vec<Value>,
    /// What a caller reported, where the record is about that.
    #[schema(value_type = Option<Object>)]
    reported: Option<Value>,
}

/// Which records of a gate.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct OfGate {
    /// About this passport.
    #[param(max_length = 256)]
    passport_id: Option<String>,
    /// About this agent.
    #[param(max_length = 256)]
    agent_id: Option<String>,
    /// About this action.
    #[param(max_length = 256)]
    permission: Option<String>,
    /// Decided at this time or later: RFC 3339, or a date.
    #[param(max_length = 64)]
    since: Option<String>,
    /// How many, at most; left out: 100.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

/// Records of a gate, the newest first.
#[utoipa::path(get, path = "/api/gates/{gate_id}/attestations", tag = "records", security(("api_key" = ["audit"])),
    params(("gate_id" = String, Path, description = "The gate's id"), OfGate), responses(
    (status = 200, description = "The records", body = [RecordRow]),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such gate", body = ErrorBody),
    (status = 422, description = "A parameter is wrong", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn list(
    _: Caller<Audit>,
    State(app): State<App>,
    Path(gate_id): Path<String>,
    Query(asked): Query<OfGate>,
) -> ApiResult<Json<Vec<Map<String, Value>>>> {
    let gate = full_id(&gate_id);
    let page = Page::new(asked.limit.or(Some(100)), None)?;
    let wanted = Wanted {
        gate_id: Some(gate.clone()),
        passport_id: asked.passport_id,
        agent_id: asked.agent_id,
        action: asked.permission,
        after: asked.since,
        ..Wanted::default()
    };
    let conditions = wanted.conditions()?;
    let mut tx = app.db.read().await?;
    must_be_known(&mut tx, &gate).await?;
    let records = conditions.newest(&mut tx, page.limit, 0).await?;
    Ok(Json(records.iter().map(Stored::row).collect()))
}

/// What was decided elsewhere. Members beside these are kept as they are.
#[derive(Debug, Deserialize, ToSchema)]
struct Report {
    /// The passport that was presented.
    #[schema(max_length = 256)]
    passport_id: Option<String>,
    /// The agent that asked.
    #[schema(max_length = 256)]
    agent_id: Option<String>,
    /// The action that it asked for.
    #[schema(max_length = 256)]
    permission: Option<String>,
    /// The tool that was called.
    #[schema(max_length = 256)]
    tool_name: Option<String>,
    /// `allowed` or `denied`; left out: allowed.
    #[schema(pattern = "^(allowed|denied)$")]
    result: Option<String>,
    /// Why it was denied.
    #[schema(max_length = 64)]
    denial_code: Option<String>,
}

/// The record that was made.
#[derive(Debug, Serialize, ToSchema)]
struct Recorded {
    /// `att_…`
    attestation_id: String,
}

/// As long as any notes.
const MAX_REPORT: usize = 16 * 1024;

/// Records what was decided elsewhere. The service signs that this was reported, in a lane
/// of its own, by a key that is not the gate's.
#[utoipa::path(post, path = "/api/gates/{gate_id}/attestations", tag = "records", security(("api_key" = ["audit:record"])),
    params(("gate_id" = String, Path, description = "The gate's id")), request_body = Report, responses(
    (status = 201, description = "It is recorded", body = Recorded),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such gate", body = ErrorBody),
    (status = 413, description = "The body is too large", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn record(
    caller: Caller<AuditRecord>,
    State(app): State<App>,
    Path(gate_id): Path<String>,
    Body(body): Body<Value>,
) -> ApiResult<(StatusCode, Json<Recorded>)> {
    let json = body.to_string();
    if json.len() > MAX_REPORT {
        return Err(ApiError::invalid("body", format!("must have at most {MAX_REPORT} bytes")));
    }
    let report: Report =
        serde_json::from_value(body).map_err(|error| ApiError::invalid("body", error.to_string()))?;
    for (field, id) in [
        ("passport_id", &report.passport_id),
        ("agent_id", &report.agent_id),
        ("permission", &report.permission),
    ] {
        if let Some(id) = id {
            check_id(field, id)?;
        }
    }
    check_text("denial_code", report.denial_code.as_deref().unwrap_or_default(), 0, 64)?;
    check_text("tool_name", report.tool_name.as_deref().unwrap_or_default(), 0, 256)?;
    let decision = match report.result.as_deref() {
        None | Some("allowed") => Decision::Allow,
        Some("denied") => Decision::Block,
        Some(_) => return Err(ApiError::invalid("result", "must be allowed or denied")),
    };
    let gate = full_id(&gate_id);
    let mut tx = app.db.write().await?;
    hold(&mut tx, &gate).await?;
    let agent = agent(&mut tx, &gate, &report).await?;
    let draft = Draft {
        access_mode: if agent.is_some() { AccessMode::Credential } else { AccessMode::None },
        agent,
        approval_request_id: None,
        id: records::new_id()?,
        decision,
        // What was reported stands beside the record, and is bound to it by this.
        detail: Some(format!("reported by {}, sha256 {}", caller.key_id, hex(&sha256(json.as_bytes())))),
        dropped: None,
        gate_id: gate.clone(),
        gate_name: gate_name(&mut tx, &gate).await?,
        guardrails: Vec::new(),
        hold: None,
        mode: Mode::Enforce,
        reason_code: report.denial_code,
        receipt: None,
        request: Some(AttestedRequest {
            action: report.permission,
            cost_cents: 0,
            method: String::new(),
            path: String::new(),
            target_domain: None,
        }),
        time: now(),
    };
    let reported = Reported { json, agent_id: report.agent_id, passport_id: report.passport_id };
    let attestation_id = records::record_own(&mut tx, &app, &draft, Some(reported)).await?.id();
    tx.commit().await?;
    app.metrics.recorded(decision.name());
    Ok((StatusCode::CREATED, Json(Recorded { attestation_id })))
}

/// The agent of a report, as far as the service knows the passport that it names.
async fn agent(tx: &mut Tx, gate: &str, report: &Report) -> ApiResult<Option<Agent>> {
    let Some(id) = &report.passport_id else { return Ok(None) };
    let row = sqlx::query(passports::select_passports!("WHERE passport_id = $1 AND gate_id = $2"))
        .bind(id)
        .bind(gate)
        .fetch_optional(&mut **tx)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let passport = Passport::read(&row)?;
    if report.agent_id.as_ref().is_some_and(|agent| *agent != passport.agent_id) {
        return Err(ApiError::invalid("agent_id", "is not the agent that holds the passport"));
    }
    Ok(Some(Agent {
        agent_id: passport.agent_id,
        agent_name: passport.agent_name,
        issuer_id: passport.issuer_id,
        passport_id: passport.passport_id,
        // As the gate's snapshot has it for its own passports.
        tier: issuers::OWN_TIER,
    }))
}

async fn gate_name(tx: &mut Tx, gate: &str) -> ApiResult<Option<String>> {
    let row: Option<(String,)> = sqlx::query_as("SELECT name FROM gates WHERE gate_id = $1")
        .bind(gate)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(row.map(|(name,)| name))
}

/// Which records of a passport.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct OfPassport {
    /// With this decision.
    #[param(max_length = 32)]
    decision: Option<String>,
    /// How many, at most; left out: 100.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

/// Records about a passport, at any gate, the newest first.
#[utoipa::path(get, path = "/api/passports/{passport_id}/enforcement", tag = "records", security(("api_key" = ["audit"])),
    params(("passport_id" = String, Path, description = "The passport's id"), OfPassport), responses(
    (status = 200, description = "The records", body = [RecordRow]),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 422, description = "A parameter is wrong", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn of_passport(
    _: Caller<Audit>,
    State(app): State<App>,
    Path(passport_id): Path<String>,
    Query(asked): Query<OfPassport>,
) -> ApiResult<Json<Vec<Map<String, Value>>>> {
    let page = Page::new(asked.limit.or(Some(100)), None)?;
    let wanted = Wanted { passport_id: Some(passport_id), decision: asked.decision, ..Wanted::default() };
    let mut tx = app.db.read().await?;
    let records = wanted.conditions()?.newest(&mut tx, page.limit, 0).await?;
    Ok(Json(records.iter().map(Stored::row).collect()))
}

/// A record.
#[utoipa::path(get, path = "/api/enforcement/{attestation_id}", tag = "records", security(("api_key" = ["audit"])),
    params(("attestation_id" = String, Path, description = "`att_…`"), GateQuery), responses(
    (status = 200, description = "The record", body = RecordRow),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is none that is kept", body = ErrorBody),
    (status = 409, description = "Two gates have given the id: say which with gate_id", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn get(
    _: Caller<Audit>,
    State(app): State<App>,
    Path(id): Path<String>,
    Query(of): Query<GateQuery>,
) -> ApiResult<Json<Map<String, Value>>> {
    Ok(Json(read::find(&mut app.db.read().await?, &id, of.gate().as_deref()).await?.row()))
}

/// Whether a stored record is what it was.
#[derive(Debug, Serialize, ToSchema)]
struct Verified {
    /// Whether its text is canonical, signed by a key that was good when it came, and in the
    /// gate's log.
    valid: bool,
    /// What is wrong.
    reason: Option<&'static str>,
    /// The id of the key that signed.
    signing_key_id: Option<String>,
}

/// Verifies a record as it is stored: its signature, and that it is in the gate's log.
#[utoipa::path(post, path = "/api/enforcement/{attestation_id}/verify", tag = "records", security(("api_key" = ["audit"])),
    params(("attestation_id" = String, Path, description = "`att_…`"), GateQuery), responses(
    (status = 200, description = "What was found", body = Verified),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is none that is kept", body = ErrorBody),
    (status = 409, description = "Two gates have given the id: say which with gate_id", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn verify(
    _: Caller<Audit>,
    State(app): State<App>,
    Path(id): Path<String>,
    Query(of): Query<GateQuery>,
) -> ApiResult<Json<Verified>> {
    let mut tx = app.db.read().await?;
    let stored = read::find(&mut tx, &id, of.gate().as_deref()).await?;
    let record = Record::read(stored.text.as_bytes());
    let signing_key_id = record.as_ref().ok().map(|record| base64::encode_url(record.key_id()));
    let reason = match record {
        Ok(record) => judge(&mut tx, &stored, &record).await?,
        Err(error) => Some(error.code()),
    };
    Ok(Json(Verified { valid: reason.is_none(), reason, signing_key_id }))
}

/// What is wrong with a record.
async fn judge(tx: &mut Tx, stored: &Stored, record: &Record) -> ApiResult<Option<&'static str>> {
    let id = base64::encode_url(record.key_id());
    let keys = records::keys::of_records(tx, &stored.gate_id).await?;
    let Some(config) = keys.into_iter().find(|key| key.key_id == id) else { return Ok(Some("key_unknown")) };
    let key = base64::decode_array(&config.public_key).and_then(|bytes| PublicKey::from_bytes(&bytes));
    let Some(key) = key else { return Ok(Some("key_unknown")) };
    let end = config.not_after.as_deref().and_then(UnixTime::from_rfc3339);
    if end.is_some_and(|end| end.as_millis() <= stored.received_at) {
        return Ok(Some("key_retired"));
    }
    if let Err(error) = record.verify(&key) {
        return Ok(Some(error.code()));
    }
    let index = stored.log_index.cast_unsigned();
    let (mut log, size) = super::proofs::log(tx, &stored.gate_id).await?;
    let root = log.frontier(tx, size).await?.root();
    let proof = log.inclusion(tx, index, size).await?;
    let is_in = verify_inclusion(&record.leaf(), index, size, &proof, &root);
    let is_its_own = record.id() == stored.attestation_id && record.gate() == stored.gate_id;
    Ok((!is_in || !is_its_own).then_some("leaf_mismatch"))
}
