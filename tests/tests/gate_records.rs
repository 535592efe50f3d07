//! Records of what a gate decides, on the harness: what clients are told, one chain for all
//! workers, keepers that are away or unheard, workers that trap, and queues that are full.

use crate::common::{NOW, key};
use crate::live_workers::{Keeps, LiveWorkers};
use portcullis_core::json::{self, Object};
use portcullis_core::modei::{Draft, self_issue};
use portcullis_harness::{Fault, Outcome, Plugin, Request};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

const AUTHORITY: &str = "127.0.0.1:10000";

static PLUGIN: LazyLock<Plugin> = LazyLock::new(|| {
    let path = std::env::var_os("PORTCULLIS_WASM")
        .expect("PORTCULLIS_WASM names the plugin: run `cargo xtask test`");
    Plugin::from_file(path).expect("the plugin compiles")
});

static CREDENTIAL: LazyLock<String> = LazyLock::new(|| {
    let draft = Draft {
        passport_id: "pp_1".into(),
        agent_name: Some("An agent".into()),
        permissions: vec![("flights:search".into(), Object::default())],
        issued_at: NOW,
        expires_at: NOW.plus_millis(3_000_000),
        delegation_authority: false,
    };
    self_issue(&key(1), &draft).to_header()
});

/// It may search if a person approves.
static HELD: LazyLock<String> = LazyLock::new(|| {
    let draft = Draft {
        passport_id: "pp_held".into(),
        agent_name: None,
        permissions: vec![("flights:search".into(), limited(&json!({"core:approval:required": true})))],
        issued_at: NOW,
        expires_at: NOW.plus_millis(3_000_000),
        delegation_authority: false,
    };
    self_issue(&key(1), &draft).to_header()
});

fn limited(constraints: &Value) -> Object<'static> {
    let limits = json::Limits { bytes: 1000, depth: 4, values: 10 };
    let value = json::parse(constraints.to_string().as_bytes(), limits).unwrap().into_owned();
    match value {
        json::Value::Object(object) => object,
        _ => Object::default(),
    }
}

/// How many permits can wait: 1,024 places of the queue are for receipts.
const ROOM: usize = 16_384 - 1024;

fn configuration(policy: &str, mode: &str) -> String {
    json!({
        "gate": {"id": "gate_records", "name": "Flights"}, "profile": "L1", "mode": mode,
        "authorities": [AUTHORITY],
        "routes": [
            {"path": "/flights", "methods": ["GET"], "action": "flights:search", "cost_cents": 1250},
            {"path": "/health", "methods": ["GET"], "public": true},
        ],
        "trust": {"self_issued": {"actions": ["flights:*"]}}, "attest": {"policy": policy},
    })
    .to_string()
}

fn gate(policy: &str) -> LiveWorkers {
    LiveWorkers::start(&PLUGIN, &configuration(policy, "enforce"), NOW, 2)
}

fn good() -> Request {
    Request::new("GET", "/flights?seat=window").header("agent-passport", CREDENTIAL.as_str())
}

fn held() -> Request {
    Request::new("GET", "/flights").header("agent-passport", HELD.as_str())
}

fn bad() -> Request {
    Request::new("GET", "/flights")
}

fn problem(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.reply_text()).unwrap_or_default()
}

/// The attestation's id, as the upstream or the client is told it.
fn id(outcome: &Outcome) -> Option<String> {
    if outcome.status() == 200 {
        return outcome.upstream_header("x-gate-attestation-id").map(std::borrow::Cow::into_owned);
    }
    problem(outcome)["attestation_id"].as_str().map(str::to_owned)
}

impl LiveWorkers {
    /// What the keeper has, by id; that no id stands twice.
    fn kept(&self) -> BTreeMap<String, Value> {
        let mut kept = BTreeMap::new();
        for text in &self.keeper.records {
            let record: Value = serde_json::from_str(text).unwrap();
            let before = kept.insert(record["attestation_id"].as_str().unwrap().to_owned(), record);
            assert!(before.is_none());
        }
        kept
    }
}

#[test]
fn each_decision_has_its_record_in_one_chain_of_all_workers_and_is_told_its_id() {
    let mut gate = gate("required");
    let told: Vec<_> = (0..40)
        .map(|number| {
            let outcome = gate.request(if number % 4 == 0 { bad() } else { good() });
            (id(&outcome).unwrap(), outcome.status())
        })
        .collect();
    assert_eq!(gate.request(Request::new("GET", "/health")).status(), 200);
    gate.run(Duration::from_secs(1));
    let kept = gate.kept();
    assert_eq!(kept.len(), told.len());
    for (id, status) in &told {
        let record = &kept[id];
        let decision = if *status == 200 { "allow" } else { "block" };
        assert_eq!(record["decision"], decision);
        assert_eq!(record["gate"], json!({"gate_id": "gate_records", "gate_name": "Flights"}));
        assert_eq!(record["request"]["path"], "/flights");
        assert_eq!(record["request"]["estimated_cost_usd"], 12.5);
        assert_eq!(record["mode"], "enforce");
        if decision == "allow" {
            assert_eq!(record["agent"]["passport_id"], "pp_1");
            assert_eq!(record["agent"]["agent_name"], "An agent");
            assert_eq!(record["agent"]["trust_tier"], "L1");
            assert_eq!(
                (&record["access_mode"], &record["reason_code"]),
                (&json!("credential"), &Value::Null)
            );
        } else {
            assert_eq!((&record["access_mode"], &record["agent"]), (&json!("none"), &Value::Null));
            assert_eq!(record["reason_code"], "credential_missing");
        }
    }
}

#[test]
fn what_a_gate_only_reports_is_recorded_as_refused_and_reported() {
    let mut gate = LiveWorkers::start(&PLUGIN, &configuration("required", "report"), NOW, 1);
    let outcome = gate.request(bad());
    assert_eq!(outcome.status(), 200);
    gate.run(Duration::from_secs(1));
    let kept = gate.kept();
    let record = kept.values().next().unwrap();
    assert_eq!((&record["decision"], &record["mode"]), (&json!("block"), &json!("report")));
}

#[test]
fn records_wait_for_a_keeper_that_is_away_and_come_once() {
    let mut gate = gate("required");
    gate.keeps = Keeps::Not;
    let mut told = Vec::new();
    for _ in 0..30 {
        told.push(id(&gate.request(good())).unwrap());
        gate.run(Duration::from_millis(400));
    }
    assert!(gate.keeper.records.is_empty());
    gate.keeps = Keeps::Well;
    // The longest wait after failures.
    gate.run(Duration::from_secs(40));
    let kept = gate.kept();
    assert!(told.iter().all(|id| kept.contains_key(id)));
    assert_eq!(kept.len(), told.len());
}

#[test]
fn records_whose_acknowledgement_is_lost_are_sent_again_to_the_byte() {
    let mut gate = gate("required");
    id(&gate.request(good())).unwrap();
    gate.run(Duration::from_secs(1));
    gate.keeps = Keeps::Unheard;
    for _ in 0..5 {
        gate.request(good());
        gate.run(Duration::from_secs(1));
    }
    gate.keeps = Keeps::Well;
    gate.run(Duration::from_secs(40));
    // The keeper compares what comes again with what it has.
    assert!(gate.keeper.repeated > 0);
    assert_eq!(gate.kept().len(), 6);
}

#[test]
fn a_batch_of_a_worker_that_is_gone_is_sent_by_another() {
    let mut gate = gate("required");
    gate.keeps = Keeps::Not;
    gate.request(good());
    // The lane is opened, and a batch claimed, by a worker whose answer never comes.
    gate.keeps = Keeps::Well;
    gate.run(Duration::from_secs(2));
    gate.request(good());
    let told = id(&gate.request(good())).unwrap();
    let mut dying = gate.vms.remove(0);
    dying.tick().unwrap();
    assert!(!dying.http_calls().is_empty() || !gate.vms.is_empty());
    drop(dying);
    gate.run(Duration::from_secs(10));
    assert!(gate.kept().contains_key(&told));
    assert_eq!(gate.kept().len(), 3);
}

#[test]
fn a_call_that_the_host_forgets_does_not_end_all_sending() {
    // There is no other worker that could.
    let mut gate = LiveWorkers::start(&PLUGIN, &configuration("required", "enforce"), NOW, 1);
    for _ in 0..3 {
        gate.keeps = Keeps::Forgotten;
        let told = id(&gate.request(good())).unwrap();
        gate.run(Duration::from_secs(1));
        assert!(!gate.kept().contains_key(&told));
        gate.keeps = Keeps::Well;
        gate.run(Duration::from_secs(8));
        assert!(gate.kept().contains_key(&told));
    }
}

/// A worker that dies at any host call, of a request or of a delivery: what a client was told is
/// kept, once, and all of the others too.
#[test]
fn a_worker_that_traps_anywhere_loses_nothing_that_a_client_saw() {
    let mut gate = gate("required");
    let (mut told, mut trapped) = (Vec::new(), 0);
    let calls = [
        "proxy_get_shared_data",
        "proxy_set_shared_data",
        "proxy_replace_header_map_value",
        "random_get",
        "proxy_get_current_time_nanoseconds",
        "proxy_http_call",
        "proxy_get_buffer_bytes",
    ];
    for call in calls {
        for nth in 1..12 {
            gate.host.inject(Fault::trap(call).nth(nth));
            let outcome = gate.vms[0].request(good());
            told.extend(outcome.trap.is_none().then(|| id(&outcome)).flatten());
            // Which delivers, and may die of that.
            for at in 0..gate.vms.len() {
                if gate.vms[at].tick().is_ok() {
                    gate.answer_calls(at);
                }
            }
            gate.host.clear_faults();
            for at in 0..gate.vms.len() {
                if gate.vms[at].trap().is_some() {
                    trapped += 1;
                    gate.vms[at] = gate.host.start().unwrap();
                }
            }
            gate.run(Duration::from_millis(400));
            told.push(id(&gate.request(good())).unwrap());
        }
    }
    gate.run(Duration::from_secs(60));
    let kept = gate.kept();
    assert!(trapped > 20, "{trapped}");
    assert!(told.iter().all(|id| kept.contains_key(id)));
}

#[test]
fn refusals_that_flood_a_gate_leave_room_for_permits_and_are_told_by_their_number() {
    let mut gate = gate("required");
    gate.keeps = Keeps::Not;
    let room = 16_384 / 4 * 3;
    let mut unrecorded = 0;
    for _ in 0..room + 50 {
        unrecorded += usize::from(id(&gate.request(bad())).is_none());
    }
    assert_eq!(unrecorded, 50);
    let allowed = gate.request(good());
    assert_eq!(allowed.status(), 200);
    gate.keeps = Keeps::Well;
    gate.run(Duration::from_secs(80));
    let kept = gate.kept();
    assert!(kept.contains_key(&id(&allowed).unwrap()));
    let gap = kept.values().find(|record| record["decision"] == "gap").unwrap();
    assert_eq!(gap["dropped"]["count"], 50);
    assert_eq!(kept.len(), room + 2);
    gate.request(good());
    gate.run(Duration::from_secs(1));
    assert_eq!(gate.keeper.dropped, 50);
}

#[test]
fn a_full_queue_refuses_permits_where_records_are_required_and_counts_them_where_they_are_not() {
    for (policy, status) in [("required", 503), ("best_effort", 200)] {
        let mut gate = gate(policy);
        gate.keeps = Keeps::Not;
        for _ in 0..ROOM {
            assert_eq!(gate.request(good()).status(), 200);
        }
        let over = gate.request(good());
        assert_eq!(over.status(), status, "{policy}");
        assert_eq!(id(&over), None);
        if status == 503 {
            assert_eq!(problem(&over)["reason_code"], "record_queue_full");
        }
        gate.keeps = Keeps::Well;
        gate.run(Duration::from_secs(90));
        let kept = gate.kept();
        assert_eq!(kept.len(), ROOM + 1, "{policy}");
        assert_eq!(kept.values().filter(|record| record["decision"] == "gap").count(), 1);
        assert_eq!(gate.request(good()).status(), 200);
    }
}

#[test]
fn where_a_gate_only_reports_a_full_queue_lets_through_without_an_identity() {
    let mut gate = LiveWorkers::start(&PLUGIN, &configuration("required", "report"), NOW, 2);
    gate.keeps = Keeps::Not;
    for _ in 0..ROOM {
        assert!(gate.request(good()).upstream_header("x-gate-agent-id").is_some());
    }
    let over = gate.request(good());
    assert_eq!(over.status(), 200);
    for name in ["agent-id", "credential-id", "issuer", "tier", "action", "attestation-id"] {
        assert_eq!(over.upstream_header(&format!("x-gate-{name}")), None);
    }
}

#[test]
fn what_nobody_can_be_asked_about_is_refused_and_not_held() {
    for (policy, full) in [("off", false), ("required", true), ("best_effort", true)] {
        let mut gate = gate(policy);
        gate.keeps = Keeps::Not;
        if full {
            let asked = gate.request(held());
            assert_eq!((asked.status(), &problem(&asked)["decision"]), (202, &json!("request_hold")));
            assert!(problem(&asked)["approval_request_id"].is_string());
            // Those who are refused have so much of the queue.
            for _ in 0..16_384 / 4 * 3 {
                gate.request(bad());
            }
        }
        let refused = gate.request(held());
        assert_eq!((refused.status(), &problem(&refused)["decision"]), (503, &json!("block")), "{policy}");
        assert_eq!(problem(&refused)["reason_code"], "approval_unavailable");
        assert_eq!(problem(&refused)["approval_request_id"], Value::Null);
        assert!(refused.upstream.is_none());
    }
}
