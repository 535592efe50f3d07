//! The scenarios at a gate without a proxy: in Node, and in workerd.

#[path = "live_workers/common.rs"]
mod common;
mod edge_stand;

use edge_stand::{AUTHORITY, Edge, Runtime};
use portcullis_core::UnixTime;
use portcullis_tests::scenario::{self, play};
use serde::Deserialize;
use std::collections::BTreeSet;

/// A case that goes otherwise at the edge.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    scenario: String,
    /// `*` for all of them.
    case: String,
    /// Left out: all.
    runtime: Option<String>,
    because: String,
}

impl Exception {
    fn all() -> Vec<Exception> {
        #[derive(Deserialize)]
        struct File {
            exception: Vec<Exception>,
        }
        let File { exception } = toml::from_str(include_str!("../edge/exceptions.toml")).expect("exceptions");
        assert!(exception.iter().all(|one| !one.because.is_empty()));
        exception
    }

    fn is_of(&self, scenario: &str, runtime: Runtime) -> bool {
        self.scenario == scenario && self.runtime.as_ref().is_none_or(|name| name == runtime.name())
    }
}

fn every_scenario_goes_as_it_says(runtime: Runtime) {
    let now = UnixTime::from_rfc3339("2026-06-01T12:00:00Z").unwrap();
    let exceptions = Exception::all();
    let mut faults = Vec::new();
    for (name, mut scenario) in scenario::load() {
        let excepted: Vec<_> = exceptions.iter().filter(|one| one.is_of(&name, runtime)).collect();
        let is_excepted = |case: &str| excepted.iter().any(|one| one.case == "*" || one.case == case);
        for one in excepted.iter().filter(|one| one.case != "*") {
            let is_there = scenario.cases.iter().any(|case| case.name == one.case);
            assert!(is_there, "{name} has no case \"{}\"", one.case);
        }
        // Nobody at the edge asks a person: these cannot even be played.
        scenario.cases.retain(|case| case.person.is_none() || !is_excepted(&case.name));
        let played: BTreeSet<_> = scenario.cases.iter().map(|case| case.name.clone()).collect();
        let configuration = scenario::gate_configuration(&scenario, AUTHORITY);
        let is_live = scenario::is_live(&scenario, &configuration);
        let mut edge = match Edge::start(runtime, &name, &configuration, is_live, now) {
            Ok(edge) => edge,
            Err(said) => {
                faults.push(format!("{name}: the gate does not start: {said}"));
                continue;
            }
        };
        let found = play(&scenario, now, &mut edge);
        let went_otherwise = |case: &str| {
            let begins = format!("{case}: ");
            found.iter().any(|fault| fault.starts_with(&begins))
        };
        for case in &played {
            if is_excepted(case) && !went_otherwise(case) && !excepted.iter().any(|one| one.case == "*") {
                faults.push(format!("{name}: {case}: it goes as it says: strike it off the exceptions"));
            }
        }
        if excepted.iter().any(|one| one.case == "*") && found.is_empty() {
            faults.push(format!("{name}: all of it goes as it says: strike it off the exceptions"));
        }
        let of_listed = |fault: &&String| {
            played.iter().any(|case| is_excepted(case) && fault.starts_with(&format!("{case}: ")))
        };
        faults.extend(found.iter().filter(|fault| !of_listed(fault)).map(|fault| format!("{name}: {fault}")));
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn every_scenario_goes_as_it_says_in_node() {
    every_scenario_goes_as_it_says(Runtime::Node);
}

#[test]
fn every_scenario_goes_as_it_says_in_workerd() {
    every_scenario_goes_as_it_says(Runtime::Workerd);
}
