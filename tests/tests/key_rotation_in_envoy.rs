//! Keys that change under traffic, in real Envoy with two workers: not one wrong decision.

mod live_stand;

use live_stand::{GATE, LiveStand, Wishes, agent, given};
use portcullis_core::base64;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use xtask::control::Service;
use xtask::http::Request;
use xtask::live_gate::{self, KEY_VARIABLE};

/// Two threads that ask without end: one with what must pass, one with what must not.
struct Traffic {
    ends: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    wrong: Arc<Mutex<Vec<String>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Traffic {
    fn start(gate: SocketAddr, good: Vec<String>, bad: &str) -> Self {
        let (ends, asked, wrong) = (Arc::default(), Arc::default(), Arc::default());
        let mut traffic = Traffic { ends, asked, wrong, threads: Vec::new() };
        for headers in [good.into_iter().map(|header| (header, 200)).collect(), vec![(bad.to_owned(), 401)]] {
            traffic.add(gate, headers);
        }
        traffic
    }

    fn add(&mut self, gate: SocketAddr, headers: Vec<(String, u16)>) {
        let (ends, asked, wrong) = (Arc::clone(&self.ends), Arc::clone(&self.asked), Arc::clone(&self.wrong));
        self.threads.push(std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                for (header, wanted) in &headers {
                    let mut request = Request::new("GET", "/flights");
                    request.headers.push(("agent-passport".to_owned(), header.clone()));
                    let answer = request.send(gate).map(|answer| (answer.status, answer.body));
                    asked.fetch_add(1, Ordering::Relaxed);
                    if !answer.as_ref().is_ok_and(|(status, _)| status == wanted) {
                        let told = answer
                            .map(|(status, body)| (status, String::from_utf8_lossy(&body).into_owned()));
                        wrong.lock().unwrap().push(format!("wanted {wanted}, got {told:?}"));
                    }
                }
            }
        }));
    }

    fn end(self) {
        self.ends.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        let wrong = self.wrong.lock().unwrap();
        assert!(wrong.is_empty(), "{} wrong decisions, the first {:?}", wrong.len(), wrong.first());
        assert!(self.asked.load(Ordering::Relaxed) > 100, "there was hardly any traffic");
    }
}

/// The value of `Agent-Passport` for a passport as the service answers it.
fn header(passport: &Value) -> String {
    let text = format!(
        r#"{{"passport_json":{},"signature":{}}}"#,
        passport["passport_json"].as_str().expect("a text"),
        passport["signature"]
    );
    format!(":{}:", base64::encode(text.as_bytes()))
}

fn issued_by_the_gate(stand: &LiveStand) -> String {
    let body = json!({
        "agent_id": "agent_1", "permissions": ["flights:search"],
        "agent_public_key": base64::encode(&agent(1).public_key()),
    });
    header(&stand.call("POST", &format!("/api/gates/{GATE}/passports"), &body))
}

fn issued_by(stand: &LiveStand, issuer: &str) -> String {
    let body = json!({
        "issuer_id": issuer, "agent_id": "agent_2", "permissions": ["flights:search"],
        "agent_public_key": base64::encode(&agent(2).public_key()),
    });
    header(&stand.call("POST", "/api/v1/passports", &body))
}

fn wait(stand: &LiveStand, header: &str, wanted: (u16, &str)) {
    let mut in_a_row = 0;
    for _ in 0..2000 {
        let got = stand.ask_with(("agent-passport", header));
        in_a_row = if got == (wanted.0, wanted.1.to_owned()) { in_a_row + 1 } else { 0 };
        if in_a_row == 20 {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("wanted {wanted:?}, got {:?}", stand.ask_with(("agent-passport", header)));
}

fn keys(stand: &LiveStand, purpose: &str, owner: &str) -> Vec<String> {
    let path = format!("/api/v1/signing-keys?purpose={purpose}&owner={owner}");
    let answer = stand.call("GET", &path, &Value::Null);
    let items = answer["keys"].as_array().expect("a list");
    items.iter().map(|key| key["key_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn keys_of_issuers_and_of_the_gate_change_without_one_wrong_decision() {
    let stand = LiveStand::start("live-rotate-issuers", &Wishes::default());
    let made = stand.call("POST", "/api/v1/issuers", &json!({"name": "Acme", "trust_tier": "L1"}));
    let issuer = made["issuer_id"].as_str().unwrap().to_owned();
    let before = [issued_by_the_gate(&stand), issued_by(&stand, &issuer)];
    for header in &before {
        wait(&stand, header, (200, ""));
    }
    let former = [keys(&stand, "passports", GATE), keys(&stand, "passports", &issuer)].concat();
    let forged = before[0].replace('A', "B");
    let mut traffic = Traffic::start(stand.envoy.listen, before.to_vec(), &forged);
    for owner in [GATE, issuer.as_str()] {
        let body =
            json!({"purpose": "passports", "owner": owner, "lead_seconds": 2, "overlap_seconds": 3600});
        stand.call("POST", "/api/v1/signing-keys/rotate", &body);
    }
    // Those issued before the new keys take over, and those issued after.
    let during = [issued_by_the_gate(&stand), issued_by(&stand, &issuer)];
    traffic.add(stand.envoy.listen, during.iter().map(|header| (header.clone(), 200)).collect());
    std::thread::sleep(Duration::from_secs(3));
    let after = [issued_by_the_gate(&stand), issued_by(&stand, &issuer)];
    traffic.add(stand.envoy.listen, after.iter().map(|header| (header.clone(), 200)).collect());
    std::thread::sleep(Duration::from_secs(1));
    traffic.end();

    // A key that was stolen ends at once, and with it all that it signed.
    for key in former {
        stand.call("POST", &format!("/api/v1/signing-keys/{key}/retire"), &json!({}));
    }
    for header in before.iter().chain(&during) {
        wait(&stand, header, (401, "signature_key_unavailable"));
    }
    for header in &after {
        wait(&stand, header, (200, ""));
    }
}

/// A successor of the trust key that takes over once it is told to.
fn make_successor(service: &Service) {
    let body = json!({"purpose": "trust", "lead_seconds": 86400, "overlap_seconds": 86400});
    live_gate::call(service, "POST", "/api/v1/signing-keys/rotate", &body).unwrap();
}

#[test]
fn a_gate_that_pins_both_trust_keys_notices_nothing_when_they_change() {
    let stand =
        LiveStand::start("live-rotate-trust", &Wishes { before: Some(make_successor), ..Wishes::default() });
    let good = issued_by_the_gate(&stand);
    wait(&stand, &good, (200, ""));
    let traffic = Traffic::start(stand.envoy.listen, vec![good.clone()], &good.replace('A', "B"));
    let [_, former] = keys(&stand, "trust", "service").try_into().expect("two keys, the newest first");
    let taken = stand.counter("portcullis_trust.taken");
    stand.call("POST", &format!("/api/v1/signing-keys/{former}/retire"), &json!({}));
    stand.wait_for_counter("portcullis_trust.taken", taken + 3);
    traffic.end();
    assert_eq!(stand.counter("portcullis_trust.unknown_key"), 0);
    // What changes now comes by the successor's signature.
    let agent = agent(3);
    let revoked = live_stand::passport(&agent, "pp_self_a");
    stand.wait_for(&revoked, (200, ""));
    stand.revoke(&agent, &revoked);
    stand.wait_for(&revoked, (401, "passport_revoked"));
}

#[test]
fn a_gate_that_pins_the_former_trust_key_only_believes_nothing_new() {
    let stand = LiveStand::start("live-rotate-unpinned", &Wishes::default());
    let good = issued_by_the_gate(&stand);
    wait(&stand, &good, (200, ""));
    make_successor(stand.service.as_ref().unwrap());
    let [_, former] = keys(&stand, "trust", "service").try_into().expect("two keys, the newest first");
    stand.call("POST", &format!("/api/v1/signing-keys/{former}/retire"), &json!({}));
    stand.wait_for_counter("portcullis_trust.unknown_key", 0);
    wait(&stand, &good, (200, ""));
}

#[test]
fn a_gate_goes_on_with_its_former_key_until_that_is_ended() {
    let stand = LiveStand::start("live-rotate-gate", &Wishes::default());
    let good = issued_by_the_gate(&stand);
    wait(&stand, &good, (200, ""));
    let traffic = Traffic::start(stand.envoy.listen, vec![good.clone()], &good.replace('A', "B"));
    let (env, next) = (stand.folder.path().join(format!("{GATE}.env")), stand.folder.path().join("next.env"));
    let output = std::process::Command::new(given("PORTCULLIS_CLI"))
        .args(["gate", "rotate", "--gate", GATE, "--service", &stand.service.as_ref().unwrap().url()])
        .arg("--env")
        .arg(&env)
        .arg("--out")
        .arg(&next)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&next).unwrap();
    assert!(text.starts_with(&format!("{KEY_VARIABLE}=")), "a file for the environment");
    let taken = stand.counter("portcullis_trust.taken");
    stand.wait_for_counter("portcullis_trust.taken", taken + 2);

    let keys = stand.call("GET", &format!("/api/v1/gates/{GATE}/keys"), &Value::Null);
    let former =
        keys.as_array().unwrap().iter().find(|key| !key["not_after"].is_null()).expect("one that ends");
    let former = former["key_id"].as_str().unwrap();
    let refused = stand.counter("portcullis_trust.status");
    stand.call("DELETE", &format!("/api/v1/gates/{GATE}/keys/{former}"), &Value::Null);
    stand.wait_for_counter("portcullis_trust.status", refused);
    // It hears nothing new, and goes on by what it has.
    wait(&stand, &good, (200, ""));
    traffic.end();
}
