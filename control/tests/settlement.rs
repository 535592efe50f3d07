//! Settlements: what is added up, what is left out, and what becomes of them.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test may fail"
)]

mod common;

use common::Bench;
use common::metering::{Offer, Shop, at, bring, publish};
use common::passports::{agent, draft};
use portcullis_core::catalog::PricingModel;
use portcullis_core::json::{self, Limits, canonical_text};
use portcullis_core::modei::{self, CatalogPin, Issuer, RootKind};
use portcullis_core::receipt::{Outcome, ProofForm, Receipt, SignedReceipt};
use portcullis_core::{PublicKey, base64, sha256};
use serde_json::{Map, Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use xtask::control::Service;
use xtask::on_every_database;

on_every_database!(
    a_month_is_settled_by_receipts_that_add_up_to_what_is_signed,
    free_calls_and_months_are_charged_once_and_in_order_of_time,
    what_does_not_verify_is_left_out_and_counted_by_what_is_wrong,
    a_key_that_has_ended_signed_nothing_that_came_later,
    a_period_that_is_open_overlaps_or_is_none_is_refused,
    a_status_changes_as_documented_and_void_gives_receipts_free,
    those_that_settle_at_once_at_two_instances_make_one_settlement,
    a_settlement_whose_worker_was_killed_is_completed_by_the_next,
    a_worker_that_was_followed_ends_and_callers_are_told_how_far_it_is,
    one_agent_is_settled_apart_from_the_others,
    an_agents_id_is_of_one_issuer_and_passports_are_of_their_agents,
    delegates_share_the_allowance_of_their_root_and_nobody_else_has_it,
    what_the_agent_signed_once_pays_for_one_receipt,
    what_came_after_a_settlement_was_paid_is_settled_by_another,
    ids_of_receipts_are_their_gates_own,
    what_breaks_off_again_and_again_is_given_up_and_can_be_settled_anew,
    no_more_than_two_settlements_are_worked_on_at_once,
    what_a_void_settlement_had_is_deleted_in_time_and_its_records_break_off,
    lists_are_short_and_counts_are_bounded,
    whatever_overlaps_and_is_asked_for_at_once_no_receipt_is_settled_twice,
    promised_uptime_is_judged_by_version_and_period,
);

const SEARCH: Offer = Offer::new("flights:search", PricingModel::PerCall, 5);
const CALL: Offer = Offer::new("calls:hold", PricingModel::PerMinute, 7);
const TOKENS: Offer = Offer::new("models:ask", PricingModel::Usage, 3);
const FREE: Offer = Offer { free: 3, ..Offer::new("maps:show", PricingModel::PerCall, 11) };
const NEWS: Offer = Offer { free: 1, ..Offer::new("news:read", PricingModel::Subscription, 901) };
const ALL: [Offer; 5] = [SEARCH, CALL, TOKENS, FREE, NEWS];

type Used = (Receipt, String);

fn settle(bench: &Bench, of: &str, start: &str, end: &str) -> (u16, Value) {
    settle_at(
        &bench.service,
        json!({"gate_id": "gate_a", "period_type": of, "period_start": start, "period_end": end}),
    )
}

/// Waits longer than the service lets anybody wait.
fn settle_at(service: &Service, asked: Value) -> (u16, Value) {
    let body = asked.to_string();
    let mut stream = TcpStream::connect(service.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // In HTTP/1.0 the answer ends with the connection (RFC 1945 section 7.2.2).
    let (host, key, length) = (service.address, &service.key, body.len());
    let head = format!(
        "POST /api/billing HTTP/1.0\r\nhost: {host}\r\nauthorization: Bearer {key}\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

fn march(bench: &Bench) -> Value {
    let (status, summary) = settle(bench, "monthly", "2025-03-01", "2025-03-31");
    assert_eq!(status, 201, "{summary}");
    summary
}

fn lines(bench: &Bench, id: &str) -> Vec<Value> {
    let answer = bench.service.call("GET", &format!("/api/billing/{id}/records"), None).unwrap();
    assert_eq!(answer.status, 200);
    let text = String::from_utf8(answer.body).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn canonical(value: &Value) -> String {
    let limits = Limits { bytes: 1 << 24, depth: 8, values: 1 << 20 };
    canonical_text(&json::parse(value.to_string().as_bytes(), limits).unwrap())
}

/// Checks a summary as whoever is to pay does: its hash, its signature, and that its records add
/// up to it. Answers the records.
fn verified(bench: &Bench, summary: &Value) -> Vec<Value> {
    let text = summary["summary"].as_str().unwrap();
    let mut content: Map<String, Value> = serde_json::from_str(text).unwrap();
    assert_eq!(canonical(&json!(content)), text, "it is canonical");
    let signature = content.remove("signature").unwrap();
    let hash = content.remove("content_hash").unwrap();
    let signed = canonical(&json!(content));
    assert_eq!(hash, json!(portcullis_core::live::hex(&sha256(signed.as_bytes()))));
    assert_eq!((&summary["content_hash"], &summary["signature"]), (&hash, &signature));
    let keys = bench.call("GET", "/api/gates/gate_a/attestation-keys", None).1;
    let key =
        keys["keys"].as_array().unwrap().iter().find(|key| key["key_id"] == signature["key_id"]).unwrap();
    let key = base64::decode_array(key["public_key"].as_str().unwrap()).unwrap();
    let value = base64::decode_url(signature["value"].as_str().unwrap()).unwrap().try_into().unwrap();
    assert!(PublicKey::from_bytes(&key).unwrap().verify(signed.as_bytes(), &value));

    let lines = lines(bench, summary["id"].as_str().unwrap());
    let sum = |member: &str| lines.iter().map(|line| line[member].as_u64().unwrap()).sum::<u64>();
    assert_eq!(summary["total_cost_cents"], sum("charged_cents"));
    assert_eq!(summary["total_platform_fee_cents"], sum("charged_fee_cents"));
    assert_eq!(summary["total_transactions"], lines.len());
    for breakdown in ["permission_breakdown", "outcome_breakdown"] {
        for (of, member) in [
            ("total_cost_cents", "cost_cents"),
            ("total_platform_fee_cents", "platform_fee_cents"),
            ("verified_count", "transactions"),
        ] {
            let parts = summary[breakdown].as_object().unwrap().values();
            assert_eq!(summary[of], parts.map(|part| part[member].as_u64().unwrap()).sum::<u64>());
        }
    }
    let agents = summary["agent_breakdown"].as_array().unwrap().iter();
    assert_eq!(
        summary["total_cost_cents"],
        agents.map(|part| part["cost_cents"].as_u64().unwrap()).sum::<u64>()
    );
    let mut chain = [0; 32];
    for line in &lines {
        let hash = portcullis_core::live::hex(&sha256(line["receipt"].as_str().unwrap().as_bytes()));
        let link = json!({"charged_cents": line["charged_cents"], "charged_fee_cents": line["charged_fee_cents"],
            "mark": line["mark"], "receipt_sha256": hash});
        chain = sha256(&[&chain[..], canonical(&link).as_bytes()].concat());
    }
    assert_eq!(summary["records_sha256"], json!(portcullis_core::live::hex(&chain)));
    lines
}

/// Numbers that look like chance, and are the same each time.
fn chance(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

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

fn a_period_that_is_open_overlaps_or_is_none_is_refused(database: Option<&str>) {
    let bench = Bench::new(database);
    let shop = Shop::open(&bench, "gate_a", 1, &[SEARCH]);
    let passport = shop.issue(&bench, 1);
    let mut lane = shop.gate.lane(bench.service.address, 1);
    bring(
        &mut lane,
        &[shop.used((&passport, 1), SEARCH.action, Outcome::Success, 1, at("2025-03-04T00:00:00Z"))],
    );
    let today = common::passports::now().to_iso()[..10].to_owned();
    let (month, tomorrow) =
        (&today[..7], common::passports::now().plus_millis(86_400_000).to_iso()[..10].to_owned());
    let refused = |asked: Value| {
        let mut whole = json!({"gate_id": "gate_a", "period_type": "monthly", "period_start": "2025-03-01", "period_end": "2025-03-31"});
        for (name, value) in asked.as_object().unwrap() {
            whole[name] = value.clone();
        }
        let (status, answer) = settle_at(&bench.service, whole);
        let field = answer["field"].as_str().unwrap_or_default().to_owned();
        assert!(answer["message"].as_str().unwrap().contains(&field), "{answer}");
        (status, field)
    };
    let daily = |day: &str| json!({"period_type": "daily", "period_start": day, "period_end": day});
    for (asked, status, field) in [
        (daily(&today), 422, "period_end"),
        (daily(&tomorrow), 422, "period_end"),
        (
            json!({"period_type": "daily", "period_start": "2025-03-01", "period_end": "2025-03-02"}),
            422,
            "period_end",
        ),
        (
            json!({"period_type": "weekly", "period_start": "2025-03-01", "period_end": "2025-03-07"}),
            422,
            "period_start",
        ),
        (json!({"period_start": "2025-03-02"}), 422, "period_start"),
        (json!({"period_end": "2025-03-30"}), 422, "period_end"),
        (json!({"period_end": "2025-02-29"}), 422, "period_end"),
        (json!({"period_start": "March"}), 422, "period_start"),
        (json!({"period_type": "custom"}), 422, "period_type"),
        (json!({"period_type": 1}), 422, "period_type"),
        (json!({"gate_id": "gate_none"}), 404, ""),
        (json!({"gate_id": ""}), 422, "gate_id"),
        (json!({"agent_id": ""}), 422, "agent_id"),
    ] {
        assert_eq!(refused(asked.clone()), (status, field.to_owned()), "{asked}");
    }
    // The month that is under way.
    let start = format!("{month}-01");
    let (_, answer) = settle(&bench, "monthly", &start, &tomorrow);
    assert_eq!(answer["field"], "period_end");
    assert_eq!(bench.call("GET", "/api/billing", None).1["total"], 0);

    let id = march(&bench)["id"].as_str().unwrap().to_owned();
    for asked in [
        json!({}),
        daily("2025-03-01"),
        daily("2025-03-31"),
        json!({"period_type": "weekly", "period_start": "2025-02-24", "period_end": "2025-03-02"}),
        json!({"agent_id": "agent-1"}),
    ] {
        assert_eq!(refused(asked.clone()), (409, "period_start".to_owned()), "{asked}");
    }
    for day in ["2025-02-28", "2025-04-01"] {
        assert_eq!(settle(&bench, "daily", day, day).0, 201, "{day}");
    }
    assert_eq!(bench.call("GET", "/api/billing?limit=1&offset=1", None).1["total"], 3);
    assert_eq!(bench.call("GET", "/api/billing?limit=0", None).1["field"], "limit");
    assert_eq!(bench.call("GET", "/api/billing?from=x", None).1["field"], "from");
    assert_eq!(bench.call("GET", "/api/billing?status=gone", None).0, 422);
    assert_eq!(bench.call("GET", "/api/billing/stl_none", None).0, 404);
    assert_eq!(bench.call("GET", "/api/billing/stl_none/records", None).0, 404);
    assert_eq!(bench.call("GET", "/api/billing/runs/run_none", None).0, 404);
    let run = bench.call("GET", &format!("/api/billing/{id}"), None).1["settlement_run_id"].clone();
    let run = bench.call("GET", &format!("/api/billing/runs/{}", run.as_str().unwrap()), None).1;
    assert_eq!((&run["status"], &run["verified"], &run["total"]), (&json!("done"), &json!(1), &json!(1)));
}

fn a_status_changes_as_documented_and_void_gives_receipts_free(database: Option<&str>) {
    let bench = Bench::new(database);
    let shop = Shop::open(&bench, "gate_a", 1, &[SEARCH]);
    let passport = shop.issue(&bench, 1);
    let mut lane = shop.gate.lane(bench.service.address, 1);
    bring(
        &mut lane,
        &[shop.used((&passport, 1), SEARCH.action, Outcome::Success, 1, at("2025-03-04T00:00:00Z"))],
    );
    let first = march(&bench);
    let path = format!("/api/billing/{}/status", first["id"].as_str().unwrap());
    let change = |status: &str| {
        let (found, answer) = bench.call("POST", &path, Some(json!({"status": status})));
        if found == 200 {
            assert_eq!((&answer["status"], &answer["summary"]), (&json!(status), &first["summary"]));
        } else {
            assert_eq!(answer["field"], "status", "{answer}");
        }
        found
    };
    for (status, found) in [
        ("paid", 409),
        ("disputed", 409),
        ("pending", 409),
        ("gone", 422),
        ("invoiced", 200),
        ("invoiced", 409),
        ("pending", 409),
        ("disputed", 200),
        ("paid", 409),
        ("invoiced", 200),
        ("void", 200),
        ("pending", 409),
        ("invoiced", 409),
    ] {
        assert_eq!(change(status), found, "{status}");
    }
    let told = bench.call("GET", &format!("/api/billing/{}", first["id"].as_str().unwrap()), None).1;
    let history: Vec<_> =
        told["status_history"].as_array().unwrap().iter().map(|one| one["status"].clone()).collect();
    assert_eq!(history, ["pending", "invoiced", "disputed", "invoiced", "void"]);
    assert!(told["status_history"][1]["actor"].as_str().unwrap().starts_with("key_"));
    let records = format!("/api/billing/{}/records", first["id"].as_str().unwrap());
    assert_eq!(bench.call("GET", &records, None).0, 409);
    assert_eq!(bench.call("POST", "/api/billing/stl_none/status", Some(json!({"status": "void"}))).0, 404);
    // Now another can have them.
    let second = march(&bench);
    assert_ne!(second["id"], first["id"]);
    assert_eq!((&second["total_cost_cents"], verified(&bench, &second).len()), (&json!(5), 1));
    let path = format!("/api/billing/{}/status", second["id"].as_str().unwrap());
    for (status, found) in [("invoiced", 200), ("paid", 200), ("disputed", 409), ("void", 409)] {
        assert_eq!(bench.call("POST", &path, Some(json!({"status": status}))).0, found, "{status}");
    }
    let audit = bench.call("GET", "/api/v1/audit", None).1;
    let of = |action: &str| {
        audit["lines"].as_array().unwrap().iter().filter(|item| item["action"] == action).count()
    };
    assert_eq!((of("settlement.create"), of("settlement.status")), (2, 6));
}

/// Some thousand receipts of March, in place of what a gate would bring in minutes.
fn many(bench: &Bench, shop: &Shop, passport: &str, count: usize) {
    let mut lane = shop.gate.lane(bench.service.address, 1);
    let begin = at("2025-03-01T00:00:00Z");
    let all: Vec<Used> = (0..i64::try_from(count).unwrap())
        .map(|number| {
            shop.used((passport, 1), SEARCH.action, Outcome::Success, 1, begin.plus_millis(number * 1000))
        })
        .collect();
    bring(&mut lane, &all);
}

fn those_that_settle_at_once_at_two_instances_make_one_settlement(database: Option<&str>) {
    let bench = Bench::new(database);
    let shop = Shop::open(&bench, "gate_a", 1, &[SEARCH]);
    let passport = shop.issue(&bench, 1);
    many(&bench, &shop, &passport, 500);
    let mut second = bench.control.clone();
    [second.address] = xtask::net::free().unwrap();
    let second = second.start().unwrap();
    let asked = json!({"gate_id": "gate_a", "period_type": "monthly", "period_start": "2025-03-01", "period_end": "2025-03-31"});
    let made = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..6)
            .map(|index| {
                let (service, asked) = (if index % 2 == 0 { &bench.service } else { &second }, asked.clone());
                scope.spawn(move || settle_at(service, asked))
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect::<Vec<_>>()
    });
    let ids: std::collections::HashSet<_> = made
        .iter()
        .filter(|(status, _)| *status == 201)
        .map(|(_, answer)| answer["id"].to_string())
        .collect();
    assert_eq!(ids.len(), 1, "{made:?}");
    assert!(made.iter().all(|(status, _)| [201, 409].contains(status)));
    let listed = bench.call("GET", "/api/billing", None).1;
    assert_eq!((&listed["total"], &listed["settlements"][0]["total_cost_cents"]), (&json!(1), &json!(2500)));
    let id = listed["settlements"][0]["id"].as_str().unwrap();
    assert_eq!(verified(&bench, &bench.call("GET", &format!("/api/billing/{id}"), None).1).len(), 500);
    // Others that overlap it, at both, and those that do not.
    let days = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..8)
            .map(|index| {
                let service = if index % 2 == 0 { &bench.service } else { &second };
                let day = format!("2025-04-0{}", index / 2 + 1);
                let asked = json!({"gate_id": "gate_a", "period_type": "daily", "period_start": day, "period_end": day});
                scope.spawn(move || loop {
                    // A gate has one under way at a time.
                    let (status, answer) = settle_at(service, asked.clone());
                    if answer["code"] != "settlement_running" {
                        return status;
                    }
                })
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).filter(|status| *status == 201).count()
    });
    assert!(days >= 4);
    assert_eq!(bench.call("GET", "/api/billing", None).1["total"], 5);
}

fn a_settlement_whose_worker_was_killed_is_completed_by_the_next(database: Option<&str>) {
    let mut bench = Bench::new(database);
    let shop = Shop::open(&bench, "gate_a", 1, &[SEARCH, FREE]);
    let passport = shop.issue(&bench, 1);
    many(&bench, &shop, &passport, 6000);
    let key = bench.service.key.clone();
    let asked = json!({"gate_id": "gate_a", "period_type": "monthly", "period_start": "2025-03-01", "period_end": "2025-03-31"});
    // It is killed between its first page and its last.
    let address = bench.service.address;
    let asking = {
        let (key, body) = (key.clone(), asked.to_string());
        std::thread::spawn(move || {
            let mut request = xtask::http::Request::new("POST", "/api/billing");
            request.headers.push(("authorization".to_owned(), format!("Bearer {key}")));
            request.body = body.into_bytes();
            let _ = request.send(address);
        })
    };
    let until = Instant::now() + Duration::from_secs(60);
    while bench.sql("UPDATE settlements SET run_id = run_id WHERE verified > 0 AND status = 'running'") == 0 {
        assert!(Instant::now() < until, "it was done before it could be killed");
    }
    bench.service.kill();
    asking.join().unwrap();
    bench.service = bench.control.start_with_key(&key).unwrap();
    assert_eq!(bench.sql("UPDATE settlements SET run_id = run_id WHERE status = 'running'"), 1);
    assert_eq!(bench.sql("UPDATE settled_receipts SET mark = mark"), 6000, "all of them are claimed");
    // Nobody takes it from a worker that was heard of.
    assert_eq!(settle(&bench, "daily", "2025-03-01", "2025-03-01").0, 409);
    bench.sql("UPDATE settlements SET seen_at = seen_at - 31000");
    // Marks that the first attempt has left, and one that it should not have.
    bench.sql("UPDATE settled_receipts SET mark = 'free'");
    let began = Instant::now();
    let (status, summary) = loop {
        let (status, summary) = settle_at(&bench.service, asked.clone());
        if status != 202 {
            break (status, summary);
        }
        assert!(began.elapsed() < Duration::from_secs(120));
    };
    assert_eq!((status, &summary["total_cost_cents"]), (201, &json!(30_000)), "{summary}");
    assert_eq!(verified(&bench, &summary).len(), 6000);
    let run = format!("/api/billing/runs/{}", summary["settlement_run_id"].as_str().unwrap());
    let run = bench.call("GET", &run, None).1;
    assert_eq!((&run["attempt"], &run["status"], &run["total"]), (&json!(2), &json!("done"), &json!(6000)));
}

fn a_worker_that_was_followed_ends_and_callers_are_told_how_far_it_is(database: Option<&str>) {
    let bench = Bench::new(database);
    let shop = Shop::open(&bench, "gate_a", 1, &[SEARCH]);
    let passport = shop.issue(&bench, 1);
    many(&bench, &shop, &passport, 6000);
    let asked = json!({"gate_id": "gate_a", "period_type": "monthly", "period_start": "2025-03-01", "period_end": "2025-03-31"});
    let (status, run) = std::thread::scope(|scope| {
        let asking = scope.spawn(|| settle_at(&bench.service, asked.clone()));
        let until = Instant::now() + Duration::from_secs(60);
        // As another instance does that takes over, and is gone then.
        while bench.sql("UPDATE settlements SET attempt = attempt + 1 WHERE verified > 0 AND status = 'running' AND attempt = 1") == 0 {
            assert!(Instant::now() < until, "it was done before anybody could take over");
        }
        asking.join().unwrap()
    });
    assert_eq!((status, &run["status"], &run["total"]), (202, &json!("running"), &json!(6000)), "{run}");
    assert!(run["verified"].as_i64().is_some_and(|verified| verified > 0 && verified < 6000), "{run}");
    let id = run["settlement_id"].as_str().unwrap();
    assert_eq!(bench.call("GET", &format!("/api/billing/{id}"), None).0, 404, "it has no summary yet");
    let (status, answer) =
        bench.call("POST", &format!("/api/billing/{id}/status"), Some(json!({"status": "void"})));
    assert_eq!((status, &answer["code"]), (409, &json!("settlement_running")));
    assert_eq!(bench.call("GET", "/api/billing", None).1["total"], 0);
    bench.sql("UPDATE settlements SET seen_at = seen_at - 31000");
    let (status, summary) = settle_at(&bench.service, asked.clone());
    assert_eq!((status, &summary["total_cost_cents"]), (201, &json!(30_000)), "{summary}");
    let run = format!("/api/billing/runs/{}", run["settlement_run_id"].as_str().unwrap());
    assert_eq!(bench.call("GET", &run, None).1["attempt"], 3);
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

/// The use of an agent that has signed a request with this passport.
fn requested(shop: &Shop, passport: &modei::Signed, number: u8, when: i64) -> Used {
    let (mut receipt, _) = shop.used(
        ("", number),
        FREE.action,
        Outcome::Success,
        1,
        at("2025-03-04T00:00:00Z").plus_millis(when),
    );
    let envelope: Value = serde_json::from_str(&passport.to_json()).unwrap();
    let text =
        |path: &str| envelope["passport_json"].pointer(path).and_then(Value::as_str).map(str::to_owned);
    receipt.agent.passport_id = text("/passport_id").unwrap();
    receipt.agent.agent_id = text("/identity/agent_id").unwrap();
    let root = "/provenance/delegation_chain/0/passport_json/provenance/issuer/id";
    receipt.agent.issuer_id = text(root).or_else(|| text("/provenance/issuer/id")).unwrap();
    let base = format!(
        "\"@method\": GET\n\"agent-passport\": :{}:\n\"@signature-params\": (\"@method\" \"agent-passport\");\
         created={};nonce=\"{}\";keyid=\"{}\";alg=\"ed25519\";tag=\"agent-proof\"",
        base64::encode(passport.to_json().as_bytes()),
        receipt.proof.created.as_millis().div_euclid(1000),
        receipt.proof.nonce,
        receipt.agent.agent_id
    );
    receipt.proof.form = ProofForm::Rfc9421;
    receipt.proof.base_sha256 = sha256(base.as_bytes());
    receipt.proof.signature = agent(number).sign(base.as_bytes());
    (receipt, base)
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
            requested(&shop, &root, 1, 1000),
            requested(&shop, &child(2), 2, 2000),
            requested(&shop, &child(3), 3, 3000),
            requested(&shop, &child(3), 3, 4000),
            // Another's passport that has the same id.
            requested(&shop, &issued("gate_b", &shop.pin), 1, 5000),
            requested(&shop, &issued("gate_a", &CatalogPin { version: 2, ..shop.pin.clone() }), 1, 6000),
        ],
    );
    let summary = march(&bench);
    let marks: Vec<_> = verified(&bench, &summary).iter().map(|line| line["mark"].clone()).collect();
    assert_eq!(json!(marks), json!(["free", "free", "free", null, "free", "proof_mismatch"]));
    assert_eq!(summary["total_cost_cents"], 11);
}

fn what_the_agent_signed_once_pays_for_one_receipt(database: Option<&str>) {
    let bench = Bench::new(database);
    let shop = Shop::open(&bench, "gate_a", 1, &[SEARCH]);
    let passport = shop.issue(&bench, 1);
    let mut lane = shop.gate.lane(bench.service.address, 1);
    let first = shop.used((&passport, 1), SEARCH.action, Outcome::Success, 1, at("2025-03-04T00:00:00Z"));
    let again = |when: &str| {
        let mut again = first.clone();
        (again.0.id, again.0.issued_at) = (common::metering::unique(), at(when));
        again
    };
    bring(&mut lane, &[again("2025-03-04T00:00:01Z"), first.clone(), again("2025-03-05T00:00:00Z")]);
    let day = |day: &str| {
        let (status, summary) = settle(&bench, "daily", day, day);
        assert_eq!(status, 201, "{summary}");
        verified(&bench, &summary);
        (summary["total_cost_cents"].clone(), summary["exclusion_breakdown"].clone())
    };
    let used = json!({"proof_used": 1});
    // Whether the first is settled or not.
    assert_eq!(day("2025-03-05"), (json!(0), used.clone()));
    assert_eq!(day("2025-03-04"), (json!(5), used.clone()));
    // One that comes late, and says that it was made before.
    bring(&mut lane, &[again("2025-03-03T00:00:00Z")]);
    assert_eq!(day("2025-03-03"), (json!(0), used));
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

fn what_breaks_off_again_and_again_is_given_up_and_can_be_settled_anew(database: Option<&str>) {
    let bench = Bench::new(database);
    let shop = Shop::open(&bench, "gate_a", 1, &[SEARCH]);
    let passport = shop.issue(&bench, 1);
    let mut lane = shop.gate.lane(bench.service.address, 1);
    bring(
        &mut lane,
        &[shop.used((&passport, 1), SEARCH.action, Outcome::Success, 1, at("2025-03-04T00:00:00Z"))],
    );
    let id = march(&bench)["id"].as_str().unwrap().to_owned();
    // As if it had been taken over three times. One that it has claimed is gone.
    for (attempt, because) in [(4, "receipts that were claimed are missing"), (5, "5 attempts")] {
        bench.sql(&format!(
            "UPDATE settlements SET status = 'running', summary = NULL, seen_at = 0, attempt = {attempt} WHERE settlement_id = '{id}'"
        ));
        bench.sql(&format!(
            "INSERT INTO settled_receipts (gate_id, receipt_id, settlement_id) VALUES ('gate_a', 'none-{attempt}', '{id}')"
        ));
        let (status, answer) = settle(&bench, "monthly", "2025-03-01", "2025-03-31");
        assert_eq!((status, &answer["code"]), (422, &json!("settlement_failed")), "{answer}");
        assert!(answer["message"].as_str().unwrap().contains(because), "{answer}");
    }
    let anew = march(&bench);
    assert_ne!(anew["id"], json!(id));
    assert_eq!((&anew["total_cost_cents"], verified(&bench, &anew).len()), (&json!(5), 1));
}

fn no_more_than_two_settlements_are_worked_on_at_once(database: Option<&str>) {
    let bench = Bench::new(database);
    let gates = ["gate_a", "gate_b", "gate_c", "gate_d"];
    for (seed, gate) in (1..).zip(gates) {
        let shop = Shop::open(&bench, gate, seed, &[SEARCH]);
        let passport = shop.issue(&bench, 1);
        many(&bench, &shop, &passport, 1000);
    }
    let most = std::thread::scope(|scope| {
        let calls = gates.map(|gate| {
            let asked = json!({"gate_id": gate, "period_type": "monthly", "period_start": "2025-03-01", "period_end": "2025-03-31"});
            let service = &bench.service;
            scope.spawn(move || settle_at(service, asked))
        });
        let mut most = 0;
        while !calls.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            most = most.max(
                bench.sql("UPDATE settlements SET run_id = run_id WHERE status = 'running' AND attempt > 0"),
            );
        }
        for call in calls {
            let (status, summary) = call.join().unwrap();
            assert_eq!((status, &summary["total_cost_cents"]), (201, &json!(5000)), "{summary}");
        }
        most
    });
    assert!((1..=2).contains(&most), "{most}");
}

fn what_a_void_settlement_had_is_deleted_in_time_and_its_records_break_off(database: Option<&str>) {
    let mut bench = Bench::new(database);
    let shop = Shop::open(&bench, "gate_a", 1, &[SEARCH]);
    let passport = shop.issue(&bench, 1);
    many(&bench, &shop, &passport, 6000);
    let id = march(&bench)["id"].as_str().unwrap().to_owned();
    // A reader that is slow: what is under way fills what lies between.
    let mut stream = TcpStream::connect(bench.service.address).unwrap();
    let key = bench.service.key.clone();
    let head = format!(
        "GET /api/billing/{id}/records HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.read_exact(&mut [0; 1024]).unwrap();
    let void = format!("/api/billing/{id}/status");
    assert_eq!(bench.call("POST", &void, Some(json!({"status": "void"}))).0, 200);
    assert_eq!(bench.sql("UPDATE settled_receipts SET mark = mark"), 6000, "nobody waits for that");
    let mut rest = Vec::new();
    let ended = stream.read_to_end(&mut rest);
    assert!(ended.is_err() || !rest.ends_with(b"0\r\n\r\n"), "the records are no whole settlement's");
    // Another has half of them before they are deleted.
    let (status, day) = settle(&bench, "daily", "2025-03-01", "2025-03-01");
    assert_eq!((status, &day["total_cost_cents"]), (201, &json!(30_000)), "{day}");
    bench.sql(&format!(
        "UPDATE settled_receipts SET settlement_id = '{id}' WHERE receipt_id < 'rcpt_0000000000001000'"
    ));
    let left =
        6000 - bench.sql(&format!("UPDATE settled_receipts SET mark = mark WHERE settlement_id = '{id}'"));
    bench.service.kill();
    bench.service = bench.control.start_with_key(&key).unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while bench.sql("UPDATE settled_receipts SET mark = mark") != left {
        assert!(Instant::now() < until, "they are not deleted");
    }
}

fn lists_are_short_and_counts_are_bounded(database: Option<&str>) {
    let bench = Bench::new(database);
    let shop = Shop::open(&bench, "gate_a", 1, &[SEARCH]);
    let passport = shop.issue(&bench, 1);
    let mut lane = shop.gate.lane(bench.service.address, 1);
    let used = shop.used((&passport, 1), SEARCH.action, Outcome::Success, 1, at("2025-03-04T00:00:00Z"));
    bring(&mut lane, &[used]);
    let id = march(&bench)["id"].as_str().unwrap().to_owned();
    let listed = bench.call("GET", "/api/billing", None).1["settlements"][0].clone();
    assert_eq!(listed["id"], json!(id));
    assert_eq!((&listed["summary"], &listed["agent_breakdown"]), (&Value::Null, &Value::Null));
    const COLUMNS: &str = "gate_id, agent_id, issuer_id, passport_id, action, catalog_version, outcome, model, \
        quantity, unit_cents, fee_basis_points, total_cents, fee_cents, issued_at, received_at, text, key_id, base, \
        base_sha256, log_index";
    let numbers = |many: u32| {
        format!(
            "WITH RECURSIVE numbered (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbered WHERE i < {many})"
        )
    };
    bench.sql(&format!(
        "{} INSERT INTO receipts (receipt_id, {COLUMNS}) SELECT 'late-' || CAST(i AS TEXT), {COLUMNS} FROM receipts, numbered",
        numbers(10_100)
    ));
    bench.sql(&format!(
        "{} INSERT INTO settlement_changes (settlement_id, number, status, at, actor) \
         SELECT '{id}', i + 1, 'disputed', i, 'key_x' FROM numbered",
        numbers(1100)
    ));
    let told = bench.call("GET", &format!("/api/billing/{id}"), None).1;
    assert_eq!(told["late_count"], 10_001);
    let history = told["status_history"].as_array().unwrap();
    assert_eq!((history.len(), &history[999]["at"]), (1000, &json!("1970-01-01T00:00:01.100Z")));
}

fn whatever_overlaps_and_is_asked_for_at_once_no_receipt_is_settled_twice(database: Option<&str>) {
    let bench = Bench::new(database);
    let shop = Shop::open(&bench, "gate_a", 1, &[SEARCH]);
    let passports = [1, 2].map(|number| (shop.issue(&bench, number), number));
    let mut lane = shop.gate.lane(bench.service.address, 1);
    let begin = at("2025-03-03T00:00:00Z");
    let all: Vec<Used> = (0..300_i64)
        .map(|index| {
            let (passport, number) = &passports[usize::from(index % 2 == 0)];
            let when = begin.plus_millis(index * 7 * 3_600_000 / 3);
            shop.used((passport, *number), SEARCH.action, Outcome::Success, 1, when)
        })
        .collect();
    bring(&mut lane, &all);
    let mut second = bench.control.clone();
    [second.address] = xtask::net::free().unwrap();
    let second = second.start().unwrap();
    let shapes: Vec<_> = [
        ("monthly", "2025-03-01", "2025-03-31"),
        ("weekly", "2025-03-03", "2025-03-09"),
        ("weekly", "2025-03-10", "2025-03-16"),
        ("daily", "2025-03-04", "2025-03-04"),
        ("daily", "2025-03-12", "2025-03-12"),
    ]
    .into_iter()
    .flat_map(|(of, start, end)| {
        [Value::Null, json!("agent-1"), json!("agent-2")].map(|agent| {
            json!({"gate_id": "gate_a", "period_type": of, "period_start": start, "period_end": end, "agent_id": agent})
        })
    })
    .collect();
    // Until each has its answer: done, or refused for one that has its receipts.
    std::thread::scope(|scope| {
        for (index, asked) in shapes.into_iter().enumerate() {
            let service = if index % 2 == 0 { &bench.service } else { &second };
            scope.spawn(move || {
                let until = Instant::now() + Duration::from_secs(120);
                loop {
                    let (status, answer) = settle_at(service, asked.clone());
                    match (status, answer["code"].as_str()) {
                        (201, _) | (409, Some("period_overlaps")) => return,
                        (409, Some("settlement_running")) => {
                            assert!(answer["message"].as_str().unwrap().contains("run_"), "{answer}");
                        }
                        (202, _) => {}
                        other => assert_eq!(other, (201, None), "{answer}"),
                    }
                    assert!(Instant::now() < until);
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
        }
    });
    let listed = bench.call("GET", "/api/billing?limit=100", None).1;
    let mut seen = std::collections::HashSet::new();
    for one in listed["settlements"].as_array().unwrap() {
        let one = bench.call("GET", &format!("/api/billing/{}", one["id"].as_str().unwrap()), None).1;
        assert_eq!(one["late_count"], 0, "none of its period is left over");
        for line in verified(&bench, &one) {
            assert!(seen.insert(line["receipt"].to_string()), "{line}");
        }
    }
    assert!(!seen.is_empty());
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
