//! Spending: what gates ask about it, and what people see and set back.

use super::shapes::IssuerQuery;
use crate::auth::{Caller, PassportsRead, PassportsWrite};
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::{Body, Path, Query};
use crate::spend::{self, PassportState, ResetWindow};
use crate::time::now;
use crate::trust::gate_caller::SpendCaller;
use crate::{App, audit};
use anyhow::Context;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use portcullis_core::live::{LiveError, SpendQuestion};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(ask)).routes(routes!(get_state)).routes(routes!(reset_state))
}

/// What a gate wants to be granted, and what it has spent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is the question's description; core reads the question")]
struct Spend {
    /// The accounts that it is about.
    #[schema(max_items = 64)]
    accounts: Vec<SpendAccount>,
    /// base64url of 16 bytes: the gate's process.
    #[schema(pattern = "^[A-Za-z0-9_-]{21}[AQgw]$")]
    lane: String,
    /// base64url of 16 random bytes, which the answer will repeat.
    #[schema(pattern = "^[A-Za-z0-9_-]{21}[AQgw]$")]
    random: String,
}

/// An account under one set of caps.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is the question's description; core reads the question")]
struct SpendAccount {
    /// base64url of the SHA-256 of the RFC 8785 text of issuer, passport_id and permission.
    #[schema(pattern = "^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$")]
    account: String,
    /// The caps that hold.
    caps: Caps,
    /// The issuer at the passport's root.
    issuer: String,
    /// base64url of 16 random bytes, the name of the lease that is wanted; null for none.
    #[schema(required, pattern = "^[A-Za-z0-9_-]{21}[AQgw]$")]
    lease: Option<String>,
    /// The ids of the passports from the root to the one that set the caps, with spaces between.
    passport_id: String,
    /// The permission.
    permission: String,
    /// All leases that the gate has of this account under these caps.
    #[schema(max_items = 8)]
    spent: Vec<Spent>,
    /// How many cents are wanted.
    #[schema(minimum = 0, maximum = 9007199254740992_u64)]
    want_cents: u64,
}

/// Caps in cents; null for none.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is the question's description; core reads the question")]
struct Caps {
    /// Of a day of UTC.
    #[schema(required, minimum = 0, maximum = 9007199254740992_u64)]
    daily_cents: Option<u64>,
    /// Of today and days before it.
    #[schema(required)]
    rolling: Option<RollingCap>,
    /// Of all time.
    #[schema(required, minimum = 0, maximum = 9007199254740992_u64)]
    total_cents: Option<u64>,
}

/// A cap over some days.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is the question's description; core reads the question")]
struct RollingCap {
    /// How much.
    #[schema(minimum = 0, maximum = 9007199254740992_u64)]
    cents: u64,
    /// How many days, today among them.
    #[schema(minimum = 1, maximum = 366)]
    days: u16,
}

/// What was spent of a lease.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is the question's description; core reads the question")]
struct Spent {
    /// Whether nothing more will be.
    done: bool,
    /// Its name.
    #[schema(pattern = "^[A-Za-z0-9_-]{21}[AQgw]$")]
    lease: String,
    /// How many cents, since it was granted.
    #[schema(minimum = 0, maximum = 9007199254740992_u64)]
    spent_cents: u64,
}

/// Grants what may be spent, ahead of need, as a signed document; and takes up what was.
/// A lease is granted once, however often it is asked for. Signed by the gate (RFC 9421).
#[utoipa::path(post, path = "/gate/v1/gates/{gate}/spend", tag = "gates' own", security(("gate_signature" = [])),
    params(("gate" = String, Path, description = "The gate's id")), request_body = Spend, responses(
    (status = 200, description = "What is granted; see docs/spend.md", body = String, content_type = "application/jose"),
    (status = 401, description = "The signature is not a gate's", body = ErrorBody),
    (status = 403, description = "The key is another gate's", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
    (status = 503, description = "There is too much to do", body = ErrorBody),
))]
async fn ask(State(app): State<App>, Path(gate): Path<String>, caller: SpendCaller) -> ApiResult<Response> {
    let SpendCaller(caller) = caller;
    caller.must_be(&gate)?;
    let asked = SpendQuestion::read(&caller.body).map_err(|error| match error {
        LiveError::Member(name) => ApiError::invalid(name, "is missing or not of its form"),
        error => ApiError::invalid("body", error.to_string()),
    })?;
    // PostgreSQL's text has no such character.
    let names = asked.accounts.iter().flat_map(|ask| [&ask.issuer, &ask.passport_id, &ask.permission]);
    if names.into_iter().any(|name| name.contains('\0')) {
        return Err(ApiError::invalid("accounts", "a name has the character U+0000"));
    }
    // Before anything is granted: without a key there is no answer.
    let state = app.trust.state();
    let signer = state.signer().context("there is no key for trust material")?;
    let (answer, tally) = app.spend.ask(&app.db, &gate, &asked).await.inspect_err(|_| {
        app.metrics.spend_asked(None);
    })?;
    app.metrics.spend_asked(Some(tally));
    let answer = asked.answer(&gate, &answer, now(), &signer.key, &signer.key_id);
    Ok(([("content-type", "application/jose")], answer).into_response())
}

/// What was spent at all gates under the caps that a passport sets; its delegated ones
/// spend of these too.
#[utoipa::path(get, path = "/api/passports/{passport_id}/state", tag = "spending", security(("api_key" = ["passports:read"])),
    params(("passport_id" = String, Path, description = "The passport's id"), IssuerQuery), responses(
    (status = 200, description = "Its state", body = PassportState),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "Nothing is known of it", body = ErrorBody),
    (status = 409, description = "Several issuers have a passport of this id", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn get_state(
    _: Caller<PassportsRead>,
    State(app): State<App>,
    Path(passport_id): Path<String>,
    Query(asked): Query<IssuerQuery>,
) -> ApiResult<Json<PassportState>> {
    spend::read_state(&mut app.db.read().await?, &passport_id, asked.checked()?).await.map(Json)
}

/// What is to be set back.
#[derive(Debug, Deserialize, ToSchema)]
struct ResetAsked {
    /// The window; left out: all.
    window_type: Option<ResetWindow>,
}

/// That it is done.
#[derive(Debug, Serialize, ToSchema)]
struct StateReset {
    /// Always true.
    reset: bool,
}

/// Sets what a passport has spent back to nothing. What gates hold at that moment may be
/// spent beside.
#[utoipa::path(post, path = "/api/passports/{passport_id}/state/reset", tag = "spending", security(("api_key" = ["passports:write"])),
    params(("passport_id" = String, Path, description = "The passport's id"), IssuerQuery),
    request_body = ResetAsked, responses(
    (status = 200, description = "It is set back", body = StateReset),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "Nothing is known of it", body = ErrorBody),
    (status = 409, description = "Several issuers have a passport of this id", body = ErrorBody),
    (status = 413, description = "The body is too large", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn reset_state(
    caller: Caller<PassportsWrite>,
    State(app): State<App>,
    Path(passport_id): Path<String>,
    Query(whose): Query<IssuerQuery>,
    Body(asked): Body<ResetAsked>,
) -> ApiResult<Json<StateReset>> {
    let mut tx = app.db.write().await?;
    spend::reset(&mut tx, &passport_id, whose.checked()?, asked.window_type).await?;
    let detail = json!({"window_type": asked.window_type, "issuer_id": whose.issuer_id});
    audit::record(&mut tx, &caller.key_id, "passport.reset_state", &passport_id, detail).await?;
    tx.commit().await?;
    Ok(Json(StateReset { reset: true }))
}
