//! Exports of records: what an auditor finds, whatever was done to the database, and what
//! retention leaves.

use crate::common;
use crate::common::Bench;
use crate::common::audit;
use crate::common::audit::{audit, consistent, export, keys, report, text_of};
use crate::common::gates::{bringing, text};
use crate::common::records::{Gate, Lane, allowed, draft};
use portcullis_core::attestation::{AttestationError, Decision};
use portcullis_core::{SecretKey, base64};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use xtask::on_every_database;

on_every_database!(
    an_export_is_audited_with_the_keys_of_rotated_gates,
    what_is_changed_in_the_database_is_found,
    an_export_of_some_records_says_so_and_is_audited_too,
    a_table_of_records_has_no_formulas,
    ten_thousand_records_are_exported_in_less_memory_than_gathering_them_takes,
    retention_removes_texts_and_leaves_the_log_provable,
);

fn an_export_is_audited_with_the_keys_of_rotated_gates(database: Option<&str>) {
    let bench = Bench::new(database);
    let to = bench.service.address;
    let mut gate = Gate::enrolled(&bench, "gate_a", 1);
    gate.lane(to, 1).record(&allowed("gate_a", 5));
    report(&bench, "gate_a", json!({"permission": "flights:search"}));
    let older = text_of(&bench, "/api/gates/gate_a/log/checkpoint");
    let next = SecretKey::from_seed([5; 32]);
    assert_eq!(gate.post(to, "keys", bringing(json!({}), &next).to_string().as_bytes()).status, 201);
    // The first key ends, and what it signed before stays good.
    let first = bench.call("GET", "/api/v1/gates/gate_a/keys", None).1[0]["key_id"].clone();
    let path = format!("/api/v1/gates/gate_a/keys/{}", first.as_str().unwrap());
    assert_eq!(bench.call("DELETE", &path, None).0, 200);
    gate.key = next;
    let mut lane = gate.lane(to, 2);
    lane.record(&allowed("gate_a", 300 - 44));
    lane.record(&[draft("gate_a", "agent-2", Decision::Block)]);
    let keys = keys(&bench, "gate_a");
    let older = keys.checkpoint("gate_a", &older).unwrap();
    let lines = export(&bench, "format=jsonl&gate_id=gate_a");
    let verdict = audit(&keys, &lines, Some(older)).unwrap();
    assert_eq!((verdict.records, verdict.lanes, verdict.pruned), (263, 3, 0));
    assert_eq!((verdict.decisions["allow"], verdict.decisions["block"]), (262, 1));
    assert_eq!(verdict.extends_older, Some(true));
    assert_eq!(verdict.checkpoint.unwrap().size, 263);
    // JSON has the same lines.
    let object: Value = serde_json::from_str(&export(&bench, "format=json&gate_id=gate_a")).unwrap();
    let inner: Vec<&str> = object["lines"].as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect();
    let mut all: Vec<&str> = lines.lines().collect();
    all.pop();
    assert_eq!(inner, &all[1..]);
    assert_eq!(object["header"], serde_json::from_str::<Value>(all[0]).unwrap());
    assert_eq!(object["trailer"]["count"], 263);
    // Each element on a line of its own, as whoever reads it so needs.
    let json = export(&bench, "gate_id=gate_a");
    assert_eq!(json.lines().count(), inner.len() + 2);
    assert!(json.lines().skip(1).take(inner.len()).all(|line| line.starts_with('"')));
}

fn what_is_changed_in_the_database_is_found(database: Option<&str>) {
    let bench = Bench::new(database);
    let gate = Gate::enrolled(&bench, "gate_a", 1);
    gate.lane(bench.service.address, 1).record(&allowed("gate_a", 6));
    let keys = keys(&bench, "gate_a");
    let broken = || audit(&keys, &export(&bench, "format=jsonl&gate_id=gate_a"), None).unwrap_err();
    let good = audit(&keys, &export(&bench, "format=jsonl&gate_id=gate_a"), None);
    assert_eq!(good.unwrap().records, 6);
    // A changed word, and back.
    let replace = |from: &str, with: &str| {
        let done = bench
            .sql(&format!("UPDATE records SET text = REPLACE(text, '{from}', '{with}') WHERE log_index = 3"));
        assert_eq!(done, 1);
    };
    replace("flights:search", "flights:secret");
    let found = broken();
    assert_eq!((found.error, found.index), (AttestationError::SignatureInvalid, 3));
    replace("flights:secret", "flights:search");
    // Another order.
    let swap = |a: i64, b: i64| {
        for (from, to) in [(a, -1), (b, a), (-1, b)] {
            bench.sql(&format!("UPDATE records SET log_index = {to} WHERE log_index = {from}"));
        }
    };
    swap(2, 3);
    assert_eq!(broken().error, AttestationError::SequenceGap);
    swap(2, 3);
    // The tree is other than the records.
    bench.sql("UPDATE record_tiles SET hashes = (SELECT hashes FROM record_tiles WHERE level = 0)");
    assert!(audit(&keys, &export(&bench, "format=jsonl&gate_id=gate_a"), None).is_ok());
    let zeros = base64::encode(&[0; 6 * 32]);
    bench.sql(&format!("UPDATE record_tiles SET hashes = '{zeros}' WHERE level = 0"));
    assert_eq!(broken().error, AttestationError::LeafMismatch);
    // A record that is gone breaks the export itself off: it has no end.
    bench.sql("DELETE FROM records WHERE log_index = 4");
    let answer = bench.service.call("GET", "/api/v1/attestations/export?format=jsonl&gate_id=gate_a", None);
    let lacks_end = answer.is_err() || !text(&answer.unwrap()).contains("\"count\"");
    assert!(lacks_end, "an export without a record has an end");
}

fn an_export_of_some_records_says_so_and_is_audited_too(database: Option<&str>) {
    let bench = Bench::new(database);
    let gate = Gate::enrolled(&bench, "gate_a", 1);
    let mut lane = gate.lane(bench.service.address, 1);
    for agent in ["agent-1", "agent-2", "agent-1", "agent-3", "agent-1"] {
        lane.record(&[draft("gate_a", agent, Decision::Allow)]);
    }
    let lines = export(&bench, "format=jsonl&gate_id=gate_a&agent_id=agent-1");
    assert!(lines.starts_with("{\"complete\":false,"), "{lines}");
    let verdict = audit(&keys(&bench, "gate_a"), &lines, None).unwrap();
    assert_eq!(verdict.records, 3);
    let answer = bench.service.call(
        "GET",
        "/api/v1/attestations/export?format=csv&agent_id=agent-1&after=2020-01-01",
        None,
    );
    let answer = answer.unwrap();
    assert_eq!(answer.header("x-total-records"), Some("3"));
    assert_eq!(text(&answer).lines().count(), 4);
    // Of several gates there is a table only.
    let other = Gate::enrolled(&bench, "gate_b", 2);
    other.lane(bench.service.address, 1).record(&allowed("gate_b", 2));
    assert_eq!(bench.call("GET", "/api/v1/attestations/export?format=json", None).0, 422);
    assert_eq!(export(&bench, "format=csv").lines().count(), 1 + 5 + 2);
    assert_eq!(bench.call("GET", "/api/v1/attestations/export?gate_id=gate_none", None).0, 404);
    assert_eq!(bench.call("GET", "/api/v1/attestations/export?gate_id=gate_a&after=x", None).0, 422);
}

fn a_table_of_records_has_no_formulas(database: Option<&str>) {
    let bench = Bench::new(database);
    let gate = Gate::enrolled(&bench, "gate_a", 1);
    let mut formula = draft("gate_a", "=HYPERLINK(\"http://x\",\"y\")", Decision::Allow);
    formula.request.as_mut().unwrap().path = "/a,b\"c".to_owned();
    formula.agent.as_mut().unwrap().agent_name = Some("@SUM(1)\u{0}".to_owned());
    gate.lane(bench.service.address, 1).record(&[formula]);
    let table = export(&bench, "format=csv&gate_id=gate_a");
    assert!(table.contains(",\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\","), "{table}");
    assert!(table.contains(",\"/a,b\"\"c\","), "{table}");
    assert!(table.contains(",\"'@SUM(1)"), "{table}");
}

fn ten_thousand_records_are_exported_in_less_memory_than_gathering_them_takes(database: Option<&str>) {
    const COUNT: u64 = 10_000;
    let bench = Bench::with(database, &["--record-rate", "1000"]);
    let gate = Gate::enrolled(&bench, "gate_a", 1);
    let mut lane = gate.lane(bench.service.address, 1);
    let mut left = COUNT;
    while left > 0 {
        let some = left.min(250);
        lane.record(&allowed("gate_a", usize::try_from(some).unwrap()));
        left -= some;
    }
    // Once, so that what is kept for ever is there.
    export(&bench, "format=csv&gate_id=gate_a&agent_id=nobody");
    let before = memory(bench.service.pid());
    let mut stream = TcpStream::connect(bench.service.address).unwrap();
    let key = &bench.service.key;
    write!(
        stream,
        "GET /api/v1/attestations/export?format=jsonl&gate_id=gate_a HTTP/1.1\r\nhost: x\r\n\
         connection: close\r\nauthorization: Bearer {key}\r\n\r\n"
    )
    .unwrap();
    let mut whole = Vec::new();
    stream.read_to_end(&mut whole).unwrap();
    let grown = memory(bench.service.pid()).saturating_sub(before);
    let whole = String::from_utf8_lossy(&whole);
    assert_eq!(whole.matches("\"attestation_id\"").count() as u64, COUNT);
    assert!(whole.contains("x-total-records: 10000") && whole.contains(&format!("\"count\":{COUNT}")));
    // The databases' own caches grow with what is read, by up to as much as the export has where the
    // machine is busy; whoever gathers the records first takes twice the export.
    let length = whole.len() as u64 / 1024;
    assert!(length > 8000, "it is no large export");
    assert!(grown < length + length / 2, "it took {grown} KiB more than before, for {length} KiB");
}

/// The most memory that a process has had, in KiB.
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn restarted(mut bench: Bench, options: &[&str]) -> Bench {
    let (key, control) = (bench.service.key.clone(), bench.control.clone().with(options));
    bench.service.end().unwrap();
    bench.service = control.start_with_key(&key).unwrap();
    bench
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn retention_removes_texts_and_leaves_the_log_provable(database: Option<&str>) {
    let bench = Bench::new(database);
    let (gate, other) = (Gate::enrolled(&bench, "gate_a", 1), Gate::enrolled(&bench, "gate_b", 2));
    let mut lane = gate.lane(bench.service.address, 1);
    lane.record(&allowed("gate_a", 10));
    let early = lane.known.unwrap();
    lane.record(&allowed("gate_a", 290 - 40));
    let note = text_of(&bench, "/api/gates/gate_a/log/checkpoint");
    lane.record(&allowed("gate_a", 30));
    other.lane(bench.service.address, 1).record(&allowed("gate_b", 3));
    let of_gate = "/api/v1/gates/gate_a/retention";
    assert_eq!(bench.call("GET", of_gate, None), (200, json!({"retention_days": null})));
    for wrong in [json!({"retention_days": 0}), json!({"retention_days": "x"})] {
        assert_eq!(bench.call("PUT", of_gate, Some(wrong)).0, 422);
    }
    let set = json!({"retention_days": 10});
    assert_eq!(bench.call("PUT", of_gate, Some(set.clone())), (200, set));
    let ago = common::passports::now().as_millis() - 20 * 86_400_000;
    bench.sql(&format!("UPDATE records SET received_at = {ago} WHERE log_index < 25"));
    let count = |bench: &Bench, gate: &str| {
        bench.call("GET", &format!("/api/v1/attestations?gate_id={gate}"), None).1["total"].as_i64()
    };
    // What is done each minute is done at the start too.
    let bench = restarted(bench, &[]);
    wait_for("its old records stay", || count(&bench, "gate_a") == Some(265));
    assert_eq!(count(&bench, "gate_b"), Some(3), "the other gate keeps its own for ever");
    let bench = restarted(bench, &["--keep-records", "30"]);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(count(&bench, "gate_b"), Some(3), "they are younger than that");
    let bench = restarted(bench, &["--keep-records", "15"]);
    wait_for("its old records stay", || count(&bench, "gate_b") == Some(0));
    // What was known of the log before is still its beginning, and what is kept is in it.
    let keys = keys(&bench, "gate_a");
    assert!(consistent(&bench, &keys, &early));
    let older = keys.checkpoint("gate_a", &note).unwrap();
    let lines = export(&bench, "format=jsonl&gate_id=gate_a");
    let verdict = audit(&keys, &lines, Some(older)).unwrap();
    assert_eq!((verdict.records, verdict.pruned, verdict.extends_older), (265, 25, Some(true)));
    let gone = bench.call("GET", "/api/gates/gate_a/log/proof?index=3", None).1;
    assert_eq!((&gone["leaf"], gone["hashes"].as_array().unwrap().is_empty()), (&Value::Null, false));
    // The lane goes on.
    let mut lane = Lane { to: bench.service.address, ..lane };
    lane.record(&allowed("gate_a", 1));
    let lines = export(&bench, "format=jsonl&gate_id=gate_b");
    let verdict = audit(&audit::keys(&bench, "gate_b"), &lines, None).unwrap();
    assert_eq!((verdict.records, verdict.pruned), (0, 3));
}
