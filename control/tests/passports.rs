//! Passports: issued, registered, reissued and revoked.

use crate::common::Bench;
use crate::common::passports::{agent, assertion, draft, now, public, self_issued, signed_assertion, wire};
use portcullis_core::{base64, modei};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use xtask::http::Request;
use xtask::on_every_database;

on_every_database!(
    an_issued_passport_says_what_was_asked_and_verifies,
    constraints_are_of_each_permission_or_of_all,
    malformed_requests_are_refused_with_the_field,
    an_agent_without_a_key_is_known_by_what_it_registered,
    a_revoked_passport_is_no_longer_listed_or_valid,
    what_is_revoked_twice_is_so_in_both_ways_and_for_as_long_as_the_longer,
    a_reissued_passport_takes_the_others_place,
    an_agent_registers_its_passport_once,
    what_agents_have_registered_is_forgotten_a_day_after_its_end,
    agents_register_so_many_passports_and_no_more,
    what_an_agent_names_as_another_issuer_does_is_not_revoked_in_its_stead,
    agents_leave_operators_room_to_revoke_and_nobody_revokes_more_than_gates_hold,
    what_is_no_good_passport_is_not_registered,
    a_holder_revokes_its_passport_by_its_own_word_alone,
    the_last_heartbeat_of_a_passport_is_kept_and_a_wrong_one_changes_nothing,
);

fn bench(database: Option<&str>) -> Bench {
    let bench = Bench::new(database);
    bench.call("POST", "/api/gates", Some(json!({"gate_id": "gate_a", "name": "A"})));
    bench
}

fn asked(more: Value) -> Value {
    let mut asked = json!({"agent_id": "agent-1", "agent_public_key": public(&agent(1)), "permissions": ["read", "write"]});
    for (name, value) in more.as_object().unwrap() {
        asked[name] = value.clone();
    }
    asked
}

fn issue(bench: &Bench, more: Value) -> Value {
    let (status, passport) = bench.call("POST", "/api/gates/gate_a/passports", Some(asked(more)));
    assert_eq!(status, 201, "{passport}");
    passport
}

/// Without an API key.
fn anyone(bench: &Bench, path: &str, body: &Value) -> (u16, Value) {
    let mut request = Request::new("POST", path);
    request.body = body.to_string().into_bytes();
    let answer = request.send(bench.service.address).unwrap();
    (answer.status, serde_json::from_slice(&answer.body).unwrap())
}

fn verdict(bench: &Bench, passport: &Value) -> Value {
    let asked = json!({"passport_json": passport["passport_json"], "signature": passport["signature"]});
    let (status, verdict) = bench.call("POST", "/api/v1/passports/verify", Some(asked));
    assert_eq!(status, 200, "{verdict}");
    verdict
}

fn an_issued_passport_says_what_was_asked_and_verifies(database: Option<&str>) {
    let bench = bench(database);
    let passport = issue(&bench, json!({"agent_name": "One", "expires_in": "7d", "metadata": {"team": "x"}}));
    let envelope: Value = serde_json::from_str(passport["passport_json"].as_str().unwrap()).unwrap();
    assert_eq!(envelope["identity"]["public_key"], public(&agent(1)));
    assert_eq!(envelope["provenance"]["issuer"]["type"], "gate");
    assert_eq!(envelope["provenance"]["issuer"]["id"], "gate_a");
    assert_eq!(envelope["provenance"]["gate_id"], "gate_a");
    assert_eq!(envelope["provenance"]["expires_at"], passport["expires_at"]);
    assert_eq!(envelope["delegation_authority"], false);
    assert_eq!((&passport["metadata"], &passport["agent_name"]), (&json!({"team": "x"}), &json!("One")));
    let found = verdict(&bench, &passport);
    assert_eq!((&found["valid"], &found["issuer_tier"]), (&json!(true), &json!("L3")));

    // One signature for another envelope is none.
    let mut forged = passport.clone();
    forged["passport_json"] = passport["passport_json"].as_str().unwrap().replace("write", "wrote").into();
    assert_eq!(verdict(&bench, &forged)["reason_code"], "signature_invalid");

    let path = format!("/api/gates/gate_a/passports/{}", passport["passport_id"].as_str().unwrap());
    assert_eq!(bench.call("GET", &path, None), (200, passport.clone()));
    assert_eq!(bench.call("GET", "/api/gates/gate_a/passports", None), (200, json!([passport])));
    bench.call("POST", "/api/gates", Some(json!({"gate_id": "gate_b", "name": "B"})));
    assert_eq!(bench.call("GET", &path.replace("gate_a", "gate_b"), None).0, 404);
    assert_eq!(bench.call("DELETE", &path.replace("gate_a", "gate_b"), None).0, 404);
    assert_eq!(bench.call("GET", "/api/gates/gate_none/passports", None).0, 404);
}

fn constraints_are_of_each_permission_or_of_all(database: Option<&str>) {
    let bench = bench(database);
    let of = |constraints: Value| {
        let passport = issue(&bench, json!({"constraints": constraints}));
        let envelope: Value = serde_json::from_str(passport["passport_json"].as_str().unwrap()).unwrap();
        [0, 1].map(|index| envelope["permissions"][index]["constraints"].clone())
    };
    let cap = json!({"core:cost:max_per_action": 100});
    assert_eq!(of(cap.clone()), [cap.clone(), cap.clone()]);
    assert_eq!(of(json!({"read": cap})), [cap.clone(), json!({})]);
    for constraints in
        [json!({"read": cap, "core:x": 1}), json!({"read": 1}), json!({"n": 9_007_199_254_740_993_u64})]
    {
        let body = asked(json!({"constraints": constraints}));
        let (status, error) = bench.call("POST", "/api/gates/gate_a/passports", Some(body));
        assert_eq!(status, 422, "{error}");
        assert!(error["field"].as_str().unwrap().starts_with("constraints"), "{error}");
    }
}

fn malformed_requests_are_refused_with_the_field(database: Option<&str>) {
    let bench = bench(database);
    let self_id = modei::self_agent_id(&agent(2).public_key());
    for (more, field) in [
        (json!({"agent_id": "a b"}), "agent_id"),
        (json!({"agent_id": self_id}), "agent_id"),
        (json!({"agent_public_key": "AAAA"}), "agent_public_key"),
        (json!({"agent_public_key": base64::encode(&[0; 32])}), "agent_public_key"),
        (json!({"agent_public_key": null}), "agent_public_key"),
        (json!({"permissions": []}), "permissions"),
        (json!({"permissions": ["read", "read"]}), "permissions"),
        (json!({"permissions": ["flights:*"]}), "permissions[0]"),
        (json!({"permissions": ["a b"]}), "permissions[0]"),
        (json!({"expires_in_seconds": 0}), "expires_in_seconds"),
        (json!({"expires_in_seconds": 31_622_401}), "expires_in_seconds"),
        (json!({"expires_in_seconds": i64::MAX}), "expires_in_seconds"),
        (json!({"expires_in": "soon"}), "expires_in"),
        (json!({"expires_in": "400d"}), "expires_in"),
        (json!({"expires_in": "1h", "expires_in_seconds": 3600}), "expires_in"),
        (json!({"constraints": {"note": "n".repeat(70_000)}}), "constraints"),
        (json!({"metadata": {"note": "n".repeat(20_000)}}), "metadata"),
        (json!({"agent_name": ""}), "agent_name"),
    ] {
        let (status, error) = bench.call("POST", "/api/gates/gate_a/passports", Some(asked(more.clone())));
        assert_eq!((status, error["field"].as_str()), (422, Some(field)), "{error}");
    }
    assert_eq!(bench.call("GET", "/api/gates/gate_a/passports", None).1, json!([]));
}

fn an_agent_without_a_key_is_known_by_what_it_registered(database: Option<&str>) {
    let bench = bench(database);
    let id = modei::self_agent_id(&agent(3).public_key());
    let without = json!({"agent_id": id, "permissions": ["read"]});
    let (status, error) = bench.call("POST", "/api/gates/gate_a/passports", Some(without.clone()));
    assert_eq!(status, 422);
    assert!(error["message"].as_str().unwrap().contains("public_key_b64"), "{error}");
    let own = self_issued(&agent(3), "pp_self_1", &["read"]);
    assert_eq!(anyone(&bench, "/api/passports/register", &own).0, 200);
    let (status, passport) = bench.call("POST", "/api/gates/gate_a/passports", Some(without));
    assert_eq!((status, &passport["agent_public_key"]), (201, &json!(public(&agent(3)))), "{passport}");
}

fn a_revoked_passport_is_no_longer_listed_or_valid(database: Option<&str>) {
    let bench = bench(database);
    let passport = issue(&bench, json!({}));
    let id = passport["passport_id"].as_str().unwrap();
    let path = format!("/api/gates/gate_a/passports/{id}");
    for _ in 0..2 {
        assert_eq!(bench.call("DELETE", &path, None), (200, json!({"revoked": true})));
    }
    assert_eq!(bench.call("GET", "/api/gates/gate_a/passports", None).1, json!([]));
    assert_eq!(bench.call("GET", &path, None).1["status"], "revoked");
    assert_eq!(verdict(&bench, &passport)["reason_code"], "passport_revoked");
    // What was delegated from it is revoked too.
    let parent = issue(&bench, json!({"delegation_authority": true}));
    let envelope: Value = serde_json::from_str(parent["passport_json"].as_str().unwrap()).unwrap();
    let text = json!({"passport_json": envelope, "signature": parent["signature"]}).to_string();
    let signed = modei::Signed::from_json(text.as_bytes()).unwrap();
    let mut narrower = draft("pp_delegate_1", &["read"]);
    narrower.expires_at = now().plus_millis(60_000);
    let child = wire(&modei::delegate(&signed, &agent(1), &agent(9).public_key(), &narrower).unwrap());
    assert_eq!(anyone(&bench, "/api/passports/register", &child).1["status"], "active");
    let (_, stored) = bench.call("GET", "/api/v1/passports/pp_delegate_1", None);
    assert_eq!((&stored["issuer_id"], &stored["public_key"]), (&json!("gate_a"), &json!(public(&agent(1)))));
    assert_eq!(bench.call("POST", "/api/passports/pp_delegate_1/reissue", None).0, 409, "an agent signed it");
    let id = parent["passport_id"].as_str().unwrap();
    assert_eq!(bench.call("DELETE", &format!("/api/v1/passports/{id}"), None).0, 200);
    assert_eq!(verdict(&bench, &child)["reason_code"], "passport_revoked");
    assert_eq!(bench.call("DELETE", "/api/v1/passports/pp_none", None).0, 404);
}

fn what_is_revoked_twice_is_so_in_both_ways_and_for_as_long_as_the_longer(database: Option<&str>) {
    let bench = bench(database);
    let revoke_by_id = |id: &str| {
        let listed = json!({"kind": "passport", "issuer": "gate_a", "ids": [id]});
        assert_eq!(bench.call("POST", "/api/v1/revocations", Some(listed)).0, 200);
    };
    let has_end = |id: &str, has: &str| {
        bench.sql(&format!("UPDATE revocations SET id = id WHERE id = '{id}' AND moot_at IS {has}")) == 1
    };
    // As a revocation by itself, which has no end, and then as the passport that it is.
    let passport = issue(&bench, json!({}));
    let id = passport["passport_id"].as_str().unwrap();
    revoke_by_id(id);
    let path = format!("/api/gates/gate_a/passports/{id}");
    for _ in 0..2 {
        assert_eq!(bench.call("DELETE", &path, None), (200, json!({"revoked": true})));
    }
    assert_eq!(bench.call("GET", &path, None).1["status"], "revoked");
    let (_, audit) = bench.call("GET", "/api/v1/audit?action=passport.revoke", None);
    assert_eq!(audit.to_string().matches("passport.revoke").count(), 1, "{audit}");
    assert!(has_end(id, "NULL"));
    // And the other way round: the end of the passport is the revocation's no longer.
    let passport = issue(&bench, json!({}));
    let id = passport["passport_id"].as_str().unwrap();
    assert_eq!(bench.call("DELETE", &format!("/api/gates/gate_a/passports/{id}"), None).0, 200);
    assert!(has_end(id, "NOT NULL"));
    revoke_by_id(id);
    assert!(has_end(id, "NULL"));
}

fn a_reissued_passport_takes_the_others_place(database: Option<&str>) {
    let bench = bench(database);
    let old = issue(&bench, json!({"constraints": {"read": {"max_total_cost": 5}}, "expires_in": "2h"}));
    let path = format!("/api/passports/{}/reissue", old["passport_id"].as_str().unwrap());
    let (status, error) = bench.call("POST", &path, Some(json!({"accept_catalog_version": 2})));
    assert_eq!((status, error["field"].as_str()), (422, Some("accept_catalog_version")));
    let (status, new) = bench.call("POST", &path, None);
    assert_eq!(status, 200, "{new}");
    assert_eq!(new["revoked_passport_id"], old["passport_id"]);
    assert_eq!((&new["terms_changed"], &new["changes"]), (&json!(false), &json!([])));
    let permissions = |passport: &Value| {
        let envelope: Value = serde_json::from_str(passport["passport_json"].as_str().unwrap()).unwrap();
        (envelope["permissions"].clone(), envelope["identity"].clone())
    };
    assert_eq!(permissions(&new), permissions(&old));
    assert_eq!(verdict(&bench, &new)["valid"], true);
    assert_eq!(verdict(&bench, &old)["reason_code"], "passport_revoked");
    assert_eq!(bench.call("POST", &path, None).0, 409, "a revoked passport was issued again");
    assert_eq!(bench.call("POST", "/api/passports/pp_none/reissue", None).0, 404);
}

fn an_agent_registers_its_passport_once(database: Option<&str>) {
    let bench = bench(database);
    let own = self_issued(&agent(4), "pp_self_1", &["read"]);
    let register = |passport: &Value| anyone(&bench, "/api/passports/register", passport);
    let (status, answer) = register(&own);
    assert_eq!((status, &answer["status"]), (200, &json!("active")), "{answer}");
    assert_eq!(answer["agent_id"], modei::self_agent_id(&agent(4).public_key()));
    assert_eq!(register(&own).1["status"], "idempotent");
    // As text, too.
    let text = json!({"passport_json": own["passport_json"].to_string(), "signature": own["signature"]});
    assert_eq!(register(&text).1["status"], "idempotent");
    assert_eq!(register(&self_issued(&agent(5), "pp_self_1", &["read"])).0, 409);
    let (_, stored) = bench.call("GET", "/api/v1/passports/pp_self_1", None);
    assert_eq!((&stored["gate_id"], &stored["permissions"]), (&Value::Null, &json!(["read"])));
    assert_eq!(bench.call("POST", "/api/passports/pp_self_1/reissue", None).0, 409);
    bench.call("DELETE", "/api/v1/passports/pp_self_1", None);
    assert_eq!(register(&own).0, 409, "a revoked passport was registered again");
}

fn what_agents_have_registered_is_forgotten_a_day_after_its_end(database: Option<&str>) {
    let mut bench = bench(database);
    for (seed, name) in [(4, "pp_over"), (5, "pp_on"), (6, "pp_of_a_gate")] {
        let own = self_issued(&agent(seed), name, &["read"]);
        assert_eq!(anyone(&bench, "/api/passports/register", &own).0, 200);
    }
    // As one that was delegated from a gate's: what it has used is counted for longer.
    assert_eq!(bench.sql("UPDATE passports SET issuer_id = 'gate_a' WHERE passport_id = 'pp_of_a_gate'"), 1);
    let constraints = json!({"rate_limit_per_minute": 5});
    let set = bench.call("PUT", "/api/passports/pp_over/constraints", Some(constraints));
    assert_eq!(set.0, 200, "{}", set.1);
    let day = 24 * 3_600_000 + 2 * 3_600_000;
    let ended = format!("UPDATE passports SET expires_at = expires_at - {day} WHERE passport_id <> 'pp_on'");
    assert_eq!(bench.sql(&ended), 2);
    let (key, control) = (bench.service.key.clone(), bench.control.clone());
    bench.service.end().unwrap();
    bench.service = control.start_with_key(&key).unwrap();
    let status = |id: &str| bench.call("GET", &format!("/api/v1/passports/{id}"), None).0;
    let began = Instant::now();
    while status("pp_over") == 200 && began.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!((status("pp_over"), status("pp_on"), status("pp_of_a_gate")), (404, 200, 200));
}

fn agents_register_so_many_passports_and_no_more(database: Option<&str>) {
    let bench = bench(database);
    let first = self_issued(&agent(4), "pp_first", &["read"]);
    let register = |passport: &Value| anyone(&bench, "/api/passports/register", passport);
    assert_eq!(register(&first).0, 200);
    let others = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 99999) \
         INSERT INTO passports (passport_id, issuer_id, agent_id, public_key, signed_by, permissions, constraints, \
         passport_json, signature, metadata, created_at, expires_at, registered) \
         SELECT 'pp_' || n, 'self:a', 'a', '', '', '[]', '{}', '{}', '', '{}', 0, 9000000000000000, 1 FROM numbers";
    assert_eq!(bench.sql(others), 99_999);
    let second = self_issued(&agent(5), "pp_second", &["read"]);
    let (status, refused) = register(&second);
    assert_eq!((status, &refused["code"]), (409, &json!("passports_full")), "{refused}");
    assert_eq!(register(&first).1["status"], "idempotent");
    bench.call("POST", "/api/gates", Some(json!({"gate_id": "gate_a", "name": "A"})));
    issue(&bench, json!({}));
    assert_eq!(bench.sql("DELETE FROM passports WHERE passport_id = 'pp_1'"), 1);
    assert_eq!(register(&second).0, 200);
}

fn what_an_agent_names_as_another_issuer_does_is_not_revoked_in_its_stead(database: Option<&str>) {
    let bench = bench(database);
    let own = self_issued(&agent(4), "pp_x", &["read"]);
    assert_eq!(anyone(&bench, "/api/passports/register", &own).0, 200);
    // As the console does, which knows whose decision a person looks at.
    let path = "/api/v1/passports/pp_x?issuer_id=gate_a";
    assert_eq!(bench.call("DELETE", path, None).0, 404);
    let stored = bench.call("GET", "/api/v1/passports/pp_x", None).1;
    assert_eq!(stored["revoked_at"], Value::Null, "{stored}");
    let issuer = stored["issuer_id"].as_str().unwrap().replace(':', "%3A");
    let path = format!("/api/v1/passports/pp_x?issuer_id={issuer}");
    assert_eq!(bench.call("DELETE", &path, None).0, 200);
}

fn agents_leave_operators_room_to_revoke_and_nobody_revokes_more_than_gates_hold(database: Option<&str>) {
    let bench = bench(database);
    for (seed, name) in [(4, "pp_4"), (5, "pp_5")] {
        let own = self_issued(&agent(seed), name, &["read"]);
        assert_eq!(anyone(&bench, "/api/passports/register", &own).0, 200);
    }
    let revoke = |id: &str| {
        let listed = json!({"kind": "passport", "issuer": "iss", "ids": [id, "pp_more"]});
        let (status, told) = bench.call("POST", "/api/v1/revocations", Some(listed));
        (status, told["code"].as_str().unwrap_or_default().to_owned())
    };
    let own = |seed: u8, id: &str| {
        let asked = assertion(&agent(seed), id, seed, now());
        let (status, told) = anyone(&bench, &format!("/api/passports/{id}/revoke"), &asked);
        (status, told["code"].as_str().unwrap_or_default().to_owned())
    };
    let full = (409, "revocations_full".to_owned());
    let hold = |count: i64| bench.sql(&format!("UPDATE trust_clock SET revoked_count = {count}"));
    hold(1024 * 1024 - 1);
    assert_eq!(own(4, "pp_4").0, 200);
    assert_eq!(own(5, "pp_5"), full);
    assert_eq!(revoke("pp_1").0, 200);
    hold(4 * 1024 * 1024 - 1);
    assert_eq!(revoke("pp_2").0, 200, "one of the two is revoked already");
    assert_eq!(revoke("pp_3"), full);
    assert_eq!(revoke("pp_2").0, 200, "both are");
    assert_eq!(bench.call("DELETE", "/api/v1/passports/pp_5", None).0, 409);
    // The count stands, and nothing is left of what was refused.
    assert_eq!(hold(0), 1);
    assert_eq!(bench.sql("UPDATE revocations SET reason = reason WHERE id IN ('pp_3', 'pp_5')"), 0);
    assert_eq!(
        bench.sql(
            "UPDATE passports SET revoked_at = revoked_at WHERE passport_id = 'pp_5' AND revoked_at IS NULL"
        ),
        1
    );
}

fn what_is_no_good_passport_is_not_registered(database: Option<&str>) {
    let bench = bench(database);
    let key = agent(6);
    let good = self_issued(&key, "pp_self_x", &["read"]);
    let make = |change: &dyn Fn(&mut modei::Draft)| {
        let mut draft = draft("pp_self_x", &["read"]);
        change(&mut draft);
        wire(&modei::self_issue(&key, &draft))
    };
    let mut elevated = good.clone();
    elevated["passport_json"]["permissions"][0]["permission_key"] = "write".into();
    let mut unsigned = good.clone();
    unsigned["signature"] = "x".into();
    let mut other_version = good.clone();
    other_version["passport_json"]["schema_version"] = 1.into();
    let stranger = modei::Issuer {
        kind: modei::RootKind::Platform,
        id: "iss_stranger".to_owned(),
        key_id: "k".to_owned(),
        gate_id: None,
    };
    let foreign = modei::issue(&key, &stranger, "agent-1", &key.public_key(), &draft("pp_1", &["read"]));
    for (passport, code, field) in [
        (elevated, "signature_invalid", "signature"),
        (unsigned, "signature_malformed", "signature"),
        (other_version, "unsupported_schema_version", "passport_json"),
        (wire(&foreign), "signature_key_unavailable", "passport_json"),
        (make(&|draft| draft.agent_name = None), "invalid", "passport_json.identity.agent_name"),
        (
            make(&|draft| draft.issued_at = now().plus_millis(600_000)),
            "passport_not_yet_valid",
            "passport_json",
        ),
        (
            make(&|draft| {
                draft.issued_at = now().plus_millis(-900_000);
                draft.expires_at = now().plus_millis(-600_000);
            }),
            "passport_expired",
            "passport_json",
        ),
        (
            make(&|draft| draft.expires_at = now().plus_millis(400 * 86_400_000)),
            "invalid",
            "passport_json.provenance.expires_at",
        ),
    ] {
        let (status, error) = anyone(&bench, "/api/passports/register", &passport);
        let found = (status, error["code"].as_str(), error["field"].as_str());
        assert_eq!(found, (422, Some(code), Some(field)), "{error}");
    }
    // What another parser might read otherwise is refused, too.
    let mut request = Request::new("POST", "/api/passports/register");
    request.body = good
        .to_string()
        .replacen("\"passport_id\":", "\"passport_id\":\"x\",\"passport_id\":", 1)
        .into_bytes();
    assert_eq!(request.send(bench.service.address).unwrap().status, 422);
    assert_eq!(bench.call("GET", "/api/v1/passports", None).1["total"], 0);
}

fn a_holder_revokes_its_passport_by_its_own_word_alone(database: Option<&str>) {
    let bench = bench(database);
    let key = agent(7);
    let own = self_issued(&key, "pp_self_7", &["read"]);
    anyone(&bench, "/api/passports/register", &own);
    let path = "/api/passports/pp_self_7/revoke";
    let with = |changes: Value| {
        let mut asserted = assertion(&key, "pp_self_7", 1, now())["assertion_json"].clone();
        for (name, value) in changes.as_object().unwrap() {
            asserted[name] = value.clone();
        }
        signed_assertion(&key, &asserted)
    };
    let mut changed = with(json!({}));
    changed["assertion_json"]["nonce"] = base64::encode_url(&[2; 16]).into();
    for (body, status, code) in [
        (assertion(&agent(8), "pp_self_7", 1, now()), 401, "signature_invalid"),
        (changed, 401, "signature_invalid"),
        (with(json!({"passport_id": "pp_self_8"})), 422, "assertion_mismatch"),
        (with(json!({"action": "restore"})), 422, "assertion_mismatch"),
        (with(json!({"revoked_at": now().plus_millis(-301_000).to_iso()})), 422, "assertion_mismatch"),
        (with(json!({"revoked_at": now().plus_millis(330_000).to_iso()})), 422, "assertion_mismatch"),
        (with(json!({"nonce": "short"})), 422, "invalid"),
        (with(json!({"more": "x"})), 422, "invalid"),
        (json!({}), 422, "invalid"),
    ] {
        let (found, error) = anyone(&bench, path, &body);
        assert_eq!((found, error["code"].as_str()), (status, Some(code)), "{error}");
    }
    assert_eq!(verdict(&bench, &own)["valid"], true);
    assert_eq!(anyone(&bench, "/api/passports/pp_none/revoke", &assertion(&key, "pp_none", 1, now())).0, 404);

    let word = assertion(&key, "pp_self_7", 1, now());
    let (status, answer) = anyone(&bench, path, &word);
    assert_eq!((status, &answer["status"]), (200, &json!("revoked")), "{answer}");
    assert_eq!(verdict(&bench, &own)["reason_code"], "passport_revoked");
    let (status, error) = anyone(&bench, path, &word);
    assert_eq!((status, error["code"].as_str()), (409, Some("nonce_already_used")));
    assert_eq!(anyone(&bench, path, &assertion(&key, "pp_self_7", 3, now())).1["status"], "already_revoked");
}

fn the_last_heartbeat_of_a_passport_is_kept_and_a_wrong_one_changes_nothing(database: Option<&str>) {
    let bench = bench(database);
    let passport = issue(&bench, json!({}))["passport_id"].clone();
    let beat = |to: &str, more: Value| {
        let mut said = json!({"passport_id": passport, "sdk": "modei-python", "sdk_version": "1.0.0",
            "runtime": "python", "env": "production", "started_at": "2026-01-02T03:04:05Z"});
        for (name, value) in more.as_object().unwrap() {
            said[name] = value.clone();
        }
        bench.call("POST", &format!("/api/agents/{to}/heartbeat"), Some(said))
    };
    let kept = || bench.call("GET", "/api/agents/agent-1/heartbeats", None).1;
    assert_eq!(kept(), json!([]));
    let (status, first) = beat("agent-1", json!({}));
    assert_eq!((status, &kept()), (200, &json!([first])));
    assert_eq!(first["started_at"], "2026-01-02T03:04:05.000Z");
    for (to, more, status, field) in [
        ("agent-2", json!({}), 422, json!("passport_id")),
        ("agent-1", json!({"passport_id": "pp_none"}), 404, Value::Null),
        ("agent-1", json!({"passport_id": "a b"}), 422, json!("passport_id")),
        ("agent-1", json!({"sdk": ""}), 422, json!("sdk")),
        ("agent-1", json!({"env": "x".repeat(101)}), 422, json!("env")),
        ("agent-1", json!({"started_at": "today"}), 422, json!("started_at")),
        ("agent-1", json!({"started_at": null}), 422, json!("started_at")),
    ] {
        let (found, answer) = beat(to, more.clone());
        assert_eq!((found, &answer["field"]), (status, &field), "{more}: {answer}");
    }
    assert_eq!(kept(), json!([first]));
    let second = beat("agent-1", json!({"sdk_version": "1.0.1"})).1;
    assert_eq!(kept(), json!([second]));
    let path = format!("/api/gates/gate_a/passports/{}", passport.as_str().unwrap());
    assert_eq!(bench.call("DELETE", &path, None).0, 200);
    let (status, answer) = beat("agent-1", json!({}));
    assert_eq!((status, &answer["field"]), (422, &json!("passport_id")), "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("revoked"), "{answer}");
    let key = bench.call("POST", "/api/users/api-keys", Some(json!({"name": "k", "scopes": ["check"]}))).1;
    let mut request = Request::new("POST", "/api/agents/agent-1/heartbeat");
    request.headers.push(("authorization".to_owned(), format!("Bearer {}", key["key"].as_str().unwrap())));
    request.body = b"{}".to_vec();
    assert_eq!(request.send(bench.service.address).unwrap().status, 403);
}
