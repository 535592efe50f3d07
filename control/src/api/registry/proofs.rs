//! Challenges and their answers (RFC-003), under the paths that the clients use.

use super::badges::BadgeAnswer;
use super::caller::Challenger;
use super::input;
use crate::App;
use crate::anyone::Anyone;
use crate::error::{ApiResult, ErrorBody};
use crate::extract::{Body, Path};
use crate::registry::challenges::{self, Challenge, DEFAULT_TTL_SECONDS, TTL_SECONDS};
use crate::registry::{agents, proofs};
use crate::time::iso;
use axum::Json;
use axum::extract::State;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is asked for with a challenge.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct ChallengeRequest {
    /// Of the badge to come, in seconds; left out: 300.
    #[schema(minimum = 60, maximum = 3600)]
    badge_ttl: Option<i64>,
    /// How long the challenge can be answered, in seconds; left out: 300.
    #[schema(minimum = 1, maximum = 600)]
    challenge_ttl: Option<i64>,
    /// For whom the badge will be; left out: anyone.
    #[schema(max_items = 16)]
    badge_aud: Option<Vec<String>>,
}

/// A challenge.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChallengeAnswer {
    /// The proof's `cid`.
    challenge_id: String,
    /// The proof's `nonce`: base64url of 32 bytes.
    nonce: String,
    /// Until when it can be answered.
    challenge_expires_at: String,
    /// As `challenge_expires_at`.
    expires_at: String,
    /// The proof's `aud`.
    proof_aud: String,
    /// As `proof_aud`.
    aud: String,
    /// The proof's `htu`, to the byte.
    htu: String,
    /// The proof's `htm`: `POST`.
    htm: &'static str,
    /// Of the badge to come.
    badge_aud: Vec<String>,
    /// Of the badge to come, in seconds.
    badge_ttl: i64,
}

/// The answer to a challenge.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct ProofRequest {
    /// The challenge.
    challenge_id: String,
    /// A JWS of `typ` `pop+jwt`.
    proof_jws: String,
}

/// Challenges an agent to prove its key: for an account, or for the agent itself with a
/// badge of this registry.
#[utoipa::path(post, path = "/v1/agents/{agent}/badge/challenge", tag = "badge registry", security(("api_key" = ["registry"])),
    params(("agent" = String, Path, description = "The agent's DID or id")), request_body = ChallengeRequest, responses(
    (status = 200, description = "The challenge", body = ChallengeAnswer),
    (status = 400, description = "The DID is malformed", body = ErrorBody),
    (status = 401, description = "Neither an API key nor a good badge", body = ErrorBody),
    (status = 403, description = "The scope is missing, the badge is another's, or the agent is not active", body = ErrorBody),
    (status = 404, description = "No such agent", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
    (status = 429, description = "Too many challenges, or failed proofs", body = ErrorBody),
))]
pub(super) async fn challenge(
    State(app): State<App>,
    parts: Parts,
    Path(agent): Path<String>,
    Body(asked): Body<ChallengeRequest>,
) -> ApiResult<Json<ChallengeAnswer>> {
    make(&app, &parts, &agent, asked).await
}

/// As `/v1/agents/{agent}/badge/challenge`.
#[utoipa::path(post, path = "/v1/sdk/agents/{agent}/badge/challenge", tag = "badge registry", security(("api_key" = ["registry"])),
    params(("agent" = String, Path, description = "The agent's DID or id")), request_body = ChallengeRequest, responses(
    (status = 200, description = "The challenge", body = ChallengeAnswer),
    (status = 400, description = "The DID is malformed", body = ErrorBody),
    (status = 401, description = "Neither an API key nor a good badge", body = ErrorBody),
    (status = 403, description = "The scope is missing, the badge is another's, or the agent is not active", body = ErrorBody),
    (status = 404, description = "No such agent", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
    (status = 429, description = "Too many challenges, or failed proofs", body = ErrorBody),
))]
pub(super) async fn challenge_for_sdk(
    State(app): State<App>,
    parts: Parts,
    Path(agent): Path<String>,
    Body(asked): Body<ChallengeRequest>,
) -> ApiResult<Json<ChallengeAnswer>> {
    make(&app, &parts, &agent, asked).await
}

/// Issues a badge of IAL 1 for the answer to a challenge, which is all that is needed.
#[utoipa::path(post, path = "/v1/agents/{agent}/badge/pop", tag = "badge registry",
    params(("agent" = String, Path, description = "The agent's DID or id")), request_body = ProofRequest, responses(
    (status = 200, description = "The badge", body = BadgeAnswer),
    (status = 400, description = "The DID, the challenge's id or the proof is malformed", body = ErrorBody),
    (status = 403, description = "The proof fails, or the agent is not active", body = ErrorBody),
    (status = 404, description = "No such agent or challenge", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
    (status = 429, description = "Too many badges, or failed proofs", body = ErrorBody),
    (status = 502, description = "The agent's DID document cannot be had", body = ErrorBody),
))]
pub(super) async fn prove(
    _: Anyone,
    State(app): State<App>,
    Path(agent): Path<String>,
    Body(asked): Body<ProofRequest>,
) -> ApiResult<Json<BadgeAnswer>> {
    let issued = proofs::prove(&app, &agent, &asked.challenge_id, &asked.proof_jws).await?;
    Ok(Json(BadgeAnswer::of(&app, issued)))
}

/// As `/v1/agents/{agent}/badge/pop`.
#[utoipa::path(post, path = "/v1/sdk/agents/{agent}/badge/pop", tag = "badge registry",
    params(("agent" = String, Path, description = "The agent's DID or id")), request_body = ProofRequest, responses(
    (status = 200, description = "The badge", body = BadgeAnswer),
    (status = 400, description = "The DID, the challenge's id or the proof is malformed", body = ErrorBody),
    (status = 403, description = "The proof fails, or the agent is not active", body = ErrorBody),
    (status = 404, description = "No such agent or challenge", body = ErrorBody),
    (status = 422, description = "Something is wrong in the body", body = ErrorBody),
    (status = 429, description = "Too many badges, or failed proofs", body = ErrorBody),
    (status = 502, description = "The agent's DID document cannot be had", body = ErrorBody),
))]
pub(super) async fn prove_for_sdk(
    _: Anyone,
    State(app): State<App>,
    Path(agent): Path<String>,
    Body(asked): Body<ProofRequest>,
) -> ApiResult<Json<BadgeAnswer>> {
    let issued = proofs::prove(&app, &agent, &asked.challenge_id, &asked.proof_jws).await?;
    Ok(Json(BadgeAnswer::of(&app, issued)))
}

async fn make(
    app: &App,
    parts: &Parts,
    name: &str,
    asked: ChallengeRequest,
) -> ApiResult<Json<ChallengeAnswer>> {
    let agent = agents::find(app.db.pool(), name).await;
    let Challenger { account, address } = Challenger::of(parts, app, agent.as_ref().ok()).await?;
    let agent = agent?;
    let asked = challenges::Asked {
        account,
        address,
        ttl: input::within("challenge_ttl", asked.challenge_ttl, DEFAULT_TTL_SECONDS, &TTL_SECONDS)?,
        badge_ttl: input::badge_ttl("badge_ttl", asked.badge_ttl)?,
        badge_aud: input::audience("badge_aud", asked.badge_aud)?,
    };
    let mut tx = app.db.write().await?;
    let agent = agents::lock(&mut tx, &agent.did).await?;
    let challenge = challenges::create(&mut tx, app, &agent, asked).await?;
    tx.commit().await?;
    Ok(Json(ChallengeAnswer::of(challenge)))
}

impl ChallengeAnswer {
    fn of(challenge: Challenge) -> Self {
        ChallengeAnswer {
            challenge_id: challenge.id,
            nonce: challenge.nonce,
            challenge_expires_at: iso(challenge.expires_at),
            expires_at: iso(challenge.expires_at),
            aud: challenge.proof_aud.clone(),
            proof_aud: challenge.proof_aud,
            htu: challenge.htu,
            htm: "POST",
            badge_aud: challenge.badge_aud,
            badge_ttl: challenge.badge_ttl,
        }
    }
}
