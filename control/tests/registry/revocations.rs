//! Revoked badges: their status, and the feed by which others learn of them.

use super::support::{Agent, ORIGIN, anyone, in_database, read, revoked, verdict};
use crate::common::Bench;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use xtask::on_every_database;

on_every_database!(
    a_revoked_badge_is_so_everywhere,
    a_badge_that_gates_know_as_revoked_is_revoked_for_followers_too,
    the_feed_loses_and_doubles_nothing_in_pages_of_any_size,
    the_feed_loses_and_doubles_nothing_while_badges_are_revoked,
    the_feed_can_be_read_from_a_time,
);

fn a_revoked_badge_is_so_everywhere(database: Option<&str>) {
    let bench = Bench::new(database);
    let agent = Agent::with_did_key(&bench, 1, "1");
    let badge = agent.badge(&bench);
    let (token, jti) = (badge["badge"].as_str().unwrap(), badge["jti"].as_str().unwrap());
    let path = format!("/v1/badges/{jti}/status");
    let expires_at = &badge["expires_at"];
    let good = json!({"jti": jti, "revoked": false, "expires_at": expires_at, "expiresAt": expires_at});
    assert_eq!(read(&bench, &path), good);
    let revoke = |jti: &str, body| bench.call("POST", &format!("/v1/badges/{jti}/revoke"), body);
    let (status, told) = revoke(&jti.to_uppercase(), Some(json!({"reason": "key compromise"})));
    assert_eq!(status, 200, "{told}");
    assert_eq!((&told["revoked"], &told["reason"]), (&json!(true), &json!("key compromise")));
    assert_eq!(read(&bench, &path), told);
    assert_eq!(verdict(&bench, token), "BADGE_REVOKED");
    // Again: nothing changes, not even the reason.
    assert_eq!(revoke(jti, Some(json!({"reason": "other"}))), (200, told.clone()));
    let feed = read(&bench, "/v1/revocations");
    let entry = json!({"jti": jti, "revokedAt": told["revokedAt"], "reason": "key compromise"});
    assert_eq!(feed["revocations"], json!([entry]));
    assert!(feed["syncedAt"].is_string());
    assert_eq!(revoked(&bench, "b"), [jti.to_owned()]);
    assert_eq!(revoke("550e8400-e29b-41d4-a716-446655440000", None).0, 404);
    assert_eq!(anyone(&bench, "GET", "/v1/badges/nonsense/status", &Value::Null).0, 404);
    assert_eq!(revoke(jti, Some(json!({"reason": ""}))).0, 422);
}

fn a_badge_that_gates_know_as_revoked_is_revoked_for_followers_too(database: Option<&str>) {
    let bench = Bench::new(database);
    let badge = Agent::with_did_key(&bench, 1, "1").badge(&bench);
    let (token, jti) = (badge["badge"].as_str().unwrap(), badge["jti"].as_str().unwrap());
    let listed = json!({"kind": "badge", "issuer": ORIGIN, "ids": [jti]});
    assert_eq!(bench.call("POST", "/api/v1/revocations", Some(listed)).0, 200);
    let (status, told) = bench.call("POST", &format!("/v1/badges/{jti}/revoke"), Some(json!({})));
    assert_eq!((status, &told["revoked"]), (200, &json!(true)), "{told}");
    assert_eq!(verdict(&bench, token), "BADGE_REVOKED");
    assert_eq!(read(&bench, "/v1/revocations")["revocations"][0]["jti"], jti);
}

/// Revokes a new badge; its id.
fn revoke_one(bench: &Bench, agent: &Agent) -> String {
    let jti = agent.badge(bench)["jti"].as_str().unwrap().to_owned();
    assert_eq!(bench.call("POST", &format!("/v1/badges/{jti}/revoke"), Some(json!({}))).0, 200);
    jti
}

/// A page from a cursor: its ids, the next cursor, and whether there is more.
fn page(bench: &Bench, since: &str, limit: usize) -> (Vec<String>, String, bool) {
    let query = if since.is_empty() { String::new() } else { format!("since={since}&") };
    let page = read(bench, &format!("/v1/revocations?{query}limit={limit}"));
    let ids = page["revocations"].as_array().unwrap().iter();
    let ids = ids.map(|entry| entry["jti"].as_str().unwrap().to_owned()).collect();
    (ids, page["nextCursor"].as_str().unwrap().to_owned(), page["hasMore"].as_bool().unwrap())
}

fn the_feed_loses_and_doubles_nothing_in_pages_of_any_size(database: Option<&str>) {
    let bench = Bench::new(database);
    let agent = Agent::with_did_key(&bench, 1, "1");
    let mut expected: Vec<_> = (0..12).map(|_| revoke_one(&bench, &agent)).collect();
    // All in one millisecond.
    in_database(&bench, &["UPDATE badges SET revoked_at = 1700000000000"]);
    for limit in 1..=13 {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        // One page for each at most, and an empty one.
        for _ in 0..13 {
            let (ids, next, has_more) = page(&bench, &cursor, limit);
            assert!(ids.len() <= limit);
            found.extend(ids);
            cursor = next;
            if !has_more {
                break;
            }
        }
        assert_eq!(found, expected, "pages of {limit}");
        let (ids, next, has_more) = page(&bench, &cursor, limit);
        assert_eq!((ids.len(), next.as_str(), has_more), (0, cursor.as_str(), false));
    }
    let (_, cursor, _) = page(&bench, "", 1000);
    expected = vec![revoke_one(&bench, &agent)];
    assert_eq!(page(&bench, &cursor, 1000).0, expected);
    for wrong in ["limit=0", "limit=1001", "limit=x", "since=x", "since=", "since=YWZ0ZXIgLTE"] {
        assert_eq!(
            anyone(&bench, "GET", &format!("/v1/revocations?{wrong}"), &Value::Null).0,
            422,
            "{wrong}"
        );
    }
}

fn the_feed_loses_and_doubles_nothing_while_badges_are_revoked(database: Option<&str>) {
    let bench = Bench::new(database);
    let done = AtomicBool::new(false);
    let agents: Vec<_> = (1..=4).map(|seed| Agent::with_did_key(&bench, seed, "1")).collect();
    let (expected, found) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut found, mut cursor) = (Vec::new(), String::new());
            loop {
                let was_done = done.load(Ordering::SeqCst);
                let (ids, next, has_more) = page(&bench, &cursor, 3);
                found.extend(ids);
                cursor = next;
                if was_done && !has_more {
                    return found;
                }
            }
        });
        let bench = &bench;
        let writers: Vec<_> = agents
            .iter()
            .map(|agent| scope.spawn(move || (0..15).map(|_| revoke_one(bench, agent)).collect::<Vec<_>>()))
            .collect();
        let expected: BTreeSet<_> = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        done.store(true, Ordering::SeqCst);
        (expected, reader.join().unwrap())
    });
    assert_eq!(found.len(), expected.len());
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
}

fn the_feed_can_be_read_from_a_time(database: Option<&str>) {
    let bench = Bench::new(database);
    let agent = Agent::with_did_key(&bench, 1, "1");
    let first = revoke_one(&bench, &agent);
    in_database(&bench, &["UPDATE badges SET revoked_at = 1700000000000"]);
    let second = revoke_one(&bench, &agent);
    assert_eq!(page(&bench, "2023-11-14T22:13:20Z", 10).0, [first, second.clone()]);
    let (ids, cursor, _) = page(&bench, "2023-11-14T22:13:21Z", 10);
    assert_eq!(ids, [second]);
    assert_eq!(page(&bench, &cursor, 10).0, Vec::<String>::new());
    // With nothing found yet, the cursor is still at that time.
    let (_, cursor, _) = page(&bench, "2099-01-01T00:00:00Z", 10);
    assert_eq!(page(&bench, &cursor, 10).0, Vec::<String>::new());
}
