//! Receipts, for both sides.

use super::gates::full_id;
use super::shapes::GateQuery;
use crate::App;
use crate::anyone::Anyone;
use crate::auth::{Caller, ReceiptsRead};
use crate::error::{ApiResult, ErrorBody};
use crate::extract::{Path, Query};
use crate::receipts::{self, Stored, Wanted};
use crate::records::read::time;
use crate::settlement::receipts_as;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_receipts)).routes(routes!(get_receipt))
}

/// Lines of JSON.
pub(super) const JSON_LINES: &str = "application/jsonl";

/// Which receipts.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ReceiptQuery {
    /// Made at this time or later: RFC 3339, or a date.
    #[param(max_length = 64)]
    from: Option<String>,
    /// Made before this time.
    #[param(max_length = 64)]
    to: Option<String>,
    /// Of this agent.
    #[param(max_length = 256)]
    agent_id: Option<String>,
    /// Of this passport.
    #[param(max_length = 256)]
    passport_id: Option<String>,
}

/// The receipts of a gate, in the order in which they were made: a line of JSON for each, with
/// its text in `receipt`, and in `base` what the agent signed.
#[utoipa::path(get, path = "/api/gates/{gate_id}/receipts", tag = "metering", security(("api_key" = ["receipts:read"])),
    params(("gate_id" = String, Path, description = "The gate's id"), ReceiptQuery), responses(
    (status = 200, description = "The receipts, all of them", body = String, content_type = "application/jsonl"),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "There is no such gate", body = ErrorBody),
    (status = 422, description = "A parameter is wrong", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn list_receipts(
    _: Caller<ReceiptsRead>,
    State(app): State<App>,
    Path(gate_id): Path<String>,
    Query(asked): Query<ReceiptQuery>,
) -> ApiResult<Response> {
    let gate = full_id(&gate_id);
    super::records::must_be_known(&mut app.db.read().await?, &gate).await?;
    let at = |field, text: &Option<String>| text.as_deref().map(|text| time(field, text)).transpose();
    let wanted = Wanted {
        gate_id: gate,
        agent_id: asked.agent_id,
        passport_id: asked.passport_id,
        from: at("from", &asked.from)?.unwrap_or(0),
        to: at("to", &asked.to)?.unwrap_or(i64::MAX),
        settlement_id: None,
    };
    let lines = receipts_as(&app, wanted, |stored: &Stored| format!("{}\n", stored.attachment.to_json()));
    Ok(([(CONTENT_TYPE, JSON_LINES)], Body::from_stream(lines)).into_response())
}

/// The text of a receipt. Nobody is asked for a key: its id is 128 random bits, which the gate
/// told its agent alone.
#[utoipa::path(get, path = "/api/receipts/{receipt_id}", tag = "metering",
    params(("receipt_id" = String, Path, description = "`rcpt_…`, as `Agent-Receipt` has it"), GateQuery), responses(
    (status = 200, description = "The receipt, as it was signed", body = Object),
    (status = 404, description = "There is none, or it has not come yet", body = ErrorBody),
    (status = 409, description = "Two gates have given the id: say which with gate_id", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn get_receipt(
    _: Anyone,
    State(app): State<App>,
    Path(receipt_id): Path<String>,
    Query(asked): Query<GateQuery>,
) -> ApiResult<Response> {
    let gate = asked.gate();
    let text = receipts::of_id(&mut app.db.read().await?, &receipt_id, gate.as_deref()).await?;
    Ok(([(CONTENT_TYPE, "application/json")], text).into_response())
}
