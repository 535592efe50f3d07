//! Signing keys: their change, their end, and that no private half is ever seen.

use crate::common::Bench;
use portcullis_control::db::Db;
use portcullis_control::vault::Vault;
use portcullis_core::{SecretKey, base64};
use serde_json::{Value, json};
use sqlx::Row;
use std::path::Path;
use xtask::on_every_database;

on_every_database!(
    a_rotated_key_takes_over_and_the_former_one_ends,
    a_key_without_a_successor_is_not_retired,
    the_owner_must_exist_and_the_times_be_bounded,
    no_private_half_and_no_api_key_is_in_any_answer_or_in_the_log,
);

fn keys(bench: &Bench, purpose: &str) -> Vec<Value> {
    let (status, page) =
        bench.call("GET", &format!("/api/v1/signing-keys?purpose={purpose}&owner=service"), None);
    assert_eq!(status, 200, "{page}");
    assert_eq!(page["total"], json!(page["keys"].as_array().unwrap().len()));
    page["keys"].as_array().unwrap().clone()
}

fn rotate(bench: &Bench, body: Value) -> Value {
    let (status, made) = bench.call("POST", "/api/v1/signing-keys/rotate", Some(body));
    assert_eq!(status, 201, "{made}");
    made
}

fn a_rotated_key_takes_over_and_the_former_one_ends(database: Option<&str>) {
    let bench = Bench::new(database);
    let former = keys(&bench, "trust")[0].clone();
    assert_eq!(former["not_after"], Value::Null);
    assert_eq!(former["pin"]["key_id"], former["key_id"]);
    assert_eq!(former["pin"]["public_key"], former["public_key"]);
    let made = rotate(&bench, json!({"purpose": "trust", "lead_seconds": 60, "overlap_seconds": 60}));
    let listed = keys(&bench, "trust");
    assert_eq!(listed[0], made);
    assert_eq!(listed[1]["key_id"], former["key_id"]);
    let end = listed[1]["not_after"].as_str().unwrap();
    assert_eq!(listed[1]["pin"]["not_after"], end);
    assert!(made["signs_from"].as_str().unwrap() < end, "what the former key signed is taken for a while");

    // The former is compromised before its time: its successor signs at once.
    let path = format!("/api/v1/signing-keys/{}/retire", former["key_id"].as_str().unwrap());
    let (status, retired) = bench.call("POST", &path, None);
    assert_eq!(status, 200, "{retired}");
    let listed = keys(&bench, "trust");
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0]["signs_from"], retired["not_after"]);
    assert_eq!(bench.call("POST", &path, None).0, 404);

    let (_, page) = bench.call("GET", "/api/v1/audit?limit=2", None);
    let actions: Vec<_> =
        page["lines"].as_array().unwrap().iter().map(|line| line["action"].clone()).collect();
    assert_eq!(actions, ["signing_key.retire", "signing_key.rotate"]);
}

fn a_key_without_a_successor_is_not_retired(database: Option<&str>) {
    let bench = Bench::new(database);
    let only = keys(&bench, "badges")[0]["key_id"].as_str().unwrap().to_owned();
    assert_eq!(bench.call("POST", &format!("/api/v1/signing-keys/{only}/retire"), None).0, 409);
    // The former key is no successor, though it still verifies: it has an end.
    let made = rotate(&bench, json!({"purpose": "badges", "lead_seconds": 0}));
    let newest = made["key_id"].as_str().unwrap();
    assert_eq!(bench.call("POST", &format!("/api/v1/signing-keys/{newest}/retire"), None).0, 409);
    assert_eq!(bench.call("POST", &format!("/api/v1/signing-keys/{only}/retire"), None).0, 200);
    assert_eq!(keys(&bench, "badges").len(), 1);
}

fn the_owner_must_exist_and_the_times_be_bounded(database: Option<&str>) {
    let bench = Bench::new(database);
    let answer = |body: Value| bench.call("POST", "/api/v1/signing-keys/rotate", Some(body));
    assert_eq!(answer(json!({"purpose": "passports", "owner": "iss_none"})).0, 404);
    assert_eq!(answer(json!({"purpose": "passports"})).0, 404);
    for (member, value) in
        [("lead_seconds", -1), ("lead_seconds", 2_678_401), ("overlap_seconds", 316_224_001)]
    {
        let (status, error) = answer(json!({"purpose": "trust", member: value}));
        assert_eq!((status, &error["field"]), (422, &json!(member)), "{error}");
    }
    assert_eq!(answer(json!({"purpose": "all"})).0, 422);
    assert_eq!(bench.call("POST", "/api/v1/signing-keys/none/retire", None).0, 404);
}

fn no_private_half_and_no_api_key_is_in_any_answer_or_in_the_log(database: Option<&str>) {
    let bench = Bench::new(database);
    rotate(&bench, json!({"purpose": "trust"}));
    rotate(&bench, json!({"purpose": "badges"}));
    bench.call("POST", "/api/v1/signing-keys/rotate", Some(json!({"purpose": "trust", "lead_seconds": -1})));
    let mut seen = String::new();
    for path in [
        "/api/v1/signing-keys",
        "/api/v1/audit",
        "/api/users/api-keys",
        "/metrics",
        "/openapi.json",
        "/readyz",
    ] {
        let answer = bench.service.call("GET", path, None).unwrap();
        assert_eq!(answer.status, 200, "{path}");
        seen.push_str(&String::from_utf8(answer.body).unwrap());
    }
    seen.push_str(&std::fs::read_to_string(&bench.control.log).unwrap());
    let seeds = seeds(&bench);
    assert_eq!(seeds.len(), 4);
    for seed in seeds {
        let hex: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
        for form in [base64::encode(&seed), base64::encode_url(&seed), hex, format!("{seed:?}")] {
            assert!(!seen.contains(&form), "a private half was seen");
        }
        let public = base64::encode(&SecretKey::from_seed(seed).public_key());
        assert!(seen.contains(&public), "its public half is listed");
    }
    assert!(!seen.contains(&bench.service.key), "an API key was seen");
}

/// The private halves of all keys, opened as the service opens them.
fn seeds(bench: &Bench) -> Vec<[u8; 32]> {
    let vault = if bench.control.database.starts_with("sqlite:") {
        let file = bench.control.database.trim_start_matches("sqlite:");
        Vault::from_file(Path::new(&format!("{file}.key"))).unwrap()
    } else {
        // As xtask::control has it.
        Vault::new("cG9ydGN1bGxpcyB0ZXN0cyBvbmx5LCAzMiBieXRlcyE=").unwrap()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let db = Db::open(&bench.control.database).await.unwrap();
        let rows = sqlx::query("SELECT purpose, owner, key_id, sealed_seed FROM signing_keys");
        let rows = rows.fetch_all(db.pool()).await.unwrap();
        let text = |row: &sqlx::any::AnyRow, name: &str| row.get::<String, _>(name);
        rows.iter()
            .map(|row| {
                let about =
                    format!("{}/{}/{}", text(row, "purpose"), text(row, "owner"), text(row, "key_id"));
                vault.open(&about, &text(row, "sealed_seed")).unwrap().try_into().unwrap()
            })
            .collect()
    })
}
