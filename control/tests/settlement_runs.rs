//! Settlements as they are asked for, worked on, broken off, and changed.

use crate::common;
use crate::common::Bench;
use crate::common::metering::{Shop, at, bring};
use crate::common::settling::{FREE, SEARCH, Used, march, settle, settle_at, verified};
use portcullis_core::receipt::Outcome;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use xtask::on_every_database;

on_every_database!(
    a_period_that_is_open_overlaps_or_is_none_is_refused,
    a_status_changes_as_documented_and_void_gives_receipts_free,
    those_that_settle_at_once_at_two_instances_make_one_settlement,
    a_settlement_whose_worker_was_killed_is_completed_by_the_next,
    a_worker_that_was_followed_ends_and_callers_are_told_how_far_it_is,
    what_breaks_off_again_and_again_is_given_up_and_can_be_settled_anew,
    no_more_than_two_settlements_are_worked_on_at_once,
    what_a_void_settlement_had_is_deleted_in_time_and_its_records_break_off,
    records_of_a_settlement_break_off_where_a_receipt_is_gone,
    lists_are_short_and_counts_are_bounded,
    whatever_overlaps_and_is_asked_for_at_once_no_receipt_is_settled_twice,
);

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

/// So many receipts, of which each five hundredth is left out, so that something is noted of each page:
/// how far it is shows at each, and not each second.
fn many_with_notes(bench: &Bench, shop: &Shop, passport: &str, count: usize) -> usize {
    many(bench, shop, passport, count);
    let begin = at("2025-03-01T00:00:00Z").as_millis();
    let wrong = format!("UPDATE receipts SET total_cents = 6 WHERE (issued_at - {begin}) % 500000 = 0");
    let left_out = count / 500;
    assert_eq!(bench.sql(&wrong), u64::try_from(left_out).unwrap());
    5 * (count - left_out)
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
    let cents = many_with_notes(&bench, &shop, &passport, 6000);
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
    assert_eq!((status, &summary["total_cost_cents"]), (201, &json!(cents)), "{summary}");
    assert_eq!(verified(&bench, &summary).len(), 6000);
    let run = format!("/api/billing/runs/{}", summary["settlement_run_id"].as_str().unwrap());
    let run = bench.call("GET", &run, None).1;
    assert_eq!((&run["attempt"], &run["status"], &run["total"]), (&json!(2), &json!("done"), &json!(6000)));
}

fn a_worker_that_was_followed_ends_and_callers_are_told_how_far_it_is(database: Option<&str>) {
    let bench = Bench::new(database);
    let shop = Shop::open(&bench, "gate_a", 1, &[SEARCH]);
    let passport = shop.issue(&bench, 1);
    let cents = many_with_notes(&bench, &shop, &passport, 6000);
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
    assert_eq!((status, &summary["total_cost_cents"]), (201, &json!(cents)), "{summary}");
    let run = format!("/api/billing/runs/{}", run["settlement_run_id"].as_str().unwrap());
    assert_eq!(bench.call("GET", &run, None).1["attempt"], 3);
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
            "INSERT INTO settled_receipts (gate_id, issued_at, receipt_id, settlement_id) \
             VALUES ('gate_a', 0, 'none-{attempt}', '{id}')"
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

fn records_of_a_settlement_break_off_where_a_receipt_is_gone(database: Option<&str>) {
    let bench = Bench::new(database);
    let shop = Shop::open(&bench, "gate_a", 1, &[SEARCH]);
    let passport = shop.issue(&bench, 1);
    // More than one page of them.
    many(&bench, &shop, &passport, 300);
    let id = march(&bench)["id"].as_str().unwrap().to_owned();
    let is_whole = || {
        let mut stream = TcpStream::connect(bench.service.address).unwrap();
        let head = format!(
            "GET /api/billing/{id}/records HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
            bench.service.key
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).is_ok() && all.ends_with(b"0\r\n\r\n")
    };
    assert!(is_whole());
    let gone = "DELETE FROM receipts WHERE receipt_id = (SELECT MIN(receipt_id) FROM receipts)";
    assert_eq!(bench.sql(gone), 1);
    assert!(!is_whole());
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
