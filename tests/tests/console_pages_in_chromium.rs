//! The console's pages in real Chromium, before a real service alone: what an operator makes by
//! them, and what they say where something is missing, late, broken or over.

use crate::bench::Bench;
use crate::bench::metering::{Offer, Shop, at, bring};
use crate::bench::passports::{agent, public};
use crate::browser::Browser;
use crate::outside::Dns;
use axum::Router;
use axum::extract::Path;
use axum::routing::put;
use portcullis_core::catalog::PricingModel;
use portcullis_core::receipt::Outcome;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

#[test]
fn an_operator_makes_and_changes_issuers_gates_catalogs_and_passports_without_code() {
    let test = "an_operator_makes_and_changes_issuers_gates_catalogs_and_passports_without_code";
    let Some(browser) = Browser::for_test(test) else { return };
    let dns = Arc::new(Dns::start());
    let server = dns.address.to_string();
    let bench = Bench::with(&["--dns-server", &server]);
    let (zone, _runtime) = zone(&dns);
    let scene = json!({
        "console": bench.service.url(), "key": bench.service.key, "zone": format!("http://{zone}"),
        "agent": public(&agent(1)), "other": public(&agent(2)),
    });
    browser.run("console_making.mjs", &scene);

    // What was made in the browser is what the service has.
    let (_, issuers) = bench.call("GET", "/api/v1/issuers", None);
    let issuer = &issuers["items"][0];
    let told = ["name", "domain", "effective_tier", "certified"].map(|name| issuer[name].clone());
    assert_eq!(told, [json!("Acme Corp"), json!("acme.test"), json!("L3"), json!(true)], "{issuers}");
    let (_, config) = bench.call("GET", "/api/v1/gates/gate_shop/config", None);
    assert_eq!(config["authorities"], json!(["shop.test"]), "{config}");
    assert_eq!(config["routes"][0]["action"], "flights:search", "{config}");
    let (_, versions) = bench.call("GET", "/api/gates/gate_shop/catalog/versions", None);
    let broke: Vec<_> =
        versions.as_array().unwrap().iter().map(|one| one["has_breaking_changes"].clone()).collect();
    assert_eq!(broke, [json!(false), json!(true)], "{versions}");
    let (_, passports) = bench.call("GET", "/api/v1/passports?gate_id=gate_shop", None);
    let of = |status: &str| -> Vec<Value> {
        let all = passports["items"].as_array().unwrap().iter();
        all.filter(|one| one["status"] == status).map(|one| one["catalog_version"].clone()).collect()
    };
    assert_eq!((of("revoked"), of("active")), (vec![json!(1)], vec![json!(2)]), "{passports}");
    let (_, approvals) = bench.call("GET", "/api/approvals?limit=200", None);
    let mut answered: Vec<_> = approvals
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["status"].as_str().unwrap(), one["note"].as_str().unwrap()))
        .collect();
    answered.sort_unstable();
    answered.dedup();
    assert_eq!(answered, [("approved", "called the customer"), ("denied", "nobody knows them")]);
}

/// Where a script says what the name server answers: `PUT /NAME` with the text of its TXT record.
fn zone(dns: &Arc<Dns>) -> (SocketAddr, Runtime) {
    let dns = Arc::clone(dns);
    let set = move |Path(name): Path<String>, text: String| {
        dns.set_texts(&name, &[&text]);
        async {}
    };
    let runtime = Runtime::new().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move { axum::serve(listener, Router::new().route("/{name}", put(set))).await });
    (address, runtime)
}

#[test]
fn a_period_is_settled_invoiced_and_paid_in_the_browser() {
    let Some(browser) = Browser::for_test("a_period_is_settled_invoiced_and_paid_in_the_browser") else {
        return;
    };
    let bench = Bench::new();
    let owed = sold_in_march(&bench);
    let scene = json!({"console": bench.service.url(), "key": bench.service.key, "owed": owed});
    browser.run("console_settling.mjs", &scene);
    let (_, settled) = bench.call("GET", "/api/billing", None);
    let one = &settled["settlements"][0];
    assert_eq!((&one["status"], &one["total_cost_cents"]), (&json!("paid"), &json!(916)), "{settled}");
}

/// Uses in a month that is over: two of five searches are free, one search was not signed for.
/// What is owed for them, as people write it.
fn sold_in_march(bench: &Bench) -> &'static str {
    let search =
        Offer { free: 2, uptime: Some(9000), ..Offer::new("flights:search", PricingModel::PerCall, 5) };
    let news = Offer::new("news:read", PricingModel::Subscription, 901);
    let shop = Shop::open(bench, "gate_a", 1, &[search, news]);
    let passport = shop.issue(bench, 1);
    let mut lane = shop.gate.lane(bench.service.address, 1);
    let day = at("2025-03-04T00:00:00Z");
    let used =
        |action, outcome, number: i64| shop.used((&passport, 1), action, outcome, 1, day.plus_millis(number));
    let mut all: Vec<_> = (0..6).map(|number| used("flights:search", Outcome::Success, number)).collect();
    all.extend((6..9).map(|number| used("news:read", Outcome::Partial, number)));
    all.push(used("flights:search", Outcome::Timeout, 9));
    all[5].0.proof.signature = [1; 64];
    bring(&mut lane, &all);
    "$9.16"
}

#[test]
fn an_empty_service_says_on_each_page_what_there_will_be_and_what_to_do() {
    let test = "an_empty_service_says_on_each_page_what_there_will_be_and_what_to_do";
    let Some(browser) = Browser::for_test(test) else { return };
    let bench = Bench::new();
    browser.run("console_empty.mjs", &json!({"origin": bench.service.url(), "key": bench.service.key}));
}

#[test]
fn every_page_says_what_is_late_or_broken_and_goes_on_when_it_is_mended() {
    let test = "every_page_says_what_is_late_or_broken_and_goes_on_when_it_is_mended";
    let Some(browser) = Browser::for_test(test) else { return };
    let bench = Bench::new();
    browser.run("console_troubles.mjs", &with_something_of_each(&bench));
}

#[test]
fn what_is_followed_sent_or_begun_while_nobody_answers_goes_on_afterwards() {
    let test = "what_is_followed_sent_or_begun_while_nobody_answers_goes_on_afterwards";
    let Some(browser) = Browser::for_test(test) else { return };
    let bench = Bench::new();
    browser.run("console_cut_off.mjs", &with_something_of_each(&bench));
}

/// A service that has something to show on each page; the scene of it.
fn with_something_of_each(bench: &Bench) -> Value {
    sold_in_march(bench);
    let make = |path: &str, body: Value| -> Value {
        let (status, made) = bench.call("POST", path, Some(body));
        assert!((200..300).contains(&status), "{path}: {made}");
        made
    };
    let issuer = make("/api/v1/issuers", json!({"name": "Acme Corp", "domain": "acme.test"}));
    let asked = json!({
        "agent_id": "agent-7", "agent_public_key": public(&agent(7)), "permissions": ["flights:search"],
        "constraints": {"core:cost:max_cumulative": 500},
    });
    let passport = make("/api/gates/gate_a/passports", asked);
    let settled = json!({
        "gate_id": "gate_a", "period_type": "monthly", "period_start": "2025-03-01", "period_end": "2025-03-31",
    });
    let settled = make("/api/billing", settled);
    json!({
        "origin": bench.service.url(), "key": bench.service.key,
        "issuer": issuer["issuer_id"], "passport": passport["passport_id"], "settlement": settled["id"],
    })
}
