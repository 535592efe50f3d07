//! Challenges, which agents answer to prove their keys (RFC-003 sections 5.1 and 8).

use super::agents::{Agent, Status};
use super::{origin, refused, too_often};
use crate::App;
use crate::audit;
use crate::db::Tx;
use crate::error::ApiResult;
use crate::time::now_ms;
use anyhow::anyhow;
use portcullis_core::base64;
use serde_json::json;
use sqlx::{Any, Executor, Row};

/// A challenge, with everything about the badge to come that its answer cannot change.
#[derive(Clone, Debug)]
pub struct Challenge {
    /// `ch-` and a UUID.
    pub id: String,
    /// The DID of the agent that it is for.
    pub did: String,
    /// base64url of 32 random bytes.
    pub nonce: String,
    /// The proof's `aud`: the registry's origin.
    pub proof_aud: String,
    /// The proof's `htu`, compared byte by byte.
    pub htu: String,
    /// Of the badge, in seconds.
    pub badge_ttl: i64,
    /// Of the badge.
    pub badge_aud: Vec<String>,
    /// When it was made, in milliseconds since 1970.
    pub created_at: i64,
    /// Until when it can be answered.
    pub expires_at: i64,
    /// When it was answered.
    pub used_at: Option<i64>,
}

/// Who asks for a challenge, and for what.
#[derive(Clone, Debug)]
pub struct Asked {
    /// An API key's id, or the DID of an agent that has shown a badge.
    pub account: String,
    /// The address that the request came from.
    pub address: String,
    /// How long it can be answered, in seconds: [`TTL_SECONDS`].
    pub ttl: i64,
    /// Of the badge, in seconds.
    pub badge_ttl: i64,
    /// Of the badge.
    pub badge_aud: Vec<String>,
}

/// RFC-003 section 8.2: how long a challenge may be open, and how long one is without a wish.
pub const TTL_SECONDS: std::ops::RangeInclusive<i64> = 1..=600;
/// See [`TTL_SECONDS`].
pub const DEFAULT_TTL_SECONDS: i64 = 300;

/// RFC-003 section 8.4, within a minute.
const PER_DID: i64 = 10;
const PER_ACCOUNT: i64 = 100;
const PER_ADDRESS: i64 = 50;
const MINUTE_MS: i64 = 60_000;

/// RFC-003 section 8.4: failed proofs, after which the agent has to wait.
const MAX_FAILURES: i64 = 5;
const COOLDOWN_MS: i64 = 900_000;

/// RFC-003 section 8.2: when challenges are forgotten.
const KEPT_MS: i64 = 86_400_000;

/// Makes a challenge for an agent that is locked.
///
/// # Errors
/// 403 for an agent that is not active, 429.
pub async fn create(tx: &mut Tx, app: &App, agent: &Agent, asked: Asked) -> ApiResult<Challenge> {
    if agent.status != Status::Active {
        return Err(refused("agent_disabled", format!("the agent is {}", agent.status.name())));
    }
    check_cooldown(&mut **tx, &agent.did).await?;
    let now = now_ms();
    let since = now.saturating_sub(MINUTE_MS);
    // The agent's lock makes the first limit exact. Of the others, requests that are under
    // way at once, at most as many as there are connections, do not see each other.
    let counts = [
        ("SELECT COUNT(*) FROM badge_challenges WHERE did = $1 AND created_at > $2", &agent.did, PER_DID),
        (
            "SELECT COUNT(*) FROM badge_challenges WHERE account = $1 AND created_at > $2",
            &asked.account,
            PER_ACCOUNT,
        ),
        (
            "SELECT COUNT(*) FROM badge_challenges WHERE client_ip = $1 AND created_at > $2",
            &asked.address,
            PER_ADDRESS,
        ),
    ];
    for (query, of, limit) in counts {
        let (count,): (i64,) = sqlx::query_as(query).bind(of).bind(since).fetch_one(&mut **tx).await?;
        if count >= limit {
            return Err(too_often("too many challenges", MINUTE_MS));
        }
    }
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| anyhow!("no randomness: {error}"))?;
    let challenge = Challenge {
        id: format!("ch-{}", uuid::Uuid::new_v4()),
        did: agent.did.clone(),
        nonce: base64::encode_url(&random),
        proof_aud: origin(app).to_owned(),
        htu: format!("{}/v1/agents/{}/badge", origin(app), encoded(&agent.did)),
        badge_ttl: asked.badge_ttl,
        badge_aud: asked.badge_aud,
        created_at: now,
        expires_at: now.saturating_add(asked.ttl.saturating_mul(1000)),
        used_at: None,
    };
    sqlx::query(
        "INSERT INTO badge_challenges (challenge_id, did, nonce, proof_aud, htu, badge_ttl, badge_aud, \
         account, client_ip, failures, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10, $11)",
    )
    .bind(&challenge.id)
    .bind(&challenge.did)
    .bind(&challenge.nonce)
    .bind(&challenge.proof_aud)
    .bind(&challenge.htu)
    .bind(challenge.badge_ttl)
    .bind(json!(challenge.badge_aud).to_string())
    .bind(&asked.account)
    .bind(&asked.address)
    .bind(challenge.created_at)
    .bind(challenge.expires_at)
    .execute(&mut **tx)
    .await?;
    sqlx::query("DELETE FROM badge_challenges WHERE created_at < $1")
        .bind(now.saturating_sub(KEPT_MS))
        .execute(&mut **tx)
        .await?;
    let detail = json!({"agent": agent.did, "address": asked.address});
    audit::record(tx, &asked.account, "badge.challenge", &challenge.id, detail).await?;
    Ok(challenge)
}

/// The challenge of this id.
///
/// # Errors
/// No database.
pub async fn find(app: &App, id: &str) -> ApiResult<Option<Challenge>> {
    let row = sqlx::query(
        "SELECT challenge_id, did, nonce, proof_aud, htu, badge_ttl, badge_aud, created_at, expires_at, \
         used_at FROM badge_challenges WHERE challenge_id = $1",
    )
    .bind(id)
    .fetch_optional(app.db.pool())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let badge_aud: String = row.try_get("badge_aud")?;
    Ok(Some(Challenge {
        id: row.try_get("challenge_id")?,
        did: row.try_get("did")?,
        nonce: row.try_get("nonce")?,
        proof_aud: row.try_get("proof_aud")?,
        htu: row.try_get("htu")?,
        badge_ttl: row.try_get("badge_ttl")?,
        badge_aud: serde_json::from_str(&badge_aud)
            .map_err(|error| anyhow!("a challenge's audience is unreadable: {error}"))?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        used_at: row.try_get("used_at")?,
    }))
}

/// Uses a challenge up. Of any number who try, one succeeds.
///
/// # Errors
/// No database.
pub async fn spend(tx: &mut Tx, id: &str) -> ApiResult<bool> {
    let spent: Option<(String,)> = sqlx::query_as(
        "UPDATE badge_challenges SET used_at = $1 WHERE challenge_id = $2 AND used_at IS NULL \
         RETURNING challenge_id",
    )
    .bind(now_ms())
    .bind(id)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(spent.is_some())
}

/// Notes which badge a challenge led to.
///
/// # Errors
/// No database.
pub async fn note_badge(tx: &mut Tx, id: &str, jti: &str) -> ApiResult<()> {
    sqlx::query("UPDATE badge_challenges SET issued_badge_jti = $1 WHERE challenge_id = $2")
        .bind(jti)
        .bind(id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Counts an answer that was wrong.
///
/// # Errors
/// No database.
pub async fn note_failure(app: &App, id: &str) -> ApiResult<()> {
    sqlx::query("UPDATE badge_challenges SET failures = failures + 1 WHERE challenge_id = $1")
        .bind(id)
        .execute(app.db.pool())
        .await?;
    Ok(())
}

/// Whether an agent may try again.
///
/// # Errors
/// 429 after five failed proofs.
pub async fn check_cooldown<'e>(db: impl Executor<'e, Database = Any>, did: &str) -> ApiResult<()> {
    let (failures,): (i64,) = sqlx::query_as(
        "SELECT CAST(COALESCE(SUM(failures), 0) AS BIGINT) FROM badge_challenges \
         WHERE did = $1 AND created_at > $2",
    )
    .bind(did)
    .bind(now_ms().saturating_sub(COOLDOWN_MS))
    .fetch_one(db)
    .await?;
    if failures >= MAX_FAILURES {
        return Err(too_often("five proofs of the agent have failed", COOLDOWN_MS));
    }
    Ok(())
}

/// A DID as a segment of a path, by RFC 3986: what is not unreserved is encoded.
fn encoded(did: &str) -> String {
    let mut text = String::new();
    for byte in did.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte))
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}
