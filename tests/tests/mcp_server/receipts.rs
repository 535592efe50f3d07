//! The tools of receipts and settlements.

use super::scene::Scene;
use ed25519_compact::{KeyPair, Seed};
use serde_json::{Value, json};

/// That receipts are added up takes a day that is over, and is tested with those that a gate
/// brings.
pub(crate) fn receipts_are_issued_settled_and_reported(scene: &mut Scene, gate: &str, passport: &str) {
    let pinned =
        scene.get(&format!("/api/gates/{gate}/passports/{passport}"))["catalog_content_hash"].clone();
    let used = consumption(gate, passport, &pinned);
    let receipt = scene.call("s", "issue_consumption_attestation", used.clone());
    assert_eq!((&receipt["cost_cents"], &receipt["catalog_version"]), (&json!("10"), &json!(1)), "{receipt}");
    // REST knows the agent's word for it by now.
    assert_eq!(scene.rest("POST", "/api/consume", Some(used)).0, 409);

    let today = receipt["issued_at"].as_str().and_then(|time| time.get(..10)).expect("a day").to_owned();
    let report = json!({"gate_id": gate, "period_start": today, "period_end": today, "permission_key": format!("{gate}:read")});
    let report = scene.call("s", "get_sla_compliance", report);
    assert_eq!(report["metrics"][0]["total_requests"], 1, "{report}");
    let rest = format!("/api/gates/{gate}/sla?period_start={today}&period_end={today}");
    assert_eq!(report["metrics"], scene.get(&rest)["metrics"]);

    let (start, end) = ("2025-03-01", "2025-03-31");
    let period = json!({"gate_id": gate, "period_type": "monthly", "period_start": start, "period_end": end, "agent_id": "agent-001"});
    let made = scene.call("s", "generate_settlement", period);
    let id = made["id"].as_str().expect("an id").to_owned();
    let path = format!("/api/billing/{id}");
    let one = scene.call("s", "get_settlement", json!({"settlement_id": id}));
    assert_eq!((&one, &one["content_hash"]), (&scene.get(&path), &made["content_hash"]));
    let filters = json!({
        "gate_id": gate, "agent_id": "agent-001", "period_type": "monthly", "status": "pending", "from_date": start,
        "to_date": end, "limit": 5, "offset": 0,
    });
    let mut later = filters.clone();
    later["from_date"] = json!("2025-04-01");
    later["to_date"] = json!("2025-04-30");
    let rest = format!(
        "/api/billing?gate_id={gate}&agent_id=agent-001&period_type=monthly&status=pending&from={start}&to={end}&limit=5&offset=0"
    );
    for tool in ["list_settlements", "get_billing_summary"] {
        let listed = scene.call("s", tool, filters.clone());
        assert_eq!(listed, scene.get(&rest), "{tool}");
        assert_eq!(listed["settlements"][0]["id"], id.as_str(), "{listed}");
        assert_eq!(scene.call("s", tool, later.clone())["settlements"], json!([]));
    }
    let paid = json!({"settlement_id": id, "status": "paid"});
    assert_eq!(scene.refused("s", "update_settlement_status", paid.clone())["code"], "transition_forbidden");
    scene.call("s", "update_settlement_status", json!({"settlement_id": id, "status": "invoiced"}));
    assert_eq!(scene.get(&path)["status"], "invoiced");
    scene.call("s", "update_settlement_status", paid);
    assert_eq!(scene.get(&path)["status"], "paid");
}

/// An action of the passport's agent, under the agent's own signature.
fn consumption(gate: &str, passport: &str, catalog_hash: &Value) -> Value {
    let action = format!("{gate}:read");
    let pair = KeyPair::from_seed(Seed::new([1; 32]));
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis();
    let nonce = format!("nonce-{now}");
    let signed = pair.sk.sign(format!("{now}:{nonce}:{action}:{passport}"), None);
    let base64 = portcullis_core::base64::encode;
    json!({
        "passport_id": passport, "gate_id": gate, "action": action, "outcome": "success", "quantity": 2,
        "agent_pop": {
            "signature": base64(&signed[..]), "public_key": base64(&pair.pk[..]),
            "timestamp": u64::try_from(now).expect("a time"), "nonce": nonce, "catalog_content_hash": catalog_hash,
        },
        "metadata": {"run": 3},
    })
}
