//! How many decisions there were, over time: for charts.

use crate::App;
use crate::auth::{Audit, Caller};
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::Query;
use crate::records::read::{Wanted, time};
use crate::time::{iso, now_ms};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The route.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(counts))
}

/// How finely it is counted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Steps {
    /// Seconds of a step, 1 to 86400; left out: 60.
    #[param(minimum = 1, maximum = 86400)]
    step_seconds: Option<i64>,
}

/// Decisions over time.
#[derive(Debug, Serialize, ToSchema)]
struct DecisionCounts {
    /// Seconds of a step.
    step_seconds: i64,
    /// The steps in which there were any, the oldest first.
    steps: Vec<DecisionStep>,
}

/// The decisions of a step.
#[derive(Debug, Serialize, ToSchema)]
struct DecisionStep {
    /// When it begins.
    at: String,
    /// How many of each decision.
    decisions: BTreeMap<String, i64>,
}

/// Steps of one answer: as many as a chart has room for.
const MOST_STEPS: i64 = 500;

/// There are six decisions.
const DECISIONS: i64 = 6;

/// How many decisions there were in each step of time: 500 steps at most. Without `after`, of
/// the last 60 steps.
#[utoipa::path(get, path = "/api/v1/decisions/counts", tag = "records", security(("api_key" = ["audit"])),
    params(Steps, Wanted), responses(
    (status = 200, description = "The numbers", body = DecisionCounts),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 422, description = "A parameter is wrong", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn counts(
    _: Caller<Audit>,
    State(app): State<App>,
    Query(steps): Query<Steps>,
    Query(mut wanted): Query<Wanted>,
) -> ApiResult<Json<DecisionCounts>> {
    let step_seconds = steps.step_seconds.unwrap_or(60);
    if !(1..=86_400).contains(&step_seconds) {
        return Err(ApiError::invalid("step_seconds", "must be 1 to 86400"));
    }
    let step_ms = step_seconds.saturating_mul(1000);
    let after = match &wanted.after {
        Some(after) => time("after", after)?,
        None => now_ms().saturating_sub(step_ms.saturating_mul(60)),
    };
    let before = wanted.before.as_deref().map(|before| time("before", before)).transpose()?;
    if before.unwrap_or_else(now_ms).saturating_sub(after).checked_div(step_ms).unwrap_or_default()
        > MOST_STEPS
    {
        return Err(ApiError::invalid("step_seconds", "there are more than 500 steps from after to before"));
    }
    wanted.after = Some(iso(after));
    let mut tx = app.db.read().await?;
    let most = MOST_STEPS.saturating_mul(DECISIONS);
    let rows = wanted.conditions()?.counts(&mut tx, step_ms, most).await?;
    let mut by_step: BTreeMap<i64, BTreeMap<String, i64>> = BTreeMap::new();
    for (at, decision, count) in rows {
        by_step.entry(at).or_default().insert(decision, count);
    }
    let steps = by_step.into_iter().map(|(at, decisions)| DecisionStep { at: iso(at), decisions }).collect();
    Ok(Json(DecisionCounts { step_seconds, steps }))
}
