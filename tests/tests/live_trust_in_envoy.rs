//! Live trust material in real Envoy with two workers: what is revoked is refused, and a
//! service that fails, or lies, opens nothing.

use crate::live_stand;
use crate::live_stand::{Fault, LiveStand, Wishes, agent, passport};
use serde_json::json;
use xtask::on_every_database;

on_every_database!(what_is_revoked_is_refused_by_every_worker, a_killed_service_takes_nothing_back);

fn what_is_revoked_is_refused_by_every_worker(database: Option<&str>) {
    let name = if database.is_some() { "live-revoked-postgres" } else { "live-revoked" };
    let stand = LiveStand::start(name, &Wishes { database, ..Wishes::default() });
    let agent = agent(1);
    let passports: Vec<_> = (0..5).map(|index| passport(&agent, &format!("pp_self_{index:032}"))).collect();
    for passport in &passports {
        stand.wait_for(passport, (200, ""));
    }
    for (index, passport) in passports.iter().enumerate() {
        stand.revoke(&agent, passport);
        stand.wait_for(passport, (401, "passport_revoked"));
        for other in &passports[index + 1..] {
            assert_eq!(stand.ask(other), (200, String::new()));
        }
    }
    assert_eq!(stand.counter("portcullis_trust.mismatch"), 0);
}

fn a_killed_service_takes_nothing_back(database: Option<&str>) {
    let name = if database.is_some() { "live-killed-postgres" } else { "live-killed" };
    let mut stand = LiveStand::start(name, &Wishes { database, ..Wishes::default() });
    let agent = agent(2);
    let (revoked, good) = (passport(&agent, "pp_self_a"), passport(&agent, "pp_self_b"));
    stand.wait_for(&revoked, (200, ""));
    stand.revoke(&agent, &revoked);
    // At once, before the gate can have asked: what was acknowledged is kept.
    let key = stand.service.as_ref().unwrap().key.clone();
    stand.service.take().unwrap().kill();
    stand.service = Some(stand.control.start_with_key(&key).unwrap());
    stand.wait_for(&revoked, (401, "passport_revoked"));
    assert_eq!(stand.ask(&good), (200, String::new()));
}

#[test]
fn an_outage_keeps_what_there_was_and_denies_once_it_is_too_old() {
    let wishes = Wishes { max_age_seconds: Some(4), ..Wishes::default() };
    let mut stand = LiveStand::start("live-outage", &wishes);
    let agent = agent(3);
    let (good, revoked) = (passport(&agent, "pp_self_a"), passport(&agent, "pp_self_b"));
    stand.revoke(&agent, &revoked);
    stand.wait_for(&revoked, (401, "passport_revoked"));
    stand.wait_for(&good, (200, ""));

    let key = stand.service.as_ref().unwrap().key.clone();
    stand.service.take().unwrap().kill();
    assert_eq!(stand.ask(&good), (200, String::new()), "right after");
    assert_eq!(stand.ask(&revoked), (401, "passport_revoked".to_owned()), "right after");
    stand.wait_for(&good, (503, "trust_material_stale"));
    assert!(stand.counter("portcullis_trust.call_failed") + stand.counter("portcullis_trust.status") > 0);

    stand.service = Some(stand.control.start_with_key(&key).unwrap());
    stand.wait_for(&good, (200, ""));
    stand.wait_for(&revoked, (401, "passport_revoked"));
}

#[test]
fn what_a_bad_line_brings_opens_nothing_and_is_counted() {
    let stand = LiveStand::start("live-faults", &Wishes::default());
    let agent = agent(4);
    let faults = [
        (Fault::Garbage, "unreadable"),
        (Fault::Half, "call_failed"),
        (Fault::Failing, "status"),
        (Fault::Forged, "signature"),
        (Fault::AnotherKey, "unknown_key"),
        (Fault::AnotherGate, "signature"),
    ];
    for (index, (fault, counted)) in faults.into_iter().enumerate() {
        let revoked = passport(&agent, &format!("pp_self_{index}"));
        stand.wait_for(&revoked, (200, ""));
        let counter = format!("portcullis_trust.{counted}");
        let before = stand.counter(&counter);
        stand.line.set(fault);
        stand.revoke(&agent, &revoked);
        stand.wait_for_counter(&counter, before);
        assert_eq!(stand.ask(&revoked), (200, String::new()), "{fault:?}: the last good one stays");
        stand.line.set(Fault::None);
        stand.wait_for(&revoked, (401, "passport_revoked"));
    }
}

#[test]
fn an_old_answer_takes_no_revocation_back() {
    let wishes = Wishes { max_age_seconds: Some(6), ..Wishes::default() };
    let stand = LiveStand::start("live-old", &wishes);
    let agent = agent(5);
    let (revoked, good) = (passport(&agent, "pp_self_a"), passport(&agent, "pp_self_b"));
    stand.wait_for(&revoked, (200, ""));
    stand.revoke(&agent, &revoked);
    stand.wait_for(&revoked, (401, "passport_revoked"));
    let before = stand.counter("portcullis_trust.went_back");
    stand.line.set(Fault::Old);
    stand.wait_for_counter("portcullis_trust.went_back", before);
    assert_eq!(stand.ask(&revoked), (401, "passport_revoked".to_owned()));
    // Nothing new comes by it, so what there is grows old.
    stand.wait_for(&good, (503, "trust_material_stale"));
    stand.line.set(Fault::None);
    stand.wait_for(&good, (200, ""));
}

#[test]
fn a_changed_configuration_takes_effect_and_a_refused_one_does_not() {
    let stand = LiveStand::start("live-configuration", &Wishes::default());
    let agent = agent(6);
    let passport = passport(&agent, "pp_self_a");
    stand.wait_for(&passport, (200, ""));
    let path = format!("/api/v1/gates/{}/config", live_stand::GATE);
    let config = |actions: &str| {
        json!({
            "authorities": [stand.envoy.listen.to_string()],
            "routes": [{"path": "/flights", "methods": ["GET"], "action": "flights:search"}],
            "trust": {"self_issued": {"actions": [actions]}},
        })
    };
    stand.call("PUT", &path, &config("flights:book"));
    stand.wait_for(&passport, (403, "self_issued_platform_ceiling_exceeded"));
    let service = stand.service.as_ref().unwrap();
    let refused = service.call("PUT", &path, Some(r#"{"authorities": [], "routes": []}"#)).unwrap();
    assert_eq!(refused.status, 422, "{}", String::from_utf8_lossy(&refused.body));
    assert!(String::from_utf8_lossy(&refused.body).contains("authorities"));
    stand.call("PUT", &path, &config("flights:search"));
    stand.wait_for(&passport, (200, ""));
}

#[test]
fn two_instances_of_the_service_on_one_database_serve_a_gate_alike() {
    let Some(url) = xtask::postgres::for_test("two instances on one PostgreSQL") else { return };
    let stand = LiveStand::start("live-instances", &Wishes { database: Some(&url), ..Wishes::default() });
    let mut second = stand.control.clone();
    [second.address] = xtask::net::free().unwrap();
    second.log = stand.folder.path().join("second.log");
    let second = second.start().unwrap();
    let agent = agent(7);
    let revoked = passport(&agent, "pp_self_a");
    stand.wait_for(&revoked, (200, ""));
    // The gate asks the first; the second is told.
    let issuer = portcullis_core::modei::self_issuer_id(&agent.public_key());
    let body = json!({"kind": "passport", "issuer": issuer, "ids": ["pp_self_a"]});
    xtask::live_gate::call(&second, "POST", "/api/v1/revocations", &body).unwrap();
    stand.wait_for(&revoked, (401, "passport_revoked"));
}
