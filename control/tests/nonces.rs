//! The nonce authority: what is used at one of a gate's proxies is used at all of them.

use crate::common::Bench;
use crate::common::gates::{enrolled, signed, text};
use crate::common::passports::now;
use portcullis_core::live::{Call, NonceDecision, NonceQuestion, ServiceKeys};
use portcullis_core::{SecretKey, base64};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};
use xtask::http::{Request, Response};
use xtask::on_every_database;

on_every_database!(
    a_nonce_is_new_once_for_its_gate_and_key,
    of_fifty_that_ask_at_once_one_is_told_that_it_is_new,
    a_gate_asks_for_itself_alone,
    questions_of_another_form_are_refused,
    a_gate_has_so_much_room_and_a_key_a_quarter_of_it,
    what_cannot_be_used_any_more_is_forgotten_and_nothing_else,
    questions_about_nonces_are_counted_apart_from_other_calls,
    a_backup_has_no_nonces,
);

/// A gate as a proxy runs it, but for the proxy.
struct Gate {
    id: String,
    key: SecretKey,
    keys: ServiceKeys,
}

impl Gate {
    /// Makes a gate in the service and enrols it.
    fn enrolled(bench: &Bench, id: &str, seed: u8) -> Self {
        let key = SecretKey::from_seed([seed; 32]);
        let config = enrolled(bench, id, &key);
        Gate { id: id.to_owned(), key, keys: ServiceKeys::new(&config.service.keys).unwrap() }
    }

    fn path(&self) -> String {
        format!("/gate/v1/gates/{}/nonces", self.id)
    }

    fn send(&self, to: SocketAddr, body: &str) -> Response {
        signed(to, &self.key, ("POST", &self.path(), "", body.as_bytes()), now(), [7; 16])
    }

    /// Asks, and believes nothing that is not signed for this question.
    fn ask(&self, to: SocketAddr, asked: &NonceQuestion) -> NonceDecision {
        let answer = self.send(to, &asked.to_json());
        assert_eq!(answer.status, 200, "{}", text(&answer));
        assert_eq!(answer.header("content-type"), Some("application/jose"));
        asked.read_answer(&answer.body, &self.id, &self.keys, now()).unwrap()
    }

    fn status(&self, to: SocketAddr, asked: &NonceQuestion) -> (u16, Value) {
        let answer = self.send(to, &asked.to_json());
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
    }
}

/// A question about a nonce of an agent, with a random of its own.
fn about(agent: u8, nonce: u8) -> NonceQuestion {
    static ASKED: AtomicU8 = AtomicU8::new(0);
    let random = [ASKED.fetch_add(1, Ordering::Relaxed); 16];
    NonceQuestion { key: [agent; 32], nonce: [nonce; 32], until: now().plus_millis(60_000), random }
}

fn restarted(mut bench: Bench) -> Bench {
    let (key, control) = (bench.service.key.clone(), bench.control.clone());
    bench.service.end().unwrap();
    bench.service = control.start_with_key(&key).unwrap();
    bench
}

fn a_nonce_is_new_once_for_its_gate_and_key(database: Option<&str>) {
    let bench = Bench::new(database);
    let to = bench.service.address;
    let (gate, other) = (Gate::enrolled(&bench, "gate_a", 1), Gate::enrolled(&bench, "gate_b", 2));
    let first = about(1, 1);
    assert_eq!(gate.ask(to, &first), NonceDecision::New);
    assert_eq!(gate.ask(to, &first), NonceDecision::Seen, "the very same question");
    assert_eq!(gate.ask(to, &about(1, 1)), NonceDecision::Seen);
    assert_eq!(gate.ask(to, &about(1, 2)), NonceDecision::New, "another nonce");
    assert_eq!(gate.ask(to, &about(2, 1)), NonceDecision::New, "another agent's");
    assert_eq!(other.ask(to, &about(1, 1)), NonceDecision::New, "at another gate");
    // An answer is one to its question, and to no other.
    let asked = about(1, 3);
    let answer = gate.send(to, &asked.to_json()).body;
    for other in [about(1, 3), NonceQuestion { key: [2; 32], ..asked.clone() }] {
        assert_eq!(other.read_answer(&answer, "gate_a", &gate.keys, now()).unwrap_err().code(), "wrong_echo");
    }
    assert!(asked.read_answer(&answer, "gate_a", &gate.keys, now()).is_ok());
    let metrics = bench.service.call("GET", "/metrics", None).unwrap();
    let metrics = text(&metrics);
    for line in [
        "portcullis_nonces_total{answer=\"new\"} 5",
        "portcullis_nonces_total{answer=\"seen\"} 2",
        "portcullis_nonces_kept{gate=\"gate_a\"} 4",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    // It is not the process that remembers.
    let bench = restarted(bench);
    assert_eq!(gate.ask(bench.service.address, &about(1, 1)), NonceDecision::Seen);
}

fn of_fifty_that_ask_at_once_one_is_told_that_it_is_new(database: Option<&str>) {
    let bench = Bench::new(database);
    let gate = Gate::enrolled(&bench, "gate_a", 1);
    let mut instances = vec![bench.service.address];
    // SQLite serves one instance.
    let second = database.map(|_| {
        let mut control = bench.control.clone();
        [control.address] = xtask::net::free().unwrap();
        control.start_with_key(&bench.service.key).unwrap()
    });
    instances.extend(second.iter().map(|service| service.address));
    for nonce in 0..5 {
        let barrier = Barrier::new(50);
        let new = std::thread::scope(|scope| {
            let asking: Vec<_> = (0..50)
                .map(|task| {
                    let (gate, barrier, to) = (&gate, &barrier, instances[task % instances.len()]);
                    scope.spawn(move || {
                        barrier.wait();
                        gate.ask(to, &about(1, nonce))
                    })
                })
                .collect();
            asking.into_iter().map(|task| task.join().unwrap()).collect::<Vec<_>>()
        });
        let new = new.into_iter().filter(|decision| *decision == NonceDecision::New).count();
        assert_eq!(new, 1, "of the nonce {nonce}");
    }
}

fn a_gate_asks_for_itself_alone(database: Option<&str>) {
    let bench = Bench::new(database);
    let to = bench.service.address;
    let (gate, other) = (Gate::enrolled(&bench, "gate_a", 1), Gate::enrolled(&bench, "gate_b", 2));
    let body = about(1, 1).to_json();
    let by = |key: &SecretKey| signed(to, key, ("POST", &gate.path(), "", body.as_bytes()), now(), [9; 16]);
    assert_eq!(by(&other.key).status, 403, "another gate's key");
    assert_eq!(by(&SecretKey::from_seed([9; 32])).status, 401, "nobody's key");
    // Signed over another body, and not at all.
    let (authority, path) = (to.to_string(), gate.path());
    let call = Call { method: "POST", authority: &authority, path: &path, query: "", body: b"{}" };
    let headers = call.sign(&gate.key, now(), &[1; 16]);
    let mut request = Request::new("POST", &path);
    request.body = body.clone().into_bytes();
    assert_eq!(request.send(to).unwrap().status, 401);
    request.headers = headers.into_iter().map(|(n, v)| (n.to_owned(), v)).collect();
    assert_eq!(request.send(to).unwrap().status, 401);
    assert_eq!(bench.call("POST", &path, Some(serde_json::from_str(&body).unwrap())).0, 401, "an API key");
    // None of them has used it up.
    assert_eq!(gate.ask(to, &about(1, 1)), NonceDecision::New);
}

fn questions_of_another_form_are_refused(database: Option<&str>) {
    let bench = Bench::new(database);
    let to = bench.service.address;
    let gate = Gate::enrolled(&bench, "gate_a", 1);
    let good: Value = serde_json::from_str(&about(1, 1).to_json()).unwrap();
    let seconds = now().as_millis().div_euclid(1000);
    for (member, value) in [
        ("key", json!("AAAA")),
        ("key", json!(base64::encode(&[0; 32]))),
        ("nonce", json!(null)),
        ("nonce", json!("_".repeat(43))),
        ("random", json!("")),
        ("until", json!("1")),
        ("until", json!(-1)),
        ("until", json!(1.5)),
        ("until", json!(seconds.saturating_sub(62))),
        ("until", json!(seconds.saturating_add(2 * 3600 + 2))),
    ] {
        let mut body = good.clone();
        body[member] = value.clone();
        let answer = gate.send(to, &body.to_string());
        let told: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((answer.status, told["field"].as_str()), (422, Some(member)), "{value}: {told}");
    }
    let mut more = good.clone();
    more["more"] = json!(1);
    let twice = good.to_string().replacen('{', "{\"until\":1,", 1);
    let array = json!([good["key"], good["nonce"], good["random"], good["until"]]).to_string();
    for body in [more.to_string(), twice, array, "{}".to_owned(), good.to_string().replacen('{', "", 1)] {
        assert_eq!(gate.send(to, &body).status, 422, "{body}");
    }
    for (member, seconds) in [("until", seconds.saturating_sub(50)), ("until", seconds.saturating_add(7000))]
    {
        let mut body = good.clone();
        body[member] = json!(seconds);
        body["nonce"] = json!(base64::encode_url(&[u8::try_from(seconds % 251).unwrap(); 32]));
        assert_eq!(gate.send(to, &body.to_string()).status, 200, "{body}");
    }
}

fn a_gate_has_so_much_room_and_a_key_a_quarter_of_it(database: Option<&str>) {
    let bench = Bench::with(database, &["--most-nonces", "8"]);
    let to = bench.service.address;
    let (gate, other) = (Gate::enrolled(&bench, "gate_a", 1), Gate::enrolled(&bench, "gate_b", 2));
    for nonce in 0..2 {
        assert_eq!(gate.ask(to, &about(1, nonce)), NonceDecision::New);
    }
    // Shares are counted each minute, and at the start.
    let bench = restarted(bench);
    let to = bench.service.address;
    assert_eq!(gate.status(to, &about(1, 2)).0, 429);
    assert_eq!(other.ask(to, &about(1, 2)), NonceDecision::New, "its share of another gate");
    for nonce in 0..6 {
        assert_eq!(gate.ask(to, &about(2, nonce)), NonceDecision::New);
    }
    let (status, told) = gate.status(to, &about(3, 1));
    assert_eq!((status, told["code"].as_str()), (503, Some("nonces_full")));
    assert_eq!(other.ask(to, &about(3, 1)), NonceDecision::New, "the other gate's room");
    let metrics = text(&bench.service.call("GET", "/metrics", None).unwrap());
    assert!(metrics.contains("portcullis_nonces_total{answer=\"refused\"} 2"), "{metrics}");
}

fn what_cannot_be_used_any_more_is_forgotten_and_nothing_else(database: Option<&str>) {
    let bench = Bench::new(database);
    let gate = Gate::enrolled(&bench, "gate_a", 1);
    for nonce in 0..3 {
        gate.ask(bench.service.address, &about(1, nonce));
    }
    let edge = now().as_millis().saturating_sub(1);
    let forgotten = base64::encode_url(&[0; 32]);
    bench.sql(&format!("UPDATE gate_nonces SET forget_at = {edge} WHERE nonce = '{forgotten}'"));
    let last = base64::encode_url(&[1; 32]);
    let kept = bench.sql(&format!(
        "UPDATE gate_nonces SET nonce = nonce WHERE nonce = '{last}' AND forget_at > {}",
        now().plus_millis(60_000 + 60_000).as_millis()
    ));
    assert_eq!(kept, 1, "it is kept for two minutes more than it can be used");
    // What is done each minute is done at the start too, beside serving.
    let bench = restarted(bench);
    let began = Instant::now();
    while bench.sql("UPDATE gate_nonces SET nonce = nonce") != 2 {
        assert!(began.elapsed().as_secs() < 60, "it is kept");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(gate.ask(bench.service.address, &about(1, 1)), NonceDecision::Seen);
    assert_eq!(gate.ask(bench.service.address, &about(1, 2)), NonceDecision::Seen);
}

fn questions_about_nonces_are_counted_apart_from_other_calls(database: Option<&str>) {
    let bench = Bench::with(database, &["--nonce-rate", "1"]);
    let to = bench.service.address;
    let gate = Gate::enrolled(&bench, "gate_a", 1);
    let statuses: Vec<u16> = (0..10).map(|nonce| gate.status(to, &about(1, nonce)).0).collect();
    assert!(statuses.starts_with(&[200; 5]) && statuses.contains(&429), "{statuses:?}");
    let query = "snapshot=0&revocations=0&wait=0&random=AAAAAAAAAAAAAAAAAAAAAA";
    let answer = signed(to, &gate.key, ("GET", "/gate/v1/gates/gate_a/trust", query, b""), now(), [3; 16]);
    assert_eq!(answer.status, 200, "revocations reach it all the same");
}

fn a_backup_has_no_nonces(database: Option<&str>) {
    let bench = Bench::new(database);
    let gate = Gate::enrolled(&bench, "gate_a", 1);
    assert_eq!(gate.ask(bench.service.address, &about(1, 1)), NonceDecision::New);
    let file = bench.folder.path().join("backup.jsonl");
    let run = |arguments: &[&str], database: &str| {
        let mut command = std::process::Command::new(&bench.control.program);
        command.args(arguments).args(["--database", database]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let path = file.to_str().unwrap();
    run(&["backup", "--to", path], &bench.control.database);
    let backup = std::fs::read_to_string(&file).unwrap();
    assert!(backup.contains("gate_keys") && !backup.contains("gate_nonces"));
    run(
        &["restore", "--from", path],
        &format!("sqlite:{}", bench.folder.path().join("restored.db").display()),
    );
}

/// For docs/control-service.md.
#[test]
#[ignore = "a measurement, for a release build"]
fn how_long_questions_take() {
    let postgres = xtask::postgres::for_test("how long questions take on PostgreSQL");
    for (name, database) in [("SQLite", None), ("PostgreSQL", postgres.as_deref())] {
        if name == "PostgreSQL" && database.is_none() {
            continue;
        }
        let bench = Bench::with(database, &["--nonce-rate", "100000"]);
        let (to, gate) = (bench.service.address, Gate::enrolled(&bench, "gate_a", 1));
        for askers in [1_u8, 8] {
            let began = Instant::now();
            let mut took: Vec<Duration> = std::thread::scope(|scope| {
                let ask = |asker: u8| {
                    let gate = &gate;
                    scope.spawn(move || {
                        let each = (0..=250).map(|nonce| {
                            let asked = about(asker.wrapping_add(askers), nonce);
                            let began = Instant::now();
                            assert_eq!(gate.ask(to, &asked), NonceDecision::New);
                            began.elapsed()
                        });
                        each.collect::<Vec<_>>()
                    })
                };
                let all: Vec<_> = (0..askers).map(ask).collect();
                all.into_iter().flat_map(|one| one.join().unwrap()).collect()
            });
            took.sort();
            let rate = took.len() as f64 / began.elapsed().as_secs_f64();
            let (half, most) = (took[took.len() / 2], took[took.len() * 99 / 100]);
            println!("{name}, {askers} at once: median {half:?}, 99th {most:?}, {rate:.0} a second");
        }
    }
}
