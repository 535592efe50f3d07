//! What a settlement has come to, as it is signed.

use super::Settlement;
use super::sums::{Mark, Sums};
use crate::App;
use crate::db::Tx;
use crate::error::ApiResult;
use crate::records;
use crate::time::{iso, now_ms};
use anyhow::{Context, anyhow};
use portcullis_core::json::{self, Limits, Object, Value, canonical_text};
use portcullis_core::live::hex;
use portcullis_core::{base64, sha256};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What is signed. Its canonical JSON (RFC 8785) is hashed and signed without `content_hash` and
/// `signature`, which stand beside it in the summary's text.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Summary {
    /// Always `settlement`.
    pub typ: String,
    /// Always `1.0`.
    pub version: String,
    /// `stl_…`
    pub id: String,
    /// `run_…`
    pub settlement_run_id: String,
    /// The gate.
    pub gate_id: String,
    /// The agent; null for all.
    pub agent_id: Option<String>,
    /// The issuer of that agent, if it has used anything; else null.
    pub issuer_id: Option<String>,
    /// `daily`, `weekly` or `monthly`.
    pub period_type: String,
    /// The first day.
    pub period_start: String,
    /// The last day.
    pub period_end: String,
    /// What is owed, in cents.
    pub total_cost_cents: u64,
    /// The platform's part of that, rounded up for each record.
    pub total_platform_fee_cents: u64,
    /// Receipts of the period: those that count, and those that are left out.
    pub total_transactions: u64,
    /// Those that count: both signatures hold.
    pub verified_count: u64,
    /// Those that are left out.
    pub excluded_count: u64,
    /// How many are left out, by what is wrong with them.
    pub exclusion_breakdown: BTreeMap<String, u64>,
    /// Always `USD`.
    pub currency: String,
    /// By action.
    pub permission_breakdown: BTreeMap<String, Part>,
    /// By what came of it.
    pub outcome_breakdown: BTreeMap<String, Part>,
    /// By agent; null where there are more than 10,000.
    pub agent_breakdown: Option<Vec<AgentPart>>,
    /// A chain of SHA-256 over all records, in the order in which they were made: each link
    /// over the one before (32 zero bytes at first) and the record's line without its texts.
    pub records_sha256: String,
    /// When it was made.
    pub created_at: String,
}

/// A part of a settlement.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Part {
    /// Receipts.
    pub transactions: u64,
    /// Calls, minutes and units.
    pub quantity: u64,
    /// What is owed, in cents.
    pub cost_cents: u64,
    /// The platform's part of that.
    pub platform_fee_cents: u64,
    /// Calls that were free.
    pub free_calls: u64,
    /// Months of subscriptions.
    pub subscription_months: u64,
}

/// An agent's part.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct AgentPart {
    /// Its issuer.
    pub issuer_id: String,
    /// Its id there.
    pub agent_id: String,
    /// Its part.
    #[serde(flatten)]
    pub part: Part,
}

/// By whom a summary is signed.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Signature {
    /// Always `EdDSA`.
    pub algorithm: String,
    /// base64url of the key's SHA-256; the key is among those of the gate's records.
    pub key_id: String,
    /// base64url of 64 bytes.
    pub value: String,
}

/// The largest sum that whatever reads JSON reads.
const MAX_SUM: u64 = 9_007_199_254_740_991;

/// Ten thousand agents with ids of 256 characters, and as many permissions.
const LIMITS: Limits = Limits { bytes: 64 * 1024 * 1024, depth: 4, values: 4_000_000 };

impl Part {
    pub(super) fn of(
        quantity: u64,
        (cost_cents, platform_fee_cents): (u64, u64),
        mark: Option<Mark>,
    ) -> Self {
        Part {
            transactions: 1,
            quantity,
            cost_cents,
            platform_fee_cents,
            free_calls: u64::from(mark == Some(Mark::Free)),
            subscription_months: u64::from(mark == Some(Mark::Subscription)),
        }
    }

    /// `None` for a sum beyond 2^53 - 1.
    pub(super) fn add(&mut self, other: &Part) -> Option<()> {
        let sum = |left: u64, right: u64| left.checked_add(right).filter(|sum| *sum <= MAX_SUM);
        *self = Part {
            transactions: sum(self.transactions, other.transactions)?,
            quantity: sum(self.quantity, other.quantity)?,
            cost_cents: sum(self.cost_cents, other.cost_cents)?,
            platform_fee_cents: sum(self.platform_fee_cents, other.platform_fee_cents)?,
            free_calls: sum(self.free_calls, other.free_calls)?,
            subscription_months: sum(self.subscription_months, other.subscription_months)?,
        };
        Some(())
    }
}

impl Summary {
    pub(super) fn of(settlement: &Settlement, sums: &Sums) -> Self {
        let owned = |parts: &BTreeMap<&'static str, Part>| {
            parts.iter().map(|(name, part)| ((*name).to_owned(), part.clone())).collect()
        };
        Summary {
            typ: "settlement".to_owned(),
            version: "1.0".to_owned(),
            id: settlement.id.clone(),
            settlement_run_id: settlement.run_id.clone(),
            gate_id: settlement.gate_id.clone(),
            agent_id: settlement.agent_id.clone(),
            issuer_id: settlement.issuer_id.clone(),
            period_type: settlement.period.of.name().to_owned(),
            period_start: settlement.period.start.clone(),
            period_end: settlement.period.end.clone(),
            total_cost_cents: sums.total.cost_cents,
            total_platform_fee_cents: sums.total.platform_fee_cents,
            total_transactions: sums.seen(),
            verified_count: sums.total.transactions,
            excluded_count: sums.excluded_count(),
            exclusion_breakdown: sums
                .excluded
                .iter()
                .map(|(code, count)| ((*code).to_owned(), *count))
                .collect(),
            currency: "USD".to_owned(),
            permission_breakdown: sums.permissions.clone(),
            outcome_breakdown: owned(&sums.outcomes),
            agent_breakdown: sums.agents(),
            records_sha256: sums.chain(),
            created_at: iso(now_ms()),
        }
    }

    /// Signs it with the service's key for the gate. Answers the whole text.
    pub(super) async fn sign(&self, tx: &mut Tx, app: &App) -> ApiResult<String> {
        let signer = records::own_signer(tx, app, &self.gate_id).await?;
        let written = serde_json::to_string(self).context("a summary cannot be written")?;
        let value = json::parse(written.as_bytes(), LIMITS)
            .map_err(|error| anyhow!("a summary cannot be signed: {error}"))?;
        let text = canonical_text(&value);
        let mut object = value.as_object().context("a summary is an object")?.clone().into_owned();
        let signature = base64::encode_url(&signer.key.sign(text.as_bytes()));
        let hash = hex(&sha256(text.as_bytes()));
        object.set("content_hash", Value::from(hash.as_str()).into_owned());
        let signature = Object::from([
            ("algorithm", Value::from("EdDSA")),
            ("key_id", Value::from(signer.key_id.as_str())),
            ("value", Value::from(signature.as_str())),
        ]);
        object.set("signature", Value::from(signature).into_owned());
        Ok(canonical_text(&object.into()))
    }
}
