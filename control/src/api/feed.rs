//! What gates ask for themselves: trust material, and keys to sign their calls with.

use crate::App;
use crate::audit;
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::{Path, Query};
use crate::keys::{self, Purpose};
use crate::time::{iso, now, now_ms};
use crate::trust::documents::{self, Asked};
use crate::trust::enrolment::{self, KEY_OVERLAP_MS};
use crate::trust::gate_caller::GateCaller;
use crate::trust::proxies::Numbers;
use crate::trust::signature::Signature;
use crate::trust::snapshot;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use portcullis_core::{UnixTime, base64};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes for gates.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(trust))
        .routes(routes!(revocations))
        .routes(routes!(enrol))
        .routes(routes!(bring_key))
}

/// What a gate has, and how long it waits for more.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct TrustQuery {
    /// The number of its snapshot; 0 for none.
    #[param(minimum = 0, maximum = 9007199254740992_u64)]
    snapshot: u64,
    /// The number of its revocations; 0 for none.
    #[param(minimum = 0, maximum = 9007199254740992_u64)]
    revocations: u64,
    /// Seconds to wait until there is something new.
    #[serde(default)]
    #[param(minimum = 0, maximum = 30)]
    wait: u64,
    /// base64url of 16 bytes, which the head will repeat.
    random: String,
}

/// The trust material that a gate lacks; see docs/trust-material.md.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it is the answer's description; core writes the answer")]
struct Trust {
    /// The head that is in force.
    head: String,
    /// The snapshot that the head names, where the gate has an older one.
    snapshot: Option<String>,
    /// What was revoked, or is no longer, since what the gate has.
    delta: Option<String>,
    /// Whether all pages must be fetched.
    reload: Option<bool>,
}

/// The longest that a gate may wait, so that its proxy does not give up first.
const LONGEST_WAIT: u64 = 30;

/// What is new for a gate; waits until there is something. Signed by the gate (RFC 9421).
#[utoipa::path(get, path = "/gate/v1/gates/{gate}/trust", tag = "gates' own", security(("gate_signature" = [])),
    params(("gate" = String, Path, description = "The gate's id"), TrustQuery), responses(
    (status = 200, description = "What is new", body = Trust),
    (status = 401, description = "The signature is not a gate's", body = ErrorBody),
    (status = 403, description = "The key is another gate's", body = ErrorBody),
    (status = 404, description = "There is no such gate", body = ErrorBody),
    (status = 409, description = "The gate is not configured yet", body = ErrorBody),
    (status = 422, description = "A parameter is wrong", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn trust(
    State(app): State<App>,
    Path(gate): Path<String>,
    Query(query): Query<TrustQuery>,
    caller: GateCaller,
) -> ApiResult<Response> {
    caller.must_be(&gate)?;
    if query.wait > LONGEST_WAIT {
        return Err(ApiError::invalid("wait", "must be 0 to 30 seconds"));
    }
    if base64::decode_url(&query.random).is_none_or(|random| random.len() != 16) {
        return Err(ApiError::invalid("random", "must be base64url of 16 bytes, without padding"));
    }
    let asked = Asked { snapshot: query.snapshot, revocations: query.revocations, random: query.random };
    let has =
        Numbers { snapshot: query.snapshot.cast_signed(), revocations: query.revocations.cast_signed() };
    app.trust.proxies.asked(&gate, &caller.key_id, caller.address, has);
    let until = Instant::now().checked_add(Duration::from_secs(query.wait));
    // Before the state is looked at, so that no change falls between.
    let mut newest = app.trust.subscribe();
    newest.mark_unchanged();
    let has_waited = !asked.is_behind(&gate, &app.trust.state());
    // Each turn is a change of something, or the end.
    while !asked.is_behind(&gate, &app.trust.state()) {
        let Some(until) = until else { break };
        tokio::select! {
            changed = newest.changed() => if changed.is_err() { break },
            () = tokio::time::sleep_until(until) => break,
            () = app.trust.ended() => break,
        }
    }
    let answer = documents::answer(&app, &gate, &asked).await?;
    let state = app.trust.state();
    app.trust.proxies.answered(&gate, &caller.key_id, caller.address, state.read_at.as_millis());
    let since = |time: UnixTime| {
        let millis = now().as_millis().saturating_sub(time.as_millis());
        Duration::from_millis(u64::try_from(millis).unwrap_or_default())
    };
    app.metrics.gate_seen(&gate, asked.snapshot, since(state.read_at));
    if has_waited && asked.is_behind(&gate, &state) {
        app.metrics.pushed(since(state.known_since));
    }
    Ok(([("content-type", "application/json")], answer.to_json()).into_response())
}

/// Where a page begins.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PageQuery {
    /// A fingerprint in 16 hexadecimal digits.
    #[param(pattern = "^[0-9a-f]{16}$")]
    from: String,
}

/// A page of all that is revoked, as a signed document. Signed by the gate (RFC 9421).
#[utoipa::path(get, path = "/gate/v1/gates/{gate}/revocations", tag = "gates' own", security(("gate_signature" = [])),
    params(("gate" = String, Path, description = "The gate's id"), PageQuery), responses(
    (status = 200, description = "The page", body = String, content_type = "application/jose"),
    (status = 401, description = "The signature is not a gate's", body = ErrorBody),
    (status = 403, description = "The key is another gate's", body = ErrorBody),
    (status = 422, description = "A parameter is wrong", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn revocations(
    State(app): State<App>,
    Path(gate): Path<String>,
    Query(query): Query<PageQuery>,
    caller: GateCaller,
) -> ApiResult<Response> {
    caller.must_be(&gate)?;
    let digits = query.from.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let from = u64::from_str_radix(&query.from, 16).ok().filter(|_| digits && query.from.len() == 16);
    let from =
        from.ok_or_else(|| ApiError::invalid("from", "must be 16 hexadecimal digits in lower case"))?;
    let page = documents::page(&app, &gate, from).await?;
    Ok(([("content-type", "application/jose")], page).into_response())
}

/// A gate's first key, by a one-time token.
#[derive(Debug, Deserialize, ToSchema)]
struct Enrolment {
    /// The token.
    token: String,
    /// Standard base64 of the 32 bytes of the gate's Ed25519 key, which signs this request.
    public_key: String,
    /// The same of the key that signs the gate's records.
    attestation_key: String,
}

/// What an enrolled gate needs to know.
#[derive(Debug, Serialize, ToSchema)]
struct Enrolled {
    /// The gate's id.
    gate_id: String,
    /// The id of its key.
    key_id: String,
    /// The keys that sign trust material, to be pinned in the gate's configuration.
    service_keys: Vec<Value>,
}

/// Enrols a gate. The request is signed with the key that it brings (RFC 9421), so that a
/// token enrols no key that its bearer does not hold.
#[utoipa::path(post, path = "/gate/v1/enrol", tag = "gates' own", request_body = Enrolment, responses(
    (status = 201, description = "The gate is enrolled", body = Enrolled),
    (status = 401, description = "The token or the signature is not good", body = ErrorBody),
    (status = 409, description = "The gate cannot have this key", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
))]
async fn enrol(State(app): State<App>, request: Request) -> ApiResult<(StatusCode, Json<Enrolled>)> {
    let (parts, body) = request.into_parts();
    let body =
        Bytes::from_request(Request::from_parts(parts.clone(), body), &app).await.map_err(|rejection| {
            ApiError::new(rejection.status(), "unreadable", "the body is too large or did not come whole")
        })?;
    let asked: Enrolment = read(&body)?;
    let key = enrolment::read_key("public_key", &asked.public_key)?;
    let records = enrolment::read_key("attestation_key", &asked.attestation_key)?;
    let signature = Signature::read(&parts).map_err(ApiError::unauthorized)?;
    if signature.key_id != keys::thumbprint(key.as_bytes()) {
        return Err(ApiError::unauthorized("keyid is not the thumbprint of public_key"));
    }
    signature.verify(&parts, &body, &key, now()).map_err(ApiError::unauthorized)?;
    let mut tx = app.db.write().await?;
    let gate_id = enrolment::spend_token(&mut tx, &asked.token).await?;
    enrolment::must_exist(&mut tx, &gate_id).await?;
    let key_id = enrolment::add_key(&mut tx, &gate_id, &key, &records).await?;
    audit::record(&mut tx, &gate_id, "gate.enrol", &gate_id, json!({"key_id": key_id})).await?;
    let service_keys = snapshot::published(&mut tx, Purpose::Trust, keys::SERVICE, now_ms()).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(Enrolled { gate_id, key_id, service_keys })))
}

/// A gate's next key.
#[derive(Debug, Deserialize, ToSchema)]
struct NextKey {
    /// Standard base64 of the 32 bytes of an Ed25519 key.
    public_key: String,
    /// The same of the key that will sign the gate's records.
    attestation_key: String,
}

/// That a gate has a new key.
#[derive(Debug, Serialize, ToSchema)]
struct KeyBrought {
    /// The new key's id.
    key_id: String,
    /// Until when the key that signed this request may still call.
    former_until: String,
}

/// Brings a gate's next key, signed by its present one.
#[utoipa::path(post, path = "/gate/v1/gates/{gate}/keys", tag = "gates' own", security(("gate_signature" = [])),
    params(("gate" = String, Path, description = "The gate's id")), request_body = NextKey, responses(
    (status = 201, description = "The key may call", body = KeyBrought),
    (status = 401, description = "The signature is not a gate's", body = ErrorBody),
    (status = 403, description = "The key is another gate's", body = ErrorBody),
    (status = 409, description = "The gate cannot have this key", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
async fn bring_key(
    State(app): State<App>,
    Path(gate): Path<String>,
    caller: GateCaller,
) -> ApiResult<(StatusCode, Json<KeyBrought>)> {
    caller.must_be(&gate)?;
    let asked: NextKey = read(&caller.body)?;
    let key = enrolment::read_key("public_key", &asked.public_key)?;
    let records = enrolment::read_key("attestation_key", &asked.attestation_key)?;
    let until = now_ms().saturating_add(KEY_OVERLAP_MS);
    let mut tx = app.db.write().await?;
    enrolment::must_last(&mut tx, &gate, &caller.key_id).await?;
    let key_id = enrolment::add_key(&mut tx, &gate, &key, &records).await?;
    // A key that was to end sooner still does.
    let ended = enrolment::end_key(&mut tx, &gate, &caller.key_id, until).await;
    let former_until = if ended.is_ok() { until } else { now_ms() };
    audit::record(&mut tx, &gate, "gate.key", &gate, json!({"key_id": key_id, "former": caller.key_id}))
        .await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(KeyBrought { key_id, former_until: iso(former_until) })))
}

fn read<'b, T: Deserialize<'b>>(body: &'b [u8]) -> ApiResult<T> {
    serde_json::from_slice(body).map_err(|error| ApiError::invalid("body", error.to_string()))
}
