//! A control service that is slow, answers in drips, or hangs, behind a gate in real Envoy: requests
//! are decided at their usual pace, records are kept, and the gate is stale when its time is over.

use crate::live_stand::{Fault, GATE, LiveStand, Wishes, agent, passport};
use crate::steady;
use crate::steady::{Ask, Told, under_load};
use serde_json::json;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use xtask::http::Request;

/// How old trust material may be, in seconds: more than two answers of the slow service take, each of
/// which begins with the 2 s for which a gate asks.
const MAX_AGE: u32 = 16;

/// What an answer may take: less than any of the service's does here, and some thousand times what one
/// takes where nothing else is done. One in `RARE` may take longer, as a machine may stand still for a
/// while; were requests held for a service, most would.
const PACE: Duration = Duration::from_millis(2900);
const RARE: usize = 50;

#[test]
fn a_service_that_is_slow_or_answers_in_drips_slows_no_request_and_is_taken_up() {
    let stand = stand("slow-slow");
    let told = ask_while(&stand, "/steady/slow-", |load| {
        // A machine that is busy with other things may bring heads later than they are good for.
        load.may_fail(true);
        for fault in [Fault::Slow, Fault::Drip] {
            stand.line.set(fault);
            // Heads are taken up all the same, of which the first was asked for before.
            stand.wait_for_counter("portcullis_trust.taken", stand.counter("portcullis_trust.taken") + 2);
            load.pass(20);
        }
        stand.line.set(Fault::None);
    });
    assert!(told.allowed() > 50, "{:?}", told.counts);
    check(&stand, &told, "/steady/slow-");
}

#[test]
fn a_service_that_hangs_slows_no_request_until_its_gate_is_stale_and_loses_no_record() {
    let stand = stand("slow-hanging");
    let told = ask_while(&stand, "/steady/hang-", |load| {
        load.pass(50);
        stand.wait_for_counter("portcullis_trust.taken", stand.counter("portcullis_trust.taken") + 1);
        stand.line.set(Fault::Hang);
        let began = Instant::now();
        load.may_fail(true);
        let good = passport(&agent(1), "pp_slow");
        let ask = || stand.ask_at("/steady/aside", &good);
        while ask().1 != "trust_material_stale" {
            assert!(began.elapsed() < DEADLINE, "it is never stale");
            std::thread::sleep(Duration::from_millis(100));
        }
        // From the last head on, which came a moment before the service fell silent, or longer where a
        // machine stood still.
        let stale_after = began.elapsed();
        assert!(stale_after > Duration::from_secs(u64::from(MAX_AGE) / 2), "{stale_after:?}");
        load.pass(50);
        stand.line.set(Fault::None);
        let began = Instant::now();
        while ask().0 != 200 {
            assert!(began.elapsed() < DEADLINE, "it does not open again");
            std::thread::sleep(Duration::from_millis(100));
        }
        load.pass(50);
    });
    assert!(told.refused("trust_material_stale") > 20, "{:?}", told.counts);
    check(&stand, &told, "/steady/hang-");
}

/// Some times what any of it takes where nothing else is done.
const DEADLINE: Duration = Duration::from_secs(120);

fn stand(name: &str) -> LiveStand {
    let gate = |authority: &str| {
        json!({
            "gate": {"id": GATE}, "profile": "L1", "authorities": [authority],
            "routes": [{"path_prefix": "/steady/", "methods": ["GET"], "action": "flights:search"}],
            "trust": {"self_issued": {"actions": ["flights:*"]}}, "attest": {"policy": "required"},
        })
        .to_string()
    };
    let wishes = Wishes { gate: Some(&gate), max_age_seconds: Some(MAX_AGE), ..Wishes::default() };
    LiveStand::start(name, &wishes)
}

fn ask_while(stand: &LiveStand, prefix: &str, act: impl FnOnce(&steady::Load<'_>)) -> Told {
    let good = passport(&agent(1), "pp_slow").to_header();
    let script = |number: usize, path: &str| {
        let mut request = Request::new("GET", path);
        let (status, reason) = if number.is_multiple_of(4) {
            (401, "credential_missing")
        } else {
            request.headers.push(("agent-passport".to_owned(), good.clone()));
            (200, "")
        };
        Ask { request, status, reason }
    };
    let authority = stand.envoy.listen.to_string();
    steady::REST_MS.store(80, Ordering::Relaxed);
    under_load((&authority, stand.envoy.listen, prefix), &script, act)
}

fn check(stand: &LiveStand, told: &Told, prefix: &str) {
    println!(
        "{prefix}: {} answers, the slowest after {:?}: {:?}",
        told.took.len(),
        told.took.iter().max(),
        told.counts
    );
    assert!(told.wrong.is_empty(), "{} wrong: {:#?}", told.wrong.len(), told.wrong.first());
    let slow = told.took.iter().filter(|took| **took > PACE).count();
    assert!(slow <= told.took.len() / RARE, "{slow} of {}", told.took.len());
    let records = stand.wait_for_records_and(&told.seen, Duration::from_secs(300), || ());
    // The upstream has seen some beside, by whom it was looked whether the gate is open.
    told.check(&records, prefix, u64::try_from(told.allowed()).unwrap());
}
