//! Holding receipts against each other, and against the gate's log: what no receipt shows by itself.

use super::Settlement;
use crate::App;
use crate::db::Tx;
use crate::error::ApiResult;
use crate::receipts::{Place, column};
use portcullis_core::live::hex;
use portcullis_core::receipt::Receipt;
use sqlx::AssertSqlSafe;
use std::collections::{HashMap, HashSet};

/// What [`fault`] finds, in the order in which it is looked for.
const FAULTS: [&str; 3] = ["record_mismatch", "permit_mismatch", "time_implausible"];

/// How far a gate's clock may be ahead of ours, in milliseconds: as far as for all credentials and
/// proofs (a minute).
const SKEW_MS: i64 = portcullis_core::CLOCK_SKEW_MS;

/// What is wrong with a receipt, as an expression over [`JOINS`]:
///
/// - `record_mismatch`: its record in the gate's log is of another agent, passport or action;
/// - `permit_mismatch`: what it names as its permit did not let this passport do this;
/// - `time_implausible`: it came before it was made.
///
/// Records that are not kept any longer, or are another gate's, cannot be held against.
pub(super) fn fault() -> String {
    format!(
        "CASE WHEN record.decision <> 'consumption' OR {} THEN 'record_mismatch' \
         WHEN permit.decision <> 'allow' OR {} THEN 'permit_mismatch' \
         WHEN receipts.issued_at > receipts.received_at + {SKEW_MS} THEN 'time_implausible' END",
        differs("record"),
        differs("permit"),
    )
}

/// A receipt's record, and that of its permit.
pub(super) const JOINS: &str = "LEFT JOIN records AS record \
     ON record.gate_id = receipts.gate_id AND record.log_index = receipts.log_index \
     LEFT JOIN records AS permit \
     ON permit.gate_id = receipts.gate_id AND permit.attestation_id = receipts.permit";

/// The fault of this name.
pub(super) fn named(fault: &str) -> Option<&'static str> {
    FAULTS.into_iter().find(|known| *known == fault)
}

/// Proofs and permits that several receipts of a gate have: each pays for one.
#[derive(Debug)]
pub(super) struct Shared(Option<HashSet<String>>);

impl Shared {
    /// Those of each kind that are kept, by their beginnings: a few megabytes. Of more it is not known which.
    const MOST: i64 = 10_000;

    /// Characters that are kept: a whole proof's.
    const BEGINNING: usize = 64;

    /// All of a gate's are gone through in their order, which takes a fortieth of the time of looking one
    /// up, where a settlement is of no smaller part of its log.
    const PART: i64 = 40;

    /// Finds them, once all receipts of the settlement are claimed: one that comes later is of
    /// another settlement, which finds what this one has charged.
    pub(super) async fn find(app: &App, settlement: &Settlement, claimed: i64) -> Result<Self, sqlx::Error> {
        let gate = settlement.gate_id.as_str();
        let (size,): (i64,) =
            sqlx::query_as("SELECT COALESCE(MAX(size), 0) FROM record_logs WHERE gate_id = $1")
                .bind(gate)
                .fetch_one(app.db.pool())
                .await?;
        if size > claimed.saturating_mul(Self::PART) {
            return Ok(Shared(None));
        }
        // On a connection each: both take seconds of a million.
        let (proofs, permits) =
            tokio::try_join!(Self::of(app, gate, "base_sha256"), Self::of(app, gate, "permit"))?;
        Ok(Shared(proofs.zip(permits).map(|(proofs, permits)| proofs.into_iter().chain(permits).collect())))
    }

    /// What several receipts of the gate have in the column, unless it is too much.
    async fn of(app: &App, gate: &str, column: &str) -> Result<Option<Vec<String>>, sqlx::Error> {
        let text = format!(
            "SELECT SUBSTR({column}, 1, {}) FROM receipts \
             WHERE gate_id = $1 AND {column} = CAST({column} AS TEXT) \
             GROUP BY {column} HAVING COUNT(*) > 1 LIMIT {}",
            Self::BEGINNING,
            Self::MOST
        );
        let rows: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(text)).bind(gate).fetch_all(app.db.pool()).await?;
        let is_all = i64::try_from(rows.len()).is_ok_and(|count| count < Self::MOST);
        Ok(is_all.then_some(rows))
    }

    /// Whether another receipt may have the proof of this one, or its permit.
    pub(super) fn may_have(&self, receipt: &Receipt) -> bool {
        self.0.as_ref().is_none_or(|shared| {
            let beginning = |permit| column(permit).chars().take(Self::BEGINNING).collect::<String>();
            !shared.is_empty()
                && (shared.contains(&hex(&receipt.proof.base_sha256))
                    || receipt
                        .attestation_id
                        .as_deref()
                        .is_some_and(|permit| shared.contains(&beginning(permit))))
        })
    }
}

/// Of a gate's receipts between two places, both included, those for which nothing is owed, by their ids:
/// `proof_used`, or `permit_used`, where the agent's proof, or the permit, has paid already, for a receipt
/// that was made before, settled or not, or for one that another settlement charges.
pub(super) async fn paid_already(
    tx: &mut Tx,
    settlement: &Settlement,
    (first, last): (&Place, &Place),
) -> ApiResult<HashMap<String, &'static str>> {
    // Names of columns are of this file, and what callers wrote is bound.
    let text = format!(
        "SELECT receipt_id, is_proof FROM (SELECT receipts.receipt_id AS receipt_id, CASE \
         WHEN {} THEN 1 WHEN {} THEN 0 END AS is_proof FROM receipts \
         WHERE receipts.gate_id = $3 AND (receipts.issued_at, receipts.receipt_id) >= ($4, $5) \
         AND (receipts.issued_at, receipts.receipt_id) <= ($6, $7)) AS judged WHERE is_proof IS NOT NULL",
        paid("base_sha256", 1),
        paid("permit", 2),
    );
    let rows: Vec<(String, i64)> = sqlx::query_as(AssertSqlSafe(text))
        .bind(&settlement.id)
        .bind(&settlement.id)
        .bind(&settlement.gate_id)
        .bind(first.0)
        .bind(&first.1)
        .bind(last.0)
        .bind(&last.1)
        .fetch_all(&mut **tx)
        .await?;
    Ok(rows
        .into_iter()
        .map(|(id, proof)| (id, if proof == 1 { "proof_used" } else { "permit_used" }))
        .collect())
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
