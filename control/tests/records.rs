//! Records that gates bring: what is taken, what is refused, and what is answered.

use crate::common::Bench;
use crate::common::gates::{bringing, signed, text};
use crate::common::passports::now;
use crate::common::records::{Gate, Lane, allowed, body, draft, id, refusal};
use portcullis_core::attestation::{BatchHead, Decision, Draft, Known, LaneQuestion, Signed, Signer};
use portcullis_core::{SecretKey, base64};
use serde_json::{Value, json};
use std::sync::Barrier;
use std::time::{Duration, Instant};
use xtask::on_every_database;

on_every_database!(
    a_batch_is_taken_whole_and_its_answer_verifies,
    a_batch_that_is_repeated_is_answered_as_before_and_stored_once,
    records_that_do_not_continue_their_lane_are_refused_whole,
    a_number_with_another_record_is_a_conflict,
    a_record_that_is_forged_changed_or_anothers_is_refused_whole,
    a_gate_that_takes_the_ids_of_anothers_records_keeps_none_of_these_out,
    a_lane_goes_on_from_what_the_log_has_come_to,
    a_key_that_has_ended_signs_no_more_records,
    a_gate_brings_its_next_key_for_records_with_its_next_key,
    proxies_of_one_gate_append_at_once_at_two_instances,
    a_gate_that_knows_another_log_is_told_so,
    batches_are_counted_apart_from_other_calls_and_have_a_size,
    what_is_taken_refused_dropped_and_waiting_is_measured,
    a_backup_has_the_records_and_the_log_goes_on,
);

fn stored(bench: &Bench) -> i64 {
    bench.call("GET", "/api/v1/attestations?limit=1", None).1["total"].as_i64().unwrap()
}

fn a_batch_is_taken_whole_and_its_answer_verifies(database: Option<&str>) {
    let bench = Bench::new(database);
    let gate = Gate::enrolled(&bench, "gate_a", 1);
    let mut lane = gate.lane(bench.service.address, 1);
    assert_eq!((lane.previous, lane.next), ([0; 32], 1));
    // Sizes around those of a statement and of a tile.
    let mut all = 0;
    for count in [1, 3, 64, 85, 1, 256, 256, 2] {
        let drafts = allowed("gate_a", count);
        let records = lane.sign(&drafts);
        let answer = lane.deliver(&records);
        assert_eq!(answer.first_index, all);
        all += count as u64;
        assert_eq!(lane.known.unwrap().size, all);
    }
    assert_eq!(stored(&bench), i64::try_from(all).unwrap());
    assert_eq!(gate.lane(bench.service.address, 1).next, all + 1, "it stands where it stood");
}

fn a_batch_that_is_repeated_is_answered_as_before_and_stored_once(database: Option<&str>) {
    let bench = Bench::new(database);
    let gate = Gate::enrolled(&bench, "gate_a", 1);
    let (mut lane, mut other) = (gate.lane(bench.service.address, 1), gate.lane(bench.service.address, 2));
    let kept_no_longer = lane.record(&allowed("gate_a", 3));
    let known = lane.known;
    let records = lane.sign(&allowed("gate_a", 5));
    let first = lane.deliver(&records);
    // The log has gone on by the time that the first answer is found to be lost.
    other.record(&allowed("gate_a", 7));
    lane.known = known;
    let again = lane.deliver(&records);
    assert_eq!((again.first_index, &again.frontier), (first.first_index, &first.frontier));
    assert_eq!(again.consistency, first.consistency);
    assert_eq!(stored(&bench), 15);
    let last = lane.record(&allowed("gate_a", 1));
    // The log has records of the other lane between these two.
    let both = [records[4].clone(), last[0].clone()];
    assert_eq!(refusal(&lane.send(&both)), (409, "lane_conflict".to_owned()));
    // What retention has removed cannot be compared.
    assert_eq!(bench.sql("DELETE FROM records WHERE log_index < 3"), 3);
    assert_eq!(refusal(&lane.send(&kept_no_longer)), (409, "lane_conflict".to_owned()));
}

fn records_that_do_not_continue_their_lane_are_refused_whole(database: Option<&str>) {
    let bench = Bench::new(database);
    let gate = Gate::enrolled(&bench, "gate_a", 1);
    let mut lane = gate.lane(bench.service.address, 1);
    let (first, second) = (lane.sign(&allowed("gate_a", 2)), lane.sign(&allowed("gate_a", 2)));
    let answer = lane.send(&second);
    assert_eq!(refusal(&answer), (409, "lane_gap".to_owned()));
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(told["next"], 1);
    let hole = [first[0].clone(), second[0].clone()];
    assert_eq!(refusal(&lane.send(&hole)), (422, "sequence_gap".to_owned()));
    assert_eq!(stored(&bench), 0, "nothing of it is stored");
    lane.deliver(&first);
    let both = [first[1].clone(), second[0].clone()];
    assert_eq!(refusal(&lane.send(&both)), (409, "lane_overlap".to_owned()));
    lane.deliver(&second);
    // The next number, chained to something else: within a batch, and as its first.
    let next = lane.next;
    let good = lane.sign(&allowed("gate_a", 1));
    lane.previous = [9; 32];
    let astray = lane.sign(&allowed("gate_a", 1));
    let both = [good[0].clone(), astray[0].clone()];
    assert_eq!(refusal(&lane.send(&both)), (422, "chain_broken".to_owned()));
    (lane.next, lane.previous) = (next, [9; 32]);
    let astray = lane.sign(&allowed("gate_a", 1));
    assert_eq!(refusal(&lane.send(&astray)), (422, "chain_broken".to_owned()));
    // A lane that nobody has opened.
    let head = BatchHead { lane: [8; 16], ..lane.head() };
    let elsewhere = vec![allowed("gate_a", 1)[0].unsigned().sign(&[8; 16], 1, &[0; 32], &lane.signer)];
    let answer = gate.post(lane.to, "attestations", &body(&head, &elsewhere));
    assert_eq!(refusal(&answer), (409, "lane_unknown".to_owned()));
    assert_eq!(stored(&bench), 4);
}

fn a_number_with_another_record_is_a_conflict(database: Option<&str>) {
    let bench = Bench::new(database);
    let gate = Gate::enrolled(&bench, "gate_a", 1);
    let mut lane = gate.lane(bench.service.address, 1);
    let records = lane.record(&allowed("gate_a", 2));
    let mut again = gate.lane(bench.service.address, 1);
    (again.next, again.previous) = (1, [0; 32]);
    let others = again.sign(&allowed("gate_a", 2));
    assert_eq!(refusal(&lane.send(&others)), (409, "lane_conflict".to_owned()));
    // Another record with an id that is taken.
    let mut twice = draft("gate_a", "agent-2", Decision::Allow);
    twice.id = draft_id(&records[0]);
    let twice = lane.sign(&[draft("gate_a", "agent-2", Decision::Allow), twice]);
    assert_eq!(refusal(&lane.send(&twice)), (409, "record_conflict".to_owned()));
    assert_eq!(stored(&bench), 2);
    let log = bench.call("GET", "/api/gates/gate_a/log/proof?index=2", None);
    assert_eq!(log.0, 404, "the log has not grown either");
}

fn draft_id(record: &Signed) -> [u8; 16] {
    portcullis_core::attestation::Record::read(record.text.as_bytes()).unwrap().draft().id
}

fn a_record_that_is_forged_changed_or_anothers_is_refused_whole(database: Option<&str>) {
    let bench = Bench::new(database);
    let to = bench.service.address;
    let (gate, other) = (Gate::enrolled(&bench, "gate_a", 1), Gate::enrolled(&bench, "gate_b", 2));
    let mut lane = gate.lane(to, 1);
    let good = lane.sign(&allowed("gate_a", 2));
    let changed = |from: &str, with: &str| {
        let mut records = good.clone();
        assert!(records[1].text.contains(from), "{}", records[1].text);
        records[1].text = records[1].text.replacen(from, with, 1);
        refusal(&lane.send(&records))
    };
    let refused = |code: &str| (422, code.to_owned());
    assert_eq!(changed("\"allow\"", "\"block\""), refused("signature_invalid"));
    assert_eq!(changed("agent-1", "agent-2"), refused("signature_invalid"));
    assert_eq!(changed("{\"access", "{ \"access"), refused("record_not_canonical"));
    assert_eq!(changed("\"version\":\"1.0\"", "\"version\":\"1.1\""), refused("record_malformed"));
    // Signed by a key that is not the gate's, but for its own lane and gate.
    let by = |key: &SecretKey, id: &str| {
        let signer = Signer::new(key);
        let record = allowed(id, 1)[0].unsigned().sign(&lane.id, 1, &[0; 32], &signer);
        refusal(&lane.send(&[record]))
    };
    assert_eq!(by(&SecretKey::from_seed([9; 32]), "gate_a"), refused("key_unknown"));
    assert_eq!(by(&gate.key, "gate_a"), refused("key_unknown"), "the key that signs its calls");
    assert_eq!(by(&other.key.attestation_key(), "gate_a"), refused("key_unknown"), "another gate's");
    assert_eq!(by(&gate.key.attestation_key(), "gate_b"), refused("record_malformed"), "of another gate");
    // In the lane of the service, whose holds are its own.
    let own = portcullis_control::records::own::own_lane("gate_a");
    let record = allowed("gate_a", 1)[0].unsigned().sign(&own, 1, &[0; 32], &lane.signer);
    let answer = gate.post(to, "attestations", &body(&BatchHead { lane: own, ..lane.head() }, &[record]));
    assert_eq!(answer.status, 422);
    assert!(String::from_utf8_lossy(&answer.body).contains("the service's own"));
    // Its head names another lane than the record.
    let head = BatchHead { lane: [2; 16], ..lane.head() };
    assert_eq!(refusal(&gate.post(to, "attestations", &body(&head, &good))), refused("record_malformed"));
    // Another gate brings them: by its own path, and by this gate's.
    let path = "/gate/v1/gates/gate_a/attestations";
    let bytes = lane.body(&good);
    assert_eq!(signed(to, &other.key, ("POST", path, "", &bytes), now(), [1; 16]).status, 403);
    assert_eq!(refusal(&other.post(to, "attestations", &bytes)), refused("record_malformed"));
    for nothing in [&b""[..], b"{}\n", b"\n", &bytes[..bytes.len() - 1]] {
        assert_eq!(refusal(&gate.post(to, "attestations", nothing)).0, 422);
    }
    assert_eq!(stored(&bench), 0);
    lane.deliver(&good);
}

fn a_gate_that_takes_the_ids_of_anothers_records_keeps_none_of_these_out(database: Option<&str>) {
    let bench = Bench::new(database);
    let to = bench.service.address;
    let (gate, other) = (Gate::enrolled(&bench, "gate_a", 1), Gate::enrolled(&bench, "gate_b", 2));
    let drafts = allowed("gate_a", 3);
    let copied: Vec<_> = drafts
        .iter()
        .map(|one| Draft { id: one.id, ..draft("gate_b", "agent-2", Decision::Block) })
        .collect();
    // Before the gate has brought what it has told an agent.
    other.lane(to, 2).record(&copied);
    let records = gate.lane(to, 1).record(&drafts);
    assert_eq!(stored(&bench), 6);
    let path = format!("/api/enforcement/{}", id(&records[0]));
    for path in [&path, &format!("/api/v1/attestations/{}", id(&records[0]))] {
        let (status, answer) = bench.call("GET", path, None);
        assert_eq!((status, &answer["code"]), (409, &json!("record_ambiguous")), "{answer}");
        for gate in ["gate_a", "gate_b"] {
            let (status, found) = bench.call("GET", &format!("{path}?gate_id={gate}"), None);
            assert_eq!((status, &found["gate_id"]), (200, &json!(gate)), "{found}");
        }
    }
    let (status, verified) = bench.call("POST", &format!("{path}/verify?gate_id=gate_a"), None);
    assert_eq!((status, &verified["valid"]), (200, &json!(true)), "{verified}");
    let place = format!("/api/gates/gate_a/log/proof?attestation_id={}", id(&records[2]));
    let (status, proof) = bench.call("GET", &place, None);
    assert_eq!((status, &proof["index"]), (200, &json!(2)), "{proof}");
}

fn a_lane_goes_on_from_what_the_log_has_come_to(database: Option<&str>) {
    let bench = Bench::new(database);
    let to = bench.service.address;
    let (gate, other) = (Gate::enrolled(&bench, "gate_a", 1), Gate::enrolled(&bench, "gate_b", 2));
    other.lane(to, 1).record(&allowed("gate_b", 1));
    let mut first = gate.lane(to, 1);
    assert_eq!(first.previous, [0; 32], "another gate has another log");
    let last = first.record(&allowed("gate_a", 2))[1].chain_hash;
    let mut second = gate.lane(to, 2);
    assert_eq!((second.previous, second.next), (last, 1));
    first.record(&allowed("gate_a", 1));
    let again = gate.lane(to, 2);
    assert_eq!((again.previous, again.next), (last, 1), "asked again, it is the same lane");
    second.record(&allowed("gate_a", 1));
    // A key that is not the gate's, and what is no question.
    let asked = LaneQuestion { lane: [3; 16], attestation_key_id: other.lane(to, 1).signer.key_id().into() };
    let answer = gate.post(to, "lanes", asked.to_json().as_bytes());
    assert_eq!(refusal(&answer), (409, "key_unknown".to_owned()));
    assert_eq!(gate.post(to, "lanes", b"{}").status, 422);
    let own = LaneQuestion {
        lane: portcullis_control::records::own::own_lane("gate_a"),
        attestation_key_id: first.signer.key_id().into(),
    };
    assert_eq!(gate.post(to, "lanes", own.to_json().as_bytes()).status, 422, "the service's own lane");
}

fn a_key_that_has_ended_signs_no_more_records(database: Option<&str>) {
    let bench = Bench::new(database);
    let to = bench.service.address;
    let gate = Gate::enrolled(&bench, "gate_a", 1);
    let mut lane = gate.lane(to, 1);
    lane.record(&allowed("gate_a", 1));
    // A second key, with which it still calls when the first has ended.
    let next = SecretKey::from_seed([5; 32]);
    let brought = bringing(json!({}), &next).to_string();
    assert_eq!(gate.post(to, "keys", brought.as_bytes()).status, 201);
    let keys = bench.call("GET", "/api/v1/gates/gate_a/keys", None).1;
    let first = keys[0]["key_id"].as_str().unwrap();
    assert_eq!(bench.call("DELETE", &format!("/api/v1/gates/gate_a/keys/{first}"), None).0, 200);
    let records = lane.sign(&allowed("gate_a", 1));
    let path = "/gate/v1/gates/gate_a/attestations";
    let answer = signed(to, &next, ("POST", path, "", &lane.body(&records)), now(), [2; 16]);
    assert_eq!(refusal(&answer), (422, "key_unknown".to_owned()));
    assert_eq!(stored(&bench), 1);
}

fn a_gate_brings_its_next_key_for_records_with_its_next_key(database: Option<&str>) {
    let bench = Bench::new(database);
    let to = bench.service.address;
    let mut gate = Gate::enrolled(&bench, "gate_a", 1);
    gate.lane(to, 1).record(&allowed("gate_a", 1));
    let next = SecretKey::from_seed([5; 32]);
    let mut wrong = bringing(json!({}), &next);
    wrong["attestation_key"] = wrong["public_key"].clone();
    let answer = gate.post(to, "keys", wrong.to_string().as_bytes());
    assert_eq!(refusal(&answer), (422, "invalid".to_owned()), "one key for both");
    wrong.as_object_mut().unwrap().remove("attestation_key");
    assert_eq!(gate.post(to, "keys", wrong.to_string().as_bytes()).status, 422);
    let brought = bringing(json!({}), &next).to_string();
    assert_eq!(gate.post(to, "keys", brought.as_bytes()).status, 201);
    // The former goes on for a day, as the proxies are restarted one by one.
    gate.lane(to, 2).record(&allowed("gate_a", 1));
    gate.key = next;
    gate.lane(to, 3).record(&allowed("gate_a", 1));
    let keys = bench.call("GET", "/api/gates/gate_a/attestation-keys", None).1;
    let ends: Vec<bool> =
        keys["keys"].as_array().unwrap().iter().map(|key| key.get("not_after").is_some()).collect();
    assert_eq!(ends, [true, false], "{keys}");
    let wanted = base64::encode(&gate.key.attestation_key().public_key());
    assert_eq!(keys["keys"][1]["public_key"], wanted);
}

fn proxies_of_one_gate_append_at_once_at_two_instances(database: Option<&str>) {
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
    let (proxies, batches) = (6_u8, 5);
    let barrier = Barrier::new(usize::from(proxies));
    let sizes = std::thread::scope(|scope| {
        let work: Vec<_> = (0..proxies)
            .map(|proxy| {
                let (gate, barrier, to) = (&gate, &barrier, instances[usize::from(proxy) % instances.len()]);
                scope.spawn(move || {
                    barrier.wait();
                    let mut lane = gate.lane(to, proxy + 1);
                    let mut sizes = Vec::new();
                    for _ in 0..batches {
                        lane.record(&allowed("gate_a", 7));
                        sizes.push(lane.known.unwrap().size);
                    }
                    sizes
                })
            })
            .collect();
        work.into_iter().flat_map(|one| one.join().unwrap()).collect::<Vec<u64>>()
    });
    let all = u64::from(proxies) * batches * 7;
    let mut sorted = sizes.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), sizes.len(), "no two batches ended at one place");
    assert_eq!(sorted.last(), Some(&all));
    assert_eq!(stored(&bench), i64::try_from(all).unwrap());
}

fn a_gate_that_knows_another_log_is_told_so(database: Option<&str>) {
    let bench = Bench::new(database);
    let gate = Gate::enrolled(&bench, "gate_a", 1);
    let mut lane = gate.lane(bench.service.address, 1);
    lane.record(&allowed("gate_a", 3));
    let known = lane.known.unwrap();
    let records = lane.sign(&allowed("gate_a", 1));
    for wrong in [Known { size: 9, ..known }, Known { root: [0; 32], ..known }, Known { size: 2, ..known }] {
        lane.known = Some(wrong);
        assert_eq!(refusal(&lane.send(&records)), (409, "log_forked".to_owned()));
    }
    assert_eq!(stored(&bench), 3, "nothing is stored on a log that nobody can follow");
    lane.known = Some(known);
    lane.deliver(&records);
}

fn batches_are_counted_apart_from_other_calls_and_have_a_size(database: Option<&str>) {
    let bench = Bench::with(database, &["--record-rate", "1"]);
    let to = bench.service.address;
    let gate = Gate::enrolled(&bench, "gate_a", 1);
    let mut lane = gate.lane(to, 1);
    let records = lane.sign(&allowed("gate_a", 1));
    let statuses: Vec<u16> = (0..10).map(|_| lane.send(&records).status).collect();
    assert!(statuses.starts_with(&[200; 4]) && statuses.contains(&429), "{statuses:?}");
    let query = "snapshot=0&revocations=0&wait=0&random=AAAAAAAAAAAAAAAAAAAAAA";
    let answer = signed(to, &gate.key, ("GET", "/gate/v1/gates/gate_a/trust", query, b""), now(), [3; 16]);
    assert_eq!(answer.status, 200, "revocations reach it all the same");
    std::thread::sleep(Duration::from_secs(3));
    let long = vec![b'a'; 512 * 1024 + 1];
    assert_eq!(refusal(&gate.post(to, "attestations", &long)), (413, "too_large".to_owned()));
    let many = lane.sign(&allowed("gate_a", 257));
    assert_eq!(lane.send(&many).status, 422);
}

fn what_is_taken_refused_dropped_and_waiting_is_measured(database: Option<&str>) {
    let bench = Bench::new(database);
    let gate = Gate::enrolled(&bench, "gate_a", 1);
    let mut lane = gate.lane(bench.service.address, 1);
    let drafts =
        [Decision::Allow, Decision::Allow, Decision::Block].map(|decision| draft("gate_a", "a", decision));
    let records = lane.sign(&drafts);
    let tell = |lane: &Lane<'_>, dropped, waiting, records: &[Signed]| {
        let head = BatchHead { dropped, waiting, ..lane.head() };
        assert_eq!(gate.post(lane.to, "attestations", &body(&head, records)).status, 200);
    };
    tell(&lane, 0, 10, &records);
    tell(&lane, 5, 10, &records);
    let more = lane.sign(&allowed("gate_a", 1));
    tell(&lane, 7, 10, &more);
    let mut forged = lane.sign(&allowed("gate_a", 1));
    forged[0].text = forged[0].text.replace("agent-1", "agent-2");
    assert_eq!(lane.send(&forged).status, 422);
    let metrics = text(&bench.service.call("GET", "/metrics", None).unwrap());
    for line in [
        "portcullis_records_total{decision=\"allow\"} 3",
        "portcullis_records_total{decision=\"block\"} 1",
        "portcullis_records_dropped_total{gate=\"gate_a\"} 7",
        "portcullis_records_waiting{gate=\"gate_a\"} 6",
        "portcullis_record_batches_refused_total{code=\"signature_invalid\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
}

fn a_backup_has_the_records_and_the_log_goes_on(database: Option<&str>) {
    let bench = Bench::new(database);
    let gate = Gate::enrolled(&bench, "gate_a", 1);
    let mut lane = gate.lane(bench.service.address, 1);
    let first = id(&lane.record(&allowed("gate_a", 256))[0]);
    let file = bench.folder.path().join("backup.jsonl");
    let restored = format!("sqlite:{}", bench.folder.path().join("restored.db").display());
    let run = |arguments: &[&str], database: &str| {
        let mut command = std::process::Command::new(&bench.control.program);
        let output = command.args(arguments).args(["--database", database]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(&["backup", "--to", file.to_str().unwrap()], &bench.control.database);
    run(&["restore", "--from", file.to_str().unwrap()], &restored);
    if database.is_some() {
        // Its master key is in the environment, and is not a file's.
        return;
    }
    let key_file = |name: &str| bench.folder.path().join(name);
    std::fs::copy(key_file("control.db.key"), key_file("restored.db.key")).unwrap();
    let mut control = bench.control.clone();
    (control.database, [control.address]) = (restored, xtask::net::free().unwrap());
    let service = control.start_with_key(&bench.service.key).unwrap();
    lane.to = service.address;
    lane.record(&allowed("gate_a", 2));
    assert_eq!(lane.known.unwrap().size, 258);
    assert_eq!(service.call("GET", &format!("/api/v1/attestations/{first}"), None).unwrap().status, 200);
}

/// For docs/records.md.
#[test]
#[ignore = "a measurement, for a release build"]
fn how_many_records_a_second_are_taken() {
    let postgres = xtask::postgres::for_test("how many records a second PostgreSQL takes");
    for (name, database) in [("SQLite", None), ("PostgreSQL", postgres.as_deref())] {
        if name == "PostgreSQL" && database.is_none() {
            continue;
        }
        let bench = Bench::with(database, &["--record-rate", "100000"]);
        let gate = Gate::enrolled(&bench, "gate_a", 1);
        let mut lane = gate.lane(bench.service.address, 1);
        for size in [1, 16, 256] {
            let batches: Vec<Vec<Signed>> = (0..40).map(|_| lane.sign(&allowed("gate_a", size))).collect();
            let began = Instant::now();
            for batch in &batches {
                assert_eq!(lane.send(batch).status, 200);
            }
            let took = began.elapsed();
            let rate = (size * batches.len()) as f64 / took.as_secs_f64();
            println!("{name}, batches of {size}: {:?} each, {rate:.0} records a second", took / 40);
        }
    }
}
