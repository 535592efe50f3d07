//! Keys change under traffic, in real Envoy with two workers: not one request is decided
//! wrongly meanwhile.

use crate::live_stand::{GATE, LiveStand, Wishes, agent, counter_of, given, passport};
use portcullis_core::base64;
use portcullis_core::modei::Signed;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};
use xtask::http::{Request, exchange};
use xtask::live_gate::{Enrolled, KEY_VARIABLE};

#[test]
fn passports_of_both_keys_are_good_until_the_overlap_ends() {
    let stand = LiveStand::start("rotate-issuers-overlap", &Wishes::default());
    let issuer = managed_issuer(&stand);
    let traffic = Traffic::start(&stand);
    let owners = [issuer.as_str(), GATE];
    let before = owners.map(|owner| traffic.take_good(&issue(&stand, owner)));
    let lasting = traffic.take_good(&passport(&agent(30), "pp_self_lasting"));
    let revoked = passport(&agent(30), "pp_self_revoked");
    stand.revoke(&agent(30), &revoked);
    stand.wait_for(&revoked, (401, "passport_revoked"));
    traffic.take_refused(&revoked, &["passport_revoked"]);

    // The ends are as the service says them: while the key leads, and by the overlap.
    let made = owners.map(|owner| {
        rotate(
            &stand,
            &json!({"purpose": "passports", "owner": owner, "lead_seconds": 3, "overlap_seconds": 4}),
        )
    });
    let new_ids = made.clone().map(|made| made["key_id"].clone());
    let takes_over = made.iter().map(|made| millis(&made["signs_from"])).max().unwrap();
    let mut former = before.to_vec();
    let mut latter = Vec::new();
    // Until well after the take-over, a passport of each every fifth of a second.
    while now() < takes_over + 1_500 {
        for owner in owners {
            let passport = issue(&stand, owner);
            let signed_by_new = new_ids.contains(&signer(&stand, &passport));
            let good = traffic.take_good(&passport);
            if signed_by_new { latter.push(good) } else { former.push(good) }
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(former.len() > 6 && latter.len() > 4, "{} and {}", former.len(), latter.len());
    let ends: Vec<u64> = made.iter().map(|made| millis(&made["signs_from"]) + 4_000).collect();
    for case in &former {
        case.ends_between(
            *ends.iter().min().unwrap() - MARGIN,
            *ends.iter().max().unwrap() + MARGIN,
            AFTER_ITS_KEY,
        );
    }
    sleep_until(ends.iter().max().unwrap() + 1_500);
    traffic.end();
    assert!(former.iter().all(|case| case.refused() > 0), "each worker has refused what has ended");
    assert!(latter.iter().chain([&lasting]).all(|case| case.allowed() > 0));
}

#[test]
fn what_a_retired_key_signed_is_refused_and_its_successors_is_not() {
    let stand = LiveStand::start("rotate-issuers-retire", &Wishes::default());
    let issuer = managed_issuer(&stand);
    let traffic = Traffic::start(&stand);
    for owner in [issuer.as_str(), GATE] {
        let compromised = newest_key(&stand, "passports", owner);
        let former = traffic.take_good(&issue(&stand, owner));
        rotate(&stand, &json!({"purpose": "passports", "owner": owner, "lead_seconds": 2}));
        std::thread::sleep(Duration::from_millis(3_000));
        let latter = traffic.take_good(&issue(&stand, owner));
        // From before the call until the gate has it, either is right.
        former.ends_between(now(), u64::MAX, AFTER_ITS_KEY);
        stand.call("POST", &format!("/api/v1/signing-keys/{compromised}/retire"), &json!({}));
        former.refused_from(now() + TAKEN_UP);
        std::thread::sleep(Duration::from_millis(TAKEN_UP + 1_000));
        assert!(former.refused() > 0 && latter.allowed() > 0, "{owner}");
    }
    traffic.end();
}

#[test]
fn a_gates_own_key_is_changed_without_a_gap() {
    let stand = LiveStand::start("rotate-gate", &Wishes::default());
    let traffic = Traffic::start(&stand);
    let holder = agent(31);
    traffic.take_good(&passport(&holder, "pp_self_lasting"));
    let former = gate_keys(&stand).remove(0);
    let (present, next) =
        (stand.folder.path().join(format!("{GATE}.env")), stand.folder.path().join("next.env"));
    let output = Command::new(given("PORTCULLIS_CLI"))
        .args(["gate", "rotate", "--gate", GATE, "--service", &stand.service.as_ref().unwrap().url()])
        .arg("--env")
        .arg(&present)
        .arg("--out")
        .arg(&next)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let key = std::fs::read_to_string(&next).unwrap();
    let key = key.trim().strip_prefix(KEY_VARIABLE).unwrap().strip_prefix('=').unwrap().to_owned();
    assert_ne!(key, stand.enrolled.key);

    let enrolled = Enrolled { key, config: stand.enrolled.config.clone() };
    let second = stand.another_envoy("rotate-gate-second", &enrolled);
    traffic.also_to(second.listen);
    let revoke = |id: &str, of: &[SocketAddr]| {
        let revoked = passport(&holder, id);
        stand.revoke(&holder, &revoked);
        let case = traffic.take(&revoked, Expected::from(now() + TAKEN_UP, &["passport_revoked"]));
        case.only_at(of);
        revoked
    };
    // Both keys are told what is new.
    revoke("pp_self_both", &[stand.envoy.listen, second.listen]);
    std::thread::sleep(Duration::from_millis(TAKEN_UP + 500));

    let (before, at_second) =
        (stand.counter("portcullis_trust.status"), counter_of(&second, "portcullis_trust.status"));
    stand.call("DELETE", &format!("/api/v1/gates/{GATE}/keys/{former}"), &json!({}));
    stand.wait_for_counter("portcullis_trust.status", before);
    revoke("pp_self_new_key_only", &[second.listen]);
    // The former goes on by what it had.
    let unknown = passport(&holder, "pp_self_new_key_only");
    assert_eq!(stand.ask(&unknown), (200, String::new()));
    std::thread::sleep(Duration::from_millis(TAKEN_UP + 500));
    assert_eq!(stand.ask(&unknown), (200, String::new()));
    assert_eq!(counter_of(&second, "portcullis_trust.status"), at_second, "the new key is refused nothing");
    traffic.end();
}

#[test]
fn the_trust_key_changes_under_gates_that_pin_both_and_one_that_does_not_keeps_what_it_had() {
    let stand = LiveStand::start("rotate-trust", &Wishes::default());
    let traffic = Traffic::start(&stand);
    let holder = agent(32);
    traffic.take_good(&passport(&holder, "pp_self_lasting"));
    let former = newest_key(&stand, "trust", "service");
    let made = rotate(&stand, &json!({"purpose": "trust", "lead_seconds": 12, "overlap_seconds": 3600}));
    let takes_over = millis(&made["signs_from"]);

    let mut config: Value = serde_json::from_str(&stand.enrolled.config).unwrap();
    config["service"]["keys"].as_array_mut().unwrap().push(made["pin"].clone());
    let enrolled = Enrolled { config: config.to_string(), key: stand.enrolled.key.clone() };
    let second = stand.another_envoy("rotate-trust-second", &enrolled);
    assert!(now() < takes_over, "the second gate is there before the new key takes over");
    traffic.also_to(second.listen);
    let both = [stand.envoy.listen, second.listen];
    // A revocation each half second, through the moment of take-over.
    let mut number = 0;
    let mut revoke = |of: &[SocketAddr]| {
        number += 1;
        let revoked = passport(&holder, &format!("pp_self_{number}"));
        stand.revoke(&holder, &revoked);
        traffic.take(&revoked, Expected::from(now() + TAKEN_UP, &["passport_revoked"])).only_at(of);
        std::thread::sleep(Duration::from_millis(500));
        revoked
    };
    while now() + TAKEN_UP + 500 < takes_over {
        revoke(&both);
    }
    while now() < takes_over + TAKEN_UP {
        revoke(&both[1..]);
    }
    stand.wait_for_counter("portcullis_trust.unknown_key", 0);
    let unknown = revoke(&both[1..]);
    std::thread::sleep(Duration::from_millis(TAKEN_UP));
    assert_eq!(stand.ask(&unknown), (200, String::new()), "who does not know the key keeps what it had");
    assert_eq!(counter_of(&second, "portcullis_trust.unknown_key"), 0);

    stand.call("POST", &format!("/api/v1/signing-keys/{former}/retire"), &json!({}));
    revoke(&both[1..]);
    std::thread::sleep(Duration::from_millis(TAKEN_UP));
    // Who pins only the successor is started on what it signs.
    let mut config: Value = serde_json::from_str(&stand.enrolled.config).unwrap();
    config["service"]["keys"] = json!([made["pin"]]);
    let enrolled = Enrolled { config: config.to_string(), key: stand.enrolled.key.clone() };
    let third = stand.another_envoy("rotate-trust-third", &enrolled);
    traffic.also_to(third.listen);
    std::thread::sleep(Duration::from_millis(1_000));
    assert_eq!(counter_of(&third, "portcullis_trust.unknown_key"), 0);
    traffic.end();
}

/// A gate takes up what is new within a second where nothing else is done; the machine may
/// be busy. In milliseconds, as all times here.
const TAKEN_UP: u64 = 2_500;

/// Envoy's clock is read once in each turn of a worker.
const MARGIN: u64 = 300;

/// Why a passport of an ended key is refused.
const AFTER_ITS_KEY: &[&str] = &["signature_key_unavailable"];

fn managed_issuer(stand: &LiveStand) -> String {
    let made = stand.call("POST", "/api/v1/issuers", &json!({"name": "Acme", "actions": ["flights:*"]}));
    // The gate has it before its first passport is shown.
    let id = made["issuer_id"].as_str().unwrap().to_owned();
    stand.wait_for(&issue(stand, &id), (200, ""));
    id
}

fn issue(stand: &LiveStand, owner: &str) -> Signed {
    let mut asked = json!({
        "agent_id": "agent-1", "agent_public_key": base64::encode(&agent(33).public_key()),
        "permissions": ["flights:search"],
    });
    let issued = if owner == GATE {
        stand.call("POST", &format!("/api/gates/{GATE}/passports"), &asked)
    } else {
        asked["issuer_id"] = json!(owner);
        stand.call("POST", "/api/v1/passports", &asked)
    };
    let envelope: Value = serde_json::from_str(issued["passport_json"].as_str().unwrap()).unwrap();
    let wire = json!({"passport_json": envelope, "signature": issued["signature"]});
    Signed::from_json(wire.to_string().as_bytes()).unwrap()
}

/// The id of the key that signed a passport.
fn signer(stand: &LiveStand, passport: &Signed) -> Value {
    let wire: Value = serde_json::from_str(&passport.to_json()).unwrap();
    let id = wire["passport_json"]["passport_id"].as_str().unwrap().to_owned();
    let record = stand.call("GET", &format!("/api/v1/passports/{id}"), &json!({}));
    let bytes = base64::decode(record["public_key"].as_str().unwrap()).unwrap();
    json!(base64::encode_url(&portcullis_core::sha256(&bytes)))
}

fn rotate(stand: &LiveStand, body: &Value) -> Value {
    stand.call("POST", "/api/v1/signing-keys/rotate", body)
}

fn newest_key(stand: &LiveStand, purpose: &str, owner: &str) -> String {
    let page =
        stand.call("GET", &format!("/api/v1/signing-keys?purpose={purpose}&owner={owner}"), &json!({}));
    page["keys"][0]["key_id"].as_str().unwrap().to_owned()
}

fn gate_keys(stand: &LiveStand) -> Vec<String> {
    let keys = stand.call("GET", &format!("/api/v1/gates/{GATE}/keys"), &json!({}));
    keys.as_array().unwrap().iter().map(|key| key["key_id"].as_str().unwrap().to_owned()).collect()
}

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn sleep_until(time: u64) {
    std::thread::sleep(Duration::from_millis(time.saturating_sub(now())));
}

fn millis(iso: &Value) -> u64 {
    let time = portcullis_core::UnixTime::from_iso(iso.as_str().unwrap()).unwrap();
    u64::try_from(time.as_millis()).unwrap()
}

/// Threads that ask for every passport again and again, and check each answer.
struct Traffic {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    authority: String,
    proxies: Mutex<Vec<SocketAddr>>,
    cases: Mutex<Vec<Arc<Case>>>,
    wrong: Mutex<Vec<String>>,
    asked: AtomicUsize,
    ends: AtomicBool,
}

/// A passport, and what is right to answer when.
struct Case {
    id: String,
    header: String,
    expected: Mutex<Expected>,
    only_at: Mutex<Vec<SocketAddr>>,
    allowed: AtomicUsize,
    refused: AtomicUsize,
}

/// Allowed until then, refused from then on; between, either.
#[derive(Clone)]
struct Expected {
    allowed_until: u64,
    refused_from: u64,
    reasons: Vec<String>,
}

impl Expected {
    fn from(refused_from: u64, reasons: &[&str]) -> Self {
        let reasons = reasons.iter().map(|reason| (*reason).to_owned()).collect();
        Expected { allowed_until: 0, refused_from, reasons }
    }
}

impl Case {
    fn ends_between(&self, allowed_until: u64, refused_from: u64, reasons: &[&str]) {
        *self.expected.lock().unwrap() = Expected { allowed_until, ..Expected::from(refused_from, reasons) };
    }

    fn refused_from(&self, time: u64) {
        self.expected.lock().unwrap().refused_from = time;
    }

    /// Elsewhere nothing is asked.
    fn only_at(&self, proxies: &[SocketAddr]) {
        *self.only_at.lock().unwrap() = proxies.to_vec();
    }

    fn allowed(&self) -> usize {
        self.allowed.load(Ordering::Relaxed)
    }

    fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Traffic {
    fn start(stand: &LiveStand) -> Self {
        let shared = Arc::new(Shared {
            authority: stand.envoy.listen.to_string(),
            proxies: Mutex::new(vec![stand.envoy.listen]),
            cases: Mutex::new(Vec::new()),
            wrong: Mutex::new(Vec::new()),
            asked: AtomicUsize::new(0),
            ends: AtomicBool::new(false),
        });
        // Connections of several threads fall to both workers.
        let threads = (0..4)
            .map(|_| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.go_on())
            })
            .collect();
        Traffic { shared, threads }
    }

    fn also_to(&self, proxy: SocketAddr) {
        self.shared.proxies.lock().unwrap().push(proxy);
    }

    fn take(&self, passport: &Signed, expected: Expected) -> Arc<Case> {
        let wire: Value = serde_json::from_str(&passport.to_json()).unwrap();
        let case = Arc::new(Case {
            id: wire["passport_json"]["passport_id"].as_str().unwrap().to_owned(),
            header: passport.to_header(),
            expected: Mutex::new(expected),
            only_at: Mutex::new(Vec::new()),
            allowed: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
        });
        self.shared.cases.lock().unwrap().push(Arc::clone(&case));
        case
    }

    fn take_good(&self, passport: &Signed) -> Arc<Case> {
        self.take(passport, Expected { allowed_until: u64::MAX, ..Expected::from(u64::MAX, &[]) })
    }

    fn take_refused(&self, passport: &Signed, reasons: &[&str]) -> Arc<Case> {
        self.take(passport, Expected::from(0, reasons))
    }

    /// Ends it. Not one answer was wrong.
    fn end(self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        let wrong = self.shared.wrong.lock().unwrap();
        let asked = self.shared.asked.load(Ordering::Relaxed);
        let shown = &wrong[..wrong.len().min(10)];
        assert!(wrong.is_empty(), "{} of {asked} are wrong: {shown:#?}", wrong.len());
        assert!(asked > 200, "there was traffic: {asked}");
        println!("{asked} requests, none decided wrongly");
    }
}

impl Shared {
    fn go_on(&self) {
        while !self.ends.load(Ordering::Relaxed) {
            let cases = self.cases.lock().unwrap().clone();
            let proxies = self.proxies.lock().unwrap().clone();
            for case in &cases {
                for proxy in &proxies {
                    self.ask(case, *proxy);
                }
            }
            // The service and the proxies are to have their share of the machine.
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn ask(&self, case: &Case, proxy: SocketAddr) {
        let only_at = case.only_at.lock().unwrap().clone();
        if !only_at.is_empty() && !only_at.contains(&proxy) {
            return;
        }
        let mut request = Request::new("GET", "/flights");
        request.headers.push(("agent-passport".to_owned(), case.header.clone()));
        let before = now();
        let answer = exchange(proxy, &request.to_bytes(&self.authority, true));
        let after = now();
        let answer = answer.map(|answer| {
            let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            (answer.status, body["reason_code"].as_str().unwrap_or_default().to_owned())
        });
        self.asked.fetch_add(1, Ordering::Relaxed);
        let expected = case.expected.lock().unwrap().clone();
        let is_right = match &answer {
            Ok((200, _)) => {
                case.allowed.fetch_add(1, Ordering::Relaxed);
                before < expected.refused_from
            }
            Ok((401 | 403, reason)) => {
                case.refused.fetch_add(1, Ordering::Relaxed);
                after > expected.allowed_until && expected.reasons.contains(reason)
            }
            Ok(_) | Err(_) => false,
        };
        if !is_right {
            let wrong = format!(
                "{} at {proxy}, {before} to {after}: {answer:?}, allowed until {}, refused from {}",
                case.id, expected.allowed_until, expected.refused_from
            );
            self.wrong.lock().unwrap().push(wrong);
        }
    }
}
