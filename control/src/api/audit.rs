//! What was changed by whom.

use crate::App;
use crate::auth::{AuditRead, Caller};
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::Query;
use crate::time::iso;
use axum::Json;
use axum::extract::State;
use portcullis_core::UnixTime;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::Row;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The route of the audit.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Which lines are shown.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// From this time on, in RFC 3339.
    #[param(format = DateTime)]
    after: Option<String>,
    /// Before this time, in RFC 3339.
    #[param(format = DateTime)]
    before: Option<String>,
    /// This action only, as `api_key.create`.
    #[param(max_length = 100)]
    action: Option<String>,
    /// So many at most.
    #[serde(default = "a_page")]
    #[param(minimum = 1, maximum = 1000)]
    limit: i64,
    /// So many are left out first.
    #[serde(default)]
    #[param(minimum = 0, maximum = 1_000_000_000)]
    offset: i64,
}

fn a_page() -> i64 {
    100
}

/// One administrative action.
#[derive(Debug, Serialize, ToSchema)]
struct AuditLine {
    /// The line's id.
    id: String,
    /// When.
    at: String,
    /// Who: an API key's id, a gate's or an agent's.
    actor: String,
    /// What, as `api_key.create`.
    action: String,
    /// What it was done to.
    target: String,
    /// More of it.
    #[schema(value_type = Object)]
    detail: Value,
}

/// A page of lines.
#[derive(Debug, Serialize, ToSchema)]
struct AuditPage {
    /// The lines, newest first.
    lines: Vec<AuditLine>,
    /// How many there are on all pages.
    total: i64,
}

/// What was changed by whom, newest first.
#[utoipa::path(get, path = "/api/v1/audit", tag = "operation", security(("api_key" = ["audit:read"])),
    params(Wanted), responses(
    (status = 200, description = "The lines", body = AuditPage),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 422, description = "A parameter is wrong", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn list(
    _: Caller<AuditRead>,
    State(app): State<App>,
    Query(wanted): Query<Wanted>,
) -> ApiResult<Json<AuditPage>> {
    super::check_page(wanted.limit, wanted.offset)?;
    let after = time("after", wanted.after.as_deref())?.unwrap_or(i64::MIN);
    let before = time("before", wanted.before.as_deref())?.unwrap_or(i64::MAX);
    // Nothing is done under the empty name: it stands for any.
    let action = wanted.action.unwrap_or_default();
    let mut tx = app.db.read().await?;
    let (total,): (i64,) =
        sqlx::query_as("SELECT COUNT(*) FROM audit WHERE at >= $1 AND at < $2 AND ($3 = '' OR action = $3)")
            .bind(after)
            .bind(before)
            .bind(&action)
            .fetch_one(&mut *tx)
            .await?;
    let rows = sqlx::query(
        "SELECT id, at, actor, action, target, detail FROM audit \
         WHERE at >= $1 AND at < $2 AND ($3 = '' OR action = $3) ORDER BY at DESC, id LIMIT $4 OFFSET $5",
    )
    .bind(after)
    .bind(before)
    .bind(&action)
    .bind(wanted.limit)
    .bind(wanted.offset)
    .fetch_all(&mut *tx)
    .await?;
    let lines = rows.iter().map(|row| {
        let detail: String = row.try_get("detail")?;
        Ok(AuditLine {
            id: row.try_get("id")?,
            at: iso(row.try_get("at")?),
            actor: row.try_get("actor")?,
            action: row.try_get("action")?,
            target: row.try_get("target")?,
            detail: serde_json::from_str(&detail).map_err(anyhow::Error::new)?,
        })
    });
    Ok(Json(AuditPage { lines: lines.collect::<ApiResult<_>>()?, total }))
}

fn time(field: &str, text: Option<&str>) -> ApiResult<Option<i64>> {
    let Some(text) = text else { return Ok(None) };
    let time = UnixTime::from_rfc3339(text);
    let time = time.ok_or_else(|| ApiError::invalid(field, "must be a time as 2026-01-31T12:00:00Z"))?;
    Ok(Some(time.as_millis()))
}
