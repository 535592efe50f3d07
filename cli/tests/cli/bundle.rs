//! Trust material and whole configurations, checked as a gate checks them.

use crate::support::{Desk, members, parsed};
use serde_json::json;

/// A gate's configuration without trust material.
pub(crate) const GATE: &str = r#"{"gate":{"id":"gate_demo"},"profile":"L1","authorities":["127.0.0.1:10000"],
    "routes":[{"path":"/flights","methods":["GET"],"action":"flights:search"}]}"#;

/// A folder with an issuer's file for each way to write down a key.
fn issuers() -> Desk {
    let desk = Desk::furnished();
    let made = desk.done_json(&["keygen", "--out", "-"]);
    let text = |member: &str| made[member].as_str().expect("text").to_owned();
    desk.write("public.pem", text("public_key_pem"));
    desk.write("public.jwk", made["public_key_jwk"].to_string());
    desk.write("public.txt", text("public_key"));
    desk.write("pem.json", issuer("issuer:pem", r#""public_key_file":"public.pem""#));
    desk.write("jwk.json", issuer("issuer:jwk", r#""public_key_file":"public.jwk""#));
    desk.write("txt.json", issuer("issuer:txt", r#""public_key_file":"public.txt""#));
    desk.write("own.json", issuer("issuer:own", r#""public_key_file":"issuer.pem""#));
    let inline = format!(r#""public_key":"{}","not_before":"2026-01-01T00:00:00Z""#, text("public_key"));
    desk.write("inline.json", issuer("issuer:inline", &inline));
    desk
}

fn issuer(id: &str, key: &str) -> String {
    format!(
        r#"{{"id":"{id}","type":"platform","tier":2,"actions":["flights:*"],"keys":[{{"key_id":"ik_1",{key}}}]}}"#
    )
}

#[test]
fn a_key_may_be_written_down_as_the_operator_has_it() {
    let desk = issuers();
    let files = ["pem.json", "jwk.json", "txt.json", "inline.json", "own.json"];
    let arguments: Vec<_> = files.iter().flat_map(|file| ["--issuer", file]).collect();
    let bundle = parsed(&desk.done(&[&["bundle"], arguments.as_slice()].concat()));
    let key = |index: usize| bundle["issuers"][index]["keys"][0]["public_key"].clone();
    assert_eq!(key(0), desk.read("public.txt"));
    assert_eq!((key(0), key(0), key(0)), (key(1), key(2), key(3)));
    assert_ne!(key(0), key(4));
    assert_eq!(bundle["issuers"][3]["keys"][0]["not_before"], "2026-01-01T00:00:00Z");
}

#[test]
fn a_key_file_is_looked_for_beside_its_issuers_file() {
    let desk = issuers();
    std::fs::create_dir(desk.path("trusted")).expect("a folder");
    for name in ["pem.json", "public.pem"] {
        std::fs::rename(desk.path(name), desk.path("trusted").join(name)).expect(name);
    }
    desk.done(&["bundle", "--issuer", "trusted/pem.json"]);
}

#[test]
fn a_bundle_holds_what_was_asked_for_and_nothing_else() {
    let desk = issuers();
    let bundle = parsed(&desk.done(&["bundle", "--self-issued", "flights:search,flights:status"]));
    assert_eq!(bundle, json!({ "self_issued": { "actions": ["flights:search", "flights:status"] } }));
    let lists = ["--revoke", "issuer:pem/pp_1", "--disable", "https://a.example/x/agent"];
    let bundle = parsed(&desk.done(&[&["bundle", "--issuer", "pem.json"], lists.as_slice()].concat()));
    assert_eq!(members(&bundle), ["disabled_agents", "issuers", "revoked_passports"]);
    assert_eq!(bundle["revoked_passports"], json!([{ "issuer": "issuer:pem", "passport_id": "pp_1" }]));
    assert_eq!(bundle["disabled_agents"], json!([{ "issuer": "https://a.example/x", "agent_id": "agent" }]));
}

#[test]
fn a_configuration_is_merged_checked_whole_and_written() {
    let desk = issuers();
    desk.write("gate.json", GATE);
    let arguments = ["bundle", "--config", "gate.json", "--issuer", "pem.json", "--self-issued", "a:b"];
    let printed = parsed(&desk.done(&arguments));
    assert_eq!(printed["gate"]["id"], "gate_demo");
    assert_eq!(printed["trust"]["issuers"][0]["id"], "issuer:pem");

    let made = desk.done_json(&[arguments.as_slice(), &["--out", "whole.json"]].concat());
    assert_eq!(
        made,
        json!({ "accept_self_signed": null, "badge_issuers": 0, "bundle": null, "disabled_agents": 0,
                "file": "whole.json", "issuers": 1, "keys": 1, "revoked_badges": 0, "revoked_passports": 0, "self_issued": ["a:b"], "simpleguard_agents": 0 })
    );
    assert_eq!(desk.read_json("whole.json"), printed);
    // What was written is a configuration that is checked as it stands.
    assert_eq!(parsed(&desk.done(&["bundle", "--config", "whole.json"])), printed);
    assert_eq!(desk.done_json(&arguments)["bundle"], printed);
}

#[test]
fn trust_that_is_there_is_not_replaced() {
    let desk = issuers();
    desk.write(
        "gate.json",
        GATE.replace("\"routes\"", r#""trust":{"self_issued":{"actions":["a"]}},"routes""#),
    );
    let message = desk.unusable(&["bundle", "--config", "gate.json", "--issuer", "pem.json"]);
    assert!(message.contains("gate.json: trust"), "{message}");
    desk.done(&["bundle", "--config", "gate.json"]);
}

#[test]
fn an_error_names_the_file_and_the_member() {
    let desk = issuers();
    let good = issuer("issuer:bad", &format!(r#""public_key":"{}""#, desk.read("public.txt")));
    desk.write("gate.json", GATE);
    let weak = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for (contents, expected) in [
        (good.replace("\"tier\":2", "\"tier\":7"), "bad.json: tier: "),
        (good.replace("\"tier\":2", "\"tier\":\"2\""), "bad.json: tier: "),
        (good.replace("\"tier\":2,", ""), "bad.json: tier: is missing"),
        (good.replace("issuer:bad", "self:bad"), "bad.json: id: "),
        (good.replace("issuer:bad", "issuer:pem"), "bad.json: id: stands twice"),
        (good.replace("platform", "delegate"), "bad.json: type: "),
        (good.replace("flights:*", "fli*"), "bad.json: actions[0]: "),
        (good.replace("\"flights:*\"", ""), "bad.json: actions: "),
        (good.replace("key_id", "kid"), "bad.json: keys[0].kid: "),
        (good.replace("\"ik_1\"", "\"\""), "bad.json: keys[0].key_id: "),
        (good.replace(&desk.read("public.txt"), weak), "bad.json: keys[0].public_key: "),
        (issuer("issuer:bad", r#""public_key_file":"gone.pem""#), "bad.json: keys[0]: public_key_file: "),
        (
            issuer("issuer:bad", r#""not_after":"2026-01-01T00:00:00Z""#),
            "bad.json: keys[0].public_key: is missing",
        ),
        (issuer("issuer:bad", r#""public_key":"x","public_key_file":"y""#), "bad.json: keys[0]: has both"),
        (good.replace("\"ik_1\"", "\"ik_1\",\"not_after\":\"2026\""), "bad.json: keys[0].not_after: "),
        (String::new(), "bad.json: the text is not JSON"),
        ("[]".into(), "bad.json: must be an object"),
        (issuer("issuer:bad", r#""public_key_file":7"#), "bad.json: keys[0]: public_key_file: must be"),
        (good.replace("\"tier\"", "\"Tier\":2,\"tier\""), "bad.json: two members"),
        ("[".repeat(1 << 20), "bad.json: "),
    ] {
        desk.write("bad.json", &contents);
        let message = desk.unusable(&["bundle", "--issuer", "pem.json", "--issuer", "bad.json"]);
        assert!(message.starts_with(expected), "{contents:.80}: {message}");
        let into = ["bundle", "--config", "gate.json", "--issuer", "pem.json", "--issuer", "bad.json"];
        assert_eq!(desk.unusable(&into), message, "the same within a configuration");
    }
}

#[test]
fn an_argument_that_a_gate_would_refuse_is_named() {
    let desk = issuers();
    for (arguments, expected) in [
        (&["--self-issued", "a:b,a:b"][..], "--self-issued a:b: stands twice"),
        (&["--self-issued", "a:b,"], "--self-issued : must be"),
        (&["--self-issued", "a:b", "--revoke", "é/pp_1"], "--revoke é/pp_1: issuer: "),
        (&["--self-issued", "a:b", "--disable", "x/a b"], "--disable x/a b: agent_id: "),
    ] {
        let message = desk.unusable(&[&["bundle"], arguments].concat());
        assert!(message.starts_with(expected), "{message}");
    }
    desk.misused(&["bundle"]);
    desk.misused(&["bundle", "--revoke", "a/b"]);
    desk.misused(&["bundle", "--self-issued", "a", "--revoke", "pp_1"]);
}

#[test]
fn a_configuration_that_a_gate_would_refuse_is_not_written() {
    let desk = issuers();
    for (contents, expected) in [
        (GATE.replace("\"L1\"", "\"L2\""), "gate.json: profile: "),
        (GATE.replace("\"flights:search\"", "7"), "gate.json: routes[0].action: "),
        (GATE.replace("\"GET\"", "\"get\""), "gate.json: routes[0].methods"),
        (GATE.replace("\"gate_demo\"", "\"\""), "gate.json: gate.id: "),
        (GATE.replace("authorities", "authority"), "gate.json: authority: "),
    ] {
        assert_ne!(contents, GATE);
        desk.write("gate.json", contents);
        let arguments = ["bundle", "--config", "gate.json", "--issuer", "pem.json", "--out", "whole.json"];
        let message = desk.unusable(&arguments);
        assert!(message.starts_with(expected), "{message}");
        assert!(!desk.path("whole.json").exists());
    }
}

#[test]
fn trust_material_is_for_everyone_to_read_as_the_umask_lets() {
    let desk = issuers();
    desk.write("plain", "");
    desk.done(&["bundle", "--issuer", "pem.json", "--out", "trust.json"]);
    assert_eq!(desk.mode("trust.json"), desk.mode("plain"));
}

#[test]
fn no_bundle_takes_the_place_of_a_key() {
    let desk = issuers();
    let message = desk.unusable(&["bundle", "--issuer", "pem.json", "--out", "issuer.pem"]);
    assert!(message.contains("not overwritten"), "{message}");
}
