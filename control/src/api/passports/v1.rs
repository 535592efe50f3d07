//! `/api/v1/passports`: all passports in pages, those of managed issuers, and verifying.

use super::asked::PassportRequest;
use super::of_gates::{audit_issue, revoke};
use super::{PassportRecord, PassportRevoked};
use crate::App;
use crate::api::issuers::hold;
use crate::api::shapes::{IssuerQuery, Items, Page};
use crate::auth::{Caller, PassportsRead, PassportsWrite};
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::{Body, Path, Query};
use crate::passports::judge::{Presented, judge, service_trust};
use crate::passports::{self, By, Passport, no_passport, select_passports};
use crate::time::{iso, now_ms};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sqlx::AssertSqlSafe;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of all passports.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(page_passports, issue_by_issuer))
        .routes(routes!(verify_passport))
        .routes(routes!(get_any_passport, revoke_any_passport))
}

/// Which passports are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PassportQuery {
    /// Of this agent.
    agent_id: Option<String>,
    /// Of this gate.
    gate_id: Option<String>,
    /// With this issuer at the root.
    issuer_id: Option<String>,
    /// `active`, `expired` or `revoked`; left out: all.
    #[param(inline)]
    status: Option<Status>,
    /// How many, at most; left out: 50.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    /// After how many others; left out: 0.
    #[param(minimum = 0)]
    offset: Option<i64>,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Status {
    Active,
    Expired,
    Revoked,
}

/// A passport to be issued by a managed issuer.
#[derive(Debug, Deserialize, ToSchema)]
struct IssuerPassportRequest {
    /// The issuer.
    #[schema(min_length = 1, max_length = 256)]
    issuer_id: String,
    #[serde(flatten)]
    passport: PassportRequest,
}

/// A passport to be verified: itself, or the id of one that the service knows.
#[derive(Debug, Deserialize, ToSchema)]
struct VerifyRequest {
    /// Its id.
    #[schema(max_length = 256)]
    passport_id: Option<String>,
    /// Its envelope, as an object or as its text.
    #[schema(value_type = Option<Object>)]
    passport_json: Option<Box<RawValue>>,
    /// The signature over its canonical bytes, in standard base64.
    #[schema(max_length = 88)]
    signature: Option<String>,
}

/// Whether a passport is good now.
#[derive(Debug, Serialize, ToSchema)]
struct Verdict {
    /// Whether it is.
    valid: bool,
    /// Why it is not.
    reason_code: Option<&'static str>,
    /// What was found.
    detail: Option<String>,
    /// Its id, once its signatures are right; so the rest.
    passport_id: Option<String>,
    /// The agent that holds it.
    agent_id: Option<String>,
    /// The issuer at its root.
    issuer_id: Option<String>,
    /// The issuer's tier, L1 to L3.
    issuer_tier: Option<String>,
    /// Modei's derived tier, L0 to L2.
    provenance: Option<&'static str>,
    /// Until when it is valid.
    expires_at: Option<String>,
}

/// All passports in pages, the newest first.
#[utoipa::path(get, path = "/api/v1/passports", tag = "passports", security(("api_key" = ["passports:read"])),
    params(PassportQuery), responses(
    (status = 200, description = "A page of passports", body = Items<PassportRecord>),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 422, description = "Something is wrong in the query", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn page_passports(
    _: Caller<PassportsRead>,
    State(app): State<App>,
    Query(asked): Query<PassportQuery>,
) -> ApiResult<Json<Items<PassportRecord>>> {
    let page = Page::new(asked.limit, asked.offset)?;
    let filters = [("agent_id", asked.agent_id), ("gate_id", asked.gate_id), ("issuer_id", asked.issuer_id)];
    let mut condition = String::from("WHERE created_at >= 0");
    let mut texts = Vec::new();
    for (column, value) in filters {
        if let Some(value) = value {
            texts.push(value);
            condition.push_str(&format!(" AND {column} = ${}", texts.len()));
        }
    }
    let now = now_ms();
    condition.push_str(&match asked.status {
        None => String::new(),
        Some(Status::Revoked) => " AND revoked_at IS NOT NULL".to_owned(),
        Some(Status::Expired) => format!(" AND revoked_at IS NULL AND expires_at <= {now}"),
        Some(Status::Active) => format!(" AND revoked_at IS NULL AND expires_at > {now}"),
    });
    let count = format!("SELECT COUNT(*) FROM passports {condition}");
    // Numbers and names of columns of this file; what callers wrote is bound.
    let (limit, offset) = (page.limit, page.offset);
    let select = [
        select_passports!(""),
        &condition,
        &format!(" ORDER BY created_at DESC, passport_id LIMIT {limit} OFFSET {offset}"),
    ]
    .concat();
    let mut tx = app.db.read().await?;
    let mut counting = sqlx::query_as(AssertSqlSafe(count));
    let mut selecting = sqlx::query(AssertSqlSafe(select));
    for text in texts {
        counting = counting.bind(text.clone());
        selecting = selecting.bind(text);
    }
    let (total,): (i64,) = counting.fetch_one(&mut *tx).await?;
    let rows = selecting.fetch_all(&mut *tx).await?;
    let items: ApiResult<Vec<_>> =
        rows.iter().map(|row| Passport::read(row).map(PassportRecord::from)).collect();
    Ok(Json(page.of(items?, total)))
}

/// Issues a passport by a managed issuer, for all gates that trust it.
#[utoipa::path(post, path = "/api/v1/passports", tag = "passports", security(("api_key" = ["passports:write"])), request_body = IssuerPassportRequest, responses(
    (status = 201, description = "The passport", body = PassportRecord),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such issuer", body = ErrorBody),
    (status = 413, description = "The body is too large", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn issue_by_issuer(
    caller: Caller<PassportsWrite>,
    State(app): State<App>,
    Body(asked): Body<IssuerPassportRequest>,
) -> ApiResult<(StatusCode, Json<PassportRecord>)> {
    let mut tx = app.db.write().await?;
    hold(&mut tx, &asked.issuer_id).await?;
    let grant = asked.passport.grant(&mut tx).await?;
    let passport = passports::issue(&mut tx, &app, By::Issuer(&asked.issuer_id), grant).await?;
    audit_issue(&mut tx, &caller.key_id, &passport).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(passport.into())))
}

/// Whether a passport is good now, by all that the service knows. No gate is asked, so
/// that nothing is said of what it is good for.
#[utoipa::path(post, path = "/api/v1/passports/verify", tag = "passports", security(("api_key" = ["passports:read"])), request_body = VerifyRequest, responses(
    (status = 200, description = "What came of it", body = Verdict),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such passport", body = ErrorBody),
    (status = 413, description = "The body is too large", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn verify_passport(
    _: Caller<PassportsRead>,
    State(app): State<App>,
    Body(asked): Body<VerifyRequest>,
) -> ApiResult<Json<Verdict>> {
    let mut tx = app.db.read().await?;
    let presented = match (&asked.passport_id, &asked.passport_json, &asked.signature) {
        (Some(id), None, None) => {
            let known = passports::find(&mut tx, id).await?;
            Presented::stored(&known.ok_or_else(|| no_passport(id))?)?
        }
        (None, Some(envelope), Some(signature)) => Presented::new(envelope, signature)?,
        _ => return Err(ApiError::invalid("passport_json", "give it and signature, or passport_id")),
    };
    let trust = service_trust(&mut tx, &presented).await?;
    let decision = judge(&mut tx, &trust, &presented).await?;
    let passport = decision.passport.as_ref();
    Ok(Json(Verdict {
        valid: decision.denial.is_none(),
        reason_code: decision.denial.as_ref().map(|denial| denial.reason.code()),
        detail: decision.denial.as_ref().map(|denial| denial.detail.to_string()),
        passport_id: passport.map(|passport| passport.id().to_owned()),
        agent_id: passport.map(|passport| passport.agent_id().to_owned()),
        issuer_id: passport.map(|passport| passport.root().issuer().to_owned()),
        issuer_tier: decision.tier.map(|tier| format!("L{tier}")),
        provenance: passport.map(|passport| passport.provenance().name()),
        expires_at: passport.map(|passport| iso(passport.expires_at().as_millis())),
    }))
}

/// A passport, whoever issued it.
#[utoipa::path(get, path = "/api/v1/passports/{passport_id}", tag = "passports", security(("api_key" = ["passports:read"])),
    params(("passport_id" = String, Path, description = "The passport's id")), responses(
    (status = 200, description = "The passport", body = PassportRecord),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is none", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn get_any_passport(
    _: Caller<PassportsRead>,
    State(app): State<App>,
    Path(passport_id): Path<String>,
) -> ApiResult<Json<PassportRecord>> {
    let found = passports::find(&mut app.db.read().await?, &passport_id).await?;
    found.map(|passport| Json(passport.into())).ok_or_else(|| no_passport(&passport_id))
}

/// Revokes a passport, whoever issued it, and whatever was delegated from it.
#[utoipa::path(delete, path = "/api/v1/passports/{passport_id}", tag = "passports", security(("api_key" = ["passports:write"])),
    params(("passport_id" = String, Path, description = "The passport's id"), IssuerQuery), responses(
    (status = 200, description = "It is revoked, now or before", body = PassportRevoked),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is none, or none of the issuer", body = ErrorBody),
    (status = 409, description = "Gates hold no more revocations", body = ErrorBody),
    (status = 422, description = "A parameter is wrong", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn revoke_any_passport(
    caller: Caller<PassportsWrite>,
    State(app): State<App>,
    Path(passport_id): Path<String>,
    Query(asked): Query<IssuerQuery>,
) -> ApiResult<Json<PassportRevoked>> {
    let issuer = asked.checked()?;
    let mut tx = app.db.write().await?;
    let found = passports::find(&mut tx, &passport_id).await?;
    let found = found.filter(|found| issuer.is_none_or(|issuer| issuer == found.issuer_id));
    let passport = found.ok_or_else(|| no_passport(&passport_id))?;
    revoke(tx, &app, &caller.key_id, &passport).await
}
