//! Registering agents, and what becomes of their badges when something changes.

use super::support::{Agent, OWN_DID, anyone, jwk, read, verdict};
use crate::common::Bench;
use portcullis_core::capiscio::{DidDocument, did_of_key};
use portcullis_core::{SecretKey, base64};
use serde_json::{Value, json};
use xtask::on_every_database;

on_every_database!(
    an_agent_is_registered_found_changed_and_forgotten,
    what_an_agent_cannot_be_is_refused,
    a_document_of_this_registry_names_the_agents_key,
    an_agents_key_is_taken_in_each_form_that_clients_write,
    badges_that_say_what_no_longer_holds_are_revoked,
    a_disabled_agent_gets_no_badges_and_its_own_are_refused_until_it_is_enabled,
    only_accounts_with_the_scope_may_register,
    so_many_documents_are_followed_and_all_else_goes_on,
    a_document_that_is_followed_for_an_agent_goes_with_it,
);

fn an_agent_is_registered_found_changed_and_forgotten(database: Option<&str>) {
    let bench = Bench::new(database);
    // As the Python client creates one.
    let body = json!({"name": "Agent-1", "protocol": "a2a"});
    let (status, made) = bench.call("POST", "/v1/sdk/agents", Some(body));
    assert_eq!(status, 201, "{made}");
    let id = made["data"]["id"].as_str().unwrap().to_owned();
    assert_eq!(made["data"]["did"], format!("{OWN_DID}:agents:{id}"));
    assert_eq!((&made["data"]["trustLevel"], &made["data"]["status"]), (&json!("1"), &json!("active")));
    let path = format!("/v1/sdk/agents/{id}");
    assert_eq!(bench.call("GET", &path, None), (200, made.clone()));

    let key = SecretKey::from_seed([1; 32]);
    let did = did_of_key(&key.public_key());
    let identity = json!({"did": did, "publicKey": jwk(&key)});
    let (status, identified) = bench.call("PATCH", &format!("{path}/identity"), Some(identity));
    assert_eq!((status, &identified["data"]["did"]), (200, &json!(did)), "{identified}");
    let by_did = format!("/v1/sdk/agents/{}", did.replace(':', "%3A"));
    assert_eq!(bench.call("GET", &by_did, None), (200, identified));
    let change = json!({"name": "renamed", "trustLevel": "3", "domain": "agents.example"});
    let (status, changed) = bench.call("PATCH", &path, Some(change));
    assert_eq!((status, &changed["data"]["trustLevel"]), (200, &json!("3")), "{changed}");

    for seed in 2..5 {
        Agent::with_did_key(&bench, seed, "1");
    }
    let (mut listed, mut after) = (Vec::new(), String::new());
    for _ in 0..3 {
        let (_, page) = bench.call("GET", &format!("/v1/sdk/agents?limit=2&after={after}"), None);
        listed.extend(page["data"].as_array().unwrap().iter().map(|agent| agent["did"].to_string()));
        let Some(next) = page["nextCursor"].as_str() else { break };
        after = next.to_owned();
    }
    listed.sort();
    listed.dedup();
    assert_eq!(listed.len(), 4, "{listed:?}");

    assert_eq!(bench.call("DELETE", &path, None).0, 200);
    assert_eq!(bench.call("DELETE", &path, None).0, 404);
    assert_eq!(anyone(&bench, "GET", &format!("/v1/agents/{id}/status"), &Value::Null).0, 404);
}

fn what_an_agent_cannot_be_is_refused(database: Option<&str>) {
    let bench = Bench::new(database);
    let key = SecretKey::from_seed([1; 32]);
    let did = did_of_key(&key.public_key());
    for (field, wrong) in [
        ("name", json!({"name": ""})),
        ("did", json!({"name": "a", "did": "did:ion:abc"})),
        ("did", json!({"name": "a", "did": "did:key:z6Mk"})),
        ("did", json!({"name": "a", "did": OWN_DID})),
        ("did", json!({"name": "a", "did": format!("{OWN_DID}:servers:a")})),
        ("did", json!({"name": "a", "did": format!("{OWN_DID}:agents:a:b")})),
        ("publicKey", json!({"name": "a", "publicKey": "AAAA"})),
        ("publicKey", json!({"name": "a", "publicKey": base64::encode(&[0; 32])})),
        ("publicKey", json!({"name": "a", "did": did, "publicKey": jwk(&SecretKey::from_seed([2; 32]))})),
        ("trustLevel", json!({"name": "a", "trustLevel": "0"})),
        ("trustLevel", json!({"name": "a", "trustLevel": "5"})),
        ("domain", json!({"name": "a", "trustLevel": "2"})),
        ("domain", json!({"name": "a", "domain": "Agents.example"})),
    ] {
        let (status, answer) = bench.call("POST", "/v1/sdk/agents", Some(wrong));
        assert_eq!((status, answer["field"].as_str()), (422, Some(field)), "{answer}");
    }
    let agent = Agent::with_did_key(&bench, 1, "1");
    assert_eq!(bench.call("POST", "/v1/sdk/agents", Some(json!({"name": "b", "did": agent.did}))).0, 409);
    let other = Agent::with_own_did(&bench, 2);
    let path = format!("/v1/sdk/agents/{}/identity", other.id);
    assert_eq!(bench.call("PATCH", &path, Some(json!({"did": agent.did}))).0, 409);
    let foreign = format!("{OWN_DID}:agents:{}", agent.id);
    assert_eq!(bench.call("PATCH", &path, Some(json!({"did": foreign}))).0, 422);
}

fn a_document_of_this_registry_names_the_agents_key(database: Option<&str>) {
    let bench = Bench::new(database);
    let key = SecretKey::from_seed([1; 32]);
    let body = json!({"did": format!("{OWN_DID}:agents:bot-1"), "publicKey": jwk(&key)});
    let agent = Agent::register(&bench, key, body);
    assert_eq!(agent.id, "bot-1");
    let text = read(&bench, "/agents/bot-1/did.json").to_string();
    let document = DidDocument::read(text.as_bytes()).unwrap();
    assert_eq!(document.id, agent.did);
    assert_eq!(document.keys, [(format!("{}#key-1", agent.did), agent.key.public_key())]);
    assert_eq!(document.authentication, [format!("{}#key-1", agent.did)]);
    let by_key = Agent::with_did_key(&bench, 2, "1");
    for nobody in ["bot-2", by_key.id.as_str(), "did%3Aweb%3Aa.example", "%2e%2e"] {
        let path = format!("/agents/{nobody}/did.json");
        assert_eq!(anyone(&bench, "GET", &path, &Value::Null).0, 404, "{nobody}");
    }
    let own = DidDocument::read(read(&bench, "/.well-known/did.json").to_string().as_bytes()).unwrap();
    let jwks = read(&bench, "/.well-known/jwks.json");
    let url = format!("{OWN_DID}#{}", jwks["keys"][0]["kid"].as_str().unwrap());
    assert_eq!((own.id.as_str(), own.keys[0].0.as_str()), (OWN_DID, url.as_str()));
    assert!(own.authentication.is_empty());
}

fn an_agents_key_is_taken_in_each_form_that_clients_write(database: Option<&str>) {
    let bench = Bench::new(database);
    let key = SecretKey::from_seed([1; 32]);
    let public = key.public_key();
    let multibase = did_of_key(&public).replace("did:key:", "");
    let forms = [
        jwk(&key),
        json!(jwk(&key).to_string()),
        json!(multibase),
        json!(base64::encode(&public)),
        json!(base64::encode_url(&public)),
    ];
    for form in forms {
        let body = json!({"name": "a", "publicKey": form});
        let (status, made) = bench.call("POST", "/v1/sdk/agents", Some(body));
        assert_eq!((status, &made["data"]["publicKey"]), (201, &jwk(&key)), "{made}");
    }
    let mut private = jwk(&key);
    private["d"] = json!(base64::encode_url(key.seed()));
    assert_eq!(bench.call("POST", "/v1/sdk/agents", Some(json!({"name": "a", "publicKey": private}))).0, 422);
}

fn badges_that_say_what_no_longer_holds_are_revoked(database: Option<&str>) {
    let bench = Bench::new(database);
    let agent = Agent::with_did_key(&bench, 1, "3");
    let path = format!("/v1/sdk/agents/{}", agent.id);
    let badge = || agent.badge(&bench)["badge"].as_str().unwrap().to_owned();
    let change = |change: Value| assert_eq!(bench.call("PATCH", &path, Some(change)).0, 200);

    let first = badge();
    change(json!({"name": "renamed", "trustLevel": "4"}));
    assert_eq!(verdict(&bench, &first), "valid");
    change(json!({"trustLevel": "2"}));
    assert_eq!(verdict(&bench, &first), "BADGE_REVOKED");
    let second = badge();
    change(json!({"domain": "other.example"}));
    assert_eq!(verdict(&bench, &second), "BADGE_REVOKED");
    let third = badge();
    let key = SecretKey::from_seed([2; 32]);
    let identity = json!({"did": did_of_key(&key.public_key())});
    assert_eq!(bench.call("PATCH", &format!("{path}/identity"), Some(identity)).0, 200);
    assert_eq!(verdict(&bench, &third), "BADGE_REVOKED");
    let renewed = Agent { key, id: agent.id.clone(), did: agent.id.clone() };
    let fourth = renewed.badge(&bench)["badge"].as_str().unwrap().to_owned();
    assert_eq!(verdict(&bench, &fourth), "valid");
    assert_eq!(bench.call("DELETE", &path, None).0, 200);
    assert_eq!(verdict(&bench, &fourth), "BADGE_REVOKED");
    assert_eq!(read(&bench, "/v1/revocations")["revocations"].as_array().unwrap().len(), 4);
}

fn a_disabled_agent_gets_no_badges_and_its_own_are_refused_until_it_is_enabled(database: Option<&str>) {
    let bench = Bench::new(database);
    let agent = Agent::with_did_key(&bench, 1, "1");
    let token = agent.badge(&bench)["badge"].as_str().unwrap().to_owned();
    let challenge = agent.challenge(&bench);
    let (status, told) = bench.call("POST", &agent.path("disable"), Some(json!({"reason": "incident"})));
    assert_eq!((status, told["status"].as_str()), (200, Some("disabled")), "{told}");
    assert_eq!(read(&bench, &agent.path("status")), told);
    assert_eq!(read(&bench, &format!("/v1/agents/{}/status", agent.id)), told);
    assert_eq!(told["reason"], "incident");
    assert!(told["disabledAt"].is_string());
    assert_eq!(verdict(&bench, &token), "BADGE_AGENT_DISABLED");
    let refused = |(status, answer): (u16, Value)| {
        assert_eq!((status, &answer["error"]), (403, &json!("agent_disabled")))
    };
    refused(bench.call("POST", &agent.path("badge"), Some(json!({"mode": "ial0"}))));
    refused(bench.call("POST", &agent.path("badge/challenge"), Some(json!({}))));
    refused(agent.answer(&bench, &challenge, &agent.proof(&challenge).sign(&agent.key)));

    let (status, told) = bench.call("POST", &agent.path("enable"), None);
    let active =
        json!({"did": agent.did, "id": agent.id, "status": "active", "disabledAt": null, "reason": null});
    assert_eq!((status, told), (200, active));
    assert_eq!(verdict(&bench, &token), "valid");
    assert_eq!(agent.answer(&bench, &challenge, &agent.proof(&challenge).sign(&agent.key)).0, 200);

    let path = format!("/v1/sdk/agents/{}", agent.id);
    let suspended = json!({"status": "suspended", "reason": "unpaid"});
    assert_eq!(bench.call("PATCH", &path, Some(suspended)).1["data"]["status"], "suspended");
    assert_eq!(verdict(&bench, &token), "BADGE_AGENT_DISABLED");
    let identity = json!({"did": did_of_key(&SecretKey::from_seed([9; 32]).public_key())});
    assert_eq!(bench.call("PATCH", &format!("{path}/identity"), Some(identity)).0, 409);
    let active = |bench: &Bench| super::support::revoked(bench, "a");
    assert_eq!(active(&bench), [agent.did.clone()]);
    assert_eq!(bench.call("DELETE", &path, None).0, 200);
    assert!(active(&bench).is_empty());
}

fn so_many_documents_are_followed_and_all_else_goes_on(database: Option<&str>) {
    let bench = Bench::new(database);
    let register = |name: &str, did: &str| {
        bench.call("POST", "/v1/sdk/agents", Some(json!({"name": name, "protocol": "a2a", "did": did})))
    };
    let (status, made) = register("first", "did:web:agents.example:first");
    assert_eq!(status, 201, "{made}");
    let followed = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 999) \
         INSERT INTO did_documents (did, keys, look_at, created_at) \
         SELECT 'did:web:other.example:' || n, '[]', 9000000000000000, 0 FROM numbers";
    assert_eq!(bench.sql(followed), 999);
    let (status, refused) = register("second", "did:web:agents.example:second");
    assert_eq!(status, 409, "{refused}");
    assert!(refused.to_string().contains("1000 DID documents"), "{refused}");
    let key = SecretKey::from_seed([3; 32]);
    assert_eq!(register("third", &did_of_key(&key.public_key())).0, 201, "its DID is its key");
    let path = format!("/v1/agents/{}/disable", made["data"]["id"].as_str().unwrap());
    let (status, told) = bench.call("POST", &path, Some(json!({"reason": "incident"})));
    assert_eq!((status, &told["status"]), (200, &json!("disabled")), "{told}");
}

fn a_document_that_is_followed_for_an_agent_goes_with_it(database: Option<&str>) {
    let bench = Bench::new(database);
    let did = |name: &str| format!("did:web:agents.example:{name}");
    let register = |name: &str| {
        let body = json!({"name": name, "protocol": "a2a", "did": did(name)});
        let (status, made) = bench.call("POST", "/v1/sdk/agents", Some(body));
        assert_eq!(status, 201, "{made}");
        format!("/v1/sdk/agents/{}", made["data"]["id"].as_str().unwrap())
    };
    let followed = || {
        let (_, listed) = bench.call("GET", "/api/v1/did-documents", None);
        listed
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["did"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let [deleted, moved, kept] = ["deleted", "moved", "kept"].map(register);
    assert_eq!(followed(), ["deleted", "kept", "moved"].map(did));
    let follow = || bench.call("POST", "/api/v1/did-documents", Some(json!({"did": did("kept")})));
    // As if it had been seen: that is what gates have of it.
    let keys = json!([{"key_id": "a", "public_key": base64::encode(&[1; 32])}]);
    bench.sql(&format!("UPDATE did_documents SET keys = '{keys}', seen_at = 1"));
    let (status, told) = follow();
    assert_eq!((status, &told["keys"][0]["key_id"]), (201, &json!("a")), "{told}");
    let (status, refused) = follow();
    assert_eq!(status, 409, "{refused}");
    assert!(refused.to_string().contains("followed already"), "{refused}");

    assert_eq!(bench.call("POST", "/api/gates", Some(json!({"gate_id": "gate_a", "name": "A"}))).0, 201);
    let is_told = || bench.sql("UPDATE gates SET snapshot_number = 0 WHERE snapshot_number > 0") == 1;
    assert!(is_told(), "of the gate itself");
    assert_eq!(bench.call("DELETE", &deleted, None).0, 200);
    assert_eq!(followed(), ["kept", "moved"].map(did));
    assert!(is_told());
    let identity = json!({"did": did_of_key(&SecretKey::from_seed([4; 32]).public_key())});
    assert_eq!(bench.call("PATCH", &format!("{moved}/identity"), Some(identity)).0, 200);
    assert_eq!(followed(), ["kept"].map(did));
    assert!(is_told());
    assert_eq!(bench.call("DELETE", &kept, None).0, 200);
    assert_eq!(followed(), ["kept"].map(did), "it was asked for by name");
    assert!(!is_told(), "nothing has changed for gates");
    assert_eq!(bench.call("DELETE", &register("unseen"), None).0, 200);
    assert_eq!(followed(), ["kept"].map(did));
    assert!(!is_told(), "gates never had it");
}

fn only_accounts_with_the_scope_may_register(database: Option<&str>) {
    let bench = Bench::new(database);
    let agent = Agent::with_did_key(&bench, 1, "1");
    let body = json!({"name": "small", "scopes": ["check"]});
    let (_, small) = bench.call("POST", "/api/users/api-keys", Some(body));
    let small = small["key"].as_str().unwrap();
    let jti = agent.badge(&bench)["jti"].as_str().unwrap().to_owned();
    let own = format!("/v1/sdk/agents/{}", agent.id);
    for (method, path) in [
        ("GET", "/v1/sdk/agents".to_owned()),
        ("POST", "/v1/sdk/agents".to_owned()),
        ("GET", own.clone()),
        ("PATCH", own.clone()),
        ("PATCH", format!("{own}/identity")),
        ("DELETE", own),
        ("POST", agent.path("disable")),
        ("POST", agent.path("enable")),
        ("POST", agent.path("badge")),
        ("POST", format!("/v1/badges/{jti}/revoke")),
    ] {
        let call = |headers: &[(&str, &str)]| {
            super::support::with_headers(&bench, method, &path, headers, &json!({"name": "a"})).0
        };
        assert_eq!(call(&[]), 401, "{method} {path}");
        assert_eq!(call(&[("x-capiscio-registry-key", small)]), 403, "{method} {path}");
    }
    let key = [("x-capiscio-registry-key", bench.service.key.as_str())];
    assert_eq!(super::support::with_headers(&bench, "GET", "/v1/sdk/agents", &key, &Value::Null).0, 200);
}
