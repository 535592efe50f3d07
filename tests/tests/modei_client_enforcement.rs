//! The unmodified Modei clients, synchronous and asynchronous, have the real service decide on
//! actions, and set what it decides by.

use crate::modei_scene::{Scene, with_both};
use serde_json::{Value, json};
use xtask::on_every_database;

on_every_database!(
    actions_are_decided_counted_and_attested,
    constraints_are_set_from_types_and_templates_and_hold,
    attestations_of_decisions_elsewhere_are_recorded_and_listed,
);

fn enforce(scene: &mut Scene, id: &Value, more: Value) -> Value {
    let mut asked = json!({"passport_id": id, "action": "read"});
    for (name, value) in more.as_object().expect("an object") {
        asked[name] = value.clone();
    }
    scene.call("enforce_action", json!([]), asked)
}

fn actions_are_decided_counted_and_attested(database: Option<&str>) {
    with_both(database, |scene, gate| {
        let constraints = json!({
            "core:rate:max_per_day": 2, "core:cost:max_cumulative": 1000, "core:cost:cumulative_window": "daily",
            "core:cost:approval_threshold": 400, "core:scope:domain_allowlist": ["api.example.com"],
        });
        let id = scene.issue(gate, json!({"constraints": constraints}))["passport_id"].clone();
        let target =
            json!({"target": "https://api.example.com/v1", "cost_cents": 300, "metadata": {"run": 1}});
        let allowed = enforce(scene, &id, target);
        assert_eq!((&allowed["decision"], &allowed["cumulative_cost"]), (&json!("allow"), &json!(300)));
        let names = allowed["evaluations"].as_array().expect("a list").iter().map(|one| one["name"].clone());
        assert_eq!(
            names.collect::<Vec<_>>(),
            [
                "core:scope:domain_allowlist",
                "core:rate:max_per_day",
                "core:cost:approval_threshold",
                "core:cost:max_cumulative"
            ]
        );
        // A person would have to approve of it, and need not be asked: a block goes before a hold.
        let over = enforce(scene, &id, json!({"target": "api.example.com", "cost_cents": 701}));
        assert_eq!(
            (&over["decision"], &over["blocked_by"]),
            (&json!("block"), &json!("core:cost:max_cumulative"))
        );
        assert_eq!(over["block_reason"], "$3.00/$10.00 daily spend used");
        let held = enforce(scene, &id, json!({"target": "api.example.com", "cost_cents": 401}));
        assert_eq!(held["decision"], "request_hold");
        let path = format!("/api/approvals/{}", held["approval_request_id"].as_str().expect("an id"));
        let pending = scene.service.call("GET", &path, None).unwrap();
        let pending: Value = serde_json::from_slice(&pending.body).unwrap();
        assert_eq!(pending["status"], "pending", "{pending}");

        let state = scene.call("get_cumulative_state", json!([id]), json!({}));
        assert_eq!(
            (&state["cost_cumulative_cents"], &state["action_counts"]),
            (&json!(300), &json!({"read": 1}))
        );
        assert_eq!(state["last_attestation_id"], held["attestation_id"]);
        scene.call("reset_cumulative_state", json!([id]), json!({}));
        let state = scene.call("get_cumulative_state", json!([id]), json!({}));
        assert_eq!((&state["cost_cumulative_cents"], &state["rates"]), (&json!(0), &json!([])));

        let listed = scene.call("list_enforcement_attestations", json!([id]), json!({}));
        let decisions: Vec<_> =
            listed.as_array().expect("a bare array").iter().map(|one| one["decision"].clone()).collect();
        assert_eq!(decisions, ["request_hold", "block", "allow"]);
        let blocks = scene.call(
            "list_enforcement_attestations",
            json!([id]),
            json!({"decision": "block", "limit": 5}),
        );
        assert_eq!(blocks[0]["id"], over["attestation_id"]);
        let one = scene.call("get_enforcement_attestation", json!([allowed["attestation_id"]]), json!({}));
        assert_eq!(one["constraint_evaluations"], allowed["evaluations"]);
        assert_eq!(one["sequence_number"], allowed["sequence_number"]);
        let verified =
            scene.call("verify_enforcement_attestation", json!([allowed["attestation_id"]]), json!({}));
        assert_eq!((&verified["valid"], &verified["reason"]), (&json!(true), &Value::Null));
        let unknown =
            scene.error("enforce_action", json!([]), json!({"passport_id": "pp_none", "action": "read"}));
        assert_eq!(unknown, ("NotFoundError".to_owned(), 404));
        // A decision is no error.
        scene.call("revoke_passport", json!([gate, id]), json!({}));
        assert_eq!(enforce(scene, &id, json!({}))["blocked_by"], "revocation");
    });
}

fn constraints_are_set_from_types_and_templates_and_hold(database: Option<&str>) {
    with_both(database, |scene, gate| {
        let id =
            scene.issue(gate, json!({"constraints": {"max_per_action_cost": 100}}))["passport_id"].clone();
        let types = scene.call("list_constraint_types", json!([]), json!({"category": "cost"}));
        assert_eq!(types[0]["constraint_key"], "core:cost:max_per_action");
        assert!(
            scene
                .call("list_constraint_types", json!([]), json!({}))
                .as_array()
                .is_some_and(|all| all.len() > 30)
        );
        assert_eq!(
            scene.call("get_constraints", json!([id]), json!({})),
            json!({"max_per_action_cost": 100})
        );
        let set = json!({"core:cost:max_per_action": 50});
        assert_eq!(scene.call("set_constraints", json!([id, set]), json!({})), json!({"updated": true}));
        assert_eq!(scene.call("get_constraints", json!([id]), json!({})), set);
        let check = |scene: &mut Scene| {
            let answer =
                scene.call("check_gate", json!([gate]), json!({"action": "read", "passport_id": id}));
            (answer["decision"].clone(), answer["attestation_id"].clone())
        };
        assert_eq!(check(scene), (json!("allow"), Value::Null));
        assert_eq!(enforce(scene, &id, json!({"cost_cents": 51}))["blocked_by"], "core:cost:max_per_action");
        let wrong = scene.error("set_constraints", json!([id, {"made_up": 1}]), json!({}));
        assert_eq!(wrong, ("ValidationError".to_owned(), 422));

        let slug = format!("ours-{}", gate.replace('_', "-"));
        let template = json!({"slug": slug, "name": "Ours", "category": "role", "constraints": {"core:approval:required": true}});
        let made = scene.call("create_constraint_template", json!([]), template.clone());
        assert_eq!((&made["slug"], &made["is_system"]), (&json!(slug), &json!(false)));
        let twice = scene.error("create_constraint_template", json!([]), template);
        assert_eq!(twice, ("ConflictError".to_owned(), 409));
        let listed = scene.call("list_constraint_templates", json!([]), json!({"category": "role"}));
        assert!(listed.as_array().expect("a bare array").contains(&made));
        let applied = scene.call("apply_constraint_template", json!([id, slug]), json!({}));
        assert_eq!(applied, json!({"applied": true}));
        assert_eq!(check(scene).0, "request_hold");
        assert_eq!(enforce(scene, &id, json!({}))["decision"], "request_hold");
        let kwargs = json!({"gate_id": gate, "passport": {"passport_id": id}, "requested_permission": "read",
            "requested_constraints": {"max_per_action_cost": 51}});
        let run = scene.call("authorize_dry_run", json!([]), kwargs);
        assert_eq!((&run["decision"], &run["constraints_satisfied"]), (&json!("block"), &json!(false)));
    });
}

fn attestations_of_decisions_elsewhere_are_recorded_and_listed(database: Option<&str>) {
    with_both(database, |scene, gate| {
        let id = scene.issue(gate, json!({}))["passport_id"].clone();
        let report = json!({"passport_id": id, "agent_id": "agent-001", "permission": "read", "tool_name": "t", "result": "denied"});
        let made = scene.call("record_attestation", json!([gate]), report);
        assert!(made["attestation_id"].is_string(), "{made}");
        enforce(scene, &id, json!({}));
        let listed = scene.call("list_attestations", json!([gate]), json!({"passport_id": id, "limit": 10}));
        let numbers: Vec<_> = listed
            .as_array()
            .expect("a bare array")
            .iter()
            .map(|one| one["sequence_number"].clone())
            .collect();
        assert_eq!(numbers, [2, 1], "one lane has both");
    });
}
