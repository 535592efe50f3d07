//! Badges of IAL 0, the keys that they are signed with, and how they are judged.

use super::support::{Agent, ORIGIN, anyone, block_on, claims, in_database, jwk, read, trust, verdict};
use crate::common::Bench;
use portcullis_control::db::Db;
use portcullis_control::keys::{self, Purpose};
use portcullis_control::vault::Vault;
use portcullis_core::capiscio::{self, Audience, BadgeDraft, BadgeIssuer, Level};
use portcullis_core::{SecretKey, UnixTime};
use serde_json::json;
use std::path::Path;
use xtask::http::Request;
use xtask::on_every_database;

on_every_database!(
    a_badge_is_issued_in_the_form_of_the_rfc_and_of_the_client,
    a_badge_says_no_more_than_the_agent_is_registered_for,
    a_badges_life_and_audience_have_bounds,
    an_agent_gets_a_hundred_badges_in_an_hour,
    a_new_key_signs_and_the_old_ones_badges_stay_good,
    badges_of_others_are_not_this_registrys,
);

fn a_badge_is_issued_in_the_form_of_the_rfc_and_of_the_client(database: Option<&str>) {
    let bench = Bench::new(database);
    let agent = Agent::with_did_key(&bench, 1, "2");
    let audience = json!(["https://gate.example"]);
    let rfc = json!({"mode": "ial0", "badge_ttl": 600, "badge_aud": audience, "domain": "agents.example"});
    let client =
        json!({"domain": "agents.example", "trustLevel": "2", "duration": "10m0s", "audience": audience});
    for body in [rfc, client] {
        // The Go client does not encode what stands in the path.
        let path = format!("/v1/agents/{}/badge", agent.did);
        let (status, answer) = bench.call("POST", &path, Some(body));
        assert_eq!(status, 200, "{answer}");
        let token = answer["badge"].as_str().unwrap();
        let said = claims(token);
        let data = &answer["data"];
        assert_eq!(answer["success"], true);
        assert_eq!(data["token"], token);
        for (one, other) in [("jti", "jti"), ("expires_at", "expires_at")] {
            assert_eq!(answer[one], data[other]);
        }
        assert_eq!(data["expiresAt"], data["expires_at"]);
        assert_eq!((&data["trustLevel"], &data["trust_level"]), (&json!("2"), &json!("2")));
        assert_eq!((&data["subject"], &data["issuer"]), (&json!(agent.did), &json!(ORIGIN)));
        assert_eq!(
            (&said["jti"], &said["sub"], &said["iss"]),
            (&data["jti"], &data["subject"], &data["issuer"])
        );
        assert_eq!((&said["aud"], &said["ial"], &said["key"]), (&audience, &json!("0"), &jwk(&agent.key)));
        assert!(said["cnf"].is_null());
        assert_eq!(said["vc"]["credentialSubject"], json!({"level": "2", "domain": "agents.example"}));
        assert_eq!(said["exp"].as_i64().unwrap() - said["iat"].as_i64().unwrap(), 600);

        let trust = trust(&bench, Vec::new());
        let now = UnixTime::from_millis(super::support::now_ms());
        let badge = capiscio::verify(token.as_bytes(), &trust, now).unwrap();
        capiscio::check_standing(&badge, &trust, Audience::Unchecked, now).unwrap();
        assert_eq!(verdict(&bench, token), "valid");
    }
}

fn a_badge_says_no_more_than_the_agent_is_registered_for(database: Option<&str>) {
    let bench = Bench::new(database);
    let agent = Agent::with_did_key(&bench, 1, "2");
    let ask = |body| {
        let (status, answer) = bench.call("POST", &agent.path("badge"), Some(body));
        let found = answer["data"]["trustLevel"].as_str().or(answer["error"].as_str());
        format!("{status} {}", found.unwrap())
    };
    assert_eq!(ask(json!({"trustLevel": "3"})), "403 trust_level_exceeded");
    assert_eq!(ask(json!({"trustLevel": "1"})), "200 1");
    assert_eq!(ask(json!({"trustLevel": "0"})), "422 invalid");
    assert_eq!(ask(json!({"domain": "other.example"})), "403 domain_mismatch");
    let plain = Agent::with_own_did(&bench, 2);
    let (_, answer) = bench.call("POST", &plain.path("badge"), Some(json!({"domain": "agents.example"})));
    assert_eq!(answer["error"], "domain_mismatch");
    let (_, keyless) = bench.call("POST", "/v1/sdk/agents", Some(json!({"name": "keyless"})));
    let path = format!("/v1/agents/{}/badge", keyless["data"]["id"].as_str().unwrap());
    let (status, answer) = bench.call("POST", &path, Some(json!({})));
    assert_eq!((status, answer["error"].as_str()), (409, Some("public_key_missing")));
    let (status, answer) = bench.call("POST", "/v1/agents/nobody/badge", Some(json!({})));
    assert_eq!((status, answer["error"].as_str()), (404, Some("agent_not_found")));
}

fn a_badges_life_and_audience_have_bounds(database: Option<&str>) {
    let bench = Bench::new(database);
    let agent = Agent::with_did_key(&bench, 1, "1");
    let ask = |body| bench.call("POST", &agent.path("badge"), Some(body));
    let life = |body| {
        let (status, answer) = ask(body);
        assert_eq!(status, 200, "{answer}");
        let said = claims(answer["badge"].as_str().unwrap());
        said["exp"].as_i64().unwrap() - said["iat"].as_i64().unwrap()
    };
    assert_eq!(life(json!({})), 300);
    assert_eq!(life(json!({"badge_ttl": 60})), 60);
    assert_eq!(life(json!({"duration": "1h0m0s"})), 3600);
    for (field, wrong) in [
        ("badge_ttl", json!({"badge_ttl": 59})),
        ("badge_ttl", json!({"badge_ttl": 3601})),
        ("duration", json!({"duration": "59s"})),
        ("duration", json!({"duration": "1h0m1s"})),
        ("duration", json!({"duration": "soon"})),
        ("duration", json!({"duration": "5m0s", "badge_ttl": 300})),
        ("badge_aud", json!({"badge_aud": vec!["a"; 17]})),
        ("badge_aud[0]", json!({"badge_aud": [""]})),
        ("badge_aud[0]", json!({"badge_aud": ["a b"]})),
        ("audience", json!({"badge_aud": ["a"], "audience": ["a"]})),
    ] {
        let (status, answer) = ask(wrong);
        assert_eq!((status, answer["field"].as_str()), (422, Some(field)), "{answer}");
    }
}

fn an_agent_gets_a_hundred_badges_in_an_hour(database: Option<&str>) {
    let bench = Bench::new(database);
    let agent = Agent::with_did_key(&bench, 1, "1");
    for _ in 0..100 {
        agent.badge(&bench);
    }
    let mut request = Request::new("POST", &agent.path("badge"));
    request.headers.push(("x-capiscio-registry-key".to_owned(), bench.service.key.clone()));
    let answer = request.send(bench.service.address).unwrap();
    assert_eq!(answer.status, 429);
    let wait: i64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((3000..=3600).contains(&wait), "{wait}");
    let challenge = agent.challenge(&bench);
    let jws = agent.proof(&challenge).sign(&agent.key);
    assert_eq!(agent.answer(&bench, &challenge, &jws).0, 429);
    Agent::with_did_key(&bench, 2, "1").badge(&bench);
    in_database(&bench, &["UPDATE badges SET issued_at = issued_at - 3600000"]);
    agent.badge(&bench);
    // What was refused for the limit has not used its challenge up.
    assert_eq!(agent.answer(&bench, &challenge, &jws).0, 200);
}

fn a_new_key_signs_and_the_old_ones_badges_stay_good(database: Option<&str>) {
    let bench = Bench::new(database);
    let agent = Agent::with_did_key(&bench, 1, "1");
    let kids = || {
        let jwks = read(&bench, "/.well-known/jwks.json");
        jwks["keys"]
            .as_array()
            .unwrap()
            .iter()
            .map(|key| key["kid"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let kid_of = |token: &str| {
        let header = portcullis_core::base64::decode_url(token.split('.').next().unwrap()).unwrap();
        serde_json::from_slice::<serde_json::Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
    };
    let badge = || agent.badge(&bench)["badge"].as_str().unwrap().to_owned();
    let old = badge();
    assert_eq!(kids(), [kid_of(&old)]);
    let now = super::support::now_ms();
    rotate(&bench, now + 3_600_000, now + 7_200_000);
    assert_eq!(kids().len(), 2, "the next key is published before it signs");
    assert_eq!(kid_of(&badge()), kid_of(&old));
    in_database(
        &bench,
        &["UPDATE signing_keys SET signs_from = signs_from - 3600000 WHERE purpose = 'badges'"],
    );
    let new = badge();
    assert_ne!(kid_of(&new), kid_of(&old));
    assert!(kids().contains(&kid_of(&new)));
    let trust = trust(&bench, Vec::new());
    for token in [&old, &new] {
        assert_eq!(verdict(&bench, token), "valid");
        let now = UnixTime::from_millis(super::support::now_ms());
        capiscio::verify(token.as_bytes(), &trust, now).unwrap();
    }
    in_database(
        &bench,
        &["UPDATE signing_keys SET not_after = 1 WHERE purpose = 'badges' AND not_after IS NOT NULL"],
    );
    assert_eq!(kids(), [kid_of(&new)]);
    assert_eq!(verdict(&bench, &old), "BADGE_SIGNATURE_INVALID");
    let mut request = Request::new("GET", "/.well-known/jwks.json");
    request.headers.push(("accept".to_owned(), "application/json".to_owned()));
    let answer = request.send(bench.service.address).unwrap();
    assert_eq!(answer.header("cache-control"), Some("public, max-age=60"));
}

/// What an operator's rotation does.
fn rotate(bench: &Bench, takes_over_at: i64, others_until: i64) {
    let url = &bench.control.database;
    let vault = match url.strip_prefix("sqlite:") {
        Some(file) => Vault::from_file(Path::new(&format!("{file}.key"))),
        None => Vault::new("cG9ydGN1bGxpcyB0ZXN0cyBvbmx5LCAzMiBieXRlcyE="),
    };
    block_on(async {
        let db = Db::open(url).await.unwrap();
        let mut tx = db.write().await.unwrap();
        keys::rotate(&mut tx, &vault.unwrap(), Purpose::Badges, keys::SERVICE, takes_over_at, others_until)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        db.close().await;
    });
}

fn badges_of_others_are_not_this_registrys(database: Option<&str>) {
    let bench = Bench::new(database);
    let agent = Agent::with_did_key(&bench, 1, "1");
    let own = agent.badge(&bench)["badge"].as_str().unwrap().to_owned();
    let kid = read(&bench, "/.well-known/jwks.json")["keys"][0]["kid"].as_str().unwrap().to_owned();
    let now = UnixTime::from_millis(super::support::now_ms());
    let draft = BadgeDraft {
        id: "550e8400-e29b-41d4-a716-446655440000".to_owned(),
        audience: Vec::new(),
        issued_at: now,
        expires_at: now.plus_millis(300_000),
        domain: None,
    };
    let sign = |origin: &str| {
        let by = BadgeIssuer { origin: origin.to_owned(), key_id: kid.clone() };
        let key = agent.key.public_key();
        draft.sign(&SecretKey::from_seed([9; 32]), &by, &agent.did, &key, Level::Registered, None).unwrap()
    };
    assert_eq!(verdict(&bench, &sign(ORIGIN)), "BADGE_SIGNATURE_INVALID");
    assert_eq!(verdict(&bench, &sign("https://other.example")), "BADGE_ISSUER_UNTRUSTED");
    assert_eq!(verdict(&bench, &draft.self_sign(&agent.key)), "BADGE_ISSUER_UNTRUSTED");
    assert_eq!(verdict(&bench, "nonsense"), "BADGE_MALFORMED");
    assert_eq!(anyone(&bench, "POST", "/v1/validate", &json!({})).0, 422);
    assert_eq!(verdict(&bench, &own), "valid");
    // Signed here, and on no record: whether it is revoked cannot be told.
    in_database(&bench, &["DELETE FROM badges"]);
    assert_eq!(verdict(&bench, &own), "REVOCATION_CHECK_FAILED");
}
