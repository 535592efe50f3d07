//! What gates bring: lanes, and batches of records.

use crate::App;
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::Path;
use crate::records::intake;
use crate::trust::gate_caller::RecordCaller;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use portcullis_core::attestation::{AttestationError, LaneQuestion, MAX_BATCH_BYTES};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(open_lane)).routes(routes!(take))
}

/// A lane that a gate's proxy begins.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is the question's description; core reads the question")]
struct NewLane {
    /// base64url of 16 bytes.
    #[schema(pattern = "^[A-Za-z0-9_-]{21}[AQgw]$")]
    lane: String,
    /// The id of the key that will sign its records, which came when the gate was enrolled.
    #[schema(pattern = "^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$")]
    attestation_key_id: String,
}

/// Where a lane goes on.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it is the answer's description; core writes the answer")]
struct OpenedLane {
    /// What the next record follows on: 64 hexadecimal digits.
    previous: String,
    /// The number of the next record.
    next: u64,
    /// The log as it is now, as a signed note (C2SP tlog-checkpoint).
    checkpoint: String,
}

/// What a gate needs to see that its records were taken.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it is the answer's description; core writes the answer")]
struct BatchTaken {
    /// The log that ends with the batch, as a signed note.
    checkpoint: String,
    /// base64url hashes: that what the gate knew is its beginning (RFC 9162 section 2.1.4).
    consistency: Vec<String>,
    /// The index of the batch's first record in the log, from 0.
    first_index: u64,
    /// base64url hashes of the complete subtrees of the log before the batch.
    frontier: Vec<String>,
}

/// Opens a lane; asked again, says how it stands. Signed by the gate (RFC 9421).
#[utoipa::path(post, path = "/gate/v1/gates/{gate}/lanes", tag = "gates' own", security(("gate_signature" = [])),
    params(("gate" = String, Path, description = "The gate's id")), request_body = NewLane, responses(
    (status = 200, description = "The lane is open", body = OpenedLane),
    (status = 401, description = "The signature is not a gate's", body = ErrorBody),
    (status = 403, description = "The key is another gate's", body = ErrorBody),
    (status = 409, description = "The key that is named signs no records of this gate", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn open_lane(
    State(app): State<App>,
    Path(gate): Path<String>,
    caller: RecordCaller,
) -> ApiResult<Response> {
    let RecordCaller(caller) = caller;
    caller.must_be(&gate)?;
    let asked = LaneQuestion::read(&caller.body).map_err(|error| match error {
        AttestationError::DocumentMalformed(name) => ApiError::invalid(name, "is missing or not of its form"),
        error => ApiError::invalid("body", error.to_string()),
    })?;
    let answer = intake::open_lane(&app, &gate, &asked).await?;
    Ok(([("content-type", "application/json")], answer.to_json()).into_response())
}

/// Takes a batch of records, whole or not at all: lines of JSON, the first a head, then up
/// to 256 records that continue a lane. Brought again, it is answered again. Signed by the
/// gate (RFC 9421).
#[utoipa::path(post, path = "/gate/v1/gates/{gate}/attestations", tag = "gates' own", security(("gate_signature" = [])),
    params(("gate" = String, Path, description = "The gate's id")),
    request_body(content = String, content_type = "text/plain"), responses(
    (status = 200, description = "All of them are in the log", body = BatchTaken),
    (status = 401, description = "The signature is not a gate's", body = ErrorBody),
    (status = 403, description = "The key is another gate's", body = ErrorBody),
    (status = 409, description = "They do not continue the lane, or the gate knows another log: `code` says which", body = ErrorBody),
    (status = 413, description = "More than 512 KiB", body = ErrorBody),
    (status = 422, description = "The head or a record is not good: `field` says which", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn take(State(app): State<App>, Path(gate): Path<String>, caller: RecordCaller) -> ApiResult<Response> {
    let RecordCaller(caller) = caller;
    caller.must_be(&gate)?;
    if caller.body.len() > MAX_BATCH_BYTES {
        let message = "a batch has 512 KiB at most";
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message));
    }
    let taken = intake::take(&app, &gate, caller.body).await;
    let taken = taken.inspect_err(|error| app.metrics.batch_refused(error.code))?;
    let waiting = taken.head.waiting.saturating_sub(taken.last_number);
    app.metrics.batch_taken(&gate, taken.head.lane, &taken.decisions, waiting, taken.dropped);
    Ok(([("content-type", "application/json")], taken.answer.to_json()).into_response())
}
