//! The scenarios in real Envoy, with two workers and real time.

use crate::live_stand;
use crate::live_stand::{LiveStand, Wishes};
use crate::metered;
use crate::stand;
use crate::stand::Stand;
use portcullis_core::{PublicKey, SecretKey, UnixTime, base64, sha256};
use portcullis_tests::scenario::{self, Answer, Gate, Person, Sent, play};
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime};
use xtask::envoy_config::EnvoyConfig;
use xtask::http::Request;
use xtask::workspace::Workspace;

fn now() -> UnixTime {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    UnixTime::from_millis(i64::try_from(since_epoch.as_millis()).expect("before the year 292 million"))
}

/// A gate with live trust material.
struct Live {
    stand: LiveStand,
    served: u64,
    /// The hashes of the catalogs that were published.
    catalogs: Vec<String>,
}

impl Live {
    /// Waits until all workers know of what was changed so far. Changes arrive in their order: who
    /// knows of a later one knows of this.
    fn settle(&mut self, name: &str) {
        let agent = SecretKey::from_seed(sha256(name.as_bytes()));
        let probe = live_stand::passport(&agent, "pp_probe");
        self.stand.wait_for(&probe, (200, ""));
        self.stand.revoke(&agent, &probe);
        self.stand.wait_for(&probe, (401, "passport_revoked"));
        self.served = self.stand.upstream.served();
    }

    /// Publishes catalogs with these prices.
    fn publish(&mut self, gate: &str, prices: &Value) {
        let call = |method: &str, path: &str, body: &Value| self.stand.call(method, path, body);
        self.catalogs = metered::publish(gate, prices, &call);
        self.settle("catalogs");
    }
}

impl Gate for Live {
    const IS_ENVOY: bool = true;

    fn authority(&self) -> String {
        self.stand.envoy.listen.to_string()
    }

    fn wait(&mut self, _: u64) -> bool {
        false
    }

    fn answer(&mut self, approval: &str, person: Person) -> bool {
        let path = format!("/api/approvals/{approval}");
        let service = self.stand.service.as_ref().expect("the service runs");
        let began = Instant::now();
        // The gate's record of it makes it known.
        while service.call("GET", &path, None).expect("the service answers").status != 200 {
            assert!(began.elapsed() < Duration::from_secs(60), "nobody was asked about {approval}");
            std::thread::sleep(Duration::from_millis(50));
        }
        let decision = if person == Person::Approves { "approve" } else { "deny" };
        self.stand.call("POST", &format!("{path}/resolve"), &json!({"decision": decision}));
        self.settle(approval);
        true
    }

    fn catalogs(&self) -> Vec<String> {
        self.catalogs.clone()
    }

    fn attestation_key(&self) -> Option<PublicKey> {
        let seed = base64::decode_array(&self.stand.enrolled.key)?;
        PublicKey::from_bytes(&SecretKey::from_seed(seed).attestation_key().public_key())
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
        let found = if scenario::is_live(&scenario, &configuration) {
            // Told to the service in other ways.
            const SET: [&str; 3] = ["anonymous", "catalog_hashes", "catalog_prices"];
            let gate = |authority: &str| {
                let text = scenario::gate_configuration(&scenario, authority);
                let mut gate: Value = serde_json::from_str(&text).expect("a configuration");
                gate.as_object_mut().expect("an object").retain(|name, _| !SET.contains(&name.as_str()));
                gate.to_string()
            };
            let stand = LiveStand::start(&name, &Wishes { gate: Some(&gate), ..Wishes::default() });
            // Proofs tell whole seconds, and the one in which the gate began is partly before it.
            let next_second = now().plus_millis(1000);
            let mut live = Live { stand, served: 0, catalogs: Vec::new() };
            let written: Value = serde_json::from_str(&configuration).expect("a configuration");
            if !written["catalog_prices"].is_null() {
                let id = written["gate"]["id"].as_str().expect("the gate's id");
                let path = format!("/api/gates/{id}/anonymous-policy");
                live.stand.call("PUT", &path, &written["anonymous"]);
                live.publish(id, &written["catalog_prices"]);
            }
            play(&scenario, next_second, &mut live)
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

#[test]
fn a_gate_serves_ten_thousand_routes_and_starts_with_no_more() {
    let workspace = Workspace::find().unwrap();
    let authority = EnvoyConfig::shipped(&workspace).unwrap().listen_authority().unwrap();
    let gate = |count: u32| {
        let route =
            |number| json!({"path": format!("/airlines/{number}"), "methods": ["GET"], "public": true});
        let routes: Vec<Value> = (0..count).map(route).collect();
        json!({"gate": {"id": "g"}, "profile": "L1", "authorities": [authority], "routes": routes})
            .to_string()
    };
    let stand = Stand::start("most-routes", &gate(10_000)).unwrap();
    let status = |number: u32| {
        let request = Request::new("GET", &format!("/airlines/{number}"));
        request.send(stand.envoy.listen).unwrap().status
    };
    assert_eq!([0, 1, 5_000, 9_998, 9_999, 10_000].map(status), [200, 200, 200, 200, 200, 403]);
    let Err(error) = Stand::start("too-many-routes", &gate(10_001)) else { panic!("it started") };
    let told = format!("{error:#}");
    assert!(told.contains("routes: has more than 10000 routes"), "{told}");
}
