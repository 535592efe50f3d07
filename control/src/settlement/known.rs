//! What the service knows itself of what it settles: passports that agents' words outside gates
//! name, and proofs that have paid already.

use super::Settlement;
use crate::db::Tx;
use crate::error::ApiResult;
use crate::passports;
use crate::receipts::Place;
use portcullis_core::base64;
use portcullis_core::modei::CatalogPin;
use portcullis_core::receipt::Receipt;
use std::collections::{HashMap, HashSet};

/// Passports, each read once for as long as there is room.
#[derive(Debug, Default)]
pub(super) struct Passports(HashMap<String, Option<Known>>);

#[derive(Debug)]
struct Known {
    agent_id: String,
    issuer_id: String,
    public_key: String,
    pin: Option<CatalogPin>,
    root: String,
}

/// Passports that are kept: some ten megabytes.
const MOST: usize = 20_000;

impl Passports {
    /// The passport at the root of the one that a receipt names; or the code of what is wrong:
    /// an agent's word outside a gate says nothing of its passport but the id.
    pub(super) async fn root_of(
        &mut self,
        tx: &mut Tx,
        receipt: &Receipt,
    ) -> ApiResult<Result<String, &'static str>> {
        let id = &receipt.agent.passport_id;
        if !self.0.contains_key(id) {
            if self.0.len() >= MOST {
                self.0.clear();
            }
            // No id that is stored has the character that PostgreSQL's text has none of.
            let found = if id.contains('\0') { None } else { passports::find(tx, id).await? };
            let known = match found {
                None => None,
                Some(found) => Some(Known {
                    root: found.root_id()?,
                    pin: found.pin(),
                    agent_id: found.agent_id,
                    issuer_id: found.issuer_id,
                    public_key: found.public_key,
                }),
            };
            self.0.insert(id.clone(), known);
        }
        let Some(Some(known)) = self.0.get(id) else { return Ok(Err("passport_unknown")) };
        let agent = &receipt.agent;
        let is_it = known.agent_id == agent.agent_id
            && known.issuer_id == agent.issuer_id
            && known.public_key == base64::encode(&agent.public_key)
            && known.pin.as_ref() == Some(&receipt.catalog);
        Ok(if is_it { Ok(known.root.clone()) } else { Err("proof_mismatch") })
    }
}

/// Those of a settlement's receipts between two places whose proof has paid already: for a receipt
/// that was made before, settled or not, or for one that another settlement charges.
pub(super) async fn proofs_used(
    tx: &mut Tx,
    settlement: &Settlement,
    after: &Place,
    last: &Place,
) -> ApiResult<HashSet<String>> {
    let ids: Vec<(String,)> = sqlx::query_as(
        "SELECT receipt_id FROM receipts WHERE gate_id = $1 \
         AND (issued_at, receipt_id) > ($2, $3) AND (issued_at, receipt_id) <= ($4, $5) \
         AND EXISTS (SELECT 1 FROM receipts AS other WHERE other.gate_id = receipts.gate_id \
         AND other.base_sha256 = receipts.base_sha256 AND other.receipt_id <> receipts.receipt_id \
         AND ((other.issued_at, other.receipt_id) < (receipts.issued_at, receipts.receipt_id) \
         OR EXISTS (SELECT 1 FROM settled_receipts JOIN settlements \
         ON settlements.settlement_id = settled_receipts.settlement_id \
         WHERE settled_receipts.gate_id = other.gate_id AND settled_receipts.receipt_id = other.receipt_id \
         AND settled_receipts.settlement_id <> $6 AND status NOT IN ('void', 'failed') \
         AND (mark IS NULL OR mark IN ('free', 'subscription')))))",
    )
    .bind(&settlement.gate_id)
    .bind(after.0)
    .bind(&after.1)
    .bind(last.0)
    .bind(&last.1)
    .bind(&settlement.id)
    .fetch_all(&mut **tx)
    .await?;
    Ok(ids.into_iter().map(|(id,)| id).collect())
}
