//! The keys by which records and checkpoints are verified, ended ones too: what they signed
//! in their time is judged by that time.

use crate::db::Tx;
use crate::error::ApiResult;
use crate::keys::{Purpose, SERVICE};
use crate::time::iso;
use portcullis_core::KeyConfig;
use sqlx::Row;
use sqlx::any::AnyRow;

/// Keys that sign, or signed, records of a gate: its own, then the service's for it.
///
/// # Errors
/// No database.
pub async fn of_records(tx: &mut Tx, gate: &str) -> ApiResult<Vec<KeyConfig>> {
    let mut keys = of_gate(tx, gate).await?;
    keys.extend(of_service(tx, gate).await?);
    Ok(keys)
}

/// Keys of the gate itself that sign, or signed, its records.
///
/// # Errors
/// No database.
pub async fn of_gate(tx: &mut Tx, gate: &str) -> ApiResult<Vec<KeyConfig>> {
    let rows = sqlx::query(
        "SELECT attestation_keys.key_id, attestation_keys.public_key, not_after FROM attestation_keys \
         JOIN gate_keys ON gate_keys.gate_id = attestation_keys.gate_id AND gate_keys.key_id = gate_key_id \
         WHERE attestation_keys.gate_id = $1 ORDER BY attestation_keys.created_at, attestation_keys.key_id",
    )
    .bind(gate)
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.iter().map(key).collect::<Result<_, _>>()?)
}

/// Keys of the service that sign, or signed, records of a gate, and its settlements.
///
/// # Errors
/// No database.
pub async fn of_service(tx: &mut Tx, gate: &str) -> ApiResult<Vec<KeyConfig>> {
    signing(tx, Purpose::Attestations, gate).await
}

/// Keys that sign, or signed, checkpoints.
///
/// # Errors
/// No database.
pub async fn of_checkpoints(tx: &mut Tx) -> ApiResult<Vec<KeyConfig>> {
    signing(tx, Purpose::Trust, SERVICE).await
}

async fn signing(tx: &mut Tx, purpose: Purpose, owner: &str) -> ApiResult<Vec<KeyConfig>> {
    let rows = sqlx::query(
        "SELECT key_id, public_key, not_after FROM signing_keys \
         WHERE purpose = $1 AND owner = $2 ORDER BY created_at, key_id",
    )
    .bind(purpose.name())
    .bind(owner)
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.iter().map(key).collect::<Result<_, _>>()?)
}

fn key(row: &AnyRow) -> Result<KeyConfig, sqlx::Error> {
    Ok(KeyConfig {
        key_id: row.try_get("key_id")?,
        public_key: row.try_get("public_key")?,
        not_before: None,
        not_after: row.try_get::<Option<i64>, _>("not_after")?.map(iso),
    })
}
