//! What is measured of the service.

use crate::App;
use crate::auth::{Caller, Metrics};
use crate::error::{ApiResult, ErrorBody};
use crate::metrics::CONTENT_TYPE;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The route of the measurements.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// What is measured of this instance, for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "operation", security(("api_key" = ["metrics"])), responses(
    (status = 200, description = "The measurements, as OpenMetrics", body = String, content_type = "application/openmetrics-text"),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn metrics(_: Caller<Metrics>, State(app): State<App>) -> ApiResult<impl IntoResponse> {
    let text = app.metrics.text(&app).map_err(anyhow::Error::new)?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text))
}
