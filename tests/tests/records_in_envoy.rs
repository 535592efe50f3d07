//! Records of what a gate in real Envoy with two workers decides: all of them in the service,
//! once, whatever happens on the way; and an export of them that holds offline.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]
#![allow(clippy::arithmetic_side_effects, clippy::expect_used, reason = "a test may fail")]

mod live_stand;

use live_stand::{Fault, GATE, LiveStand, Wishes, agent, given, passport};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use xtask::http::{Request, exchange};

/// A gate whose records are kept by this policy.
fn gate(authority: &str, policy: &str) -> String {
    json!({
        "gate": {"id": GATE, "name": "Flights"}, "profile": "L1", "authorities": [authority],
        "routes": [{"path": "/flights", "methods": ["GET"], "action": "flights:search", "cost_cents": 250}],
        "trust": {"self_issued": {"actions": ["flights:*"]}}, "attest": {"policy": policy},
    })
    .to_string()
}

fn stand(name: &str, policy: &str) -> LiveStand {
    let gate = |authority: &str| gate(authority, policy);
    LiveStand::start(name, &Wishes { gate: Some(&gate), ..Wishes::default() })
}

/// What clients were told: attestation ids, with what was decided.
type Seen = BTreeMap<String, &'static str>;

/// Sends one request, good or without a credential; what the client, or the upstream, was told.
fn ask(authority: &str, to: SocketAddr, credential: Option<&str>) -> Option<(String, &'static str)> {
    let mut request = Request::new("GET", "/flights");
    request.headers.extend(credential.map(|header| ("agent-passport".to_owned(), header.to_owned())));
    // Of a request that was not answered nobody saw a decision.
    let answer = exchange(to, &request.to_bytes(authority, true)).ok()?;
    let body: Value = serde_json::from_slice(&answer.body).ok()?;
    if answer.status == 200 {
        let headers = body["headers"].as_array()?;
        let id = headers.iter().find(|pair| pair[0] == "x-gate-attestation-id")?[1].as_str()?;
        return Some((id.to_owned(), "allow"));
    }
    Some((body["attestation_id"].as_str()?.to_owned(), "block"))
}

/// Asks from four threads at once until `stop`, or so often each.
fn load(to: SocketAddr, credential: &str, each: usize, stop: &AtomicBool) -> Seen {
    load_for(&to.to_string(), to, credential, each, stop)
}

/// From one Envoy, in the name of the gate at another.
fn load_for(authority: &str, to: SocketAddr, credential: &str, each: usize, stop: &AtomicBool) -> Seen {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                scope.spawn(move || {
                    (0..each)
                        .take_while(|_| !stop.load(Ordering::Relaxed))
                        .filter_map(|number| {
                            let is_good = (number + thread) % 5 != 0;
                            ask(authority, to, is_good.then_some(credential))
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

impl LiveStand {
    fn text(&self, path: &str) -> String {
        let service = self.service.as_ref().expect("the service runs");
        let answer = service.call("GET", path, None).unwrap();
        let text = String::from_utf8(answer.body).unwrap();
        assert_eq!(answer.status, 200, "{path}: {text}");
        text
    }

    /// An export of the gate's whole log, as a file.
    fn export(&self) -> PathBuf {
        let file = self.folder.path().join("export.jsonl");
        let path = format!("/api/v1/attestations/export?format=jsonl&gate_id={GATE}");
        std::fs::write(&file, self.text(&path)).unwrap();
        file
    }

    fn keys(&self) -> PathBuf {
        let file = self.folder.path().join("keys.json");
        std::fs::write(&file, self.text(&format!("/api/gates/{GATE}/attestation-keys"))).unwrap();
        file
    }

    /// Waits until the record has all that clients saw, and that each stands there once.
    fn wait_for_records(&self, seen: &Seen) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let export = std::fs::read_to_string(self.export()).unwrap();
            let lines = export.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let records: Vec<Value> = lines.filter(|line| line["attestation_id"].is_string()).collect();
            let mut kept: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for record in &records {
                let decision = record["decision"].as_str().unwrap();
                kept.entry(record["attestation_id"].as_str().unwrap()).or_default().push(decision);
            }
            let missing = seen.iter().filter(|(id, _)| !kept.contains_key(id.as_str())).count();
            if missing == 0 {
                for (id, decision) in seen {
                    assert_eq!(kept[id.as_str()], [*decision], "{id}");
                }
                return records;
            }
            let late = began.elapsed() > Duration::from_secs(30);
            assert!(!late, "{missing} of {} are missing; {}", seen.len(), self.envoy.log_tail());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What the audit says of the export: whether it holds, and its words.
    fn audit(&self, export: &PathBuf) -> (Option<i32>, String) {
        let mut command = Command::new(given("PORTCULLIS_CLI"));
        command.args(["audit", "verify"]).arg(export).arg("--keys").arg(self.keys());
        let output = command.output().unwrap();
        let words = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&words).into_owned())
    }
}

#[test]
fn all_that_clients_saw_is_in_the_record_once_and_the_export_holds_offline() {
    let stand = stand("records", "required");
    let credential = passport(&agent(1), "pp_records").to_header();
    let seen = load(stand.envoy.listen, &credential, 100, &AtomicBool::new(false));
    assert_eq!(seen.len(), 400);
    let records = stand.wait_for_records(&seen);
    let allowed = records.iter().find(|record| record["decision"] == "allow").unwrap();
    assert_eq!(allowed["agent"]["passport_id"], "pp_records");
    assert_eq!(allowed["gate"], json!({"gate_id": GATE, "gate_name": "Flights"}));
    assert_eq!(allowed["request"]["action"], "flights:search");
    assert_eq!(allowed["request"]["cost_cents"], 250);
    assert_eq!(allowed["request"]["estimated_cost_usd"], 2.5);
    let refused = records.iter().find(|record| record["reason_code"] == "credential_missing").unwrap();
    assert_eq!((&refused["agent"], &refused["access_mode"]), (&Value::Null, &json!("none")));
    assert_eq!(refused["decision"], "block");

    let export = stand.export();
    let (code, words) = stand.audit(&export);
    assert_eq!(code, Some(0), "{words}");
    let text = std::fs::read_to_string(&export).unwrap();
    std::fs::write(&export, text.replacen("\"decision\":\"block\"", "\"decision\":\"allow\"", 1)).unwrap();
    let (code, words) = stand.audit(&export);
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("chain_broken") || words.contains("signature_invalid"), "{words}");
}

#[test]
fn nothing_is_lost_when_the_service_is_killed_and_comes_back_under_load() {
    let mut stand = stand("records_killed", "required");
    let credential = passport(&agent(2), "pp_killed").to_header();
    let stop = AtomicBool::new(false);
    let listen = stand.envoy.listen;
    let seen = std::thread::scope(|scope| {
        let loading = scope.spawn(|| load(listen, &credential, usize::MAX, &stop));
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(700));
            // Killed, not asked: whatever it was writing.
            let key = stand.service.as_ref().unwrap().key.clone();
            drop(stand.service.take());
            std::thread::sleep(Duration::from_millis(700));
            stand.service = Some(stand.control.start_with_key(&key).unwrap());
        }
        stop.store(true, Ordering::Relaxed);
        loading.join().unwrap()
    });
    assert!(seen.len() > 300, "{}", seen.len());
    stand.wait_for_records(&seen);
    let (code, words) = stand.audit(&stand.export());
    assert_eq!(code, Some(0), "{words}");
}

#[test]
fn answers_that_get_lost_make_no_record_twice() {
    let stand = stand("records_lost_answers", "required");
    let credential = passport(&agent(3), "pp_lost").to_header();
    let never = AtomicBool::new(false);
    let mut seen = load(stand.envoy.listen, &credential, 20, &never);
    stand.line.set(Fault::Half);
    seen.extend(load(stand.envoy.listen, &credential, 40, &never));
    stand.line.set(Fault::None);
    seen.extend(load(stand.envoy.listen, &credential, 20, &never));
    stand.wait_for_records(&seen);
    let (code, words) = stand.audit(&stand.export());
    assert_eq!(code, Some(0), "{words}");
}

#[test]
fn two_envoys_of_a_gate_write_two_lanes_of_one_log() {
    let stand = stand("records_two", "required");
    let other = stand.another_envoy("records_two_b", &stand.enrolled);
    let credential = passport(&agent(4), "pp_two").to_header();
    let never = AtomicBool::new(false);
    let authority = stand.envoy.listen.to_string();
    let seen: Seen = std::thread::scope(|scope| {
        let sending: Vec<_> = [stand.envoy.listen, other.listen]
            .map(|to| {
                let (authority, credential, never) = (&authority, &credential, &never);
                scope.spawn(move || load_for(authority, to, credential, 60, never))
            })
            .into_iter()
            .collect();
        sending.into_iter().flat_map(|sending| sending.join().unwrap()).collect()
    });
    assert_eq!(seen.len(), 480);
    let records = stand.wait_for_records(&seen);
    let lanes: std::collections::BTreeSet<_> = records.iter().map(|record| record["lane"].as_str()).collect();
    assert_eq!(lanes.len(), 2);
    assert_eq!(seen.values().filter(|decision| **decision == "allow").count(), 480 / 5 * 4);
    let (code, words) = stand.audit(&stand.export());
    assert_eq!(code, Some(0), "{words}");
}

#[test]
fn an_envoy_that_is_drained_leaves_nothing_behind() {
    let stand = stand("records_drained", "required");
    let credential = passport(&agent(5), "pp_drained").to_header();
    let stop = AtomicBool::new(false);
    let (listen, admin) = (stand.envoy.listen, stand.envoy.admin);
    let seen = std::thread::scope(|scope| {
        let loading = scope.spawn(|| load(listen, &credential, usize::MAX, &stop));
        std::thread::sleep(Duration::from_millis(800));
        Request::new("POST", "/drain_listeners?graceful").send(admin).unwrap();
        std::thread::sleep(Duration::from_millis(1200));
        stop.store(true, Ordering::Relaxed);
        loading.join().unwrap()
    });
    assert!(seen.len() > 100, "{}", seen.len());
    stand.wait_for_records(&seen);
}

#[test]
fn before_allow_no_permit_goes_on_whose_record_the_service_does_not_have() {
    let stand = stand("records_before_allow", "before_allow");
    let credential = passport(&agent(6), "pp_before").to_header();
    let stop = AtomicBool::new(false);
    let listen = stand.envoy.listen;
    let seen = std::thread::scope(|scope| {
        let loading = scope.spawn(|| load(listen, &credential, usize::MAX, &stop));
        std::thread::sleep(Duration::from_millis(1500));
        // The proxy dies with whatever it has not delivered.
        let killed = Command::new("kill").args(["-9", &stand.envoy.pid().to_string()]).status().unwrap();
        assert!(killed.success());
        stop.store(true, Ordering::Relaxed);
        loading.join().unwrap()
    });
    let allowed: Seen = seen.into_iter().filter(|(_, decision)| *decision == "allow").collect();
    assert!(allowed.len() > 10, "{}", allowed.len());
    stand.wait_for_records(&allowed);
}

#[test]
fn before_allow_a_permit_that_nobody_acknowledges_is_refused() {
    let stand = stand("records_unacknowledged", "before_allow");
    let signed = passport(&agent(7), "pp_unacknowledged");
    assert_eq!(stand.ask(&signed).0, 200);
    stand.line.set(Fault::Half);
    let began = Instant::now();
    assert_eq!(stand.ask(&signed), (503, "record_unacknowledged".to_owned()));
    assert!(began.elapsed() < Duration::from_secs(5));
    stand.line.set(Fault::None);
    stand.wait_for(&signed, (200, ""));
}
