//! Metering for callers that have no gate in their way.

use super::gates::full_id;
use super::shapes::{check_id, check_metadata};
use crate::App;
use crate::auth::{Caller, Consume};
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::Body;
use crate::receipts::AgentPop;
use crate::receipts::consume::{Use, consume};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use portcullis_core::base64;
use portcullis_core::receipt::{MAX_QUANTITY, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The route.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(issue_consumption_attestation))
}

/// A use that has happened.
#[derive(Debug, Deserialize, ToSchema)]
struct ConsumeRequest {
    /// The id of a passport that the service knows, pinned to a catalog of the gate.
    #[schema(min_length = 1, max_length = 256)]
    passport_id: String,
    /// The gate.
    #[schema(min_length = 1, max_length = 256)]
    gate_id: String,
    /// What was used: a permission with a price.
    #[schema(min_length = 1, max_length = 256)]
    action: String,
    /// What came of it. `error` and `timeout` cost nothing.
    outcome: ConsumeOutcome,
    /// Calls, minutes that have begun, or units, as the price is for; left out: 1.
    #[schema(minimum = 1, maximum = 1_000_000_000)]
    quantity: Option<u64>,
    /// How long it took, in milliseconds: where the price is per minute, what `quantity` is
    /// worked out from.
    #[schema(minimum = 0, maximum = 60_000_000_000_000_u64)]
    duration_ms: Option<u64>,
    /// The agent's word for it. It must be there.
    #[serde(default)]
    agent_pop: Option<AgentPop>,
    /// SHA-256 of what was sent, hexadecimal.
    request_payload_hash: Option<String>,
    /// SHA-256 of what was answered, hexadecimal.
    response_payload_hash: Option<String>,
    /// Kept beside the record.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
}

/// What came of a use.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ConsumeOutcome {
    Success,
    Error,
    Timeout,
    Partial,
}

/// The receipt that was made.
#[derive(Debug, Serialize, ToSchema)]
struct ConsumeResult {
    /// The record in the gate's log that names the receipt: `att_…`.
    attestation_id: String,
    /// `rcpt_…`
    receipt_id: String,
    /// What it costs, in cents, as a decimal string.
    cost_cents: String,
    /// The platform's part of that, likewise.
    platform_fee_cents: String,
    /// Always `USD`.
    currency: &'static str,
    /// `per_call`, `per_minute`, `subscription` or `usage`.
    pricing_model: &'static str,
    /// Calls, minutes or units.
    quantity: u64,
    /// The price of one, in cents.
    unit_price_cents: u64,
    /// The catalog whose terms count.
    catalog_version: i64,
    /// Its hash.
    catalog_content_hash: String,
    /// When the receipt was made.
    issued_at: String,
    /// The service's signature, by its key for the gate's records: standard base64.
    signature: String,
    /// The receipt's text, with its signature.
    receipt: String,
    /// The text that the agent signed.
    base: String,
}

/// Meters a use outside a gate. The passport's holder has signed for it; what it costs is what
/// the catalog says that the passport is pinned to. The receipt is signed by the service, and
/// stands in the gate's log.
#[utoipa::path(post, path = "/api/consume", tag = "metering", security(("api_key" = ["consume"])), request_body = ConsumeRequest, responses(
    (status = 201, description = "The receipt", body = ConsumeResult),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing, or the passport is not good for the action at the gate", body = ErrorBody),
    (status = 404, description = "There is no such passport, or no such gate", body = ErrorBody),
    (status = 409, description = "The nonce was used before: `nonce_already_used`", body = ErrorBody),
    (status = 413, description = "The body is too large", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body: `field` says what", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn issue_consumption_attestation(
    caller: Caller<Consume>,
    State(app): State<App>,
    Body(asked): Body<ConsumeRequest>,
) -> ApiResult<(StatusCode, Json<ConsumeResult>)> {
    let reported = json!({"consumed_for": caller.key_id, "metadata": asked.metadata}).to_string();
    let used = asked.used()?;
    let mut tx = app.db.write().await?;
    let consumed = consume(&mut tx, &app, &used, reported).await?;
    tx.commit().await?;
    app.metrics.recorded("consumption");
    app.metrics.receipts_taken(1);
    let receipt = &consumed.receipt.receipt;
    let charge = &receipt.charge;
    let result = ConsumeResult {
        attestation_id: consumed.attestation_id,
        receipt_id: receipt.receipt_id(),
        cost_cents: charge.total_cents().to_string(),
        platform_fee_cents: charge.fee_cents().to_string(),
        currency: "USD",
        pricing_model: charge.rate().price.model.name(),
        quantity: charge.quantity(),
        unit_price_cents: charge.rate().price.cents,
        catalog_version: receipt.catalog.version,
        catalog_content_hash: receipt.catalog.content_hash.clone(),
        issued_at: receipt.issued_at.to_iso(),
        signature: base64::encode(consumed.receipt.signature()),
        receipt: consumed.receipt.text().to_owned(),
        base: consumed.base,
    };
    Ok((StatusCode::CREATED, Json(result)))
}

impl ConsumeRequest {
    fn used(self) -> ApiResult<Use> {
        check_id("passport_id", &self.passport_id)?;
        check_id("gate_id", &self.gate_id)?;
        check_id("action", &self.action)?;
        if let Some(metadata) = &self.metadata {
            check_metadata(metadata)?;
        }
        // As many minutes as a receipt can tell.
        let longest = MAX_QUANTITY.saturating_mul(60_000);
        if self.duration_ms.is_some_and(|duration| duration > longest) {
            return Err(ApiError::invalid("duration_ms", format!("must be at most {longest}")));
        }
        let pop = self.agent_pop.ok_or_else(|| {
            ApiError::invalid("agent_pop", "is missing: what an agent has not signed for is not charged")
        })?;
        Ok(Use {
            passport_id: self.passport_id,
            gate_id: full_id(&self.gate_id),
            action: self.action,
            outcome: match self.outcome {
                ConsumeOutcome::Success => Outcome::Success,
                ConsumeOutcome::Error => Outcome::Error,
                ConsumeOutcome::Timeout => Outcome::Timeout,
                ConsumeOutcome::Partial => Outcome::Partial,
            },
            quantity: self.quantity.unwrap_or(1),
            duration_ms: self.duration_ms,
            pop,
            request_payload_hash: self.request_payload_hash,
            response_payload_hash: self.response_payload_hash,
        })
    }
}
