//! A long log of what two real Envoys of a gate decided, audited offline: whole as it is, and
//! each tampering with it found by its name and at its record. `cargo xtask bench --only
//! tampering` does the same with ten times as many.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]
#![allow(clippy::arithmetic_side_effects, clippy::expect_used, reason = "a test may fail")]

mod live_records;
mod live_stand;

use live_records::{Seen, load_for, stand};
use live_stand::{LiveStand, agent, given, passport};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use xtask::envoy::Envoy;
use xtask::tampering::{self, Log};

/// Decisions, half of them at each Envoy, an equal share by each of four clients there.
const DECISIONS: usize = 10_000;

#[test]
fn each_tampering_with_ten_thousand_decisions_is_found() {
    let stand = stand("tampered", "required");
    let other = stand.another_envoy("tampered_b", &stand.enrolled);
    let mut seen = load_both(&stand, &other, DECISIONS / 2);
    wait_for(&stand, DECISIONS / 2);
    let earlier = stand.checkpoint();
    seen.extend(load_both(&stand, &other, DECISIONS / 2));
    assert_eq!(seen.len(), DECISIONS);
    let records = stand.wait_for_records(&seen);
    assert!(records.len() >= DECISIONS);
    let log = Log {
        cli: &given("PORTCULLIS_CLI"),
        export: &stand.export(),
        keys: &stand.keys(),
        gate_key: &stand.enrolled.key,
        earlier: &earlier,
        folder: stand.folder.path(),
    };
    let found = tampering::each_is_found(&log).unwrap();
    assert_eq!(found.len(), 14, "{found:?}");
}

fn load_both(stand: &LiveStand, other: &Envoy, decisions: usize) -> Seen {
    let credential = passport(&agent(1), "pp_tampered").to_header();
    let (authority, never) = (stand.envoy.listen.to_string(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let loading = [stand.envoy.listen, other.listen].map(|to| {
            let (authority, credential, never) = (&authority, &credential, &never);
            scope.spawn(move || load_for(authority, to, credential, decisions / 8, never))
        });
        loading.into_iter().flat_map(|loading| loading.join().unwrap()).collect()
    })
}

fn wait_for(stand: &LiveStand, size: usize) {
    let began = Instant::now();
    while stand.log_size() < size {
        assert!(began.elapsed() < Duration::from_secs(60), "{}", stand.log_size());
        std::thread::sleep(Duration::from_millis(100));
    }
}
