//! Guardrails at a gate: who passes without a credential.

use crate::common::guarded::{ASK, Ask, Gate, code, issued, permit, refused};
use crate::common::{NOW, draft, key};
use portcullis_core::Step;
use portcullis_core::attestation::AccessMode;
use portcullis_core::modei::self_issue;
use proptest::prelude::*;
use serde_json::{Value, json};

fn anonymous(more: &Value) -> Value {
    let mut policy = json!({"enabled": true, "allowed_actions": ["flights:search"],
        "upgrade_message": "Get a passport", "upgrade_url": "https://gate.example/join"});
    for (name, value) in more.as_object().unwrap() {
        policy[name] = value.clone();
    }
    json!({"anonymous": policy})
}

const FROM: Ask<'_> = Ask { source: Some("192.0.2.1"), ..ASK };

#[test]
fn without_a_credential_only_what_the_policy_allows_passes() {
    let mut gate = Gate::of(&anonymous(&json!({})));
    let permit = permit(gate.step(&[], FROM));
    assert!(permit.identity().is_none());
    assert_eq!((permit.access(), permit.access().name()), (AccessMode::Anonymous, "anonymous"));
    for (ask, detail) in [
        (Ask { path: "/free", ..FROM }, "this needs a credential"),
        (Ask { method: "POST", ..FROM }, "it may do more than read"),
        (Ask { source: None, ..FROM }, "it is not known where the request comes from"),
        (Ask { source: Some(""), ..FROM }, "it is not known where the request comes from"),
    ] {
        let refused = refused(gate.step(&[], ask));
        assert_eq!(refused.denial.reason.code(), "anonymous_not_allowed");
        assert_eq!(refused.denial.detail, format!("{detail}. Get a passport https://gate.example/join"));
        assert_eq!(refused.access, AccessMode::Anonymous);
        assert!(refused.identity.is_none());
    }
    // Public is public.
    let open = self::permit(gate.step(&[], Ask { path: "/open", ..ASK }));
    assert_eq!(open.access(), AccessMode::Public);
}

#[test]
fn without_a_credential_it_is_five_a_minute_and_fifty_an_hour_from_one_address() {
    let mut gate = Gate::of(&anonymous(&json!({})));
    for minute in 0..10 {
        let ask = Ask { now: NOW.plus_millis(minute * 60_000), ..FROM };
        assert_eq!([(); 5].map(|()| code(&gate.step(&[], ask))), ["ok"; 5]);
        let refused = refused(gate.step(&[], ask));
        assert_eq!(refused.denial.reason.code(), "rate_limit_exceeded");
        assert!(refused.denial.detail.contains("Get a passport"));
        assert_eq!(code(&gate.step(&[], Ask { source: Some("192.0.2.2"), ..ask })), "ok");
    }
    let refused = refused(gate.step(&[], Ask { now: NOW.plus_millis(600_000), ..FROM }));
    assert!(refused.denial.detail.starts_with("50/50 requests used this hour"), "{}", refused.denial.detail);
    assert_eq!(refused.retry_after_s, Some(3000));
}

#[test]
fn a_gates_guardrails_hold_without_a_credential_too() {
    let policy = |guardrails: &Value| {
        let mut members = anonymous(&json!({"allowed_actions": ["flights:search", "flights:book"]}));
        members["guardrails"] = guardrails.clone();
        members["spend"] = json!("in_memory");
        members
    };
    for (guardrails, path, expected) in [
        (json!({"core:approval:required": true}), "/flights", "anonymous_not_allowed"),
        (json!({"core:scope:domain_blocklist": ["api.example"]}), "/flights", "anonymous_not_allowed"),
        (json!({"rate_limit_per_minute": 0}), "/flights", "rate_limit_exceeded"),
        (json!({"max_daily_cost": 1000}), "/costly", "anonymous_not_allowed"),
        (json!({"max_daily_cost": 1000}), "/free", "ok"),
        (json!({"max_per_action_cost": 100}), "/costly", "spend_limit_exceeded"),
    ] {
        let mut gate = Gate::of(&policy(&guardrails));
        assert_eq!(code(&gate.step(&[], Ask { path, ..FROM })), expected, "{guardrails}");
    }
}

#[test]
fn a_policy_that_is_not_enabled_is_none() {
    for members in [json!({}), anonymous(&json!({"enabled": false}))] {
        assert_eq!(code(&Gate::of(&members).step(&[], FROM)), "credential_missing");
    }
}

proptest! {
    #[test]
    fn whoever_presents_a_credential_that_fails_is_never_let_through_as_nobody(
        header in prop_oneof![Just("agent-passport"), Just("x-capiscio-badge"), Just("x-capiscio-jws")],
        value in prop_oneof![".{0,40}", Just(String::new()), "[A-Za-z0-9_-]{1,20}\\.[A-Za-z0-9_-]{1,20}\\.[A-Za-z0-9_-]{1,20}"],
        damage in 0_usize..400,
        whole in any::<bool>(),
    ) {
        let mut gate = Gate::of(&anonymous(&json!({})));
        // Either anything at all, or a good passport with one byte changed.
        let step = if whole {
            let mut good = issued(&json!({})).to_header().into_bytes();
            let at = damage % good.len();
            good[at] = if good[at] == b'A' { b'B' } else { b'A' };
            gate.step(&[("agent-passport", &String::from_utf8(good).unwrap())], FROM)
        } else {
            gate.step(&[(header, &value)], FROM)
        };
        let Step::Deny(refused) = step else { panic!("{step:?}") };
        prop_assert_ne!(refused.access, AccessMode::Anonymous);
        prop_assert_ne!(refused.denial.reason.code(), "anonymous_not_allowed");
    }
}

#[test]
fn a_good_credential_without_the_permission_is_not_taken_for_none() {
    let mut gate = Gate::of(&anonymous(&json!({})));
    let signed = self_issue(&key(1), &draft("pp_1", &["flights:book"]));
    let refused = refused(gate.step(&[("agent-passport", &signed.to_header())], FROM));
    assert_eq!((refused.denial.reason.code(), refused.access), ("permission_denied", AccessMode::Credential));
    assert!(refused.identity.is_some());
}
