//! Constraints that are set for passports after their issue: here, and on their way to gates.

use crate::common;
use crate::common::Bench;
use crate::common::gates::{enrolled, signed, text};
use crate::common::passports::{agent, now, public, self_issued};
use portcullis_core::live::TrustResponse;
use portcullis_core::{Config, SecretKey, Snapshot, base64};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use xtask::on_every_database;

on_every_database!(
    what_is_set_holds_besides_what_was_signed_and_only_narrows_it,
    what_is_set_reaches_the_gates_that_take_such_passports,
    a_reissued_passport_keeps_what_was_set_and_what_is_over_is_forgotten,
    templates_are_listed_made_and_applied,
    what_no_gate_can_judge_is_not_set,
);

fn bench(database: Option<&str>) -> Bench {
    let bench = Bench::new(database);
    assert_eq!(bench.call("POST", "/api/gates", Some(json!({"gate_id": "gate_a", "name": "A"}))).0, 201);
    bench
}

fn issue(bench: &Bench, constraints: Value) -> String {
    let asked = json!({"agent_id": "agent-1", "agent_public_key": public(&agent(1)),
        "permissions": ["book", "search"], "constraints": constraints});
    let (status, passport) = bench.call("POST", "/api/gates/gate_a/passports", Some(asked));
    assert_eq!(status, 201, "{passport}");
    passport["passport_id"].as_str().unwrap().to_owned()
}

fn path(passport: &str) -> String {
    format!("/api/passports/{passport}/constraints")
}

fn set(bench: &Bench, passport: &str, constraints: Value) {
    let (status, answer) = bench.call("PUT", &path(passport), Some(constraints));
    assert_eq!((status, answer), (200, json!({"updated": true})));
}

fn get(bench: &Bench, passport: &str) -> Value {
    bench.call("GET", &path(passport), None).1
}

/// `allow`, or what blocks.
fn decided(bench: &Bench, passport: &str, action: &str, cost_cents: u64) -> String {
    let asked =
        json!({"passport_id": passport, "action": action, "cost_cents": cost_cents, "gate_id": "gate_a"});
    let (status, answer) = bench.call("POST", "/api/enforce", Some(asked));
    assert_eq!(status, 200, "{answer}");
    answer["blocked_by"].as_str().or(answer["decision"].as_str()).unwrap().to_owned()
}

fn what_is_set_holds_besides_what_was_signed_and_only_narrows_it(database: Option<&str>) {
    let bench = bench(database);
    let id = issue(&bench, json!({"max_per_action_cost": 100, "core:rate:max_per_day": 50}));
    assert_eq!(get(&bench, &id), json!({"max_per_action_cost": 100, "core:rate:max_per_day": 50}));
    assert_eq!(decided(&bench, &id, "book", 100), "allow");
    set(&bench, &id, json!({"max_per_action_cost": 60}));
    assert_eq!(get(&bench, &id), json!({"max_per_action_cost": 60}));
    assert_eq!(decided(&bench, &id, "book", 61), "core:cost:max_per_action");
    let check = json!({"action": "book", "passport_id": id, "cost_cents": 61});
    assert_eq!(
        bench.call("POST", "/api/gates/gate_a/check", Some(check)).1["reason_code"],
        "spend_limit_exceeded"
    );
    set(&bench, &id, json!({"max_per_action_cost": 1000}));
    assert_eq!(decided(&bench, &id, "book", 101), "core:cost:max_per_action", "what was signed holds");
    // Of one permission.
    set(&bench, &id, json!({"book": {"core:rate:max_per_day": 1}, "core:cost:max_per_action": 90}));
    assert_eq!(decided(&bench, &id, "book", 0), "core:rate:max_per_day", "it was done already");
    assert_eq!(decided(&bench, &id, "search", 90), "allow");
    assert_eq!(decided(&bench, &id, "search", 91), "core:cost:max_per_action");
    set(&bench, &id, json!({}));
    assert_eq!(decided(&bench, &id, "book", 100), "allow");
    assert_eq!(get(&bench, &id)["max_per_action_cost"], 100);

    // Of what was delegated, by what was set for whom it was delegated from.
    let (root, child) = (agent(2), agent(3));
    let root_passport =
        portcullis_core::modei::self_issue(&root, &common::passports::draft("pp_root", &["book"]));
    let mut draft = common::passports::draft("pp_child", &["book"]);
    draft.expires_at = now().plus_millis(60_000);
    let delegated =
        portcullis_core::modei::delegate(&root_passport, &root, &child.public_key(), &draft).unwrap();
    for passport in [&root_passport, &delegated] {
        let registered =
            bench.call("POST", "/api/passports/register", Some(common::passports::wire(passport)));
        assert_eq!(registered.0, 200, "{registered:?}");
    }
    bench.call("PATCH", "/api/gates/gate_a", Some(json!({"allow_self_issued": true})));
    assert_eq!(decided(&bench, "pp_child", "book", 5), "allow");
    set(&bench, "pp_root", json!({"max_daily_cost": 6}));
    assert_eq!(decided(&bench, "pp_child", "book", 4), "allow");
    assert_eq!(decided(&bench, "pp_child", "book", 3), "core:cost:max_cumulative");
    assert_eq!(decided(&bench, "pp_root", "book", 3), "core:cost:max_cumulative");
    let audit = bench.call("GET", "/api/v1/audit", None).1.to_string();
    assert!(audit.contains("passport.constraints"), "{audit}");
}

/// The configuration in a gate's newest snapshot, which must be one that it takes.
fn snapshot(bench: &Bench, gate: &str, key: &SecretKey) -> Value {
    let query = "snapshot=0&revocations=0&wait=0&random=AAAAAAAAAAAAAAAAAAAAAA";
    let path = format!("/gate/v1/gates/{gate}/trust");
    let answer = signed(bench.service.address, key, ("GET", &path, query, b""), now(), [3; 16]);
    assert_eq!(answer.status, 200, "{}", text(&answer));
    let token = TrustResponse::read(&answer.body).unwrap().snapshot.unwrap();
    let payload = base64::decode_url(token.split('.').nth(1).unwrap()).unwrap();
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    let config = payload["config"].clone();
    Snapshot::new(&Config::from_json(config.to_string().as_bytes()).unwrap()).unwrap();
    config
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn what_is_set_reaches_the_gates_that_take_such_passports(database: Option<&str>) {
    let bench = Bench::new(database);
    let (a, b) = (SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]));
    enrolled(&bench, "gate_a", &a);
    enrolled(&bench, "gate_b", &b);
    bench.call("PATCH", "/api/gates/gate_b", Some(json!({"allow_self_issued": false})));
    let id = issue(&bench, json!({}));
    assert_eq!(
        bench.call("POST", "/api/passports/register", Some(self_issued(&agent(2), "pp_self", &["book"]))).0,
        200
    );
    assert!(snapshot(&bench, "gate_a", &a).get("passport_constraints").is_none());
    set(&bench, &id, json!({"rate_limit_per_minute": 2}));
    set(&bench, "pp_self", json!({"core:data:read_only": true}));
    let known = |gate: &str, key: &SecretKey| {
        let listed = snapshot(&bench, gate, key)["passport_constraints"].clone();
        let ids = listed.as_array().into_iter().flatten().map(|one| one["passport_id"].clone());
        ids.collect::<Vec<_>>()
    };
    wait_until("both are known", || known("gate_a", &a) == [json!(id), json!("pp_self")]);
    let told = &snapshot(&bench, "gate_a", &a)["passport_constraints"][0];
    assert_eq!(
        *told,
        json!({"issuer": "gate_a", "passport_id": id, "constraints": {"rate_limit_per_minute": 2}})
    );
    // A gate that takes neither is not told of them.
    assert!(known("gate_b", &b).is_empty());
    bench.call("PATCH", "/api/gates/gate_b", Some(json!({"allow_self_issued": true})));
    wait_until("the other gate knows", || known("gate_b", &b) == [json!("pp_self")]);
    set(&bench, &id, json!({}));
    wait_until("it is taken away", || known("gate_a", &a) == [json!("pp_self")]);
    // The service alone says so.
    let config = json!({"authorities": ["gate.test"], "routes": [], "passport_constraints": []});
    let (status, error) = bench.call("PUT", "/api/v1/gates/gate_a/config", Some(config));
    assert_eq!((status, &error["field"]), (422, &json!("passport_constraints")));
}

fn a_reissued_passport_keeps_what_was_set_and_what_is_over_is_forgotten(database: Option<&str>) {
    let bench = bench(database);
    let id = issue(&bench, json!({}));
    set(&bench, &id, json!({"max_per_action_cost": 5}));
    let (status, new) = bench.call("POST", &format!("/api/passports/{id}/reissue"), Some(json!({})));
    assert_eq!(status, 200, "{new}");
    let new = new["passport_id"].as_str().unwrap();
    assert_eq!(get(&bench, new), json!({"max_per_action_cost": 5}));
    assert_eq!(decided(&bench, new, "book", 6), "core:cost:max_per_action");
    // Of the old one nothing is to be set, and nothing is made of it any more.
    assert_eq!(bench.call("PUT", &path(&id), Some(json!({"max_per_action_cost": 5}))).0, 409);
    assert_eq!(bench.call("POST", &format!("/api/passports/{id}/reissue"), Some(json!({}))).0, 409);
    let over = issue(&bench, json!({}));
    bench.sql(&format!("UPDATE passports SET expires_at = 1 WHERE passport_id = '{over}'"));
    assert_eq!(bench.call("PUT", &path(&over), Some(json!({"max_per_action_cost": 5}))).0, 409);
    assert_eq!(bench.call("POST", &format!("/api/passports/{over}/reissue"), Some(json!({}))).0, 409);
    assert_eq!(bench.sql("UPDATE passport_constraints SET moot_at = 1"), 1, "the old one has none");
    let other = issue(&bench, json!({}));
    set(&bench, &other, json!({"max_per_action_cost": 7}));
    // Upkeep is done at the start.
    drop(bench.service);
    let service = bench.control.start().unwrap();
    wait_until("it is forgotten", || {
        let answer = service.call("GET", &path(new), None).unwrap();
        answer.body == b"{}"
    });
    assert_eq!(service.call("GET", &path(&other), None).unwrap().body, br#"{"max_per_action_cost":7}"#);
}

fn templates_are_listed_made_and_applied(database: Option<&str>) {
    let bench = bench(database);
    let types = bench.call("GET", "/api/constraints/types", None).1;
    let types = types.as_array().unwrap();
    assert_eq!((types.len(), &types[0]["category"]), (33, &json!("safety")));
    let rates = bench.call("GET", "/api/constraints/types?category=rate", None).1;
    let keys: Vec<_> = rates.as_array().unwrap().iter().map(|one| &one["constraint_key"]).collect();
    assert_eq!(keys, ["core:rate:max_per_minute", "core:rate:max_per_hour", "core:rate:max_per_day"]);
    assert_eq!(bench.call("GET", "/api/constraints/types?category=x", None).0, 422);

    let made = json!({"slug": "our-own", "name": "Ours", "category": "industry", "constraints": {"max_per_action_cost": 5}});
    let (status, template) = bench.call("POST", "/api/constraint-templates", Some(made.clone()));
    assert_eq!((status, &template["is_system"]), (201, &json!(false)));
    assert_eq!(bench.call("POST", "/api/constraint-templates", Some(made.clone())).0, 409);
    let slugs = |query: &str| {
        let listed = bench.call("GET", &format!("/api/constraint-templates{query}"), None).1;
        let slugs = listed.as_array().unwrap().iter().map(|one| one["slug"].as_str().unwrap().to_owned());
        slugs.collect::<Vec<_>>()
    };
    assert!(
        slugs("").contains(&"conservative-agent".to_owned()) && slugs("").contains(&"our-own".to_owned())
    );
    assert_eq!(slugs("?category=industry"), ["our-own"]);
    for (member, value) in [
        ("slug", json!("Our")),
        ("slug", json!("conservative-agent")),
        ("name", json!("")),
        ("constraints", json!({"made_up": 1})),
    ] {
        let mut bad = made.clone();
        bad["slug"] = json!("another");
        bad[member] = value;
        let status = bench.call("POST", "/api/constraint-templates", Some(bad.clone())).0;
        assert_eq!(status, if bad["slug"] == "conservative-agent" { 409 } else { 422 }, "{bad}");
    }

    let id = issue(&bench, json!({}));
    let apply = |slug: &str| bench.call("POST", &path(&id), Some(json!({"template_slug": slug})));
    assert_eq!(apply("our-own"), (200, json!({"applied": true})));
    assert_eq!(apply("supervised-agent").0, 200);
    assert_eq!(get(&bench, &id), json!({"max_per_action_cost": 5, "core:approval:required": true}));
    assert_eq!(decided(&bench, &id, "book", 5), "request_hold");
    assert_eq!(decided(&bench, &id, "book", 6), "core:cost:max_per_action");
    assert_eq!(apply("none").0, 404);
    assert_eq!(bench.call("POST", &path("pp_none"), Some(json!({"template_slug": "our-own"}))).0, 404);
}

fn what_no_gate_can_judge_is_not_set(database: Option<&str>) {
    let bench = bench(database);
    let id = issue(&bench, json!({}));
    for (constraints, field) in [
        (json!({"made_up": 1}), "constraints.made_up"),
        (json!({"fly": {"max_per_action_cost": 1}}), "constraints.fly"),
        (json!({"book": {"made_up": 1}}), "constraints.book.made_up"),
        (json!({"core:safety:fail_closed": true}), "constraints.core:safety:fail_closed"),
        (json!({"core:rate:max_per_day": -1}), "constraints.core:rate:max_per_day"),
        (json!({"allowed_models": vec!["x".repeat(100); 50]}), "constraints"),
    ] {
        let (status, error) = bench.call("PUT", &path(&id), Some(constraints.clone()));
        assert_eq!((status, error["field"].as_str()), (422, Some(field)), "{constraints}: {error}");
    }
    // So deep that no gate could read its snapshot.
    let deep = (0..8).fold(json!(1), |deep, _| json!([deep]));
    assert_eq!(bench.call("PUT", &path(&id), Some(json!({"core:pricing:model": deep}))).0, 422);
    // What holds for all, said twice.
    let twice = json!({"max_per_action_cost": 5, "*": {"max_per_action_cost": 5}});
    assert_eq!(bench.call("PUT", &path(&id), Some(twice)).0, 422);
    assert_eq!(bench.call("PUT", &path(&id), Some(json!([]))).0, 422);
    assert_eq!(bench.call("PUT", &path("pp_none"), Some(json!({}))).0, 404);
    assert_eq!(bench.call("GET", &path("pp_none"), None).0, 404);
    assert_eq!(get(&bench, &id), json!({}));
    // As many as gates take.
    let rows = (0..1000).map(|number| {
        format!(
            "('pp_{number}', 'gate_a', 'agent-1', '', '', '[]', '{{}}', '', '', '{{}}', 0, 9000000000000)"
        )
    });
    bench.sql(&format!(
        "INSERT INTO passports (passport_id, issuer_id, agent_id, public_key, signed_by, permissions, constraints, \
         passport_json, signature, metadata, created_at, expires_at) VALUES {}",
        rows.collect::<Vec<_>>().join(", ")
    ));
    let rows = (0..1000).map(|number| format!("('pp_{number}', 'gate_a', '{{}}', 9000000000000)"));
    bench.sql(&format!(
        "INSERT INTO passport_constraints (passport_id, issuer_id, constraints, moot_at) VALUES {}",
        rows.collect::<Vec<_>>().join(", ")
    ));
    let (status, error) = bench.call("PUT", &path(&id), Some(json!({"max_per_action_cost": 1})));
    assert_eq!((status, &error["code"]), (409, &json!("too_many_constraints")));
    assert_eq!(bench.call("PUT", &path("pp_1"), Some(json!({"max_per_action_cost": 1}))).0, 200);
    assert_eq!(bench.call("PUT", &path(&id), Some(json!({}))).0, 200, "nothing is not one more");
}
