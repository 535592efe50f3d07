//! Agents of followed registries, whose status is asked for by name.

use super::registries::{find, origin_of};
use super::{Did, Unfollowed, bounded, conflict, time};
use crate::App;
use crate::audit;
use crate::auth::{Caller, Following};
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::{Body, Path};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use portcullis_core::capiscio::is_did;
use serde::Serialize;
use serde_json::json;
use sqlx::Row;
use sqlx::any::AnyRow;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of agents.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_agents, follow_agent)).routes(routes!(unfollow_agent))
}

/// A look has 60 s.
const MAX_AGENTS: i64 = 256;

/// An agent whose status is asked for.
#[derive(Debug, Serialize, ToSchema)]
struct FollowedAgent {
    /// Its DID.
    did: String,
    /// What the registry last said; `active` and `enabled` are good.
    status: Option<String>,
    /// When it did.
    seen_at: Option<String>,
    /// What failed at the last look; left out where nothing did.
    last_error: Option<String>,
}

/// The agents of a registry whose status is asked for.
#[utoipa::path(get, path = "/api/v1/followed-issuers/{id}/agents", tag = "following", security(("api_key" = ["following"])),
    params(("id" = String, Path, description = "base64url of the origin")), responses(
    (status = 200, description = "The agents", body = [FollowedAgent]),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "The registry is not followed", body = ErrorBody),
))]
async fn list_agents(
    _: Caller<Following>,
    State(app): State<App>,
    Path(id): Path<String>,
) -> ApiResult<Json<Vec<FollowedAgent>>> {
    let mut tx = app.db.read().await?;
    let origin = find(&mut tx, &origin_of(&id)?).await?.origin;
    let rows = sqlx::query(
        "SELECT did, status, seen_at, last_error FROM followed_agents WHERE origin = $1 ORDER BY did",
    )
    .bind(&origin)
    .fetch_all(&mut *tx)
    .await?;
    rows.iter().map(FollowedAgent::of).collect::<ApiResult<_>>().map(Json)
}

/// Asks for the status of an agent of a registry from now on.
#[utoipa::path(post, path = "/api/v1/followed-issuers/{id}/agents", tag = "following", security(("api_key" = ["following"])),
    params(("id" = String, Path, description = "base64url of the origin")), request_body = Did, responses(
    (status = 201, description = "It is asked for", body = FollowedAgent),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "The registry is not followed", body = ErrorBody),
    (status = 409, description = "It is asked for already, or there are too many", body = ErrorBody),
    (status = 422, description = "It is no DID", body = ErrorBody),
))]
async fn follow_agent(
    caller: Caller<Following>,
    State(app): State<App>,
    Path(id): Path<String>,
    Body(asked): Body<Did>,
) -> ApiResult<(StatusCode, Json<FollowedAgent>)> {
    if !is_did(&asked.did) {
        return Err(ApiError::invalid("did", "must be a DID, as did:web:agent.example"));
    }
    let mut tx = app.db.write_alone().await?;
    let origin = find(&mut tx, &origin_of(&id)?).await?.origin;
    let (count,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM followed_agents WHERE origin = $1")
        .bind(&origin)
        .fetch_one(&mut *tx)
        .await?;
    bounded(count, MAX_AGENTS, "agents of this registry")?;
    sqlx::query("INSERT INTO followed_agents (origin, did) VALUES ($1, $2)")
        .bind(&origin)
        .bind(&asked.did)
        .execute(&mut *tx)
        .await
        .map_err(|error| conflict(error, "this agent is asked for already"))?;
    let detail = json!({"did": asked.did});
    audit::record(&mut tx, &caller.key_id, "followed_agent.create", &origin, detail).await?;
    tx.commit().await?;
    let agent = FollowedAgent { did: asked.did, status: None, seen_at: None, last_error: None };
    Ok((StatusCode::CREATED, Json(agent)))
}

/// No longer asks for an agent's status. If it is disabled, it stays so.
#[utoipa::path(delete, path = "/api/v1/followed-issuers/{id}/agents/{did}", tag = "following", security(("api_key" = ["following"])),
    params(("id" = String, Path, description = "base64url of the origin"), ("did" = String, Path, description = "The agent's DID")), responses(
    (status = 200, description = "It is no longer asked for", body = Unfollowed),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "It was not asked for", body = ErrorBody),
))]
async fn unfollow_agent(
    caller: Caller<Following>,
    State(app): State<App>,
    Path((id, did)): Path<(String, String)>,
) -> ApiResult<Json<Unfollowed>> {
    let origin = origin_of(&id)?;
    let mut tx = app.db.write().await?;
    let deleted = sqlx::query("DELETE FROM followed_agents WHERE origin = $1 AND did = $2")
        .bind(&origin)
        .bind(&did)
        .execute(&mut *tx)
        .await?;
    if deleted.rows_affected() == 0 {
        return Err(ApiError::not_found("followed agent", &did));
    }
    let detail = json!({"did": did});
    audit::record(&mut tx, &caller.key_id, "followed_agent.delete", &origin, detail).await?;
    tx.commit().await?;
    Ok(Json(Unfollowed { unfollowed: true }))
}

impl FollowedAgent {
    fn of(row: &AnyRow) -> ApiResult<Self> {
        Ok(FollowedAgent {
            did: row.try_get("did")?,
            status: row.try_get("status")?,
            seen_at: time(row, "seen_at")?,
            last_error: row.try_get("last_error")?,
        })
    }
}
