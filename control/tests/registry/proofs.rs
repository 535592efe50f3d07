//! RFC-003: each rule with a case that breaks it.

use super::support::{
    Agent, ORIGIN, OWN_DID, anyone, claims, in_database, jwk, read, trust, verdict, with_headers,
};
use crate::common::Bench;
use portcullis_core::capiscio::{self, Audience, DidDocument, Ial, Proof};
use portcullis_core::{DidDocumentConfig, KeyConfig, SecretKey, base64};
use serde_json::{Value, json};
use xtask::on_every_database;

on_every_database!(
    an_agent_that_proves_its_key_gets_a_badge_that_says_so,
    the_clients_own_forms_are_served_too,
    each_rule_about_a_proof_has_its_refusal,
    a_challenge_serves_once_whoever_comes_first,
    a_challenge_ends,
    a_challenge_is_given_to_an_account_or_to_the_agent_itself,
    a_badge_of_the_agent_opens_a_challenge_only_where_it_is_meant_for_the_registry,
    challenges_are_limited_by_agent_and_address,
    badges_by_proof_are_limited_as_challenges_are,
    failed_proofs_make_the_agent_wait,
    an_agents_own_host_says_which_keys_authenticate,
);

fn an_agent_that_proves_its_key_gets_a_badge_that_says_so(database: Option<&str>) {
    let bench = Bench::new(database);
    let by_key = Agent::with_did_key(&bench, 1, "2");
    let by_web = Agent::with_own_did(&bench, 2);
    for agent in [&by_key, &by_web] {
        let asked = json!({"badge_ttl": 120, "challenge_ttl": 600, "badge_aud": ["https://gate.example"]});
        let challenge = agent.challenge_for(&bench, asked);
        assert_eq!(challenge["proof_aud"], ORIGIN);
        assert_eq!(challenge["htm"], "POST");
        let encoded = agent.did.replace(':', "%3A");
        assert_eq!(challenge["htu"], format!("{ORIGIN}/v1/agents/{encoded}/badge"));
        let nonce = base64::decode_url(challenge["nonce"].as_str().unwrap()).unwrap();
        assert!(nonce.len() >= 32, "{challenge}");
        // What the second request says about the badge does not count.
        let proof = agent.proof(&challenge);
        let body = json!({"mode": "ial1", "challenge_id": challenge["challenge_id"], "proof_jws": proof.sign(&agent.key),
            "badge_ttl": 3600, "badge_aud": ["https://other.example"]});
        let (status, answer) = anyone(&bench, "POST", &agent.path("badge"), &body);
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["data"]["assurance_level"], "IAL-1");
        assert_eq!(answer["data"]["cnf"], json!({"kid": proof.kid}));
        assert_eq!(answer["data"]["issuer"], ORIGIN);
        let token = answer["data"]["token"].as_str().unwrap();
        let said = claims(token);
        assert_eq!(said["ial"], "1");
        assert_eq!(said["cnf"], json!({"kid": proof.kid}));
        assert_eq!(said["key"], jwk(&agent.key));
        assert_eq!(said["aud"], json!(["https://gate.example"]));
        assert_eq!(said["exp"].as_i64().unwrap() - said["iat"].as_i64().unwrap(), 120);
        assert_eq!(verdict(&bench, token), "valid");

        // As a gate sees it, from what the registry publishes.
        let documents = agent.did.starts_with("did:web").then(|| {
            let text = read(&bench, &format!("/agents/{}/did.json", agent.id)).to_string();
            let document = DidDocument::read(text.as_bytes()).unwrap();
            assert_eq!(document.authentication, [proof.kid.clone()]);
            let keys = document.keys.into_iter().map(|(key_id, key)| KeyConfig {
                key_id,
                public_key: base64::encode(&key),
                not_before: None,
                not_after: None,
            });
            DidDocumentConfig { id: document.id, keys: keys.collect() }
        });
        let trust = trust(&bench, documents.into_iter().collect());
        let now = proof.iat;
        let badge = capiscio::verify(token.as_bytes(), &trust, now).unwrap();
        let gate = ["https://gate.example".to_owned()];
        capiscio::check_standing(&badge, &trust, Audience::OneOf(&gate), now).unwrap();
        assert_eq!(badge.ial(), Ial::ProofOfPossession);
        assert_eq!(badge.key(), &agent.key.public_key());
    }
}

fn the_clients_own_forms_are_served_too(database: Option<&str>) {
    let bench = Bench::new(database);
    let agent = Agent::with_did_key(&bench, 3, "1");
    for prefix in ["/v1/agents", "/v1/sdk/agents"] {
        // The Go client reads `aud` and `expires_at`, and names no mode.
        let path = format!("{prefix}/{}/badge", agent.did);
        let key = [("x-capiscio-registry-key", bench.service.key.as_str())];
        let (status, challenge) =
            with_headers(&bench, "POST", &format!("{path}/challenge"), &key, &json!({"badge_ttl": 300}));
        assert_eq!(status, 200, "{challenge}");
        assert_eq!(challenge["aud"], challenge["proof_aud"]);
        assert_eq!(challenge["expires_at"], challenge["challenge_expires_at"]);
        let jws = agent.proof(&challenge).sign(&agent.key);
        let body = json!({"challenge_id": challenge["challenge_id"], "proof_jws": jws});
        let (status, answer) = anyone(&bench, "POST", &format!("{path}/pop"), &body);
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["success"], true);
        assert_eq!(answer["data"]["trust_level"], "1");
    }
}

fn each_rule_about_a_proof_has_its_refusal(database: Option<&str>) {
    let bench = Bench::new(database);
    type Change = fn(&mut Proof);
    let cases: &[(u16, &str, Change)] = &[
        (403, "cid_mismatch", |proof| proof.cid = "ch-550e8400-e29b-41d4-a716-446655440000".into()),
        (400, "invalid_proof", |proof| proof.nonce = base64::encode_url(&[0; 32])),
        (400, "invalid_proof", |proof| proof.nonce.push('=')),
        (403, "audience_mismatch", |proof| proof.aud.push('/')),
        (403, "htu_mismatch", |proof| proof.htu = proof.htu.replace("%3A", ":")),
        (403, "htu_mismatch", |proof| proof.htu = proof.htu.replace("%3A", "%3a")),
        (403, "htu_mismatch", |proof| proof.htu.push_str("/pop")),
        (400, "invalid_proof", |proof| proof.htm = "post".into()),
        (403, "iat_invalid", |proof| proof.iat = proof.iat.plus_millis(70_000)),
        (403, "iat_invalid", |proof| proof.iat = proof.iat.plus_millis(-70_000)),
        (403, "exp_too_long", |proof| proof.exp = proof.exp.plus_millis(1000)),
        (403, "proof_expired", |proof| proof.exp = proof.iat),
        (403, "subject_mismatch", |proof| proof.sub = OWN_DID.into()),
        (403, "kid_not_found", |proof| proof.kid = format!("{}#key-2", proof.sub)),
        (403, "kid_not_found", |proof| proof.kid = format!("{OWN_DID}#key-1")),
    ];
    for (number, (status, code, change)) in cases.iter().enumerate() {
        // Each has an agent of its own, as failures count.
        let agent = Agent::with_did_key(&bench, 100 + u8::try_from(number).unwrap(), "1");
        let challenge = agent.challenge(&bench);
        let mut proof = agent.proof(&challenge);
        change(&mut proof);
        let (found, answer) = agent.answer(&bench, &challenge, &proof.sign(&agent.key));
        assert_eq!((found, answer["error"].as_str().unwrap()), (*status, *code), "{number}: {answer}");
        // The failure has used nothing up.
        let right = agent.proof(&challenge).sign(&agent.key);
        assert_eq!(agent.answer(&bench, &challenge, &right).0, 200, "{number}");
    }

    let agent = Agent::with_did_key(&bench, 90, "1");
    let other = Agent::with_did_key(&bench, 91, "1");
    let challenge = agent.challenge(&bench);
    let refusal = |(status, answer): (u16, Value)| format!("{status} {}", answer["error"].as_str().unwrap());
    let proof = agent.proof(&challenge);
    let by_other = proof.sign(&other.key);
    assert_eq!(refusal(agent.answer(&bench, &challenge, &by_other)), "403 proof_verification_failed");
    assert_eq!(refusal(agent.answer(&bench, &challenge, "no.proof")), "400 invalid_proof");
    assert_eq!(refusal(agent.answer(&bench, &challenge, &retyped(&proof, &agent.key))), "400 invalid_proof");
    assert_eq!(refusal(other.answer(&bench, &challenge, &proof.sign(&other.key))), "403 subject_mismatch");
    let made_up = json!({"challenge_id": "ch-550e8400-e29b-41d4-a716-446655440000"});
    assert_eq!(refusal(agent.answer(&bench, &made_up, "")), "404 challenge_not_found");
    for wrong in ["x", "ch-", "550e8400-e29b-41d4-a716-446655440000", "ch-550e8400e29b41d4a716446655440000"] {
        let wrong = json!({"challenge_id": wrong});
        assert_eq!(refusal(agent.answer(&bench, &wrong, "")), "400 invalid_challenge_id");
    }
    let path = "/v1/agents/did%3Akey%3Aabc/badge/challenge";
    assert_eq!(refusal(bench.call("POST", path, Some(json!({})))), "400 invalid_did");
    let path = "/v1/agents/did%3Aweb%3Aa.example/badge/challenge";
    assert_eq!(refusal(bench.call("POST", path, Some(json!({})))), "404 agent_not_found");
    let mode = json!({"mode": "ial2"});
    assert_eq!(refusal(anyone(&bench, "POST", &agent.path("badge"), &mode)), "400 invalid_mode");
    for (name, wrong) in
        [("challenge_ttl", 601), ("challenge_ttl", 0), ("badge_ttl", 59), ("badge_ttl", 3601)]
    {
        let (status, answer) = bench.call("POST", &agent.path("badge/challenge"), Some(json!({name: wrong})));
        assert_eq!((status, answer["field"].as_str().unwrap()), (422, name));
    }
}

/// A proof whose header says `JWT`, as another kind of token does.
fn retyped(proof: &Proof, key: &SecretKey) -> String {
    let token = proof.sign(key);
    let (header, rest) = token.split_once('.').unwrap();
    let header = String::from_utf8(base64::decode_url(header).unwrap()).unwrap().replace("pop+jwt", "JWT");
    let (claims, _) = rest.split_once('.').unwrap();
    let input = format!("{}.{claims}", base64::encode_url(header.as_bytes()));
    format!("{input}.{}", base64::encode_url(&key.sign(input.as_bytes())))
}

fn a_challenge_serves_once_whoever_comes_first(database: Option<&str>) {
    let bench = Bench::new(database);
    let agent = Agent::with_did_key(&bench, 4, "1");
    let challenge = agent.challenge(&bench);
    let jws = agent.proof(&challenge).sign(&agent.key);
    let answers: Vec<_> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..20).map(|_| scope.spawn(|| agent.answer(&bench, &challenge, &jws))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let issued = answers.iter().filter(|(status, _)| *status == 200).count();
    assert_eq!(issued, 1, "{answers:?}");
    for (status, answer) in answers.iter().filter(|(status, _)| *status != 200) {
        assert_eq!((*status, answer["error"].as_str().unwrap()), (403, "challenge_used"), "{answer}");
    }
    // Being late is no failed proof.
    agent.challenge(&bench);
}

fn a_challenge_ends(database: Option<&str>) {
    let bench = Bench::new(database);
    let agent = Agent::with_did_key(&bench, 5, "1");
    let short = agent.challenge_for(&bench, json!({"challenge_ttl": 30}));
    let (status, answer) = agent.answer(&bench, &short, &agent.proof(&short).sign(&agent.key));
    assert_eq!((status, answer["error"].as_str().unwrap()), (403, "exp_outside_challenge_window"));
    let mut late = agent.proof(&short);
    (late.iat, late.exp) = (late.iat.plus_millis(45_000), late.iat.plus_millis(45_000));
    let (status, answer) = agent.answer(&bench, &short, &late.sign(&agent.key));
    assert_eq!((status, answer["error"].as_str().unwrap()), (403, "iat_invalid"));
    in_database(&bench, &["UPDATE badge_challenges SET expires_at = expires_at - 30000"]);
    let (status, answer) = agent.answer(&bench, &short, &agent.proof(&short).sign(&agent.key));
    assert_eq!((status, answer["error"].as_str().unwrap()), (403, "challenge_expired"));
}

fn a_challenge_is_given_to_an_account_or_to_the_agent_itself(database: Option<&str>) {
    let bench = Bench::new(database);
    let agent = Agent::with_did_key(&bench, 6, "1");
    let other = Agent::with_did_key(&bench, 7, "1");
    let path = agent.path("badge/challenge");
    let ask = |headers: &[(&str, &str)]| with_headers(&bench, "POST", &path, headers, &json!({})).0;
    assert_eq!(ask(&[]), 401);
    assert_eq!(ask(&[("x-capiscio-registry-key", "mod_live_made_up")]), 401);
    let (_, small) =
        bench.call("POST", "/api/users/api-keys", Some(json!({"name": "small", "scopes": ["check"]})));
    assert_eq!(ask(&[("x-capiscio-registry-key", small["key"].as_str().unwrap())]), 403);

    let own = agent.badge(&bench)["badge"].as_str().unwrap().to_owned();
    let foreign = other.badge(&bench)["badge"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {own}");
    assert_eq!(ask(&[("x-capiscio-badge", &own)]), 200);
    assert_eq!(ask(&[("authorization", &bearer)]), 200);
    assert_eq!(ask(&[("x-capiscio-badge", &foreign)]), 403);
    assert_eq!(ask(&[("x-capiscio-badge", &foreign), ("authorization", &bearer)]), 401);
    // An API key beside a badge is the account's (RFC-003 section 3.1).
    assert_eq!(ask(&[("x-capiscio-registry-key", &bench.service.key), ("authorization", &bearer)]), 200);
    let self_signed = portcullis_core::capiscio::BadgeDraft {
        id: "550e8400-e29b-41d4-a716-446655440000".to_owned(),
        audience: Vec::new(),
        issued_at: agent_time(0),
        expires_at: agent_time(300_000),
        domain: None,
    };
    assert_eq!(ask(&[("x-capiscio-badge", &self_signed.self_sign(&agent.key))]), 401);
    // Who may not ask for another agent does not learn whether there is one.
    let nobody = "/v1/agents/did%3Aweb%3Aa.example/badge/challenge";
    let headers = [("x-capiscio-badge", own.as_str())];
    assert_eq!(with_headers(&bench, "POST", nobody, &headers, &json!({})).0, 403);
    assert_eq!(with_headers(&bench, "POST", nobody, &[], &json!({})).0, 401);
    let jti = claims(&own)["jti"].as_str().unwrap().to_owned();
    assert_eq!(bench.call("POST", &format!("/v1/badges/{jti}/revoke"), None).0, 200);
    assert_eq!(ask(&[("x-capiscio-badge", &own)]), 401);
}

fn agent_time(millis: i64) -> portcullis_core::UnixTime {
    portcullis_core::UnixTime::from_millis(super::support::now_ms() / 1000 * 1000).plus_millis(millis)
}

fn a_badge_of_the_agent_opens_a_challenge_only_where_it_is_meant_for_the_registry(database: Option<&str>) {
    let bench = Bench::new(database);
    let agent = Agent::with_did_key(&bench, 8, "1");
    for (audience, expected) in [("https://gate.example", 403), (ORIGIN, 200)] {
        let body = json!({"mode": "ial0", "badge_aud": [audience]});
        let (_, answer) = bench.call("POST", &agent.path("badge"), Some(body));
        let badge = [("x-capiscio-badge", answer["badge"].as_str().unwrap())];
        let path = agent.path("badge/challenge");
        assert_eq!(with_headers(&bench, "POST", &path, &badge, &json!({})).0, expected, "{audience}");
    }
}

fn challenges_are_limited_by_agent_and_address(database: Option<&str>) {
    let bench = Bench::new(database);
    let agents: Vec<_> = (10..16).map(|seed| Agent::with_did_key(&bench, seed, "1")).collect();
    let ask = |agent: &Agent| bench.call("POST", &agent.path("badge/challenge"), Some(json!({})));
    for _ in 0..10 {
        assert_eq!(ask(&agents[0]).0, 200);
    }
    let (status, answer) = ask(&agents[0]);
    assert_eq!((status, answer["error"].as_str().unwrap()), (429, "rate_limit_exceeded"));
    for _ in 0..10 {
        for agent in &agents[1..5] {
            assert_eq!(ask(agent).0, 200);
        }
    }
    assert_eq!(ask(&agents[5]).0, 429, "50 have come from this address");
    // 98 of the account, most from elsewhere.
    in_database(
        &bench,
        &[
            "UPDATE badge_challenges SET client_ip = 'elsewhere', did = 'did:web:other.example'",
            "INSERT INTO badge_challenges (challenge_id, did, nonce, proof_aud, htu, badge_ttl, badge_aud, account, \
             client_ip, failures, created_at, expires_at) SELECT challenge_id || 'x', did, nonce || 'x', proof_aud, \
             htu, badge_ttl, badge_aud, account, client_ip, failures, created_at, expires_at FROM badge_challenges",
        ],
    );
    assert_eq!(ask(&agents[5]).0, 429, "100 are the account's");
    in_database(&bench, &["UPDATE badge_challenges SET created_at = created_at - 60000"]);
    assert_eq!(ask(&agents[0]).0, 200);
}

fn badges_by_proof_are_limited_as_challenges_are(database: Option<&str>) {
    let bench = Bench::new(database);
    let agent = Agent::with_did_key(&bench, 17, "1");
    let prove = || {
        let challenge = agent.challenge(&bench);
        agent.answer(&bench, &challenge, &agent.proof(&challenge).sign(&agent.key)).0
    };
    for _ in 0..10 {
        assert_eq!(prove(), 200);
    }
    // Challenges that were saved up make no difference.
    in_database(&bench, &["UPDATE badge_challenges SET created_at = created_at - 60000"]);
    assert_eq!(prove(), 429);
    in_database(&bench, &["UPDATE badges SET issued_at = issued_at - 60000"]);
    assert_eq!(prove(), 200);
}

fn failed_proofs_make_the_agent_wait(database: Option<&str>) {
    let bench = Bench::new(database);
    let agent = Agent::with_did_key(&bench, 20, "1");
    let challenge = agent.challenge(&bench);
    let wrong = agent.proof(&challenge).sign(&SecretKey::from_seed([99; 32]));
    for _ in 0..5 {
        assert_eq!(agent.answer(&bench, &challenge, &wrong).0, 403);
    }
    let right = agent.proof(&challenge).sign(&agent.key);
    assert_eq!(agent.answer(&bench, &challenge, &right).0, 429);
    assert_eq!(bench.call("POST", &agent.path("badge/challenge"), Some(json!({}))).0, 429);
    in_database(&bench, &["UPDATE badge_challenges SET created_at = created_at - 900000"]);
    assert_eq!(bench.call("POST", &agent.path("badge/challenge"), Some(json!({}))).0, 200);
}

fn an_agents_own_host_says_which_keys_authenticate(database: Option<&str>) {
    let bench = Bench::new(database);
    let did = "did:web:agents.example:bot";
    let key = SecretKey::from_seed([21; 32]);
    let agent = Agent::register(&bench, key, json!({"did": did}));
    let prove = || {
        in_database(&bench, &["UPDATE badge_challenges SET failures = 0"]);
        let challenge = agent.challenge(&bench);
        let (status, answer) = agent.answer(&bench, &challenge, &agent.proof(&challenge).sign(&agent.key));
        format!("{status} {}", answer["error"].as_str().unwrap_or("issued"))
    };
    // Registered, so that it is followed; not seen yet.
    assert_eq!(prove(), "502 did_resolution_failed");
    let public = base64::encode(&agent.key.public_key());
    let store = |keys: Value, seen_at: i64| {
        let (keys, seen_at) = (keys.to_string(), super::support::now_ms() + seen_at);
        super::support::block_on(async {
            let db = portcullis_control::db::Db::open(&bench.control.database).await.unwrap();
            let stored = sqlx::query("UPDATE did_documents SET keys = $1, seen_at = $2 WHERE did = $3")
                .bind(keys)
                .bind(seen_at)
                .bind(did)
                .execute(db.pool())
                .await
                .unwrap();
            assert_eq!(stored.rows_affected(), 1);
            db.close().await;
        });
    };
    let method = |authentication: bool| json!([{"key_id": format!("{did}#key-1"), "public_key": public, "authentication": authentication}]);
    store(method(true), 0);
    assert_eq!(prove(), "200 issued");
    store(method(true), -301_000);
    assert_eq!(prove(), "502 did_resolution_failed");
    store(method(false), 0);
    assert_eq!(prove(), "403 key_not_in_authentication");
    store(json!([]), 0);
    assert_eq!(prove(), "403 kid_not_found");
    store(json!({}), 0);
    assert_eq!(prove(), "502 did_document_invalid");
    in_database(&bench, &["DELETE FROM did_documents"]);
    assert_eq!(prove(), "502 did_resolution_failed");
}
