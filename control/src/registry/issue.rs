//! Issuing badges.

use super::agents::{Agent, Status};
use super::{origin, refused, too_often};
use crate::App;
use crate::audit;
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::keys::{self, Purpose};
use crate::time::now_ms;
use anyhow::anyhow;
use axum::http::StatusCode;
use portcullis_core::UnixTime;
use portcullis_core::capiscio::{BadgeDraft, BadgeIssuer, Ial, Level};
use serde_json::json;
use sqlx::Row;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Seconds from now, [`TTL_SECONDS`].
    pub ttl: i64,
    /// For whom; empty is anyone.
    pub audience: Vec<String>,
    /// The domain that the caller takes the agent to have.
    pub domain: Option<String>,
    /// The level, if a certain one is asked for.
    pub level: Option<Level>,
    /// The verification method by which the agent has proved its key, with the challenge;
    /// without it the badge is of IAL 0.
    pub proved: Option<Proved>,
}

/// A key that the agent has proved to hold.
#[derive(Clone, Debug)]
pub struct Proved {
    /// The DID URL of its verification method.
    pub method: String,
    /// The key.
    pub key: [u8; 32],
    /// The challenge that it answered.
    pub challenge_id: String,
}

/// A badge.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The JWS.
    pub token: String,
    /// Its id.
    pub jti: String,
    /// The agent's DID.
    pub subject: String,
    /// What it says of the agent.
    pub level: Level,
    /// From when it is valid, in milliseconds since 1970.
    pub issued_at: i64,
    /// Until when.
    pub expires_at: i64,
    /// `cnf.kid`, for IAL 1.
    pub method: Option<String>,
}

/// RFC-002 section 7.2: how long a badge may be valid, and how long one is without a wish.
pub const TTL_SECONDS: std::ops::RangeInclusive<i64> = 60..=3600;
/// See [`TTL_SECONDS`].
pub const DEFAULT_TTL_SECONDS: i64 = 300;

/// As many audiences as anyone has named so far, several times over; it bounds the badge,
/// whose readers take 16 KiB.
pub const MAX_AUDIENCES: usize = 16;

/// RFC-002 section 7.2: badges of one agent within an hour.
const PER_HOUR: i64 = 100;
const HOUR_MS: i64 = 3_600_000;

/// RFC-003 section 8.4: badges of one agent by proof within a minute.
const PROVED_PER_MINUTE: i64 = 10;
const MINUTE_MS: i64 = 60_000;

/// What is known of a badge is kept so long after its end, for those who ask late: its
/// issuing stays in the audit log.
const KEPT_MS: i64 = 7 * 86_400_000;

/// Issues a badge to an agent that is locked: it must be active, may ask for no more than
/// it is registered for, and has a limit per hour.
///
/// # Errors
/// 403 `agent_disabled`, `trust_level_exceeded`, `domain_mismatch`; 409 without a key; 429.
pub async fn issue(tx: &mut Tx, app: &App, agent: &Agent, asked: Asked, actor: &str) -> ApiResult<Issued> {
    if agent.status != Status::Active {
        return Err(refused("agent_disabled", format!("the agent is {}", agent.status.name())));
    }
    let level = asked.level.unwrap_or(agent.level);
    if level > agent.level {
        let message = format!("the agent is registered for level {}", agent.level.text());
        return Err(refused("trust_level_exceeded", message));
    }
    if asked.domain.is_some() && asked.domain != agent.domain {
        return Err(refused("domain_mismatch", "the agent is not registered with this domain"));
    }
    let key = asked.proved.as_ref().map(|proved| proved.key).or_else(|| agent.badge_key());
    let key = key.ok_or_else(|| {
        let message = "the agent has no public key: register one (PATCH /v1/sdk/agents/{id}/identity)";
        ApiError::new(StatusCode::CONFLICT, "public_key_missing", message)
    })?;
    let ial = if asked.proved.is_some() { Ial::ProofOfPossession } else { Ial::AccountAttested };
    check_limits(tx, agent, ial).await?;

    // Badges have whole seconds.
    let issued_at = now_ms().div_euclid(1000).saturating_mul(1000);
    let expires_at = issued_at.saturating_add(asked.ttl.saturating_mul(1000));
    let draft = BadgeDraft {
        id: uuid::Uuid::new_v4().to_string(),
        audience: asked.audience,
        issued_at: UnixTime::from_millis(issued_at),
        expires_at: UnixTime::from_millis(expires_at),
        domain: agent.domain.clone(),
    };
    let signer = keys::signer(tx, &app.vault, Purpose::Badges, keys::SERVICE).await?;
    let by = BadgeIssuer { origin: origin(app).to_owned(), key_id: signer.key_id.clone() };
    let method = asked.proved.as_ref().map(|proved| proved.method.clone());
    let token = draft
        .sign(&signer.key, &by, &agent.did, &key, level, method.as_deref())
        .ok_or_else(|| anyhow!("RFC-002 has no badge for the agent {}", agent.id))?;
    sqlx::query(
        "INSERT INTO badges (jti, subject, trust_level, ial, audience, issued_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(&draft.id)
    .bind(&agent.did)
    .bind(level.text())
    .bind(ial.text())
    .bind(json!(draft.audience).to_string())
    .bind(issued_at)
    .bind(expires_at)
    .execute(&mut **tx)
    .await?;
    sqlx::query("DELETE FROM badges WHERE expires_at < $1")
        .bind(issued_at.saturating_sub(KEPT_MS))
        .execute(&mut **tx)
        .await?;
    let challenge = asked.proved.as_ref().map(|proved| &proved.challenge_id);
    let detail = json!({
        "agent": agent.did, "level": level.text(), "ial": ial.text(), "key_id": signer.key_id,
        "challenge_id": challenge,
    });
    audit::record(tx, actor, "badge.issue", &draft.id, detail).await?;
    Ok(Issued { token, jti: draft.id, subject: agent.did.clone(), level, issued_at, expires_at, method })
}

/// The agent is locked, so that nobody else counts at the same time.
async fn check_limits(tx: &mut Tx, agent: &Agent, ial: Ial) -> ApiResult<()> {
    let mut limits = vec![(Ial::AccountAttested, HOUR_MS, PER_HOUR, "the agent got 100 badges in an hour")];
    if ial == Ial::ProofOfPossession {
        let message = "the agent got 10 badges by proof in a minute";
        limits.push((Ial::ProofOfPossession, MINUTE_MS, PROVED_PER_MINUTE, message));
    }
    for (least, window, limit, message) in limits {
        let now = now_ms();
        let row = sqlx::query(
            "SELECT COUNT(*) AS number, MIN(issued_at) AS oldest FROM badges \
             WHERE subject = $1 AND issued_at > $2 AND ial >= $3",
        )
        .bind(&agent.did)
        .bind(now.saturating_sub(window))
        .bind(least.text())
        .fetch_one(&mut **tx)
        .await?;
        let oldest: Option<i64> = row.try_get("oldest")?;
        if row.try_get::<i64, _>("number")? >= limit {
            let free_at = oldest.unwrap_or(now).saturating_add(window);
            return Err(too_often(message, free_at.saturating_sub(now)));
        }
    }
    Ok(())
}
