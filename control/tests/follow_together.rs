//! Several instances of the service on one PostgreSQL that follow one registry: they share
//! the work, and what one of them finds too late undoes nothing that another has found.

use crate::common::Bench;
use crate::common::outside::{Answer, Registry};
use portcullis_control::db::Db;
use portcullis_control::follow::SeenKey;
use serde_json::{Value, json};
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use xtask::control::Service;

const AGENT: &str = "did:web:agent.test";

#[test]
fn two_instances_look_in_turn_and_find_everything_once() {
    let Some(stand) = Stand::new("two instances that follow one registry", 1) else { return };
    stand.registry.set_status(AGENT, "active");
    stand.registry.serve(&[("key-0", 1)]);
    let _second = stand.start_another();
    let gate = json!({"gate_id": "gate_1", "name": "one", "profile": "L1"});
    assert_eq!(stand.bench.call("POST", "/api/gates", Some(gate)).0, 201);
    stand.follow();
    let mut revoked: Vec<String> = Vec::new();
    for round in 1..=4_u8 {
        revoked.push(jti(round));
        let texts: Vec<&str> = revoked.iter().map(String::as_str).collect();
        let kid = format!("key-{round}");
        let is_disabled = round % 2 == 1;
        stand.registry.set_revoked(&texts);
        stand.registry.set_keys(&[(&kid, round + 1)]);
        stand.registry.set_status(AGENT, if is_disabled { "suspended" } else { "active" });
        let expected = Seen { keys: vec![kid], revoked: round.into(), is_disabled };
        until(&format!("round {round}"), || stand.seen() == expected);
    }
    // One change for each badge, and four of the agent.
    assert_eq!(stand.number("SELECT COUNT(*) FROM revocation_changes"), 8);

    // While nothing changes there, gates are told nothing, and the registry is asked no
    // more often than by one.
    let told = || {
        let snapshot = stand.number("SELECT snapshot_number FROM gates");
        (snapshot, stand.number("SELECT revocations_number FROM trust_clock"))
    };
    // A look at the last changes may still be under way.
    std::thread::sleep(Duration::from_secs(1));
    let (before, began) = ((stand.looks(), told()), Instant::now());
    std::thread::sleep(Duration::from_secs(6));
    let most = before.0 + usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
    assert!((before.0 + 1..=most).contains(&stand.looks()), "{} looks, then {}", before.0, stand.looks());
    assert_eq!(told(), before.1);

    // One goes on alone.
    stand.signal("-KILL");
    stand.registry.set_keys(&[("alone", 9)]);
    stand.release_claim();
    until("followed by the other one", || stand.seen().keys == ["alone"]);
}

#[test]
fn an_instance_that_comes_back_late_brings_no_withdrawn_key_back() {
    let Some(stand) = Stand::new("a late look at keys", 3600) else { return };
    stand.registry.set_status(AGENT, "active");
    stand.registry.set_keys(&[("withdrawn", 1)]);
    stand.registry.web.set(Registry::FEED, Answer::Late(r#"{"revocations": []}"#.to_owned()));
    let id = stand.follow();
    stand.stop_once_asked(Registry::FEED);
    let second = stand.start_another();
    stand.registry.set_keys(&[("present", 2)]);
    stand.registry.set_revoked(&[&jti(1)]);
    let expected = Seen { keys: vec!["present".to_owned()], revoked: 1, is_disabled: false };
    stand.overtake_and_go_on(&second, &id, &expected);
}

#[test]
fn an_instance_that_comes_back_late_enables_no_agent_again() {
    let Some(stand) = Stand::new("a late look at an agent", 3600) else { return };
    stand.registry.serve(&[("present", 1)]);
    let active = json!({"did": AGENT, "status": "active"}).to_string();
    stand.registry.web.set(&Registry::status_path(AGENT), Answer::Late(active));
    let id = stand.follow();
    stand.stop_once_asked(&Registry::status_path(AGENT));
    let second = stand.start_another();
    stand.registry.set_status(AGENT, "suspended");
    let expected = Seen { keys: vec!["present".to_owned()], revoked: 0, is_disabled: true };
    stand.overtake_and_go_on(&second, &id, &expected);
}

/// A service on PostgreSQL, of which there may be further instances, and a registry.
struct Stand {
    bench: Bench,
    registry: Registry,
    runtime: Runtime,
    db: Db,
}

impl Stand {
    /// Looks again after so many seconds. `None` where there is no PostgreSQL.
    fn new(test: &str, seconds: u32) -> Option<Self> {
        let url = xtask::postgres::for_test(test)?;
        let registry = Registry::start();
        let mut options = registry.options(seconds);
        options.push("--allow-private-addresses".to_owned());
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let bench = Bench::with(Some(&url), &options);
        let runtime = Runtime::new().unwrap();
        let db = runtime.block_on(Db::open(&url)).unwrap();
        Some(Stand { bench, registry, runtime, db })
    }

    fn start_another(&self) -> Service {
        let mut control = self.bench.control.clone();
        [control.address] = xtask::net::free().unwrap();
        control.log = self.bench.folder.path().join("another.log");
        control.start_with_key(&self.bench.service.key).unwrap()
    }

    /// Follows the registry, and its agent from the first look on.
    fn follow(&self) -> String {
        let origin = &self.registry.origin;
        self.bench.sql(&format!("INSERT INTO followed_agents (origin, did) VALUES ('{origin}', '{AGENT}')"));
        let body = json!({"origin": origin, "tier": 2, "actions": ["orders:*"]});
        let (status, made) = self.bench.call("POST", "/api/v1/followed-issuers", Some(body));
        assert_eq!(status, 201, "{made}");
        made["id"].as_str().unwrap().to_owned()
    }

    /// Stops the first instance in the middle of a look, while it waits for this answer.
    fn stop_once_asked(&self, path: &str) {
        until(&format!("asked for {path}"), || self.registry.web.asked().iter().any(|asked| asked == path));
        self.signal("-STOP");
    }

    /// Lets another instance look, then the first go on with what it has found: it changes
    /// nothing of what the other has.
    fn overtake_and_go_on(&self, second: &Service, id: &str, expected: &Seen) {
        // Four of its ticks: it leaves alone what the first has claimed.
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(self.looks(), 1);
        self.release_claim();
        until("seen by the second", || state(second, id)["synced_at"].is_string());
        assert_eq!(self.seen(), *expected);
        let synced = state(second, id);
        self.signal("-CONT");
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(3) {
            assert_eq!(self.seen(), *expected, "after {:?}", began.elapsed());
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(state(second, id), synced);
        let log = std::fs::read_to_string(&self.bench.control.log).unwrap();
        assert!(log.contains("another instance looks at it"), "{log}");
    }

    /// How often the registry was looked at.
    fn looks(&self) -> usize {
        self.registry.web.asked().iter().filter(|path| *path == Registry::JWKS).count()
    }

    fn signal(&self, signal: &str) {
        let pid = self.bench.service.pid().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// What the instances have found between them.
    fn seen(&self) -> Seen {
        let rows = sqlx::query_as("SELECT keys FROM followed_issuers").fetch_one(self.db.pool());
        let (keys,): (String,) = self.runtime.block_on(rows).unwrap();
        Seen {
            keys: SeenKey::read(&keys).unwrap().into_iter().map(|key| key.key_id).collect(),
            revoked: self.number("SELECT COUNT(*) FROM revocations WHERE kind = 'b'"),
            is_disabled: self.number("SELECT COUNT(*) FROM revocations WHERE kind = 'a'") == 1,
        }
    }

    fn number(&self, sql: &'static str) -> i64 {
        let row = sqlx::query_as(sql).fetch_one(self.db.pool());
        let (number,): (i64,) = self.runtime.block_on(row).unwrap();
        number
    }

    /// As after the minute and a half for which an instance may keep a registry to itself.
    fn release_claim(&self) {
        assert_eq!(self.bench.sql("UPDATE followed_issuers SET look_at = 0"), 1);
    }
}

/// What is known of the registry.
#[derive(Debug, PartialEq)]
struct Seen {
    keys: Vec<String>,
    revoked: i64,
    is_disabled: bool,
}

/// What an instance says of the registry.
fn state(service: &Service, id: &str) -> Value {
    let answer = service.call("GET", &format!("/api/v1/followed-issuers/{id}"), None).unwrap();
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    serde_json::from_slice(&answer.body).unwrap()
}

/// A look is at most a second and a half away, and takes some milliseconds.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "not {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn jti(number: u8) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}
