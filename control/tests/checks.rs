//! What a gate decides, asked beforehand: as the gate itself would.

use crate::common::Bench;
use crate::common::passports::{agent, public, self_issued};
use serde_json::{Value, json};
use xtask::http::Request;
use xtask::on_every_database;

on_every_database!(
    a_gates_own_passport_is_allowed_what_it_grants,
    each_refusal_has_its_reason,
    an_issuer_counts_by_its_tier_and_its_ceiling,
    a_gate_of_l3_takes_no_passport_that_lives_too_long,
    what_an_operator_says_of_an_issuer_must_have_its_domain_verified_above_l1,
    self_issued_passports_need_the_gates_consent_and_no_key,
    another_gates_passport_is_not_taken,
    what_an_operator_configured_counts,
    a_dry_run_decides_and_changes_nothing,
);

fn bench(database: Option<&str>) -> Bench {
    let bench = Bench::new(database);
    bench.call("POST", "/api/gates", Some(json!({"gate_id": "gate_a", "name": "A"})));
    bench
}

fn issue(bench: &Bench, path: &str, more: Value) -> Value {
    let mut asked = json!({"agent_id": "agent-1", "agent_public_key": public(&agent(1)), "permissions": ["flights:search"]});
    for (name, value) in more.as_object().unwrap() {
        asked[name] = value.clone();
    }
    let (status, passport) = bench.call("POST", path, Some(asked));
    assert_eq!(status, 201, "{passport}");
    passport
}

const OWN: &str = "/api/gates/gate_a/passports";

fn check(bench: &Bench, gate: &str, action: &str, passport: &Value) -> Value {
    let asked = json!({"action": action, "passport_id": passport["passport_id"]});
    let (status, answer) = bench.call("POST", &format!("/api/gates/{gate}/check"), Some(asked));
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["allowed"], answer["decision"] == "allow");
    assert_eq!(answer["attestation_id"], Value::Null);
    answer
}

fn reason(answer: &Value) -> &str {
    answer["reason_code"].as_str().unwrap_or_default()
}

fn anyone(bench: &Bench, path: &str, body: &Value) -> (u16, Value) {
    let mut request = Request::new("POST", path);
    request.body = body.to_string().into_bytes();
    let answer = request.send(bench.service.address).unwrap();
    (answer.status, serde_json::from_slice(&answer.body).unwrap())
}

fn a_gates_own_passport_is_allowed_what_it_grants(database: Option<&str>) {
    let bench = bench(database);
    let passport = issue(&bench, OWN, json!({}));
    let answer = check(&bench, "a", "flights:search", &passport);
    assert_eq!(
        (&answer["decision"], &answer["access_mode"]),
        (&json!("allow"), &json!("passport")),
        "{answer}"
    );
    let steps: Vec<_> =
        answer["checks"].as_array().unwrap().iter().map(|step| step["name"].clone()).collect();
    let expected =
        ["envelope", "issuer", "signature", "validity", "revocation", "permission", "ceiling", "constraints"];
    assert_eq!(steps, expected);
    // Inline, as an object or as its text.
    let envelope: Value = serde_json::from_str(passport["passport_json"].as_str().unwrap()).unwrap();
    for envelope in [envelope, passport["passport_json"].clone()] {
        let asked = json!({"action": "flights:search", "passport_json": envelope, "signature": passport["signature"]});
        let (_, answer) = bench.call("POST", "/api/gates/gate_a/check", Some(asked));
        assert_eq!(answer["decision"], "allow", "{answer}");
    }
    assert_eq!(bench.call("POST", "/api/gates/gate_none/check", Some(json!({"action": "x"}))).0, 404);
}

fn each_refusal_has_its_reason(database: Option<&str>) {
    let bench = bench(database);
    let passport = issue(&bench, OWN, json!({}));
    assert_eq!(reason(&check(&bench, "gate_a", "flights:book", &passport)), "permission_denied");
    assert_eq!(
        reason(&check(&bench, "gate_a", "x", &json!({"passport_id": "pp_none"}))),
        "passport_not_found"
    );
    let (_, none) = bench.call("POST", "/api/gates/gate_a/check", Some(json!({"action": "x"})));
    assert_eq!((reason(&none), &none["access_mode"]), ("credential_missing", &json!("anonymous")));
    let unknown = issue(&bench, OWN, json!({"constraints": {"core:data:no_pii_export": true}}));
    assert_eq!(reason(&check(&bench, "gate_a", "flights:search", &unknown)), "constraint_not_enforceable");
    let short = issue(&bench, OWN, json!({}));
    let id = short["passport_id"].as_str().unwrap();
    bench.call("DELETE", &format!("{OWN}/{id}"), None);
    assert_eq!(reason(&check(&bench, "gate_a", "flights:search", &short)), "passport_revoked");
    let forged = json!({
        "action": "flights:search", "signature": passport["signature"],
        "passport_json": passport["passport_json"].as_str().unwrap().replace("search", "book"),
    });
    let (_, answer) = bench.call("POST", "/api/gates/gate_a/check", Some(forged));
    assert_eq!(reason(&answer), "signature_invalid");
    for body in [
        json!({}),
        json!({"action": ""}),
        json!({"action": "x", "passport_json": {}}),
        json!({"action": "x", "signature": "x"}),
        json!({"action": "x", "passport_id": "p", "passport_json": {}, "signature": "x"}),
    ] {
        assert_eq!(bench.call("POST", "/api/gates/gate_a/check", Some(body.clone())).0, 422, "{body}");
    }
}

fn an_issuer_counts_by_its_tier_and_its_ceiling(database: Option<&str>) {
    let bench = bench(database);
    let asked = json!({"name": "I", "domain": "i.example", "trust_tier": "L2", "actions": ["flights:*"]});
    let (_, issuer) = bench.call("POST", "/api/v1/issuers", Some(asked));
    let id = issuer["issuer_id"].as_str().unwrap();
    let more = json!({"issuer_id": id, "permissions": ["flights:search", "hotels:book"]});
    let passport = issue(&bench, "/api/v1/passports", more);
    assert_eq!(check(&bench, "gate_a", "flights:search", &passport)["decision"], "allow");
    assert_eq!(reason(&check(&bench, "gate_a", "hotels:book", &passport)), "issuer_ceiling_exceeded");
    bench.call("PATCH", "/api/gates/gate_a", Some(json!({"profile": "L2"})));
    assert_eq!(reason(&check(&bench, "gate_a", "flights:search", &passport)), "trust_tier_insufficient");
    bench.sql(&format!("UPDATE issuers SET domain_verified_at = 1 WHERE issuer_id = '{id}'"));
    let allowed = check(&bench, "gate_a", "flights:search", &passport);
    assert_eq!(allowed["decision"], "allow", "{allowed}");
    assert_eq!(allowed["checks"].as_array().unwrap().last().unwrap()["name"], "request_proof");
    bench.call("DELETE", &format!("/api/v1/issuers/{id}"), None);
    assert_eq!(reason(&check(&bench, "gate_a", "flights:search", &passport)), "signature_key_unavailable");
}

fn a_gate_of_l3_takes_no_passport_that_lives_too_long(database: Option<&str>) {
    let bench = bench(database);
    let long = issue(&bench, OWN, json!({"expires_in_seconds": 3601}));
    let hour = issue(&bench, OWN, json!({}));
    for (profile, expected) in [("L1", ""), ("L2", ""), ("L3", "credential_lifetime_exceeded")] {
        bench.call("PATCH", "/api/gates/gate_a", Some(json!({"profile": profile})));
        let answer = check(&bench, "gate_a", "flights:search", &long);
        assert_eq!(reason(&answer), expected, "{profile}");
        assert_eq!(check(&bench, "gate_a", "flights:search", &hour)["decision"], "allow", "{profile}");
    }
    let steps = check(&bench, "gate_a", "flights:search", &long);
    assert_eq!(steps["checks"].as_array().unwrap().last().unwrap()["name"], "lifetime");
    bench.sql(
        r#"UPDATE gates SET config = '{"windows":{"credential_seconds":3601}}' WHERE gate_id = 'gate_a'"#,
    );
    assert_eq!(check(&bench, "gate_a", "flights:search", &long)["decision"], "allow");
}

fn what_an_operator_says_of_an_issuer_must_have_its_domain_verified_above_l1(database: Option<&str>) {
    let bench = bench(database);
    let asked = json!({"name": "I", "domain": "i.example", "actions": ["*"]});
    let (_, issuer) = bench.call("POST", "/api/v1/issuers", Some(asked));
    let id = issuer["issuer_id"].as_str().unwrap();
    let passport = issue(&bench, "/api/v1/passports", json!({"issuer_id": id}));
    let key = issuer["public_key"].as_str().unwrap().strip_prefix("ed25519:").unwrap();
    let envelope: Value = serde_json::from_str(passport["passport_json"].as_str().unwrap()).unwrap();
    let key_id = &envelope["provenance"]["issuer"]["key_id"];
    for (verified, expected) in [(false, "issuer_domain_unverified"), (true, "")] {
        let config = json!({"trust": {"issuers": [{
            "id": id, "type": "platform", "tier": 3, "domain_verified": verified, "actions": ["*"],
            "keys": [{"key_id": key_id, "public_key": key}],
        }]}});
        bench.sql(&format!("UPDATE gates SET profile = 'L2', config = '{config}' WHERE gate_id = 'gate_a'"));
        let answer = check(&bench, "gate_a", "flights:search", &passport);
        assert_eq!(reason(&answer), expected, "{answer}");
        if !verified {
            assert_eq!(answer["checks"].as_array().unwrap().last().unwrap()["name"], "issuer");
        }
    }
}

fn self_issued_passports_need_the_gates_consent_and_no_key(database: Option<&str>) {
    let bench = bench(database);
    let own = self_issued(&agent(2), "pp_self_1", &["flights:search"]);
    let by_id = json!({"action": "flights:search", "passport_id": "pp_self_1"});
    let path = "/api/gates/gate_a/check";
    assert_eq!(anyone(&bench, path, &by_id).0, 401, "it is not registered");
    anyone(&bench, "/api/passports/register", &own);
    let (status, answer) = anyone(&bench, path, &by_id);
    assert_eq!((status, reason(&answer)), (200, "self_issued_not_allowed"));
    bench.call("PATCH", "/api/gates/gate_a", Some(json!({"allow_self_issued": true})));
    assert_eq!(anyone(&bench, path, &by_id).1["decision"], "allow");
    let mut inline = own.clone();
    inline["action"] = "flights:search".into();
    assert_eq!(anyone(&bench, path, &inline).1["decision"], "allow");
    // Another passport under a registered one's id is another passport.
    let mut other = self_issued(&agent(3), "pp_self_1", &["flights:search"]);
    other["action"] = "flights:search".into();
    assert_eq!(anyone(&bench, path, &other).0, 401);
    // Nobody else's passport goes without a key.
    let passport = issue(&bench, OWN, json!({}));
    let asked = json!({"action": "flights:search", "passport_id": passport["passport_id"]});
    assert_eq!(anyone(&bench, path, &asked).0, 401);
    assert_eq!(anyone(&bench, path, &json!({"action": "x"})).0, 401);
    bench.call("PATCH", "/api/gates/gate_a", Some(json!({"profile": "L2"})));
    assert_eq!(reason(&anyone(&bench, path, &by_id).1), "trust_tier_insufficient");
}

fn another_gates_passport_is_not_taken(database: Option<&str>) {
    let bench = bench(database);
    bench.call("POST", "/api/gates", Some(json!({"gate_id": "gate_b", "name": "B"})));
    let passport = issue(&bench, OWN, json!({}));
    assert_eq!(reason(&check(&bench, "gate_b", "flights:search", &passport)), "signature_key_unavailable");
}

fn what_an_operator_configured_counts(database: Option<&str>) {
    let bench = bench(database);
    let own = self_issued(&agent(2), "pp_self_1", &["flights:search", "flights:book"]);
    anyone(&bench, "/api/passports/register", &own);
    bench.call("PATCH", "/api/gates/gate_a", Some(json!({"allow_self_issued": true})));
    let passport = issue(&bench, OWN, json!({}));
    let trust = json!({
        "self_issued": {"actions": ["flights:search"]},
        "disabled_agents": [{"issuer": "gate_a", "agent_id": "agent-1"}],
    });
    let config = json!({"trust": trust}).to_string();
    bench.sql(&format!("UPDATE gates SET config = '{config}' WHERE gate_id = 'gate_a'"));
    assert_eq!(
        check(&bench, "gate_a", "flights:search", &json!({"passport_id": "pp_self_1"}))["decision"],
        "allow"
    );
    let beyond = check(&bench, "gate_a", "flights:book", &json!({"passport_id": "pp_self_1"}));
    assert_eq!(reason(&beyond), "self_issued_platform_ceiling_exceeded");
    assert_eq!(reason(&check(&bench, "gate_a", "flights:search", &passport)), "agent_disabled");
    // What is configured gives no consent by itself.
    bench.call("PATCH", "/api/gates/gate_a", Some(json!({"allow_self_issued": false})));
    let refused = check(&bench, "gate_a", "flights:search", &json!({"passport_id": "pp_self_1"}));
    assert_eq!(reason(&refused), "self_issued_not_allowed");
    // The service's own list counts as the operator's does.
    bench.sql("UPDATE gates SET config = NULL");
    assert_eq!(check(&bench, "gate_a", "flights:search", &passport)["decision"], "allow");
    bench.sql(
        "INSERT INTO revocations (kind, issuer, id, fingerprint, revoked_at) VALUES ('a', 'gate_a', 'agent-1', 0, 0)",
    );
    assert_eq!(reason(&check(&bench, "gate_a", "flights:search", &passport)), "agent_disabled");
}

fn a_dry_run_decides_and_changes_nothing(database: Option<&str>) {
    let bench = bench(database);
    let passport = issue(&bench, OWN, json!({"expires_in_seconds": 60}));
    let run = |passport: &Value, permission: &str| {
        let asked = json!({"gate_id": "gate_a", "passport": passport, "requested_permission": permission});
        bench.call("POST", "/api/authorize/dry-run", Some(asked))
    };
    // As it was issued, by its id, and with the id beside the rest.
    for named in [passport.clone(), json!({"passport_id": passport["passport_id"], "permissions": ["x"]})] {
        let (status, answer) = run(&named, "flights:search");
        assert_eq!(
            (status, &answer["decision"], &answer["constraints_satisfied"]),
            (200, &json!("allow"), &json!(true)),
            "{answer}"
        );
    }
    let (_, answer) = run(&passport, "flights:book");
    assert_eq!((reason(&answer), &answer["constraints_satisfied"]), ("permission_denied", &json!(false)));
    let (_, answer) = run(&json!({"passport_id": "pp_none"}), "x");
    assert_eq!(reason(&answer), "passport_not_found");
    let envelope: Value = serde_json::from_str(passport["passport_json"].as_str().unwrap()).unwrap();
    let (status, error) = run(&envelope, "flights:search");
    assert_eq!((status, error["field"].as_str()), (422, Some("passport")));
    assert_eq!(run(&json!({}), "x").0, 422);
    let asked = json!({"gate_id": "gate_none", "passport": passport, "requested_permission": "x"});
    assert_eq!(bench.call("POST", "/api/authorize/dry-run", Some(asked)).0, 404);
    let (_, after) = bench.call("GET", &format!("{OWN}/{}", passport["passport_id"].as_str().unwrap()), None);
    assert_eq!(after, passport);
}
