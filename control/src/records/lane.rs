//! Lanes: chains of records within a gate's log.

use super::store::Locked;
use crate::db::Tx;
use crate::error::ApiResult;
use crate::time::now_ms;
use anyhow::Context;
use portcullis_core::attestation::Hash;
use portcullis_core::live::hex;
use sqlx::Row;

/// A lane, as it is stored.
#[derive(Debug)]
pub(super) struct Lane {
    /// The chain hash of its last record, or what its first is to follow on.
    pub(super) last_hash: Hash,
    /// The number of its next record.
    pub(super) next: u64,
    /// Decisions that its gate said it could not record.
    pub(super) dropped: u64,
}

/// The lane of this id, in base64url.
pub(super) async fn find(tx: &mut Tx, gate: &str, lane: &str) -> ApiResult<Option<Lane>> {
    let row = sqlx::query(
        "SELECT last_hash, next_number, dropped FROM record_lanes WHERE gate_id = $1 AND lane = $2",
    )
    .bind(gate)
    .bind(lane)
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Lane {
        last_hash: hash(row.try_get("last_hash")?)?,
        next: row.try_get::<i64, _>("next_number")?.cast_unsigned(),
        dropped: row.try_get::<i64, _>("dropped")?.cast_unsigned(),
    }))
}

/// What the first record of a lane follows on.
pub(super) async fn previous(tx: &mut Tx, gate: &str, lane: &str) -> ApiResult<Option<Hash>> {
    let row: Option<(String,)> =
        sqlx::query_as("SELECT previous FROM record_lanes WHERE gate_id = $1 AND lane = $2")
            .bind(gate)
            .bind(lane)
            .fetch_optional(&mut **tx)
            .await?;
    row.map(|(previous,)| hash(&previous)).transpose()
}

/// Makes a lane that goes on where a log, which is locked, has come to.
pub(super) async fn make(
    tx: &mut Tx,
    gate: &str,
    lane: &str,
    key_id: &str,
    locked: &Locked,
) -> ApiResult<Lane> {
    sqlx::query(
        "INSERT INTO record_lanes (gate_id, lane, key_id, opened_at, previous, next_number, last_hash, dropped) \
         VALUES ($1, $2, $3, $4, $5, 1, $6, 0)",
    )
    .bind(gate)
    .bind(lane)
    .bind(key_id)
    .bind(now_ms())
    .bind(&locked.last_hash)
    .bind(&locked.last_hash)
    .execute(&mut **tx)
    .await?;
    Ok(Lane { last_hash: hash(&locked.last_hash)?, next: 1, dropped: 0 })
}

/// A record's hash, from hexadecimal.
fn hash(text: &str) -> ApiResult<Hash> {
    let mut bytes = [0; 32];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digits = str::from_utf8(digits).ok();
        *byte = digits.and_then(|two| u8::from_str_radix(two, 16).ok()).unwrap_or_default();
    }
    Ok(Some(bytes).filter(|bytes| hex(bytes) == text).context("a stored hash is damaged")?)
}
