//! API keys: what they may do, and that they end.

use crate::common::Bench;
use serde_json::json;
use xtask::http::Request;
use xtask::on_every_database;

on_every_database!(
    a_key_gives_no_scope_that_it_lacks,
    a_revoked_key_is_refused_at_once,
    no_key_and_a_made_up_one_are_refused,
);

fn with_key(bench: &Bench, key: &str, method: &str, body: &str) -> u16 {
    let mut request = Request::new(method, "/api/users/api-keys");
    request.headers.push(("authorization".to_owned(), format!("Bearer {key}")));
    request.body = body.as_bytes().to_vec();
    request.send(bench.service.address).unwrap().status
}

fn a_key_gives_no_scope_that_it_lacks(database: Option<&str>) {
    let bench = Bench::new(database);
    let (status, made) = bench.call(
        "POST",
        "/api/users/api-keys",
        Some(json!({"name": "small", "scopes": ["api_keys", "check"]})),
    );
    assert_eq!(status, 201, "{made}");
    let key = made["key"].as_str().unwrap();
    assert_eq!(with_key(&bench, key, "POST", r#"{"name": "same"}"#), 201);
    assert_eq!(with_key(&bench, key, "POST", r#"{"name": "more", "scopes": ["gates:write"]}"#), 403);
    let (_, listed) = bench.call("GET", "/api/users/api-keys", None);
    let names: Vec<_> = listed.as_array().unwrap().iter().map(|key| key["name"].clone()).collect();
    assert!(!names.contains(&json!("more")), "{names:?}");
    assert!(!listed.to_string().contains(key), "a list shows a key");
}

fn a_revoked_key_is_refused_at_once(database: Option<&str>) {
    let bench = Bench::new(database);
    let (_, made) = bench.call("POST", "/api/users/api-keys", Some(json!({"name": "short"})));
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    assert_eq!(with_key(&bench, key, "GET", ""), 200);
    let path = format!("/api/users/api-keys/{id}");
    assert_eq!(bench.call("DELETE", &path, None), (200, json!({"revoked": true})));
    assert_eq!(with_key(&bench, key, "GET", ""), 401);
    assert_eq!(bench.call("DELETE", &path, None).0, 404);
}

fn no_key_and_a_made_up_one_are_refused(database: Option<&str>) {
    let bench = Bench::new(database);
    assert_eq!(Request::new("GET", "/api/users/api-keys").send(bench.service.address).unwrap().status, 401);
    assert_eq!(with_key(&bench, "mod_live_made_up", "GET", ""), 401);
    assert_eq!(with_key(&bench, "", "GET", ""), 401);
}
