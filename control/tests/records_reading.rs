//! Records as clients read them: lists, rows, proofs, and what they report themselves.

use crate::common;
use crate::common::Bench;
use crate::common::audit::{audit, consistent, export, hashes, keys, report};
use crate::common::records::{Gate, allowed, draft, id};
use portcullis_core::attestation::log::verify_inclusion;
use portcullis_core::attestation::{Decision, Known, Record};
use portcullis_core::live::hex;
use portcullis_core::{PublicKey, SecretKey, base64, sha256};
use serde_json::{Value, json};
use std::time::Duration;
use xtask::on_every_database;

on_every_database!(
    records_are_found_by_what_they_say_page_by_page,
    a_row_verifies_as_the_modei_client_does_it,
    what_is_reported_is_recorded_by_the_service_itself,
    proofs_verify_and_a_tampered_record_does_not,
    who_has_no_scope_reads_no_records,
);

fn records_are_found_by_what_they_say_page_by_page(database: Option<&str>) {
    let bench = Bench::new(database);
    let to = bench.service.address;
    let (gate, other) = (Gate::enrolled(&bench, "gate_a", 1), Gate::enrolled(&bench, "gate_b", 2));
    let mut lane = gate.lane(to, 1);
    let mut old = draft("gate_a", "agent-old", Decision::Allow);
    old.time = old.time.plus_millis(-3 * 86_400_000);
    let mut elsewhere = draft("gate_a", "agent-2", Decision::Block);
    elsewhere.request.as_mut().unwrap().action = Some("hotels:book".to_owned());
    elsewhere.agent.as_mut().unwrap().issuer_id = "iss_2".to_owned();
    let records = lane.record(&[
        old,
        draft("gate_a", "agent-1", Decision::Allow),
        draft("gate_a", "agent-1", Decision::RequestHold),
        elsewhere,
    ]);
    other.lane(to, 1).record(&allowed("gate_b", 2));
    let total = |query: &str| {
        let (status, page) = bench.call("GET", &format!("/api/v1/attestations?{query}"), None);
        assert_eq!(status, 200, "{page}");
        (page["total"].as_i64().unwrap(), page["items"].as_array().unwrap().len())
    };
    assert_eq!(total(""), (6, 6));
    assert_eq!(total("gate_id=gate_a"), (4, 4));
    assert_eq!(total("agent_id=agent-1"), (4, 4));
    assert_eq!(total("gate_id=gate_a&agent_id=agent-1&decision=allow"), (1, 1));
    assert_eq!(total("issuer_id=iss_2"), (1, 1));
    assert_eq!(total("action=hotels:book"), (1, 1));
    assert_eq!(total("decision=request_hold"), (1, 1));
    let day = portcullis_core::UnixTime::from_millis(common::passports::now().as_millis() - 86_400_000);
    let day = day.to_iso();
    assert_eq!(total(&format!("after={day}")), (5, 5));
    assert_eq!(total(&format!("before={day}")), (1, 1));
    assert_eq!(total("before=2020-01-01"), (0, 0));
    assert_eq!(total("limit=4&offset=4"), (6, 2));
    assert_eq!(total("agent_id=%27%20OR%201=1"), (0, 0));
    for wrong in ["limit=0", "limit=1001", "offset=-1", "after=yesterday", "limit=x"] {
        assert_eq!(bench.call("GET", &format!("/api/v1/attestations?{wrong}"), None).0, 422, "{wrong}");
    }
    let seen: Vec<Value> = (0..6)
        .map(|offset| bench.call("GET", &format!("/api/v1/attestations?limit=1&offset={offset}"), None).1)
        .map(|page| page["items"][0]["attestation_id"].clone())
        .collect();
    assert!(seen.iter().enumerate().all(|(at, one)| !seen[..at].contains(one)), "{seen:?}");
    assert_eq!(seen[5], id(&records[0]), "the oldest is the last");
    // As the documents show an item.
    let item = &bench.call("GET", "/api/v1/attestations?action=hotels:book", None).1["items"][0];
    assert_eq!((&item["agent_id"], &item["gate_id"]), (&json!("agent-2"), &json!("gate_a")));
    assert_eq!((&item["action"], &item["request"]["action"]), (&json!("hotels:book"), &json!("hotels:book")));
    // By the Modei client's names.
    let count = |path: &str| bench.call("GET", path, None).1.as_array().unwrap().len();
    assert_eq!(count("/api/gates/gate_a/attestations"), 4);
    assert_eq!(count("/api/gates/a/attestations?limit=2"), 2);
    assert_eq!(count("/api/gates/gate_a/attestations?permission=hotels:book"), 1);
    assert_eq!(count("/api/gates/gate_a/attestations?passport_id=pass_agent-1"), 2);
    assert_eq!(count(&format!("/api/gates/gate_a/attestations?since={day}&agent_id=agent-old")), 0);
    assert_eq!(count("/api/passports/pass_agent-1/enforcement?decision=allow"), 3);
    assert_eq!(bench.call("GET", "/api/gates/gate_none/attestations", None).0, 404);
    assert_eq!(bench.call("GET", "/api/v1/attestations/att_none", None).0, 404);
}

fn a_row_verifies_as_the_modei_client_does_it(database: Option<&str>) {
    let bench = Bench::new(database);
    let gate = Gate::enrolled(&bench, "gate_a", 1);
    let record = gate.lane(bench.service.address, 1).record(&[draft("gate_a", "agent-1", Decision::Block)]);
    let path = format!("/api/enforcement/{}", id(&record[0]));
    let (status, row) = bench.call("GET", &path, None);
    assert_eq!(status, 200, "{row}");
    // Ed25519 over the text, key and signature in standard base64.
    let key = PublicKey::from_bytes(&gate.key.attestation_key().public_key()).unwrap();
    let signature: [u8; 64] = base64::decode_array(row["signature"].as_str().unwrap()).unwrap();
    assert!(key.verify(row["attestation_json"].as_str().unwrap().as_bytes(), &signature));
    for (member, value) in [
        ("id", json!(id(&record[0]))),
        ("target", json!("flights.test")),
        ("decision", json!("block")),
        ("reason_code", json!("permission_not_granted")),
        ("passport_id", json!("pass_agent-1")),
        ("sequence_number", json!(1)),
        ("log_index", json!(0)),
        ("constraint_evaluations", json!([])),
    ] {
        assert_eq!(row[member], value, "{member}");
    }
    assert_eq!(row["created_at"], row["timestamp"]);
    let (status, verified) = bench.call("POST", &format!("{path}/verify"), None);
    let key_id = gate.lane(bench.service.address, 1).signer.key_id().to_owned();
    assert_eq!(verified, json!({"valid": true, "reason": null, "signing_key_id": key_id}));
    assert_eq!(status, 200);
}

fn what_is_reported_is_recorded_by_the_service_itself(database: Option<&str>) {
    let bench = Bench::new(database);
    let gate = Gate::enrolled(&bench, "gate_a", 1);
    let asked = json!({"agent_id": "agent-9", "permissions": ["flights:search"],
        "agent_public_key": base64::encode(&SecretKey::from_seed([2; 32]).public_key())});
    let passport = bench.call("POST", "/api/gates/gate_a/passports", Some(asked)).1;
    let passport = passport["passport_id"].as_str().unwrap();
    let mut lane = gate.lane(bench.service.address, 1);
    lane.record(&allowed("gate_a", 1));
    let known = report(
        &bench,
        "gate_a",
        json!({"passport_id": passport, "permission": "flights:search", "result": "denied",
            "denial_code": "too_late", "tool_name": "search", "execution_ms": 12, "more": {"a": 1}}),
    );
    let unknown = report(&bench, "a", json!({"agent_id": "agent-8", "passport_id": "pass_x"}));
    lane.record(&allowed("gate_a", 1));
    let row = bench.call("GET", &format!("/api/v1/attestations/{known}"), None).1;
    assert_eq!(row["decision"], "block");
    assert_eq!((&row["agent_id"], &row["reason_code"]), (&json!("agent-9"), &json!("too_late")));
    assert_eq!((&row["reported"]["more"]["a"], &row["sequence_number"]), (&json!(1), &json!(1)));
    assert_ne!(row["signing_key_id"], json!(lane.signer.key_id()), "it is not the gate that signed");
    let bound = hex(&sha256(row["reported"].to_string().as_bytes()));
    assert!(row["detail"].as_str().unwrap().ends_with(&bound), "what was reported is bound to the record");
    let row = bench.call("GET", &format!("/api/v1/attestations/{unknown}"), None).1;
    assert_eq!((&row["agent"], &row["agent_id"]), (&Value::Null, &json!("agent-8")), "nobody vouches for it");
    assert_eq!(bench.call("GET", "/api/passports/pass_x/enforcement", None).1.as_array().unwrap().len(), 1);
    let verified = bench.call("POST", &format!("/api/enforcement/{known}/verify"), None).1;
    assert_eq!(verified["valid"], true, "{verified}");
    let verdict = audit(&keys(&bench, "gate_a"), &export(&bench, "format=jsonl&gate_id=gate_a"), None);
    assert_eq!((verdict.as_ref().unwrap().records, verdict.unwrap().lanes), (4, 2));
    for wrong in [
        json!({"result": "perhaps"}),
        json!({"passport_id": passport, "agent_id": "agent-1"}),
        json!({"permission": "a b"}),
        json!({"metadata": "x".repeat(17_000)}),
        json!([1]),
    ] {
        let status = bench.call("POST", "/api/gates/gate_a/attestations", Some(wrong.clone())).0;
        assert_eq!(status, 422, "{wrong}");
    }
    assert_eq!(bench.call("POST", "/api/gates/gate_none/attestations", Some(json!({}))).0, 404);
    // A new key of the service's for this gate takes over.
    let asked =
        json!({"purpose": "attestations", "owner": "gate_a", "lead_seconds": 0, "overlap_seconds": 0});
    assert_eq!(bench.call("POST", "/api/v1/signing-keys/rotate", Some(asked)).0, 201);
    std::thread::sleep(Duration::from_millis(5));
    report(&bench, "gate_a", json!({}));
    let verdict = audit(&keys(&bench, "gate_a"), &export(&bench, "format=jsonl&gate_id=gate_a"), None);
    assert_eq!(verdict.unwrap().records, 5);
}

fn proofs_verify_and_a_tampered_record_does_not(database: Option<&str>) {
    let bench = Bench::new(database);
    let gate = Gate::enrolled(&bench, "gate_a", 1);
    let mut lane = gate.lane(bench.service.address, 1);
    let keys = keys(&bench, "gate_a");
    let empty = bench.call("GET", "/api/gates/gate_a/log/consistency?from=0", None);
    assert_eq!(empty.0, 200, "an empty log is a log");
    let mut records = Vec::new();
    let mut known = Vec::new();
    for count in [1, 2, 250, 9, 251] {
        records.extend(lane.record(&allowed("gate_a", count)));
        known.push(lane.known.unwrap());
    }
    for known in &known {
        assert!(consistent(&bench, &keys, known));
        assert!(!consistent(&bench, &keys, &Known { root: [1; 32], ..*known }));
    }
    for index in [0, 1, 2, 255, 256, 257, 511, 512] {
        let (status, proof) = bench.call("GET", &format!("/api/gates/gate_a/log/proof?index={index}"), None);
        assert_eq!(status, 200, "{proof}");
        let at = keys.checkpoint("gate_a", proof["checkpoint"].as_str().unwrap()).unwrap();
        let leaf = Record::read(records[usize::try_from(index).unwrap()].text.as_bytes()).unwrap().leaf();
        assert_eq!(proof["leaf"], base64::encode_url(&leaf));
        assert!(verify_inclusion(&leaf, index, at.size, &hashes(&proof["hashes"]), &at.root));
        assert!(!verify_inclusion(&[1; 32], index, at.size, &hashes(&proof["hashes"]), &at.root));
    }
    // By its id, and in the log as it was.
    let path = format!("/api/gates/gate_a/log/proof?attestation_id={}&size=262", id(&records[7]));
    let proof = bench.call("GET", &path, None).1;
    assert_eq!((&proof["index"], &proof["size"]), (&json!(7), &json!(262)));
    for (wrong, status) in [
        ("log/proof", 422),
        ("log/proof?index=513", 404),
        ("log/proof?index=3&size=3", 404),
        ("log/proof?index=3&size=999", 422),
        ("log/proof?attestation_id=att_x", 404),
        ("log/consistency?from=2&to=1", 422),
        ("log/consistency?from=2&to=999", 422),
        ("log/consistency", 422),
    ] {
        assert_eq!(bench.call("GET", &format!("/api/gates/gate_a/{wrong}"), None).0, status, "{wrong}");
    }
    // Verified where it stands, before and after somebody changed it.
    let verify = |record: usize| {
        bench.call("POST", &format!("/api/enforcement/{}/verify", id(&records[record])), None).1
    };
    assert_eq!(verify(5)["valid"], true);
    bench.sql("UPDATE records SET text = REPLACE(text, 'agent-1', 'agent-2') WHERE log_index = 5");
    assert_eq!(verify(5)["reason"], "signature_invalid");
    bench.sql("UPDATE records SET text = (SELECT text FROM records WHERE log_index = 4) WHERE log_index = 5");
    assert_eq!(verify(5)["reason"], "leaf_mismatch");
    bench.sql("UPDATE records SET text = 'nothing' WHERE log_index = 6");
    assert_eq!(verify(6)["reason"], "record_malformed");
    let row = bench.call("GET", &format!("/api/v1/attestations/{}", id(&records[6])), None);
    assert_eq!((row.0, &row.1["signature"]), (200, &Value::Null));
}

fn who_has_no_scope_reads_no_records(database: Option<&str>) {
    let bench = Bench::new(database);
    Gate::enrolled(&bench, "gate_a", 1);
    let status = |scope: &str, method: &str, path: &str| {
        let asked = json!({"name": "k", "scopes": [scope]});
        let key = bench.call("POST", "/api/users/api-keys", Some(asked)).1["key"].clone();
        let mut request = xtask::http::Request::new(method, path);
        request.headers.push(("authorization".into(), format!("Bearer {}", key.as_str().unwrap())));
        request.send(bench.service.address).unwrap().status
    };
    for path in [
        "/api/gates/gate_a/attestations",
        "/api/gates/gate_a/attestation-keys",
        "/api/gates/gate_a/log/checkpoint",
        "/api/gates/gate_a/log/proof?index=0",
        "/api/gates/gate_a/log/consistency?from=0",
        "/api/v1/attestations",
        "/api/v1/attestations/att_x",
        "/api/v1/attestations/export",
        "/api/v1/decisions/stream?gate_id=gate_a",
        "/api/passports/p/enforcement",
        "/api/enforcement/att_x",
    ] {
        assert_eq!(status("audit:record", "GET", path), 403, "{path}");
        let answer = xtask::http::Request::new("GET", path).send(bench.service.address).unwrap();
        assert_eq!(answer.status, 401, "{path}");
    }
    assert_eq!(status("audit:record", "POST", "/api/enforcement/att_x/verify"), 403);
    assert_eq!(status("audit", "GET", "/api/v1/attestations"), 200);
    assert_eq!(status("audit", "POST", "/api/gates/gate_a/attestations"), 403);
    assert_eq!(status("audit:record", "POST", "/api/gates/gate_a/attestations"), 201);
    assert_eq!(status("gates:read", "PUT", "/api/v1/gates/gate_a/retention"), 403);
}
