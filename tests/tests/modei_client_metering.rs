//! The unmodified Modei clients, synchronous and asynchronous, have uses metered and settled by
//! the real service.

use crate::modei_scene::{AGENT, Scene, with_both};
use portcullis_core::{SecretKey, base64};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};
use xtask::on_every_database;

on_every_database!(uses_are_metered_with_the_agents_word_and_settled,);

/// What an agent signs for a use, as Modei documents it.
fn pop(scene: &mut Scene, passport: &Value, action: &str, nonce: &str) -> Value {
    let seed: Vec<u8> = (0..32)
        .map(|at| u8::from_str_radix(AGENT.get(2 * at..2 * at + 2).expect("64 digits"), 16).expect("digits"))
        .collect();
    let key = SecretKey::from_seed(seed.try_into().expect("32 bytes"));
    let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let id = passport["passport_id"].as_str().expect("an id");
    let text = format!("{timestamp}:{nonce}:{action}:{id}");
    json!({
        "signature": base64::encode(&key.sign(text.as_bytes())), "public_key": scene.agent(AGENT)["public_key"],
        "timestamp": u64::try_from(timestamp).expect("a time"), "nonce": nonce,
        "catalog_content_hash": passport["catalog_content_hash"],
    })
}

fn uses_are_metered_with_the_agents_word_and_settled(database: Option<&str>) {
    with_both(database, |scene, gate| {
        let action = format!("{gate}:read");
        let offer = json!({"version": "1.0", "catalog_name": "Docs", "is_active": true, "permissions": [
            {"permission_key": action, "display_name": "Read", "description": "Reads", "constraints": {
                "core:pricing:per_call_cents": 7, "core:platform_fee:basis_points": 250,
                "core:sla:uptime_basis_points": 6000}}]});
        scene.call("create_catalog", json!([gate]), offer);
        scene.call("publish_catalog", json!([gate]), json!({}));
        let passport = scene.issue(gate, json!({"permissions": [action]}));
        let used = |scene: &mut Scene, nonce: &str, more: Value| {
            let mut asked = json!({
                "passport_id": passport["passport_id"], "gate_id": gate, "action": action, "outcome": "success",
                "agent_pop": pop(scene, &passport, &action, nonce),
            });
            for (name, value) in more.as_object().expect("an object") {
                asked[name] = value.clone();
            }
            asked
        };
        let hash = "ab".repeat(32);
        let all = json!({"quantity": 3, "outcome": "partial", "request_payload_hash": hash,
            "response_payload_hash": hash, "metadata": {"run": 1}});
        let asked = used(scene, "n-1", all);
        let made = scene.call("issue_consumption_attestation", json!([]), asked.clone());
        assert_eq!((&made["cost_cents"], &made["platform_fee_cents"]), (&json!("21"), &json!("1")), "{made}");
        assert_eq!(made["catalog_content_hash"], passport["catalog_content_hash"]);
        let conflict = ("ConflictError".to_owned(), 409);
        assert_eq!(scene.error("issue_consumption_attestation", json!([]), asked), conflict);
        let invalid = ("ValidationError".to_owned(), 422);
        let wrong = used(scene, "n-2", json!({"quantity": -1}));
        assert_eq!(scene.error("issue_consumption_attestation", json!([]), wrong), invalid);
        let failed = used(scene, "n-2", json!({"outcome": "error"}));
        let failed = scene.call("issue_consumption_attestation", json!([]), failed);
        assert_eq!(failed["cost_cents"], "0");

        let today = made["issued_at"].as_str().and_then(|at| at.get(..10)).expect("a time").to_owned();
        let period = json!({"period_start": today, "period_end": today});
        let report = scene.call("get_sla_compliance", json!([gate]), period);
        let metric = &report["metrics"][0];
        assert_eq!((&metric["total_requests"], &metric["partial_count"]), (&json!(2), &json!(1)));
        assert_eq!((&metric["uptime_basis_points"], &metric["sla_uptime_bp"]), (&json!(5000), &json!(6000)));
        assert_eq!(
            (&report["overall_uptime_bp"], &report["overall_compliant"]),
            (&json!(5000), &json!(false))
        );

        let settle = |of: &str, start: &str, end: &str| json!({"gate_id": gate, "period_type": of, "period_start": start, "period_end": end});
        let open = settle("daily", &today, &today);
        assert_eq!(scene.error("generate_settlement", json!([]), open), invalid);
        // Nobody waits here until the day is over: that receipts are settled is tested with
        // those that a gate brings.
        let march = settle("monthly", "2025-03-01", "2025-03-31");
        let summary = scene.call("generate_settlement", json!([]), march.clone());
        assert_eq!((&summary["status"], &summary["total_transactions"]), (&json!("pending"), &json!(0)));
        assert_eq!(scene.error("generate_settlement", json!([]), march), conflict);
        let mut of_agent = settle("weekly", "2025-04-07", "2025-04-13");
        of_agent["agent_id"] = json!("agent-001");
        let of_agent = scene.call("generate_settlement", json!([]), of_agent);
        assert_eq!(of_agent["agent_id"], "agent-001");
        let narrow =
            json!({"gate_id": gate, "period_type": "monthly", "status": "pending", "limit": 5, "offset": 0});
        let listed = scene.call("list_settlements", json!([]), narrow);
        assert_eq!(listed["settlements"].as_array().map(Vec::len), Some(1));
        assert_eq!(listed["settlements"][0]["content_hash"], summary["content_hash"]);
        let one = scene.call("get_settlement", json!([summary["id"]]), json!({}));
        assert_eq!(one["summary"], summary["summary"]);
        let paid = json!([summary["id"], "paid"]);
        assert_eq!(scene.error("update_settlement_status", paid.clone(), json!({})), conflict);
        let invoiced = scene.call("update_settlement_status", json!([summary["id"], "invoiced"]), json!({}));
        assert_eq!(invoiced["status"], "invoiced");
        assert_eq!(scene.call("update_settlement_status", paid, json!({}))["status"], "paid");
        let missing = scene.error("get_settlement", json!(["stl_none"]), json!({}));
        assert_eq!(missing, ("NotFoundError".to_owned(), 404));
    });
}
