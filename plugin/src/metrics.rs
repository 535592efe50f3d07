//! Counters of decisions: one for each outcome there can be, and no others.

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

/// The ids of the counters, in the order of [`Outcome::all`], and of those of trust
/// material. A counter that the host did not make is not counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    ids: Vec<Option<u32>>,
    trust: Vec<Option<u32>>,
    receipts: Vec<Option<u32>>,
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
        (Metrics { ids, trust: Vec::new(), receipts: Vec::new(), memory }, missing)
    }

    /// Makes the counters of trust material and of receipts too, for gates that have them.
    pub(crate) fn define_trust(&mut self) {
        let define =
            |event: TrustEvent| host::define_counter(&format!("portcullis_trust.{}", event.name())).ok();
        self.trust = TrustEvent::ALL.into_iter().map(define).collect();
        // In the order of `ReceiptEvent`.
        let names = ["failed", "lost", "made"].into_iter();
        self.receipts =
            names.map(|name| host::define_counter(&["portcullis_receipts.", name].concat()).ok()).collect();
    }

    /// Counts what became of trust material.
    pub(crate) fn count_trust(&self, event: TrustEvent) {
        if let Some(Some(id)) = self.trust.get(event as usize) {
            host::increment(*id);
        }
    }

    /// Counts what became of a receipt.
    pub(crate) fn count_receipt(&self, event: ReceiptEvent) {
        if let Some(Some(id)) = self.receipts.get(event as usize) {
            host::increment(*id);
        }
    }

    /// Counts one request.
    pub(crate) fn count(&self, outcome: Outcome) {
        if let Some(Some(id)) = self.ids.get(outcome.index()) {
            host::increment(*id);
        }
        if let (Some(id), grown @ 1..) = (self.memory, allocator::grown()) {
            host::add(id, i64::try_from(grown).unwrap_or(i64::MAX));
        }
    }
}

impl Outcome {
    fn all() -> impl Iterator<Item = Self> {
        let refusals = [Outcome::Blocked, Outcome::Reported].map(|outcome| Reason::ALL.map(outcome));
        [Outcome::Allowed].into_iter().chain(refusals.into_iter().flatten())
    }

    /// Where [`Outcome::all`] has it.
    fn index(self) -> usize {
        let refusals = [Outcome::Allowed].len();
        match self {
            Outcome::Allowed => 0,
            Outcome::Blocked(reason) => refusals.saturating_add(reason as usize),
            Outcome::Reported(reason) => {
                refusals.saturating_add(Reason::ALL.len()).saturating_add(reason as usize)
            }
        }
    }

    fn name(self) -> String {
        let (decision, code) = match self {
            Outcome::Allowed => ("allow", "ok"),
            Outcome::Blocked(reason) => ("block", reason.code()),
            Outcome::Reported(reason) => ("report", reason.code()),
        };
        format!("portcullis_decisions.{decision}.{code}")
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
}
