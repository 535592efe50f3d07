//! What a gate asks about a single request: whether its proof is used for the first time.

use crate::App;
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::Path;
use crate::time::now;
use crate::trust::gate_caller::NonceCaller;
use anyhow::Context;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use portcullis_core::live::{LiveError, NonceQuestion};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The route.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(ask))
}

/// What may be used once.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is the question's description; core reads the question")]
struct Nonce {
    /// base64url of the SHA-256 thumbprint of the agent's key.
    #[schema(pattern = "^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$")]
    key: String,
    /// base64url of the SHA-256 of the nonce.
    #[schema(pattern = "^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$")]
    nonce: String,
    /// base64url of 16 random bytes, which the answer will repeat.
    #[schema(pattern = "^[A-Za-z0-9_-]{21}[AQgw]$")]
    random: String,
    /// Seconds since 1970, after which the proof is refused anyway; two hours ahead at most.
    #[schema(minimum = 0, maximum = 9007199254740992_u64)]
    until: u64,
}

/// Whether a nonce is used for the first time at this gate, as a signed document; it is
/// used from then on. Signed by the gate (RFC 9421).
#[utoipa::path(post, path = "/gate/v1/gates/{gate}/nonces", tag = "gates' own", security(("gate_signature" = [])),
    params(("gate" = String, Path, description = "The gate's id")), request_body = Nonce, responses(
    (status = 200, description = "new or seen; see docs/trust-material.md", body = String, content_type = "application/jose"),
    (status = 401, description = "The signature is not a gate's", body = ErrorBody),
    (status = 403, description = "The key is another gate's", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
    (status = 429, description = "Too many requests, or the agent's key has used up its share", body = ErrorBody),
    (status = 503, description = "No more can be kept", body = ErrorBody),
))]
async fn ask(State(app): State<App>, Path(gate): Path<String>, caller: NonceCaller) -> ApiResult<Response> {
    let NonceCaller(caller) = caller;
    caller.must_be(&gate)?;
    let asked = NonceQuestion::read(&caller.body).map_err(|error| match error {
        LiveError::Member(name) => ApiError::invalid(name, "is missing or not of its form"),
        error => ApiError::invalid("body", error.to_string()),
    })?;
    // Before anything is used up: without a key there is no answer.
    let state = app.trust.state();
    let signer = state.signer().context("there is no key for trust material")?;
    let decision = app.nonces.ask(&app.db, &gate, &asked).await;
    app.metrics.nonce_asked(decision.as_ref().ok().map(|decision| decision.name()));
    let answer = asked.answer(&gate, decision?, now(), &signer.key, &signer.key_id);
    Ok(([("content-type", "application/jose")], answer).into_response())
}
