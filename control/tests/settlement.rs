//! Settlements: what is added up, and what is left out.

use crate::common;
use crate::common::Bench;
use crate::common::metering::{Offer, Shop, at, bring, publish};
use crate::common::passports::{agent, draft};
use crate::common::settling::{
    ALL, FREE, NEWS, SEARCH, TOKENS, Used, chance, march, requested, settle, settle_at, verified,
};
use portcullis_core::catalog::PricingModel;
use portcullis_core::modei::{self, CatalogPin, Issuer, RootKind};
use portcullis_core::receipt::{Outcome, Receipt, SignedReceipt};
use portcullis_core::sha256;
use serde_json::{Value, json};
use xtask::on_every_database;

on_every_database!(
    a_month_is_settled_by_receipts_that_add_up_to_what_is_signed,
    free_calls_and_months_are_charged_once_and_in_order_of_time,
    what_does_not_verify_is_left_out_and_counted_by_what_is_wrong,
    each_column_of_a_row_must_say_what_the_receipt_says,
    a_key_that_has_ended_signed_nothing_that_came_later,
    one_agent_is_settled_apart_from_the_others,
    an_agents_id_is_of_one_issuer_and_passports_are_of_their_agents,
    delegates_share_the_allowance_of_their_root_and_nobody_else_has_it,
    what_came_after_a_settlement_was_paid_is_settled_by_another,
    ids_of_receipts_are_their_gates_own,
    promised_uptime_is_judged_by_version_and_period,
    a_sum_that_no_reader_of_json_has_whole_is_not_settled,
);

fn a_month_is_settled_by_receipts_that_add_up_to_what_is_signed(database: Option<&str>) {
    let bench = Bench::new(database);
    let shop = Shop::open(&bench, "gate_a", 1, &ALL);
    let passports = [1, 2, 3].map(|number| (shop.issue(&bench, number), number));
    let mut lane = shop.gate.lane(bench.service.address, 1);
    let begin = at("2025-02-20T00:00:00Z");
    let mut state = 7;
    let mut all: Vec<Used> = Vec::new();
    for _ in 0..400 {
        let (passport, number) = &passports[usize::try_from(chance(&mut state) % 3).unwrap()];
        let offer = ALL[usize::try_from(chance(&mut state) % 5).unwrap()];
        let outcome = Outcome::ALL[usize::try_from(chance(&mut state) % 4).unwrap()].1;
        let quantity =
            if offer.model == PricingModel::PerCall { 1 } else { chance(&mut state) % 100_000 + 1 };
        let when = begin.plus_millis(i64::try_from(chance(&mut state) % (50 * 86_400_000)).unwrap());
        all.push(shop.used((passport, *number), offer.action, outcome, quantity, when));
    }
    // The first moment and the last, and those that are next to them.
    for when in [
        "2025-02-28T23:59:59.999Z",
        "2025-03-01T00:00:00Z",
        "2025-03-31T23:59:59.999Z",
        "2025-04-01T00:00:00Z",
    ] {
        all.push(shop.used((&passports[0].0, 1), SEARCH.action, Outcome::Success, 1, at(when)));
    }
    bring(&mut lane, &all);
    let summary = march(&bench);
    let (from, to) = (at("2025-03-01T00:00:00Z"), at("2025-04-01T00:00:00Z"));
    let mut wanted: Vec<&Receipt> = all.iter().map(|(receipt, _)| receipt).collect();
    wanted.sort_by_key(|receipt| (receipt.issued_at.as_millis(), receipt.receipt_id()));
    // Reckoned once more, from what was used alone.
    let mut calls = std::collections::HashMap::<(String, String), u64>::new();
    let mut months = std::collections::HashSet::new();
    let (mut cost, mut fee, mut count) = (0, 0, 0);
    for receipt in wanted.into_iter().filter(|one| one.issued_at >= from && one.issued_at < to) {
        let offer = ALL.iter().find(|offer| offer.action == receipt.action).unwrap();
        let place = (receipt.agent.passport_id.clone(), receipt.action.clone());
        let mut cents = receipt.charge.total_cents();
        if matches!(receipt.outcome, Outcome::Success | Outcome::Partial) {
            let used = calls.entry(place.clone()).or_default();
            *used += 1;
            if *used <= offer.free {
                cents = 0;
            } else if offer.model == PricingModel::Subscription {
                let month = receipt.issued_at.to_iso()[..7].to_owned();
                cents = if months.insert((place, month)) { offer.cents } else { 0 };
            }
        } else {
            assert_eq!(cents, 0);
        }
        cost += cents;
        fee += (cents * offer.fee).div_ceil(10_000);
        count += 1;
    }
    assert!(cost > 0 && count > 200, "{count}");
    assert_eq!(summary["total_cost_cents"], cost);
    assert_eq!(summary["total_platform_fee_cents"], fee);
    assert_eq!((&summary["total_transactions"], &summary["excluded_count"]), (&json!(count), &json!(0)));
    assert_eq!((&summary["status"], &summary["currency"]), (&json!("pending"), &json!("USD")));
    for line in verified(&bench, &summary) {
        let signed = SignedReceipt::read(line["receipt"].as_str().unwrap().as_bytes()).unwrap();
        signed.receipt.verify_proof(line["base"].as_str().unwrap()).unwrap();
    }
    let path = format!("/api/billing/{}", summary["id"].as_str().unwrap());
    let again = bench.call("GET", &path, None).1;
    assert_eq!((&again["summary"], &again["late_count"]), (&summary["summary"], &json!(0)));
    // One that comes late is told, and settled by whoever voids and settles again.
    let late = shop.used((&passports[0].0, 1), SEARCH.action, Outcome::Success, 1, from);
    bring(&mut lane, &[late]);
    assert_eq!(bench.call("GET", &path, None).1["late_count"], 1);
    let listed = bench
        .call(
            "GET",
            "/api/billing?gate_id=gate_a&status=pending&period_type=monthly&from=2025-03-31&to=2025-03-01",
            None,
        )
        .1;
    assert_eq!((&listed["total"], &listed["settlements"][0]["id"]), (&json!(1), &summary["id"]));
    for query in [
        "status=paid",
        "gate_id=gate_b",
        "period_type=daily",
        "from=2025-04-01",
        "to=2025-02-28",
        "agent_id=agent-1",
    ] {
        assert_eq!(bench.call("GET", &format!("/api/billing?{query}"), None).1["total"], 0, "{query}");
    }
    let metrics = bench.service.call("GET", "/metrics", None).unwrap();
    let metrics = String::from_utf8(metrics.body).unwrap();
    for line in ["portcullis_receipts_total 405", "portcullis_settlements_total{outcome=\"done\"} 1"] {
        assert!(metrics.contains(line), "{line}");
    }
}

fn free_calls_and_months_are_charged_once_and_in_order_of_time(database: Option<&str>) {
    let bench = Bench::new(database);
    let shop = Shop::open(&bench, "gate_a", 1, &[FREE, NEWS]);
    let passport = shop.issue(&bench, 1);
    let mut lane = shop.gate.lane(bench.service.address, 1);
    let one = |action: &str, outcome, when: &str| shop.used((&passport, 1), action, outcome, 1, at(when));
    // They come in another order than they were made.
    bring(
        &mut lane,
        &[
            one("maps:show", Outcome::Success, "2025-03-12T00:00:02Z"),
            one("maps:show", Outcome::Success, "2025-03-12T00:00:01Z"),
            one("maps:show", Outcome::Error, "2025-03-10T00:00:00Z"),
            one("maps:show", Outcome::Partial, "2025-03-11T00:00:00Z"),
            one("maps:show", Outcome::Success, "2025-03-03T00:00:00Z"),
            one("news:read", Outcome::Success, "2025-03-30T00:00:00Z"),
            one("news:read", Outcome::Timeout, "2025-03-31T00:00:00Z"),
            one("news:read", Outcome::Success, "2025-03-31T00:00:01Z"),
            one("news:read", Outcome::Success, "2025-03-31T00:00:02Z"),
            one("news:read", Outcome::Success, "2025-04-01T00:00:00Z"),
            one("news:read", Outcome::Success, "2025-04-02T00:00:00Z"),
            one("news:read", Outcome::Success, "2025-04-08T00:00:00Z"),
        ],
    );
    let marks = |start: &str, end: &str| {
        let (status, summary) = settle(&bench, "weekly", start, end);
        assert_eq!(status, 201, "{summary}");
        let lines = verified(&bench, &summary);
        let told = lines
            .iter()
            .map(|line| format!("{}:{}", line["mark"].as_str().unwrap_or("-"), line["charged_cents"]))
            .collect::<Vec<_>>();
        (told, summary["id"].as_str().unwrap().to_owned())
    };
    // What nobody has settled has used nothing up.
    let (told, turn) = marks("2025-03-31", "2025-04-06");
    assert_eq!(told, ["-:0", "free:0", "subscription:901", "subscription:901", "-:0"]);
    assert_eq!(marks("2025-04-07", "2025-04-13").0, ["-:0"], "April is paid");
    let (told, before) = marks("2025-03-24", "2025-03-30");
    assert_eq!(told, ["-:0"], "the free call is given, and March is paid");
    assert_eq!(marks("2025-03-10", "2025-03-16").0, ["-:0", "free:0", "free:0", "free:0"]);
    assert_eq!(marks("2025-03-03", "2025-03-09").0, ["-:11"]);
    // What is void has given nothing.
    for id in [turn, before] {
        let path = format!("/api/billing/{id}/status");
        assert_eq!(bench.call("POST", &path, Some(json!({"status": "void"}))).0, 200);
    }
    assert_eq!(marks("2025-03-24", "2025-03-30").0, ["free:0"]);
    assert_eq!(
        marks("2025-03-31", "2025-04-06").0,
        ["-:0", "subscription:901", "-:0", "subscription:901", "-:0"]
    );
}

fn what_does_not_verify_is_left_out_and_counted_by_what_is_wrong(database: Option<&str>) {
    let bench = Bench::new(database);
    let shop = Shop::open(&bench, "gate_a", 1, &[SEARCH, FREE]);
    let passport = shop.issue(&bench, 1);
    let mut lane = shop.gate.lane(bench.service.address, 1);
    let day = at("2025-03-04T00:00:00Z");
    let one =
        |number: i64| shop.used((&passport, 1), SEARCH.action, Outcome::Success, 1, day.plus_millis(number));
    let mut all: Vec<Used> = (0..9).map(one).collect();
    // The agent has not signed for this.
    all[8].0.proof.signature = agent(2).sign(all[8].1.as_bytes());
    // The gate asks for more than its catalog does, by a catalog that it has not published.
    let dear = shop.with(&[Offer { cents: 6, ..SEARCH }], shop.pin.clone());
    all.push(dear.used((&passport, 1), SEARCH.action, Outcome::Success, 1, day.plus_millis(10)));
    let unknown = CatalogPin { version: 2, ..shop.pin.clone() };
    all.push(shop.with(&[SEARCH], unknown).used(
        (&passport, 1),
        SEARCH.action,
        Outcome::Success,
        1,
        day.plus_millis(11),
    ));
    // A free call that is left out uses no free call up.
    let mut free: Vec<Used> = (20..25)
        .map(|number| shop.used((&passport, 1), FREE.action, Outcome::Success, 1, day.plus_millis(number)))
        .collect();
    free[0].0.proof.signature = agent(2).sign(free[0].1.as_bytes());
    all.extend(free);
    bring(&mut lane, &all);
    let id = |index: usize| all[index].0.receipt_id();
    // Whoever has the database changes it behind the service's back.
    let change = |what: &str, index: usize| {
        let done = bench.sql(&format!("UPDATE receipts SET {what} WHERE receipt_id = '{}'", id(index)));
        assert_eq!(done, 1, "{what}");
    };
    change("base = base || ' '", 0);
    change("total_cents = 6", 1);
    change("agent_id = 'agent-2'", 2);
    change("text = replace(text, '\"status\":200', '\"status\":201')", 3);
    change("text = replace(text, '\"total_cents\":5', '\"total_cents\":4')", 4);
    change("text = '{}'", 5);
    change("issued_at = issued_at + 1", 6);
    let summary = march(&bench);
    let wrong = json!({
        "base_mismatch": 1, "row_mismatch": 3, "signature_invalid": 1, "charge_wrong": 1, "receipt_malformed": 1,
        "proof_invalid": 2, "terms_mismatch": 1, "proof_mismatch": 1,
    });
    assert_eq!(summary["exclusion_breakdown"], wrong);
    assert_eq!((&summary["verified_count"], &summary["excluded_count"]), (&json!(5), &json!(11)));
    assert_eq!(summary["total_cost_cents"], 5 + 11, "one search, and the fourth map");
    let lines = verified(&bench, &summary);
    let mark = |index: usize| {
        let line = lines.iter().find(|line| line["receipt"].as_str().unwrap().contains(&id(index))).unwrap();
        line["mark"].clone()
    };
    assert_eq!((mark(0), mark(8), mark(7)), (json!("base_mismatch"), json!("proof_invalid"), Value::Null));
    assert_eq!(
        (mark(11), mark(12), mark(14), mark(15)),
        (json!("proof_invalid"), json!("free"), json!("free"), Value::Null)
    );
    let metrics = String::from_utf8(bench.service.call("GET", "/metrics", None).unwrap().body).unwrap();
    assert!(metrics.contains("portcullis_receipts_excluded_total{code=\"proof_invalid\"} 2"));
}

fn each_column_of_a_row_must_say_what_the_receipt_says(database: Option<&str>) {
    let bench = Bench::new(database);
    let shop = Shop::open(&bench, "gate_a", 1, &[SEARCH]);
    let passport = shop.issue(&bench, 1);
    let mut lane = shop.gate.lane(bench.service.address, 1);
    let mut changes = vec![
        "agent_id = 'agent-2'",
        "issuer_id = 'gate_b'",
        "passport_id = 'pp_2'",
        // The same characters, one after the other.
        "agent_id = 'agent-1g', issuer_id = 'ate_a'",
        "base_sha256 = 'ab'",
        "permit = 'att_1'",
        "action = 'flights:book'",
        "catalog_version = 2",
        "outcome = 'partial'",
        "model = 'usage'",
        "quantity = 2",
        "unit_cents = 6",
        "fee_basis_points = 0",
        "total_cents = 6",
        "fee_cents = 0",
        "issued_at = issued_at + 1",
        "key_id = 'a'",
    ];
    if database.is_none() {
        // PostgreSQL's columns have a type.
        changes.extend(["base_sha256 = CAST(base_sha256 AS BLOB)", "permit = CAST('att_1' AS BLOB)"]);
    }
    let day = at("2025-03-04T00:00:00Z");
    let one = |number: i64| {
        shop.used((&passport, 1), SEARCH.action, Outcome::Success, 1, day.plus_millis(number * 10))
    };
    let all: Vec<Used> = (0..=20).take(changes.len() + 1).map(one).collect();
    bring(&mut lane, &all);
    for (change, (receipt, _)) in changes.iter().zip(&all) {
        let id = receipt.receipt_id();
        assert_eq!(bench.sql(&format!("UPDATE receipts SET {change} WHERE receipt_id = '{id}'")), 1);
    }
    let summary = march(&bench);
    assert_eq!(summary["exclusion_breakdown"], json!({"row_mismatch": changes.len()}));
    assert_eq!((&summary["verified_count"], &summary["total_cost_cents"]), (&json!(1), &json!(5)));
}

fn a_key_that_has_ended_signed_nothing_that_came_later(database: Option<&str>) {
    let bench = Bench::new(database);
    let shop = Shop::open(&bench, "gate_a", 1, &[SEARCH]);
    let passport = shop.issue(&bench, 1);
    let mut lane = shop.gate.lane(bench.service.address, 1);
    let day = at("2025-03-04T00:00:00Z");
    let all: Vec<Used> = (0..4)
        .map(|number| shop.used((&passport, 1), SEARCH.action, Outcome::Success, 1, day.plus_millis(number)))
        .collect();
    bring(&mut lane, &all);
    let end = common::passports::now().as_millis() + 1;
    bench.sql(&format!("UPDATE gate_keys SET not_after = {end}"));
    bench.sql(&format!(
        "UPDATE receipts SET received_at = {} WHERE receipt_id = '{}'",
        end + 1,
        all[1].0.receipt_id()
    ));
    let summary = march(&bench);
    assert_eq!(summary["exclusion_breakdown"], json!({"key_retired": 1}));
    assert_eq!(summary["total_cost_cents"], 15);
    // A key that is no longer known.
    let void = format!("/api/billing/{}/status", summary["id"].as_str().unwrap());
    assert_eq!(bench.call("POST", &void, Some(json!({"status": "void"}))).0, 200);
    bench.sql("DELETE FROM attestation_keys");
    assert_eq!(march(&bench)["exclusion_breakdown"], json!({"key_unknown": 4}));
}

fn one_agent_is_settled_apart_from_the_others(database: Option<&str>) {
    let bench = Bench::new(database);
    let shop = Shop::open(&bench, "gate_a", 1, &[SEARCH]);
    let passports = [1, 2].map(|number| (shop.issue(&bench, number), number));
    let mut lane = shop.gate.lane(bench.service.address, 1);
    let day = at("2025-03-04T00:00:00Z");
    let all: Vec<Used> = (0..5)
        .map(|index| {
            let (passport, number) = &passports[index % 2];
            shop.used((passport, *number), SEARCH.action, Outcome::Success, 1, day)
        })
        .collect();
    bring(&mut lane, &all);
    let of = |agent: Option<&str>| {
        settle_at(
            &bench.service,
            json!({"gate_id": "gate_a", "period_type": "monthly", "period_start": "2025-03-01",
            "period_end": "2025-03-31", "agent_id": agent}),
        )
    };
    for (agent, cents) in [("agent-1", 15), ("agent-2", 10), ("agent-3", 0)] {
        let (status, summary) = of(Some(agent));
        assert_eq!(
            (status, &summary["total_cost_cents"], &summary["late_count"]),
            (201, &json!(cents), &Value::Null)
        );
        assert_eq!(summary["agent_id"], agent);
        verified(&bench, &summary);
        assert_eq!(of(Some(agent)).0, 409);
    }
    assert_eq!(of(None).0, 409);
    assert_eq!(bench.call("GET", "/api/billing?agent_id=agent-2", None).1["total"], 1);
}

fn an_agents_id_is_of_one_issuer_and_passports_are_of_their_agents(database: Option<&str>) {
    let bench = Bench::new(database);
    let shop = Shop::open(&bench, "gate_a", 1, &[SEARCH]);
    let passport = shop.issue(&bench, 1);
    let mut lane = shop.gate.lane(bench.service.address, 1);
    let day = at("2025-03-04T00:00:00Z");
    let one = |passport: &str| shop.used((passport, 1), SEARCH.action, Outcome::Success, 1, day);
    let mut other_issuer = one(&passport);
    other_issuer.0.agent.issuer_id = "gate_b".to_owned();
    // The agent's word says nothing of these, so that they count as the service knows them.
    let mut other_agent = one(&passport);
    other_agent.0.agent.agent_id = "agent-2".to_owned();
    let mut other_key = shop.used((&passport, 2), SEARCH.action, Outcome::Success, 1, day);
    other_key.0.agent.agent_id = "agent-1".to_owned();
    bring(&mut lane, &[one(&passport), other_issuer, other_agent, other_key, one("pp_none")]);
    let of = |agent: Value, issuer: Value| {
        settle_at(
            &bench.service,
            json!({"gate_id": "gate_a", "period_type": "monthly", "period_start": "2025-03-01",
            "period_end": "2025-03-31", "agent_id": agent, "issuer_id": issuer}),
        )
    };
    for (agent, issuer) in [(json!("agent-1"), Value::Null), (Value::Null, json!("gate_a"))] {
        let (status, answer) = of(agent, issuer);
        assert_eq!((status, &answer["field"]), (422, &json!("issuer_id")), "{answer}");
    }
    let (status, summary) = of(json!("agent-1"), json!("gate_a"));
    assert_eq!((status, &summary["issuer_id"]), (201, &json!("gate_a")), "{summary}");
    assert_eq!(summary["exclusion_breakdown"], json!({"proof_mismatch": 1, "passport_unknown": 1}));
    assert_eq!((&summary["total_cost_cents"], verified(&bench, &summary).len()), (&json!(5), 3));
    let (status, summary) = of(json!("agent-1"), json!("gate_b"));
    assert_eq!((status, &summary["exclusion_breakdown"]), (201, &json!({"proof_mismatch": 1})), "{summary}");
    let (status, summary) = of(json!("agent-2"), Value::Null);
    assert_eq!((status, &summary["issuer_id"]), (201, &json!("gate_a")), "{summary}");
    assert_eq!(summary["exclusion_breakdown"], json!({"proof_mismatch": 1}));
}

fn delegates_share_the_allowance_of_their_root_and_nobody_else_has_it(database: Option<&str>) {
    let bench = Bench::new(database);
    let shop = Shop::open(&bench, "gate_a", 1, &[FREE]);
    let mut lane = shop.gate.lane(bench.service.address, 1);
    let issued = |issuer: &str, pin: &CatalogPin| {
        let by = Issuer {
            kind: RootKind::Gate,
            id: issuer.to_owned(),
            key_id: "gk_1".to_owned(),
            gate_id: Some(issuer.to_owned()),
        };
        let draft = draft("pp_root", &[FREE.action]);
        modei::issue_pinned(&agent(9), &by, "agent-1", &agent(1).public_key(), &draft, Some(pin))
    };
    let root = issued("gate_a", &shop.pin);
    let child = |number: u8| {
        let mut draft = draft(&format!("pp_{number}"), &[FREE.action]);
        draft.expires_at = draft.expires_at.plus_millis(-60_000);
        modei::delegate(&root, &agent(1), &agent(number).public_key(), &draft).unwrap()
    };
    bring(
        &mut lane,
        &[
            requested(&shop, FREE, &root, 1, 1000),
            requested(&shop, FREE, &child(2), 2, 2000),
            requested(&shop, FREE, &child(3), 3, 3000),
            requested(&shop, FREE, &child(3), 3, 4000),
            // Another's passport that has the same id.
            requested(&shop, FREE, &issued("gate_b", &shop.pin), 1, 5000),
            requested(
                &shop,
                FREE,
                &issued("gate_a", &CatalogPin { version: 2, ..shop.pin.clone() }),
                1,
                6000,
            ),
        ],
    );
    let summary = march(&bench);
    let marks: Vec<_> = verified(&bench, &summary).iter().map(|line| line["mark"].clone()).collect();
    assert_eq!(json!(marks), json!(["free", "free", "free", null, "free", "proof_mismatch"]));
    assert_eq!(summary["total_cost_cents"], 11);
}

fn what_came_after_a_settlement_was_paid_is_settled_by_another(database: Option<&str>) {
    let bench = Bench::new(database);
    let shop = Shop::open(&bench, "gate_a", 1, &[SEARCH, FREE]);
    let passport = shop.issue(&bench, 1);
    let mut lane = shop.gate.lane(bench.service.address, 1);
    let one = |action, when: &str| shop.used((&passport, 1), action, Outcome::Success, 1, at(when));
    bring(&mut lane, &[one(SEARCH.action, "2025-03-04T00:00:00Z"), one(FREE.action, "2025-03-04T00:00:00Z")]);
    let first = march(&bench);
    let become_ = |id: &Value, status: &str| {
        let path = format!("/api/billing/{}/status", id.as_str().unwrap());
        assert_eq!(bench.call("POST", &path, Some(json!({"status": status}))).0, 200);
    };
    let refused = || {
        let (status, answer) = settle(&bench, "monthly", "2025-03-01", "2025-03-31");
        (status, answer["code"].as_str().unwrap().to_owned(), answer["field"].clone())
    };
    let overlaps = || (409, "period_overlaps".to_owned(), json!("period_start"));
    assert_eq!(refused(), overlaps());
    become_(&first["id"], "invoiced");
    assert_eq!(refused(), overlaps());
    become_(&first["id"], "paid");
    assert_eq!(refused(), (409, "period_settled".to_owned(), json!("period_start")));
    let late: Vec<Used> = (1..5).map(|day| one(FREE.action, &format!("2025-03-0{day}T01:00:00Z"))).collect();
    bring(&mut lane, &late);
    let second = march(&bench);
    let marks: Vec<_> = verified(&bench, &second).iter().map(|line| line["mark"].clone()).collect();
    assert_eq!(json!(marks), json!(["free", "free", null, null]), "one was free before");
    assert_eq!(second["total_cost_cents"], 22);
    assert_eq!(refused(), overlaps());
}

fn ids_of_receipts_are_their_gates_own(database: Option<&str>) {
    let bench = Bench::new(database);
    let shops = [("gate_a", 1), ("gate_b", 2)].map(|(id, seed)| Shop::open(&bench, id, seed, &[SEARCH]));
    let day = at("2025-03-04T00:00:00Z");
    let id = common::metering::unique();
    for shop in &shops {
        let passport = shop.issue(&bench, 1);
        let mut used = shop.used((&passport, 1), SEARCH.action, Outcome::Success, 1, day);
        used.0.id = id;
        // No batch is held up by what a settlement leaves out.
        let mut strange = shop.used((&passport, 1), SEARCH.action, Outcome::Success, 1, day.plus_millis(1));
        strange.1.push('\0');
        strange.0.proof.base_sha256 = sha256(strange.1.as_bytes());
        bring(&mut shop.gate.lane(bench.service.address, 1), &[used, strange]);
    }
    let path = format!("/api/receipts/rcpt_{}", portcullis_core::live::hex(&id));
    let (status, answer) = bench.call("GET", &path, None);
    assert_eq!((status, &answer["code"]), (409, &json!("receipt_ambiguous")), "{answer}");
    for gate in ["gate_a", "gate_b"] {
        let (status, receipt) = bench.call("GET", &format!("{path}?gate_id={gate}"), None);
        assert_eq!((status, &receipt["gate_id"]), (200, &json!(gate)));
        let (status, summary) = settle_at(
            &bench.service,
            json!({"gate_id": gate, "period_type": "daily", "period_start": "2025-03-04", "period_end": "2025-03-04"}),
        );
        assert_eq!((status, &summary["total_cost_cents"]), (201, &json!(5)), "{summary}");
        assert_eq!(summary["exclusion_breakdown"], json!({"base_mismatch": 1}));
    }
    assert_eq!(bench.call("GET", &format!("{path}?gate_id=gate_c"), None).0, 404);
}

fn promised_uptime_is_judged_by_version_and_period(database: Option<&str>) {
    let bench = Bench::new(database);
    let promising = |uptime| Offer { uptime: Some(uptime), ..SEARCH };
    let mut shop = Shop::open(&bench, "gate_a", 1, &[promising(9000), TOKENS]);
    let passport = shop.issue(&bench, 1);
    let mut lane = shop.gate.lane(bench.service.address, 1);
    let sla = |query: &str| {
        let path = format!("/api/gates/gate_a/sla?period_start=2025-03-01&period_end=2025-03-31{query}");
        let (status, report) = bench.call("GET", &path, None);
        assert_eq!(status, 200, "{report}");
        report
    };
    let none = sla("");
    assert_eq!((&none["overall_uptime_bp"], &none["overall_compliant"]), (&json!(10_000), &json!(true)));
    let day = at("2025-03-04T00:00:00Z");
    let some = |shop: &Shop, outcome, count: usize| -> Vec<Used> {
        (0..count).map(|_| shop.used((&passport, 1), SEARCH.action, outcome, 1, day)).collect()
    };
    let first = [
        some(&shop, Outcome::Success, 17),
        some(&shop, Outcome::Partial, 1),
        some(&shop, Outcome::Error, 1),
        some(&shop, Outcome::Timeout, 1),
        vec![shop.used((&passport, 1), TOKENS.action, Outcome::Error, 1, day)],
        vec![shop.used((&passport, 1), SEARCH.action, Outcome::Error, 1, at("2025-04-01T00:00:00Z"))],
    ]
    .concat();
    bring(&mut lane, &first);
    let report = sla("&permission_key=flights:search");
    assert_eq!(report["metrics"].as_array().unwrap().len(), 1);
    let metric = &report["metrics"][0];
    for (member, expected) in [
        ("permission_key", json!("flights:search")),
        ("total_requests", json!(20)),
        ("success_count", json!(17)),
        ("error_count", json!(1)),
        ("timeout_count", json!(1)),
        ("partial_count", json!(1)),
        ("uptime_basis_points", json!(9000)),
        ("sla_uptime_bp", json!(9000)),
        ("compliant", json!(true)),
    ] {
        assert_eq!(metric[member], expected, "{report}");
    }
    let report = sla("");
    // 18 of 21, rounded down; nothing is promised of the other.
    assert_eq!((&report["overall_uptime_bp"], &report["overall_compliant"]), (&json!(8571), &json!(true)));
    assert_eq!(
        (&report["metrics"][1]["compliant"], &report["metrics"][1]["sla_uptime_bp"]),
        (&json!(true), &Value::Null)
    );
    // A newer version promises more, to those who have it.
    shop.pin = publish(&bench, "gate_a", &[promising(9500), TOKENS]);
    bring(&mut lane, &[some(&shop, Outcome::Success, 9), some(&shop, Outcome::Error, 1)].concat());
    let report = sla("");
    let metric = &report["metrics"][0];
    assert_eq!((&metric["compliant"], &metric["sla_uptime_bp"]), (&json!(false), &json!(9500)), "{report}");
    assert_eq!(
        (&metric["versions"][0]["compliant"], &metric["versions"][1]["compliant"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(report["overall_compliant"], false);
    let field =
        |query: &str| bench.call("GET", &format!("/api/gates/gate_a/sla?{query}"), None).1["field"].clone();
    assert_eq!(field("period_start=2025-03-32&period_end=2025-03-31"), "period_start");
    assert_eq!(field("period_start=2025-03-02&period_end=2025-03-01"), "period_end");
    assert_eq!(field("period_end=2025-03-01"), "query");
    assert_eq!(
        bench.call("GET", "/api/gates/gate_none/sla?period_start=2025-03-01&period_end=2025-03-01", None).0,
        404
    );
}

/// Beyond 2^53 - 1 (RFC 8785 section 3.2.2.3).
fn a_sum_that_no_reader_of_json_has_whole_is_not_settled(database: Option<&str>) {
    const JETS: Offer = Offer::new("jets:buy", PricingModel::Usage, 100_000_000_000);
    let bench = Bench::new(database);
    let shop = Shop::open(&bench, "gate_a", 1, &[JETS]);
    let passport = shop.issue(&bench, 1);
    let mut lane = shop.gate.lane(bench.service.address, 1);
    let bought = |second: u32| {
        let when = at(&format!("2025-03-10T00:00:{second:02}Z"));
        shop.used((&passport, 1), JETS.action, Outcome::Success, 9_999, when)
    };
    bring(&mut lane, &(0..10).map(bought).collect::<Vec<_>>());
    let (status, answer) = settle(&bench, "monthly", "2025-03-01", "2025-03-31");
    assert_eq!((status, &answer["code"]), (422, &json!("settlement_failed")), "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("total_cost_cents"), "{answer}");
    assert_eq!(bench.call("GET", "/api/billing", None).1["total"], 0);
    // Nothing of it is claimed: nine of them are one settlement.
    bench.sql("DELETE FROM receipts WHERE issued_at = (SELECT MAX(issued_at) FROM receipts)");
    assert_eq!(march(&bench)["total_cost_cents"], 8_999_100_000_000_000_u64);
}
