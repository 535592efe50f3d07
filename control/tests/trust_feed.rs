//! What gates ask for themselves: enrolment, signed calls, and trust material that a
//! gate's own reader takes up.

use crate::common::Bench;
use crate::common::gates::{bringing, configure, enrol, enrolled, signed, text, token};
use crate::common::passports::now;
use portcullis_core::live::{Call, LiveTrust, Next, TrustResponse};
use portcullis_core::modei::{RootKind, Roots};
use portcullis_core::{Profile, Reason, SecretKey, UnixTime, base64};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use xtask::http::{Request, Response};
use xtask::on_every_database;

on_every_database!(
    a_gate_takes_up_what_changes,
    gates_of_l2_and_l3_are_configured_with_their_windows,
    a_snapshot_says_whether_an_issuers_domain_is_verified,
    a_gate_that_was_away_for_long_fetches_all_pages,
    a_token_enrols_one_gate_once_and_only_its_bearers_key,
    calls_that_are_not_the_gates_own_are_refused,
    a_key_that_is_being_ended_brings_no_other,
    deleted_gates_are_told_nothing,
    revocations_of_what_has_expired_are_forgotten,
    what_others_issued_is_revoked_and_restored_in_bulk,
);

/// A gate as a proxy runs it, but for the proxy.
struct Gate {
    service: SocketAddr,
    id: String,
    key: SecretKey,
    trust: LiveTrust,
}

const ECHO: &str = "AAAAAAAAAAAAAAAAAAAAAA";

impl Gate {
    /// Makes a gate in the service and enrols it.
    fn enrolled(bench: &Bench, id: &str, seed: u8) -> Self {
        let key = SecretKey::from_seed([seed; 32]);
        let config = enrolled(bench, id, &key);
        Gate {
            service: bench.service.address,
            id: id.to_owned(),
            key,
            trust: LiveTrust::new(&config).unwrap(),
        }
    }

    fn get(&self, path: &str, query: &str) -> Response {
        signed(self.service, &self.key, ("GET", path, query, b""), now(), [7; 16])
    }

    /// Asks until all that the newest head names is in force. Answers how many calls it took.
    fn follow(&mut self, wait: u32) -> u32 {
        for calls in 1..100 {
            match self.trust.next() {
                Next::Page { from } => {
                    let path = format!("/gate/v1/gates/{}/revocations", self.id);
                    let answer = self.get(&path, &format!("from={from:016x}"));
                    assert_eq!(answer.status, 200, "{}", text(&answer));
                    self.trust.accept_page(&answer.body, now()).unwrap();
                }
                Next::Ask { snapshot, revocations } => {
                    let path = format!("/gate/v1/gates/{}/trust", self.id);
                    let query =
                        format!("snapshot={snapshot}&revocations={revocations}&wait={wait}&random={ECHO}");
                    let answer = self.get(&path, &query);
                    assert_eq!(answer.status, 200, "{}", text(&answer));
                    let response = TrustResponse::read(&answer.body).unwrap();
                    self.trust.accept(&response, now(), Some(ECHO)).unwrap();
                }
            }
            if self.trust.has_revocations() && self.trust.current().is_ok() {
                return calls;
            }
        }
        panic!("the gate never had all that its head names");
    }

    fn has_revoked(&self, issuer: &str, id: &str) -> bool {
        self.trust.current().unwrap().live.revocations().contains_passport(issuer, id)
    }
}

fn revoke(bench: &Bench, issuer: &str, ids: &[&str]) {
    let body = json!({"kind": "passport", "issuer": issuer, "ids": ids});
    let (status, answer) = bench.call("POST", "/api/v1/revocations", Some(body));
    assert_eq!(status, 200, "{answer}");
}

fn a_gate_takes_up_what_changes(database: Option<&str>) {
    let bench = Bench::new(database);
    let mut gate = Gate::enrolled(&bench, "gate_a", 1);
    gate.follow(0);
    assert!(!gate.has_revoked("iss", "pp_1"));
    revoke(&bench, "iss", &["pp_0"]);
    gate.follow(5);
    // What comes by a delta: it needs one call.
    revoke(&bench, "iss", &["pp_1"]);
    let began = Instant::now();
    assert_eq!(gate.follow(20), 1);
    assert!(began.elapsed() < Duration::from_secs(10), "it waited although there was something new");
    assert!(gate.has_revoked("iss", "pp_1") && gate.has_revoked("iss", "pp_0"));
    assert!(!gate.has_revoked("iss", "pp_2"));
    assert!(!gate.has_revoked("other", "pp_1"), "ids belong to issuers");

    let before = gate.trust.head().unwrap().snapshot_number;
    configure(&bench, "gate_a", "/trains");
    gate.follow(20);
    assert!(gate.trust.head().unwrap().snapshot_number > before);
}

fn gates_of_l2_and_l3_are_configured_with_their_windows(database: Option<&str>) {
    let bench = Bench::new(database);
    let mut gate = Gate::enrolled(&bench, "gate_a", 1);
    let put = |windows: Value| {
        let config = json!({"authorities": ["gate.test"], "windows": windows,
            "routes": [{"path": "/flights", "methods": ["GET"], "action": "flights:search"}]});
        let (status, answer) = bench.call("PUT", "/api/v1/gates/gate_a/config", Some(config));
        (status, answer["field"].as_str().unwrap_or_default().to_owned())
    };
    let profile = |name: &str| {
        let (status, answer) = bench.call("PATCH", "/api/gates/gate_a", Some(json!({"profile": name})));
        (status, answer["field"].as_str().unwrap_or_default().to_owned())
    };
    let good = (200, String::new());
    let refused = |member: &str| (422, format!("windows.{member}"));
    for (name, known, windows) in [
        (Profile::L2, "L2", json!({"trust_age_seconds": 60})),
        (
            Profile::L3,
            "L3",
            json!({"trust_age_seconds": 5, "credential_seconds": 600, "challenge_seconds": 30}),
        ),
    ] {
        assert_eq!(profile(known), good);
        assert_eq!(put(windows.clone()), good);
        gate.follow(20);
        let snapshot = std::sync::Arc::clone(gate.trust.current().unwrap().snapshot);
        assert_eq!(snapshot.profile(), name);
        let age = windows["trust_age_seconds"].as_i64().unwrap();
        assert_eq!(snapshot.windows().trust_age_ms() / 1000, age);
        // What a profile does not ask for is refused, whichever way it would come in.
        assert_eq!(put(json!({"trust_age_seconds": 0})), refused("trust_age_seconds"));
        assert_eq!(put(json!({"age": 1})), refused("age"));
        assert_eq!(profile("L1").0, 422, "{known}");
    }
    assert_eq!(profile("L2"), refused("challenge_seconds"));
    let (_, kept) = bench.call("GET", "/api/gates/gate_a", None);
    assert_eq!(kept["profile"], "L3");
    assert_eq!(put(json!({})), good);
    assert_eq!(profile("L2"), good);
    assert_eq!(put(json!({"credential_seconds": 600})), refused("credential_seconds"));
}

fn a_snapshot_says_whether_an_issuers_domain_is_verified(database: Option<&str>) {
    let bench = Bench::new(database);
    let asked = json!({"name": "I", "domain": "i.example", "trust_tier": "L3", "actions": ["flights:*"]});
    let (_, issuer) = bench.call("POST", "/api/v1/issuers", Some(asked));
    let id = issuer["issuer_id"].as_str().unwrap();
    let asked = json!({"issuer_id": id, "agent_id": "a", "permissions": ["flights:search"],
        "agent_public_key": base64::encode(&SecretKey::from_seed([2; 32]).public_key())});
    let (_, passport) = bench.call("POST", "/api/v1/passports", Some(asked.clone()));
    let key_id = |passport: &Value| {
        let envelope: Value = serde_json::from_str(passport["passport_json"].as_str().unwrap()).unwrap();
        envelope["provenance"]["issuer"]["key_id"].as_str().unwrap().to_owned()
    };
    let managed = key_id(&passport);
    let mut gate = Gate::enrolled(&bench, "gate_a", 1);
    let asked = json!({"agent_id": "a", "permissions": ["flights:search"], "agent_public_key": asked["agent_public_key"]});
    let own = key_id(&bench.call("POST", "/api/gates/gate_a/passports", Some(asked)).1);
    let mut admits = || {
        bench.call("PATCH", "/api/gates/gate_a", Some(json!({"profile": "L2"})));
        gate.follow(20);
        let snapshot = std::sync::Arc::clone(gate.trust.current().unwrap().snapshot);
        let roots = snapshot.trust().roots_at(now());
        // A gate's own passports need nobody else's word there.
        assert!(roots.admit(RootKind::Gate, "gate_a", &own).is_ok());
        roots.admit(RootKind::Platform, id, &managed).map(|_| ())
    };
    assert_eq!(admits(), Err(Reason::TrustTierInsufficient));
    bench.sql(&format!("UPDATE issuers SET domain_verified_at = 1 WHERE issuer_id = '{id}'"));
    assert_eq!(admits(), Ok(()));
}

fn a_gate_that_was_away_for_long_fetches_all_pages(database: Option<&str>) {
    let bench = Bench::new(database);
    let mut gate = Gate::enrolled(&bench, "gate_a", 1);
    revoke(&bench, "iss", &["pp_first"]);
    gate.follow(5);
    // More than a delta may have.
    for part in 0..2 {
        let ids: Vec<String> = (0..9_000).map(|index| format!("pp_{part}_{index}")).collect();
        revoke(&bench, "iss", &ids.iter().map(String::as_str).collect::<Vec<_>>());
    }
    assert!(gate.follow(5) > 2, "pages are fetched one by one");
    assert_eq!(gate.trust.head().unwrap().revocations.count, 18_001);
    assert!(gate.has_revoked("iss", "pp_first") && gate.has_revoked("iss", "pp_1_8999"));
}

fn a_token_enrols_one_gate_once_and_only_its_bearers_key(database: Option<&str>) {
    let bench = Bench::new(database);
    let made = json!({"gate_id": "gate_a", "name": "A", "profile": "L1"});
    assert_eq!(bench.call("POST", "/api/gates", Some(made)).0, 201);
    let (key, other) = (SecretKey::from_seed([3; 32]), SecretKey::from_seed([4; 32]));
    let token = token(&bench, "gate_a");
    assert_eq!(enrol(&bench, &token, &key, &other).status, 401, "signed by another key");
    assert_eq!(enrol(&bench, "enrol_made_up", &key, &key).status, 401);
    assert_eq!(enrol(&bench, &token, &key, &key).status, 201);
    assert_eq!(enrol(&bench, &token, &other, &other).status, 401, "a second time");
    let again = self::token(&bench, "gate_a");
    assert_eq!(enrol(&bench, &again, &key, &key).status, 409, "a key that a gate has");
    // What was refused has not used the token up.
    assert_eq!(enrol(&bench, &again, &other, &other).status, 201);
    let (status, keys) = bench.call("GET", "/api/v1/gates/gate_a/keys", None);
    assert_eq!((status, keys.as_array().unwrap().len()), (200, 2));
    let (status, _) = bench.call("POST", "/api/v1/gates/gate_none/enrolment-tokens", Some(json!({})));
    assert_eq!(status, 404);
    // Signed by the key that it brings, but over another body.
    let body = bringing(json!({"token": "x"}), &key).to_string();
    let call = Call {
        method: "POST",
        authority: &bench.service.address.to_string(),
        path: "/gate/v1/enrol",
        query: "",
        body: b"{}",
    };
    let mut request = Request::new("POST", "/gate/v1/enrol");
    request.headers = call.sign(&key, now(), &[1; 16]).into_iter().map(|(n, v)| (n.to_owned(), v)).collect();
    request.body = body.into_bytes();
    assert_eq!(request.send(bench.service.address).unwrap().status, 401);
}

fn calls_that_are_not_the_gates_own_are_refused(database: Option<&str>) {
    let bench = Bench::new(database);
    let gate = Gate::enrolled(&bench, "gate_a", 1);
    let other = Gate::enrolled(&bench, "gate_b", 2);
    let path = "/gate/v1/gates/gate_a/trust";
    let query = format!("snapshot=0&revocations=0&wait=0&random={ECHO}");
    let to = bench.service.address;
    let status = |key: &SecretKey, path: &str, created: UnixTime| {
        signed(to, key, ("GET", path, &query, b""), created, [9; 16]).status
    };
    assert_eq!(status(&gate.key, path, now()), 200);
    assert_eq!(status(&other.key, path, now()), 403, "another gate's key");
    assert_eq!(status(&SecretKey::from_seed([9; 32]), path, now()), 401, "nobody's key");
    assert_eq!(status(&gate.key, path, now().plus_millis(-90_000)), 401, "signed long ago");
    assert_eq!(status(&gate.key, path, now().plus_millis(90_000)), 401, "signed in the future");
    let pages = "/gate/v1/gates/gate_a/revocations";
    let page =
        |key: &SecretKey, query: &str| signed(to, key, ("GET", pages, query, b""), now(), [9; 16]).status;
    assert_eq!(page(&gate.key, "from=0000000000000000"), 200);
    assert_eq!(page(&other.key, "from=0000000000000000"), 403);
    for query in ["from=0", "from=000000000000000G", "from=00000000000000FF", ""] {
        assert_eq!(page(&gate.key, query), 422, "{query}");
    }
    // Signed for another query, path or method.
    let call = Call { method: "GET", authority: &to.to_string(), path, query: &query, body: b"" };
    let send = |method: &str, target: String, drop: &str| {
        let mut request = Request::new(method, &target);
        let headers = call.sign(&gate.key, now(), &[1; 16]);
        request.headers =
            headers.into_iter().filter(|(n, _)| *n != drop).map(|(n, v)| (n.to_owned(), v)).collect();
        request.send(to).unwrap().status
    };
    assert_eq!(send("GET", format!("{path}?{query}"), ""), 200);
    assert_eq!(send("GET", format!("{path}?{query}&more=1"), ""), 401);
    assert_eq!(send("GET", format!("{path}?{query}"), "signature"), 401);
    assert_eq!(send("GET", format!("{path}?{query}"), "signature-input"), 401);

    // An ended key calls no more, within five seconds.
    let keys = bench.call("GET", "/api/v1/gates/gate_a/keys", None).1;
    let id = keys[0]["key_id"].as_str().unwrap().to_owned();
    assert_eq!(bench.call("DELETE", &format!("/api/v1/gates/gate_a/keys/{id}"), None).0, 200);
    let began = Instant::now();
    while status(&gate.key, path, now()) != 401 {
        assert!(began.elapsed() < Duration::from_secs(60), "an ended key still calls");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(bench.call("DELETE", &format!("/api/v1/gates/gate_a/keys/{id}"), None).0, 404);
}

fn a_key_that_is_being_ended_brings_no_other(database: Option<&str>) {
    let bench = Bench::new(database);
    let gate = Gate::enrolled(&bench, "gate_a", 1);
    let body = bringing(json!({}), &SecretKey::from_seed([2; 32])).to_string();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (db, mut ending) = runtime.block_on(async {
        let db = portcullis_control::db::Db::open(&bench.control.database).await.unwrap();
        let mut ending = db.write().await.unwrap();
        sqlx::query("UPDATE gate_keys SET not_after = 1").execute(&mut *ending).await.unwrap();
        (db, ending)
    });
    let brought = std::thread::spawn(move || {
        let call = ("POST", "/gate/v1/gates/gate_a/keys", "", body.as_bytes());
        signed(gate.service, &gate.key, call, now(), [1; 16]).status
    });
    // Long enough for a call that waits for nobody; one that is slower is refused all the same.
    std::thread::sleep(Duration::from_millis(500));
    runtime.block_on(async {
        sqlx::query("UPDATE gate_keys SET not_after = 2").execute(&mut *ending).await.unwrap();
        ending.commit().await.unwrap();
        db.close().await;
    });
    assert_eq!(brought.join().unwrap(), 401);
}

fn deleted_gates_are_told_nothing(database: Option<&str>) {
    let bench = Bench::new(database);
    let gate = Gate::enrolled(&bench, "gate_a", 1);
    assert_eq!(bench.call("DELETE", "/api/gates/gate_a", None).0, 200);
    let query = format!("snapshot=0&revocations=0&wait=0&random={ECHO}");
    let began = Instant::now();
    loop {
        let status = gate.get("/gate/v1/gates/gate_a/trust", &query).status;
        assert_ne!(status, 500);
        if status == 401 || status == 404 {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "a deleted gate is still answered {status}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn what_others_issued_is_revoked_and_restored_in_bulk(database: Option<&str>) {
    let bench = Bench::new(database);
    let mut gate = Gate::enrolled(&bench, "gate_a", 1);
    let ids: Vec<String> = (0..1_000).map(|index| format!("pp_{index}")).collect();
    let all = json!({"kind": "passport", "issuer": "iss", "ids": ids});
    let (_, first) = bench.call("POST", "/api/v1/revocations", Some(all.clone()));
    assert!(first["number"].is_i64());
    let (_, second) = bench.call("POST", "/api/v1/revocations", Some(all));
    assert_eq!(second["number"], Value::Null, "they were revoked already");
    gate.follow(5);
    assert_eq!(gate.trust.head().unwrap().revocations.count, 1_000);
    let some = json!({"kind": "passport", "issuer": "iss", "ids": ["pp_1", "pp_2", "pp_none"]});
    assert_eq!(bench.call("DELETE", "/api/v1/revocations", Some(some)).0, 200);
    gate.follow(5);
    assert_eq!(gate.trust.head().unwrap().revocations.count, 998);
    assert!(!gate.has_revoked("iss", "pp_1") && gate.has_revoked("iss", "pp_0"));
    for (body, field) in [
        (json!({"kind": "passport", "issuer": "a b", "ids": ["x"]}), "issuer"),
        (json!({"kind": "passport", "issuer": "a", "ids": []}), "ids"),
        (json!({"kind": "passport", "issuer": "a", "ids": ["x", "a b"]}), "ids[1]"),
        (json!({"kind": "visa", "issuer": "a", "ids": ["x"]}), "kind"),
    ] {
        let (status, answer) = bench.call("POST", "/api/v1/revocations", Some(body));
        assert_eq!((status, answer["field"].as_str()), (422, Some(field)), "{answer}");
    }
}

fn revocations_of_what_has_expired_are_forgotten(database: Option<&str>) {
    let mut bench = Bench::new(database);
    let mut gate = Gate::enrolled(&bench, "gate_a", 1);
    revoke(&bench, "iss", &["pp_expired", "pp_good"]);
    gate.follow(5);
    bench.sql("UPDATE revocations SET moot_at = 1 WHERE id = 'pp_expired'");
    // What is done each minute is done at the start too.
    let key = bench.service.key.clone();
    let control = bench.control.clone();
    bench.service.end().unwrap();
    bench.service = control.start_with_key(&key).unwrap();
    let began = Instant::now();
    while gate.trust.head().unwrap().revocations.count != 1 {
        assert!(began.elapsed() < Duration::from_secs(60), "it stays revoked");
        gate.follow(1);
    }
    assert!(gate.has_revoked("iss", "pp_good") && !gate.has_revoked("iss", "pp_expired"));
}

#[test]
fn gates_that_wait_are_let_go_when_the_service_ends() {
    let bench = Bench::new(None);
    let mut gate = Gate::enrolled(&bench, "gate_a", 1);
    gate.follow(0);
    let Next::Ask { snapshot, revocations } = gate.trust.next() else { panic!("it has all pages") };
    let query = format!("snapshot={snapshot}&revocations={revocations}&wait=30&random={ECHO}");
    let (to, key) = (bench.service.address, gate.key.clone());
    let began = Instant::now();
    let waiting = std::thread::spawn(move || {
        signed(to, &key, ("GET", "/gate/v1/gates/gate_a/trust", &query, b""), now(), [5; 16]).status
    });
    std::thread::sleep(Duration::from_millis(300));
    bench.service.end().unwrap();
    assert_eq!(waiting.join().expect("it answers"), 200);
    assert!(began.elapsed() < Duration::from_secs(10), "it waited to the end");
}

#[test]
fn a_restored_backup_gives_running_gates_what_it_holds() {
    let bench = Bench::new(None);
    let mut gate = Gate::enrolled(&bench, "gate_a", 1);
    revoke(&bench, "iss", &["pp_kept"]);
    gate.follow(5);
    let file = bench.folder.path().join("backup.jsonl");
    let run = |arguments: &[&str], database: &str| {
        let mut command = std::process::Command::new(&bench.control.program);
        command.args(arguments).args(["--database", database]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(&["backup", "--to", file.to_str().unwrap()], &bench.control.database);
    revoke(&bench, "iss", &["pp_lost"]);
    gate.follow(5);
    assert!(gate.has_revoked("iss", "pp_lost"));

    let restored = format!("sqlite:{}", bench.folder.path().join("restored.db").display());
    run(&["restore", "--from", file.to_str().unwrap()], &restored);
    let mut control = bench.control.clone();
    let original = format!("{}.key", control.database.trim_start_matches("sqlite:"));
    let copy = format!("{}.key", restored.trim_start_matches("sqlite:"));
    std::fs::copy(original, copy).unwrap();
    control.database = restored;
    [control.address] = xtask::net::free().unwrap();
    let service = control.start_with_key(&bench.service.key).unwrap();
    gate.service = service.address;
    gate.follow(5);
    assert!(gate.has_revoked("iss", "pp_kept"));
    assert!(!gate.has_revoked("iss", "pp_lost"), "the gate has what the service has");
}
