//! Holding receipts against each other, and against the gate's log: what no receipt shows by itself.

use super::Settlement;
use crate::db::Tx;
use crate::error::ApiResult;
use crate::receipts::Place;
use sqlx::AssertSqlSafe;
use std::collections::HashMap;

/// What can be wrong, in the order in which it is looked for.
const FAULTS: [&str; 5] =
    ["proof_used", "permit_used", "record_mismatch", "permit_mismatch", "time_implausible"];

/// How far a gate's clock may be ahead of ours, in milliseconds: as far as for all credentials and
/// proofs (a minute).
const SKEW_MS: i64 = portcullis_core::CLOCK_SKEW_MS;

/// What is wrong with those of a settlement's receipts between two places, by their ids:
///
/// - `proof_used`, `permit_used`: the agent's proof, or the permit, has paid already: for a receipt
///   that was made before, settled or not, or for one that another settlement charges;
/// - `record_mismatch`: its record in the gate's log is of another agent, passport or action;
/// - `permit_mismatch`: what it names as its permit did not let this passport do this;
/// - `time_implausible`: it came before it was made.
///
/// Records that are not kept any longer, or are another gate's, cannot be held against.
pub(super) async fn faults(
    tx: &mut Tx,
    settlement: &Settlement,
    after: &Place,
    last: &Place,
) -> ApiResult<HashMap<String, &'static str>> {
    // Names of columns are of this file, and what callers wrote is bound.
    let text = format!(
        "SELECT receipt_id, fault FROM (SELECT receipts.receipt_id AS receipt_id, CASE \
         WHEN {} THEN 'proof_used' WHEN {} THEN 'permit_used' \
         WHEN record.decision <> 'consumption' OR {} THEN 'record_mismatch' \
         WHEN permit.decision <> 'allow' OR {} THEN 'permit_mismatch' \
         WHEN receipts.issued_at > receipts.received_at + {SKEW_MS} THEN 'time_implausible' \
         END AS fault FROM receipts \
         LEFT JOIN records AS record ON record.gate_id = receipts.gate_id AND record.log_index = receipts.log_index \
         LEFT JOIN records AS permit ON permit.gate_id = receipts.gate_id AND permit.attestation_id = receipts.permit \
         WHERE receipts.gate_id = $3 AND (receipts.issued_at, receipts.receipt_id) > ($4, $5) \
         AND (receipts.issued_at, receipts.receipt_id) <= ($6, $7)) AS judged WHERE fault IS NOT NULL",
        paid("base_sha256", 1),
        paid("permit", 2),
        differs("record"),
        differs("permit"),
    );
    let rows: Vec<(String, String)> = sqlx::query_as(AssertSqlSafe(text))
        .bind(&settlement.id)
        .bind(&settlement.id)
        .bind(&settlement.gate_id)
        .bind(after.0)
        .bind(&after.1)
        .bind(last.0)
        .bind(&last.1)
        .fetch_all(&mut **tx)
        .await?;
    let known = |fault: String| FAULTS.iter().find(|known| **known == fault).copied();
    Ok(rows.into_iter().filter_map(|(id, fault)| Some((id, known(fault)?))).collect())
}

/// Whether what the column has has paid for another receipt; the settlement is bound at this place.
fn paid(column: &str, bound: usize) -> String {
    format!(
        "EXISTS (SELECT 1 FROM receipts AS other WHERE other.gate_id = receipts.gate_id \
         AND other.{column} = receipts.{column} AND other.receipt_id <> receipts.receipt_id \
         AND ((other.issued_at, other.receipt_id) < (receipts.issued_at, receipts.receipt_id) \
         OR EXISTS (SELECT 1 FROM settled_receipts JOIN settlements \
         ON settlements.settlement_id = settled_receipts.settlement_id \
         WHERE settled_receipts.gate_id = other.gate_id AND settled_receipts.issued_at = other.issued_at \
         AND settled_receipts.receipt_id = other.receipt_id \
         AND settled_receipts.settlement_id <> ${bound} AND status NOT IN ('void', 'failed') \
         AND (mark IS NULL OR mark IN ('free', 'subscription')))))"
    )
}

/// Whether a record that is there is about something else than the receipt. Records cut what is
/// longer than 256 bytes as it is written, of which a character can take six.
fn differs(record: &str) -> String {
    let of = |column: &str| {
        format!(
            "(record_.{column} IS NULL OR (record_.{column} <> receipts.{column} AND (length(record_.{column}) < 40 \
             OR substr(receipts.{column}, 1, length(record_.{column})) <> record_.{column})))"
        )
        .replace("record_", record)
    };
    let each = ["agent_id", "issuer_id", "passport_id", "action"].map(of).join(" OR ");
    format!("({record}.attestation_id IS NOT NULL AND ({each}))")
}
