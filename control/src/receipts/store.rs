//! A receipt's row: its text, and what it is found and added up by.

use crate::db::{Tx, is_conflict};
use crate::error::{ApiError, ApiResult};
use crate::time::now_ms;
use axum::http::StatusCode;
use portcullis_core::base64;
use portcullis_core::live::hex;
use portcullis_core::receipt::SignedReceipt;

/// What a row says of its receipt. It must be what the text says: a settlement compares.
#[derive(Debug)]
pub struct Columns {
    receipt_id: String,
    gate_id: String,
    agent_id: String,
    issuer_id: String,
    passport_id: String,
    base_sha256: String,
    permit: Option<String>,
    action: String,
    catalog_version: i64,
    outcome: String,
    model: String,
    quantity: i64,
    unit_cents: i64,
    fee_basis_points: i64,
    total_cents: i64,
    fee_cents: i64,
    issued_at: i64,
    key_id: String,
}

impl Columns {
    /// What the row of this receipt says.
    pub fn of(signed: &SignedReceipt) -> Self {
        let receipt = &signed.receipt;
        let charge = &receipt.charge;
        Columns {
            receipt_id: receipt.receipt_id(),
            gate_id: column(&receipt.gate_id),
            agent_id: column(&receipt.agent.agent_id),
            issuer_id: column(&receipt.agent.issuer_id),
            passport_id: column(&receipt.agent.passport_id),
            base_sha256: hex(&receipt.proof.base_sha256),
            permit: receipt.attestation_id.as_deref().map(column),
            action: column(&receipt.action),
            catalog_version: receipt.catalog.version,
            outcome: receipt.outcome.name().to_owned(),
            model: charge.rate().price.model.name().to_owned(),
            quantity: charge.quantity().cast_signed(),
            unit_cents: charge.rate().price.cents.cast_signed(),
            fee_basis_points: charge.rate().fee_basis_points.cast_signed(),
            total_cents: charge.total_cents().cast_signed(),
            fee_cents: charge.fee_cents().cast_signed(),
            issued_at: receipt.issued_at.as_millis(),
            key_id: base64::encode_url(signed.key_id()),
        }
    }

    /// All of them, as `WHOLE` has them.
    pub fn whole(&self) -> String {
        let Columns {
            receipt_id,
            gate_id,
            agent_id,
            issuer_id,
            passport_id,
            base_sha256,
            permit,
            action,
            catalog_version,
            outcome,
            model,
            quantity,
            unit_cents,
            fee_basis_points,
            total_cents,
            fee_cents,
            issued_at,
            key_id,
        } = self;
        let [gate, agent, issuer, passport, acted] =
            [gate_id, agent_id, issuer_id, passport_id, action].map(|text| text.chars().count());
        let (permitted, permit) = match permit {
            Some(permit) => (permit.chars().count().to_string(), permit.as_str()),
            None => ("-1".to_owned(), ""),
        };
        format!(
            "{receipt_id} {base_sha256} {catalog_version} {outcome} {model} {quantity} {unit_cents} \
             {fee_basis_points} {total_cents} {fee_cents} {issued_at} {key_id} {gate} {agent} {issuer} {passport} \
             {acted} {permitted} {gate_id}{agent_id}{issuer_id}{passport_id}{action}{permit}"
        )
    }
}

/// What the columns of a row say, in one text, since each column of a million rows takes its time: first
/// what has no spaces, then the lengths of what may have some, and these. What SQLite holds as a blob
/// would be equal to no text where receipts are held against others, and is nothing here.
pub(super) const WHOLE: &str = "receipts.receipt_id || ' ' || \
     COALESCE(CASE WHEN base_sha256 = CAST(base_sha256 AS TEXT) THEN base_sha256 END, '') || ' ' || \
     catalog_version || ' ' || outcome || ' ' || model || ' ' || quantity || ' ' || unit_cents || ' ' || \
     fee_basis_points || ' ' || total_cents || ' ' || fee_cents || ' ' || receipts.issued_at || ' ' || \
     receipts.key_id || ' ' || LENGTH(receipts.gate_id) || ' ' || LENGTH(receipts.agent_id) || ' ' || \
     LENGTH(receipts.issuer_id) || ' ' || LENGTH(receipts.passport_id) || ' ' || LENGTH(receipts.action) || ' ' || \
     COALESCE(LENGTH(permit), -1) || ' ' || receipts.gate_id || receipts.agent_id || receipts.issuer_id || \
     receipts.passport_id || receipts.action || \
     COALESCE(CASE WHEN permit = CAST(permit AS TEXT) THEN permit END, '') AS whole";

/// PostgreSQL's text has no U+0000. A receipt's own text writes it as an escape; a base that has
/// one is no text that any proxy lets through, and is found to be another than the one signed.
pub(crate) fn column(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Stores a receipt whose record stands at this place of its gate's log.
///
/// # Errors
/// 409 where there is one of its id; no database.
pub async fn insert(tx: &mut Tx, signed: &SignedReceipt, base: &str, log_index: u64) -> ApiResult<()> {
    let columns = Columns::of(signed);
    sqlx::query(
        "INSERT INTO receipts (receipt_id, gate_id, agent_id, issuer_id, passport_id, action, \
         catalog_version, outcome, model, quantity, unit_cents, fee_basis_points, total_cents, fee_cents, \
         issued_at, key_id, received_at, text, base, log_index, base_sha256, permit) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)",
    )
    .bind(columns.receipt_id)
    .bind(columns.gate_id)
    .bind(columns.agent_id)
    .bind(columns.issuer_id)
    .bind(columns.passport_id)
    .bind(columns.action)
    .bind(columns.catalog_version)
    .bind(columns.outcome)
    .bind(columns.model)
    .bind(columns.quantity)
    .bind(columns.unit_cents)
    .bind(columns.fee_basis_points)
    .bind(columns.total_cents)
    .bind(columns.fee_cents)
    .bind(columns.issued_at)
    .bind(columns.key_id)
    .bind(now_ms())
    .bind(signed.text())
    .bind(column(base))
    .bind(log_index.cast_signed())
    .bind(columns.base_sha256)
    .bind(columns.permit)
    .execute(&mut **tx)
    .await
    .map_err(|error| {
        if is_conflict(&error) {
            let message = format!("there is another receipt of the id {}", signed.receipt.receipt_id());
            ApiError::new(StatusCode::CONFLICT, "receipt_conflict", message)
        } else {
            error.into()
        }
    })?;
    Ok(())
}
