//! Gates: made, changed, deleted, and who may.

use crate::common::Bench;
use crate::common::passports::{agent, public};
use serde_json::{Value, json};
use xtask::http::Request;
use xtask::on_every_database;

on_every_database!(
    a_gate_is_made_changed_and_deleted,
    a_gates_id_is_not_used_twice,
    a_deleted_gates_passports_are_revoked_and_its_keys_end,
    malformed_gates_are_refused_with_the_field,
    a_gates_public_part_needs_no_key,
    gates_come_in_pages,
    a_key_without_the_scope_is_refused,
    whoever_has_no_key_calls_only_so_often,
);

fn make(bench: &Bench, id: &str) -> Value {
    let (status, gate) = bench.call("POST", "/api/gates", Some(json!({"gate_id": id, "name": "A gate"})));
    assert_eq!(status, 201, "{gate}");
    gate
}

fn a_gate_is_made_changed_and_deleted(database: Option<&str>) {
    let bench = Bench::new(database);
    let gate = make(&bench, "flights");
    assert_eq!(gate["gate_id"], "gate_flights");
    assert_eq!((&gate["profile"], &gate["allow_self_issued"]), (&json!("L1"), &json!(false)));
    assert_eq!(gate["current_catalog_version"], 0);
    assert_eq!(bench.call("GET", "/api/gates", None), (200, json!([gate])));
    assert_eq!(bench.call("GET", "/api/gates/flights", None), (200, gate.clone()));

    let (status, changed) =
        bench.call("PATCH", "/api/gates/gate_flights", Some(json!({"trust_level": 2, "description": "x"})));
    assert_eq!((status, &changed["profile"], &changed["name"]), (200, &json!("L2"), &json!("A gate")));
    let (status, changed) = bench.call("PUT", "/api/gates/gate_flights", Some(json!({"name": "B"})));
    assert_eq!((status, &changed["name"], &changed["description"]), (200, &json!("B"), &json!("x")));

    assert_eq!(bench.call("DELETE", "/api/gates/gate_flights", None), (200, json!({"deleted": true})));
    for (method, body) in [("GET", None), ("PATCH", Some(json!({"name": "C"}))), ("DELETE", None)] {
        assert_eq!(bench.call(method, "/api/gates/gate_flights", body).0, 404, "{method}");
    }
    assert_eq!(bench.call("GET", "/api/gates", None), (200, json!([])));
}

fn a_gates_id_is_not_used_twice(database: Option<&str>) {
    let bench = Bench::new(database);
    make(&bench, "gate_one");
    let again = || bench.call("POST", "/api/gates", Some(json!({"gate_id": "one", "name": "again"})));
    let (status, error) = again();
    assert_eq!((status, &error["error"]), (409, &json!("conflict")));
    bench.call("DELETE", "/api/gates/gate_one", None);
    assert_eq!(again().0, 409, "a deleted gate's id must stay its own");
}

fn a_deleted_gates_passports_are_revoked_and_its_keys_end(database: Option<&str>) {
    let bench = Bench::new(database);
    make(&bench, "gate_old");
    make(&bench, "gate_new");
    let mut made = Vec::new();
    // More than are revoked at once.
    for number in 0..103_u8 {
        let asked = json!({
            "agent_id": format!("agent-{number}"), "agent_public_key": public(&agent(number)), "permissions": ["read"],
        });
        let (status, passport) = bench.call("POST", "/api/gates/gate_old/passports", Some(asked));
        assert_eq!(status, 201, "{passport}");
        made.push(passport);
    }
    bench.sql(
        "INSERT INTO gate_keys (gate_id, key_id, public_key, created_at) VALUES ('gate_old', 'k', 'x', 1)",
    );
    bench.call("DELETE", "/api/gates/gate_old", None);
    // Each row that is as it should be, counted by writing it anew.
    for (rows, count) in [
        ("gate_keys SET key_id = key_id WHERE gate_id = 'gate_old' AND not_after IS NOT NULL", 1),
        ("signing_keys SET key_id = key_id WHERE owner = 'gate_old' AND not_after IS NOT NULL", 1),
        ("signing_keys SET key_id = key_id WHERE owner = 'gate_new' AND not_after IS NULL", 1),
        ("revocations SET id = id WHERE issuer = 'gate_old' AND kind = 'p' AND moot_at IS NOT NULL", 103),
        ("audit SET id = id WHERE action = 'gate.delete' AND target = 'gate_old'", 1),
    ] {
        assert_eq!(bench.sql(&format!("UPDATE {rows}")), count, "{rows}");
    }
    let (_, revoked) = bench.call("GET", "/api/v1/passports?gate_id=gate_old&status=revoked&limit=1", None);
    assert_eq!(revoked["total"], 103);
    let asked = json!({"passport_json": made[0]["passport_json"], "signature": made[0]["signature"]});
    let (_, verdict) = bench.call("POST", "/api/v1/passports/verify", Some(asked));
    assert_eq!(verdict["reason_code"], "signature_key_unavailable");
    assert_eq!(
        bench
            .call(
                "POST",
                "/api/gates/gate_old/passports",
                Some(json!({"agent_id": "a", "permissions": ["r"]}))
            )
            .0,
        404
    );
    let path = format!("/api/passports/{}/reissue", made[0]["passport_id"].as_str().unwrap());
    assert_eq!(bench.call("POST", &path, None).0, 409);
}

fn malformed_gates_are_refused_with_the_field(database: Option<&str>) {
    let bench = Bench::new(database);
    for (body, field) in [
        (json!({"name": "x"}), "body"),
        (json!({"gate_id": "x"}), "body"),
        (json!({"gate_id": "x y", "name": "x"}), "gate_id"),
        (json!({"gate_id": "gate_", "name": "x"}), "gate_id"),
        (json!({"gate_id": "a".repeat(130), "name": "x"}), "gate_id"),
        (json!({"gate_id": "x", "name": ""}), "name"),
        (json!({"gate_id": "x", "name": "x", "description": "d".repeat(2001)}), "description"),
        (json!({"gate_id": "x", "name": "x", "profile": "L4"}), "profile"),
        (json!({"gate_id": "x", "name": "x", "profile": "L1", "security_profile": "L2"}), "security_profile"),
        (json!({"gate_id": "x", "name": "x", "allow_self_issued": "yes"}), "allow_self_issued"),
    ] {
        let (status, error) = bench.call("POST", "/api/gates", Some(body.clone()));
        assert_eq!((status, error["field"].as_str()), (422, Some(field)), "{body}: {error}");
        assert!(error["message"].is_string() && error["error"].is_string());
    }
}

fn a_gates_public_part_needs_no_key(database: Option<&str>) {
    let bench = Bench::new(database);
    make(&bench, "gate_open");
    let answer = Request::new("GET", "/api/gates/gate_open/public").send(bench.service.address).unwrap();
    assert_eq!(answer.status, 200);
    let shown: Value = serde_json::from_slice(&answer.body).unwrap();
    let asked = json!({"agent_id": "a", "agent_public_key": public(&agent(1)), "permissions": ["read"]});
    let (_, passport) = bench.call("POST", "/api/gates/gate_open/passports", Some(asked));
    assert_eq!(shown["signing_keys"][0]["public_key"], passport["public_key"]);
    let missing = Request::new("GET", "/api/gates/gate_none/public").send(bench.service.address).unwrap();
    assert_eq!(missing.status, 404);
}

fn gates_come_in_pages(database: Option<&str>) {
    let bench = Bench::new(database);
    for id in ["gate_a", "gate_b", "gate_c"] {
        make(&bench, id);
    }
    let (status, page) = bench.call("GET", "/api/v1/gates?limit=2&offset=2", None);
    assert_eq!(
        (status, &page["total"], &page["limit"], &page["offset"]),
        (200, &json!(3), &json!(2), &json!(2))
    );
    assert_eq!(page["items"][0]["gate_id"], "gate_c");
    for query in ["limit=0", "limit=1001", "offset=-1", "limit=x"] {
        assert_eq!(bench.call("GET", &format!("/api/v1/gates?{query}"), None).0, 422, "{query}");
    }
}

fn a_key_without_the_scope_is_refused(database: Option<&str>) {
    let bench = Bench::new(database);
    make(&bench, "gate_x");
    let asked = json!({"name": "reader", "scopes": ["gates:read"]});
    let (_, made) = bench.call("POST", "/api/users/api-keys", Some(asked));
    let with = |method: &str, path: &str| {
        let mut request = Request::new(method, path);
        let key = format!("Bearer {}", made["key"].as_str().unwrap());
        request.headers.push(("authorization".to_owned(), key));
        request.body = br#"{"name": "y", "gate_id": "y"}"#.to_vec();
        request.send(bench.service.address).unwrap().status
    };
    assert_eq!(with("GET", "/api/gates/gate_x"), 200);
    for (method, path) in [
        ("POST", "/api/gates"),
        ("PATCH", "/api/gates/gate_x"),
        ("PUT", "/api/gates/gate_x"),
        ("DELETE", "/api/gates/gate_x"),
        ("GET", "/api/gates/gate_x/passports"),
        ("POST", "/api/gates/gate_x/passports"),
        ("POST", "/api/gates/gate_x/check"),
        ("POST", "/api/authorize/dry-run"),
        ("GET", "/api/v1/passports"),
        ("GET", "/api/v1/issuers"),
        ("POST", "/api/v1/issuers"),
        ("POST", "/api/v1/issuers/iss_x/certify"),
    ] {
        let status = with(method, path);
        // The body is another's in two of them; what counts is that nothing is done.
        assert_eq!(status, if path.ends_with("/check") { 422 } else { 403 }, "{method} {path}");
    }
}

fn whoever_has_no_key_calls_only_so_often(database: Option<&str>) {
    for (method, path) in [
        ("GET", "/api/gates/gate_a/public"),
        ("POST", "/api/passports/register"),
        ("POST", "/api/passports/pp_x/revoke"),
        ("POST", "/api/gates/gate_a/check"),
    ] {
        let bench = Bench::with_only(database, &["--rate", "1"]);
        let send = || Request::new(method, path).send(bench.service.address).unwrap();
        let refused = (0..30).map(|_| send()).find(|answer| answer.status == 429);
        let refused = refused.unwrap_or_else(|| panic!("{path}: nobody was held back"));
        assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    }
}
