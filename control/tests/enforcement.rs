//! Actions that the service itself decides on: by the guardrails of gates, under the caps
//! that gates keep, with a record of each.

use crate::common::Bench;
use crate::common::audit::{audit, export, keys};
use crate::common::gates::{enrolled, signed};
use crate::common::passports::{agent, now, public, self_issued};
use portcullis_core::SecretKey;
use portcullis_core::live::{ServiceKeys, SpendAsk, SpendGrant, SpendQuestion};
use portcullis_core::spend::{SpendCaps, SpendNames};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use xtask::http::Request;
use xtask::on_every_database;

on_every_database!(
    what_is_allowed_is_counted_spent_and_recorded,
    each_guardrail_of_passport_and_gate_blocks_by_its_name,
    a_passport_that_does_not_hold_is_blocked_and_recorded,
    those_that_decide_at_once_let_no_more_through_than_the_limit_and_fork_no_lane,
    gates_and_the_service_share_a_cap_to_the_cent,
    an_approval_is_kept_for_when_a_cap_has_room_again,
    a_sum_that_no_document_can_tell_is_not_passed,
    what_a_person_approves_passes_once,
    what_is_asked_must_be_of_its_form_and_its_caller_must_have_the_scope,
    checks_and_dry_runs_judge_by_what_was_counted_and_change_nothing,
);

fn bench(database: Option<&str>) -> Bench {
    let bench = Bench::new(database);
    assert_eq!(bench.call("POST", "/api/gates", Some(json!({"gate_id": "gate_a", "name": "A"}))).0, 201);
    bench
}

/// A passport of the gate for `book`, with these constraints.
fn issue(bench: &Bench, constraints: Value) -> String {
    let asked = json!({"agent_id": "agent-1", "agent_public_key": public(&agent(1)),
        "permissions": ["book", "posts:delete"], "constraints": constraints});
    let (status, passport) = bench.call("POST", "/api/gates/gate_a/passports", Some(asked));
    assert_eq!(status, 201, "{passport}");
    passport["passport_id"].as_str().unwrap().to_owned()
}

/// Decides on `book`, with these members beside.
fn enforce(bench: &Bench, passport: &str, more: Value) -> Value {
    let mut asked = json!({"passport_id": passport, "action": "book"});
    for (name, value) in more.as_object().unwrap() {
        asked[name] = value.clone();
    }
    let (status, answer) = bench.call("POST", "/api/enforce", Some(asked));
    assert_eq!(status, 200, "{answer}");
    answer
}

fn blocked_by(answer: &Value) -> &str {
    assert_eq!(answer["decision"] == "block", answer["blocked_by"].is_string(), "{answer}");
    assert_eq!(answer["decision"] != "allow", answer["block_reason"].is_string(), "{answer}");
    answer["blocked_by"].as_str().unwrap_or_default()
}

fn state(bench: &Bench, passport: &str) -> Value {
    let (status, state) = bench.call("GET", &format!("/api/passports/{passport}/state"), None);
    assert_eq!(status, 200, "{state}");
    state
}

fn size(bench: &Bench) -> usize {
    bench.call("GET", "/api/gates/gate_a/attestations?limit=1000", None).1.as_array().unwrap().len()
}

/// Writes past the service, as what its operator configures must have routes.
fn configure(bench: &Bench, config: &Value) {
    bench.sql(&format!("UPDATE gates SET config = '{config}' WHERE gate_id = 'gate_a'"));
}

fn what_is_allowed_is_counted_spent_and_recorded(database: Option<&str>) {
    let bench = bench(database);
    let id = issue(&bench, json!({"core:rate:max_per_day": 3, "max_daily_cost": 1000}));
    let answer = enforce(
        &bench,
        &id,
        json!({"target": "https://api.example.com/v1", "cost_cents": 250, "metadata": {"order": 7}}),
    );
    assert_eq!((&answer["decision"], &answer["cumulative_cost"]), (&json!("allow"), &json!(250)), "{answer}");
    let names: Vec<_> = answer["evaluations"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["core:rate:max_per_day", "core:cost:max_cumulative"]);
    assert_eq!(answer["evaluations"][1]["detail"], "$2.50/$10.00 daily spend used");
    assert_eq!(answer["sequence_number"], 1);
    let record = bench
        .call("GET", &format!("/api/enforcement/{}", answer["attestation_id"].as_str().unwrap()), None)
        .1;
    for (member, expected) in [
        ("decision", json!("allow")),
        ("passport_id", json!(id)),
        ("action", json!("book")),
        ("target", json!("api.example.com")),
        ("sequence_number", json!(1)),
        ("constraint_evaluations", answer["evaluations"].clone()),
    ] {
        assert_eq!(record[member], expected, "{record}");
    }
    assert_eq!((&record["request"]["path"], &record["request"]["cost_cents"]), (&json!("/v1"), &json!(250)));
    assert_eq!(record["reported"]["metadata"], json!({"order": 7}));
    let verified = bench
        .call(
            "POST",
            &format!("/api/enforcement/{}/verify", answer["attestation_id"].as_str().unwrap()),
            None,
        )
        .1;
    assert_eq!(verified["valid"], true, "{verified}");

    for _ in 0..2 {
        assert_eq!(enforce(&bench, &id, json!({}))["decision"], "allow");
    }
    let over = enforce(&bench, &id, json!({"cost_cents": 1}));
    assert_eq!(
        (blocked_by(&over), &over["reason_code"]),
        ("core:rate:max_per_day", &json!("rate_limit_exceeded"))
    );
    assert!(over["retry_after_seconds"].as_u64().unwrap() > 0);
    let told = state(&bench, &id);
    assert_eq!((&told["cost_cumulative_cents"], &told["action_counts"]["book"]), (&json!(250), &json!(3)));
    assert_eq!(told["sequence_number"], over["sequence_number"]);
    let day = told["rates"].as_array().unwrap().iter().find(|rate| rate["window_type"] == "day").unwrap();
    assert_eq!((&day["count"], &day["permission"]), (&json!(3), &json!("book")));
    // Set back, it counts from nothing.
    let reset = format!("/api/passports/{id}/state/reset");
    assert_eq!(bench.call("POST", &reset, Some(json!({"window_type": "total"}))).0, 200);
    assert_eq!(enforce(&bench, &id, json!({}))["decision"], "block");
    assert_eq!(bench.call("POST", &reset, Some(json!({"window_type": "daily"}))).0, 200);
    assert_eq!(state(&bench, &id)["cost_cumulative_cents"], 0);
    assert_eq!(enforce(&bench, &id, json!({"cost_cents": 1000}))["cumulative_cost"], 1000);

    let lines = export(&bench, "format=jsonl&gate_id=gate_a");
    let verdict = audit(&keys(&bench, "gate_a"), &lines, None).unwrap();
    assert_eq!((verdict.records, verdict.lanes), (6, 1));
    assert_eq!((verdict.decisions["allow"], verdict.decisions["block"]), (4, 2));
    let blocks =
        bench.call("GET", &format!("/api/passports/{id}/enforcement?decision=block&limit=1"), None).1;
    assert_eq!(blocks.as_array().unwrap().len(), 1);
}

fn each_guardrail_of_passport_and_gate_blocks_by_its_name(database: Option<&str>) {
    let bench = bench(database);
    for (constraints, asked, expected) in [
        (json!({"allowed_domains": ["a.example"]}), json!({"target": "https://a.example/x"}), ""),
        (
            json!({"allowed_domains": ["a.example"]}),
            json!({"target": "b.example"}),
            "core:scope:domain_allowlist",
        ),
        (json!({"allowed_domains": ["a.example"]}), json!({}), "core:scope:domain_allowlist"),
        (
            json!({"core:scope:domain_blocklist": ["b.example"]}),
            json!({"target": "https://B.example.:443/"}),
            "core:scope:domain_blocklist",
        ),
        (json!({"allowed_paths": ["/docs/*"]}), json!({"target": "/docs/a"}), ""),
        (json!({"allowed_paths": ["/docs/*"]}), json!({"target": "/other"}), "core:scope:path_allowlist"),
        (json!({"allowed_models": ["m1"]}), json!({"metadata": {"model": "m1"}}), ""),
        (
            json!({"allowed_models": ["m1"]}),
            json!({"metadata": {"model": "m2"}}),
            "core:scope:model_allowlist",
        ),
        (json!({"allowed_models": ["m1"]}), json!({}), "core:scope:model_allowlist"),
        (json!({"core:data:read_only": true}), json!({}), ""),
        (json!({"core:data:read_only": true}), json!({"action": "posts:delete"}), "core:data:read_only"),
        (json!({"core:data:read_only": true}), json!({"context": {"method": "POST"}}), "core:data:read_only"),
        (json!({"max_per_action_cost": 100}), json!({"cost_cents": 100}), ""),
        (json!({"max_per_action_cost": 100}), json!({"cost_cents": 101}), "core:cost:max_per_action"),
        (json!({"max_total_cost": 100}), json!({"cost_cents": 101}), "core:cost:max_cumulative"),
        (json!({"rate_limit_per_minute": 0}), json!({}), "core:rate:max_per_minute"),
        (
            json!({"core:time:blackout_windows": {"start": "2020-01-01T00:00:00Z", "end": "2100-01-01T00:00:00Z"}}),
            json!({}),
            "core:time:blackout_windows",
        ),
        (json!({"core:data:no_pii_export": true}), json!({}), "constraints"),
        (json!({"made_up": 1}), json!({}), "constraints"),
    ] {
        let id = issue(&bench, constraints.clone());
        let answer = enforce(&bench, &id, asked.clone());
        assert_eq!(blocked_by(&answer), expected, "{constraints} {asked} {answer}");
    }
    // The gate's own hold besides, and count by agent whatever the passport.
    configure(
        &bench,
        &json!({"guardrails": {"book": {"rate_limits": {"requests_per_day": 2}}, "spend_limits": {"daily_usd": 5}}}),
    );
    let ids: Vec<_> = (0..3).map(|_| issue(&bench, json!({}))).collect();
    assert_eq!(enforce(&bench, &ids[0], json!({"cost_cents": 300}))["decision"], "allow");
    assert_eq!(blocked_by(&enforce(&bench, &ids[1], json!({"cost_cents": 201}))), "core:cost:max_cumulative");
    assert_eq!(enforce(&bench, &ids[1], json!({"cost_cents": 200}))["decision"], "allow");
    assert_eq!(blocked_by(&enforce(&bench, &ids[2], json!({}))), "core:rate:max_per_day");
    assert_eq!(enforce(&bench, &ids[2], json!({"action": "posts:delete"}))["decision"], "allow");
    // A gate that only reports says so.
    assert_eq!(enforce(&bench, &ids[2], json!({}))["mode"], "enforce");
    configure(&bench, &json!({"mode": "report", "guardrails": {"core:rate:max_per_day": 0}}));
    let reported = enforce(&bench, &ids[2], json!({}));
    assert_eq!((&reported["mode"], &reported["decision"]), (&json!("report"), &json!("block")));
}

fn a_passport_that_does_not_hold_is_blocked_and_recorded(database: Option<&str>) {
    let bench = bench(database);
    let id = issue(&bench, json!({}));
    let beyond = enforce(&bench, &id, json!({"action": "fly"}));
    assert_eq!((blocked_by(&beyond), &beyond["reason_code"]), ("permission", &json!("permission_denied")));
    bench.call("DELETE", &format!("/api/gates/gate_a/passports/{id}"), None);
    let revoked = enforce(&bench, &id, json!({}));
    assert_eq!((blocked_by(&revoked), &revoked["reason_code"]), ("revocation", &json!("passport_revoked")));
    let rows = bench.call("GET", &format!("/api/passports/{id}/enforcement"), None).1;
    let agents: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["agent"].is_null()).collect();
    assert_eq!(agents, [true, false], "who comes with what was revoked is nobody: {rows}");

    // One that agents have signed themselves belongs to no gate.
    let own = self_issued(&agent(2), "pp_self_1", &["book"]);
    assert_eq!(bench.call("POST", "/api/passports/register", Some(own)).0, 200);
    let asked = json!({"passport_id": "pp_self_1", "action": "book"});
    let (status, error) = bench.call("POST", "/api/enforce", Some(asked));
    assert_eq!((status, &error["field"]), (422, &json!("gate_id")));
    let here = json!({"gate_id": "a"});
    assert_eq!(enforce(&bench, "pp_self_1", here.clone())["reason_code"], "self_issued_not_allowed");
    bench.call("PATCH", "/api/gates/gate_a", Some(json!({"allow_self_issued": true})));
    assert_eq!(enforce(&bench, "pp_self_1", here)["decision"], "allow");
}

fn those_that_decide_at_once_let_no_more_through_than_the_limit_and_fork_no_lane(database: Option<&str>) {
    let bench = bench(database);
    let id = issue(&bench, json!({"core:rate:max_per_day": 10, "max_total_cost": 700}));
    // SQLite serves one instance.
    let second = database.map(|_| {
        let mut control = bench.control.clone();
        [control.address] = xtask::net::free().unwrap();
        control.start_with_key(&bench.service.key).unwrap()
    });
    let body = json!({"passport_id": id, "action": "book", "cost_cents": 100}).to_string();
    let services = [&bench.service, second.as_ref().unwrap_or(&bench.service)];
    let decisions = |times: usize| -> Vec<String> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|thread| {
                    let (service, body) = (services[thread % 2], &body);
                    scope.spawn(move || {
                        let decide = |_| {
                            let answer = service.call("POST", "/api/enforce", Some(body)).unwrap();
                            let answer: Value = serde_json::from_slice(&answer.body).unwrap();
                            answer["decision"].as_str().unwrap().to_owned() + blocked_by(&answer)
                        };
                        (0..times).map(decide).collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        })
    };
    let all = decisions(4);
    let count = |what: &str| all.iter().filter(|decision| *decision == what).count();
    assert_eq!((count("allow"), count("blockcore:cost:max_cumulative")), (7, 25), "{all:?}");
    bench.call("POST", &format!("/api/passports/{id}/state/reset"), Some(json!({"window_type": "total"})));
    let all = decisions(2);
    let count = |what: &str| all.iter().filter(|decision| *decision == what).count();
    assert_eq!((count("allow"), count("blockcore:rate:max_per_day")), (3, 13), "{all:?}");
    let lines = export(&bench, "format=jsonl&gate_id=gate_a");
    let verdict = audit(&keys(&bench, "gate_a"), &lines, None).unwrap();
    assert_eq!((verdict.records, verdict.lanes), (48, 1));
}

fn gates_and_the_service_share_a_cap_to_the_cent(database: Option<&str>) {
    let bench = Bench::new(database);
    let key = SecretKey::from_seed([1; 32]);
    let config = enrolled(&bench, "gate_a", &key);
    let trusted = ServiceKeys::new(&config.service.keys).unwrap();
    let id = issue(&bench, json!({"max_daily_cost": 1000}));
    let lease = |want_cents: u64| -> SpendGrant {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        let mut random = [0; 16];
        random[..8].copy_from_slice(&COUNT.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        let names = SpendNames { issuer: "gate_a", passport_id: &id, permission: "book" };
        let caps = SpendCaps { daily_cents: Some(1000), ..SpendCaps::default() };
        let ask = SpendAsk {
            account: names.id(),
            issuer: names.issuer.to_owned(),
            passport_id: id.clone(),
            permission: "book".to_owned(),
            caps,
            lease: Some(random),
            want_cents,
            spent: Vec::new(),
        };
        let asked = SpendQuestion { accounts: vec![ask], lane: [1; 16], random };
        let path = "/gate/v1/gates/gate_a/spend";
        let call = ("POST", path, "", asked.to_json());
        let answer =
            signed(bench.service.address, &key, (call.0, call.1, call.2, call.3.as_bytes()), now(), random);
        assert_eq!(answer.status, 200);
        asked.read_answer(&answer.body, "gate_a", &trusted, now()).unwrap().accounts[0]
    };
    assert_eq!(lease(600).granted_cents, 600);
    let over = enforce(&bench, &id, json!({"cost_cents": 401}));
    assert_eq!(blocked_by(&over), "core:cost:max_cumulative");
    assert_eq!(over["block_reason"], "$6.00/$10.00 daily spend used");
    assert_eq!(enforce(&bench, &id, json!({"cost_cents": 399}))["decision"], "allow");
    assert_eq!(lease(5).granted_cents, 1);
    assert_eq!(blocked_by(&enforce(&bench, &id, json!({"cost_cents": 1}))), "core:cost:max_cumulative");
    let told = state(&bench, &id);
    let daily = &told["windows"][0];
    assert_eq!((&daily["cost_cumulative_cents"], &daily["held_cents"]), (&json!(399), &json!(601)), "{told}");
    // Nothing was counted of what was blocked.
    assert_eq!(told["action_counts"]["book"], 1);
}

fn what_a_person_approves_passes_once(database: Option<&str>) {
    let bench = bench(database);
    let id = issue(&bench, json!({"core:cost:approval_threshold": 100, "core:rate:max_per_day": 2}));
    assert_eq!(enforce(&bench, &id, json!({"cost_cents": 100}))["decision"], "allow");
    let asked = json!({"cost_cents": 101, "target": "api.example.com", "metadata": {"b": 1, "a": 2}});
    let held = enforce(&bench, &id, asked.clone());
    assert_eq!(
        (&held["decision"], &held["reason_code"]),
        (&json!("request_hold"), &json!("approval_required"))
    );
    assert_eq!((blocked_by(&held), &held["cumulative_cost"]), ("", &json!(100)));
    let path = format!("/api/approvals/{}", held["approval_request_id"].as_str().unwrap());
    let shown = bench.call("GET", &path, None).1;
    for (member, expected) in [
        ("status", json!("pending")),
        ("attestation_id", held["attestation_id"].clone()),
        ("agent_id", json!("agent-1")),
        ("action", json!("book")),
        ("target", json!("api.example.com")),
        ("cost_cents", json!(101)),
    ] {
        assert_eq!(shown[member], expected, "{shown}");
    }
    assert!(
        shown["summary"].as_str().unwrap().starts_with("agent-1 asks for book: api.example.com for $1.01")
    );
    // Until somebody answers, it waits again, under another id.
    assert_eq!(enforce(&bench, &id, asked.clone())["decision"], "request_hold");
    let resolve = format!("{path}/resolve");
    assert_eq!(bench.call("POST", &resolve, Some(json!({"decision": "approve"}))).0, 200);
    // Another cost, other notes, another target: another action.
    for other in [
        json!({"cost_cents": 102, "target": "api.example.com", "metadata": {"b": 1, "a": 2}}),
        json!({"cost_cents": 101, "target": "api.example.com", "metadata": {"b": 1, "a": 3}}),
        json!({"cost_cents": 101, "target": "evil.example", "metadata": {"b": 1, "a": 2}}),
    ] {
        assert_eq!(enforce(&bench, &id, other)["decision"], "request_hold");
    }
    let same = json!({"metadata": {"a": 2, "b": 1}, "target": "api.example.com", "cost_cents": 101});
    let passed = enforce(&bench, &id, same.clone());
    assert_eq!((&passed["decision"], &passed["cumulative_cost"]), (&json!("allow"), &json!(201)), "{passed}");
    assert_eq!(passed["approval_request_id"], held["approval_request_id"]);
    // A block goes before what would be held.
    assert_eq!(blocked_by(&enforce(&bench, &id, same.clone())), "core:rate:max_per_day");
    bench.call("POST", &format!("/api/passports/{id}/state/reset"), Some(json!({})));
    assert_eq!(enforce(&bench, &id, same)["decision"], "request_hold", "it was used");
    let lines = export(&bench, "format=jsonl&gate_id=gate_a");
    let verdict = audit(&keys(&bench, "gate_a"), &lines, None).unwrap();
    assert_eq!((verdict.decisions["approved"], verdict.decisions["request_hold"]), (1, 6));
}

fn an_approval_is_kept_for_when_a_cap_has_room_again(database: Option<&str>) {
    let bench = bench(database);
    let id = issue(&bench, json!({"core:cost:approval_threshold": 100, "max_total_cost": 300}));
    let asked = json!({"cost_cents": 200});
    let held = enforce(&bench, &id, asked.clone());
    let path = format!("/api/approvals/{}/resolve", held["approval_request_id"].as_str().unwrap());
    assert_eq!(bench.call("POST", &path, Some(json!({"decision": "approve"}))).0, 200);
    for _ in 0..2 {
        assert_eq!(enforce(&bench, &id, json!({"cost_cents": 90}))["decision"], "allow");
    }
    let over = enforce(&bench, &id, asked.clone());
    assert_eq!((&over["decision"], &over["approval_request_id"]), (&json!("block"), &Value::Null), "{over}");
    // Nobody is asked for more than there is, either.
    assert_eq!(enforce(&bench, &id, json!({"cost_cents": 201}))["decision"], "block");
    bench.call("POST", &format!("/api/passports/{id}/state/reset"), Some(json!({})));
    let passed = enforce(&bench, &id, asked);
    assert_eq!(passed["approval_request_id"], held["approval_request_id"], "{passed}");
}

fn a_sum_that_no_document_can_tell_is_not_passed(database: Option<&str>) {
    let bench = bench(database);
    let id = issue(&bench, json!({}));
    assert_eq!(enforce(&bench, &id, json!({"cost_cents": 1}))["decision"], "allow");
    bench.sql("UPDATE spend_accounts SET spent_cents = 9007199254740990");
    assert_eq!(enforce(&bench, &id, json!({"cost_cents": 1}))["decision"], "allow");
    assert_eq!(enforce(&bench, &id, json!({"cost_cents": 1}))["decision"], "block");
}

fn what_is_asked_must_be_of_its_form_and_its_caller_must_have_the_scope(database: Option<&str>) {
    let bench = bench(database);
    let id = issue(&bench, json!({}));
    for (more, field) in [
        (json!({"passport_id": ""}), "passport_id"),
        (json!({"action": "a b"}), "action"),
        (json!({"cost_cents": -1}), "cost_cents"),
        (json!({"cost_cents": 1_000_000_000_000_000_u64}), "cost_cents"),
        (json!({"target": "https://a@b.example/"}), "target"),
        (json!({"target": "/a/../b"}), "target"),
        (json!({"metadata": {"method": "BREW"}}), "metadata.method"),
        (json!({"metadata": {"method": 5}}), "metadata.method"),
        (json!({"metadata": {"note": "x".repeat(20_000)}}), "metadata"),
    ] {
        let mut asked = json!({"passport_id": id, "action": "book"});
        for (name, value) in more.as_object().unwrap() {
            asked[name] = value.clone();
        }
        let (status, error) = bench.call("POST", "/api/enforce", Some(asked));
        assert_eq!((status, error["field"].as_str()), (422, Some(field)), "{error}");
    }
    for (passport, gate) in [("pp_none", None), (id.as_str(), Some("gate_none"))] {
        let asked = json!({"passport_id": passport, "action": "book", "gate_id": gate});
        assert_eq!(bench.call("POST", "/api/enforce", Some(asked)).0, 404);
    }
    assert_eq!(size(&bench), 0);
    let made = bench.call("POST", "/api/users/api-keys", Some(json!({"name": "c", "scopes": ["check"]}))).1;
    let mut request = Request::new("POST", "/api/enforce");
    request.body = json!({"passport_id": id, "action": "book"}).to_string().into_bytes();
    assert_eq!(request.send(bench.service.address).unwrap().status, 401);
    let bearer = format!("Bearer {}", made["key"].as_str().unwrap());
    request.headers.push(("authorization".to_owned(), bearer));
    assert_eq!(request.send(bench.service.address).unwrap().status, 403);
}

fn checks_and_dry_runs_judge_by_what_was_counted_and_change_nothing(database: Option<&str>) {
    let bench = bench(database);
    let id = issue(
        &bench,
        json!({"core:rate:max_per_day": 2, "max_daily_cost": 500, "allowed_domains": ["a.example"],
            "core:cost:approval_threshold": 400}),
    );
    let check = |more: Value| {
        let mut asked = json!({"action": "book", "passport_id": id, "target": "https://a.example/x"});
        for (name, value) in more.as_object().unwrap() {
            asked[name] = value.clone();
        }
        let (status, answer) = bench.call("POST", "/api/gates/gate_a/check", Some(asked));
        assert_eq!((status, &answer["attestation_id"]), (200, &Value::Null), "{answer}");
        (answer["decision"].clone(), answer["reason_code"].clone(), answer["checks"].clone())
    };
    let run = |requested: Value| {
        let asked = json!({"gate_id": "gate_a", "passport": {"passport_id": id}, "requested_permission": "book",
            "requested_constraints": requested});
        let (status, answer) = bench.call("POST", "/api/authorize/dry-run", Some(asked));
        assert_eq!(status, 200, "{answer}");
        (answer["decision"].clone(), answer["constraints_satisfied"].clone())
    };
    for _ in 0..5 {
        assert_eq!(check(json!({"cost_cents": 300})).0, "allow");
    }
    assert_eq!(check(json!({"target": "b.example"})).1, "constraint_violated");
    assert_eq!(check(json!({"cost_cents": 501})).1, "spend_limit_exceeded");
    assert_eq!(check(json!({"cost_cents": 401})).1, "approval_required");
    assert_eq!(run(json!({"target": "a.example", "cost_cents": 500})), (json!("request_hold"), json!(true)));
    assert_eq!(
        run(json!({"target": "a.example", "max_per_action_cost": 501})),
        (json!("block"), json!(false))
    );
    assert_eq!(run(json!({})), (json!("block"), json!(false)), "no target is in no allowlist");
    let asked = json!({"gate_id": "gate_a", "passport": {"passport_id": id}, "requested_permission": "book",
        "requested_constraints": {"made_up": 1}});
    assert_eq!(bench.call("POST", "/api/authorize/dry-run", Some(asked)).0, 422);
    assert_eq!(size(&bench), 0);
    let told = state(&bench, &id);
    assert_eq!(
        (&told["windows"], &told["rates"], &told["sequence_number"]),
        (&json!([]), &json!([]), &json!(0))
    );
    assert_eq!(bench.call("GET", "/api/approvals", None).1, json!([]));

    // What was counted and spent is looked at.
    let target = json!({"target": "a.example", "cost_cents": 300});
    assert_eq!(enforce(&bench, &id, target.clone())["decision"], "allow");
    assert_eq!(check(json!({"cost_cents": 201})).1, "spend_limit_exceeded");
    assert_eq!(check(json!({"cost_cents": 200})).0, "allow");
    assert_eq!(enforce(&bench, &id, json!({"target": "a.example"}))["decision"], "allow");
    let (decision, reason, checks) = check(json!({}));
    assert_eq!((decision, reason), (json!("block"), json!("rate_limit_exceeded")));
    let steps = checks.as_array().unwrap();
    let last: Vec<_> = steps.iter().rev().take(2).map(|step| (&step["name"], &step["result"])).collect();
    assert_eq!(
        last,
        [(&json!("constraints"), &json!("fail")), (&json!("core:rate:max_per_day"), &json!("block"))]
    );
    assert_eq!(run(target).0, "block");
}
