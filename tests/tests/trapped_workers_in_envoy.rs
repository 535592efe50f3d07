//! Records of a gate in real Envoy whose workers trap again and again, in whatever they do: what
//! clients saw is in the log once, and the chain and the log hold.

use crate::live_records::{Seen, ask, load_of, request, stand};
use crate::live_stand::{LiveStand, agent, counter_of, given, passport, passport_with};
use crate::trapping::{Moment, Trap, trapping};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use xtask::envoy::Envoy;
use xtask::http::Request;

/// How long an Envoy whose workers trap is asked at least.
const LOAD: Duration = Duration::from_secs(4);

/// How long a client rests after a request: some two hundred come in a second then, less than
/// workers deliver that trap with every twelfth batch, after which others wait for six seconds.
const REST: Duration = Duration::from_millis(20);

/// Some ten times what it takes.
const DEADLINE: Duration = Duration::from_secs(120);

/// Workers that must have trapped in each Envoy: four times each of its two.
const TRAPS: usize = 8;

/// Requests that each Envoy must have let through, two thirds of all: a machine that is busy may take
/// long to its first.
const ALLOWED: u64 = 40;

/// How often a function is called before a worker traps. One request in six has a body, which
/// is held; a worker looks for news five times a second.
const AT_REQUESTS: i32 = 40;
const AT_BODIES: i32 = 8;
const AT_TICKS: i32 = 4;
const AT_ANSWERS: i32 = 12;
/// Starting takes some of these calls, and a request several.
const AT_SHARED_DATA: i32 = 150;

#[test]
fn workers_that_trap_before_they_have_done_what_envoy_asks_lose_no_record() {
    survives("before", Moment::Before, &CALLBACKS);
}

#[test]
fn workers_that_trap_after_they_have_done_what_envoy_asks_lose_no_record() {
    survives("after", Moment::After, &CALLBACKS);
}

#[test]
fn workers_that_trap_before_a_call_of_envoy_lose_no_record() {
    survives("calling", Moment::Before, &CALLS);
}

#[test]
fn workers_that_trap_when_envoy_has_done_what_they_ask_lose_no_record() {
    survives("called", Moment::After, &CALLS);
}

const CALLBACKS: [(&str, i32); 4] = [
    ("proxy_on_request_headers", AT_REQUESTS),
    ("proxy_on_request_body", AT_BODIES),
    ("proxy_on_tick", AT_TICKS),
    ("proxy_on_http_call_response", AT_ANSWERS),
];

const CALLS: [(&str, i32); 4] = [
    ("proxy_set_shared_data", AT_SHARED_DATA),
    ("proxy_send_local_response", AT_BODIES),
    ("proxy_replace_header_map_value", AT_REQUESTS),
    ("proxy_http_call", AT_ANSWERS),
];

#[test]
fn before_allow_nothing_that_passed_is_lost_when_workers_trap_and_the_proxy_is_killed() {
    let stand = stand("trapped_before_allow", "before_allow");
    let trap = Trap { function: "proxy_set_shared_data", moment: Moment::After, nth: AT_SHARED_DATA };
    let (envoy, seen) = load_while_trapping(&stand, "trapped_killed", trap);
    let killed = Command::new("kill").args(["-9", &envoy.pid().to_string()]).status().unwrap();
    assert!(killed.success());
    let allowed: Seen = seen.into_iter().filter(|(_, decision)| decision == "allow").collect();
    assert!(allowed.len() > 10, "{}", allowed.len());
    stand.wait_for_records(&allowed);
    let (code, words) = stand.audit(&stand.export());
    assert_eq!(code, Some(0), "{words}");
}

/// Asks one Envoy after the other of one gate, whose workers trap each in another function, and
/// looks for all that clients were told in the one log.
fn survives(name: &str, moment: Moment, functions: &[(&'static str, i32)]) {
    let stand = stand(&format!("trapped_{name}"), "required");
    let (mut seen, mut envoys) = (Seen::new(), Vec::new());
    for (number, (function, nth)) in functions.iter().copied().enumerate() {
        let trap = Trap { function, moment, nth };
        let (envoy, told) = load_while_trapping(&stand, &format!("trapped_{name}_{number}"), trap);
        seen.extend(told);
        envoys.push(envoy);
    }
    assert!(seen.values().any(|decision| decision == "request_hold"));
    // Envoy starts a worker's gate anew when the worker has a request.
    let records = stand.wait_for_records_and(&seen, DEADLINE, || {
        for envoy in &envoys {
            ask(&stand.envoy.listen.to_string(), envoy.listen, &request(None));
        }
    });
    assert_numbers_have_no_gaps(&records, envoys.len());
    let (code, words) = stand.audit(&stand.export());
    assert_eq!(code, Some(0), "{words}");
}

/// Starts an Envoy whose workers trap, and asks it until some have; what clients were told.
fn load_while_trapping(stand: &LiveStand, name: &str, trap: Trap) -> (Envoy, Seen) {
    let file = stand.folder.path().join(format!("{name}.wasm"));
    let plugin = std::fs::read(given("PORTCULLIS_WASM")).unwrap();
    std::fs::write(&file, trapping(&plugin, trap)).unwrap();
    let envoy = stand.closed_envoy_with(name, &stand.enrolled, &file);
    let (authority, requests) = (stand.envoy.listen.to_string(), requests());
    let stop = AtomicBool::new(false);
    let told = std::thread::scope(|scope| {
        let loading = scope.spawn(|| load_of((&authority, envoy.listen), &requests, usize::MAX, REST, &stop));
        let began = Instant::now();
        let has_enough = || {
            let allowed = counter_of(&envoy, "portcullis_decisions.allow.ok");
            traps(&envoy) >= TRAPS && reloads(&envoy) >= TRAPS && allowed >= ALLOWED
        };
        while began.elapsed() < LOAD || !has_enough() {
            if began.elapsed() > DEADLINE {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        stop.store(true, Ordering::Relaxed);
        loading.join().unwrap()
    });
    let (traps, reloads) = (traps(&envoy), reloads(&envoy));
    println!("{trap:?}: {} decisions, {traps} traps, {reloads} new starts", told.len());
    assert!(traps >= TRAPS && reloads >= TRAPS, "{trap:?}: {traps}, {reloads}; {}", envoy.log_tail());
    assert!(told.len() > 50, "{trap:?}: {}; {}", told.len(), envoy.log_tail());
    (envoy, told)
}

/// What is refused, what passes, and what a person must approve, of which one has a body.
fn requests() -> [Request; 6] {
    let good = request(Some(&passport(&agent(1), "pp_trapped").to_header()));
    let held = passport_with(&agent(2), "pp_held", &json!({"core:approval:required": true}));
    let mut held = request(Some(&held.to_header()));
    held.method = "POST".to_owned();
    held.body = b"one seat at the window".to_vec();
    [request(None), good.clone(), held, good.clone(), good.clone(), good]
}

/// How often a worker of this Envoy has trapped: what V8 calls what the copies execute.
fn traps(envoy: &Envoy) -> usize {
    let log = std::fs::read_to_string(&envoy.log).unwrap();
    log.lines().filter(|line| line.contains("failed: Uncaught RuntimeError: unreachable")).count()
}

/// How often a worker of this Envoy has started the gate anew.
fn reloads(envoy: &Envoy) -> usize {
    usize::try_from(counter_of(envoy, "vm_reload_success")).unwrap()
}

fn assert_numbers_have_no_gaps(records: &[Value], least: usize) {
    let mut lanes: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for record in records {
        let number = record["sequence_number"].as_u64().unwrap();
        lanes.entry(record["lane"].as_str().unwrap()).or_default().push(number);
    }
    assert!(lanes.len() >= least, "{}", lanes.len());
    for (lane, numbers) in lanes {
        assert!(numbers.iter().copied().eq(1..=u64::try_from(numbers.len()).unwrap()), "{lane}");
    }
}
