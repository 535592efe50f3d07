//! Guardrails at a gate: who is counted, and what a configuration may say.

use crate::common::guarded::{
    ASK, Ask, Gate, approved, config, fault, issued, passport, permit, read, refused,
};
use crate::common::{NOW, key};
use portcullis_core::Snapshot;
use portcullis_core::attestation::AccessMode;
use portcullis_core::modei::{Signed, delegate, self_issue};
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn a_passport_passes_as_often_as_its_limit_says_and_again_in_the_next_window() {
    let mut gate = Gate::of(&json!({}));
    let signed = issued(&json!({"rate_limit_per_minute": 3}));
    for used in 1..=3 {
        let permit = permit(gate.ask(&signed, ASK));
        assert_eq!(permit.access(), AccessMode::Credential);
        let [evaluation] = permit.evaluations() else { panic!("one guardrail") };
        assert_eq!(evaluation.detail, format!("{used}/3 requests used this minute"));
    }
    let later = Ask { now: NOW.plus_millis(20_001), ..ASK };
    let refused = refused(gate.ask(&signed, later));
    assert_eq!(refused.denial.reason.code(), "rate_limit_exceeded");
    assert_eq!(refused.denial.detail, "3/3 requests used this minute");
    assert_eq!(refused.retry_after_s, Some(40));
    assert_eq!(refused.evaluations[0].result, "block");
    let identity = refused.identity.unwrap();
    assert_eq!((identity.credential_id(), refused.access), ("pp_1", AccessMode::Credential));
    // Each permission counts for itself.
    assert_eq!(gate.code(&signed, Ask { path: "/free", ..ASK }), "ok");
    assert_eq!(gate.code(&signed, Ask { now: NOW.plus_millis(60_000), ..ASK }), "ok");
}

#[test]
fn what_is_refused_counts_nothing() {
    let mut gate = Gate::of(&json!({}));
    let signed = issued(&json!({"rate_limit_per_minute": 1, "core:data:read_only": true}));
    for _ in 0..3 {
        assert_eq!(gate.code(&signed, Ask { method: "POST", ..ASK }), "constraint_violated");
    }
    assert_eq!(gate.code(&signed, ASK), "ok");
    assert_eq!(gate.code(&signed, ASK), "rate_limit_exceeded");
}

#[test]
fn delegating_to_many_multiplies_no_limit_and_siblings_have_their_own() {
    let mut gate = Gate::of(&json!({}));
    let root = issued(&json!({"rate_limit_per_minute": 6}));
    let child = |name: u8, constraints: &Value| {
        let draft = passport(&format!("pp_child_{name}"), constraints);
        delegate(&root, &key(1), &key(name).public_key(), &draft).unwrap()
    };
    let tight = child(2, &json!({"rate_limit_per_minute": 2}));
    let loose = child(3, &json!({}));
    assert_eq!([(); 3].map(|()| gate.code(&loose, ASK)), ["ok"; 3]);
    // What others do does not use up what the tight one has to itself.
    assert_eq!([(); 3].map(|()| gate.code(&tight, ASK)), ["ok", "ok", "rate_limit_exceeded"]);
    assert_eq!(gate.code(&root, ASK), "ok");
    // Six in all: for everybody now.
    for signed in [&root, &loose, &tight, &child(4, &json!({}))] {
        assert_eq!(gate.code(signed, ASK), "rate_limit_exceeded");
    }
}

#[test]
fn a_limit_in_the_middle_of_a_chain_binds_all_below_it() {
    let mut gate = Gate::of(&json!({}));
    let root = issued(&json!({"rate_limit_per_minute": 9}));
    let middle = delegate(
        &root,
        &key(1),
        &key(2).public_key(),
        &passport("pp_m", &json!({"rate_limit_per_minute": 2})),
    )
    .unwrap();
    let leaf = |name: u8| {
        let draft = passport(&format!("pp_{name}"), &json!({}));
        delegate(&middle, &key(2), &key(name).public_key(), &draft).unwrap()
    };
    assert_eq!(gate.code(&leaf(3), ASK), "ok");
    assert_eq!(gate.code(&leaf(4), ASK), "ok");
    for signed in [leaf(3), leaf(5), middle.clone()] {
        assert_eq!(gate.code(&signed, ASK), "rate_limit_exceeded");
    }
    assert_eq!(gate.code(&root, ASK), "ok");
}

#[test]
fn passports_of_one_id_by_two_issuers_are_counted_apart() {
    let mut gate = Gate::of(&json!({}));
    let limit = json!({"rate_limit_per_minute": 1});
    let [one, other] = [1, 2].map(|name| self_issue(&key(name), &passport("pp_1", &limit)));
    assert_eq!(gate.code(&one, ASK), "ok");
    assert_eq!(gate.code(&other, ASK), "ok");
    assert_eq!(gate.code(&one, ASK), "rate_limit_exceeded");
}

#[test]
fn a_gates_own_limits_count_by_agent_whatever_its_passports() {
    let mut gate = Gate::of(&json!({"guardrails": {"rate_limits": {"requests_per_minute": 2},
        "flights:book": {"core:rate:max_per_hour": 1}}}));
    let [one, other] = ["pp_a", "pp_b"].map(|id| self_issue(&key(1), &passport(id, &json!({}))));
    assert_eq!(gate.code(&one, Ask { path: "/free", ..ASK }), "ok");
    assert_eq!(gate.code(&other, Ask { path: "/free", ..ASK }), "rate_limit_exceeded");
    assert_eq!(gate.code(&other, ASK), "ok");
    assert_eq!(gate.code(&one, ASK), "rate_limit_exceeded");
    let another = self_issue(&key(2), &passport("pp_a", &json!({})));
    assert_eq!(gate.code(&another, ASK), "ok");
}

#[test]
fn delegating_to_many_multiplies_neither_a_gates_limits_nor_its_caps() {
    let limits = json!({"rate_limits": {"requests_per_minute": 2}});
    let caps =
        json!({"flights:book": {"core:cost:max_cumulative": 500, "core:cost:cumulative_window": "daily"}});
    for (rules, reason) in [(limits, "rate_limit_exceeded"), (caps, "spend_limit_exceeded")] {
        let mut gate = Gate::of(&json!({"spend": "in_memory", "guardrails": rules}));
        let root = issued(&json!({}));
        let child = |name: u8| {
            let draft = passport(&format!("pp_child_{name}"), &json!({}));
            delegate(&root, &key(1), &key(name).public_key(), &draft).unwrap()
        };
        let costly = Ask { path: "/costly", ..ASK };
        assert_eq!(gate.code(&child(2), costly), "ok");
        assert_eq!(gate.code(&child(3), costly), "ok");
        for signed in [&child(4), &child(2), &root] {
            assert_eq!(gate.code(signed, costly), reason);
        }
    }
}

#[test]
fn a_gate_and_a_passport_both_hold() {
    let mut gate = Gate::of(&json!({"guardrails": {"allowed_domains": ["airline.example"],
        "flights:*": {"core:scope:action_blocklist": ["flights:search"]}}}));
    let costly = Ask { path: "/costly", ..ASK };
    assert_eq!(gate.code(&issued(&json!({"max_per_action_cost": 250})), costly), "ok");
    assert_eq!(gate.code(&issued(&json!({"max_per_action_cost": 249})), costly), "spend_limit_exceeded");
    assert_eq!(gate.code(&issued(&json!({"allowed_models": ["opus"]})), costly), "ok");
    assert_eq!(gate.code(&issued(&json!({"allowed_models": ["haiku"]})), costly), "constraint_violated");
    // The route names no target, so it is the authority without its port.
    let refused = refused(gate.ask(&issued(&json!({})), ASK));
    assert_eq!(refused.denial.detail, "api.example is not allowlisted");
    assert_eq!(refused.route.unwrap().cost_cents(), 0);
}

#[test]
fn what_cannot_be_kept_in_a_passport_is_refused_at_each_use() {
    let mut gate = Gate::of(&json!({}));
    for (constraints, reason) in [
        (json!({"core:data:no_pii_export": true}), "constraint_not_enforceable"),
        (
            json!({"operating_hours": {"start": "09:00", "end": "17:00", "timezone": "Asia/Tokyo"}}),
            "constraint_not_enforceable",
        ),
        (json!({"max_daily_cost": 5}), "constraint_not_enforceable"),
        (json!({"something": 1}), "constraint_unknown"),
        (json!({"rate_limit_per_minute": 1.5}), "constraint_unknown"),
    ] {
        let signed = issued(&constraints);
        for _ in 0..2 {
            assert_eq!(gate.code(&signed, ASK), reason, "{constraints}");
        }
    }
}

#[test]
fn what_is_spent_is_taken_until_the_cap_and_refused_beyond() {
    let mut gate = Gate::of(&json!({"spend": "in_memory"}));
    let mut draft = passport("pp_1", &json!({"max_daily_cost": 600, "max_total_cost": 900}));
    draft.expires_at = NOW.plus_millis(90 * 3_600_000);
    let signed = self_issue(&key(1), &draft);
    let at = |hours: i64| Ask { path: "/costly", now: NOW.plus_millis(hours * 3_600_000), ..ASK };
    let first = permit(gate.ask(&signed, at(0)));
    assert_eq!(first.evaluations().last().unwrap().detail, "$2.50/$6.00 daily spend used");
    assert_eq!(gate.code(&signed, at(1)), "ok");
    let over = refused(gate.ask(&signed, at(1)));
    assert_eq!(over.denial.reason.code(), "spend_limit_exceeded");
    assert_eq!(over.denial.detail, "$5.00/$6.00 daily spend used");
    assert_eq!(over.evaluations.last().unwrap().result, "block");
    // What costs nothing takes nothing.
    assert_eq!(gate.code(&signed, Ask { path: "/free", ..at(1) }), "ok");
    let next_day = permit(gate.ask(&signed, at(13)));
    assert_eq!(next_day.evaluations().last().unwrap().detail, "$7.50/$9.00 total spend used");
    assert_eq!(refused(gate.ask(&signed, at(14))).denial.detail, "$7.50/$9.00 total spend used");
}

#[test]
fn a_cap_that_refuses_gives_back_what_others_had_taken() {
    let mut gate =
        Gate::of(&json!({"spend": "in_memory", "guardrails": {"spend_limits": {"daily_usd": 2.5}}}));
    let costly = Ask { path: "/costly", ..ASK };
    let [one, other] =
        ["pp_a", "pp_b"].map(|id| self_issue(&key(1), &passport(id, &json!({"max_daily_cost": 250}))));
    assert_eq!(gate.code(&one, costly), "ok");
    // The gate's cap is by agent: used up. The passport's own stays whole.
    assert_eq!(gate.code(&other, costly), "spend_limit_exceeded");
    // The same memory under a configuration without the gate's cap.
    let mut uncapped = Gate { snapshot: Gate::of(&json!({"spend": "in_memory"})).snapshot, ..gate };
    assert_eq!(uncapped.code(&other, costly), "ok");
    assert_eq!(uncapped.code(&other, costly), "spend_limit_exceeded");
}

#[test]
fn a_child_spends_from_the_caps_of_all_above_it() {
    let mut gate = Gate::of(&json!({"spend": "in_memory"}));
    let root = issued(&json!({"max_total_cost": 500}));
    let children = [2, 3, 4].map(|name| {
        let draft = passport(&format!("pp_{name}"), &json!({}));
        delegate(&root, &key(1), &key(name).public_key(), &draft).unwrap()
    });
    let costly = Ask { path: "/costly", ..ASK };
    assert_eq!(
        children.each_ref().map(|child| gate.code(child, costly)),
        ["ok", "ok", "spend_limit_exceeded"]
    );
    assert_eq!(gate.code(&root, costly), "spend_limit_exceeded");
}

#[test]
fn what_is_wrong_with_a_gates_guardrails_is_told_by_its_place() {
    for (members, place) in [
        (json!({"guardrails": {"rate_limit": 5}}), "guardrails.rate_limit: is no guardrail"),
        (
            json!({"guardrails": {"rate_limits": {"per_minute": 5}}}),
            "guardrails.rate_limits.per_minute: is no",
        ),
        (
            json!({"guardrails": {"flights:book": {"max_per_action_cost": -1}}}),
            "guardrails.flights:book.max_per_action_cost: must be",
        ),
        (
            json!({"guardrails": {"flights:bok": {"max_per_action_cost": 1}}}),
            "guardrails.flights:bok: is neither",
        ),
        (
            json!({"guardrails": {"core:safety:fail_closed": true}}),
            "guardrails.core:safety:fail_closed: is more",
        ),
        (json!({"guardrails": {"spend_limits": {"daily_usd": 5}}}), "guardrails.*: caps what is spent"),
        (json!({"guardrails": []}), "guardrails: must be an object"),
        (
            json!({"anonymous": {"allowed_actions": ["flights:*"], "enabled": true}}),
            "anonymous.allowed_actions[0]: is an action that no",
        ),
        (
            json!({"anonymous": {"blocked_actions": ["x"], "enabled": true}}),
            "anonymous.blocked_actions[0]: is an action that no",
        ),
        (
            json!({"anonymous": {"upgrade_url": "a\nb", "enabled": true}}),
            "anonymous.upgrade_url: must be one line",
        ),
        (
            json!({"anonymous": {"upgrade_message": "x".repeat(513), "enabled": true}}),
            "anonymous.upgrade_message: must be one line of at most 512",
        ),
        (json!({"anonymous": {"per_minute": 5}}), "anonymous.per_minute: is unknown"),
        (json!({"attest": {"policy": "required"}}), "attest.policy: must be off"),
        (json!({"attest": {"policy": "never"}}), "attest.policy: must be one of"),
        (json!({"approvals": [approved(&"0".repeat(64))]}), "approvals: are set by"),
        (json!({"spend": "anywhere"}), "spend: must be one of"),
        (
            json!({"routes": [{"path": "/", "methods": ["GET"], "action": "a", "cost_cents": 1.5}]}),
            "routes[0].cost_cents: must be",
        ),
        (
            json!({"routes": [{"path": "/", "methods": ["GET"], "action": "a", "target_domain": "A"}]}),
            "routes[0].target_domain: must be",
        ),
        (
            json!({"routes": [{"path": "/", "methods": ["GET"], "action": "a", "model": ""}]}),
            "routes[0].model: must be",
        ),
    ] {
        assert!(fault(&members).starts_with(place), "{members}: {}", fault(&members));
    }
    for members in
        [json!({"attest": {"policy": "off"}}), json!({"spend": "in_memory"}), json!({"guardrails": {}})]
    {
        assert_eq!(fault(&members), "");
    }
    let live = |members: &Value| {
        Snapshot::new(&read(&config(members))).map_or_else(|error| error.path, |_| String::new())
    };
    assert_eq!(live(&json!({"spend": "in_memory"})), "spend");
    let good = approved(&"0".repeat(64));
    assert_eq!(live(&json!({"approvals": [good]})), "");
    for (member, value) in [("binding", "0"), ("lane", "AA"), ("expires_at", "soon"), ("id", "")] {
        let mut bad = good.clone();
        bad[member] = json!(value);
        assert_eq!(live(&json!({"approvals": [good, bad]})), format!("approvals[1].{member}"));
    }
    assert_eq!(live(&json!({"approvals": vec![good; 1001]})), "approvals");
}

#[test]
fn a_configuration_says_the_same_when_it_is_written_and_read_again() {
    let members = json!({
        "guardrails": {"spend_limits": {"daily_usd": 12.5, "currency": "USD"}, "flights:book": {"rate_limit_per_hour": 3},
                       "allowed_domains": ["a.example"], "core:data:read_only": true, "core:pricing:model": null},
        "anonymous": {"enabled": true, "allowed_actions": ["flights:search"], "blocked_actions": ["flights:book"],
                      "rate_limit_per_minute": 1, "rate_limit_per_hour": 2, "read_only": false,
                      "upgrade_message": "m", "upgrade_url": "u"},
        "attest": {"policy": "before_allow"},
        "approvals": [approved(&"0".repeat(64))],
        "spend": "in_memory",
    });
    let first = serde_json::to_value(read(&config(&members))).unwrap();
    let again = serde_json::to_value(read(&first)).unwrap();
    assert_eq!(first, again);
    for (name, value) in members.as_object().unwrap() {
        assert_eq!(first[name], *value, "{name}");
    }
    let route = &first["routes"][1];
    assert_eq!(
        (&route["cost_cents"], &route["target_domain"], &route["model"]),
        (&json!(250), &json!("airline.example"), &json!("opus"))
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whoever_was_delegated_to_never_passes_where_or_as_often_as_the_delegator_could_not(
        limits in prop::array::uniform4(prop::option::of((1_u32..5, 0_u32..5, any::<bool>()))),
        hosts in prop::option::of((any::<bool>(), any::<bool>())),
        read_only in any::<bool>(),
        asked in proptest::collection::vec((0_usize..3, any::<bool>()), 1..8),
    ) {
        const NAMES: [&str; 4] =
            ["rate_limit_per_minute", "core:rate:max_per_minute", "rate_limit_per_hour", "max_per_action_cost"];
        let (mut above, mut below) = (json!({}), json!({}));
        for (name, limit) in NAMES.into_iter().zip(limits) {
            let Some((limit, lower, restated)) = limit else { continue };
            let scale = if name == "max_per_action_cost" { 100 } else { 1 };
            above[name] = json!(limit * scale);
            if restated {
                // Keys that are not of envelopes are restated as they are, or not at all.
                let lower = if name.starts_with("core:") { limit } else { limit.min(lower) };
                below[name] = json!(lower * scale);
            }
        }
        if let Some((whole, restated)) = hosts {
            above["allowed_domains"] = if whole { json!(["api.example", "airline.example"]) } else { json!(["api.example"]) };
            if restated {
                below["allowed_domains"] = json!(["api.example"]);
            }
        }
        if read_only {
            above["core:data:read_only"] = json!(true);
        }
        let parent = issued(&above);
        let child = delegate(&parent, &key(1), &key(2).public_key(), &passport("pp_c", &below)).unwrap();
        let passes = |signed: &Signed| {
            let mut gate = Gate::of(&json!({}));
            let asked = asked.iter().map(|(path, reads)| Ask {
                method: if *reads { "GET" } else { "POST" },
                path: ["/flights", "/costly", "/free"][*path],
                ..ASK
            });
            asked.map(|ask| gate.code(signed, ask)).filter(|code| *code == "ok").count()
        };
        prop_assert!(passes(&child) <= passes(&parent), "{} {}", above, below);
        // Both draw on what the delegator may do.
        let mut gate = Gate::of(&json!({}));
        let limit = [NAMES[0], NAMES[1]].into_iter().filter_map(|name| above[name].as_u64()).min();
        if let (Some(limit), None) = (limit, hosts) {
            let turns = (0..12).map(|turn| if turn % 2 == 0 { &parent } else { &child });
            let passed = turns.map(|signed| gate.code(signed, ASK)).filter(|code| *code == "ok").count();
            prop_assert!(u64::try_from(passed).unwrap() <= limit, "{} {}", above, below);
        }
    }
}
