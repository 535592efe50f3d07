//! Verdicts: what is valid, what is refused and why, alone and by trust material.

use crate::support::{Desk, NOON, members};
use serde_json::{Value, json};

/// A furnished desk with `trust.json`, which trusts `issuer:org_1` for flights:search
/// and the agent for flights:search.
fn trusting() -> Desk {
    let desk = Desk::furnished();
    desk.write(
        "org_1.json",
        r#"{"id":"issuer:org_1","type":"platform","tier":2,"actions":["flights:search"],
            "keys":[{"key_id":"ik_1","public_key_file":"issuer.pem"}]}"#,
    );
    bundle(&desk, &[]);
    desk.issue_as_platform("platform.passport", &["--permission", "flights:search", "--delegable"]);
    desk
}

fn bundle(desk: &Desk, more: &[&str]) {
    let base = ["bundle", "--issuer", "org_1.json", "--self-issued", "flights:search", "--out", "trust.json"];
    desk.done(&[base.as_slice(), more].concat());
}

fn reason(desk: &Desk, arguments: &[&str]) -> Value {
    let verdict = desk.refused_json(&[&["verify"], arguments].concat());
    assert_eq!(verdict["valid"], false);
    assert_eq!(
        members(&verdict["explanation"]),
        ["code", "meaning", "remedy", "who"],
        "every refusal is explained: {verdict}"
    );
    verdict["reason_code"].clone()
}

#[test]
fn a_valid_passport_is_told_in_full() {
    let desk = Desk::furnished();
    let verdict = desk.done_json(&["verify", "agent.passport", "--at", NOON]);
    assert_eq!(
        members(&verdict),
        [
            "detail",
            "explanation",
            "judged_at",
            "judged_by",
            "kind",
            "passport",
            "provenance",
            "reason_code",
            "tier",
            "valid"
        ]
    );
    assert_eq!(verdict["kind"], "passport");
    assert_eq!(verdict["valid"], true);
    assert_eq!(verdict["reason_code"], Value::Null);
    assert_eq!(verdict["provenance"], "L0");
    assert_eq!(verdict["judged_by"], "itself");
    assert_eq!(verdict["judged_at"], "2026-06-01T12:00:00.000Z");
    let passport = &verdict["passport"];
    assert_eq!(passport["agent_id"], desk.read_json("agent.json")["agent_id"]);
    assert_eq!(passport["issuer"]["type"], "self");
    assert_eq!(passport["expires_at"], "2026-06-01T12:30:00.000Z");
    assert_eq!(
        passport["permissions"],
        json!([
            { "permission_key": "flights:book", "constraints": { "max_per_action_cost": 500 }, "reason_code": null },
            { "permission_key": "flights:search", "constraints": {}, "reason_code": null },
        ])
    );
}

#[test]
fn people_are_told_who_what_until_when_and_through_whom() {
    let desk = Desk::furnished();
    let to = ["--to", "helper.jwk", "--permission", "flights:book", "--name", "Helper", "--out", "child"];
    let from =
        ["delegate", "--parent", "agent.passport", "--key", "agent.json", "--at", "2026-06-01T11:45:00Z"];
    desk.done(&[from.as_slice(), &to].concat());
    let text = desk.done(&["verify", "child", "--at", NOON]);
    assert!(text.starts_with("VALID "), "{text}");
    for part in [
        "(named \"Helper\")",
        "self-issued, provenance L0",
        "2026-06-01T12:30:00.000Z (in 30m)",
        "-> pp_delegate_",
        r#"flights:book {"max_per_action_cost":500}"#,
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_refusal_says_what_it_means_who_mends_it_and_how() {
    let desk = Desk::furnished();
    let outcome = desk.run(&["verify", "agent.passport", "--at", "2027-01-01T00:00:00Z"]);
    assert_eq!((outcome.code, outcome.err.as_str()), (1, ""));
    assert!(outcome.out.starts_with("REFUSED      passport_expired\n"), "{}", outcome.out);
    for label in ["found", "means", "who mends it", "how", "agent"] {
        assert!(outcome.out.lines().any(|line| line.starts_with(&format!("  {label} "))), "{label}");
    }
}

#[test]
fn the_window_is_judged_with_a_minute_to_spare() {
    let desk = Desk::furnished();
    for (at, expected) in [
        ("2026-06-01T11:28:59.999Z", json!("passport_not_yet_valid")),
        ("2026-06-01T11:29:00Z", Value::Null),
        ("2026-06-01T12:30:59.999Z", Value::Null),
        ("2026-06-01T12:31:00Z", json!("passport_expired")),
    ] {
        let outcome = desk.run(&["verify", "agent.passport", "--at", at, "--json"]);
        let verdict = crate::support::parsed(&outcome.out);
        assert_eq!(verdict["reason_code"], expected, "{at}");
        // The signatures held, so who it is stays known.
        assert_eq!(verdict["provenance"], "L0", "{at}");
    }
}

#[test]
fn every_form_is_read_from_a_file_and_from_standard_input() {
    let desk = Desk::furnished();
    let permission = ["--permission", "flights:search"];
    for form in [&[][..], &["--header"], &["--jwt"], &["--jwt", "--header"]] {
        desk.issue("form", &[permission.as_slice(), form].concat());
        let line = desk.read("form");
        let bare = line.rsplit(' ').next().expect("a value").trim_end();
        desk.write("bare", bare);
        desk.write("shouted", line.replace("Agent-Passport", "AGENT-PASSPORT").replace("Bearer", "bearer"));
        for file in ["form", "bare", "shouted"] {
            let arguments = ["verify", "-", "--at", NOON];
            let outcome = desk.run_reading(file, &arguments);
            assert_eq!(outcome.code, 0, "{form:?} {file}: {}{}", outcome.out, outcome.err);
            desk.done(&["verify", file, "--at", NOON]);
        }
    }
}

#[test]
fn a_changed_byte_is_refused() {
    let desk = Desk::furnished();
    let passport = desk.read("agent.passport");
    let signature = desk.read_json("agent.passport")["signature"].as_str().expect("text").to_owned();
    let version = "\"schema_version\":2";
    for (changed, code) in [
        (passport.replace("flights:search", "flights:cancel"), "signature_invalid"),
        (passport.replace(&signature, "AAAA"), "signature_malformed"),
        (passport.replace(version, "\"schema_version\":3"), "unsupported_schema_version"),
        (passport.replace(version, "\"schema_version\":2,\"schema_version\":2"), "invalid_envelope_shape"),
        (passport.replace(version, "\"schema_version\":2,\"more\":1"), "invalid_envelope_shape"),
        (passport.replace("\"type\":\"self\"", "\"type\":\"delegate\""), "delegation_chain_invalid_root"),
    ] {
        assert_ne!(changed, passport);
        desk.write("changed", changed);
        assert_eq!(reason(&desk, &["changed", "--at", NOON]), code);
    }
}

#[test]
fn a_credential_that_is_cut_off_is_refused_as_what_it_is() {
    let desk = Desk::furnished();
    let permission = ["--permission", "flights:search"];
    for (form, code) in [
        (&[][..], "invalid_envelope_shape"),
        (&["--header"], "credential_malformed"),
        (&["--jwt"], "signature_malformed"),
    ] {
        desk.issue("form", &[permission.as_slice(), form].concat());
        let text = desk.read("form");
        desk.write("cut", text.get(..text.len() - 20).expect("text"));
        assert_eq!(reason(&desk, &["cut", "--at", NOON]), code, "{form:?}");
    }
}

#[test]
fn a_platforms_passport_takes_trust_material_to_be_verified() {
    let desk = trusting();
    let verdict = desk.refused_json(&["verify", "platform.passport", "--at", NOON]);
    assert_eq!(verdict["reason_code"], "signature_key_unavailable");
    assert_eq!(verdict["provenance"], Value::Null);
    let verdict = desk.done_json(&["verify", "platform.passport", "--at", NOON, "--trust", "trust.json"]);
    assert_eq!((&verdict["provenance"], &verdict["tier"]), (&json!("L1"), &json!(2)));
    assert_eq!(verdict["judged_by"], "bundle");
}

#[test]
fn trust_material_admits_or_refuses_and_knows_ceilings() {
    let desk = trusting();
    let with_trust = ["--at", NOON, "--trust", "trust.json"];
    let verdict = desk.done_json(&[&["verify", "agent.passport"], with_trust.as_slice()].concat());
    assert_eq!(verdict["tier"], 1);
    let codes: Vec<_> = verdict["passport"]["permissions"]
        .as_array()
        .expect("permissions")
        .iter()
        .map(|permission| permission["reason_code"].clone())
        .collect();
    assert_eq!(codes, [json!("self_issued_platform_ceiling_exceeded"), Value::Null]);

    desk.done(&["bundle", "--issuer", "org_1.json", "--out", "trust.json"]);
    assert_eq!(
        reason(&desk, &[&["agent.passport"], with_trust.as_slice()].concat()),
        "self_issued_not_allowed"
    );
}

#[test]
fn what_is_revoked_or_disabled_at_the_root_is_refused_down_the_chain() {
    let desk = trusting();
    let from = ["delegate", "--parent", "platform.passport", "--key", "agent.json"];
    let to = ["--to", "helper.jwk", "--permission", "flights:search", "--at", "2026-06-01T11:45:00Z"];
    desk.done(&[from.as_slice(), &to, &["--out", "child.passport"]].concat());
    let arguments = ["child.passport", "--at", NOON, "--trust", "trust.json"];
    desk.done(&[&["verify"], arguments.as_slice()].concat());

    let root = desk.read_json("platform.passport")["passport_json"]["passport_id"].clone();
    let root = format!("issuer:org_1/{}", root.as_str().expect("text"));
    bundle(&desk, &["--revoke", &root]);
    assert_eq!(reason(&desk, &arguments), "passport_revoked");
    bundle(&desk, &["--disable", "issuer:org_1/acme-agent"]);
    assert_eq!(reason(&desk, &arguments), "agent_disabled");
    // The same id of another issuer is somebody else.
    bundle(&desk, &["--disable", "issuer:org_2/acme-agent"]);
    desk.done(&[&["verify"], arguments.as_slice()].concat());
}

#[test]
fn a_whole_gate_configuration_serves_as_trust_material() {
    let desk = trusting();
    desk.write("gate.json", crate::bundle::GATE);
    desk.done(&["bundle", "--config", "gate.json", "--issuer", "org_1.json", "--out", "whole.json"]);
    let arguments = ["verify", "platform.passport", "--at", NOON, "--trust", "whole.json"];
    assert_eq!(desk.done_json(&arguments)["judged_by"], "gate");
}

#[test]
fn trust_material_that_is_none_is_named() {
    let desk = trusting();
    for (contents, problem) in [
        ("", "is missing"),
        ("{", "not JSON"),
        ("[]", "must be an object"),
        (r#"{"issuer":[]}"#, "issuer: is unknown"),
        (r#"{"issuers":[{"id":"a"}]}"#, "issuers[0]"),
        (r#"{"self_issued":{"actions":[]}}"#, "trust.self_issued.actions"),
        (r#"{"trust":{}}"#, "gate"),
    ] {
        desk.write("trust.txt", contents);
        let message = desk.unusable(&["verify", "agent.passport", "--trust", "trust.txt"]);
        assert!(message.contains("trust.txt") && message.contains(problem), "{contents}: {message}");
    }
}

#[test]
fn a_name_cannot_paint_over_the_verdict() {
    let desk = Desk::furnished();
    desk.issue("named", &["--permission", "flights:search", "--name", "x\u{1b}[2K\u{202e}\nVALID"]);
    for command in ["verify", "inspect"] {
        let time: &[&str] = if command == "verify" { &["--at", NOON] } else { &[] };
        let text = desk.done(&[&[command, "named"], time].concat());
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text}");
        assert!(text.contains("\\u{1b}[2K\\u{202e}\\u{a}VALID"), "{text}");
    }
}
