//! What is counted and shown to the proxy's statistics: of decisions one counter for each outcome
//! there can be, and no others. `docs/telemetry.md` lists all.

use crate::{allocator, host};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use portcullis_core::Reason;
use portcullis_core::live::LiveError;

/// What became of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// It went on.
    Allowed,
    /// It was refused.
    Blocked(Reason),
    /// A person is asked to approve of it.
    Held,
    /// It would have been refused, and went on because the gate only reports.
    Reported(Reason),
}

/// What became of trust material.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum TrustEvent {
    CallFailed,
    Config,
    FromTheFuture,
    Hash,
    HostFault,
    LeaseTaken,
    Mismatch,
    Renewed,
    Signature,
    Status,
    Taken,
    UnknownKey,
    Unreadable,
    WentBack,
    WrongEcho,
    WrongGate,
}

/// What became of receipts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ReceiptEvent {
    /// Something failed at the host; it may be made later.
    Failed,
    /// It was not made, and never will be.
    Lost,
    Made,
}

/// What became of records of decisions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RecordEvent {
    /// The service has proved that it has it.
    Delivered,
    /// A decision has none: there was no room.
    Dropped,
    /// A call with records came to nothing; they are sent again.
    Failed,
}

/// What is shown as it is now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Gauge {
    /// How full the page of what was used once is that was written last, in percent. A page is
    /// chosen by a hash, so that each speaks for all.
    ReplayFill,
    /// Records that wait for the service.
    Queue,
    /// The time of the head by which the gate judges, in seconds since 1970.
    HeadTime,
}

/// The ids of the counters, in the order of [`Outcome::all`], of those of trust material,
/// receipts and records, and of gauges. What the host did not make is neither counted nor shown.
#[derive(Debug)]
pub(crate) struct Metrics {
    ids: Vec<Option<u32>>,
    trust: Vec<Option<u32>>,
    receipts: Vec<Option<u32>>,
    records: Vec<Option<u32>>,
    gauges: Vec<Option<u32>>,
    memory: Option<u32>,
}

/// The bytes by which the memories of VMs have grown, all together, whatever became of them: one
/// that goes on growing while the gate's work stays the same is a leak.
const MEMORY: &str = "portcullis_memory.bytes";

impl Metrics {
    /// Makes all counters, so that each is there with its zero from the start. Answers
    /// how many the host did not make, too.
    pub(crate) fn define() -> (Self, usize) {
        let ids: Vec<_> = Outcome::all().map(|outcome| host::define_counter(&outcome.name()).ok()).collect();
        let memory = host::define_counter(MEMORY).ok();
        let missing = ids.iter().chain([&memory]).filter(|id| id.is_none()).count();
        let gauges = [host::define_gauge("portcullis_replay_fill_percent").ok()].into();
        (
            Metrics { ids, trust: Vec::new(), receipts: Vec::new(), records: Vec::new(), gauges, memory },
            missing,
        )
    }

    /// Makes those of trust material, receipts and records too, for gates that have them.
    pub(crate) fn define_trust(&mut self) {
        let define =
            |event: TrustEvent| host::define_counter(&format!("portcullis_trust.{}", event.name())).ok();
        self.trust = TrustEvent::ALL.into_iter().map(define).collect();
        let define =
            |names: [&str; 3]| names.into_iter().map(|name| host::define_counter(name).ok()).collect();
        // In the order of `ReceiptEvent`.
        let receipts = ["portcullis_receipts.failed", "portcullis_receipts.lost", "portcullis_receipts.made"];
        self.receipts = define(receipts);
        // In the order of `RecordEvent`.
        let records =
            ["portcullis_records.delivered", "portcullis_records.dropped", "portcullis_records.failed"];
        self.records = define(records);
        // Behind the one that all gates have, in the order of `Gauge`.
        let gauges = ["portcullis_queue_records", "portcullis_trust_head_timestamp_seconds"];
        self.gauges.extend(gauges.into_iter().map(|name| host::define_gauge(name).ok()));
    }

    /// Counts what became of trust material.
    pub(crate) fn count_trust(&self, event: TrustEvent) {
        count(&self.trust, event as usize, 1);
    }

    /// Counts what became of a receipt.
    pub(crate) fn count_receipt(&self, event: ReceiptEvent) {
        count(&self.receipts, event as usize, 1);
    }

    /// Counts what became of so many records.
    pub(crate) fn count_records(&self, event: RecordEvent, number: u64) {
        count(&self.records, event as usize, number);
    }

    /// Counts one request.
    pub(crate) fn count(&self, outcome: Outcome) {
        count(&self.ids, outcome.index(), 1);
        if let grown @ 1.. = allocator::grown() {
            count(&[self.memory], 0, u64::try_from(grown).unwrap_or(u64::MAX));
        }
    }

    /// Shows a number.
    pub(crate) fn show(&self, gauge: Gauge, value: u64) {
        if let Some(Some(id)) = self.gauges.get(gauge as usize) {
            host::record(*id, value);
        }
    }
}

fn count(ids: &[Option<u32>], index: usize, number: u64) {
    if let Some(Some(id)) = ids.get(index)
        && let Ok(number) = i64::try_from(number)
    {
        host::increment(*id, number);
    }
}

impl Outcome {
    fn all() -> impl Iterator<Item = Self> {
        let refusals = [Outcome::Blocked, Outcome::Reported].map(|outcome| Reason::ALL.map(outcome));
        [Outcome::Allowed, Outcome::Held].into_iter().chain(refusals.into_iter().flatten())
    }

    /// Where [`Outcome::all`] has it.
    fn index(self) -> usize {
        let refusals = [Outcome::Allowed, Outcome::Held].len();
        match self {
            Outcome::Allowed => 0,
            Outcome::Held => 1,
            Outcome::Blocked(reason) => refusals.saturating_add(reason as usize),
            Outcome::Reported(reason) => {
                refusals.saturating_add(Reason::ALL.len()).saturating_add(reason as usize)
            }
        }
    }

    /// The decision and its reason, in words that are labels of counters and stand in access logs.
    pub(crate) fn words(self) -> (&'static str, &'static str) {
        match self {
            Outcome::Allowed => ("allow", "ok"),
            Outcome::Blocked(reason) => ("block", reason.code()),
            Outcome::Held => ("request_hold", Reason::ApprovalRequired.code()),
            Outcome::Reported(reason) => ("report", reason.code()),
        }
    }

    fn name(self) -> String {
        let (decision, reason) = self.words();
        format!("portcullis_decisions.{decision}.{reason}")
    }
}

impl TrustEvent {
    const ALL: [TrustEvent; 16] = [
        TrustEvent::CallFailed,
        TrustEvent::Config,
        TrustEvent::FromTheFuture,
        TrustEvent::Hash,
        TrustEvent::HostFault,
        TrustEvent::LeaseTaken,
        TrustEvent::Mismatch,
        TrustEvent::Renewed,
        TrustEvent::Signature,
        TrustEvent::Status,
        TrustEvent::Taken,
        TrustEvent::UnknownKey,
        TrustEvent::Unreadable,
        TrustEvent::WentBack,
        TrustEvent::WrongEcho,
        TrustEvent::WrongGate,
    ];

    /// What a refused document counts as.
    pub(crate) fn of(error: &LiveError) -> Self {
        match error {
            LiveError::Config(_) => TrustEvent::Config,
            LiveError::FromTheFuture => TrustEvent::FromTheFuture,
            LiveError::Hash => TrustEvent::Hash,
            LiveError::Member(_) | LiveError::Unreadable(_) => TrustEvent::Unreadable,
            LiveError::Mismatch(_) => TrustEvent::Mismatch,
            LiveError::Signature => TrustEvent::Signature,
            LiveError::UnknownKey => TrustEvent::UnknownKey,
            LiveError::WentBack => TrustEvent::WentBack,
            LiveError::WrongEcho => TrustEvent::WrongEcho,
            LiveError::WrongGate => TrustEvent::WrongGate,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            TrustEvent::CallFailed => "call_failed",
            TrustEvent::Config => "config",
            TrustEvent::FromTheFuture => "from_the_future",
            TrustEvent::Hash => "hash",
            TrustEvent::HostFault => "host_fault",
            TrustEvent::LeaseTaken => "lease_taken",
            TrustEvent::Mismatch => "mismatch",
            TrustEvent::Renewed => "renewed",
            TrustEvent::Signature => "signature",
            TrustEvent::Status => "status",
            TrustEvent::Taken => "taken",
            TrustEvent::UnknownKey => "unknown_key",
            TrustEvent::Unreadable => "unreadable",
            TrustEvent::WentBack => "went_back",
            TrustEvent::WrongEcho => "wrong_echo",
            TrustEvent::WrongGate => "wrong_gate",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn every_outcome_is_at_its_index() {
        for (index, outcome) in Outcome::all().enumerate() {
            assert_eq!(outcome.index(), index, "{outcome:?}");
        }
    }

    #[test]
    fn every_outcome_has_a_name_of_its_own() {
        let names: BTreeSet<_> = Outcome::all().map(Outcome::name).collect();
        assert_eq!(names.len(), Outcome::all().count());
        assert!(names.contains("portcullis_decisions.allow.ok"));
        assert!(names.contains("portcullis_decisions.block.signature_invalid"));
        assert!(names.contains("portcullis_decisions.report.signature_invalid"));
        assert!(names.contains("portcullis_decisions.block.host_fault"));
    }

    #[test]
    fn labels_are_of_letters_digits_and_underscores_alone() {
        // What takes labels out of Envoy's names in envoy.yaml goes from dot to dot.
        for outcome in Outcome::all() {
            let (decision, reason) = outcome.words();
            let is_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            assert!(is_word(decision) && is_word(reason), "{outcome:?}");
        }
    }
}
