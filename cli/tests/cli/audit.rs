//! Exports of a gate's records, judged by whoever has keys from elsewhere.

use crate::log::{BEGIN, Log, gate_key, header, key_config, service_key};
use crate::support::{Desk, members};
use portcullis_core::UnixTime;
use serde_json::{Value, json};

const END: UnixTime = BEGIN.plus_millis(3_600_000);

/// A folder with the keys, in `keys.json`.
fn desk() -> Desk {
    let desk = Desk::new();
    let keys = json!({
        "keys": [key_config(&gate_key(1), None)],
        "service_keys": [key_config(&service_key(), None)],
    });
    desk.write("keys.json", keys.to_string());
    desk
}

/// As a service writes it, in either form.
fn jsonl(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn object(lines: &[String]) -> String {
    let (first, rest) = lines.split_first().expect("a header");
    let (last, middle) = rest.split_last().expect("a trailer");
    let strings: Vec<_> = middle.iter().map(|line| Value::from(line.as_str()).to_string()).collect();
    format!("{{\"header\":{first},\"lines\":[\n{}\n],\"trailer\":{last}}}\n", strings.join(",\n"))
}

/// More than one chunk has.
const MANY: u64 = 1500;

#[test]
fn a_whole_export_is_valid_in_both_forms_and_from_standard_input() {
    let desk = desk();
    let lines = Log::grown(MANY).export(END);
    desk.write("log.jsonl", jsonl(&lines));
    desk.write("log.json", object(&lines));
    assert!(serde_json::from_str::<Value>(&object(&lines)).is_ok());
    let found = desk.done_json(&["audit", "verify", "log.jsonl", "--keys", "keys.json"]);
    let names = [
        "valid",
        "gate",
        "complete",
        "records",
        "pruned",
        "lanes",
        "decisions",
        "dropped",
        "first_at",
        "last_at",
        "checkpoint",
        "extends_older",
    ];
    let mut names = names.to_vec();
    names.sort_unstable();
    let mut found_names = members(&found);
    found_names.sort_unstable();
    assert_eq!(found_names, names);
    assert_eq!(found["valid"], true);
    assert_eq!((&found["records"], &found["lanes"]), (&json!(MANY), &json!(2)));
    assert_eq!(found["decisions"], json!({"allow": 1000, "block": 500}));
    assert_eq!(found["checkpoint"]["size"], MANY);
    assert_eq!(found["extends_older"], Value::Null);
    assert_eq!(desk.done_json(&["audit", "verify", "log.json", "--keys", "keys.json"]), found);
    let read = desk.run_reading("log.jsonl", &["audit", "verify", "-", "--keys", "keys.json", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&read.out).expect("JSON"), found);
    let text = desk.done(&["audit", "verify", "log.jsonl", "--keys", "keys.json"]);
    assert!(text.starts_with("VALID        1500 records, the whole log\n"), "{text}");
    assert!(text.contains("keep this one"), "{text}");
}

#[test]
fn a_log_without_records_is_whole_in_both_forms() {
    let desk = desk();
    let lines = Log::default().export(END);
    desk.write("log.jsonl", jsonl(&lines));
    desk.write("log.json", object(&lines));
    for file in ["log.jsonl", "log.json"] {
        assert_eq!(desk.done_json(&["audit", "verify", file, "--keys", "keys.json"])["records"], 0);
        assert_eq!(desk.done(&["audit", "checkpoint", file]), Log::default().checkpoint(END));
    }
}

#[test]
fn the_first_broken_record_is_named_with_its_line() {
    let desk = desk();
    let mut lines = Log::grown(MANY).export(END);
    // Two in one file, in the order of the file and not of the threads.
    for path in ["\"/1200\"", "\"/700\""] {
        let at = lines.iter().position(|line| line.contains(path)).expect("the record");
        lines[at] = lines[at].replace(path, "\"/elsewhere\"");
    }
    let at = lines.iter().position(|line| line.contains("/elsewhere")).expect("the record");
    desk.write("log.jsonl", jsonl(&lines));
    desk.write("log.json", object(&lines));
    let found = desk.refused_json(&["audit", "verify", "log.jsonl", "--keys", "keys.json"]);
    assert_eq!(
        found,
        json!({
            "valid": false,
            "gate": "gate_test",
            "reason_code": "signature_invalid",
            "detail": "its signature is not one by the key that it names",
            "line": at + 1,
            "index": 700,
            "record": {
                "attestation_id": "att_00000000000002bc0000000000000000",
                "lane": "AgICAgICAgICAgICAgICAg",
                "sequence_number": 349,
            },
        })
    );
    assert_eq!(desk.refused_json(&["audit", "verify", "log.json", "--keys", "keys.json"]), found);
    let text = desk.run(&["audit", "verify", "log.jsonl", "--keys", "keys.json"]);
    assert_eq!(text.code, 1);
    assert!(text.out.starts_with("BROKEN       signature_invalid\n"), "{}", text.out);
    assert!(text.out.contains("att_00000000000002bc0000000000000000"), "{}", text.out);
}

#[test]
fn a_cut_off_or_shortened_export_is_broken() {
    let desk = desk();
    let lines = Log::grown(40).export(END);
    desk.write("cut.jsonl", jsonl(&lines[..30]));
    let found = desk.refused_json(&["audit", "verify", "cut.jsonl", "--keys", "keys.json"]);
    assert_eq!((&found["reason_code"], &found["line"]), (&json!("log_truncated"), &Value::Null));
    let mut shortened = lines.clone();
    shortened.remove(20);
    desk.write("short.jsonl", jsonl(&shortened));
    let found = desk.refused_json(&["audit", "verify", "short.jsonl", "--keys", "keys.json"]);
    assert_eq!(found["reason_code"], "sequence_gap");
    let whole = jsonl(&lines);
    let half: String = whole.chars().take(whole.len() / 2).collect();
    desk.write("half.jsonl", half);
    let found = desk.refused_json(&["audit", "verify", "half.jsonl", "--keys", "keys.json"]);
    assert_eq!(found["reason_code"], "record_malformed");
}

#[test]
fn a_log_is_held_to_the_checkpoint_of_an_earlier_audit() {
    let desk = desk();
    desk.write("early.jsonl", jsonl(&Log::grown(10).export(END)));
    let note = desk.done(&["audit", "checkpoint", "early.jsonl"]);
    assert_eq!(note, Log::grown(10).checkpoint(END));
    desk.done(&["audit", "checkpoint", "early.jsonl", "--out", "early.note"]);
    assert_eq!(desk.read("early.note"), note);
    desk.unusable(&["audit", "checkpoint", "early.jsonl", "--out", "early.note"]);

    desk.write("late.jsonl", jsonl(&Log::grown(30).export(END)));
    let verify = ["audit", "verify", "late.jsonl", "--keys", "keys.json", "--checkpoint", "early.note"];
    assert_eq!(desk.done_json(&verify)["extends_older"], true);
    assert!(desk.done(&verify).contains("this log is that one, grown"));

    let mut rewritten = Log::default();
    for id in 100..130 {
        rewritten.decide(1, id);
    }
    desk.write("late.jsonl", jsonl(&rewritten.export(END)));
    assert!(desk.done(&verify[..5]).starts_with("VALID"));
    assert_eq!(desk.refused_json(&verify)["reason_code"], "checkpoint_inconsistent");

    desk.write("early.note", "nothing\n");
    assert!(desk.unusable(&verify).contains("early.note cannot be compared with"));
}

#[test]
fn a_filtered_export_is_said_to_be_a_part() {
    let desk = desk();
    let mut lines = Log::grown(10).export(END);
    lines.remove(4);
    lines[0] = header(false, 0);
    let last = lines.len() - 1;
    lines[last] = lines[last].replace("\"count\":10", "\"count\":9");
    desk.write("part.jsonl", jsonl(&lines));
    let verify = ["audit", "verify", "part.jsonl", "--keys", "keys.json"];
    assert_eq!(desk.done_json(&verify)["complete"], false);
    assert!(desk.done(&verify).contains("PART of the log"));
    desk.write("note", Log::grown(3).checkpoint(END));
    let compared = [&verify[..], &["--checkpoint", "note"]].concat();
    assert!(desk.unusable(&compared).contains("export the whole log"));
}

#[test]
fn without_keys_or_with_unusable_ones_nothing_is_judged() {
    let desk = desk();
    desk.write("log.jsonl", jsonl(&Log::grown(3).export(END)));
    assert!(desk.misused(&["audit", "verify", "log.jsonl"]).contains("--keys"));
    let verify = ["audit", "verify", "log.jsonl", "--keys", "other.json"];
    assert!(desk.unusable(&verify).contains("cannot read other.json"));
    let service = json!([key_config(&service_key(), None)]);
    let mut renamed = key_config(&gate_key(1), None);
    renamed.key_id = "gate-key".into();
    for (keys, problem) in [
        (json!({}), "must be"),
        (json!({"keys": [], "service_keys": []}), "service.keys"),
        (json!({"keys": [renamed], "service_keys": service}), "keys[0].key_id"),
        (json!({"keys": [], "service_keys": service, "more": 1}), "must be"),
    ] {
        desk.write("other.json", keys.to_string());
        assert!(desk.unusable(&verify).contains(problem), "{problem}");
    }
    // Keys in the export itself are nobody's word.
    desk.write("other.json", json!({"keys": [], "service_keys": service}).to_string());
    assert_eq!(desk.refused_json(&verify)["reason_code"], "key_unknown");
}

#[test]
fn what_is_no_export_is_unusable() {
    let desk = desk();
    for text in ["", "\n", "{}", "{\"access_mode\":1}", "no JSON", "{\"header\":{},\"lines\":["] {
        desk.write("log.jsonl", text);
        let verify = ["audit", "verify", "log.jsonl", "--keys", "keys.json"];
        assert!(desk.unusable(&verify).contains("is no export of attestations"), "{text}");
        desk.unusable(&["audit", "show", "log.jsonl", "att_0"]);
        desk.unusable(&["audit", "checkpoint", "log.jsonl"]);
    }
    desk.unusable(&["audit", "verify", "missing.jsonl", "--keys", "keys.json"]);
    // Pretty-printed by somebody else, which loses no word and yet the lines.
    let lines = Log::grown(3).export(END);
    let pretty: Value = serde_json::from_str(&object(&lines)).expect("JSON");
    desk.write("log.json", serde_json::to_string_pretty(&pretty).expect("JSON"));
    desk.unusable(&["audit", "verify", "log.json", "--keys", "keys.json"]);
}

#[test]
fn one_decision_is_shown_to_a_person() {
    let desk = desk();
    let lines = Log::grown(10).export(END);
    desk.write("log.jsonl", jsonl(&lines));
    desk.write("log.json", object(&lines));
    let id = "att_00000000000000060000000000000000";
    let text = desk.done(&["audit", "show", "log.jsonl", id]);
    assert!(text.starts_with("BLOCK        not verified here"), "{text}");
    for told in ["gate_test", "GET /6", "6 cents", id, "number 2", "2026-06-01T12:00:06.000Z"] {
        assert!(text.contains(told), "{told} in {text}");
    }
    assert_eq!(desk.done(&["audit", "show", "log.json", id]), text);
    let json = desk.done_json(&["audit", "show", "log.jsonl", id]);
    assert_eq!((&json["attestation_id"], &json["request"]["path"]), (&json!(id), &json!("/6")));
    assert!(desk.unusable(&["audit", "show", "log.jsonl", "att_1"]).contains("no decision att_1"));
}
