//! The unmodified Modei clients, synchronous and asynchronous, against the real service.

use crate::modei_scene::{AGENT, OTHER, Scene, with_both};
use serde_json::{Value, json};
use xtask::on_every_database;

on_every_database!(
    every_method_of_gates_answers_as_the_clients_types_say,
    every_method_of_passports_answers_as_the_clients_types_say,
    catalogs_are_published_discovered_and_accepted_as_the_clients_types_say,
    issued_passports_verify_with_the_clients_offline_verifier,
    checks_and_dry_runs_are_decisions,
    what_passports_spent_and_what_callers_without_one_may_do_is_told_and_set,
    api_keys_are_made_listed_and_revoked,
    each_error_is_of_its_class,
    too_many_requests_say_when_to_come_back,
    an_agent_registers_delegates_and_revokes_by_the_clients_own_signing,
    an_agent_that_begins_says_so_by_the_clients_heartbeat,
);

fn every_method_of_gates_answers_as_the_clients_types_say(database: Option<&str>) {
    with_both(database, |scene, id| {
        let gate = scene.call("get_gate", json!([id]), json!({}));
        assert_eq!((&gate["gate_id"], &gate["profile"]), (&json!(id), &json!("L1")));
        let listed = scene.call("list_gates", json!([]), json!({}));
        assert!(listed.as_array().expect("a bare array").contains(&gate));
        let change =
            json!({"name": "B", "profile": "L2", "allow_self_issued": true, "is_discoverable": true});
        let changed = scene.call("update_gate", json!([id]), change);
        assert_eq!([&changed["name"], &changed["profile"]], [&json!("B"), &json!("L2")]);
        assert_eq!([&changed["allow_self_issued"], &changed["is_discoverable"]], [true, true]);
        assert_eq!(scene.call("delete_gate", json!([id]), json!({})), json!({"deleted": true}));
        assert_eq!(scene.error("get_gate", json!([id]), json!({})), ("NotFoundError".to_owned(), 404));
    });
}

fn every_method_of_passports_answers_as_the_clients_types_say(database: Option<&str>) {
    with_both(database, |scene, gate| {
        let all = json!({
            "agent_name": "Test Agent", "constraints": {"read": {"core:cost:max_per_action": 100}},
            "expires_in": "7d", "metadata": {"env": "test"},
        });
        let passport = scene.issue(gate, all);
        let id = &passport["passport_id"];
        assert_eq!(scene.call("get_passport", json!([gate, id]), json!({})), passport);
        assert_eq!(scene.call("list_passports", json!([gate]), json!({})), json!([passport]));
        let new = scene.call("reissue_passport", json!([id]), json!({}));
        assert_eq!(&new["revoked_passport_id"], id);
        let accepted = json!({"accept_catalog_version": 2});
        let refused = scene.error("reissue_passport", json!([new["passport_id"]]), accepted);
        assert_eq!(refused, ("ValidationError".to_owned(), 422));
        assert_eq!(
            scene.error("reissue_passport", json!([id]), json!({})),
            ("ConflictError".to_owned(), 409)
        );
        let revoked = scene.call("revoke_passport", json!([gate, new["passport_id"]]), json!({}));
        assert_eq!(revoked, json!({"revoked": true}));
        assert_eq!(scene.call("list_passports", json!([gate]), json!({})), json!([]));
    });
}

fn catalogs_are_published_discovered_and_accepted_as_the_clients_types_say(database: Option<&str>) {
    with_both(database, |scene, gate| {
        let offer = |cents: i64| {
            json!({"version": "1.0", "catalog_name": "Docs", "description": "Documents", "is_active": true,
            "permissions": [
                {"permission_key": format!("{gate}:read"), "display_name": "Read", "description": "Reads",
                 "risk_level": "low", "min_trust_level": 1, "constraints": {
                    "core:pricing:model": "per_call", "core:pricing:per_call_cents": cents,
                    "core:sla:uptime_basis_points": 9990, "core:sla:response_time_ms": 250}},
            ]})
        };
        assert_eq!(scene.error("get_catalog", json!([gate]), json!({})), ("NotFoundError".to_owned(), 404));
        let invalid = ("ValidationError".to_owned(), 422);
        assert_eq!(scene.error("publish_catalog", json!([gate]), json!({})), invalid);
        assert_eq!(scene.error("create_catalog", json!([gate]), offer(-1)), invalid);
        let draft = scene.call("create_catalog", json!([gate]), offer(5));
        assert_eq!(scene.call("get_catalog", json!([gate]), json!({})), draft);
        let first = scene.call("publish_catalog", json!([gate]), json!({"change_summary": "the first"}));
        assert_eq!((&first["version"], &first["has_breaking_changes"]), (&json!(1), &json!(false)));

        let asked = json!({"permissions": [format!("{gate}:read")]});
        let passport = scene.issue(gate, asked);
        assert_eq!(passport["catalog_content_hash"], first["content_hash"]);
        scene.call("create_catalog", json!([gate]), offer(9));
        let impact = scene.call("get_catalog_impact", json!([gate]), json!({}));
        assert_eq!(
            (&impact["affected_passports"], &impact["has_breaking_changes"]),
            (&json!(1), &json!(true))
        );
        let effective_at = "2026-01-01T00:00:00Z";
        assert_eq!(
            scene.error("publish_catalog", json!([gate]), json!({"effective_at": effective_at})),
            invalid
        );
        let second = scene.call("publish_catalog", json!([gate]), json!({}));
        assert_eq!((&second["version"], &second["has_breaking_changes"]), (&json!(2), &json!(true)));
        assert_eq!(second["changes"][0]["type"], "price_increase");
        let versions = scene.call("list_catalog_versions", json!([gate]), json!({}));
        assert_eq!(versions.as_array().expect("a bare array").len(), 2);
        let version = scene.call("get_catalog_version", json!([gate, 1]), json!({}));
        assert_eq!(version["content_hash"], first["content_hash"]);
        let missing = scene.error("get_catalog_version", json!([gate, 3]), json!({}));
        assert_eq!(missing, ("NotFoundError".to_owned(), 404));

        let id = &passport["passport_id"];
        let new = scene.call("reissue_passport", json!([id]), json!({"accept_catalog_version": 2}));
        assert_eq!((&new["catalog_version"], &new["terms_changed"]), (&json!(2), &json!(true)));
        assert_eq!((&new["has_breaking_changes"], &new["changes"]), (&json!(true), &second["changes"]));

        let discover = |scene: &mut Scene, more: Value| {
            let found = scene.call("discover_services", json!([format!("{gate}:*")]), more);
            found["services"].as_array().expect("a list").clone()
        };
        assert!(discover(scene, json!({})).is_empty());
        scene.call("update_gate", json!([gate]), json!({"is_discoverable": true}));
        let narrow = json!({
            "max_price_cents": 9, "min_uptime_bp": 9990, "max_response_time_ms": 250,
            "pricing_model": "per_call", "sort": "uptime_desc", "limit": 5, "offset": 0,
        });
        let found = discover(scene, narrow);
        assert_eq!((found.len(), &found[0]["price_cents"]), (1, &json!(9)));
        assert_eq!(found[0]["catalog_content_hash"], second["content_hash"]);
        assert!(discover(scene, json!({"max_price_cents": 8})).is_empty());
        assert_eq!(scene.error("discover_services", json!(["*"]), json!({})), invalid);
    });
}

fn what_passports_spent_and_what_callers_without_one_may_do_is_told_and_set(database: Option<&str>) {
    with_both(database, |scene, gate| {
        let passport = scene.issue(gate, json!({}));
        let id = &passport["passport_id"];
        let state = scene.call("get_cumulative_state", json!([id]), json!({}));
        assert_eq!((&state["passport_id"], &state["window_type"]), (id, &json!("daily")));
        assert_eq!((&state["cost_cumulative_cents"], &state["sequence_number"]), (&json!(0), &json!(0)));
        assert!(
            state["window_start"].as_str().is_some_and(|start| start.ends_with("T00:00:00.000Z")),
            "{state}"
        );
        for asked in [json!({}), json!({"window_type": "daily"})] {
            assert_eq!(scene.call("reset_cumulative_state", json!([id]), asked), json!({"reset": true}));
        }
        let wrong = scene.error("reset_cumulative_state", json!([id]), json!({"window_type": "hourly"}));
        assert_eq!(wrong, ("ValidationError".to_owned(), 422));
        let unknown = scene.error("get_cumulative_state", json!(["pp_unknown"]), json!({}));
        assert_eq!(unknown, ("NotFoundError".to_owned(), 404));

        let policy = scene.call("get_anonymous_policy", json!([gate]), json!({}));
        assert_eq!((&policy["enabled"], &policy["rate_limit_per_hour"]), (&json!(false), &json!(50)));
        let asked = json!({"enabled": true, "allowed_actions": ["read"], "rate_limit_per_minute": 3});
        let set = scene.call("set_anonymous_policy", json!([gate]), asked);
        assert_eq!((&set["rate_limit_per_minute"], &set["read_only"]), (&json!(3), &json!(true)));
        assert_eq!(scene.call("get_anonymous_policy", json!([gate]), json!({})), set);
        assert_eq!(scene.call("get_anonymous_log", json!([gate]), json!({})), json!([]));
    });
}

fn issued_passports_verify_with_the_clients_offline_verifier(database: Option<&str>) {
    with_both(database, |scene, gate| {
        let passport = scene.issue(gate, json!({"agent_name": "Ünïcode", "expires_in_seconds": 600}));
        let asked = json!({
            "passport_json": passport["passport_json"], "signature": passport["signature"],
            "public_key": passport["public_key"],
        });
        let verdict = scene.sdk.ask("verify", asked.clone());
        assert_eq!([&verdict["signature"], &verdict["text_signature"], &verdict["is_canonical"]], [true; 3]);
        // It knows no issuers' keys, and finds nothing else.
        assert_eq!(verdict["reason_code"], "signature_key_unavailable");
        let mut forged = asked;
        let text = forged["passport_json"].as_str().expect("a text").replace("write", "wrote");
        forged["passport_json"] = text.into();
        let verdict = scene.sdk.ask("verify", forged);
        assert_eq!([&verdict["signature"], &verdict["text_signature"]], [false; 2]);
    });
}

fn checks_and_dry_runs_are_decisions(database: Option<&str>) {
    with_both(database, |scene, gate| {
        let passport = scene.issue(gate, json!({}));
        let id = passport["passport_id"].clone();
        let check = |scene: &mut Scene, action: &str, id: &Value| {
            let kwargs = json!({"action": action, "passport_id": id, "target": "/docs"});
            let answer = scene.call("check_gate", json!([gate]), kwargs);
            (answer["allowed"].clone(), answer["reason_code"].clone())
        };
        assert_eq!(check(scene, "read", &id), (json!(true), Value::Null));
        assert_eq!(check(scene, "delete", &id), (json!(false), json!("permission_denied")));
        let answer = scene.call("check_gate", json!([gate]), json!({"action": "read"}));
        assert_eq!(answer["decision"], "block");
        let run = |scene: &mut Scene, permission: &str| {
            let kwargs = json!({"gate_id": gate, "passport": passport, "requested_permission": permission, "requested_constraints": {}});
            let answer = scene.call("authorize_dry_run", json!([]), kwargs);
            (answer["decision"].clone(), answer["constraints_satisfied"].clone())
        };
        assert_eq!(run(scene, "read"), (json!("allow"), json!(true)));
        assert_eq!(run(scene, "delete"), (json!("block"), json!(false)));
        scene.call("revoke_passport", json!([gate, id]), json!({}));
        assert_eq!(check(scene, "read", &id), (json!(false), json!("passport_revoked")));
    });
}

fn api_keys_are_made_listed_and_revoked(database: Option<&str>) {
    with_both(database, |scene, _| {
        let made =
            scene.call("create_api_key", json!([]), json!({"name": "My key", "scopes": ["gates:read"]}));
        let key = made["key"].as_str().expect("a key").to_owned();
        let listed = scene.call("list_api_keys", json!([]), json!({}));
        assert!(listed.as_array().expect("a bare array").iter().any(|one| one["id"] == made["id"]));
        assert!(scene.call_with(&key, "list_gates", json!([]), json!({}))["answer"].is_array());
        let revoked = scene.call("revoke_api_key", json!([made["id"]]), json!({}));
        assert_eq!(revoked, json!({"revoked": true}));
        let after = scene.call_with(&key, "list_gates", json!([]), json!({}));
        assert_eq!(after["error"], "AuthenticationError");
    });
}

fn each_error_is_of_its_class(database: Option<&str>) {
    with_both(database, |scene, gate| {
        let unknown = scene.call_with("mod_live_unknown", "list_gates", json!([]), json!({}));
        assert_eq!((&unknown["error"], &unknown["status"]), (&json!("AuthenticationError"), &json!(401)));
        let made =
            scene.call("create_api_key", json!([]), json!({"name": "reader", "scopes": ["gates:read"]}));
        let key = made["key"].as_str().expect("a key");
        let beyond = scene.call_with(key, "delete_gate", json!([gate]), json!({}));
        assert_eq!((&beyond["error"], &beyond["status"]), (&json!("AuthorizationError"), &json!(403)));
        let missing = scene.error("get_passport", json!([gate, "pp_none"]), json!({}));
        assert_eq!(missing, ("NotFoundError".to_owned(), 404));
        let twice = scene.error("create_gate", json!([]), json!({"name": "again", "gate_id": gate}));
        assert_eq!(twice, ("ConflictError".to_owned(), 409));
        // As the client's documents have it: the service makes no keys for agents, and says so.
        let keyless = json!({"agent_id": "agent-001", "permissions": ["read", "write"], "expires_in": "7d"});
        let refused = scene.error("issue_passport", json!([gate]), keyless);
        assert_eq!(refused, ("ValidationError".to_owned(), 422));
    });
}

fn too_many_requests_say_when_to_come_back(database: Option<&str>) {
    let mut scene = Scene::with(database, Some(&["--rate", "1"]));
    let (url, key) = (scene.service.url(), scene.service.key.clone());
    let error = scene.sdk.ask("hammer", json!({"url": url, "key": key, "times": 50}));
    assert_eq!((&error["error"], &error["status"]), (&json!("RateLimitError"), &json!(429)), "{error}");
    assert!(error["retry_after"].as_f64().is_some_and(|seconds| (1.0..=10.0).contains(&seconds)), "{error}");
}

fn an_agent_registers_delegates_and_revokes_by_the_clients_own_signing(database: Option<&str>) {
    let mut scene = Scene::new(database);
    let gate = json!({"name": "A", "gate_id": "gate_open", "allow_self_issued": true});
    scene.call("create_gate", json!([]), gate);
    let own = json!({"seed": AGENT, "permissions": ["read"], "name": "assistant@dev.local"});
    let passport = scene.sdk.ask("self_issue", own.clone());
    let id = passport["passport_json"]["passport_id"].as_str().expect("an id").to_owned();
    let (status, answer) = scene.post("/api/passports/register", &passport);
    assert_eq!((status, &answer["status"]), (200, &json!("active")), "{answer}");
    assert_eq!(scene.post("/api/passports/register", &passport).1["status"], "idempotent");
    let mut nameless = own;
    nameless["name"] = Value::Null;
    let nameless = scene.sdk.ask("self_issue", nameless);
    assert_eq!(scene.post("/api/passports/register", &nameless).0, 422);

    let child = scene.sdk.ask("delegate", json!({"parent": passport, "seed": AGENT, "to": OTHER}));
    let verdict = scene.sdk.ask(
        "verify",
        json!({"passport_json": child["passport_json"], "signature": child["signature"], "public_key": null}),
    );
    assert_eq!(verdict["valid"], true);
    assert_eq!(scene.post("/api/passports/register", &child).1["status"], "active");
    let child_id = child["passport_json"]["passport_id"].as_str().expect("an id").to_owned();

    // Neither needs an API key to be checked.
    let check = |scene: &mut Scene, id: &str| {
        scene.post("/api/gates/gate_open/check", &json!({"action": "read", "passport_id": id})).1
    };
    for id in [&id, &child_id] {
        assert_eq!(check(&mut scene, id)["decision"], "allow");
    }
    // What the client may issue for an agent that is known by its own passport.
    let agent_id = scene.agent(AGENT)["agent_id"].clone();
    let kwargs = json!({"agent_id": agent_id, "permissions": ["read"]});
    scene.call("issue_passport", json!(["gate_open"]), kwargs);

    let forged = scene.sdk.ask("assertion", json!({"seed": OTHER, "passport_id": id}));
    assert_eq!(scene.post(&format!("/api/passports/{id}/revoke"), &forged).0, 401);
    let word = scene.sdk.ask("assertion", json!({"seed": AGENT, "passport_id": id}));
    let (status, answer) = scene.post(&format!("/api/passports/{id}/revoke"), &word);
    assert_eq!((status, &answer["status"]), (200, &json!("revoked")), "{answer}");
    for id in [&id, &child_id] {
        assert_eq!(check(&mut scene, id)["reason_code"], "passport_revoked");
    }
}

fn an_agent_that_begins_says_so_by_the_clients_heartbeat(database: Option<&str>) {
    let mut scene = Scene::new(database);
    scene.call("create_gate", json!([]), json!({"name": "A gate", "gate_id": "gate_a"}));
    let passport = scene.issue("gate_a", json!({}))["passport_id"].clone();
    let beat = |scene: &mut Scene, agent: &str| {
        let (url, key) = (scene.service.url(), scene.service.key.clone());
        let asked = json!({"url": url, "key": key, "agent_id": agent, "passport_id": passport});
        scene.sdk.ask("heartbeat", asked)["is_taken"].clone()
    };
    assert_eq!((beat(&mut scene, "agent-002"), beat(&mut scene, "agent-001")), (json!(false), json!(true)));
    let answer = scene.service.call("GET", "/api/agents/agent-001/heartbeats", None).unwrap();
    let kept: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(kept.as_array().map(Vec::len), Some(1), "{kept}");
    let told = ["passport_id", "sdk", "runtime", "env"].map(|name| &kept[0][name]);
    assert_eq!(told, [&passport, &json!("modei-python"), &json!("python"), &json!("development")]);
}
