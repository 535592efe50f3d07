//! Badges: issued, revoked, judged.

use super::agents::Reason;
use super::input;
use super::status::BadgeStatus;
use crate::App;
use crate::anyone::Anyone;
use crate::audit;
use crate::auth::{Caller, Registry};
use crate::error::{ApiError, ApiResult, ErrorBody};
use crate::extract::{Body, Path};
use crate::registry::issue::{self, Asked, Issued};
use crate::registry::{agents, origin, proofs, revoke, standing};
use crate::time::iso;
use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use portcullis_core::base64;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

/// A badge that is asked for: in the form of RFC-002 and RFC-003, or in that of the
/// clients, who leave `mode` out.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct BadgeRequest {
    /// `ial0` or `ial1`. Left out: `ial1` where there is a `challenge_id` and a `proof_jws`.
    mode: Option<String>,
    /// Seconds; left out: 300.
    #[schema(minimum = 60, maximum = 3600)]
    badge_ttl: Option<i64>,
    /// For whom; left out: anyone.
    #[schema(max_items = 16)]
    badge_aud: Option<Vec<String>>,
    /// The agent's domain, as it is registered.
    domain: Option<String>,
    /// The level; left out: the one that the agent is registered for.
    #[serde(rename = "trustLevel")]
    trust_level: Option<String>,
    /// Instead of `badge_ttl`: a duration as Go writes it, `5m0s`.
    duration: Option<String>,
    /// Instead of `badge_aud`.
    #[schema(max_items = 16)]
    audience: Option<Vec<String>>,
    /// The challenge that is answered.
    challenge_id: Option<String>,
    /// The answer.
    proof_jws: Option<String>,
}

/// A badge, with the members of RFC-002's answer at the top, and of RFC-003's and of the
/// clients' in `data`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BadgeAnswer {
    /// Always true.
    success: bool,
    /// The badge and what it says.
    data: BadgeData,
    /// The badge.
    badge: String,
    /// Its id.
    jti: String,
    /// Until when it is valid.
    expires_at: String,
}

/// A badge and what it says.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BadgeData {
    /// The badge.
    token: String,
    /// Its id.
    jti: String,
    /// The agent's DID.
    subject: String,
    /// This registry's origin.
    issuer: String,
    /// Its level.
    trust_level: &'static str,
    /// As `trust_level`.
    #[serde(rename = "trustLevel")]
    trust_level_too: &'static str,
    /// From when it is valid.
    issued_at: String,
    /// Until when.
    expires_at: String,
    /// As `expires_at`.
    #[serde(rename = "expiresAt")]
    expires_at_too: String,
    /// `IAL-0` or `IAL-1`.
    assurance_level: &'static str,
    /// The key that the agent has proved to hold, for IAL 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    cnf: Option<Value>,
}

/// A badge to be judged.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Presented {
    /// The badge.
    token: String,
}

/// What became of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Judgement {
    /// Always true: that it was judged.
    success: bool,
    /// The verdict.
    data: Verdict,
}

/// Whether a badge is good now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Verdict {
    /// Whether it is.
    valid: bool,
    /// What it says, if it is.
    #[schema(value_type = Option<Object>)]
    claims: Option<Value>,
    /// RFC-002's code for why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    /// What was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// Issues a badge: at an account's word (IAL 0, which needs an API key), or to an agent
/// that proves its key (IAL 1, which needs a challenge and no API key).
#[utoipa::path(post, path = "/v1/agents/{agent}/badge", tag = "badge registry", security((), ("api_key" = ["registry"])),
    params(("agent" = String, Path, description = "The agent's DID or id")), request_body = BadgeRequest, responses(
    (status = 200, description = "The badge", body = BadgeAnswer),
    (status = 400, description = "The DID, the mode, the challenge's id or the proof is malformed", body = ErrorBody),
    (status = 401, description = "IAL 0 without an API key", body = ErrorBody),
    (status = 403, description = "The scope is missing, the agent is not active or may not have such a badge, or the proof fails", body = ErrorBody),
    (status = 404, description = "No such agent or challenge", body = ErrorBody),
    (status = 409, description = "The agent has no public key", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
    (status = 429, description = "Too many badges, or failed proofs", body = ErrorBody),
    (status = 502, description = "The agent's DID document cannot be had", body = ErrorBody),
))]
pub(super) async fn issue(
    State(app): State<App>,
    mut parts: Parts,
    Path(agent): Path<String>,
    Body(asked): Body<BadgeRequest>,
) -> ApiResult<Json<BadgeAnswer>> {
    let is_proof = asked.challenge_id.is_some() && asked.proof_jws.is_some();
    match asked.mode.as_deref() {
        Some("ial1") => {}
        None if is_proof => {}
        None | Some("ial0") => {
            let caller = Caller::<Registry>::from_request_parts(&mut parts, &app).await?;
            return at_word(&app, &caller, &agent, asked).await;
        }
        Some(_) => {
            let message = "mode must be ial0 or ial1";
            return Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid_mode", message));
        }
    }
    Anyone::from_request_parts(&mut parts, &app).await?;
    let missing = |field: &str| ApiError::invalid(field, "is needed for ial1");
    let challenge_id = asked.challenge_id.ok_or_else(|| missing("challenge_id"))?;
    let proof = asked.proof_jws.ok_or_else(|| missing("proof_jws"))?;
    let issued = proofs::prove(&app, &agent, &challenge_id, &proof).await?;
    Ok(Json(BadgeAnswer::of(&app, issued)))
}

async fn at_word(
    app: &App,
    caller: &Caller<Registry>,
    agent: &str,
    asked: BadgeRequest,
) -> ApiResult<Json<BadgeAnswer>> {
    let ttl = match (asked.badge_ttl, asked.duration) {
        (Some(_), Some(_)) => return Err(ApiError::invalid("duration", "stands beside badge_ttl: give one")),
        (ttl, None) => input::badge_ttl("badge_ttl", ttl)?,
        (None, Some(text)) => {
            let duration = humantime::parse_duration(&text)
                .map_err(|_| ApiError::invalid("duration", "must be a duration such as 5m0s"))?;
            input::badge_ttl("duration", Some(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)))?
        }
    };
    let audience = match (asked.badge_aud, asked.audience) {
        (Some(_), Some(_)) => return Err(ApiError::invalid("audience", "stands beside badge_aud: give one")),
        (Some(names), None) => input::audience("badge_aud", Some(names))?,
        (None, names) => input::audience("audience", names)?,
    };
    let level = asked.trust_level.map(|level| input::level("trustLevel", &level)).transpose()?;
    let asked = Asked { ttl, audience, domain: asked.domain, level, proved: None };
    let mut tx = app.db.write().await?;
    let agent = agents::lock(&mut tx, agent).await?;
    let issued = issue::issue(&mut tx, app, &agent, asked, &caller.key_id).await?;
    tx.commit().await?;
    Ok(Json(BadgeAnswer::of(app, issued)))
}

/// Revokes a badge. To revoke one twice changes nothing.
#[utoipa::path(post, path = "/v1/badges/{jti}/revoke", tag = "badge registry", security(("api_key" = ["registry"])),
    params(("jti" = String, Path, description = "The badge's id")), request_body = Reason, responses(
    (status = 200, description = "Its status", body = BadgeStatus),
    (status = 401, description = "No API key", body = ErrorBody),
    (status = 403, description = "The scope is missing", body = ErrorBody),
    (status = 404, description = "This registry has not issued it", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
))]
pub(super) async fn revoke(
    caller: Caller<Registry>,
    State(app): State<App>,
    Path(jti): Path<String>,
    Body(asked): Body<Reason>,
) -> ApiResult<Json<BadgeStatus>> {
    let reason = input::reason(asked.reason)?;
    let mut tx = app.db.write().await?;
    let badge = revoke::find(&mut *tx, &jti).await?;
    let number = revoke::one(&mut tx, &app, &badge, reason.as_deref()).await?;
    if number.is_some() {
        audit::record(&mut tx, &caller.key_id, "badge.revoke", &badge.jti, json!({"reason": reason})).await?;
    }
    let badge = revoke::find(&mut *tx, &jti).await?;
    tx.commit().await?;
    if let Some(number) = number {
        app.trust.wake(number);
    }
    Ok(Json(BadgeStatus::of(badge)))
}

/// Judges a badge of this registry: signature, times, key binding, revocation, and whether
/// its agent is active. What it is worth elsewhere, and for whom it is, is not asked.
#[utoipa::path(post, path = "/v1/validate", tag = "badge registry", request_body = Presented, responses(
    (status = 200, description = "The verdict", body = Judgement),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
    (status = 429, description = "Too many requests", body = ErrorBody),
))]
pub(super) async fn validate(
    _: Anyone,
    State(app): State<App>,
    Body(asked): Body<Presented>,
) -> ApiResult<Json<Judgement>> {
    let data = match standing::judge(&app, &asked.token).await? {
        Ok(_) => Verdict { valid: true, claims: claims(&asked.token), error: None, message: None },
        Err(denial) => Verdict {
            valid: false,
            claims: None,
            error: Some(denial.reason.code()),
            message: Some(denial.into_detail().into_owned()),
        },
    };
    Ok(Json(Judgement { success: true, data }))
}

/// The claims of a badge that was verified.
fn claims(token: &str) -> Option<Value> {
    serde_json::from_slice(&base64::decode_url(token.split('.').nth(1)?)?).ok()
}

impl BadgeAnswer {
    pub(super) fn of(app: &App, issued: Issued) -> Self {
        let expires_at = iso(issued.expires_at);
        let assurance_level = if issued.method.is_some() { "IAL-1" } else { "IAL-0" };
        let data = BadgeData {
            token: issued.token.clone(),
            jti: issued.jti.clone(),
            subject: issued.subject,
            issuer: origin(app).to_owned(),
            trust_level: issued.level.text(),
            trust_level_too: issued.level.text(),
            issued_at: iso(issued.issued_at),
            expires_at: expires_at.clone(),
            expires_at_too: expires_at.clone(),
            assurance_level,
            cnf: issued.method.map(|kid| json!({"kid": kid})),
        };
        BadgeAnswer { success: true, data, badge: issued.token, jti: issued.jti, expires_at }
    }
}
