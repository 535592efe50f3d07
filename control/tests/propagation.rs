//! How far a change has come: told by what gates' proxies ask with.

use crate::common::Bench;
use crate::common::gates::{configure, enrolled, signed};
use crate::common::passports::now;
use crate::common::records::{Gate, draft};
use portcullis_core::attestation::Decision;
use portcullis_core::{SecretKey, base64};
use serde_json::{Value, json};
use std::net::SocketAddr;
use xtask::on_every_database;

on_every_database!(
    a_change_is_everywhere_once_each_proxy_has_said_that_it_has_it,
    a_proxy_that_asks_no_more_is_not_waited_for_and_not_hidden,
    every_instance_tells_the_same,
    decisions_are_counted_over_time,
);

fn key(number: u8) -> SecretKey {
    SecretKey::from_seed([number; 32])
}

/// A proxy asks, with what it has.
fn ask(to: SocketAddr, gate: &str, key: &SecretKey, (snapshot, revocations): (i64, i64), nonce: u8) {
    let query =
        format!("random={}&revocations={revocations}&snapshot={snapshot}", base64::encode_url(&[nonce; 16]));
    let path = format!("/gate/v1/gates/{gate}/trust");
    let answer = signed(to, key, ("GET", &path, &query, b""), now(), [nonce; 16]);
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
}

fn propagation(bench: &Bench, query: &str) -> Value {
    let (status, answer) = bench.call("GET", &format!("/api/v1/propagation{query}"), None);
    assert_eq!(status, 200, "{answer}");
    answer
}

fn states(answer: &Value) -> Vec<&str> {
    answer["gates"].as_array().unwrap().iter().map(|gate| gate["state"].as_str().unwrap()).collect()
}

fn revoke(bench: &Bench, id: &str) -> i64 {
    let body = json!({"kind": "passport", "issuer": "iss_x", "ids": [id]});
    let (status, answer) = bench.call("POST", "/api/v1/revocations", Some(body));
    assert_eq!(status, 200, "{answer}");
    answer["number"].as_i64().unwrap()
}

fn a_change_is_everywhere_once_each_proxy_has_said_that_it_has_it(database: Option<&str>) {
    let bench = Bench::new(database);
    let to = bench.service.address;
    let (a, b) = (key(1), key(2));
    enrolled(&bench, "gate_a", &a);
    enrolled(&bench, "gate_b", &b);
    let (status, _) = bench.call("POST", "/api/gates", Some(json!({"gate_id": "gate_c", "name": "c"})));
    assert_eq!(status, 201);
    let found = propagation(&bench, "");
    assert_eq!(states(&found), ["silent", "silent", "not_configured"]);
    assert_eq!(found["everywhere"], false, "nobody has said that it has it");
    let snapshot = |index: usize| found["gates"][index]["snapshot_number"].as_i64().unwrap();
    ask(to, "gate_a", &a, (snapshot(0), 0), 1);
    ask(to, "gate_b", &b, (snapshot(1), 0), 2);
    let found = propagation(&bench, "");
    assert_eq!(
        (states(&found), &found["everywhere"]),
        (vec!["reached", "reached", "not_configured"], &json!(true))
    );

    let number = revoke(&bench, "pp_1");
    let query = format!("?number={number}");
    let before = propagation(&bench, &query);
    assert_eq!((states(&before)[0], states(&before)[1]), ("under_way", "under_way"));
    assert_eq!(
        (&before["number"], &before["newest"], &before["everywhere"]),
        (&json!(number), &json!(number), &json!(false))
    );
    // Being answered is not having it: the next question says that.
    ask(to, "gate_a", &a, (snapshot(0), 0), 3);
    assert_eq!(states(&propagation(&bench, &query))[0], "under_way");
    ask(to, "gate_a", &a, (snapshot(0), number), 4);
    let found = propagation(&bench, &query);
    assert_eq!(
        (states(&found), &found["everywhere"]),
        (vec!["reached", "under_way", "not_configured"], &json!(false))
    );
    let proxy = &found["gates"][0]["proxies"][0];
    assert_eq!((&proxy["address"], &proxy["revocations_number"]), (&json!("127.0.0.1"), &json!(number)));
    assert_eq!((&proxy["connected"], &proxy["reached"]), (&json!(true), &json!(true)));
    assert!(proxy["material_age_seconds"].as_i64().unwrap() < 10, "{proxy}");
    ask(to, "gate_b", &b, (snapshot(1), number), 5);
    assert_eq!(propagation(&bench, &query)["everywhere"], true);
    // What was changed of one gate is under way there alone.
    configure(&bench, "gate_b", "/trains");
    assert_eq!(states(&propagation(&bench, ""))[..2], ["reached", "under_way"]);
    let newer = propagation(&bench, "")["gates"][1]["snapshot_number"].as_i64().unwrap();
    ask(to, "gate_b", &b, (newer, number), 6);
    assert_eq!(propagation(&bench, "")["everywhere"], true);
    assert_eq!(bench.call("GET", "/api/v1/propagation?number=-1", None).0, 422);
}

fn a_proxy_that_asks_no_more_is_not_waited_for_and_not_hidden(database: Option<&str>) {
    let bench = Bench::new(database);
    let gate = key(1);
    enrolled(&bench, "gate_a", &gate);
    let snapshot = propagation(&bench, "")["gates"][0]["snapshot_number"].as_i64().unwrap();
    ask(bench.service.address, "gate_a", &gate, (snapshot, 0), 1);
    assert_eq!(states(&propagation(&bench, "")), ["reached"]);
    revoke(&bench, "pp_1");
    bench.sql("UPDATE gate_proxies SET seen_at = seen_at - 60000");
    let found = propagation(&bench, "");
    assert_eq!((states(&found), &found["everywhere"]), (vec!["silent"], &json!(false)));
    assert_eq!(found["gates"][0]["proxies"][0]["connected"], false);
    bench.sql("UPDATE gate_proxies SET seen_at = seen_at - 86400000");
    assert_eq!(propagation(&bench, "")["gates"][0]["proxies"], json!([]));
}

fn every_instance_tells_the_same(database: Option<&str>) {
    // SQLite serves one instance.
    if database.is_none() {
        return;
    }
    let bench = Bench::new(database);
    let gate = key(1);
    enrolled(&bench, "gate_a", &gate);
    let snapshot = propagation(&bench, "")["gates"][0]["snapshot_number"].as_i64().unwrap();
    let mut control = bench.control.clone();
    [control.address] = xtask::net::free().unwrap();
    let second = control.start_with_key(&bench.service.key).unwrap();
    ask(second.address, "gate_a", &gate, (snapshot, 0), 1);
    let began = std::time::Instant::now();
    while states(&propagation(&bench, "")) != ["reached"] {
        assert!(began.elapsed().as_secs() < 60, "what another instance was told is not known");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

fn decisions_are_counted_over_time(database: Option<&str>) {
    let bench = Bench::new(database);
    let gate = Gate::enrolled(&bench, "gate_a", 1);
    let mut lane = gate.lane(bench.service.address, 1);
    for decision in [Decision::Allow, Decision::Block, Decision::Allow] {
        lane.record(&[draft("gate_a", "agent-1", decision)]);
    }
    let counts = |query: &str| bench.call("GET", &format!("/api/v1/decisions/counts?{query}"), None);
    // A step of a day, so that no test runs into the next one often.
    let after = portcullis_core::UnixTime::from_millis(now().as_millis().saturating_sub(86_400_000)).to_iso();
    let (status, found) = counts(&format!("step_seconds=86400&after={after}"));
    assert_eq!(status, 200, "{found}");
    let sum = |decision: &str| -> i64 {
        found["steps"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|step| step["decisions"][decision].as_i64())
            .sum()
    };
    assert_eq!((sum("allow"), sum("block"), sum("gap")), (2, 1, 0), "{found}");
    assert_eq!(counts("agent_id=agent-2").1["steps"], json!([]));
    assert_eq!(counts("step_seconds=0").0, 422);
    assert_eq!(counts(&format!("step_seconds=60&after={after}")).0, 422, "1440 steps");
}
