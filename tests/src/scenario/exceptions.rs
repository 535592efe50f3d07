//! Cases that go otherwise on one kind of gate than their texts say, and why. What goes as its text
//! says may not be listed.

use super::Scenario;
use serde::Deserialize;
use std::collections::BTreeSet;

/// All that is listed for one kind of gate.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exceptions {
    exception: Vec<Exception>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    scenario: String,
    /// Left out: all of them.
    cases: Option<Vec<String>>,
    /// Where there are several kinds of such gates, which one. Left out: all.
    runtime: Option<String>,
    /// The reason for which such a case is refused instead. Left out: it goes otherwise in another
    /// way.
    refused: Option<String>,
    because: String,
}

/// What is listed of one scenario.
#[derive(Debug)]
pub struct Excepted<'e> {
    scenario: &'e str,
    listed: Vec<&'e Exception>,
}

impl Exceptions {
    /// Reads a list.
    ///
    /// # Panics
    /// Where it is none, or says not why.
    pub fn read(text: &str) -> Self {
        let exceptions: Exceptions = toml::from_str(text).expect("a list of exceptions");
        assert!(exceptions.exception.iter().all(|one| !one.because.is_empty()), "an exception says not why");
        exceptions
    }

    /// What is listed of this scenario.
    ///
    /// # Panics
    /// Where a case is listed that is not there.
    pub fn of<'e>(&'e self, name: &'e str, scenario: &Scenario, runtime: &str) -> Excepted<'e> {
        let is_of = |one: &&Exception| {
            one.scenario == name && one.runtime.as_ref().is_none_or(|named| named == runtime)
        };
        let listed: Vec<_> = self.exception.iter().filter(is_of).collect();
        for case in listed.iter().filter_map(|one| one.cases.as_ref()).flatten() {
            assert!(scenario.cases.iter().any(|one| one.name == *case), "{name} has no case \"{case}\"");
        }
        Excepted { scenario: name, listed }
    }
}

impl Excepted<'_> {
    /// Whether a case is listed.
    pub fn has(&self, case: &str) -> bool {
        self.exception(case).is_some()
    }

    /// Whether the whole scenario is.
    pub fn is_whole(&self) -> bool {
        self.listed.iter().any(|one| one.cases.is_none())
    }

    fn exception(&self, case: &str) -> Option<&Exception> {
        let is_it =
            |one: &&&Exception| one.cases.as_ref().is_none_or(|cases| cases.iter().any(|one| one == case));
        self.listed.iter().find(is_it).copied()
    }

    /// What went neither as the text nor as the list says, of what [`play`](super::play) has `found`
    /// with the cases that were `played`.
    pub fn judge(&self, played: &BTreeSet<String>, found: &[String]) -> Vec<String> {
        let name = self.scenario;
        let is_of = |fault: &str, case: &str| fault.starts_with(&format!("{case}: "));
        let mut faults = Vec::new();
        for case in played {
            let found: Vec<_> = found.iter().filter(|fault| is_of(fault, case)).collect();
            let Some(exception) = self.exception(case) else {
                faults.extend(found.into_iter().map(|fault| format!("{name}: {fault}")));
                continue;
            };
            if found.is_empty() {
                faults.push(format!("{name}: {case}: it goes as it says: strike it off the exceptions"));
            }
            if let Some(code) = &exception.refused
                && !found.iter().any(|fault| fault.contains(&format!("\"reason_code\":\"{code}\"")))
            {
                faults.push(format!("{name}: {case}: it is not refused for {code}: {found:?}"));
            }
        }
        faults
    }
}
