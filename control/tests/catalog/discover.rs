//! What anyone finds of what gates offer, and checks alone.

use super::support::{bench, draft, offered, per_call, publish, verify};
use crate::common::Bench;
use serde_json::{Value, json};
use xtask::http::Request;
use xtask::on_every_database;

on_every_database!(
    what_is_offered_is_found_by_name_and_by_namespace_without_an_api_key,
    what_is_found_is_narrowed_sorted_and_paged,
    only_what_gates_offer_now_is_found,
    the_answer_has_all_that_is_needed_to_check_the_terms,
    what_is_wrong_in_the_query_is_refused_with_the_field,
);

/// Without an API key.
fn ask(bench: &Bench, query: &str) -> (u16, Value) {
    let answer = Request::new("GET", &format!("/api/discover?{query}")).send(bench.service.address).unwrap();
    (answer.status, serde_json::from_slice(&answer.body).unwrap())
}

fn found(bench: &Bench, query: &str) -> Vec<String> {
    let (status, answer) = ask(bench, query);
    assert_eq!(status, 200, "{answer}");
    let services = answer["services"].as_array().unwrap().iter();
    services.map(|one| one["permission_key"].as_str().unwrap().to_owned()).collect()
}

fn show(bench: &Bench, gate: &str) {
    let (status, _) =
        bench.call("PATCH", &format!("/api/gates/{gate}"), Some(json!({"is_discoverable": true})));
    assert_eq!(status, 200);
}

/// A gate that is to be found, with four things to choose from.
fn market(database: Option<&str>) -> Bench {
    let bench = bench(database);
    show(&bench, "gate_a");
    let terms = |cents: u64, uptime: u64, response: u64| {
        json!({
            "core:pricing:per_call_cents": cents, "core:sla:uptime_basis_points": uptime,
            "core:sla:response_time_ms": response, "core:platform_fee:basis_points": 200,
        })
    };
    publish(
        &bench,
        json!([
            offered("flights:search", terms(5, 9990, 300)),
            offered("flights:book", terms(50, 9999, 900)),
            offered("flights:watch", json!({"core:pricing:per_minute_cents": 2})),
            offered("flightschool:join", json!({"core:pricing:subscription_cents": 900})),
            offered("flights:free", json!({"core:pricing:per_call_cents": 0})),
            offered("flights:unpriced", json!({})),
        ]),
    );
    bench
}

fn what_is_offered_is_found_by_name_and_by_namespace_without_an_api_key(database: Option<&str>) {
    let bench = market(database);
    let (status, answer) = ask(&bench, "capability=flights:search");
    assert_eq!((status, answer["total"].as_i64()), (200, Some(1)));
    let service = &answer["services"][0];
    let expected = json!({
        "gate_id": "gate_a", "gate_name": "A", "permission_key": "flights:search", "pricing_model": "per_call",
        "price_cents": 5, "currency": "USD", "uptime_basis_points": 9990, "response_time_ms": 300,
        "platform_fee_basis_points": 200, "catalog_version": 1, "security_profile": "L1",
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&service[name], value, "{name}");
    }
    assert_eq!(found(&bench, "capability=flights:*").len(), 4);
    assert_eq!(found(&bench, "capability=flightschool:*"), ["flightschool:join"]);
    assert!(found(&bench, "capability=flights").is_empty());
    // A key that the service does not know is not looked at: clients send theirs everywhere.
    let mut request = Request::new("GET", "/api/discover?capability=flights:*");
    request.headers.push(("authorization".to_owned(), "Bearer mod_live_unknown".to_owned()));
    let answer = request.send(bench.service.address).unwrap();
    assert_eq!(answer.status, 200);
    assert!(
        answer.headers.iter().any(|(name, value)| name == "cache-control" && value.contains("max-age=60"))
    );
}

fn what_is_found_is_narrowed_sorted_and_paged(database: Option<&str>) {
    let bench = market(database);
    for (query, expected) in [
        ("", &["flights:free", "flights:watch", "flights:search", "flights:book"][..]),
        ("&sort=price_desc", &["flights:book", "flights:search", "flights:watch", "flights:free"]),
        ("&sort=uptime_desc&limit=2", &["flights:book", "flights:search"]),
        ("&sort=response_asc&limit=2", &["flights:search", "flights:book"]),
        ("&max_price_cents=5", &["flights:free", "flights:watch", "flights:search"]),
        ("&max_price_cents=0", &["flights:free"]),
        ("&min_uptime_bp=9990&sort=uptime_desc", &["flights:book", "flights:search"]),
        ("&min_uptime_bp=9991", &["flights:book"]),
        ("&max_response_time_ms=300", &["flights:search"]),
        ("&pricing_model=per_minute", &["flights:watch"]),
        ("&pricing_model=usage", &[]),
        ("&limit=2&offset=1", &["flights:watch", "flights:search"]),
        ("&offset=4", &[]),
    ] {
        assert_eq!(found(&bench, &format!("capability=flights:*{query}")), expected, "{query}");
    }
    let (_, page) = ask(&bench, "capability=flights:*&limit=1&offset=1");
    assert_eq!([&page["total"], &page["limit"], &page["offset"]], [4, 1, 1]);
}

fn only_what_gates_offer_now_is_found(database: Option<&str>) {
    let bench = bench(database);
    let all = || found(&bench, "capability=flights:*");
    publish(&bench, json!([offered("flights:search", per_call(5)), offered("flights:book", per_call(50))]));
    assert!(all().is_empty(), "the gate is not to be found");
    show(&bench, "gate_a");
    assert_eq!(all().len(), 2);
    // A draft is nobody's business, and what is published for later not yet.
    draft(&bench, json!([offered("flights:hold", per_call(1))]));
    assert_eq!(all().len(), 2);
    let later = json!({"effective_at": crate::common::passports::now().plus_millis(60_000).to_iso()});
    assert_eq!(bench.call("POST", "/api/gates/gate_a/catalog/publish", Some(later)).0, 201);
    assert_eq!(all().len(), 2);
    assert_eq!(bench.sql("UPDATE catalogs SET effective_at = 1 WHERE version = 2"), 1);
    assert_eq!(all(), ["flights:hold"]);
    publish(&bench, json!([offered("flights:search", per_call(6))]));
    assert_eq!(all(), ["flights:search"]);
    assert_eq!(bench.call("DELETE", "/api/gates/gate_a", None).0, 200);
    assert!(all().is_empty(), "the gate is deleted");
}

fn the_answer_has_all_that_is_needed_to_check_the_terms(database: Option<&str>) {
    let bench = market(database);
    let (_, answer) = ask(&bench, "capability=flights:*");
    let catalogs = answer["catalogs"].as_array().unwrap();
    assert_eq!(catalogs.len(), 1, "a catalog comes once");
    assert_eq!(catalogs[0].get("changes"), None, "a hundred would be long");
    verify(&catalogs[0]);
    let (_, public) = bench.call("GET", "/api/gates/gate_a/public", None);
    assert_eq!(catalogs[0]["public_key"], public["signing_keys"][0]["public_key"]);
    for service in answer["services"].as_array().unwrap() {
        assert_eq!(service["catalog_content_hash"], catalogs[0]["content_hash"]);
        assert_eq!(service["catalog_signature"], catalogs[0]["signature"]);
        assert_eq!(service["signing_key_id"], catalogs[0]["signing_key_id"]);
    }
}

fn what_is_wrong_in_the_query_is_refused_with_the_field(database: Option<&str>) {
    let bench = bench(database);
    for (query, field) in [
        ("", "capability"),
        ("capability=", "capability"),
        ("capability=*", "capability"),
        ("capability=:*", "capability"),
        ("capability=fl*", "capability"),
        ("capability=a%20b", "capability"),
        ("capability=a&max_price_cents=-1", "max_price_cents"),
        ("capability=a&max_price_cents=1.5", "query"),
        ("capability=a&min_uptime_bp=10001", "min_uptime_bp"),
        ("capability=a&max_response_time_ms=0", "max_response_time_ms"),
        ("capability=a&pricing_model=barter", "pricing_model"),
        ("capability=a&sort=name", "sort"),
        ("capability=a&limit=101", "limit"),
        ("capability=a&limit=0", "limit"),
        ("capability=a&offset=-1", "offset"),
    ] {
        let (status, error) = ask(&bench, query);
        assert_eq!((status, error["field"].as_str()), (422, Some(field)), "{query} {error}");
    }
}
