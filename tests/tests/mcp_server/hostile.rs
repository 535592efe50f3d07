//! Arguments that try to be more than arguments.

use super::scene::{Scene, WAYS};
use serde_json::{Value, json};

#[test]
fn no_argument_makes_another_request_of_a_call() {
    let mut scene = Scene::new(None);
    let kept = json!({"name": "Kept", "gate_id": "gate_kept", "profile": "L1"});
    scene.rest("POST", "/api/gates", Some(kept));
    for (number, (transport, mode, _)) in WAYS.into_iter().enumerate() {
        let session = number.to_string();
        scene.open(&session, transport, mode);
        // What is no segment of a path at all.
        for id in [
            "",
            ".",
            "..",
            "../",
            "../gates/gate_kept",
            "a/../gate_kept",
            "/api/gates/gate_kept",
            "..\\gate_kept",
            "gate_kept/",
            "gate_kept\n",
            "\r\nx: y",
            "\u{0}",
            "gate_kept\u{7f}",
        ] {
            for tool in ["get_gate", "delete_gate", "list_passports"] {
                let refusal = scene.refused(&session, tool, json!({"gate_id": id}));
                assert_eq!(
                    (&refusal["code"], &refusal["field"]),
                    (&json!("invalid"), &json!("gate_id")),
                    "{id:?}"
                );
            }
        }
        for id in ["..", "."] {
            let refusal =
                scene.refused(&session, "get_passport", json!({"gate_id": "gate_kept", "passport_id": id}));
            assert_eq!(refusal["field"], "passport_id", "{id}");
            let refusal =
                scene.refused(&session, "verify_enforcement_attestation", json!({"attestation_id": id}));
            assert_eq!(refusal["field"], "attestation_id", "{id}");
        }
        // What is an id that nothing has.
        for id in [
            "gate_kept?x=1",
            "gate_kept#x",
            "%67ate_kept",
            "%2e%2e",
            "%2e%2e%2fgate_kept",
            "gate_kept%00",
            "gate_kept;x",
            "gate_kept ",
            "gäte",
            "{gate_id}",
            "..%2f",
            "...",
            "🚪",
        ] {
            for tool in ["get_gate", "delete_gate", "list_passports"] {
                let refusal = scene.refused(&session, tool, json!({"gate_id": id}));
                assert_eq!(refusal["code"], "not_found", "{id}: {refusal}");
                assert!(
                    refusal["message"].as_str().is_some_and(|message| message.contains("there is no gate")),
                    "{refusal}"
                );
            }
        }
        // A parameter of a query stays one.
        for text in ["x&limit=0", "x#", "x%26limit=0", "x+y z", "\n", "x=1&since=never"] {
            let asked = json!({"gate_id": "gate_kept", "permission": text});
            assert_eq!(scene.call(&session, "list_attestations", asked), json!([]), "{text:?}");
        }
        assert_eq!(scene.get("/api/gates")[0]["name"], "Kept");
    }
}

#[test]
fn arguments_that_are_unknown_missing_or_of_another_kind_are_named() {
    let mut scene = Scene::new(None);
    for (number, (transport, mode, _)) in WAYS.into_iter().enumerate() {
        let session = number.to_string();
        scene.open(&session, transport, mode);
        let cases: [(&str, Value, &str, &str); 12] = [
            (
                "get_gate",
                json!({"gate_id": "gate_a", "gate": "b"}),
                "gate",
                "get_gate has no such argument; it has gate_id",
            ),
            ("list_gates", json!({"limit": 5}), "limit", "list_gates has no such argument; it has none"),
            ("get_gate", json!({}), "gate_id", "is missing"),
            ("get_gate", json!({"gate_id": null}), "gate_id", "is missing"),
            ("set_constraints", json!({"passport_id": "pp_a"}), "constraints", "is missing"),
            (
                "set_constraints",
                json!({"passport_id": "pp_a", "constraints": []}),
                "constraints",
                "must be an object",
            ),
            ("get_gate", json!({"gate_id": 5}), "gate_id", "must be a string"),
            ("get_gate", json!({"gate_id": ["gate_a"]}), "gate_id", "must be a string"),
            (
                "get_catalog_version",
                json!({"gate_id": "gate_a", "version": "versions"}),
                "version",
                "must be a number",
            ),
            (
                "get_catalog_version",
                json!({"gate_id": "gate_a", "version": {}}),
                "version",
                "must be a number",
            ),
            ("discover_services", json!({"capability": "a:b", "limit": "1"}), "limit", "must be a number"),
            ("create_gate", json!({"name": "A", "gate_id": "gate_a"}), "profile", "is missing"),
        ];
        for (tool, arguments, field, problem) in cases {
            let refusal = scene.refused(&session, tool, arguments);
            assert_eq!(
                (&refusal["code"], &refusal["field"]),
                (&json!("invalid"), &json!(field)),
                "{refusal}"
            );
            assert_eq!(refusal["message"], format!("{field}: {problem}"));
        }
        // What only REST can judge, it does.
        let refusal =
            scene.refused(&session, "create_gate", json!({"name": 5, "gate_id": "gate_a", "profile": "L1"}));
        assert_eq!((&refusal["code"], &refusal["field"]), (&json!("invalid"), &json!("name")), "{refusal}");
        assert!(refusal["request_id"].is_string(), "{refusal}");
        let refusal =
            scene.refused(&session, "discover_services", json!({"capability": "a:b", "limit": 1.5}));
        assert_eq!(refusal["code"], "invalid");
    }
}

#[test]
fn long_arguments_are_refused_and_leave_the_session() {
    let mut scene = Scene::new(None);
    scene.rest("POST", "/api/gates", Some(json!({"name": "Kept", "gate_id": "gate_kept", "profile": "L1"})));
    for (number, (transport, mode, _)) in WAYS.into_iter().enumerate() {
        let session = number.to_string();
        scene.open(&session, transport, mode);
        for length in [1025, 100_000, 1_000_000] {
            let long = "é".repeat(length / 2 + 1);
            let refusal = scene.refused(&session, "get_gate", json!({"gate_id": long}));
            assert_eq!(refusal["message"], "gate_id: must have at most 1024 bytes");
            let refusal =
                scene.refused(&session, "list_attestations", json!({"gate_id": "gate_kept", "since": long}));
            assert_eq!(refusal["field"], "since");
            let mut name = json!({});
            name[&long] = json!(1);
            let refusal = scene.refused(&session, "get_gate", name);
            assert!(refusal["message"].as_str().is_some_and(|message| message.len() < 1000), "{refusal}");
        }
        // The longest that a query can have, in all of its parameters.
        let most = "\u{ffff}".repeat(341);
        let asked =
            json!({"gate_id": "gate_kept", "passport_id": most, "agent_id": most, "permission": most});
        assert_eq!(scene.call(&session, "list_attestations", asked), json!([]));
        // As the member of a body, REST judges it; past what a message may have, the transport does.
        let name = "x".repeat(1_000_000);
        let refusal = scene.refused(
            &session,
            "create_gate",
            json!({"name": name, "gate_id": "gate_a", "profile": "L1"}),
        );
        assert_eq!(refusal["field"], "name", "{refusal:.300}");
        let name = "x".repeat(1 << 20);
        let over = scene.try_call(
            &session,
            "create_gate",
            json!({"name": name, "gate_id": "gate_a", "profile": "L1"}),
        );
        assert!(over.get("error").is_some() || over["is_error"] == true, "{over:.300}");
        assert_eq!(scene.get("/api/gates").as_array().map(Vec::len), Some(1));
        assert_eq!(scene.call(&session, "list_gates", json!({})), scene.get("/api/gates"));
    }
}
