//! Trust Badges of a registry that is not ours, from its own TLS server to what a gate in
//! real Envoy answers: the control service follows the registry, the gate the service.

use crate::live_stand::{LiveStand, Wishes, agent};
use crate::outside::Registry;
use portcullis_core::capiscio::{BadgeDraft, BadgeIssuer, Level};
use portcullis_core::{SecretKey, UnixTime};
use serde_json::json;
use std::time::{Duration, Instant, SystemTime};
use xtask::on_every_database;

on_every_database!(a_followed_registrys_word_decides_at_the_gate);

const ALICE: &str = "did:web:agents.test:alice";
const BOB: &str = "did:web:agents.test:bob";
/// Asked for by name; of others no status is known.
const FOLLOWED: &str = ALICE;

fn a_followed_registrys_word_decides_at_the_gate(database: Option<&str>) {
    let registry = Registry::start();
    registry.serve(&[("old", 1), ("present", 2)]);
    registry.set_status(FOLLOWED, "active");
    let mut options = registry.options(1);
    options.push("--allow-private-addresses".to_owned());
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let name = if database.is_some() { "followed-postgres" } else { "followed" };
    let stand = LiveStand::start(name, &Wishes { database, options: &options, ..Wishes::default() });

    let of_alice = badge(&registry, 1, "present", 2, ALICE);
    let of_bob = badge(&registry, 2, "present", 2, BOB);
    let another_of_bob = badge(&registry, 3, "present", 2, BOB);
    let by_the_old_key = badge(&registry, 4, "old", 1, BOB);
    let by_the_next_key = badge(&registry, 5, "next", 3, BOB);
    let by_nobodys_key = badge(&registry, 6, "present", 9, BOB);

    // Nobody's word counts before an operator says so, and then within its ceiling.
    assert_eq!(ask(&stand, &of_bob), (401, "BADGE_ISSUER_UNTRUSTED".to_owned()));
    let id = follow(&stand, &registry);
    for good in [&of_alice, &of_bob, &another_of_bob, &by_the_old_key] {
        wait_for(&stand, good, PASSES);
    }
    assert_eq!(ask(&stand, &by_nobodys_key), (401, "BADGE_SIGNATURE_INVALID".to_owned()));

    // A badge is revoked there.
    registry.set_revoked(&[&jti(2)]);
    wait_for(&stand, &of_bob, (401, "BADGE_REVOKED"));
    for good in [&of_alice, &another_of_bob, &by_the_old_key] {
        assert_eq!(ask(&stand, good), (200, String::new()));
    }

    // An agent is disabled there, and enabled again; its badges are not revoked by that.
    registry.set_status(FOLLOWED, "disabled");
    wait_for(&stand, &of_alice, (401, "BADGE_AGENT_DISABLED"));
    assert_eq!(ask(&stand, &another_of_bob), (200, String::new()));
    registry.set_status(FOLLOWED, "active");
    wait_for(&stand, &of_alice, PASSES);

    // A key comes, another goes.
    assert_eq!(ask(&stand, &by_the_next_key), (401, "BADGE_SIGNATURE_INVALID".to_owned()));
    registry.set_keys(&[("present", 2), ("next", 3)]);
    wait_for(&stand, &by_the_next_key, PASSES);
    wait_for(&stand, &by_the_old_key, (401, "BADGE_SIGNATURE_INVALID"));
    wait_for(&stand, &of_alice, PASSES);
    wait_for(&stand, &of_bob, (401, "BADGE_REVOKED"));

    // It is followed no longer.
    stand.call("DELETE", &format!("/api/v1/followed-issuers/{id}"), &json!({}));
    for former in [&of_alice, &by_the_next_key] {
        wait_for(&stand, former, (401, "BADGE_ISSUER_UNTRUSTED"));
    }
}

const PASSES: (u16, &str) = (200, "");

/// Follows the registry and one of its agents, and waits until both were asked.
fn follow(stand: &LiveStand, registry: &Registry) -> String {
    let body = json!({"origin": registry.origin, "tier": 2, "actions": ["flights:*"]});
    let made = stand.call("POST", "/api/v1/followed-issuers", &body);
    let path = format!("/api/v1/followed-issuers/{}", made["id"].as_str().unwrap());
    stand.call("POST", &format!("{path}/agents"), &json!({"did": FOLLOWED}));
    let began = Instant::now();
    loop {
        let state = stand.call("GET", &path, &json!({}));
        let agents = stand.call("GET", &format!("{path}/agents"), &json!({}));
        if state["synced_at"].is_string() && agents[0]["status"].is_string() {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "not synced: {state} {agents}");
        std::thread::sleep(Duration::from_millis(100));
    }
    made["id"].as_str().unwrap().to_owned()
}

/// A badge of level 2, for which revocations must be known, signed by what a seed makes.
fn badge(registry: &Registry, number: u8, key_id: &str, seed: u8, subject: &str) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let now = UnixTime::from_millis(i64::try_from(now.as_millis()).unwrap());
    let draft = BadgeDraft {
        id: jti(number),
        audience: Vec::new(),
        issued_at: now,
        expires_at: now.plus_millis(600_000),
        domain: Some("agents.test".to_owned()),
    };
    let issuer = BadgeIssuer { origin: registry.origin.clone(), key_id: key_id.to_owned() };
    let holder = agent(50).public_key();
    draft
        .sign(&SecretKey::from_seed([seed; 32]), &issuer, subject, &holder, Level::DomainValidated, None)
        .unwrap()
}

fn jti(number: u8) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

fn ask(stand: &LiveStand, badge: &str) -> (u16, String) {
    stand.ask_with((HEADER, badge))
}

fn wait_for(stand: &LiveStand, badge: &str, wanted: (u16, &str)) {
    stand.wait_for_with((HEADER, badge), wanted);
}

const HEADER: &str = "x-capiscio-badge";
