//! Passports that gates issue: `/api/gates/{gate}/passports`, as the Modei client has them.

use super::asked::PassportRequest;
use super::{PassportRecord, PassportRevoked};
use crate::api::gates::{full_id, hold, no_gate};
use crate::api::shapes::Page;
use crate::auth::{Caller, PassportsRead, PassportsWrite};
use crate::constraints;
use crate::db::Tx;
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::{Body, Path, Query};
use crate::issuers::ISSUER_PREFIX;
use crate::passports::{self, By, Passport, grant_of, no_passport, select_passports};
use crate::time::{iso, now_ms};
use crate::{App, audit, catalog};
use anyhow::Context;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of gates' passports.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_passports, issue_passport))
        .routes(routes!(get_passport, revoke_passport))
        .routes(routes!(reissue_passport))
}

/// How a passport is to be issued again.
#[derive(Debug, Deserialize, ToSchema)]
struct ReissueRequest {
    /// The catalog version whose terms are accepted: that in force at the gate. Left out, the
    /// terms stay as they are.
    #[schema(minimum = 1)]
    accept_catalog_version: Option<i64>,
}

/// A passport that takes another's place.
#[derive(Debug, Serialize, ToSchema)]
struct Reissued {
    /// The new passport's id.
    passport_id: String,
    /// Its signed envelope, as canonical text.
    passport_json: String,
    /// The signature over that text, in standard base64.
    signature: String,
    /// The key that the signature is by.
    public_key: String,
    /// Until when it is valid.
    expires_at: String,
    /// The catalog that it is pinned to.
    catalog_version: Option<i64>,
    /// That catalog's hash.
    catalog_content_hash: Option<String>,
    /// The passport that is revoked.
    revoked_passport_id: String,
    /// Whether the terms are others than the old passport's.
    terms_changed: bool,
    /// Whether some of them are worse.
    has_breaking_changes: bool,
    /// What has changed.
    #[schema(value_type = Vec<Object>)]
    changes: Vec<Value>,
}

/// Which part of a list is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// How many, at most; left out: 1000.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

/// A gate's passports that are valid, the newest first.
#[utoipa::path(get, path = "/api/gates/{gate_id}/passports", tag = "passports", security(("api_key" = ["passports:read"])),
    params(("gate_id" = String, Path, description = "The gate's id"), ListQuery), responses(
    (status = 200, description = "The passports", body = [PassportRecord]),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such gate", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn list_passports(
    _: Caller<PassportsRead>,
    State(app): State<App>,
    Path(gate_id): Path<String>,
    Query(asked): Query<ListQuery>,
) -> ApiResult<Json<Vec<PassportRecord>>> {
    let page = Page::new(asked.limit.or(Some(Page::first().limit)), None)?;
    let gate_id = full_id(&gate_id);
    let mut tx = app.db.read().await?;
    check_gate(&mut tx, &gate_id).await?;
    let rows = sqlx::query(select_passports!(
        "WHERE gate_id = $1 AND revoked_at IS NULL AND expires_at > $2 \
         ORDER BY created_at DESC, passport_id LIMIT $3"
    ))
    .bind(&gate_id)
    .bind(now_ms())
    .bind(page.limit)
    .fetch_all(&mut *tx)
    .await?;
    rows.iter().map(|row| Passport::read(row).map(PassportRecord::from)).collect::<ApiResult<_>>().map(Json)
}

/// A passport of a gate.
#[utoipa::path(get, path = "/api/gates/{gate_id}/passports/{passport_id}", tag = "passports",
    security(("api_key" = ["passports:read"])),
    params(("gate_id" = String, Path, description = "The gate's id"), ("passport_id" = String, Path, description = "The passport's id")), responses(
    (status = 200, description = "The passport", body = PassportRecord),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such gate, or it has no such passport", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn get_passport(
    _: Caller<PassportsRead>,
    State(app): State<App>,
    Path((gate_id, passport_id)): Path<(String, String)>,
) -> ApiResult<Json<PassportRecord>> {
    let mut tx = app.db.read().await?;
    let passport = of_gate(&mut tx, &full_id(&gate_id), &passport_id).await?;
    Ok(Json(passport.into()))
}

/// Issues a passport for a gate, pinned to the catalog that is in force there, if there is one.
#[utoipa::path(post, path = "/api/gates/{gate_id}/passports", tag = "passports", security(("api_key" = ["passports:write"])),
    params(("gate_id" = String, Path, description = "The gate's id")), request_body = PassportRequest, responses(
    (status = 201, description = "The passport", body = PassportRecord),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such gate", body = ErrorBody),
    (status = 413, description = "The body is too large", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn issue_passport(
    caller: Caller<PassportsWrite>,
    State(app): State<App>,
    Path(gate_id): Path<String>,
    Body(asked): Body<PassportRequest>,
) -> ApiResult<(StatusCode, Json<PassportRecord>)> {
    let gate_id = full_id(&gate_id);
    let mut tx = app.db.write().await?;
    hold(&mut tx, &gate_id).await?;
    let mut grant = asked.grant(&mut tx).await?;
    catalog::pin(&mut tx, &gate_id, &mut grant).await?;
    let passport = passports::issue(&mut tx, &app, By::Gate(&gate_id), grant).await?;
    audit_issue(&mut tx, &caller.key_id, &passport).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(passport.into())))
}

/// Revokes a passport of a gate, and whatever was delegated from it.
#[utoipa::path(delete, path = "/api/gates/{gate_id}/passports/{passport_id}", tag = "passports",
    security(("api_key" = ["passports:write"])),
    params(("gate_id" = String, Path, description = "The gate's id"), ("passport_id" = String, Path, description = "The passport's id")), responses(
    (status = 200, description = "It is revoked, now or before", body = PassportRevoked),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such gate, or it has no such passport", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn revoke_passport(
    caller: Caller<PassportsWrite>,
    State(app): State<App>,
    Path((gate_id, passport_id)): Path<(String, String)>,
) -> ApiResult<Json<PassportRevoked>> {
    let mut tx = app.db.write().await?;
    let passport = of_gate(&mut tx, &full_id(&gate_id), &passport_id).await?;
    revoke(tx, &app, &caller.key_id, &passport).await
}

/// Issues a passport again, for as long as it was valid, and revokes the old one. Under a newer
/// catalog it grants no more what that does not offer.
#[utoipa::path(post, path = "/api/passports/{passport_id}/reissue", tag = "passports", security(("api_key" = ["passports:write"])),
    params(("passport_id" = String, Path, description = "The passport's id")), request_body = ReissueRequest, responses(
    (status = 200, description = "The new passport", body = Reissued),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such passport", body = ErrorBody),
    (status = 409, description = "It is revoked or over, its issuer is no more, another has signed it, or the catalog has none of its permissions", body = ErrorBody),
    (status = 413, description = "The body is too large", body = ErrorBody),
    (status = 422, description = "That catalog version is not in force", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn reissue_passport(
    caller: Caller<PassportsWrite>,
    State(app): State<App>,
    Path(passport_id): Path<String>,
    Body(asked): Body<ReissueRequest>,
) -> ApiResult<Json<Reissued>> {
    let mut tx = app.db.write().await?;
    let old = passports::find(&mut tx, &passport_id).await?.ok_or_else(|| no_passport(&passport_id))?;
    let is_ours = old.gate_id.as_deref() == Some(&old.issuer_id) || old.issuer_id.starts_with(ISSUER_PREFIX);
    let mut grant = grant_of(&old)?;
    if !is_ours || old.is_delegated()? {
        return Err(ApiError::conflict(
            "the passport was signed by an agent, and only that can sign it anew",
        ));
    }
    if old.revoked_at.is_some() || constraints::is_over(&old) {
        return Err(ApiError::conflict("the passport is revoked or over: issue a new one"));
    }
    // The clock before the rows, as everyone takes them.
    let reason = Some("reissued");
    let number = passports::revoke(&mut tx, &app.trust, &old, reason).await?;
    let number = number.ok_or_else(|| ApiError::conflict("the passport is revoked: issue a new one"))?;
    let by = match &old.gate_id {
        Some(gate) => {
            hold(&mut tx, gate).await.map_err(|_| gone(&old))?;
            By::Gate(gate)
        }
        None => {
            crate::api::issuers::hold(&mut tx, &old.issuer_id).await.map_err(|_| gone(&old))?;
            By::Issuer(&old.issuer_id)
        }
    };
    let changes = match (asked.accept_catalog_version, by) {
        (None, _) => Vec::new(),
        (Some(version), By::Gate(gate)) => catalog::accept(&mut tx, gate, &mut grant, version).await?,
        (Some(_), By::Issuer(_)) => {
            let problem = "the passport is of no gate, and has no catalog: leave it out";
            return Err(ApiError::invalid("accept_catalog_version", problem));
        }
    };
    let new = passports::issue(&mut tx, &app, by, grant).await?;
    // Nobody gets rid of what was set by having the passport issued anew.
    let number = constraints::carry(&mut tx, &old, &new).await?.unwrap_or(number);
    let detail = json!({
        "passport_id": new.passport_id, "agent_id": new.agent_id, "catalog_version": new.catalog_version,
    });
    audit::record(&mut tx, &caller.key_id, "passport.reissue", &old.passport_id, detail).await?;
    tx.commit().await?;
    app.trust.wake(number);
    let told: Result<Vec<_>, _> = changes.iter().map(serde_json::to_value).collect();
    Ok(Json(Reissued {
        passport_id: new.passport_id,
        passport_json: new.passport_json,
        signature: new.signature,
        public_key: new.signed_by,
        expires_at: iso(new.expires_at),
        catalog_version: new.catalog_version,
        catalog_content_hash: new.catalog_content_hash,
        revoked_passport_id: old.passport_id,
        terms_changed: !changes.is_empty(),
        has_breaking_changes: changes.iter().any(|change| change.breaking),
        changes: told.context("changes cannot be written")?,
    }))
}

/// Revokes a passport for the API key `actor`, and ends the transaction.
pub(super) async fn revoke(
    mut tx: Tx,
    app: &App,
    actor: &str,
    passport: &Passport,
) -> ApiResult<Json<PassportRevoked>> {
    let number = passports::revoke(&mut tx, &app.trust, passport, None).await?;
    // Gates may know of it already, by a revocation that was made by itself.
    if number.is_some() || passport.revoked_at.is_none() {
        let detail = json!({"issuer_id": passport.issuer_id, "agent_id": passport.agent_id});
        audit::record(&mut tx, actor, "passport.revoke", &passport.passport_id, detail).await?;
    }
    tx.commit().await?;
    if let Some(number) = number {
        app.trust.wake(number);
    }
    Ok(Json(PassportRevoked { revoked: true }))
}

pub(super) async fn audit_issue(tx: &mut Tx, actor: &str, passport: &Passport) -> ApiResult<()> {
    let detail = json!({
        "issuer_id": passport.issuer_id,
        "agent_id": passport.agent_id,
        "permissions": passport.permissions,
        "expires_at": iso(passport.expires_at),
    });
    audit::record(tx, actor, "passport.issue", &passport.passport_id, detail).await
}

async fn check_gate(tx: &mut Tx, gate_id: &str) -> ApiResult<()> {
    let known: Option<(String,)> =
        sqlx::query_as("SELECT gate_id FROM gates WHERE gate_id = $1 AND deleted_at IS NULL")
            .bind(gate_id)
            .fetch_optional(&mut **tx)
            .await?;
    known.map(|_| ()).ok_or_else(|| no_gate(gate_id))
}

async fn of_gate(tx: &mut Tx, gate_id: &str, passport_id: &str) -> ApiResult<Passport> {
    check_gate(tx, gate_id).await?;
    let passport = passports::find(tx, passport_id).await?;
    passport
        .filter(|passport| passport.gate_id.as_deref() == Some(gate_id))
        .ok_or_else(|| no_passport(passport_id))
}

fn gone(passport: &Passport) -> ApiError {
    ApiError::conflict(format!("the issuer {} is deleted", passport.issuer_id))
}
