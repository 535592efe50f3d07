//! Passports: what they say, in which form, and what cannot be issued.

use crate::support::{Desk, members, parsed};

#[test]
fn a_passport_alone_on_standard_output_is_its_json() {
    let desk = Desk::furnished();
    let text = desk.done(&["issue", "--key", "agent.json", "--permission", "flights:search"]);
    assert_eq!(text.lines().count(), 1);
    assert_eq!(members(&parsed(&text)), ["passport_json", "signature"]);
}

#[test]
fn the_envelope_says_what_the_arguments_said() {
    let desk = Desk::furnished();
    let envelope = desk.read_json("agent.passport")["passport_json"].clone();
    assert_eq!(envelope["provenance"]["issuer"]["type"], "self");
    assert_eq!(envelope["provenance"]["issued_at"], "2026-06-01T11:30:00.000Z");
    assert_eq!(envelope["provenance"]["expires_at"], "2026-06-01T12:30:00.000Z");
    assert_eq!(envelope["delegation_authority"], true);
    assert!(envelope["identity"]["agent_name"].is_null());
    assert!(envelope["passport_id"].as_str().expect("text").starts_with("pp_self_"));
    assert_eq!(
        envelope["permissions"],
        serde_json::json!([
            { "permission_key": "flights:search", "constraints": {} },
            { "permission_key": "flights:book", "constraints": { "max_per_action_cost": 500 } },
        ])
    );
}

#[test]
fn a_platform_and_a_gate_issue_for_another_agent() {
    let desk = Desk::furnished();
    desk.issue_as_platform("platform.passport", &["--permission", "flights:search", "--name", "Acme"]);
    let envelope = desk.read_json("platform.passport")["passport_json"].clone();
    assert_eq!(
        envelope["provenance"]["issuer"],
        serde_json::json!({ "type": "platform", "id": "issuer:org_1", "key_id": "ik_1" })
    );
    assert_eq!(envelope["identity"]["agent_id"], "acme-agent");
    assert_eq!(envelope["identity"]["agent_name"], "Acme");
    assert_eq!(envelope["identity"]["public_key"], desk.read_json("agent.json")["public_key_base64"]);

    let issuer = ["issue", "--key", "issuer.pem", "--as", "gate", "--issuer", "gate_1", "--key-id", "gk_1"];
    let rest =
        ["--agent-key", "agent.json", "--gate", "gate_1", "--permission", "a:b", "--out", "gate.passport"];
    desk.done(&[issuer.as_slice(), &rest].concat());
    let envelope = desk.read_json("gate.passport")["passport_json"].clone();
    assert_eq!(envelope["provenance"]["gate_id"], "gate_1");
    assert_eq!(envelope["identity"]["agent_id"], desk.read_json("agent.json")["agent_id"]);
}

#[test]
fn every_form_verifies() {
    let desk = Desk::furnished();
    for (form, begins, kind) in [
        (&[][..], "{", "passport"),
        (&["--header"], "Agent-Passport: :", "passport"),
        (&["--jwt"], "eyJ", "passport_jwt"),
        (&["--jwt", "--header"], "Authorization: Bearer eyJ", "passport_jwt"),
    ] {
        desk.issue("form", &[&["--permission", "flights:search"], form].concat());
        let text = desk.read("form");
        assert!(text.starts_with(begins) && text.ends_with('\n') && text.lines().count() == 1, "{text}");
        let verdict = desk.done_json(&["verify", "form", "--at", crate::support::NOON]);
        assert_eq!(verdict["kind"], kind, "{form:?}");
    }
}

#[test]
fn a_passport_file_is_readable_by_its_owner_alone() {
    let desk = Desk::furnished();
    assert_eq!(desk.mode("agent.passport"), 0o600);
    desk.set_mode("agent.passport", 0o644);
    desk.issue("agent.passport", &["--permission", "flights:search"]);
    assert_eq!(desk.mode("agent.passport"), 0o600);
}

#[test]
fn the_json_answer_holds_the_passport_or_names_its_file() {
    let desk = Desk::furnished();
    let arguments = ["issue", "--key", "agent.json", "--permission", "flights:search"];
    let printed = desk.done_json(&arguments);
    assert_eq!(
        members(&printed),
        ["agent_id", "credential", "expires_at", "file", "issued_at", "kind", "passport_id"]
    );
    let passport = parsed(printed["credential"].as_str().expect("text"));
    assert_eq!(passport["passport_json"]["passport_id"], printed["passport_id"]);
    assert!(printed["file"].is_null());

    let saved = desk.done_json(&[arguments.as_slice(), &["--out", "saved", "--jwt"]].concat());
    assert_eq!((&saved["file"], &saved["kind"]), (&"saved".into(), &"passport_jwt".into()));
    assert!(saved["credential"].is_null());
}

#[test]
fn no_passport_takes_the_place_of_a_key() {
    let desk = Desk::furnished();
    for key in ["agent.json", "helper.jwk", "issuer.pem"] {
        let before = desk.read(key);
        let message =
            desk.unusable(&["issue", "--key", "agent.json", "--permission", "flights:search", "--out", key]);
        assert!(message.contains("not overwritten"), "{message}");
        assert_eq!(desk.read(key), before);
    }
}

#[test]
fn what_exists_and_is_no_file_is_not_replaced() {
    let desk = Desk::furnished();
    std::fs::create_dir(desk.path("folder")).expect("a folder");
    for out in ["/dev/null", "folder", "."] {
        let message =
            desk.unusable(&["issue", "--key", "agent.json", "--permission", "flights:search", "--out", out]);
        assert!(message.contains("no regular file"), "{message}");
    }
}

#[test]
fn a_link_leads_to_the_file_that_is_written() {
    let desk = Desk::furnished();
    std::os::unix::fs::symlink(desk.path("agent.passport"), desk.path("link")).expect("a link");
    let before = desk.read("agent.passport");
    desk.issue("link", &["--permission", "flights:search"]);
    assert!(std::fs::symlink_metadata(desk.path("link")).expect("a link").is_symlink());
    assert_ne!(desk.read("agent.passport"), before);
}

#[test]
fn a_passport_that_no_gate_would_take_is_not_issued() {
    let desk = Desk::furnished();
    let twice = ["--permission", "a:b", "--permission", "a:b"];
    let too_late = ["--permission", "a:b", "--at", "9999-12-31T00:00:00Z", "--expires-in", "30d"];
    let long = format!("a:b={{\"x\":\"{}\"}}", "x".repeat(65_500));
    for (arguments, problem) in [
        (twice.as_slice(), "stated twice"),
        (&too_late, "YYYY-MM-DD"),
        (&["--permission", &long], "envelope_too_large"),
    ] {
        let message = desk.unusable(&[&["issue", "--key", "agent.json"], arguments].concat());
        assert!(message.contains(problem), "{message}");
    }
    let issuer =
        ["issue", "--key", "issuer.pem", "--as", "platform", "--key-id", "ik_1", "--permission", "a:b"];
    for (id, agent_id) in
        [("self:me", "agent"), ("issuer with spaces", "agent"), ("issuer:a", "agent_self_x")]
    {
        let rest = ["--issuer", id, "--agent-key", "agent.json", "--agent-id", agent_id];
        let message = desk.unusable(&[issuer.as_slice(), &rest].concat());
        assert!(message.contains("invalid_envelope_shape"), "{id}: {message}");
    }
}

#[test]
fn arguments_that_make_no_sense_are_named() {
    let desk = Desk::furnished();
    let base = ["issue", "--key", "agent.json"];
    for (arguments, problem) in [
        (&["--permission", "=x"][..], "--permission"),
        (&["--permission", ""], "--permission"),
        (&["--permission", "a:b={"], "not JSON"),
        (&["--permission", "a:b=[]"], "JSON object"),
        (&["--permission", r#"a:b={"x":1,"X":1}"#], "same name"),
        (&["--permission", r#"a:b={"x":9007199254740993}"#], "exact"),
        (&["--permission", "a:b", "--expires-in", "0s"], "--expires-in"),
        (&["--permission", "a:b", "--expires-in", "soon"], "--expires-in"),
        (&["--permission", "a:b", "--at", "yesterday"], "--at"),
        (&["--permission", "a:b", "--at", "2026-01-01T00:00:00+01:00"], "--at"),
        (&["--permission", "a:b", "--issuer", "x"], "--as"),
        (&["--permission", "a:b", "--as", "platform"], "--issuer"),
        (&["--permission", "a:b", "--as", "self"], "possible values"),
        (&[], "--permission"),
    ] {
        let message = desk.misused(&[base.as_slice(), arguments].concat());
        assert!(message.contains(problem), "{arguments:?}: {message}");
    }
    let issuer =
        ["issue", "--key", "issuer.pem", "--as", "platform", "--issuer", "issuer:a", "--key-id", "k"];
    let rest = ["--agent-key", "agent.json", "--gate", "g", "--permission", "a:b"];
    assert!(desk.unusable(&[issuer.as_slice(), &rest].concat()).contains("--gate"));
}

#[test]
fn a_wildcard_is_issued_with_a_word_of_warning() {
    let desk = Desk::furnished();
    let outcome = desk.run(&["issue", "--key", "agent.json", "--permission", "flights:*"]);
    assert_eq!(outcome.code, 0);
    assert!(outcome.err.contains("no wildcards"), "{}", outcome.err);
}

#[test]
fn two_passports_never_have_one_id() {
    let desk = Desk::furnished();
    let arguments = ["issue", "--key", "agent.json", "--permission", "flights:search"];
    assert_ne!(desk.done_json(&arguments)["passport_id"], desk.done_json(&arguments)["passport_id"]);
}
