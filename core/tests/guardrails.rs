//! Each guardrail by itself, and what becomes of several together.

use portcullis_core::guardrails::{
    Cap, Counted, Evaluation, Facts, Limits, Outcome, Rules, Window, evaluate,
};
use portcullis_core::json::{self, Object};
use portcullis_core::{Denial, Method, UnixTime, Usage};
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: UnixTime = UnixTime::from_millis(1_780_315_200_000);

fn object(text: &str) -> Object<'static> {
    let limits = json::Limits { bytes: 1 << 20, depth: 16, values: 10_000 };
    let value = json::parse(text.as_bytes(), limits).unwrap().into_owned();
    let json::Value::Object(object) = value else { panic!("{text} is no object") };
    object
}

fn rules(written: &Value) -> Result<Rules, Denial> {
    Rules::read(&object(&written.to_string())).map_err(Denial::from)
}

/// What becomes of a request with nothing special about it.
fn facts() -> Facts<'static> {
    Facts {
        action: "flights:search",
        method: Method::Get,
        target_domain: "api.example.com",
        path: "/flights",
        model: None,
        cost_cents: 0,
        now: NOW,
    }
}

fn judge(rules: &[&Rules], used: [u32; 3], facts: &Facts<'_>) -> (Outcome, Vec<Evaluation>) {
    let counted: Vec<_> =
        rules.iter().map(|rules| Counted { limits: *rules.limits(), used: Usage(used) }).collect();
    let verdict = evaluate(rules, &counted, facts);
    (verdict.outcome, verdict.evaluations)
}

/// `allow`, `hold` or a reason's code, and the detail.
fn told(outcome: &Outcome) -> (&'static str, &str) {
    match outcome {
        Outcome::Allow => ("allow", ""),
        Outcome::Block { reason, detail, .. } => (reason.code(), detail),
        Outcome::Hold { detail } => ("hold", detail),
    }
}

#[test]
fn each_key_is_judged_as_its_vectors_say() {
    let vectors: Vec<Value> =
        serde_json::from_str(include_str!("../../tests/vectors/guardrails/keys.json")).unwrap();
    assert!(vectors.len() > 250);
    for vector in &vectors {
        let asked = &vector["facts"];
        let text = |name: &str| asked[name].as_str();
        let plain = facts();
        let facts = Facts {
            action: text("action").unwrap_or(plain.action),
            method: Method::from_name(text("method").unwrap_or("GET").as_bytes()).unwrap(),
            target_domain: text("domain").unwrap_or(plain.target_domain),
            path: text("path").unwrap_or(plain.path),
            model: text("model"),
            cost_cents: asked["cost_cents"].as_u64().unwrap_or_default(),
            now: text("now").map_or(NOW, |now| UnixTime::from_iso(now).unwrap()),
        };
        let used = [0, 1, 2].map(|at| u32::try_from(asked["used"][at].as_u64().unwrap_or_default()).unwrap());
        let (outcome, detail) = match rules(&vector["rules"]) {
            Err(denial) => (denial.reason.code(), denial.into_detail().into_owned()),
            Ok(rules) => {
                let (outcome, evaluations) = judge(&[&rules], used, &facts);
                let blocked = matches!(outcome, Outcome::Block { .. });
                assert_eq!(
                    evaluations.last().is_some_and(|last| last.result == "block"),
                    blocked,
                    "{vector}"
                );
                let (outcome, detail) = told(&outcome);
                (outcome, detail.to_owned())
            }
        };
        assert_eq!(outcome, vector["expect"].as_str().unwrap(), "{vector}: {detail}");
        if let Some(expected) = vector["detail"].as_str() {
            assert_eq!(detail, expected, "{vector}");
        }
    }
}

#[test]
fn evaluations_come_in_one_order_whatever_the_order_of_the_members() {
    let written = json!({
        "core:data:read_only": true,
        "core:approval:for_actions": ["flights:book"],
        "core:cost:approval_threshold": 500,
        "max_per_action_cost": 900,
        "rate_limits": {"requests_per_day": 9, "requests_per_hour": 8, "requests_per_minute": 7},
        "allowed_models": ["opus"],
        "allowed_paths": ["/flights"],
        "core:scope:action_blocklist": ["hotels:*"],
        "core:scope:action_allowlist": ["flights:*"],
        "domain_controls": {"blocklist": ["evil.example"], "allowlist": ["api.example.com"]},
        "core:time:blackout_windows": [],
        "operating_hours": {"start": "00:00", "end": "24:00"},
        "core:pricing:per_call_cents": 5,
    });
    let rules = rules(&written).unwrap();
    let facts = Facts { model: Some("opus"), cost_cents: 10, ..facts() };
    let (outcome, evaluations) = judge(&[&rules], [1, 2, 3], &facts);
    assert_eq!(outcome, Outcome::Allow);
    let told: Vec<_> =
        evaluations.iter().map(|one| format!("{} {}: {}", one.name, one.result, one.detail)).collect();
    assert_eq!(
        told,
        [
            "core:time:operating_hours pass: it is 2026-06-01T12:00:00.000Z",
            "core:time:blackout_windows pass: it is 2026-06-01T12:00:00.000Z",
            "core:scope:domain_allowlist pass: api.example.com is allowlisted",
            "core:scope:domain_blocklist pass: api.example.com is not blocklisted",
            "core:scope:action_allowlist pass: flights:search is allowlisted",
            "core:scope:action_blocklist pass: flights:search is not blocklisted",
            "core:scope:path_allowlist pass: /flights is allowlisted",
            "core:scope:model_allowlist pass: opus is allowlisted",
            "core:rate:max_per_minute pass: 2/7 requests used this minute",
            "core:rate:max_per_hour pass: 3/8 requests used this hour",
            "core:rate:max_per_day pass: 4/9 requests used this day",
            "core:cost:max_per_action pass: $0.10/$9.00 per action",
            "core:cost:approval_threshold pass: $0.10/$5.00, up to which it needs none",
            "core:approval:for_actions pass: flights:search needs no approval",
            "core:data:read_only pass: it only reads",
            "core:pricing:per_call_cents recorded: 5",
        ]
    );
}

#[test]
fn caps_of_all_vocabularies_are_the_lowest_of_each_window() {
    let caps = |written| rules(&written).unwrap().caps().iter().collect::<Vec<_>>();
    let cap = |cents, window| Cap { cents, window };
    assert_eq!(caps(json!({"max_daily_cost": 100})), [cap(100, Window::Daily)]);
    assert_eq!(caps(json!({"max_total_cost": 100})), [cap(100, Window::Total)]);
    assert_eq!(caps(json!({"core:cost:max_cumulative": 7})), [cap(7, Window::Total)]);
    let within = |window| json!({"core:cost:max_cumulative": 7, "core:cost:cumulative_window": window});
    assert_eq!(caps(within("daily")), [cap(7, Window::Daily)]);
    assert_eq!(caps(within("7d")), [cap(7, Window::Rolling(7))]);
    assert_eq!(caps(within("366d")), [cap(7, Window::Rolling(366))]);
    assert_eq!(caps(json!({"max_per_day": "$50.00"})), [cap(5000, Window::Daily)]);
    let both = json!({
        "max_daily_cost": 300, "max_total_cost": 1000, "max_per_day": "$2",
        "spend_limits": {"daily_usd": 2.5, "monthly_usd": "40.05"},
        "core:cost:max_cumulative": 900, "core:cost:cumulative_window": "7d",
    });
    // 30 days with the amount of 7 keep both.
    let lowest = [cap(200, Window::Daily), cap(900, Window::Rolling(30)), cap(1000, Window::Total)];
    assert_eq!(caps(both), lowest);
}

#[test]
fn a_block_says_when_its_window_is_over() {
    for (key, seconds) in [
        ("core:rate:max_per_minute", 60),
        ("core:rate:max_per_hour", 3600),
        ("core:rate:max_per_day", 43_200),
    ] {
        let rules = rules(&json!({key: 1})).unwrap();
        let retry = |now| match judge(&[&rules], [1; 3], &Facts { now, ..facts() }).0 {
            Outcome::Block { retry_after_s, .. } => retry_after_s,
            other => panic!("{other:?}"),
        };
        assert_eq!(retry(NOW), Some(seconds));
        assert_eq!(retry(NOW.plus_millis(1)), Some(seconds));
        assert_eq!(retry(NOW.plus_millis(1000)), Some(seconds - 1));
        assert_eq!(retry(NOW.plus_millis(i64::from(seconds) * 1000 - 1)), Some(1));
    }
}

/// Guardrails of any kind that can be read.
fn written() -> impl Strategy<Value = Value> {
    let names = |all: &'static [&'static str]| proptest::sample::subsequence(all, 0..=all.len());
    let count = || 0_u32..4;
    let member = prop_oneof![
        count().prop_map(|limit| ("core:rate:max_per_minute", json!(limit))),
        count().prop_map(|limit| ("rate_limit_per_minute", json!(limit))),
        count().prop_map(|limit| ("rate_limit_per_hour", json!(limit))),
        count().prop_map(|limit| ("rate_limits", json!({"requests_per_day": limit}))),
        count().prop_map(|cents| ("max_per_action_cost", json!(cents))),
        count().prop_map(|cents| ("core:cost:approval_threshold", json!(cents))),
        names(&["a.example", "b.example"]).prop_map(|hosts| ("allowed_domains", json!(hosts))),
        names(&["a.example", "b.example"]).prop_map(|hosts| ("core:scope:domain_blocklist", json!(hosts))),
        names(&["x:read", "x:*", "y:send"]).prop_map(|list| ("core:scope:action_allowlist", json!(list))),
        names(&["x:read", "x:*", "y:send"]).prop_map(|list| ("core:approval:for_actions", json!(list))),
        names(&["/a", "/a/*"]).prop_map(|list| ("allowed_paths", json!(list))),
        any::<bool>().prop_map(|flag| ("core:data:read_only", json!(flag))),
        any::<bool>().prop_map(|flag| ("core:approval:required", json!(flag))),
        (0_u32..24).prop_map(|hour| {
            (
                "operating_hours",
                json!({"start": format!("{hour:02}:00"), "end": format!("{:02}:30", (hour + 9) % 24)}),
            )
        }),
    ];
    proptest::collection::vec(member, 0..6)
        .prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn any_facts() -> impl Strategy<Value = (Facts<'static>, [u32; 3])> {
    let pick = proptest::sample::select::<&'static str>;
    (
        pick(vec!["x:read", "x:write", "y:send", "z"]),
        proptest::sample::select(vec![Method::Get, Method::Post]),
        pick(vec!["a.example", "b.example", "c.example"]),
        pick(vec!["/a", "/a/b", "/c"]),
        0_u64..4,
        0_i64..86_400_000,
        prop::array::uniform3(0_u32..4),
    )
        .prop_map(|(action, method, target_domain, path, cost_cents, later, used)| {
            let now = NOW.plus_millis(later);
            (Facts { action, method, target_domain, path, model: None, cost_cents, now }, used)
        })
}

fn strictness(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Allow => 0,
        Outcome::Hold { .. } => 1,
        Outcome::Block { .. } => 2,
    }
}

proptest! {
    #[test]
    fn what_two_sources_ask_is_never_looser_than_what_one_of_them_asks(
        one in written(), other in written(), (facts, used) in any_facts()
    ) {
        let (one, other) = (rules(&one).unwrap(), rules(&other).unwrap());
        let alone = [&one, &other].map(|rules| strictness(&judge(&[rules], used, &facts).0));
        let both = judge(&[&one, &other], used, &facts);
        prop_assert_eq!(strictness(&both.0), alone.into_iter().max().unwrap());
        prop_assert_eq!(both.0 == Outcome::Allow, strictness(&judge(&[&other, &one], used, &facts).0) == 0);
    }

    #[test]
    fn evaluations_keep_their_order_and_end_with_a_block(
        one in written(), other in written(), (facts, used) in any_facts()
    ) {
        const CATEGORIES: [&str; 6] = ["time", "scope", "rate", "cost", "approval", "data"];
        let (one, other) = (rules(&one).unwrap(), rules(&other).unwrap());
        let (outcome, evaluations) = judge(&[&one, &other], used, &facts);
        let places: Vec<_> = evaluations
            .iter()
            .map(|one| CATEGORIES.iter().position(|known| one.name.split(':').nth(1) == Some(known)).unwrap())
            .collect();
        prop_assert!(places.is_sorted(), "{:?}", evaluations);
        let blocks: Vec<_> = evaluations.iter().map(|one| one.result == "block").collect();
        let is_blocked = matches!(outcome, Outcome::Block { .. });
        prop_assert_eq!(blocks.iter().filter(|blocks| **blocks).count(), usize::from(is_blocked));
        prop_assert_eq!(blocks.last().copied().unwrap_or_default(), is_blocked);
        let holds = evaluations.iter().any(|one| one.result == "hold");
        prop_assert_eq!(matches!(outcome, Outcome::Hold { .. }), holds && !is_blocked);
    }

    #[test]
    fn more_members_in_one_source_are_never_looser(
        one in written(), other in written(), (facts, used) in any_facts()
    ) {
        let alone = strictness(&judge(&[&rules(&one).unwrap()], used, &facts).0);
        let mut merged = other;
        // What both say, the first says.
        merged.as_object_mut().unwrap().extend(one.as_object().unwrap().clone());
        let merged = strictness(&judge(&[&rules(&merged).unwrap()], used, &facts).0);
        prop_assert!(merged >= alone);
    }

    #[test]
    fn amounts_in_dollars_are_read_to_the_cent(cents in 0_u64..=999_999_999_999_999) {
        let dollars = format!("{}.{:02}", cents / 100, cents % 100);
        for text in [dollars.clone(), format!("${dollars}")] {
            let rules = rules(&json!({"spend_limits": {"daily_usd": text}})).unwrap();
            prop_assert_eq!(rules.caps().daily, Some(cents));
        }
        // A double holds all cents of this many dollars.
        if cents < 100_000_000_000 {
            let number: Value = serde_json::from_str(&dollars).unwrap();
            let rules = rules(&json!({"spend_limits": {"daily_usd": number}})).unwrap();
            prop_assert_eq!(rules.caps().daily, Some(cents));
        }
    }

    #[test]
    fn whatever_is_written_is_read_or_refused_for_one_of_two_reasons(
        name in "(core:(time|scope|rate|cost|approval|data):[a-z_]{1,20}|operating_hours|spend_limits|allowed_[a-z]{5,7}|.{0,20})",
        value in prop_oneof![
            any::<i32>().prop_map(|n| json!(n)), ".{0,12}".prop_map(|t| json!(t)), any::<bool>().prop_map(|b| json!(b)),
            proptest::collection::vec(".{0,8}", 0..3).prop_map(|l| json!(l)),
            (".{0,8}", ".{0,8}").prop_map(|(a, b)| json!({"start": a, "end": b})),
            (-1e15..1e15).prop_map(|n: f64| json!({"daily_usd": n})),
        ],
        (facts, used) in any_facts(),
    ) {
        match rules(&json!({name: value})) {
            Ok(rules) => drop(judge(&[&rules], used, &facts)),
            Err(denial) => {
                prop_assert!(["constraint_unknown", "constraint_not_enforceable"].contains(&denial.reason.code()));
                prop_assert!(denial.detail.len() < 300 && denial.detail.is_ascii());
            }
        }
    }
}

#[test]
fn a_limit_that_is_left_out_counts_nothing() {
    assert!(rules(&json!({})).unwrap().is_empty());
    assert_eq!(*rules(&json!({"rate_limit_per_hour": 5})).unwrap().limits(), Limits([None, Some(5), None]));
}

#[test]
fn lists_have_a_thousand_entries_at_most() {
    let span = json!({"start": "09:00", "end": "17:00"});
    for (name, entry) in [
        ("allowed_domains", json!("a.example")),
        ("allowed_paths", json!("/flights")),
        ("core:scope:action_blocklist", json!("flights:search")),
        ("operating_hours", span),
    ] {
        assert!(rules(&json!({name: vec![entry.clone(); 1000]})).is_ok(), "{name}");
        let denial = rules(&json!({name: vec![entry; 1001]})).unwrap_err();
        assert_eq!(denial.reason.code(), "constraint_unknown", "{name}");
    }
}
