//! Decisions as they are recorded (server-sent events).

use super::must_be_known;
use crate::App;
use crate::api::gates::full_id;
use crate::auth::{Audit, Caller};
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::Query;
use crate::records::read::Wanted;
use crate::records::stream::{Told, follow};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::TryStreamExt;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The route.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(stream))
}

/// Which decisions.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Followed {
    /// Of this gate.
    #[param(min_length = 1, max_length = 256)]
    gate_id: String,
    /// This one only: `allow`, `block`, `request_hold`, `approved`, `denied` or `gap`.
    #[param(max_length = 32)]
    decision: Option<String>,
}

/// Decisions of a gate as they are recorded, as server-sent events: `id` is the record's
/// place in the gate's log, `data` the record in one line. With `Last-Event-ID` it goes on
/// after that one, else with what comes next. The connection ends after ten minutes; clients
/// come again by themselves.
#[utoipa::path(get, path = "/api/v1/decisions/stream", tag = "records", security(("api_key" = ["audit"])),
    params(Followed, ("last-event-id" = Option<u64>, Header, description = "The place of the last record that is known")), responses(
    (status = 200, description = "The decisions", body = String, content_type = "text/event-stream"),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such gate", body = ErrorBody),
    (status = 422, description = "A parameter is wrong", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
    (status = 503, description = "Too many follow already", body = ErrorBody),
))]
async fn stream(
    _: Caller<Audit>,
    State(app): State<App>,
    Query(asked): Query<Followed>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let gate = full_id(&asked.gate_id);
    must_be_known(&mut app.db.read().await?, &gate).await?;
    let after = match headers.get("last-event-id") {
        None => None,
        Some(value) => {
            let index = value.to_str().ok().and_then(|text| text.parse::<i64>().ok()).filter(|at| *at >= 0);
            let wrong = || ApiError::invalid("last-event-id", "must be a record's place in the log");
            Some(index.ok_or_else(wrong)?.saturating_add(1))
        }
    };
    let wanted = Wanted { gate_id: Some(gate.clone()), decision: asked.decision, ..Wanted::default() };
    let told = follow(&app, &gate, wanted, after).await?;
    let events = told.map_err(|error| std::io::Error::other(error.message)).map_ok(|told| match told {
        Told::Record(record) => Event::default()
            .id(record.log_index.to_string())
            .event("decision")
            .data(Value::Object(record.row()).to_string()),
        Told::Nothing => Event::default().comment("nothing new"),
    });
    Ok(([("cache-control", "no-store"), ("x-accel-buffering", "no")], Sse::new(events)).into_response())
}
