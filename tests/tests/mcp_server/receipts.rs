//! The tools of receipts and settlements. Where the service does not serve what they call, they
//! must reach the REST surface, which says that there is nothing; where it does, all is done.

use crate::scene::Scene;
use ed25519_compact::{KeyPair, Seed};
use serde_json::{Value, json};

/// The tools, and what each calls.
const CALLS: [(&str, &str); 7] = [
    ("issue_consumption_attestation", "/api/consume"),
    ("generate_settlement", "/api/billing"),
    ("list_settlements", "/api/billing"),
    ("get_billing_summary", "/api/billing"),
    ("get_settlement", "/api/billing/{settlement_id}"),
    ("update_settlement_status", "/api/billing/{settlement_id}/status"),
    ("get_sla_compliance", "/api/gates/{gate_id}/sla"),
];

/// Whether this is one of them, and the service has not what it calls.
pub(crate) fn is_unserved(scene: &Scene, tool: &str) -> bool {
    let document = scene.get("/openapi.json");
    let paths = document["paths"].as_object().expect("an object");
    let call = CALLS.iter().find(|(name, _)| *name == tool);
    // What a parameter is called there does not matter.
    let shape = |path: &str| {
        path.split('/')
            .map(|part| if part.starts_with('{') { "{}" } else { part }.to_owned())
            .collect::<Vec<_>>()
    };
    call.is_some_and(|(_, path)| !paths.keys().any(|known| shape(known) == shape(path)))
}

pub(crate) fn every_tool(scene: &mut Scene, gate: &str, passport: &str) {
    let unserved: Vec<&str> =
        CALLS.map(|(tool, _)| tool).into_iter().filter(|tool| is_unserved(scene, tool)).collect();
    for tool in &unserved {
        let refusal = scene.refused("s", tool, arguments(tool, gate, passport));
        assert_eq!(
            (&refusal["code"], &refusal["message"]),
            (&json!("not_found"), &json!("there is nothing here"))
        );
    }
    if unserved.is_empty() {
        receipts_are_issued_settled_and_reported(scene, gate, passport);
    }
}

fn arguments(tool: &str, gate: &str, passport: &str) -> Value {
    let (start, end) = ("2020-01-01", "2099-12-31");
    match tool {
        "issue_consumption_attestation" => consumption(gate, passport, &Value::Null),
        "generate_settlement" => {
            json!({"gate_id": gate, "period_type": "monthly", "period_start": start, "period_end": end})
        }
        "get_settlement" => json!({"settlement_id": "st_none"}),
        "update_settlement_status" => json!({"settlement_id": "st_none", "status": "invoiced"}),
        "get_sla_compliance" => json!({"gate_id": gate, "period_start": start, "period_end": end}),
        _ => {
            json!({"gate_id": gate, "period_type": "monthly", "from_date": start, "to_date": end, "limit": 5})
        }
    }
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

fn receipts_are_issued_settled_and_reported(scene: &mut Scene, gate: &str, passport: &str) {
    let pinned =
        scene.get(&format!("/api/gates/{gate}/passports/{passport}"))["catalog_content_hash"].clone();
    let receipt = scene.call("s", "issue_consumption_attestation", consumption(gate, passport, &pinned));
    assert_eq!((&receipt["cost_cents"], &receipt["catalog_version"]), (&json!("10"), &json!(1)), "{receipt}");
    let issued = &scene.get(&format!("/api/gates/{gate}/passports/{passport}"))["created_at"];
    let today = issued.as_str().and_then(|time| time.get(..10)).expect("a day").to_owned();
    let period = json!({"gate_id": gate, "period_start": today, "period_end": today});
    let mut asked = period.clone();
    asked["period_type"] = json!("daily");
    let made = scene.call("s", "generate_settlement", asked);
    let id = made["id"].as_str().expect("an id").to_owned();
    let path = format!("/api/billing/{id}");
    assert_eq!(scene.get(&path)["content_hash"], made["content_hash"]);
    assert_eq!(scene.call("s", "get_settlement", json!({"settlement_id": id})), scene.get(&path));
    let filters = json!({"gate_id": gate, "period_type": "daily", "status": "pending", "from_date": today, "to_date": today, "limit": 5, "offset": 0});
    let rest = format!(
        "/api/billing?gate_id={gate}&period_type=daily&status=pending&from={today}&to={today}&limit=5&offset=0"
    );
    for tool in ["list_settlements", "get_billing_summary"] {
        let listed = scene.call("s", tool, filters.clone());
        assert_eq!(listed, scene.get(&rest), "{tool}");
        assert_eq!(listed["settlements"][0]["id"], id.as_str(), "{listed}");
    }
    scene.call("s", "update_settlement_status", json!({"settlement_id": id, "status": "invoiced"}));
    assert_eq!(scene.get(&path)["status"], "invoiced");
    let report = scene.call("s", "get_sla_compliance", period);
    assert_eq!(report, scene.get(&format!("/api/gates/{gate}/sla?period_start={today}&period_end={today}")));
}
