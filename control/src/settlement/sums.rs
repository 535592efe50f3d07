//! Adding up: integers alone, each cent from one receipt.

use super::summary::{AgentPart, Part};
use portcullis_core::attestation::Hash;
use portcullis_core::live::hex;
use portcullis_core::receipt::{Receipt, SignedReceipt};
use portcullis_core::sha256;
use std::collections::BTreeMap;

/// What a settlement notes of a receipt; without a note it is charged as it says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mark {
    /// One of the passport's free calls.
    Free,
    /// The one that carries the month's price.
    Subscription,
    /// It is left out, as this is wrong with it.
    Excluded(&'static str),
}

impl Mark {
    pub(super) fn name(self) -> &'static str {
        match self {
            Mark::Free => "free",
            Mark::Subscription => "subscription",
            Mark::Excluded(code) => code,
        }
    }
}

/// What is charged for a receipt, and the platform's part of it, in cents.
pub(super) fn charged(receipt: &Receipt, mark: Option<&str>) -> (u64, u64) {
    let charge = &receipt.charge;
    match mark {
        None => (charge.total_cents(), charge.fee_cents()),
        Some("subscription") => {
            let month = charge.rate().price.cents;
            (month, charge.rate().fee_of(month))
        }
        Some(_) => (0, 0),
    }
}

/// Sums of a settlement, as its receipts come.
#[derive(Debug)]
pub(super) struct Sums {
    pub(super) total: Part,
    pub(super) excluded: BTreeMap<&'static str, u64>,
    pub(super) permissions: BTreeMap<String, Part>,
    pub(super) outcomes: BTreeMap<&'static str, Part>,
    agents: BTreeMap<(String, String), Part>,
    too_many_agents: bool,
    chain: Hash,
}

/// Agents of one summary: a megabyte or two of it.
const MOST_AGENTS: usize = 10_000;

impl Default for Sums {
    fn default() -> Self {
        // An outcome that there was none of is told as none.
        let outcomes = portcullis_core::receipt::Outcome::ALL.map(|(name, _)| (name, Part::default())).into();
        Sums {
            total: Part::default(),
            excluded: BTreeMap::new(),
            permissions: BTreeMap::new(),
            outcomes,
            agents: BTreeMap::new(),
            too_many_agents: false,
            chain: [0; 32],
        }
    }
}

impl Sums {
    /// Adds a receipt that was verified. `None` for a sum beyond 2^53 - 1.
    pub(super) fn add(&mut self, signed: &SignedReceipt, mark: Option<Mark>) -> Option<()> {
        let receipt = &signed.receipt;
        let charged = charged(receipt, mark.map(Mark::name));
        let one = Part::of(receipt.charge.quantity(), charged, mark);
        self.total.add(&one)?;
        // Most are known, and a name is not copied to look for it.
        match self.permissions.get_mut(&receipt.action) {
            Some(part) => part.add(&one)?,
            None => self.permissions.entry(receipt.action.clone()).or_default().add(&one)?,
        }
        self.outcomes.entry(receipt.outcome.name()).or_default().add(&one)?;
        let agent = (receipt.agent.issuer_id.clone(), receipt.agent.agent_id.clone());
        if self.agents.len() < MOST_AGENTS || self.agents.contains_key(&agent) {
            self.agents.entry(agent).or_default().add(&one)?;
        } else {
            self.too_many_agents = true;
        }
        self.link(signed.text(), charged, mark.map(Mark::name));
        Some(())
    }

    /// Notes one that is left out.
    pub(super) fn exclude(&mut self, text: &str, code: &'static str) {
        let count = self.excluded.entry(code).or_default();
        *count = count.saturating_add(1);
        self.link(text, (0, 0), Some(code));
    }

    /// How many were looked at.
    pub(super) fn seen(&self) -> u64 {
        self.total.transactions.saturating_add(self.excluded_count())
    }

    pub(super) fn excluded_count(&self) -> u64 {
        self.excluded.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// `None` where there are too many to tell.
    pub(super) fn agents(&self) -> Option<Vec<AgentPart>> {
        let tell = |((issuer, agent), part): (&(String, String), &Part)| AgentPart {
            issuer_id: issuer.clone(),
            agent_id: agent.clone(),
            part: part.clone(),
        };
        (!self.too_many_agents).then(|| self.agents.iter().map(tell).collect())
    }

    /// What binds all records to the summary, in their order.
    pub(super) fn chain(&self) -> String {
        hex(&self.chain)
    }

    fn link(&mut self, text: &str, (cents, fee): (u64, u64), mark: Option<&str>) {
        let mark = mark.map_or_else(|| "null".to_owned(), |mark| format!("\"{mark}\""));
        let hash = hex(&sha256(text.as_bytes()));
        let line = format!(
            "{{\"charged_cents\":{cents},\"charged_fee_cents\":{fee},\"mark\":{mark},\"receipt_sha256\":\"{hash}\"}}"
        );
        self.chain = sha256(&[&self.chain, line.as_bytes()].concat());
    }
}
