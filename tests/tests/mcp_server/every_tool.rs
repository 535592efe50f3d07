//! Each tool is called, and what it did is seen through REST.

use super::scene::{Scene, Transport};
use super::{names, receipts};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const GATE: &str = "gate_mcp";

/// An agent's public key.
const KEY: &str = "iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=";

#[test]
fn every_tool_does_over_http_what_rest_then_shows() {
    every_tool(None, Transport::Http, "auto");
}

#[test]
fn every_tool_does_over_stdio_what_rest_then_shows() {
    every_tool(None, Transport::Stdio, "legacy");
}

#[test]
fn every_tool_does_on_postgresql_what_rest_then_shows() {
    if let Some(url) = xtask::postgres::for_test("every_tool_does_on_postgresql_what_rest_then_shows") {
        every_tool(Some(&url), Transport::Http, "legacy");
    }
}

fn every_tool(database: Option<&str>, transport: Transport, mode: &str) {
    let mut scene = Scene::new(database);
    scene.open("s", transport, mode);
    gates(&mut scene);
    catalogs(&mut scene);
    let passport = passports(&mut scene);
    constraints(&mut scene, &passport);
    decisions(&mut scene, &passport);
    api_keys(&mut scene);
    receipts::receipts_are_issued_settled_and_reported(&mut scene, GATE, &passport);
    assert_eq!(scene.call("s", "delete_gate", json!({"gate_id": GATE})), json!({"deleted": true}));
    assert_eq!(scene.rest("GET", &format!("/api/gates/{GATE}"), None).0, 404);
    let all: BTreeSet<String> = names().map(str::to_owned).collect();
    assert_eq!(scene.called, all);
}

fn gates(scene: &mut Scene) {
    let path = format!("/api/gates/{GATE}");
    let made = scene.call("s", "create_gate", json!({"name": "A", "gate_id": GATE, "profile": "L1"}));
    assert_eq!(scene.get(&path), made);
    let change = json!({"gate_id": GATE, "name": "B", "description": "docs", "allow_self_issued": true, "profile": null});
    let changed = scene.call("s", "update_gate", change);
    assert_eq!((&changed["name"], &changed["profile"]), (&json!("B"), &json!("L1")));
    assert_eq!(scene.get(&path), changed);
    assert_eq!(scene.call("s", "get_gate", json!({"gate_id": GATE})), changed);
    assert_eq!(scene.call("s", "list_gates", json!({})), scene.get("/api/gates"));

    // Some clients write all numbers with a point.
    let policy =
        json!({"gate_id": GATE, "enabled": true, "allowed_actions": ["read"], "rate_limit_per_minute": 7.0});
    let set = scene.call("s", "set_anonymous_policy", policy);
    assert_eq!((&set["rate_limit_per_minute"], &set["enabled"]), (&json!(7), &json!(true)));
    assert_eq!(scene.get(&format!("{path}/anonymous-policy")), set);
    assert_eq!(scene.call("s", "get_anonymous_policy", json!({"gate_id": GATE})), set);
    let log = scene.call("s", "get_anonymous_log", json!({"gate_id": GATE, "limit": 5}));
    assert_eq!(log, scene.get(&format!("{path}/anonymous-log?limit=5")));
}

fn catalogs(scene: &mut Scene) {
    let path = format!("/api/gates/{GATE}/catalog");
    let offer = json!({
        "gate_id": GATE, "version": "1.0", "catalog_name": "Docs", "description": "Documents", "is_active": true,
        "permissions": [{
            "permission_key": format!("{GATE}:read"), "display_name": "Read", "description": "Reads",
            "risk_level": "low", "min_trust_level": 1, "constraints": {
                "core:pricing:model": "per_call", "core:pricing:per_call_cents": 5,
                "core:sla:uptime_basis_points": 9990, "core:sla:response_time_ms": 250},
        }],
    });
    let draft = scene.call("s", "create_catalog", offer);
    assert_eq!(scene.get(&path), draft);
    assert_eq!(scene.call("s", "get_catalog", json!({"gate_id": GATE})), draft);
    let impact = scene.call("s", "get_catalog_impact", json!({"gate_id": GATE}));
    assert_eq!(impact, scene.get(&format!("{path}/impact")));
    let published =
        scene.call("s", "publish_catalog", json!({"gate_id": GATE, "change_summary": "the first"}));
    assert_eq!(published["version"], 1);
    assert_eq!(scene.get(&format!("{path}/1"))["content_hash"], published["content_hash"]);
    let versions = scene.call("s", "list_catalog_versions", json!({"gate_id": GATE}));
    assert_eq!(versions, scene.get(&format!("{path}/versions")));
    let version = scene.call("s", "get_catalog_version", json!({"gate_id": GATE, "version": 1.0}));
    assert_eq!(version["content_hash"], published["content_hash"]);

    scene.rest("PATCH", &format!("/api/gates/{GATE}"), Some(json!({"is_discoverable": true})));
    let narrow = json!({
        "capability": format!("{GATE}:*"), "max_price_cents": 5, "min_uptime_bp": 9990, "max_response_time_ms": 250,
        "pricing_model": "per_call", "sort": "uptime_desc", "limit": 5, "offset": 0,
    });
    let found = scene.call("s", "discover_services", narrow);
    assert_eq!(found["services"][0]["catalog_content_hash"], published["content_hash"], "{found}");
    let dear = json!({"capability": format!("{GATE}:*"), "max_price_cents": 4});
    assert_eq!(scene.call("s", "discover_services", dear)["services"], json!([]));
}

/// Gives the id of a passport that is valid.
fn passports(scene: &mut Scene) -> String {
    let path = format!("/api/gates/{GATE}/passports");
    let asked = json!({
        "gate_id": GATE, "agent_id": "agent-001", "agent_name": "An agent", "agent_public_key": KEY,
        "permissions": [format!("{GATE}:read")], "expires_in": "7d", "metadata": {"env": "test"},
        "constraints": {"core:cost:max_per_action": 100},
    });
    let first = scene.call("s", "issue_passport", asked.clone());
    let id = |passport: &Value| passport["passport_id"].as_str().expect("an id").to_owned();
    assert_eq!(scene.get(&format!("{path}/{}", id(&first))), first);
    let of_first = json!({"gate_id": GATE, "passport_id": id(&first)});
    assert_eq!(scene.call("s", "get_passport", of_first.clone()), first);
    let new =
        scene.call("s", "reissue_passport", json!({"passport_id": id(&first), "accept_catalog_version": 1}));
    assert_eq!(new["revoked_passport_id"], first["passport_id"]);
    assert_ne!(scene.get(&format!("{path}/{}", id(&first)))["revoked_at"], Value::Null);

    let mut brief = asked;
    brief["expires_in"] = Value::Null;
    brief["expires_in_seconds"] = json!(600);
    let second = scene.call("s", "issue_passport", brief);
    let listed = scene.call("s", "list_passports", json!({"gate_id": GATE}));
    assert_eq!((&listed, listed.as_array().map(Vec::len)), (&scene.get(&path), Some(2)));
    let one = scene.call("s", "list_passports", json!({"gate_id": GATE, "limit": 1}));
    assert_eq!(one.as_array().map(Vec::len), Some(1));
    let revoked = scene.call("s", "revoke_passport", json!({"gate_id": GATE, "passport_id": id(&second)}));
    assert_eq!(revoked, json!({"revoked": true}));
    assert_ne!(scene.get(&format!("{path}/{}", id(&second)))["revoked_at"], Value::Null);
    id(&new)
}

fn constraints(scene: &mut Scene, passport: &str) {
    let path = format!("/api/passports/{passport}/constraints");
    let limits = json!({"core:rate:max_per_minute": 10, "core:cost:max_per_action": 50});
    let set = scene.call("s", "set_constraints", json!({"passport_id": passport, "constraints": limits}));
    assert_eq!((set, scene.get(&path)), (json!({"updated": true}), limits.clone()));
    assert_eq!(scene.call("s", "get_constraints", json!({"passport_id": passport})), limits);

    let template = json!({
        "slug": "few-and-cheap", "name": "Few and cheap", "description": "Little of anything", "category": "security",
        "constraints": {"core:rate:max_per_minute": 9, "core:cost:max_per_action": 40},
    });
    let made = scene.call("s", "create_constraint_template", template.clone());
    let listed = scene.call("s", "list_constraint_templates", json!({"category": "security"}));
    assert_eq!(listed, scene.get("/api/constraint-templates?category=security"));
    assert!(listed.as_array().expect("a list").contains(&made));
    let applied = json!({"passport_id": passport, "template_slug": "few-and-cheap"});
    assert_eq!(scene.call("s", "apply_constraint_template", applied), json!({"applied": true}));
    assert_eq!(scene.get(&path), template["constraints"]);
    let types = scene.call("s", "list_constraint_types", json!({"category": "cost"}));
    assert_eq!(types, scene.get("/api/constraints/types?category=cost"));
    assert!(types.as_array().is_some_and(|types| types.len() > 2));
}

fn decisions(scene: &mut Scene, passport: &str) {
    let action = format!("{GATE}:read");
    let asked = json!({"gate_id": GATE, "action": action, "passport_id": passport, "target": "/docs"});
    assert_eq!(scene.call("s", "check_gate", asked)["decision"], "allow");
    let dry = json!({
        "gate_id": GATE, "passport": {"passport_id": passport}, "requested_permission": action,
        "requested_constraints": {"max_per_action_cost": 41},
    });
    assert_eq!(scene.call("s", "authorize_dry_run", dry)["decision"], "block");

    let asked = json!({"passport_id": passport, "action": action, "target": "docs", "cost_cents": 30, "metadata": {"run": 1}});
    let done = scene.call("s", "enforce_action", asked);
    assert_eq!(done["decision"], "allow", "{done}");
    let record = done["attestation_id"].as_str().expect("an id").to_owned();
    let state = scene.call("s", "get_cumulative_state", json!({"passport_id": passport}));
    assert_eq!(state["cost_cumulative_cents"], 30, "{state}");
    assert_eq!(scene.get(&format!("/api/passports/{passport}/state"))["cost_cumulative_cents"], 30);
    let reset = json!({"passport_id": passport, "window_type": "daily"});
    assert_eq!(scene.call("s", "reset_cumulative_state", reset), json!({"reset": true}));
    assert_eq!(scene.get(&format!("/api/passports/{passport}/state"))["cost_cumulative_cents"], 0);

    let allowed = json!({"passport_id": passport, "decision": "allow", "limit": 5});
    let listed = scene.call("s", "list_enforcement_attestations", allowed);
    assert_eq!(listed, scene.get(&format!("/api/passports/{passport}/enforcement?decision=allow&limit=5")));
    assert_eq!(listed[0]["id"], record.as_str());
    let one = scene.call("s", "get_enforcement_attestation", json!({"attestation_id": record}));
    assert_eq!(one, scene.get(&format!("/api/enforcement/{record}")));
    let verified = scene.call("s", "verify_enforcement_attestation", json!({"attestation_id": record}));
    assert_eq!(verified["valid"], true, "{verified}");

    let elsewhere = json!({
        "gate_id": GATE, "passport_id": passport, "agent_id": "agent-001", "permission": action, "tool_name": "browser",
        "result": "denied", "denial_code": "too_late", "input_hash": "00", "output_hash": "11",
        "constraints_used": {"core:rate:max_per_minute": 9}, "execution_ms": 12, "metadata": {"run": 2},
    });
    let recorded = scene.call("s", "record_attestation", elsewhere);
    let path = format!(
        "/api/gates/{GATE}/attestations?passport_id={passport}&agent_id=agent-001&permission={}&since=2020-01-01T00%3A00%3A00Z&limit=10",
        action.replace(':', "%3A")
    );
    let filters = json!({
        "gate_id": GATE, "passport_id": passport, "agent_id": "agent-001", "permission": action,
        "since": "2020-01-01T00:00:00Z", "limit": 10,
    });
    let listed = scene.call("s", "list_attestations", filters);
    assert_eq!(listed, scene.get(&path));
    let ids: Vec<_> = listed.as_array().expect("a list").iter().map(|one| one["id"].clone()).collect();
    assert!(ids.contains(&recorded["attestation_id"]), "{listed}");
}

fn api_keys(scene: &mut Scene) {
    let made = scene.call("s", "create_api_key", json!({"name": "mine", "scopes": ["gates:read"]}));
    let listed = scene.call("s", "list_api_keys", json!({}));
    assert_eq!(listed, scene.get("/api/users/api-keys"));
    let has_it =
        |listed: &Value| listed.as_array().expect("a list").iter().any(|one| one["id"] == made["id"]);
    assert!(has_it(&listed));
    let revoked = scene.call("s", "revoke_api_key", json!({"key_id": made["id"]}));
    assert_eq!(revoked, json!({"revoked": true}));
    let key = made["key"].as_str().expect("a key").to_owned();
    let url = scene.service.url();
    let refused = scene.open_with("revoked", Transport::Http, "legacy", &url, &key);
    assert!(refused.get("error").is_some(), "{refused}");
}
