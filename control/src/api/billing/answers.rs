//! What is answered of settlements.

use crate::error::ApiResult;
use crate::settlement::{Change, Settlement, Signature, Summary};
use crate::time::iso;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A settlement: what was signed, and where it stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SettlementRecord {
    #[serde(flatten)]
    content: Summary,
    /// SHA-256 of the canonical JSON of all members before this, hexadecimal.
    content_hash: String,
    /// Over the same, by the service's key for the gate's records.
    signature: Signature,
    /// The summary's text: what was signed, `content_hash` and `signature`; null in lists, as is
    /// `agent_breakdown`.
    summary: Option<String>,
    /// `pending`, `invoiced`, `paid`, `disputed` or `void`.
    status: String,
    /// How that came to be, the first first, the last thousand changes; empty in lists.
    status_history: Vec<StatusChange>,
    /// Receipts of the period that have come since, and are settled nowhere; told where one
    /// settlement is asked for. 10001 stands for more than 10,000.
    late_count: Option<i64>,
}

/// One change of a status.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StatusChange {
    /// What it became.
    status: String,
    /// When.
    at: String,
    /// By which API key.
    actor: String,
}

/// A page of settlements.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SettlementList {
    /// What is on this page.
    pub(super) settlements: Vec<SettlementRecord>,
    /// How many there are on all pages.
    pub(super) total: i64,
    /// How many a page has at most.
    pub(super) limit: i64,
    /// How many come before this page.
    pub(super) offset: i64,
}

/// A settlement that is being made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Run {
    /// `run_…`
    settlement_run_id: String,
    /// `stl_…`, of the settlement that it makes.
    settlement_id: String,
    /// The gate.
    gate_id: String,
    /// `running`, `done` or `failed`.
    status: &'static str,
    /// Receipts that are verified.
    verified: i64,
    /// Receipts in all; 0 until they are counted.
    total: i64,
    /// Which attempt it is: 0 while it waits for others to be done, more than 1 where an instance has ended on the way.
    attempt: i64,
    /// Why it failed.
    failure: Option<String>,
    /// When it was begun.
    created_at: String,
}

/// What stands in a summary's text beside what was signed.
#[derive(Deserialize)]
struct Sealed {
    #[serde(flatten)]
    content: Summary,
    content_hash: String,
    signature: Signature,
}

impl SettlementRecord {
    /// # Errors
    /// The stored text is damaged.
    pub(super) fn read(
        stored: &Settlement,
        changes: Vec<Change>,
        late_count: Option<i64>,
    ) -> ApiResult<Self> {
        let summary = stored.summary.clone().context("a settlement that is done has a summary")?;
        let sealed: Sealed = serde_json::from_str(&summary).context("a stored summary is unreadable")?;
        let told =
            |change: Change| StatusChange { status: change.status, at: iso(change.at), actor: change.actor };
        Ok(SettlementRecord {
            content: sealed.content,
            content_hash: sealed.content_hash,
            signature: sealed.signature,
            summary: Some(summary),
            status: stored.status.clone(),
            status_history: changes.into_iter().map(told).collect(),
            late_count,
        })
    }
}

impl SettlementRecord {
    /// The same for a list, without what can have megabytes.
    pub(super) fn shortened(mut self) -> Self {
        self.summary = None;
        self.content.agent_breakdown = None;
        self
    }
}

impl From<Settlement> for Run {
    fn from(stored: Settlement) -> Self {
        Run {
            status: match stored.status.as_str() {
                "running" => "running",
                "failed" => "failed",
                _ => "done",
            },
            settlement_run_id: stored.run_id,
            settlement_id: stored.id,
            gate_id: stored.gate_id,
            verified: stored.verified,
            total: stored.claimed,
            attempt: stored.attempt,
            failure: stored.failure,
            created_at: iso(stored.created_at),
        }
    }
}
