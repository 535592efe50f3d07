//! The scenarios in real Envoy, with two workers and real time.

mod stand;

use portcullis_core::UnixTime;
use portcullis_tests::scenario::{self, play};
use stand::Stand;
use std::time::SystemTime;
use xtask::envoy_config::EnvoyConfig;
use xtask::workspace::Workspace;

fn now() -> UnixTime {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    UnixTime::from_millis(i64::try_from(since_epoch.as_millis()).expect("before the year 292 million"))
}

#[test]
fn every_scenario_goes_as_it_says_in_real_envoy() {
    let workspace = Workspace::find().unwrap();
    let authority = EnvoyConfig::shipped(&workspace).unwrap().listen_authority().unwrap();
    let mut faults = Vec::new();
    for (name, scenario) in scenario::load() {
        let mut stand = Stand::start(&name, &scenario::gate_configuration(&scenario, &authority)).unwrap();
        faults.extend(play(&scenario, now(), &mut stand).into_iter().map(|fault| format!("{name}: {fault}")));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_configuration_that_is_wrong_keeps_envoy_from_starting_and_names_the_member() {
    for (name, gate, member) in [
        (
            "unknown",
            r#"{"gate":{"id":"g"},"profile":"L1","authorities":["a"],"routes":[{"path":"/","methods":["GET"],"public":true}],"fail_open":true}"#,
            "fail_open: is unknown",
        ),
        (
            "no-routes",
            r#"{"gate":{"id":"g"},"profile":"L1","authorities":["a"],"routes":[]}"#,
            "routes: must have at least one route",
        ),
        (
            "bad-key",
            r#"{"gate":{"id":"g"},"profile":"L1","authorities":["a"],"routes":[{"path":"/","methods":["GET"],"public":true}],"trust":{"issuers":[{"id":"i","type":"gate","tier":1,"actions":["*"],"keys":[{"key_id":"k","public_key":"AA=="}]}]}}"#,
            "trust.issuers[0].keys[0].public_key: must be",
        ),
        (
            "profile",
            r#"{"gate":{"id":"g"},"profile":"L3","authorities":["a"],"routes":[{"path":"/","methods":["GET"],"public":true}]}"#,
            "profile: must be L1",
        ),
        ("empty", "", "the configuration: is missing"),
    ] {
        let Err(error) = Stand::start_static(&format!("refused-{name}"), gate) else {
            panic!("{name} started")
        };
        let told = format!("{error:#}");
        assert!(told.contains(member), "{name}: {told}");
    }
}
