//! A long log of what two real Envoys of a gate decided, audited offline: whole as it is, and
//! each tampering with it found by its name and at its record. `cargo xtask bench --only
//! tampering` does the same with ten times as many.

use crate::live_records::{Seen, load, load_for, stand};
use crate::live_stand::{LiveStand, agent, given, passport};
use std::path::Path;
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

#[test]
fn a_service_that_is_set_back_is_found_by_a_checkpoint_of_before() {
    let mut stand = stand("set_back", "required");
    let credential = passport(&agent(1), "pp_set_back").to_header();
    let never = AtomicBool::new(false);
    let seen = load(stand.envoy.listen, &credential, 50, &never);
    stand.wait_for_records(&seen);
    let backup = tempfile::tempdir().unwrap();
    while_it_rests(&mut stand, |database| copy(database, backup.path()));
    let more = load(stand.envoy.listen, &credential, 50, &never);
    stand.wait_for_records(&more);
    let kept = stand.checkpoint();
    assert_eq!(stand.audit_since(&stand.export(), Some(&kept)).0, Some(0));
    while_it_rests(&mut stand, |database| copy(backup.path(), database));
    let (code, words) = stand.audit(&stand.export());
    assert_eq!(code, Some(0), "{words}");
    let (code, words) = stand.audit_since(&stand.export(), Some(&kept));
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("checkpoint_inconsistent"), "{words}");

    // The gate notices, too: nothing that it decides now comes after a hole.
    let size = stand.log_size();
    load(stand.envoy.listen, &credential, 5, &never);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(stand.log_size(), size);
}

/// Ends the service, does something to the folder with its database, and starts it again.
fn while_it_rests(stand: &mut LiveStand, change: impl FnOnce(&Path)) {
    let service = stand.service.take().unwrap();
    let key = service.key.clone();
    service.end().unwrap();
    change(stand.folder.path());
    stand.service = Some(stand.control.start_with_key(&key).unwrap());
}

/// Puts the database in one folder in the place of the one in another.
fn copy(from: &Path, to: &Path) {
    let is_database = |name: &str| name.starts_with("control.db");
    let files = |folder: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        entries.map(|name| name.into_string().unwrap()).filter(|name| is_database(name)).collect()
    };
    for name in files(to) {
        std::fs::remove_file(to.join(name)).unwrap();
    }
    let names = files(from);
    assert!(!names.is_empty());
    for name in names {
        std::fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
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
