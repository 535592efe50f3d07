//! What guardrails ask of a gate's memory: what is counted and spent, for whom and how often,
//! and what others have used up since it was looked at.

use crate::common::{NOW, SELF_ISSUED, draft, key};
use portcullis_core::guardrails::{Limits, Spend, SpendAccount, SpendFault, Taken};
use portcullis_core::json::{self, Object};
use portcullis_core::modei::{
    Draft, Issuer, RootKind, Signed, delegate, issue, self_agent_id, self_issue, self_issuer_id,
};
use portcullis_core::{
    Charged, Config, CounterClass, CounterFault, CounterKey, Counters, CredentialCache, LocalMemory, Novelty,
    Once, Process, Refused, Replay, ReplayFault, RequestHead, Snapshot, Step, UnixTime, Usage, Verifier,
    base64,
};
use serde_json::{Value, json};

/// A memory that tells what it was asked.
struct Told {
    memory: LocalMemory,
    keys: Vec<CounterKey>,
    accounts: Vec<SpendAccount>,
    /// How often others count between a look and a charge.
    others: u32,
    /// What it answers to whoever spends.
    fault: Option<SpendFault>,
}

impl Replay for Told {
    fn insert(&mut self, once: &Once, now: UnixTime) -> Result<Novelty, ReplayFault> {
        self.memory.insert(once, now)
    }
}

impl Counters for Told {
    fn usage(&mut self, key: &CounterKey, now: UnixTime) -> Result<Usage, CounterFault> {
        self.keys.push(*key);
        self.memory.usage(key, now)
    }

    fn charge(&mut self, key: &CounterKey, limits: &Limits, now: UnixTime) -> Result<Charged, CounterFault> {
        for _ in 0..self.others {
            self.memory.charge(key, limits, now)?;
        }
        self.memory.charge(key, limits, now)
    }
}

impl Spend for Told {
    fn take(&mut self, account: &SpendAccount, cents: u64, now: UnixTime) -> Result<Taken, SpendFault> {
        self.accounts.push(account.clone());
        match self.fault {
            Some(fault) => Err(fault),
            None => self.memory.take(account, cents, now),
        }
    }

    fn give_back(&mut self, account: &SpendAccount, cents: u64, now: UnixTime) {
        self.memory.give_back(account, cents, now);
    }
}

struct Gate {
    snapshot: Snapshot,
    cache: CredentialCache,
    told: Told,
}

impl Gate {
    /// A gate with these members beside the usual ones.
    fn of(members: &Value) -> Self {
        let mut config = json!({"gate": {"id": "gate_test"}, "profile": "L1", "authorities": ["api.example"],
            "routes": [
                {"path": "/flights", "methods": ["GET", "POST"], "action": "flights:search"},
                {"path": "/book", "methods": ["GET", "POST"], "action": "flights:book", "cost_cents": 250},
                {"path": "/free", "methods": ["GET", "POST"], "action": "flights:book"},
            ], "spend": "in_memory"});
        config["trust"] = serde_json::from_str(SELF_ISSUED).unwrap();
        config["trust"]["issuers"] = json!([{"id": "issuer:acme", "type": "platform", "tier": 1, "actions": ["*"],
            "keys": [{"key_id": "ik_1", "public_key": base64::encode(&key(8).public_key())}]}]);
        for (name, value) in members.as_object().unwrap() {
            config[name] = value.clone();
        }
        let config = Config::from_json(config.to_string().as_bytes()).unwrap();
        let memory = LocalMemory::new(&Process::new([1; 32], NOW.plus_millis(-1_000_000)));
        let told = Told { memory, keys: vec![], accounts: vec![], others: 0, fault: None };
        let snapshot = Snapshot::of_static(&config).unwrap();
        Gate { snapshot, cache: CredentialCache::new(1 << 20), told }
    }

    fn send(&mut self, credential: Option<&Signed>, method: &str, path: &str) -> Step {
        let header = credential.map(Signed::to_header);
        let headers: Vec<_> = header.iter().map(|text| (&b"agent-passport"[..], text.as_bytes())).collect();
        let head = RequestHead {
            method: method.as_bytes(),
            authority: b"api.example",
            path: path.as_bytes(),
            headers: &headers,
            source: Some(b"192.0.2.1"),
        };
        Verifier::new(&self.snapshot).begin(&head, NOW, &mut self.cache, &mut self.told)
    }

    fn ask(&mut self, signed: &Signed, path: &str) -> Step {
        self.send(Some(signed), "GET", path)
    }

    fn code(&mut self, signed: &Signed, path: &str) -> &'static str {
        match self.ask(signed, path) {
            Step::Permit(_) => "ok",
            step => refused(step).denial.reason.code(),
        }
    }
}

fn refused(step: Step) -> Refused {
    let Step::Deny(refused) = step else { panic!("{step:?}") };
    refused
}

fn permissions(constraints: &Value) -> Vec<(String, Object<'static>)> {
    let limits = json::Limits { bytes: 1 << 16, depth: 8, values: 100 };
    let value = json::parse(constraints.to_string().as_bytes(), limits).unwrap().into_owned();
    let json::Value::Object(object) = value else { panic!("no object") };
    ["flights:search", "flights:book"].map(|permission| (permission.to_owned(), object.clone())).into()
}

fn issued(id: &str, constraints: &Value) -> Signed {
    let draft = Draft { permissions: permissions(constraints), ..draft(id, &[]) };
    self_issue(&key(1), &draft)
}

fn delegated(parent: &Signed, constraints: &Value) -> Signed {
    let draft = Draft { permissions: permissions(constraints), ..draft("pp_child", &[]) };
    let delegated = delegate(parent, &key(1), &key(2).public_key(), &draft);
    delegated.unwrap_or_else(|denial| panic!("{constraints}: {denial}"))
}

#[test]
fn what_others_count_between_look_and_charge_refuses_and_says_when_to_come_back() {
    let mut gate = Gate::of(&json!({}));
    gate.told.others = 2;
    let refused = refused(gate.ask(&issued("pp_1", &json!({"rate_limit_per_hour": 2})), "/flights"));
    assert_eq!(refused.denial.reason.code(), "rate_limit_exceeded");
    assert_eq!(refused.denial.detail, "2/2 requests used this hour");
    assert_eq!(refused.retry_after_s, Some(3600));
    let told: Vec<_> = refused.evaluations.iter().map(|one| (one.name, one.result)).collect();
    assert_eq!(told, [("core:rate:max_per_hour", "pass"), ("core:rate:max_per_hour", "block")]);
}

#[test]
fn who_waits_for_a_share_of_a_cap_is_told_to_come_back_in_a_second() {
    let mut gate = Gate::of(&json!({}));
    gate.told.fault = Some(SpendFault::Pending);
    let refused = refused(gate.ask(&issued("pp_1", &json!({"max_daily_cost": 1000})), "/book"));
    assert_eq!((refused.denial.reason.code(), refused.retry_after_s), ("spend_lease_pending", Some(1)));
    gate.told.fault = Some(SpendFault::Unavailable("it is broken"));
    assert_eq!(gate.code(&issued("pp_1", &json!({"max_daily_cost": 1000})), "/book"), "host_fault");
}

#[test]
fn what_costs_nothing_takes_nothing_and_what_is_taken_is_told_as_passed() {
    let mut gate = Gate::of(&json!({}));
    let signed = issued("pp_1", &json!({"max_daily_cost": 1000}));
    assert_eq!(gate.code(&signed, "/free"), "ok");
    assert!(gate.told.accounts.is_empty());
    let Step::Permit(permit) = gate.ask(&signed, "/book") else { panic!("refused") };
    let [spent] = permit.evaluations() else { panic!("one guardrail") };
    assert_eq!((spent.name, spent.result), ("core:cost:max_cumulative", "pass"));
}

#[test]
fn what_has_no_limit_is_not_counted() {
    let mut gate = Gate::of(&json!({"guardrails": {"allowed_domains": ["api.example"], "flights:book": {}}}));
    let signed = issued("pp_1", &json!({"max_per_action_cost": 1000, "max_daily_cost": 1000}));
    assert_eq!(gate.code(&signed, "/book"), "ok");
    assert!(gate.told.keys.is_empty());
}

#[test]
fn those_who_make_their_own_credentials_are_counted_apart_from_those_whom_somebody_vouches_for() {
    let mut gate = Gate::of(&json!({"guardrails": {"rate_limit_per_hour": 5}}));
    let own = issued("pp_1", &json!({"rate_limit_per_minute": 5}));
    let by =
        Issuer { kind: RootKind::Platform, id: "issuer:acme".into(), key_id: "ik_1".into(), gate_id: None };
    let draft =
        Draft { permissions: permissions(&json!({"rate_limit_per_minute": 5})), ..draft("pp_1", &[]) };
    let vouched = issue(&key(8), &by, "agent_1", &key(1).public_key(), &draft);
    for signed in [&own, &vouched] {
        assert_eq!(gate.code(signed, "/flights"), "ok");
    }
    let agent = self_agent_id(&key(1).public_key());
    let issuer = self_issuer_id(&key(1).public_key());
    let (own_class, vouched_class) = (CounterClass::SelfIssued, CounterClass::Vouched);
    let expected = [
        CounterKey::of_passport(&issuer, "pp_1", "flights:search", own_class),
        CounterKey::of_agent(&issuer, &agent, "*", own_class),
        CounterKey::of_passport("issuer:acme", "pp_1", "flights:search", vouched_class),
        CounterKey::of_agent("issuer:acme", "agent_1", "*", vouched_class),
    ];
    assert_eq!(gate.told.keys, expected);
    // Whoever delegates can make any number, of whom nobody but he vouches.
    gate.told.keys.clear();
    let child = delegated(&vouched, &json!({"rate_limit_per_minute": 4}));
    assert_eq!(gate.code(&child, "/flights"), "ok");
    let expected = [
        CounterKey::of_passport("issuer:acme", "pp_1", "flights:search", vouched_class),
        CounterKey::of_passport("issuer:acme", "pp_1 pp_child", "flights:search", own_class),
        CounterKey::of_agent("issuer:acme", "agent_1", "*", vouched_class),
    ];
    assert_eq!(gate.told.keys, expected);
}

#[test]
fn what_was_spent_for_a_request_that_a_limit_refuses_is_given_back() {
    let mut gate = Gate::of(&json!({}));
    gate.told.others = 2;
    let limited = issued("pp_1", &json!({"rate_limit_per_hour": 2, "max_total_cost": 250}));
    assert_eq!(gate.code(&limited, "/book"), "rate_limit_exceeded");
    gate.told.others = 0;
    let signed = issued("pp_1", &json!({"max_total_cost": 250}));
    assert_eq!([(); 2].map(|()| gate.code(&signed, "/book")), ["ok", "spend_limit_exceeded"]);
}

#[test]
fn a_passport_that_is_called_as_its_agent_shares_no_account_with_it() {
    let cap = json!({"max_total_cost": 500});
    let mut gate = Gate::of(&json!({"guardrails": {"flights:book": cap, "flights:*": cap}}));
    let signed = issued(&self_agent_id(&key(1).public_key()), &cap);
    assert_eq!([(); 3].map(|()| gate.code(&signed, "/book")), ["ok", "ok", "spend_limit_exceeded"]);
    let permissions: Vec<_> =
        gate.told.accounts.iter().take(3).map(|account| account.permission.as_str()).collect();
    assert_eq!(permissions, ["flights:book", "flights:*", "flights:book*"]);
}

#[test]
fn a_tighter_cap_of_a_child_binds_the_child_and_one_that_is_said_again_is_one() {
    for (above, below, passed, accounts) in [
        (json!({"max_total_cost": 750}), json!({"max_total_cost": 250}), 1, 2),
        (json!({"max_daily_cost": 750}), json!({"max_daily_cost": 500}), 2, 2),
        (json!({"max_total_cost": 750}), json!({"max_total_cost": 750}), 3, 1),
        (json!({"max_daily_cost": 500}), json!({}), 2, 1),
    ] {
        let mut gate = Gate::of(&json!({}));
        let child = delegated(&issued("pp_1", &above), &below);
        let codes = [(); 4].map(|()| gate.code(&child, "/book"));
        let count = codes.iter().filter(|code| **code == "ok").count();
        assert_eq!((count, codes[3]), (passed, "spend_limit_exceeded"), "{above} {below}");
        let mut ids: Vec<_> = gate.told.accounts.iter().map(SpendAccount::id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), accounts, "{above} {below}");
    }
}

fn policy(more: &Value) -> Value {
    let mut policy = json!({"enabled": true, "allowed_actions": ["flights:search", "flights:book"]});
    for (name, value) in more.as_object().unwrap() {
        policy[name] = value.clone();
    }
    json!({"anonymous": policy})
}

#[test]
fn what_is_blocked_without_a_credential_goes_before_what_is_allowed() {
    let mut gate = Gate::of(&policy(&json!({"blocked_actions": ["flights:book"]})));
    assert!(matches!(gate.send(None, "GET", "/flights"), Step::Permit(_)));
    let refused = refused(gate.send(None, "GET", "/free"));
    assert_eq!(refused.denial.reason.code(), "anonymous_not_allowed");
    // With nothing to say of how to get a credential, nothing is said.
    assert_eq!(refused.denial.detail, "flights:book is blocklisted");
    assert_eq!(gate.told.keys, [CounterKey::of_source(b"192.0.2.1"); 2]);
    for (member, text) in [("upgrade_message", "Ask us"), ("upgrade_url", "https://example.com/join")] {
        let mut gate = Gate::of(&policy(&json!({"blocked_actions": ["flights:book"], (member): text})));
        let refused = self::refused(gate.send(None, "GET", "/free"));
        assert_eq!(refused.denial.detail, format!("flights:book is blocklisted. {text}"));
    }
}

#[test]
fn a_policy_may_let_more_than_reading_pass() {
    for (read_only, passes) in [(true, false), (false, true)] {
        let mut gate = Gate::of(&policy(&json!({"read_only": read_only})));
        assert_eq!(matches!(gate.send(None, "POST", "/flights"), Step::Permit(_)), passes);
    }
}
