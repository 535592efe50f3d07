//! Guardrails that are set for a passport after it was issued.

use crate::common::guarded::{ASK, Ask, Gate, config, fault, issued, passport, read, refused};
use crate::common::key;
use portcullis_core::live::hex;
use portcullis_core::modei::{Signed, delegate};
use portcullis_core::{Config, Snapshot, sha256};
use serde_json::{Value, json};

/// What a control service has set for a passport of the agent of [`issued`].
fn set_later(passport_id: &str, constraints: &Value) -> Value {
    let issuer = format!("self:{}", hex(&sha256(&key(1).public_key())));
    json!({"issuer": issuer, "passport_id": passport_id, "constraints": constraints})
}

fn gate_that_knows(set: &[Value]) -> Gate {
    Gate::live(&json!({ "passport_constraints": set }))
}

/// How often in a row it passes, up to five times.
fn passes(gate: &mut Gate, signed: &Signed, ask: Ask<'_>) -> usize {
    (0..5).take_while(|_| gate.code(signed, ask) == "ok").count()
}

#[test]
fn what_is_set_for_a_passport_later_narrows_it_and_never_widens_it() {
    let signed = issued(&json!({"rate_limit_per_minute": 3, "allowed_domains": ["api.example"]}));
    for (later, passed) in [
        (json!({}), 3),
        (json!({"rate_limit_per_minute": 1}), 1),
        (json!({"rate_limit_per_minute": 5}), 3),
        (json!({"rate_limit_per_hour": 2}), 2),
        (json!({"allowed_domains": ["other.example"]}), 0),
        (json!({"allowed_domains": ["api.example", "other.example"]}), 3),
        (json!({"flights:search": {"rate_limit_per_minute": 2}}), 2),
        (json!({"flights:*": {"rate_limit_per_minute": 2}}), 2),
        (json!({"flights:book": {"rate_limit_per_minute": 0}}), 3),
    ] {
        let mut gate = gate_that_knows(&[set_later("pp_1", &later)]);
        assert_eq!(passes(&mut gate, &signed, ASK), passed, "{later}");
    }
    // Ids belong to issuers, and other passports are others.
    let mut foreign = set_later("pp_1", &json!({"rate_limit_per_minute": 0}));
    foreign["issuer"] = json!("gate_other");
    let other = set_later("pp_2", &json!({"rate_limit_per_minute": 0}));
    assert_eq!(passes(&mut gate_that_knows(&[foreign, other]), &signed, ASK), 3);
    // One that asks for nothing itself is bound too, and known credentials as well as new.
    let free = issued(&json!({}));
    let mut gate = gate_that_knows(&[]);
    assert_eq!(passes(&mut gate, &free, ASK), 5);
    gate.snapshot = gate_that_knows(&[set_later("pp_1", &json!({"rate_limit_per_minute": 2}))]).snapshot;
    assert_eq!(passes(&mut gate, &free, ASK), 2);
    let mut gate = gate_that_knows(&[set_later("pp_1", &json!({"core:approval:required": true}))]);
    assert_eq!(gate.code(&free, ASK), "hold");
}

#[test]
fn what_is_set_for_a_passport_later_binds_all_that_were_delegated_from_it() {
    let root = issued(&json!({}));
    let child = |id: &str, name: u8| {
        delegate(&root, &key(1), &key(name).public_key(), &passport(id, &json!({}))).unwrap()
    };
    let (one, other) = (child("pp_a", 2), child("pp_b", 3));
    let mut gate = gate_that_knows(&[set_later("pp_1", &json!({"rate_limit_per_minute": 3}))]);
    assert_eq!(passes(&mut gate, &one, ASK), 3);
    assert_eq!((passes(&mut gate, &other, ASK), passes(&mut gate, &root, ASK)), (0, 0));
    let mut gate = gate_that_knows(&[set_later("pp_a", &json!({"rate_limit_per_minute": 1}))]);
    assert_eq!(passes(&mut gate, &one, ASK), 1);
    assert_eq!((passes(&mut gate, &other, ASK), passes(&mut gate, &root, ASK)), (5, 5));
}

#[test]
fn a_cap_that_is_set_later_and_one_that_was_signed_are_of_one_account() {
    let signed = issued(&json!({"max_daily_cost": 1250}));
    let costly = Ask { path: "/costly", ..ASK };
    for (later, passed, detail) in [
        (json!({"max_daily_cost": 750}), 3, "$7.50/$7.50 daily spend used"),
        (json!({"max_daily_cost": 10_000}), 5, "$12.50/$12.50 daily spend used"),
        (json!({"max_total_cost": 1000}), 4, "$10.00/$10.00 total spend used"),
    ] {
        let mut gate = gate_that_knows(&[set_later("pp_1", &later)]);
        assert_eq!(passes(&mut gate, &signed, costly), passed, "{later}");
        let over = refused(gate.ask(&signed, costly));
        assert_eq!(
            (over.denial.reason.code(), over.denial.detail.as_ref()),
            ("spend_limit_exceeded", detail)
        );
    }
}

#[test]
fn what_is_wrong_with_constraints_that_were_set_later_is_told_by_its_place() {
    let good = set_later("pp_1", &json!({"rate_limit_per_minute": 3}));
    assert!(fault(&json!({"passport_constraints": [good]})).starts_with("passport_constraints: are set by"));
    let live = |set: Value| {
        let read = Config::from_json(config(&json!({ "passport_constraints": set })).to_string().as_bytes());
        read.and_then(|config| Snapshot::new(&config)).map_or_else(|error| error.path, |_| String::new())
    };
    assert_eq!(live(json!([good])), "");
    for (member, value, place) in [
        ("issuer", json!("a b"), "issuer"),
        ("passport_id", json!(""), "passport_id"),
        ("passport_id", json!("pp_1"), "passport_id"),
        ("constraints", json!([]), "constraints"),
        ("constraints", json!({"made_up": 1}), "constraints.made_up"),
        (
            "constraints",
            json!({"flights:book": {"core:data:no_pii_export": true}}),
            "constraints.flights:book.core:data:no_pii_export",
        ),
        ("more", json!(1), "more"),
    ] {
        let mut bad = set_later("pp_2", &json!({}));
        bad[member] = value;
        assert_eq!(live(json!([good, bad])), format!("passport_constraints[1].{place}"));
    }
    let many: Vec<_> = (0..1001).map(|number| set_later(&format!("pp_{number}"), &json!({}))).collect();
    assert_eq!(live(json!(many[..1000])), "");
    assert_eq!(live(json!(many)), "passport_constraints");
    let first = serde_json::to_value(read(&config(&json!({"passport_constraints": [good]})))).unwrap();
    assert_eq!(first["passport_constraints"], json!([good]), "it says the same when it is written");
}
