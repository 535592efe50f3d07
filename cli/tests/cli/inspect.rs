//! What a credential says of itself.

use crate::support::{Desk, members};

#[test]
fn what_is_shown_is_marked_as_unverified() {
    let desk = Desk::furnished();
    desk.write("forged", desk.read("agent.passport").replace("flights:search", "flights:everything"));
    let text = desk.done(&["inspect", "forged"]);
    assert!(text.starts_with("UNVERIFIED "), "{text}");
    assert!(text.contains("flights:everything"), "{text}");
    let view = desk.done_json(&["inspect", "forged"]);
    assert_eq!(members(&view), ["ambiguity", "contents", "hops", "jwt_header", "kind", "verified"]);
    assert_eq!(view["verified"], false);
    assert_eq!(view["contents"], desk.read_json("forged"));
}

#[test]
fn every_form_shows_the_same() {
    let desk = Desk::furnished();
    let permission = ["--permission", "flights:search", "--name", "Agent"];
    for form in [&[][..], &["--header"], &["--jwt"], &["--jwt", "--header"]] {
        desk.issue("form", &[permission.as_slice(), form].concat());
        let view = desk.done_json(&["inspect", "form"]);
        let hop = &view["hops"][0];
        assert_eq!(hop["agent_name"], "Agent", "{form:?}");
        assert_eq!(hop["agent_id"], desk.read_json("agent.json")["agent_id"], "{form:?}");
        assert_eq!(hop["expires_at"], "2026-06-01T12:30:00.000Z", "{form:?}");
        assert_eq!(view["jwt_header"].is_null(), !form.contains(&"--jwt"), "{form:?}");
    }
}

#[test]
fn a_chain_is_drawn_as_a_tree_root_first() {
    let desk = Desk::furnished();
    let from =
        ["delegate", "--parent", "agent.passport", "--key", "agent.json", "--at", "2026-06-01T11:45:00Z"];
    let to = ["--to", "helper.jwk", "--permission", "flights:search", "--out", "child"];
    desk.done(&[from.as_slice(), &to].concat());
    let text = desk.done(&["inspect", "child"]);
    let root = text.lines().position(|line| line.contains("chain        pp_self_")).expect("a root");
    let child = text.lines().position(|line| line.contains("└─ pp_delegate_")).expect("a child");
    assert_eq!(child, root + 1, "{text}");
    assert_eq!(desk.done_json(&["inspect", "child"])["hops"].as_array().expect("hops").len(), 2);
}

#[test]
fn what_readers_would_differ_on_is_pointed_out() {
    let desk = Desk::furnished();
    let twice =
        desk.read("agent.passport").replace("{\"passport_json\"", "{\"signature\":\"\",\"passport_json\"");
    desk.write("twice", twice);
    assert!(desk.done(&["inspect", "twice"]).contains("unreadable   to a gate"));
    assert!(desk.done_json(&["inspect", "twice"])["ambiguity"].is_string());
    assert!(desk.done_json(&["inspect", "agent.passport"])["ambiguity"].is_null());
}

#[test]
fn a_chain_longer_than_any_is_drawn_in_part() {
    let desk = Desk::new();
    let link = r#"{"passport_json":{},"signature":""}"#;
    let links = vec![link; 5_000].join(",");
    let passport =
        format!(r#"{{"passport_json":{{"provenance":{{"delegation_chain":[{links}]}}}},"signature":""}}"#);
    desk.write("long", passport);
    let text = desk.done(&["inspect", "long"]);
    assert!(text.contains("and 4993 more") && text.len() < 4_000, "{} bytes", text.len());
}

#[test]
fn a_passport_that_says_nothing_is_shown_as_saying_nothing() {
    let desk = Desk::new();
    desk.write("nothing", r#"{"passport_json":7,"signature":[]}"#);
    assert!(desk.done(&["inspect", "nothing"]).contains("(not said)"));
}
