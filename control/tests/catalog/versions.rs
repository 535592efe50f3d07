//! Catalogs: drafted, published and read, and what is refused.

use super::support::{bench, draft, offered, per_call, publish, verify};
use crate::common::passports;
use serde_json::{Value, json};
use xtask::on_every_database;

on_every_database!(
    a_draft_is_what_was_set_last,
    a_published_version_is_signed_numbered_and_stays,
    what_a_version_changes_is_told_and_what_is_worse,
    a_version_may_be_in_force_later,
    a_version_is_signed_anew_once_its_key_has_ended,
    what_is_wrong_in_a_draft_is_refused_with_the_field,
    what_cannot_be_published_is_refused_with_the_field,
    what_does_not_exist_is_not_found,
    drafts_and_versions_need_their_scopes,
    versions_are_numbered_without_gaps_whoever_publishes,
);

fn a_draft_is_what_was_set_last(database: Option<&str>) {
    let bench = bench(database);
    let path = "/api/gates/gate_a/catalog";
    assert_eq!(bench.call("GET", path, None).0, 404);
    draft(&bench, json!([]));
    let asked = json!({
        "version": "summer", "catalog_name": "Flights", "description": "All of them",
        "permissions": [offered("flights:search", per_call(5))], "is_active": true,
    });
    let (status, set) = bench.call("POST", path, Some(asked.clone()));
    assert_eq!(status, 200, "{set}");
    for name in ["version", "catalog_name", "description", "permissions", "is_active"] {
        assert_eq!(set[name], asked[name]);
    }
    assert_eq!(bench.call("GET", path, None), (200, set));
    assert_eq!(bench.call("GET", "/api/gates/gate_a", None).1["current_catalog_version"], 0);
}

fn a_published_version_is_signed_numbered_and_stays(database: Option<&str>) {
    let bench = bench(database);
    draft(&bench, json!([offered("flights:search", per_call(5))]));
    let asked = json!({"change_summary": "the first"});
    let (status, first) = bench.call("POST", "/api/gates/gate_a/catalog/publish", Some(asked));
    assert_eq!(status, 201, "{first}");
    verify(&first);
    assert_eq!((&first["version"], &first["change_summary"]), (&json!(1), &json!("the first")));
    assert_eq!(first["has_breaking_changes"], false);
    let snapshot = &first["catalog_snapshot"];
    assert_eq!((&snapshot["gate_id"], &snapshot["version"]), (&json!("gate_a"), &json!(1)));
    assert_eq!(snapshot["permissions"][0]["constraints"]["core:pricing:model"], "per_call");
    // By the key that signs the gate's passports, which everyone may know.
    let (_, public) = bench.call("GET", "/api/gates/gate_a/public", None);
    assert_eq!(public["signing_keys"][0]["public_key"], first["public_key"]);

    let second = publish(&bench, json!([offered("flights:search", per_call(5))]));
    verify(&second);
    assert_eq!((&second["version"], &second["changes"]), (&json!(2), &json!([])));
    assert_eq!(bench.call("GET", "/api/gates/gate_a/catalog/1", None), (200, first.clone()));
    assert_eq!(bench.call("GET", "/api/gates/gate_a/catalog/2", None), (200, second.clone()));
    assert_eq!(bench.call("GET", "/api/gates/gate_a", None).1["current_catalog_version"], 2);
    let (status, listed) = bench.call("GET", "/api/gates/gate_a/catalog/versions", None);
    assert_eq!(status, 200);
    let told: Vec<_> =
        listed.as_array().unwrap().iter().map(|one| (&one["version"], &one["content_hash"])).collect();
    assert_eq!(told, [(&json!(1), &first["content_hash"]), (&json!(2), &second["content_hash"])]);
    assert!(listed[0].get("catalog_snapshot").is_none());
}

fn what_a_version_changes_is_told_and_what_is_worse(database: Option<&str>) {
    let bench = bench(database);
    let uptime = |cents: u64, uptime: u64| json!({"core:pricing:per_call_cents": cents, "core:sla:uptime_basis_points": uptime});
    publish(
        &bench,
        json!([offered("flights:search", uptime(5, 9990)), offered("flights:book", per_call(50))]),
    );
    draft(&bench, json!([offered("flights:search", uptime(6, 9900)), offered("flights:hold", per_call(1))]));
    let (status, impact) = bench.call("GET", "/api/gates/gate_a/catalog/impact", None);
    assert_eq!(status, 200, "{impact}");
    let expected = json!([
        {"type": "price_increase", "permission_key": "flights:search", "breaking": true,
         "old_price_cents": 5, "new_price_cents": 6},
        {"type": "sla_degraded", "permission_key": "flights:search", "breaking": true,
         "term": "uptime_basis_points", "old_value": 9990, "new_value": 9900},
        {"type": "permission_removed", "permission_key": "flights:book", "breaking": true},
        {"type": "permission_added", "permission_key": "flights:hold", "breaking": false},
    ]);
    assert_eq!((&impact["changes"], &impact["has_breaking_changes"]), (&expected, &json!(true)));
    assert_eq!(impact["affected_passports"], 0);
    let (status, second) = bench.call("POST", "/api/gates/gate_a/catalog/publish", None);
    assert_eq!(status, 201);
    assert_eq!((&second["changes"], &second["has_breaking_changes"]), (&expected, &json!(true)));
    let third = publish(
        &bench,
        json!([offered("flights:search", uptime(4, 9990)), offered("flights:hold", per_call(1))]),
    );
    assert_eq!(third["has_breaking_changes"], false, "{third}");
}

fn a_version_may_be_in_force_later(database: Option<&str>) {
    let bench = bench(database);
    publish(&bench, json!([offered("flights:search", per_call(5))]));
    draft(&bench, json!([offered("flights:search", per_call(9))]));
    let later = passports::now().plus_millis(86_400_000).to_iso();
    let (status, second) =
        bench.call("POST", "/api/gates/gate_a/catalog/publish", Some(json!({"effective_at": later})));
    assert_eq!((status, &second["effective_at"]), (201, &json!(later)));
    let current = || bench.call("GET", "/api/gates/gate_a", None).1["current_catalog_version"].clone();
    assert_eq!(current(), 1);
    assert_eq!(bench.sql("UPDATE catalogs SET effective_at = 1 WHERE version = 2"), 1);
    assert_eq!(current(), 2);
    let publish_later =
        || bench.call("POST", "/api/gates/gate_a/catalog/publish", Some(json!({"effective_at": later})));
    for _ in 0..10 {
        assert_eq!(publish_later().0, 201);
    }
    let (status, error) = publish_later();
    assert!(status == 409 && error["message"].as_str().unwrap().contains("10 versions wait"), "{error}");
    assert_eq!(bench.call("POST", "/api/gates/gate_a/catalog/publish", Some(json!({}))).0, 201);
    for (time, problem) in
        [("2020-01-01T00:00:00Z", "past"), ("2999-01-01T00:00:00Z", "366"), ("soon", "time")]
    {
        let asked = json!({"effective_at": time});
        let (status, error) = bench.call("POST", "/api/gates/gate_a/catalog/publish", Some(asked));
        assert_eq!((status, error["field"].as_str()), (422, Some("effective_at")));
        assert!(error["message"].as_str().unwrap().contains(problem), "{error}");
    }
}

fn a_version_is_signed_anew_once_its_key_has_ended(database: Option<&str>) {
    let bench = bench(database);
    let first = publish(&bench, json!([offered("flights:search", per_call(5))]));
    let rotated = json!({"purpose": "passports", "owner": "gate_a"});
    let (status, answer) = bench.call("POST", "/api/v1/signing-keys/rotate", Some(rotated));
    assert!(status < 300, "{answer}");
    // As time would.
    let key = first["signing_key_id"].as_str().unwrap();
    bench.sql("UPDATE signing_keys SET signs_from = 1 WHERE owner = 'gate_a'");
    assert_eq!(bench.sql(&format!("UPDATE signing_keys SET not_after = 1 WHERE key_id = '{key}'")), 1);
    let (_, again) = bench.call("GET", "/api/gates/gate_a/catalog/1", None);
    verify(&again);
    assert_ne!(again["public_key"], first["public_key"]);
    assert_eq!(again["content_hash"], first["content_hash"]);
    // Nothing is signed that was not.
    let cheaper = "UPDATE catalogs SET snapshot = REPLACE(snapshot, '_cents\":5', '_cents\":1')";
    assert_eq!(bench.sql(cheaper), 1);
    assert_eq!(bench.call("GET", "/api/gates/gate_a/catalog/1", None).0, 500);
}

fn what_is_wrong_in_a_draft_is_refused_with_the_field(database: Option<&str>) {
    let bench = bench(database);
    let constraint = |name: &str, value: Value| json!([offered("flights:search", json!({name: value}))]);
    let mut unknown = offered("flights:search", json!({}));
    unknown["price"] = json!(5);
    let price = "permissions[0].constraints.core:pricing:per_call_cents";
    for (body, field) in [
        (json!({"permissions": constraint("core:pricing:per_call_cents", json!(-1))}), price),
        (json!({"permissions": constraint("core:pricing:per_call_cents", json!(0.5))}), price),
        (
            json!({"permissions": constraint("core:pricing:per_call_cents", json!(100_000_000_001_i64))}),
            price,
        ),
        (
            json!({"permissions": constraint("core:pricing:model", json!("barter"))}),
            "permissions[0].constraints.core:pricing:model",
        ),
        (
            json!({"permissions": constraint("core:rate:max_per_minute", json!(1))}),
            "permissions[0].constraints.core:rate:max_per_minute",
        ),
        (json!({"permissions": [unknown]}), "permissions[0].price"),
        (json!({"permissions": [offered("a", json!({})), offered("a", json!({}))]}), "permissions"),
        (json!({"permissions": {}}), "permissions"),
        (json!({}), "body"),
        (json!({"permissions": [], "prices": []}), "prices"),
        (json!({"permissions": [], "version": 1}), "version"),
        (json!({"permissions": [], "catalog_name": "x".repeat(201)}), "catalog_name"),
    ] {
        let (status, error) = bench.call("POST", "/api/gates/gate_a/catalog", Some(body.clone()));
        assert_eq!((status, error["field"].as_str()), (422, Some(field)), "{body} {error}");
        assert!(error["message"].as_str().unwrap().starts_with(field), "{error}");
    }
    // Beyond 2^53 a number is another one to another reader; and so is a member that is doubled.
    for text in [
        r#"{"permissions":[{"permission_key":"a","display_name":"a","description":"","constraints":{"core:pricing:per_call_cents":18446744073709551616}}]}"#,
        r#"{"permissions":[{"permission_key":"a","display_name":"a","display_name":"b","description":""}]}"#,
    ] {
        let answer = bench.service.call("POST", "/api/gates/gate_a/catalog", Some(text)).unwrap();
        assert_eq!(answer.status, 422);
    }
    assert_eq!(bench.call("GET", "/api/gates/gate_a/catalog", None).0, 404, "something was stored");
}

fn what_cannot_be_published_is_refused_with_the_field(database: Option<&str>) {
    let bench = bench(database);
    let refused = |field: &str| {
        let (status, error) = bench.call("POST", "/api/gates/gate_a/catalog/publish", None);
        assert_eq!((status, error["field"].as_str()), (422, Some(field)), "{error}");
    };
    refused("permissions");
    draft(&bench, json!([]));
    refused("permissions");
    let inactive = json!({"permissions": [offered("a", json!({}))], "is_active": false});
    bench.call("POST", "/api/gates/gate_a/catalog", Some(inactive));
    refused("is_active");
    let long = (0..40).map(|index| {
        let mut one = offered(&format!("a:{index}"), json!({}));
        one["description"] = "d".repeat(2000).into();
        one
    });
    draft(&bench, long.collect());
    refused("permissions");
    let (status, error) =
        bench.call("POST", "/api/gates/gate_a/catalog/publish", Some(json!({"change_sumary": ""})));
    assert_eq!((status, error["field"].as_str()), (422, Some("change_sumary")), "{error}");
    assert_eq!(bench.call("GET", "/api/gates/gate_a/catalog/versions", None), (200, json!([])));
    // There is an end to how many there may be.
    draft(&bench, json!([offered("a", json!({}))]));
    bench.sql(
        "INSERT INTO catalogs (gate_id, version, snapshot, content_hash, signature, signing_key_id, changes, \
         has_breaking_changes, effective_at, created_at) VALUES ('gate_a', 1000, '{}', '', '', '', '[]', 0, 1, 1)",
    );
    assert_eq!(bench.call("POST", "/api/gates/gate_a/catalog/publish", None).0, 409);
}

fn what_does_not_exist_is_not_found(database: Option<&str>) {
    let bench = bench(database);
    publish(&bench, json!([offered("a", json!({}))]));
    for path in [
        "/api/gates/gate_a/catalog/2",
        "/api/gates/gate_a/catalog/0",
        "/api/gates/gate_a/catalog/-1",
        "/api/gates/gate_a/catalog/first",
        "/api/gates/gate_none/catalog",
        "/api/gates/gate_none/catalog/1",
        "/api/gates/gate_none/catalog/versions",
        "/api/gates/gate_none/catalog/impact",
    ] {
        let (status, error) = bench.call("GET", path, None);
        assert_eq!((status, &error["code"]), (404, &json!("not_found")), "{path} {error}");
    }
    for (path, body) in [
        ("/api/gates/gate_none/catalog", Some(json!({"permissions": []}))),
        ("/api/gates/gate_none/catalog/publish", None),
    ] {
        assert_eq!(bench.call("POST", path, body).0, 404);
    }
}

fn drafts_and_versions_need_their_scopes(database: Option<&str>) {
    let bench = bench(database);
    let made =
        bench.call("POST", "/api/users/api-keys", Some(json!({"name": "r", "scopes": ["gates:read"]}))).1;
    let key = made["key"].as_str().unwrap();
    for (method, path, status) in [
        ("POST", "/api/gates/gate_a/catalog", 403),
        ("POST", "/api/gates/gate_a/catalog/publish", 403),
        ("GET", "/api/gates/gate_a/catalog/versions", 200),
    ] {
        let mut request = xtask::http::Request::new(method, path);
        request.headers.push(("authorization".to_owned(), format!("Bearer {key}")));
        request.body = br#"{"permissions":[]}"#.to_vec();
        assert_eq!(request.send(bench.service.address).unwrap().status, status, "{method} {path}");
    }
}

fn versions_are_numbered_without_gaps_whoever_publishes(database: Option<&str>) {
    let bench = bench(database);
    draft(&bench, json!([offered("a", json!({}))]));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..3 {
                    assert_eq!(bench.call("POST", "/api/gates/gate_a/catalog/publish", None).0, 201);
                }
            });
        }
    });
    let listed = bench.call("GET", "/api/gates/gate_a/catalog/versions", None).1;
    let versions: Vec<_> =
        listed.as_array().unwrap().iter().map(|one| one["version"].as_i64().unwrap()).collect();
    assert_eq!(versions, (1..=12).collect::<Vec<_>>());
}
