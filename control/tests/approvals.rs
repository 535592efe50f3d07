//! Requests that wait for a person: from the gate's record to the answer and back.

use crate::common::Bench;
use crate::common::gates::{enrol, signed, text, token};
use crate::common::passports::now;
use crate::common::records::{Gate, draft};
use portcullis_core::attestation::{Decision, Draft, Record};
use portcullis_core::live::TrustResponse;
use portcullis_core::{Config, SecretKey, Snapshot, base64};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use xtask::http::Request;
use xtask::on_every_database;

on_every_database!(
    a_held_request_is_shown_answered_and_goes_into_the_gates_snapshot_at_once,
    what_is_denied_stays_out_and_nothing_is_answered_twice,
    whoever_knows_the_id_is_told_the_status_and_no_more,
    nobody_answers_without_the_scope,
    what_nobody_answers_in_time_is_denied_once_by_all_instances,
    an_approval_leaves_the_snapshot_when_it_is_over,
    more_than_an_agent_or_a_gate_may_have_waiting_are_denied_at_once,
    a_repeated_batch_and_a_foreign_id_ask_nobody_twice,
);

/// A record that holds a request under this id, until so many milliseconds from now.
fn held(gate: &str, id: &str, agent_key: u8, left_ms: i64) -> Draft {
    let mut draft = draft(gate, "agent-1", Decision::RequestHold);
    draft.approval_request_id = Some(id.to_owned());
    let hold = draft.hold.as_mut().unwrap();
    hold.expires_at = now().plus_millis(left_ms);
    hold.agent_key = base64::encode_url(&[agent_key; 32]);
    draft
}

const MINUTES: i64 = 300_000;

fn show(bench: &Bench, id: &str) -> Value {
    let (status, shown) = bench.call("GET", &format!("/api/approvals/{id}"), None);
    assert_eq!(status, 200, "{shown}");
    shown
}

fn resolve(bench: &Bench, id: &str, decision: &str) -> (u16, Value) {
    let body = json!({"decision": decision, "note": "by a person"});
    bench.call("POST", &format!("/api/approvals/{id}/resolve"), Some(body))
}

/// The configuration in the gate's newest snapshot, which must be one that it takes.
fn snapshot(to: SocketAddr, gate: &Gate) -> Value {
    let query = "snapshot=0&revocations=0&wait=0&random=AAAAAAAAAAAAAAAAAAAAAA";
    let path = format!("/gate/v1/gates/{}/trust", gate.id);
    let answer = signed(to, &gate.key, ("GET", &path, query, b""), now(), [3; 16]);
    assert_eq!(answer.status, 200, "{}", text(&answer));
    let token = TrustResponse::read(&answer.body).unwrap().snapshot.unwrap();
    let payload = base64::decode_url(token.split('.').nth(1).unwrap()).unwrap();
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    let config = payload["config"].clone();
    Snapshot::new(&Config::from_json(config.to_string().as_bytes()).unwrap()).unwrap();
    config
}

/// The newest records of a gate, as the client has them.
fn records(bench: &Bench, gate: &str) -> Vec<Value> {
    let (status, rows) = bench.call("GET", &format!("/api/gates/{gate}/attestations"), None);
    assert_eq!(status, 200, "{rows}");
    rows.as_array().unwrap().clone()
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn a_held_request_is_shown_answered_and_goes_into_the_gates_snapshot_at_once(database: Option<&str>) {
    let bench = Bench::new(database);
    let (to, gate) = (bench.service.address, Gate::enrolled(&bench, "gate_a", 1));
    let mut lane = gate.lane(to, 4);
    let record = lane.record(&[held("gate_a", "appr_1", 1, MINUTES)]).remove(0);
    let shown = show(&bench, "appr_1");
    for (member, value) in [
        ("status", json!("pending")),
        ("gate_id", json!("gate_a")),
        ("attestation_id", json!(Record::read(record.text.as_bytes()).unwrap().id())),
        ("agent_id", json!("agent-1")),
        ("issuer_id", json!("iss_1")),
        ("action", json!("flights:search")),
        ("target", json!("flights.test")),
        ("method", json!("GET")),
        ("path", json!("/flights")),
        ("cost_cents", json!(120)),
        ("summary", json!("a request")),
    ] {
        assert_eq!(shown[member], value, "{shown}");
    }
    assert!(snapshot(to, &gate).get("approvals").is_none());
    let (status, approved) = resolve(&bench, "appr_1", "approve");
    assert_eq!((status, &approved["status"]), (200, &json!("approved")), "{approved}");
    assert_eq!(approved["note"], "by a person");
    wait_until("the approval is in the snapshot", || snapshot(to, &gate).get("approvals").is_some());
    let told = snapshot(to, &gate)["approvals"].clone();
    let expected = json!([{
        "id": "appr_1", "binding": "02".repeat(32), "lane": base64::encode_url(&[4; 16]),
        "expires_at": approved["expires_at"],
    }]);
    assert_eq!(told, expected);
    // The outcome stands in the gate's log, and the gate's lane goes on.
    let newest = records(&bench, "gate_a").remove(0);
    assert_eq!((&newest["decision"], &newest["approval_request_id"]), (&json!("approved"), &json!("appr_1")));
    assert!(newest["detail"].as_str().unwrap().ends_with(": by a person"), "{newest}");
    lane.record(&[draft("gate_a", "agent-1", Decision::Allow)]);
}

fn what_is_denied_stays_out_and_nothing_is_answered_twice(database: Option<&str>) {
    let bench = Bench::new(database);
    let (to, gate) = (bench.service.address, Gate::enrolled(&bench, "gate_a", 1));
    gate.lane(to, 1).record(&[
        held("gate_a", "appr_1", 1, MINUTES),
        held("gate_a", "appr_2", 1, MINUTES),
        draft("gate_a", "agent-1", Decision::Allow),
    ]);
    let of_status = |status: &str| {
        let (_, listed) = bench.call("GET", &format!("/api/approvals?gate_id=gate_a&status={status}"), None);
        listed.as_array().unwrap().len()
    };
    assert_eq!((of_status("pending"), of_status("denied"), of_status("expired")), (2, 0, 0));
    assert_eq!(resolve(&bench, "appr_1", "deny").1["status"], "denied");
    assert_eq!((of_status("pending"), of_status("denied")), (1, 1));
    for decision in ["approve", "deny"] {
        assert_eq!(resolve(&bench, "appr_1", decision).0, 409);
    }
    assert!(snapshot(to, &gate).get("approvals").is_none());
    assert_eq!(records(&bench, "gate_a")[0]["decision"], "denied");
    assert_eq!(records(&bench, "gate_a").len(), 4, "one record of the outcome");
    // Of many that answer at once one is heard.
    let heard: usize = std::thread::scope(|scope| {
        let answer = |index: usize| {
            let bench = &bench;
            scope
                .spawn(move || usize::from(resolve(bench, "appr_2", ["approve", "deny"][index % 2]).0 == 200))
        };
        let all: Vec<_> = (0..8).map(answer).collect();
        all.into_iter().map(|one| one.join().unwrap()).sum()
    });
    assert_eq!(heard, 1);
    assert_eq!(records(&bench, "gate_a").len(), 5);
    assert_eq!(resolve(&bench, "appr_3", "deny").0, 404);
    assert_eq!(bench.call("GET", "/api/approvals?status=waiting", None).0, 422);
    assert_eq!(bench.call("GET", "/api/approvals?gate_id=other", None), (200, json!([])));
    let (_, audit) = bench.call("GET", "/api/v1/audit", None);
    assert!(audit.to_string().contains("approval.resolve"), "{audit}");
}

fn whoever_knows_the_id_is_told_the_status_and_no_more(database: Option<&str>) {
    let bench = Bench::new(database);
    let (to, gate) = (bench.service.address, Gate::enrolled(&bench, "gate_a", 1));
    gate.lane(to, 1).record(&[held("gate_a", "appr_1", 1, MINUTES)]);
    let answer = Request::new("GET", "/api/approvals/appr_1").send(to).unwrap();
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    let members: Vec<_> = told.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!((answer.status, members), (200, vec!["approval_request_id", "expires_at", "status"]));
    assert_eq!(Request::new("GET", "/api/approvals/appr_2").send(to).unwrap().status, 404);
    assert_eq!(Request::new("GET", "/api/approvals").send(to).unwrap().status, 401);
}

fn nobody_answers_without_the_scope(database: Option<&str>) {
    let mut bench = Bench::new(database);
    let (to, gate) = (bench.service.address, Gate::enrolled(&bench, "gate_a", 1));
    gate.lane(to, 1).record(&[held("gate_a", "appr_1", 1, MINUTES)]);
    let (_, made) =
        bench.call("POST", "/api/users/api-keys", Some(json!({"name": "other", "scopes": ["gates:write"]})));
    bench.service.key = made["key"].as_str().unwrap().to_owned();
    assert_eq!(bench.call("GET", "/api/approvals", None).0, 403);
    assert_eq!(resolve(&bench, "appr_1", "approve").0, 403);
    let shown = show(&bench, "appr_1");
    assert!(shown["status"] == "pending" && shown.get("summary").is_none(), "{shown}");
}

fn what_nobody_answers_in_time_is_denied_once_by_all_instances(database: Option<&str>) {
    let bench = Bench::new(database);
    let (to, gate) = (bench.service.address, Gate::enrolled(&bench, "gate_a", 1));
    // SQLite serves one instance.
    let _second = database.map(|_| {
        let mut control = bench.control.clone();
        [control.address] = xtask::net::free().unwrap();
        control.start_with_key(&bench.service.key).unwrap()
    });
    let mut lane = gate.lane(to, 1);
    lane.record(&[held("gate_a", "appr_1", 1, MINUTES), held("gate_a", "appr_2", 1, 2 * MINUTES)]);
    // A gate that says longer is not followed.
    let left = show(&bench, "appr_2")["expires_at"].as_str().unwrap().to_owned();
    assert!(left <= now().plus_millis(MINUTES).to_iso());
    bench.sql("UPDATE approvals SET expires_at = 1 WHERE approval_id = 'appr_1'");
    assert_eq!(show(&bench, "appr_1")["status"], "expired", "at once");
    assert_eq!(resolve(&bench, "appr_1", "approve").0, 409);
    wait_until("the outcome is recorded", || records(&bench, "gate_a").len() == 3);
    std::thread::sleep(Duration::from_millis(1500));
    let all = records(&bench, "gate_a");
    assert_eq!((all.len(), &all[0]["decision"]), (3, &json!("denied")));
    assert!(all[0]["detail"].as_str().unwrap().contains("nobody answered in time"), "{}", all[0]);
    // One that comes when its time is over is denied as it comes.
    lane.record(&[held("gate_a", "appr_3", 1, -1)]);
    assert_eq!(show(&bench, "appr_3")["status"], "expired");
    let (_, expired) = bench.call("GET", "/api/approvals?status=expired", None);
    assert_eq!(expired.as_array().unwrap().len(), 2);
    assert_eq!(records(&bench, "gate_a").len(), 5);
}

fn an_approval_leaves_the_snapshot_when_it_is_over(database: Option<&str>) {
    let bench = Bench::new(database);
    let (to, gate) = (bench.service.address, Gate::enrolled(&bench, "gate_a", 1));
    gate.lane(to, 1).record(&[held("gate_a", "appr_1", 1, MINUTES)]);
    assert_eq!(resolve(&bench, "appr_1", "approve").0, 200);
    wait_until("the approval is in the snapshot", || snapshot(to, &gate).get("approvals").is_some());
    bench.sql("UPDATE approvals SET expires_at = 1");
    wait_until("the approval has left it", || snapshot(to, &gate).get("approvals").is_none());
    assert_eq!(show(&bench, "appr_1")["status"], "approved", "what was said stays said");
}

fn more_than_an_agent_or_a_gate_may_have_waiting_are_denied_at_once(database: Option<&str>) {
    let bench = Bench::new(database);
    let (to, gate) = (bench.service.address, Gate::enrolled(&bench, "gate_a", 1));
    let mut lane = gate.lane(to, 1);
    let drafts: Vec<Draft> =
        (0..21).map(|index| held("gate_a", &format!("appr_{index}"), 1, MINUTES)).collect();
    lane.record(&drafts);
    assert_eq!(show(&bench, "appr_19")["status"], "pending");
    let refused = show(&bench, "appr_20");
    assert_eq!((&refused["status"], &refused["resolved_by"]), (&json!("denied"), &json!("service")));
    assert_eq!(records(&bench, "gate_a")[0]["decision"], "denied");
    // Another agent's is not.
    lane.record(&[held("gate_a", "appr_other", 2, MINUTES)]);
    assert_eq!(show(&bench, "appr_other")["status"], "pending");
    bench.sql(
        "INSERT INTO approvals (approval_id, gate_id, attestation_id, lane, binding, agent_key, method, path, \
         cost_cents, summary, status, in_force, created_at, expires_at) \
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 980) \
         SELECT 'many_' || i, 'gate_a', 'att_1', 'AAAAAAAAAAAAAAAAAAAAAA', '00', 'key_' || i, 'GET', '/', 0, '', \
         'pending', 0, 0, 9000000000000 FROM n",
    );
    lane.record(&[held("gate_a", "appr_last", 3, MINUTES)]);
    assert_eq!(show(&bench, "appr_last")["status"], "denied");
    let other = Gate::enrolled(&bench, "gate_b", 2);
    other.lane(to, 1).record(&[held("gate_b", "appr_b", 3, MINUTES)]);
    assert_eq!(show(&bench, "appr_b")["status"], "pending", "at another gate");
}

fn a_repeated_batch_and_a_foreign_id_ask_nobody_twice(database: Option<&str>) {
    let bench = Bench::new(database);
    let (to, gate) = (bench.service.address, Gate::enrolled(&bench, "gate_a", 1));
    let mut lane = gate.lane(to, 1);
    let records_sent = lane.record(&[held("gate_a", "appr_1", 1, MINUTES)]);
    assert_eq!(resolve(&bench, "appr_1", "deny").0, 200);
    assert_eq!(lane.send(&records_sent).status, 200);
    assert_eq!(show(&bench, "appr_1")["status"], "denied");
    // Another gate's record cannot take the id over.
    let other = Gate::enrolled(&bench, "gate_b", 2);
    other.lane(to, 1).record(&[held("gate_b", "appr_1", 1, MINUTES), held("gate_b", "no id", 1, MINUTES)]);
    assert_eq!(show(&bench, "appr_1")["gate_id"], "gate_a");
    assert_eq!(bench.call("GET", "/api/approvals?gate_id=gate_b", None), (200, json!([])));
    // A gate that is enrolled anew is the same gate.
    let next = SecretKey::from_seed([5; 32]);
    assert_eq!(enrol(&bench, &token(&bench, "gate_a"), &next, &next).status, 201);
}
