//! Delegation: no more than the parent, no longer, and nothing cut in silence.

use crate::support::{Desk, NOON, parsed};
use serde_json::json;

const DELEGATE: [&str; 5] = ["delegate", "--parent", "agent.passport", "--key", "agent.json"];
const AT: [&str; 2] = ["--at", "2026-06-01T11:45:00Z"];

#[test]
fn a_child_lives_as_long_as_its_parent_unless_told_otherwise() {
    let desk = Desk::furnished();
    let to = ["--to", "helper.jwk", "--permission", "flights:search"];
    let made = desk.done_json(&[DELEGATE.as_slice(), &AT, &to].concat());
    assert_eq!(made["expires_at"], "2026-06-01T12:30:00.000Z");
    let made = desk.done_json(&[DELEGATE.as_slice(), &AT, &to, &["--expires-in", "10m"]].concat());
    assert_eq!(made["expires_at"], "2026-06-01T11:55:00.000Z");
}

#[test]
fn a_lifetime_beyond_the_parents_is_cut_and_that_is_said() {
    let desk = Desk::furnished();
    let to = ["--to", "helper.jwk", "--permission", "flights:search", "--expires-in", "30d", "--json"];
    let outcome = desk.run(&[DELEGATE.as_slice(), &AT, &to].concat());
    assert_eq!(outcome.code, 0);
    assert!(outcome.err.contains("is cut"), "{}", outcome.err);
    assert_eq!(parsed(&outcome.out)["expires_at"], "2026-06-01T12:30:00.000Z");
}

#[test]
fn a_chain_of_every_depth_verifies_with_its_constraints_merged() {
    let desk = Desk::furnished();
    let (mut parent, mut key) = ("agent.passport".to_owned(), "agent.json".to_owned());
    for depth in 1..=5_usize {
        let (child, child_key) = (format!("{depth}.passport"), format!("{depth}.json"));
        desk.done(&["keygen", "--out", &child_key]);
        let from = ["delegate", "--parent", &parent, "--key", &key, "--to", &child_key, "--out", &child];
        // The first hop lowers the cap; those after it leave it out.
        let lowered = r#"flights:book={"max_per_action_cost":200}"#;
        let permission = if depth == 1 { lowered } else { "flights:book" };
        desk.done(&[from.as_slice(), &AT, &["--permission", permission, "--delegable"]].concat());
        if depth == 3 {
            // What a parent dropped, its child cannot restate, even as it was.
            let refusal = desk.refused_json(&[from.as_slice(), &AT, &["--permission", lowered]].concat());
            assert_eq!(refusal["reason_code"], "permission_elevation_in_chain");
        }
        let verdict = desk.done_json(&["verify", &child, "--at", NOON]);
        assert_eq!(verdict["provenance"], "L0");
        assert_eq!(verdict["passport"]["hops"].as_array().expect("hops").len(), depth + 1);
        assert_eq!(
            verdict["passport"]["permissions"][0]["constraints"],
            json!({ "max_per_action_cost": 200 })
        );
        (parent, key) = (child, child_key);
    }
    let from = ["delegate", "--parent", &parent, "--key", &key, "--to", "helper.jwk"];
    let refusal = desk.refused_json(&[from.as_slice(), &AT, &["--permission", "flights:book"]].concat());
    assert_eq!(refusal["reason_code"], "delegation_chain_too_deep");
}

#[test]
fn more_than_the_parent_has_is_refused_with_the_reason() {
    let desk = Desk::furnished();
    for permission in
        ["flights:cancel", r#"flights:book={"max_per_action_cost":501}"#, r#"flights:search={"x":1}"#]
    {
        let to = ["--to", "helper.jwk", "--permission", permission];
        let refusal = desk.refused_json(&[DELEGATE.as_slice(), &AT, &to].concat());
        assert_eq!(refusal["reason_code"], "permission_elevation_in_chain", "{permission}");
        assert_eq!(crate::support::members(&refusal), ["detail", "explanation", "reason_code"]);
    }
}

#[test]
fn a_passport_that_is_not_delegable_or_over_is_not_delegated() {
    let desk = Desk::furnished();
    let to = ["--to", "helper.jwk", "--permission", "flights:search"];
    let late = desk.refused_json(&[DELEGATE.as_slice(), &to, &["--at", "2026-06-01T12:30:00Z"]].concat());
    assert_eq!(late["reason_code"], "passport_expired");
    desk.issue("agent.passport", &["--permission", "flights:search"]);
    let refusal = desk.refused_json(&[DELEGATE.as_slice(), &AT, &to].concat());
    assert_eq!(refusal["reason_code"], "delegation_authority_missing");
}

#[test]
fn only_the_holders_key_delegates_and_only_what_was_signed() {
    let desk = Desk::furnished();
    let to = ["--to", "helper.jwk", "--permission", "flights:search"];
    let from = ["delegate", "--parent", "agent.passport", "--key", "helper.jwk"];
    let refusal = desk.refused_json(&[from.as_slice(), &AT, &to].concat());
    assert_eq!(refusal["reason_code"], "signature_invalid");

    desk.write("agent.passport", desk.read("agent.passport").replace("flights:search", "flights:cancel"));
    let to = ["--to", "helper.jwk", "--permission", "flights:cancel"];
    let refusal = desk.refused_json(&[DELEGATE.as_slice(), &AT, &to].concat());
    assert_eq!(refusal["reason_code"], "signature_invalid");
}

#[test]
fn a_platforms_passport_is_delegated_without_its_key() {
    let desk = Desk::furnished();
    desk.issue_as_platform("agent.passport", &["--permission", "flights:search", "--delegable"]);
    let to = ["--to", "helper.jwk", "--permission", "flights:search", "--out", "child.passport"];
    desk.done(&[DELEGATE.as_slice(), &AT, &to].concat());
    let verdict = desk.refused_json(&["verify", "child.passport", "--at", NOON]);
    assert_eq!(verdict["reason_code"], "signature_key_unavailable");
}

#[test]
fn a_parent_may_come_as_a_header_but_not_as_a_jwt() {
    let desk = Desk::furnished();
    let permission = ["--permission", "flights:search", "--delegable"];
    let to = ["--to", "helper.jwk", "--permission", "flights:search"];
    desk.issue("agent.passport", &[permission.as_slice(), &["--header"]].concat());
    desk.done(&[DELEGATE.as_slice(), &AT, &to].concat());
    desk.issue("agent.passport", &[permission.as_slice(), &["--jwt"]].concat());
    let message = desk.unusable(&[DELEGATE.as_slice(), &AT, &to].concat());
    assert!(message.contains("JWT"), "{message}");
}

#[test]
fn a_child_may_travel_as_a_jwt() {
    let desk = Desk::furnished();
    let to = ["--to", "helper.jwk", "--permission", "flights:search", "--jwt", "--out", "child.jwt"];
    desk.done(&[DELEGATE.as_slice(), &AT, &to].concat());
    assert_eq!(desk.done_json(&["verify", "child.jwt", "--at", NOON])["kind"], "passport_jwt");
}

#[test]
fn a_key_to_delegate_to_that_is_none_is_named() {
    let desk = Desk::furnished();
    let to = ["--to", "nobody.pem", "--permission", "flights:search"];
    let message = desk.unusable(&[DELEGATE.as_slice(), &AT, &to].concat());
    assert!(message.contains("--to") && message.contains("nobody.pem"), "{message}");
}
