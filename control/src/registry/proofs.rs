//! The order of checks of a proof of possession: RFC-003 section 5.2.2, step by step.

use super::agents;
use super::challenges::{self, Challenge};
use super::issue::{self, Asked, Issued, Proved};
use super::{SKEW_MS, documents, refused};
use crate::App;
use crate::error::{ApiError, ApiResult};
use crate::time::now_ms;
use axum::http::StatusCode;
use portcullis_core::capiscio::{Proof, ProofError, Unverified};

/// RFC-003 section 6.2: how long a proof may be good.
const MAX_LIFE_MS: i64 = 60_000;

/// Judges the answer to a challenge, and issues a badge for it. The first failure is the
/// answer; five failures within 15 minutes, and the agent has to wait.
///
/// # Errors
/// The codes of RFC-003 section 5.2.1.
pub async fn prove(app: &App, name: &str, challenge_id: &str, proof: &str) -> ApiResult<Issued> {
    // Steps 1 to 5: what costs nothing.
    let id = challenge_id.strip_prefix("ch-").filter(|id| id.len() == 36);
    if id.is_none_or(|id| uuid::Uuid::try_parse(id).is_err()) {
        let message = "challenge_id must be ch- and a UUID";
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid_challenge_id", message));
    }
    let agent = agents::find(app.db.pool(), name).await?;
    let challenge = challenges::find(app, challenge_id).await?.ok_or_else(|| {
        ApiError::new(StatusCode::NOT_FOUND, "challenge_not_found", "there is no such challenge")
    })?;
    if challenge.did != agent.did {
        return Err(refused("subject_mismatch", "the challenge is for another agent"));
    }
    if challenge.used_at.is_some() {
        return Err(used());
    }
    if challenge.expires_at <= now_ms() {
        return Err(refused("challenge_expired", "the challenge has expired: ask for another one"));
    }

    challenges::check_cooldown(app.db.pool(), &agent.did).await?;
    let judged = judge(app, &challenge, proof).await;
    let is_failed_proof = |error: &ApiError| {
        let is_of_proof = [StatusCode::BAD_REQUEST, StatusCode::FORBIDDEN].contains(&error.status);
        is_of_proof && !["challenge_used", "agent_disabled"].contains(&error.code)
    };
    if judged.as_ref().is_err_and(is_failed_proof) {
        challenges::note_failure(app, &challenge.id).await?;
    }
    judged
}

/// Steps 6 to 24. From step 20 on the agent is locked, so that the key that is proved is
/// still its key, and it still active, when the badge is issued.
async fn judge(app: &App, challenge: &Challenge, proof: &str) -> ApiResult<Issued> {
    let (proof, unverified) = Proof::read(proof.as_bytes()).map_err(invalid)?;
    check_claims(&proof, challenge, now_ms())?;
    let mut tx = app.db.write().await?;
    let agent = agents::lock(&mut tx, &challenge.did).await?;
    let key = proved_key(&documents::methods(&mut tx, app, &agent).await?, &proof, unverified)?;
    if !challenges::spend(&mut tx, &challenge.id).await? {
        return Err(used());
    }
    let asked = Asked {
        ttl: challenge.badge_ttl,
        audience: challenge.badge_aud.clone(),
        domain: None,
        level: None,
        proved: Some(Proved { method: proof.kid, key, challenge_id: challenge.id.clone() }),
    };
    let issued = issue::issue(&mut tx, app, &agent, asked, &agent.did).await?;
    challenges::note_badge(&mut tx, &challenge.id, &issued.jti).await?;
    tx.commit().await?;
    Ok(issued)
}

/// Steps 8 to 19.
fn check_claims(proof: &Proof, challenge: &Challenge, now: i64) -> ApiResult<()> {
    let (iat, exp) = (proof.iat.as_millis(), proof.exp.as_millis());
    if proof.cid != challenge.id {
        return Err(refused("cid_mismatch", "cid is not the challenge_id"));
    }
    if proof.nonce != challenge.nonce {
        return Err(invalid(ProofError::Malformed("nonce is not the challenge's")));
    }
    if proof.aud != challenge.proof_aud {
        return Err(refused("audience_mismatch", "aud is not the challenge's proof_aud"));
    }
    if proof.htu != challenge.htu {
        return Err(refused("htu_mismatch", "htu is not the challenge's, byte by byte"));
    }
    if proof.htm != "POST" {
        return Err(invalid(ProofError::Malformed("htm is not POST")));
    }
    if iat > now.saturating_add(SKEW_MS) {
        return Err(refused("iat_invalid", "iat is in the future"));
    }
    if iat < challenge.created_at.saturating_sub(SKEW_MS) {
        return Err(refused("iat_invalid", "iat is before the challenge"));
    }
    if iat > challenge.expires_at {
        return Err(refused("iat_invalid", "iat is after the challenge's end"));
    }
    if exp > iat.saturating_add(MAX_LIFE_MS) {
        return Err(refused("exp_too_long", "exp is more than 60 s after iat"));
    }
    if exp <= now {
        return Err(refused("proof_expired", "exp has passed"));
    }
    if exp > challenge.expires_at {
        return Err(refused("exp_outside_challenge_window", "exp is after the challenge's end"));
    }
    if proof.sub != challenge.did {
        return Err(refused("subject_mismatch", "sub is not the agent's DID"));
    }
    Ok(())
}

/// Steps 21 to 23.
fn proved_key(
    methods: &[documents::Method],
    proof: &Proof,
    unverified: Unverified<'_>,
) -> ApiResult<[u8; 32]> {
    let method = methods.iter().find(|method| method.id == proof.kid).ok_or_else(|| {
        refused("kid_not_found", "kid is no verification method of the agent's DID document")
    })?;
    if !method.authenticates {
        let message = "kid is not in the authentication relationship of the agent's DID document";
        return Err(refused("key_not_in_authentication", message));
    }
    if !unverified.is_signed_by(&method.key) {
        return Err(refused("proof_verification_failed", "the signature is not one by the key of kid"));
    }
    Ok(method.key)
}

fn used() -> ApiError {
    refused("challenge_used", "the challenge was used already: ask for another one")
}

fn invalid(error: ProofError) -> ApiError {
    let (code, message) = match error {
        ProofError::Malformed(problem) => ("invalid_proof", format!("proof_jws: {problem}")),
        ProofError::MissingCid => ("missing_cid", "proof_jws: cid is missing".to_owned()),
        ProofError::MissingExp => ("missing_exp", "proof_jws: exp is missing".to_owned()),
    };
    ApiError::new(StatusCode::BAD_REQUEST, code, message)
}
