//! Managed issuers: their tiers, and what ends their word.

use crate::common::Bench;
use crate::common::passports::{agent, public};
use serde_json::{Value, json};
use xtask::on_every_database;

on_every_database!(
    an_issuer_is_made_changed_and_deleted,
    a_tier_counts_only_once_it_is_earned,
    a_changed_domain_is_neither_verified_nor_certified,
    a_deleted_issuers_passports_are_good_nowhere,
    malformed_issuers_are_refused_with_the_field,
    issuers_come_in_pages,
);

fn make(bench: &Bench, tier: &str) -> Value {
    let asked = json!({
        "name": "Acme Corp", "domain": "Acme.Example", "trust_tier": tier, "metadata": {"team": "x"},
    });
    let (status, issuer) = bench.call("POST", "/api/v1/issuers", Some(asked));
    assert_eq!(status, 201, "{issuer}");
    issuer
}

fn path(issuer: &Value) -> String {
    format!("/api/v1/issuers/{}", issuer["issuer_id"].as_str().unwrap())
}

fn issue(bench: &Bench, issuer: &Value) -> Value {
    let asked = json!({
        "issuer_id": issuer["issuer_id"], "agent_id": "agent-1", "agent_public_key": public(&agent(1)),
        "permissions": ["read"],
    });
    let (status, passport) = bench.call("POST", "/api/v1/passports", Some(asked));
    assert_eq!(status, 201, "{passport}");
    passport
}

/// As the domain's owner would, by the record that the service looks for.
fn verify_domain(bench: &Bench, issuer: &Value) {
    let id = issuer["issuer_id"].as_str().unwrap();
    bench.sql(&format!("UPDATE issuers SET domain_verified_at = 1 WHERE issuer_id = '{id}'"));
}

fn an_issuer_is_made_changed_and_deleted(database: Option<&str>) {
    let bench = Bench::new(database);
    let issuer = make(&bench, "L1");
    assert!(issuer["issuer_id"].as_str().unwrap().starts_with("iss_"));
    assert_eq!((&issuer["domain"], &issuer["actions"]), (&json!("acme.example"), &json!(["*"])));
    assert_eq!(issuer["metadata"], json!({"team": "x"}));
    assert!(issuer["public_key"].as_str().unwrap().starts_with("ed25519:"));
    assert_eq!(bench.call("GET", &path(&issuer), None), (200, issuer.clone()));
    let passport = issue(&bench, &issuer);
    let key = issuer["public_key"].as_str().unwrap().strip_prefix("ed25519:").unwrap();
    assert_eq!((&passport["public_key"], &passport["gate_id"]), (&json!(key), &Value::Null));
    let asked = json!({"name": "Acme", "actions": ["flights:*"]});
    let (status, changed) = bench.call("PATCH", &path(&issuer), Some(asked));
    assert_eq!((status, &changed["passport_count"], &changed["name"]), (200, &json!(1), &json!("Acme")));
    assert_eq!(bench.call("DELETE", &path(&issuer), None), (200, json!({"deleted": true})));
    for method in ["GET", "PATCH", "DELETE"] {
        assert_eq!(bench.call(method, &path(&issuer), None).0, 404, "{method}");
    }
}

fn a_tier_counts_only_once_it_is_earned(database: Option<&str>) {
    let bench = Bench::new(database);
    let issuer = make(&bench, "L3");
    let tiers = |issuer: &Value| [issuer["trust_tier"].clone(), issuer["effective_tier"].clone()];
    assert_eq!(tiers(&issuer), ["L3", "L1"]);
    let certify = format!("{}/certify", path(&issuer));
    assert_eq!(bench.call("POST", &certify, None).0, 409, "certified without a verified domain");
    verify_domain(&bench, &issuer);
    assert_eq!(tiers(&bench.call("GET", &path(&issuer), None).1), ["L3", "L2"]);
    let (status, certified) = bench.call("POST", &certify, None);
    assert_eq!((status, tiers(&certified)), (200, ["L3".into(), "L3".into()]));
    // No more than what was asked for.
    let (_, lower) = bench.call("PATCH", &path(&issuer), Some(json!({"trust_tier": "L2"})));
    assert_eq!(tiers(&lower), ["L2", "L2"]);
    let passport = issue(&bench, &issuer);
    let asked = json!({"passport_id": passport["passport_id"]});
    let (_, verdict) = bench.call("POST", "/api/v1/passports/verify", Some(asked));
    assert_eq!((&verdict["valid"], &verdict["issuer_tier"]), (&json!(true), &json!("L2")));
    assert_eq!(bench.call("POST", "/api/v1/issuers/iss_none/certify", None).0, 404);
}

fn a_changed_domain_is_neither_verified_nor_certified(database: Option<&str>) {
    let bench = Bench::new(database);
    let issuer = make(&bench, "L3");
    verify_domain(&bench, &issuer);
    bench.call("POST", &format!("{}/certify", path(&issuer)), None);
    let (_, same) = bench.call("PATCH", &path(&issuer), Some(json!({"domain": "ACME.example"})));
    assert_eq!(same["effective_tier"], "L3", "it is the same domain");
    let (_, other) = bench.call("PATCH", &path(&issuer), Some(json!({"domain": "evil.example"})));
    let found = [&other["domain_verified"], &other["certified"], &other["effective_tier"]];
    assert_eq!(found, [&json!(false), &json!(false), &json!("L1")]);
}

fn a_deleted_issuers_passports_are_good_nowhere(database: Option<&str>) {
    let bench = Bench::new(database);
    let issuer = make(&bench, "L1");
    let passport = issue(&bench, &issuer);
    bench.call("DELETE", &path(&issuer), None);
    assert_eq!(
        bench.sql(
            "UPDATE signing_keys SET key_id = key_id WHERE owner LIKE 'iss_%' AND not_after IS NOT NULL"
        ),
        1
    );
    let asked = json!({"passport_id": passport["passport_id"]});
    let (_, verdict) = bench.call("POST", "/api/v1/passports/verify", Some(asked));
    assert_eq!(verdict["reason_code"], "signature_key_unavailable");
    let again = json!({
        "issuer_id": issuer["issuer_id"], "agent_id": "a", "agent_public_key": public(&agent(1)),
        "permissions": ["read"],
    });
    assert_eq!(bench.call("POST", "/api/v1/passports", Some(again.clone())).0, 404);
    let reissue = format!("/api/passports/{}/reissue", passport["passport_id"].as_str().unwrap());
    assert_eq!(bench.call("POST", &reissue, None).0, 409);
    // A gate's id is no issuer's: its passports are issued for it alone, under its own path.
    bench.call("POST", "/api/gates", Some(json!({"gate_id": "gate_a", "name": "A"})));
    let mut by_gate = again;
    by_gate["issuer_id"] = "gate_a".into();
    assert_eq!(bench.call("POST", "/api/v1/passports", Some(by_gate)).0, 404);
}

fn malformed_issuers_are_refused_with_the_field(database: Option<&str>) {
    let bench = Bench::new(database);
    for (more, field) in [
        (json!({"name": ""}), "name"),
        (json!({"domain": "https://acme.example"}), "domain"),
        (json!({"domain": "localhost"}), "domain"),
        (json!({"domain": "10.0.0.1"}), "domain"),
        (json!({"domain": "-a.example"}), "domain"),
        (json!({"trust_tier": "L2"}), "domain"),
        (json!({"trust_tier": "L4"}), "trust_tier"),
        (json!({"actions": []}), "actions"),
        (json!({"actions": ["fl*"]}), "actions[0]"),
        (json!({"actions": ["a", "a"]}), "actions[1]"),
        (json!({"metadata": {"n": "n".repeat(20_000)}}), "metadata"),
        (json!({"metadata": []}), "metadata"),
    ] {
        let mut asked = json!({"name": "x"});
        for (name, value) in more.as_object().unwrap() {
            asked[name] = value.clone();
        }
        let (status, error) = bench.call("POST", "/api/v1/issuers", Some(asked));
        assert_eq!((status, error["field"].as_str()), (422, Some(field)), "{more}: {error}");
    }
    assert_eq!(bench.call("GET", "/api/v1/issuers", None).1["total"], 0);
}

fn issuers_come_in_pages(database: Option<&str>) {
    let bench = Bench::new(database);
    let made = [make(&bench, "L1"), make(&bench, "L2"), make(&bench, "L3")];
    let (status, page) = bench.call("GET", "/api/v1/issuers?limit=1&offset=1", None);
    assert_eq!((status, &page["total"], page["items"].as_array().unwrap().len()), (200, &json!(3), 1));
    let ids: Vec<_> = made.iter().map(|issuer| issuer["issuer_id"].clone()).collect();
    assert!(ids.contains(&page["items"][0]["issuer_id"]));
}
