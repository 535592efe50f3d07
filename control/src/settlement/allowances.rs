//! What is free, and what pays for a month.
//!
//! An allowance is of an issuer, the passport at the root of the chain, and an action: whoever was
//! delegated something shares it, and nobody can choose to be on another's. What others have
//! given of it is what settlements that count have noted; receipts that nobody has settled have
//! used nothing up. One settlement of a gate runs at a time, so that no two give the same.

use super::sums::Mark;
use crate::db::Tx;
use crate::error::ApiResult;
use portcullis_core::catalog::{PricingModel, Terms};
use portcullis_core::receipt::Receipt;
use portcullis_core::{base64, sha256};
use serde_json::json;
use std::collections::HashMap;

/// What of each allowance is given, by others and by the settlement under way. One entry for each
/// allowance of the period: a hundred bytes.
#[derive(Debug, Default)]
pub(super) struct Allowances(HashMap<String, i64>);

impl Allowances {
    /// What is noted of the next receipt, and of which allowance that is. They come in the order
    /// in which they were made.
    pub(super) async fn mark(
        &mut self,
        tx: &mut Tx,
        settlement_id: &str,
        (receipt, root): (&Receipt, &str),
        terms: &Terms,
    ) -> ApiResult<Option<(Mark, String)>> {
        if !receipt.outcome.is_charged() {
            return Ok(None);
        }
        let free = terms.free_tier_calls.unwrap_or(0).cast_signed();
        if free > 0 {
            let allowance = allowance(receipt, root, None);
            if self.take(tx, settlement_id, &allowance, free).await? {
                return Ok(Some((Mark::Free, allowance)));
            }
        }
        if receipt.charge.rate().price.model == PricingModel::Subscription {
            let month: String = receipt.issued_at.to_iso().chars().take(7).collect();
            let allowance = allowance(receipt, root, Some(&month));
            if self.take(tx, settlement_id, &allowance, 1).await? {
                return Ok(Some((Mark::Subscription, allowance)));
            }
        }
        Ok(None)
    }

    /// Takes one of an allowance of `most`, if there is one left.
    async fn take(
        &mut self,
        tx: &mut Tx,
        settlement_id: &str,
        allowance: &str,
        most: i64,
    ) -> ApiResult<bool> {
        let given = match self.0.get_mut(allowance) {
            Some(given) => given,
            None => {
                let given = given(tx, settlement_id, allowance, most).await?;
                self.0.entry(allowance.to_owned()).or_insert(given)
            }
        };
        let is_left = *given < most;
        if is_left {
            *given = given.saturating_add(1);
        }
        Ok(is_left)
    }
}

/// How much of an allowance other settlements have given that count, up to `most`.
async fn given(tx: &mut Tx, settlement_id: &str, allowance: &str, most: i64) -> ApiResult<i64> {
    let (given,): (i64,) = sqlx::query_as(
        "SELECT COUNT(*) FROM (SELECT 1 FROM settled_receipts JOIN settlements \
         ON settlements.settlement_id = settled_receipts.settlement_id \
         WHERE allowance = $1 AND settled_receipts.settlement_id <> $2 \
         AND status NOT IN ('void', 'failed') LIMIT $3) AS given",
    )
    .bind(allowance)
    .bind(settlement_id)
    .bind(most)
    .fetch_one(&mut **tx)
    .await?;
    Ok(given)
}

/// An allowance, with the month whose price it is.
fn allowance(receipt: &Receipt, root: &str, month: Option<&str>) -> String {
    let of = json!([month, receipt.gate_id, receipt.agent.issuer_id, root, receipt.action]);
    base64::encode_url(&sha256(of.to_string().as_bytes()))
}
