//! Whether gates keep what their catalogs promise.

use super::gates::full_id;
use super::shapes::check_id;
use crate::App;
use crate::auth::{BillingRead, Caller};
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::{Path, Query};
use crate::settlement::{DAY_MS, date, day};
use crate::sla::{self, Metric};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The route.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get_sla_compliance))
}

/// Of what.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct SlaQuery {
    /// The first day, `YYYY-MM-DD`, in UTC.
    #[param(max_length = 10)]
    period_start: String,
    /// The last day.
    #[param(max_length = 10)]
    period_end: String,
    /// Of this permission; left out: of all that were used.
    #[param(max_length = 256)]
    permission_key: Option<String>,
}

/// How much of what was asked for came to something.
#[derive(Debug, Serialize, ToSchema)]
struct SlaReport {
    /// The gate.
    gate_id: String,
    /// The first day.
    period_start: String,
    /// The last day.
    period_end: String,
    /// By permission.
    metrics: Vec<Metric>,
    /// Of all of them, in basis points, rounded down; 10000 where nothing was asked for.
    overall_uptime_bp: i64,
    /// Whether each promise was kept.
    overall_compliant: bool,
}

/// The longest period, ten years.
const MOST_DAYS: i64 = 3660;

/// Whether a gate kept the uptime that its catalogs promise, by the receipts of the period: the
/// part of uses that were done, whole or in part. Each version's promise counts for the
/// receipts under it.
#[utoipa::path(get, path = "/api/gates/{gate_id}/sla", tag = "metering", security(("api_key" = ["billing:read"])),
    params(("gate_id" = String, Path, description = "The gate's id"), SlaQuery), responses(
    (status = 200, description = "The report", body = SlaReport),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such gate", body = ErrorBody),
    (status = 422, description = "A parameter is wrong", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn get_sla_compliance(
    _: Caller<BillingRead>,
    State(app): State<App>,
    Path(gate_id): Path<String>,
    Query(asked): Query<SlaQuery>,
) -> ApiResult<Json<SlaReport>> {
    let gate_id = full_id(&gate_id);
    let from = day("period_start", &asked.period_start)?;
    let last = day("period_end", &asked.period_end)?;
    if last < from || last.saturating_sub(from) > DAY_MS.saturating_mul(MOST_DAYS) {
        let problem = format!("must be {} or a later day, at most {MOST_DAYS} days", date(from));
        return Err(ApiError::invalid("period_end", problem));
    }
    if let Some(key) = &asked.permission_key {
        check_id("permission_key", key)?;
    }
    let mut tx = app.db.read().await?;
    super::records::must_be_known(&mut tx, &gate_id).await?;
    let to = last.saturating_add(DAY_MS);
    let (metrics, all) = sla::metrics(&mut tx, &gate_id, from, to, asked.permission_key.as_deref()).await?;
    Ok(Json(SlaReport {
        gate_id,
        period_start: asked.period_start,
        period_end: asked.period_end,
        overall_uptime_bp: all.uptime(),
        overall_compliant: metrics.iter().all(|metric| metric.compliant),
        metrics,
    }))
}
