//! The scenarios in real Envoy, with two workers and real time.

mod live_stand;
mod stand;

use live_stand::{LiveStand, Wishes};
use portcullis_core::UnixTime;
use portcullis_tests::scenario::{self, Answer, Gate, Sent, play};
use stand::Stand;
use std::time::SystemTime;
use xtask::envoy_config::EnvoyConfig;
use xtask::workspace::Workspace;

fn now() -> UnixTime {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    UnixTime::from_millis(i64::try_from(since_epoch.as_millis()).expect("before the year 292 million"))
}

/// A gate with live trust material.
struct Live {
    stand: LiveStand,
    served: u64,
}

impl Gate for Live {
    const IS_ENVOY: bool = true;

    fn authority(&self) -> String {
        self.stand.envoy.listen.to_string()
    }

    fn wait(&mut self, _: u64) -> bool {
        false
    }

    fn send(&mut self, sent: &Sent) -> Answer {
        stand::send(&self.stand.envoy, &self.stand.upstream, &mut self.served, sent)
    }
}

#[test]
fn every_scenario_goes_as_it_says_in_real_envoy() {
    let workspace = Workspace::find().unwrap();
    let authority = EnvoyConfig::shipped(&workspace).unwrap().listen_authority().unwrap();
    let mut faults = Vec::new();
    for (name, scenario) in scenario::load() {
        let configuration = scenario::gate_configuration(&scenario, &authority);
        let found = if scenario::needs_fresh_trust(&configuration) {
            let gate = |authority: &str| scenario::gate_configuration(&scenario, authority);
            let stand = LiveStand::start(&name, &Wishes { gate: Some(&gate), ..Wishes::default() });
            // Proofs tell whole seconds, and the one in which the gate began is partly before it.
            let next_second = now().plus_millis(1000);
            play(&scenario, next_second, &mut Live { stand, served: 0 })
        } else {
            play(&scenario, now(), &mut Stand::start(&name, &configuration).unwrap())
        };
        faults.extend(found.into_iter().map(|fault| format!("{name}: {fault}")));
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
        let Err(error) = Stand::start(&format!("refused-{name}"), gate) else { panic!("{name} started") };
        let told = format!("{error:#}");
        assert!(told.contains(member), "{name}: {told}");
    }
}
