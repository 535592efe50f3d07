//! Whether the service lives, and whether it can serve.

use crate::App;
use crate::anyone::Anyone;
use crate::error::{ApiError, ApiResult, ErrorBody};
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes for those who watch the service.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz))
}

/// Whether the process answers.
#[utoipa::path(get, path = "/healthz", tag = "operation", responses((status = 200, description = "It does", body = String)))]
async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the database answers too.
#[utoipa::path(get, path = "/readyz", tag = "operation", responses(
    (status = 200, description = "It does", body = String),
    (status = 429, description = "Too many requests", body = ErrorBody),
    (status = 503, description = "It does not", body = ErrorBody),
))]
async fn readyz(_: Anyone, State(app): State<App>) -> ApiResult<&'static str> {
    match sqlx::query("SELECT 1").execute(app.db.pool()).await {
        Ok(_) => Ok("ready\n"),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", "the database does not answer"))
        }
    }
}
