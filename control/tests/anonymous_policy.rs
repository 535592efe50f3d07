//! What callers without a credential may do: said by operators, carried by snapshots.

use crate::common::Bench;
use crate::common::gates::{signed, text};
use crate::common::passports::now;
use crate::common::records::{Gate, draft};
use portcullis_core::attestation::{AccessMode, Decision, Draft};
use portcullis_core::base64;
use portcullis_core::live::TrustResponse;
use portcullis_core::{Config, Snapshot};
use serde_json::{Value, json};
use std::net::SocketAddr;
use xtask::on_every_database;

on_every_database!(
    a_policy_is_kept_and_goes_into_the_gates_snapshot,
    a_policy_that_no_gate_can_take_is_refused,
    the_log_has_what_came_without_a_credential_and_nothing_else,
);

const POLICY: &str = "/api/gates/gate_a/anonymous-policy";

fn snapshot(to: SocketAddr, gate: &Gate) -> Value {
    let query = "snapshot=0&revocations=0&wait=0&random=AAAAAAAAAAAAAAAAAAAAAA";
    let path = format!("/gate/v1/gates/{}/trust", gate.id);
    let answer = signed(to, &gate.key, ("GET", &path, query, b""), now(), [3; 16]);
    assert_eq!(answer.status, 200, "{}", text(&answer));
    let token = TrustResponse::read(&answer.body).unwrap().snapshot.unwrap();
    let payload = base64::decode_url(token.split('.').nth(1).unwrap()).unwrap();
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    let config = payload["config"].clone();
    Snapshot::new(&Config::from_json(config.to_string().as_bytes()).unwrap()).unwrap();
    config
}

fn a_policy_is_kept_and_goes_into_the_gates_snapshot(database: Option<&str>) {
    let bench = Bench::new(database);
    let (to, gate) = (bench.service.address, Gate::enrolled(&bench, "gate_a", 1));
    let (status, usual) = bench.call("GET", POLICY, None);
    assert_eq!(status, 200);
    assert_eq!((&usual["enabled"], &usual["rate_limit_per_minute"]), (&json!(false), &json!(5)));
    let asked = json!({
        "enabled": true, "allowed_actions": ["flights:search"], "rate_limit_per_hour": 20,
        "upgrade_message": "Ask for a passport at", "upgrade_url": "https://flights.test/passports",
    });
    let (status, set) = bench.call("PUT", POLICY, Some(asked));
    assert_eq!(status, 200, "{set}");
    assert_eq!((&set["rate_limit_per_minute"], &set["read_only"]), (&json!(5), &json!(true)));
    assert_eq!(bench.call("GET", POLICY, None), (200, set.clone()));
    // The feed looks ten times a second.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while snapshot(to, &gate).get("anonymous").is_none() {
        assert!(std::time::Instant::now() < deadline, "the policy does not come into the snapshot");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(snapshot(to, &gate)["anonymous"], set);
    // In place of what was said before; what is not enabled is nothing.
    let (status, set) = bench.call("PUT", POLICY, Some(json!({})));
    assert_eq!((status, &set["enabled"]), (200, &json!(false)));
    while snapshot(to, &gate).get("anonymous").is_some() {
        assert!(std::time::Instant::now() < deadline, "the policy stays in the snapshot");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

fn a_policy_that_no_gate_can_take_is_refused(database: Option<&str>) {
    let bench = Bench::new(database);
    let _gate = Gate::enrolled(&bench, "gate_a", 1);
    for (asked, field) in [
        (json!({"enabled": true, "allowed_actions": ["flights:book"]}), "allowed_actions[0]"),
        (json!({"rate_limit_per_minute": -1}), "rate_limit_per_minute"),
        (json!({"rate_limit_per_hour": 1_000_001}), "rate_limit_per_hour"),
        (json!({"upgrade_message": "two\nlines"}), "upgrade_message"),
        (json!({"allowed": []}), "allowed"),
    ] {
        let (status, told) = bench.call("PUT", POLICY, Some(asked));
        assert_eq!((status, &told["field"]), (422, &json!(field)), "{told}");
    }
    assert_eq!(bench.call("GET", POLICY, None).1["enabled"], false, "nothing of it is kept");
    assert_eq!(bench.call("PUT", "/api/gates/gate_x/anonymous-policy", Some(json!({}))).0, 404);
    assert_eq!(bench.call("GET", "/api/gates/gate_x/anonymous-policy", None).0, 404);
    // In what the operator configures beside, it has no place.
    for member in ["anonymous", "approvals"] {
        let config = json!({"authorities": ["gate.test"], "routes": [], member: {}});
        let (status, told) = bench.call("PUT", "/api/v1/gates/gate_a/config", Some(config));
        assert_eq!((status, &told["field"]), (422, &json!(member)), "{told}");
    }
}

fn the_log_has_what_came_without_a_credential_and_nothing_else(database: Option<&str>) {
    let bench = Bench::new(database);
    let (to, gate) = (bench.service.address, Gate::enrolled(&bench, "gate_a", 1));
    let anonymous = |decision| Draft {
        access_mode: AccessMode::Anonymous,
        agent: None,
        ..draft("gate_a", "agent-1", decision)
    };
    gate.lane(to, 1).record(&[
        anonymous(Decision::Allow),
        draft("gate_a", "agent-1", Decision::Allow),
        anonymous(Decision::Block),
    ]);
    let (status, log) = bench.call("GET", "/api/gates/gate_a/anonymous-log", None);
    assert_eq!(status, 200, "{log}");
    let decisions: Vec<_> = log.as_array().unwrap().iter().map(|row| &row["decision"]).collect();
    assert_eq!(decisions.len(), 2);
    assert!(decisions.contains(&&json!("allow")) && decisions.contains(&&json!("block")));
    let (_, one) = bench.call("GET", "/api/gates/gate_a/anonymous-log?limit=1", None);
    assert_eq!(one.as_array().unwrap().len(), 1);
    assert_eq!(bench.call("GET", "/api/gates/gate_x/anonymous-log", None).0, 404);
}
