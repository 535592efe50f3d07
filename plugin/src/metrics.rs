//! Counters of decisions: one for each outcome there can be, and no others.

use crate::host;
use portcullis_core::Reason;

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

/// The ids of the counters, in the order of [`Outcome::all`]. A counter that the host
/// did not make is not counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    ids: Vec<Option<u32>>,
}

impl Metrics {
    /// Makes all counters, so that each is there with its zero from the start. Answers
    /// how many the host did not make, too.
    pub(crate) fn define() -> (Self, usize) {
        let ids: Vec<_> = Outcome::all().map(|outcome| host::define_counter(&outcome.name()).ok()).collect();
        let missing = ids.iter().filter(|id| id.is_none()).count();
        (Metrics { ids }, missing)
    }

    /// Counts one request.
    pub(crate) fn count(&self, outcome: Outcome) {
        if let Some(Some(id)) = self.ids.get(outcome.index()) {
            host::increment(*id);
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

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
