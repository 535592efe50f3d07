//! How long a gate's records are kept.

use super::must_be_known;
use crate::api::gates::{full_id, hold};
use crate::auth::{Caller, GatesRead, GatesWrite};
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::{Body, Path};
use crate::records::retention;
use crate::{App, audit};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get, put))
}

/// How long a gate's records are kept.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
struct Retention {
    /// Days; null for as the service's settings say.
    #[schema(minimum = 1, maximum = 36500)]
    retention_days: Option<i64>,
}

/// How long a gate's records are kept.
#[utoipa::path(get, path = "/api/v1/gates/{gate}/retention", tag = "gates", security(("api_key" = ["gates:read"])),
    params(("gate" = String, Path, description = "The gate's id")), responses(
    (status = 200, description = "The gate's own setting", body = Retention),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such gate", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn get(
    _: Caller<GatesRead>,
    State(app): State<App>,
    Path(gate): Path<String>,
) -> ApiResult<Json<Retention>> {
    let gate = full_id(&gate);
    let mut tx = app.db.read().await?;
    must_be_known(&mut tx, &gate).await?;
    Ok(Json(Retention { retention_days: retention::of_gate(&mut tx, &gate).await? }))
}

/// Says how long a gate's records are kept. What is older is removed within a minute, and
/// does not come back.
#[utoipa::path(put, path = "/api/v1/gates/{gate}/retention", tag = "gates", security(("api_key" = ["gates:write"])),
    params(("gate" = String, Path, description = "The gate's id")), request_body = Retention, responses(
    (status = 200, description = "It is so from now on", body = Retention),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such gate", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn put(
    caller: Caller<GatesWrite>,
    State(app): State<App>,
    Path(gate): Path<String>,
    Body(asked): Body<Retention>,
) -> ApiResult<Json<Retention>> {
    if asked.retention_days.is_some_and(|days| !(1..=36_500).contains(&days)) {
        return Err(ApiError::invalid("retention_days", "must be 1 to 36500, or null"));
    }
    let gate = full_id(&gate);
    let mut tx = app.db.write().await?;
    hold(&mut tx, &gate).await?;
    retention::set(&mut tx, &gate, asked.retention_days).await?;
    let detail = json!({"retention_days": asked.retention_days});
    audit::record(&mut tx, &caller.key_id, "gate.retention", &gate, detail).await?;
    tx.commit().await?;
    Ok(Json(asked))
}
