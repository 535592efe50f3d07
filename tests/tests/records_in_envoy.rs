//! Records of what a gate in real Envoy with two workers decides: all of them in the service,
//! once, whatever happens on the way; and an export of them that holds offline.

use crate::live_records::{Seen, load, load_for, stand};
use crate::live_stand::{Fault, GATE, agent, passport};
use serde_json::{Value, json};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use xtask::http::Request;

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
    assert_eq!(seen.values().filter(|decision| *decision == "allow").count(), 480 / 5 * 4);
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
    let allowed: Seen = seen.into_iter().filter(|(_, decision)| decision == "allow").collect();
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
    // Clients of the tests wait no longer than 30 s.
    assert!(began.elapsed() < Duration::from_secs(20));
    stand.line.set(Fault::None);
    stand.wait_for(&signed, (200, ""));
}
