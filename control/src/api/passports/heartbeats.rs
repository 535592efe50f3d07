//! Heartbeats: what the Modei client sends when an agent begins. They say that somebody with an API
//! key runs that agent, as what, and since when. Nothing is decided by them.

use crate::App;
use crate::api::shapes::{Page, check_id, check_text};
use crate::auth::{Caller, Heartbeat, PassportsRead};
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::{Body, Path};
use crate::passports::{self, no_passport};
use crate::time::{iso, now_ms};
use axum::Json;
use axum::extract::State;
use portcullis_core::UnixTime;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of heartbeats.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(record_heartbeat)).routes(routes!(list_heartbeats))
}

/// What an agent says of itself.
#[derive(Debug, Deserialize, ToSchema)]
struct HeartbeatReport {
    /// The passport that it presents.
    #[schema(max_length = 256)]
    passport_id: String,
    /// The client that it has.
    #[schema(max_length = 100)]
    sdk: String,
    /// That client's version.
    #[schema(max_length = 100)]
    sdk_version: String,
    /// What it runs on.
    #[schema(max_length = 100)]
    runtime: String,
    /// Where, by its operator's name for it: `production`.
    #[schema(max_length = 100)]
    env: String,
    /// When it began, by its own clock (RFC 3339).
    #[schema(max_length = 40)]
    started_at: String,
}

/// The last heartbeat with a passport.
#[derive(Debug, Serialize, ToSchema)]
struct HeartbeatRecord {
    /// The agent.
    agent_id: String,
    /// The passport that it presents.
    passport_id: String,
    /// The client that it has.
    sdk: String,
    /// That client's version.
    sdk_version: String,
    /// What it runs on.
    runtime: String,
    /// Where.
    env: String,
    /// When it began, by its own clock.
    started_at: String,
    /// When the service was told.
    seen_at: String,
}

/// Notes that an agent has begun. The last heartbeat with each passport is kept.
#[utoipa::path(post, path = "/api/agents/{agent_id}/heartbeat", tag = "passports", security(("api_key" = ["heartbeat"])),
    params(("agent_id" = String, Path, description = "The agent's id")), request_body = HeartbeatReport, responses(
    (status = 200, description = "It is noted", body = HeartbeatRecord),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such passport", body = ErrorBody),
    (status = 413, description = "The body is too large", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body, or the passport is not this agent's, or not good now", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn record_heartbeat(
    _: Caller<Heartbeat>,
    State(app): State<App>,
    Path(agent_id): Path<String>,
    Body(asked): Body<HeartbeatReport>,
) -> ApiResult<Json<HeartbeatRecord>> {
    check_id("passport_id", &asked.passport_id)?;
    for (field, text) in [
        ("sdk", &asked.sdk),
        ("sdk_version", &asked.sdk_version),
        ("runtime", &asked.runtime),
        ("env", &asked.env),
    ] {
        check_text(field, text, 1, 100)?;
    }
    let started_at = UnixTime::from_rfc3339(&asked.started_at)
        .ok_or_else(|| ApiError::invalid("started_at", "must be a time as of RFC 3339, in UTC"))?;
    let mut tx = app.db.write().await?;
    let passport = passports::find(&mut tx, &asked.passport_id).await?;
    let passport = passport.ok_or_else(|| no_passport(&asked.passport_id))?;
    if passport.agent_id != agent_id {
        return Err(ApiError::invalid("passport_id", "is another agent's"));
    }
    if passport.status() != "active" {
        return Err(ApiError::invalid("passport_id", format!("is {}", passport.status())));
    }
    let seen_at = now_ms();
    sqlx::query(
        "INSERT INTO heartbeats (passport_id, agent_id, sdk, sdk_version, runtime, env, started_at, seen_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (passport_id) DO UPDATE SET \
         sdk = excluded.sdk, sdk_version = excluded.sdk_version, runtime = excluded.runtime, \
         env = excluded.env, started_at = excluded.started_at, seen_at = excluded.seen_at",
    )
    .bind(&asked.passport_id)
    .bind(&agent_id)
    .bind(&asked.sdk)
    .bind(&asked.sdk_version)
    .bind(&asked.runtime)
    .bind(&asked.env)
    .bind(started_at.as_millis())
    .bind(seen_at)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(Json(HeartbeatRecord {
        agent_id,
        passport_id: asked.passport_id,
        sdk: asked.sdk,
        sdk_version: asked.sdk_version,
        runtime: asked.runtime,
        env: asked.env,
        started_at: iso(started_at.as_millis()),
        seen_at: iso(seen_at),
    }))
}

/// The last heartbeats of an agent, one for each of its passports, the newest first.
#[utoipa::path(get, path = "/api/agents/{agent_id}/heartbeats", tag = "passports", security(("api_key" = ["passports:read"])),
    params(("agent_id" = String, Path, description = "The agent's id")), responses(
    (status = 200, description = "The heartbeats, 1000 at most", body = [HeartbeatRecord]),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn list_heartbeats(
    _: Caller<PassportsRead>,
    State(app): State<App>,
    Path(agent_id): Path<String>,
) -> ApiResult<Json<Vec<HeartbeatRecord>>> {
    let rows = sqlx::query(
        "SELECT passport_id, sdk, sdk_version, runtime, env, started_at, seen_at FROM heartbeats \
         WHERE agent_id = $1 ORDER BY seen_at DESC, passport_id LIMIT $2",
    )
    .bind(&agent_id)
    .bind(Page::first().limit)
    .fetch_all(app.db.pool())
    .await?;
    let read = |row: &sqlx::any::AnyRow| {
        Ok(HeartbeatRecord {
            agent_id: agent_id.clone(),
            passport_id: row.try_get("passport_id")?,
            sdk: row.try_get("sdk")?,
            sdk_version: row.try_get("sdk_version")?,
            runtime: row.try_get("runtime")?,
            env: row.try_get("env")?,
            started_at: iso(row.try_get("started_at")?),
            seen_at: iso(row.try_get("seen_at")?),
        })
    };
    rows.iter().map(read).collect::<Result<_, sqlx::Error>>().map(Json).map_err(Into::into)
}
