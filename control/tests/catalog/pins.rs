//! Passports that have a catalog's terms, from their issue on.

use super::support::{bench, draft, offered, per_call, publish};
use crate::common::Bench;
use crate::common::gates::{signed, text};
use crate::common::passports::{agent, now, public};
use crate::common::records::Gate;
use portcullis_core::live::TrustResponse;
use portcullis_core::{Config, Snapshot, base64};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use xtask::on_every_database;

on_every_database!(
    a_passport_is_pinned_to_the_catalog_that_was_in_force_at_its_issue,
    what_the_catalog_does_not_offer_is_not_issued,
    a_reissued_passport_keeps_its_terms_unless_a_version_is_accepted,
    what_is_offered_no_more_is_granted_no_more,
    an_impact_counts_passports_by_what_they_grant,
    a_gate_is_told_the_hashes_of_what_it_has_published,
    a_gate_is_told_what_each_version_asks_for_and_from_which_on,
    a_gate_that_records_nothing_publishes_no_price,
    a_check_refuses_a_pin_that_was_never_published,
    a_pin_that_another_gate_has_written_says_nothing_here,
);

fn asked(permissions: &[&str]) -> Value {
    json!({"agent_id": "agent-1", "agent_public_key": public(&agent(1)), "permissions": permissions})
}

fn issue(bench: &Bench, permissions: &[&str]) -> Value {
    let (status, passport) = bench.call("POST", "/api/gates/gate_a/passports", Some(asked(permissions)));
    assert_eq!(status, 201, "{passport}");
    passport
}

fn reissue(bench: &Bench, passport: &Value, body: Value) -> (u16, Value) {
    let id = passport["passport_id"].as_str().unwrap();
    bench.call("POST", &format!("/api/passports/{id}/reissue"), Some(body))
}

/// The pin within what was signed.
fn pin(passport: &Value) -> [Value; 2] {
    let envelope: Value = serde_json::from_str(passport["passport_json"].as_str().unwrap()).unwrap();
    ["catalog_version", "catalog_content_hash"].map(|name| envelope["provenance"][name].clone())
}

fn check(bench: &Bench, passport: &Value) -> Value {
    let asked = json!({"action": "a:read", "passport_id": passport["passport_id"]});
    bench.call("POST", "/api/gates/gate_a/check", Some(asked)).1
}

fn a_passport_is_pinned_to_the_catalog_that_was_in_force_at_its_issue(database: Option<&str>) {
    let bench = bench(database);
    let before = issue(&bench, &["a:read"]);
    assert_eq!(pin(&before), [Value::Null, Value::Null]);
    let first = publish(&bench, json!([offered("a:read", per_call(5))]));
    let passport = issue(&bench, &["a:read"]);
    assert_eq!(pin(&passport), [json!(1), first["content_hash"].clone()]);
    assert_eq!(
        (&passport["catalog_version"], &passport["catalog_content_hash"]),
        (&json!(1), &first["content_hash"])
    );
    publish(&bench, json!([offered("a:read", per_call(9))]));
    // It keeps its terms, in what is stored too.
    let path = format!("/api/gates/gate_a/passports/{}", passport["passport_id"].as_str().unwrap());
    assert_eq!(bench.call("GET", &path, None), (200, passport.clone()));
    for (known, told) in
        [(&before, json!(["block", "catalog_pin_missing"])), (&passport, json!(["allow", null]))]
    {
        let answer = check(&bench, known);
        assert_eq!(json!([answer["decision"], answer["reason_code"]]), told, "{answer}");
    }
    assert_eq!(pin(&issue(&bench, &["a:read"]))[0], 2);
}

fn what_the_catalog_does_not_offer_is_not_issued(database: Option<&str>) {
    let bench = bench(database);
    publish(&bench, json!([offered("a:read", per_call(5))]));
    let (status, error) =
        bench.call("POST", "/api/gates/gate_a/passports", Some(asked(&["a:read", "a:write"])));
    assert_eq!((status, error["field"].as_str()), (422, Some("permissions[1]")), "{error}");
}

fn a_reissued_passport_keeps_its_terms_unless_a_version_is_accepted(database: Option<&str>) {
    let bench = bench(database);
    let unpinned = issue(&bench, &["a:read"]);
    let first = publish(&bench, json!([offered("a:read", per_call(5)), offered("a:write", per_call(1))]));
    let old = issue(&bench, &["a:read"]);
    let second = publish(&bench, json!([offered("a:read", per_call(9)), offered("a:write", per_call(2))]));
    let (status, kept) = reissue(&bench, &old, json!({}));
    assert_eq!((status, pin(&kept)), (200, [json!(1), first["content_hash"].clone()]), "{kept}");
    assert_eq!((&kept["terms_changed"], &kept["changes"]), (&json!(false), &json!([])));
    for (version, problem) in [(3, "must be 2"), (0, "must be 2"), (i64::MAX, "must be 2")] {
        let (status, error) = reissue(&bench, &kept, json!({"accept_catalog_version": version}));
        assert_eq!((status, error["field"].as_str()), (422, Some("accept_catalog_version")));
        assert!(error["message"].as_str().unwrap().contains(problem), "{error}");
    }
    let (status, new) = reissue(&bench, &kept, json!({"accept_catalog_version": 2}));
    assert_eq!((status, pin(&new)), (200, [json!(2), second["content_hash"].clone()]), "{new}");
    assert_eq!((&new["catalog_version"], &new["revoked_passport_id"]), (&json!(2), &kept["passport_id"]));
    assert_eq!((&new["terms_changed"], &new["has_breaking_changes"]), (&json!(true), &json!(true)));
    // Of what it grants, and nothing else.
    let rise = json!([{"type": "price_increase", "permission_key": "a:read", "breaking": true,
        "old_price_cents": 5, "new_price_cents": 9}]);
    assert_eq!(new["changes"], rise);
    assert_eq!(check(&bench, &kept)["reason_code"], "passport_revoked");
    assert_eq!(check(&bench, &new)["decision"], "allow");
    let (status, same) = reissue(&bench, &new, json!({"accept_catalog_version": 2}));
    assert_eq!((status, &same["terms_changed"], &pin(&same)[0]), (200, &json!(false), &json!(2)));
    // Where nothing was agreed, a price is a rise.
    let (status, priced) = reissue(&bench, &unpinned, json!({"accept_catalog_version": 2}));
    assert_eq!((status, &priced["changes"][0]["old_price_cents"]), (200, &json!(0)), "{priced}");
    assert_eq!(pin(&priced)[0], 2);
}

fn what_is_offered_no_more_is_granted_no_more(database: Option<&str>) {
    let bench = bench(database);
    publish(&bench, json!([offered("a:read", per_call(5)), offered("a:write", per_call(1))]));
    let mut body = asked(&["a:read", "a:write"]);
    body["constraints"] = json!({"a:write": {"max_total_cost": 5}});
    let (_, both) = bench.call("POST", "/api/gates/gate_a/passports", Some(body));
    let writer = issue(&bench, &["a:write"]);
    publish(&bench, json!([offered("a:read", per_call(5))]));
    let (status, new) = reissue(&bench, &both, json!({"accept_catalog_version": 2}));
    assert_eq!(status, 200, "{new}");
    assert_eq!(
        new["changes"],
        json!([{"type": "permission_removed", "permission_key": "a:write", "breaking": true}])
    );
    let envelope: Value = serde_json::from_str(new["passport_json"].as_str().unwrap()).unwrap();
    assert_eq!(envelope["permissions"], json!([{"permission_key": "a:read", "constraints": {}}]));
    let (status, error) = reissue(&bench, &writer, json!({"accept_catalog_version": 2}));
    assert_eq!(status, 409, "{error}");
    // It was not revoked for nothing.
    assert_eq!(reissue(&bench, &writer, json!({})).0, 200);
}

fn an_impact_counts_passports_by_what_they_grant(database: Option<&str>) {
    let bench = bench(database);
    issue(&bench, &["a:read"]);
    publish(&bench, json!([offered("a:read", per_call(5)), offered("a:write", per_call(5))]));
    let reader = issue(&bench, &["a:read"]);
    issue(&bench, &["a:read", "a:write"]);
    issue(&bench, &["a:write"]);
    let impact = |expected: [i64; 2]| {
        let (status, impact) = bench.call("GET", "/api/gates/gate_a/catalog/impact", None);
        assert_eq!(status, 200, "{impact}");
        assert_eq!([&impact["affected_passports"], &impact["breaking_passports"]], expected, "{impact}");
    };
    impact([0, 0]);
    draft(&bench, json!([offered("a:read", per_call(9)), offered("a:write", per_call(4))]));
    impact([3, 2]);
    // Published, it is as far from what they are pinned to as before.
    bench.call("POST", "/api/gates/gate_a/catalog/publish", None);
    impact([3, 2]);
    assert_eq!(reissue(&bench, &reader, json!({"accept_catalog_version": 2})).0, 200);
    impact([2, 1]);
}

fn a_gate_is_told_the_hashes_of_what_it_has_published(database: Option<&str>) {
    let bench = Bench::new(database);
    let gate = Gate::enrolled(&bench, "gate_a", 1);
    let first = publish(&bench, json!([offered("flights:search", per_call(5))]));
    let second = publish(&bench, json!([offered("flights:search", per_call(6))]));
    let expected = json!([first["content_hash"], second["content_hash"]]);
    wait_for(&bench, &gate, "catalog_hashes", &expected);
    // They are the service's word, and not the operator's.
    for member in ["catalog_hashes", "catalog_prices"] {
        let config = json!({"authorities": ["a.test"], "routes": [], member: []});
        let (status, error) = bench.call("PUT", "/api/v1/gates/gate_a/config", Some(config));
        assert_eq!((status, error["field"].as_str()), (422, Some(member)), "{error}");
    }
}

fn a_gate_is_told_what_each_version_asks_for_and_from_which_on(database: Option<&str>) {
    let bench = Bench::new(database);
    let gate = Gate::enrolled(&bench, "gate_a", 1);
    let with_fee = json!({"core:pricing:per_call_cents": 5, "core:platform_fee:basis_points": 250});
    let usage = json!({"core:pricing:model": "usage", "core:pricing:per_call_cents": 7});
    publish(&bench, json!([offered("a:one", with_fee.clone()), offered("a:free", json!({}))]));
    publish(&bench, json!([offered("a:one", with_fee.clone()), offered("a:two", usage)]));
    publish(&bench, json!([offered("a:one", per_call(6))]));
    publish(&bench, json!([offered("a:one", json!({})), offered("a:two", per_call(0))]));
    let expected = json!({
        "a:one": [
            {"since": 1, "model": "per_call", "cents": 5, "fee_basis_points": 250},
            {"since": 3, "model": "per_call", "cents": 6, "fee_basis_points": 0},
            {"since": 4},
        ],
        "a:two": [
            {"since": 2, "model": "usage", "cents": 7, "fee_basis_points": 0},
            {"since": 3},
            {"since": 4, "model": "per_call", "cents": 0, "fee_basis_points": 0},
        ],
    });
    wait_for(&bench, &gate, "catalog_prices", &expected);
}

fn a_gate_that_records_nothing_publishes_no_price(database: Option<&str>) {
    let bench = Bench::new(database);
    Gate::enrolled(&bench, "gate_a", 1);
    let config = |policy| {
        let routes = json!([{"path": "/one", "methods": ["GET"], "action": "a:one"}]);
        let config = json!({"authorities": ["a.test"], "routes": routes, "attest": {"policy": policy}});
        bench.call("PUT", "/api/v1/gates/gate_a/config", Some(config))
    };
    assert_eq!(config("off").0, 200);
    publish(&bench, json!([offered("a:one", json!({}))]));
    draft(&bench, json!([offered("a:one", per_call(5))]));
    let (status, error) = bench.call("POST", "/api/gates/gate_a/catalog/publish", None);
    assert_eq!((status, error["field"].as_str()), (422, Some("attest.policy")), "{error}");
    assert_eq!(config("required").0, 200);
    assert_eq!(bench.call("POST", "/api/gates/gate_a/catalog/publish", None).0, 201);
    let (status, error) = config("off");
    assert_eq!((status, error["field"].as_str()), (422, Some("attest.policy")), "{error}");
}

/// Waits until the gate's snapshot has this, and asserts that a gate can decide by it.
fn wait_for(bench: &Bench, gate: &Gate, member: &str, expected: &Value) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let query = "snapshot=0&revocations=0&wait=0&random=AAAAAAAAAAAAAAAAAAAAAA";
        let answer = signed(
            bench.service.address,
            &gate.key,
            ("GET", "/gate/v1/gates/gate_a/trust", query, b""),
            now(),
            nonce(),
        );
        assert_eq!(answer.status, 200, "{}", text(&answer));
        let token = TrustResponse::read(&answer.body).unwrap().snapshot.unwrap();
        let payload = base64::decode_url(token.split('.').nth(1).unwrap()).unwrap();
        let config = serde_json::from_slice::<Value>(&payload).unwrap()["config"].clone();
        // What a gate can decide by.
        Snapshot::new(&Config::from_json(config.to_string().as_bytes()).unwrap()).unwrap();
        if config[member] == *expected {
            break;
        }
        assert!(Instant::now() < deadline, "{config}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn nonce() -> [u8; 16] {
    *uuid::Uuid::new_v4().as_bytes()
}

fn a_check_refuses_a_pin_that_was_never_published(database: Option<&str>) {
    let bench = bench(database);
    publish(&bench, json!([offered("a:read", per_call(5))]));
    let passport = issue(&bench, &["a:read"]);
    let steps = |answer: &Value| {
        let steps = answer["checks"].as_array().unwrap().iter();
        steps
            .map(|step| format!("{}:{}", step["name"].as_str().unwrap(), step["result"].as_str().unwrap()))
            .collect::<Vec<_>>()
    };
    let answer = check(&bench, &passport);
    assert!(steps(&answer).contains(&"catalog_pin:pass".to_owned()), "{answer}");
    // As after a restore from before it was published.
    bench.sql("UPDATE catalogs SET content_hash = 'another'");
    let answer = check(&bench, &passport);
    assert_eq!(
        (&answer["decision"], &answer["reason_code"]),
        (&json!("block"), &json!("catalog_pin_mismatch"))
    );
    assert_eq!(steps(&answer).last().unwrap(), "catalog_pin:fail");
}

/// As at a gate: what matters is what was agreed with it, by the passports that it has issued itself.
fn a_pin_that_another_gate_has_written_says_nothing_here(database: Option<&str>) {
    let bench = bench(database);
    let offers = json!([offered("a:read", per_call(5)), offered("a:list", json!({}))]);
    publish(&bench, offers.clone());
    let passport = issue(&bench, &["a:read", "a:list"]);
    assert_eq!(bench.call("POST", "/api/gates", Some(json!({"gate_id": "gate_b", "name": "B"}))).0, 201);
    let envelope: Value = serde_json::from_str(passport["passport_json"].as_str().unwrap()).unwrap();
    let key =
        json!({"key_id": envelope["provenance"]["issuer"]["key_id"], "public_key": passport["public_key"]});
    let trust =
        json!({"issuers": [{"id": "gate_a", "type": "gate", "tier": 3, "actions": ["*"], "keys": [key]}]});
    let route = json!({"path": "/", "methods": ["GET"], "public": true});
    let config = json!({"authorities": ["b.example"], "routes": [route], "trust": trust});
    bench.sql(&format!("UPDATE gates SET config = '{config}' WHERE gate_id = 'gate_b'"));
    let check = |action: &str| {
        let asked = json!({"action": action, "passport_id": passport["passport_id"]});
        let answer = bench.call("POST", "/api/gates/gate_b/check", Some(asked)).1;
        json!([answer["decision"], answer["reason_code"]])
    };
    assert_eq!((check("a:read"), check("a:list")), (json!(["allow", null]), json!(["allow", null])));
    let path = "/api/gates/gate_b/catalog";
    assert_eq!(bench.call("POST", path, Some(json!({"permissions": offers}))).0, 200);
    let (status, answer) = bench.call("POST", &format!("{path}/publish"), None);
    assert_eq!(status, 201, "{answer}");
    assert_eq!(check("a:read"), json!(["block", "catalog_pin_missing"]));
    assert_eq!(check("a:list"), json!(["allow", null]));
}
