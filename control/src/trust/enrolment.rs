//! Gates and their keys: a one-time token lets a gate bring its first, and each key lets
//! it bring the next.

use crate::auth;
use crate::db::{Tx, is_conflict};
use crate::error::{ApiError, ApiResult};
use crate::keys::thumbprint;
use crate::time::now_ms;
use anyhow::anyhow;
use axum::http::StatusCode;
use portcullis_core::{PublicKey, base64};
use sqlx::Row;

/// How long a gate's former key may still call after it brought a new one: time to change
/// the environment of every instance of the gate.
pub const KEY_OVERLAP_MS: i64 = 24 * 3600 * 1000;

/// Keys of one gate that may call at a time: two while they change, and one to spare.
const MOST_KEYS: i64 = 3;

/// Makes a token that enrols one gate once. It is kept as its hash only.
///
/// # Errors
/// No randomness, or no database.
pub async fn make_token(tx: &mut Tx, gate: &str, expires_at: i64) -> ApiResult<String> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| anyhow!("no randomness: {error}"))?;
    let token = format!("enrol_{}", base64::encode_url(&random));
    sqlx::query(
        "INSERT INTO enrolment_tokens (hash, gate_id, created_at, expires_at) VALUES ($1, $2, $3, $4)",
    )
    .bind(auth::hash(&token))
    .bind(gate)
    .bind(now_ms())
    .bind(expires_at)
    .execute(&mut **tx)
    .await?;
    Ok(token)
}

/// Spends a token. Answers the gate that it enrols.
///
/// # Errors
/// 401 for one that is unknown, was used before, or came too late.
pub async fn spend_token(tx: &mut Tx, token: &str) -> ApiResult<String> {
    let now = now_ms();
    let row = sqlx::query(
        "UPDATE enrolment_tokens SET used_at = $1 \
         WHERE hash = $2 AND used_at IS NULL AND expires_at > $3 RETURNING gate_id",
    )
    .bind(now)
    .bind(auth::hash(token))
    .bind(now)
    .fetch_optional(&mut **tx)
    .await?
    .ok_or_else(|| ApiError::unauthorized("the enrolment token is unknown, used, or too old"))?;
    Ok(row.try_get("gate_id")?)
}

/// Adds a key to a gate, with the key that signs its records. Answers the first one's id.
///
/// # Errors
/// 409 where the gate has too many keys, or a gate has this one; 422 where both are one.
pub async fn add_key(tx: &mut Tx, gate: &str, key: &PublicKey, records: &PublicKey) -> ApiResult<String> {
    if key.as_bytes() == records.as_bytes() {
        return Err(ApiError::invalid("attestation_key", "must be another key than public_key"));
    }
    let key_id = thumbprint(key.as_bytes());
    let (others,): (i64,) = sqlx::query_as(
        "SELECT COUNT(*) FROM gate_keys WHERE gate_id = $1 AND (not_after IS NULL OR not_after > $2)",
    )
    .bind(gate)
    .bind(now_ms())
    .fetch_one(&mut **tx)
    .await?;
    if others >= MOST_KEYS {
        return Err(ApiError::conflict("the gate has three keys: end one before it brings another"));
    }
    let known: Option<(String,)> = sqlx::query_as("SELECT gate_id FROM gate_keys WHERE key_id = $1")
        .bind(&key_id)
        .fetch_optional(&mut **tx)
        .await?;
    if known.is_some() {
        return Err(ApiError::conflict("a gate has or had this key: make a new one"));
    }
    sqlx::query("INSERT INTO gate_keys (gate_id, key_id, public_key, created_at) VALUES ($1, $2, $3, $4)")
        .bind(gate)
        .bind(&key_id)
        .bind(base64::encode(key.as_bytes()))
        .bind(now_ms())
        .execute(&mut **tx)
        .await?;
    let added = sqlx::query(
        "INSERT INTO attestation_keys (gate_id, key_id, gate_key_id, public_key, created_at) \
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(gate)
    .bind(thumbprint(records.as_bytes()))
    .bind(&key_id)
    .bind(base64::encode(records.as_bytes()))
    .bind(now_ms())
    .execute(&mut **tx)
    .await;
    match added {
        Ok(_) => Ok(key_id),
        Err(error) if is_conflict(&error) => {
            Err(ApiError::conflict("the gate has or had this attestation_key: make a new one"))
        }
        Err(error) => Err(error.into()),
    }
}

/// That a key of a gate has not ended, and that nobody ends it until `tx` does: a call may be let in for
/// some seconds more, and must not leave a key behind that goes on.
///
/// # Errors
/// 401.
pub async fn must_last(tx: &mut Tx, gate: &str, key_id: &str) -> ApiResult<()> {
    let lasts: Option<(String,)> = sqlx::query_as(
        "UPDATE gate_keys SET key_id = key_id WHERE gate_id = $1 AND key_id = $2 \
         AND (not_after IS NULL OR not_after > $3) RETURNING key_id",
    )
    .bind(gate)
    .bind(key_id)
    .bind(now_ms())
    .fetch_optional(&mut **tx)
    .await?;
    lasts.map(drop).ok_or_else(|| ApiError::unauthorized("the gate's key has ended"))
}

/// Ends a key of a gate at `at`, in milliseconds since 1970.
///
/// # Errors
/// 404 where the gate has no such key that lasts longer.
pub async fn end_key(tx: &mut Tx, gate: &str, key_id: &str, at: i64) -> ApiResult<()> {
    let ended = sqlx::query(
        "UPDATE gate_keys SET not_after = $1 \
         WHERE gate_id = $2 AND key_id = $3 AND (not_after IS NULL OR not_after > $4)",
    )
    .bind(at)
    .bind(gate)
    .bind(key_id)
    .bind(at)
    .execute(&mut **tx)
    .await?;
    if ended.rows_affected() == 0 {
        return Err(ApiError::not_found("lasting key of the gate", key_id));
    }
    Ok(())
}

/// Reads a gate's public key from the member `field`: standard base64 of 32 bytes, and a
/// point that may sign.
///
/// # Errors
/// 422.
pub fn read_key(field: &str, text: &str) -> ApiResult<PublicKey> {
    base64::decode_array(text)
        .and_then(|bytes| PublicKey::from_bytes(&bytes))
        .ok_or_else(|| ApiError::invalid(field, "must be standard base64 of an Ed25519 key's 32 bytes"))
}

/// That a gate is there.
///
/// # Errors
/// 404.
pub async fn must_exist(tx: &mut Tx, gate: &str) -> ApiResult<()> {
    let known: Option<(String,)> =
        sqlx::query_as("SELECT gate_id FROM gates WHERE gate_id = $1 AND deleted_at IS NULL")
            .bind(gate)
            .fetch_optional(&mut **tx)
            .await?;
    known.map(|_| ()).ok_or_else(|| {
        ApiError::new(StatusCode::NOT_FOUND, "not_found", format!("there is no gate {gate:.200}"))
    })
}
