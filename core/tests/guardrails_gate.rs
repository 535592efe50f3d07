//! Guardrails at a gate: who is counted, what is held, and who passes without a credential.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use common::{NOW, SELF_ISSUED, draft, key};
use portcullis_core::attestation::AccessMode;
use portcullis_core::json::{self, Object};
use portcullis_core::live::hex;
use portcullis_core::modei::{Draft, Signed, delegate, self_issue};
use portcullis_core::{
    Config, CredentialCache, Held, LocalMemory, Permit, Process, ProofDraft, Refused, RequestHead, Snapshot,
    Step, UnixTime, Verifier, base64, sha256,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const SECRET: [u8; 32] = [1; 32];

fn process() -> Process {
    Process::new(SECRET, NOW.plus_millis(-1_000_000))
}

/// A configuration with these members beside the usual ones.
fn config(members: &Value) -> Value {
    let mut config: Value = serde_json::from_str(
        r#"{"gate":{"id":"gate_test"},"profile":"L1","authorities":["api.example","api.example:8443"],"routes":[
          {"path":"/flights","methods":["GET","POST"],"action":"flights:search"},
          {"path":"/costly","methods":["GET","POST"],"action":"flights:book","cost_cents":250,
           "target_domain":"airline.example","model":"opus"},
          {"path":"/free","methods":["GET","POST"],"action":"flights:book"},
          {"path":"/open","methods":["GET"],"public":true}]}"#,
    )
    .unwrap();
    config["trust"] = serde_json::from_str(SELF_ISSUED).unwrap();
    for (name, value) in members.as_object().unwrap() {
        config[name] = value.clone();
    }
    config
}

fn read(config: &Value) -> Config {
    Config::from_json(config.to_string().as_bytes()).unwrap()
}

/// The place of what is wrong with a configuration, as a gate without a control service
/// reads it.
fn fault(members: &Value) -> String {
    let config = Config::from_json(config(members).to_string().as_bytes());
    config
        .and_then(|config| Snapshot::of_static(&config))
        .map_or_else(|error| error.to_string(), |_| String::new())
}

fn permission(permission: &str, constraints: &Value) -> (String, Object<'static>) {
    let limits = json::Limits { bytes: 1 << 20, depth: 16, values: 10_000 };
    let value = json::parse(constraints.to_string().as_bytes(), limits).unwrap().into_owned();
    let json::Value::Object(object) = value else { panic!("no object") };
    (permission.into(), object)
}

fn passport(id: &str, constraints: &Value) -> Draft {
    let permissions = ["flights:search", "flights:book"].map(|key| permission(key, constraints)).to_vec();
    Draft { permissions, ..draft(id, &[]) }
}

fn issued(constraints: &Value) -> Signed {
    self_issue(&key(1), &passport("pp_1", constraints))
}

/// A gate with what it remembers.
struct Gate {
    snapshot: Snapshot,
    cache: CredentialCache,
    memory: LocalMemory,
    process: Process,
}

#[derive(Clone, Copy)]
struct Ask<'a> {
    method: &'a str,
    path: &'a str,
    body: &'a [u8],
    source: Option<&'a str>,
    now: UnixTime,
}

const ASK: Ask<'_> = Ask { method: "GET", path: "/flights", body: b"", source: None, now: NOW };

impl Gate {
    fn of(members: &Value) -> Self {
        Self::with(Snapshot::of_static(&read(&config(members))).unwrap())
    }

    fn live(members: &Value) -> Self {
        Self::with(Snapshot::new(&read(&config(members))).unwrap())
    }

    fn with(snapshot: Snapshot) -> Self {
        let process = process();
        Gate { snapshot, cache: CredentialCache::new(1 << 20), memory: LocalMemory::new(&process), process }
    }

    fn step(&mut self, headers: &[(&str, &str)], ask: Ask<'_>) -> Step {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let head = RequestHead {
            method: ask.method.as_bytes(),
            authority: b"api.example:8443",
            path: ask.path.as_bytes(),
            headers: &headers,
            source: ask.source.map(str::as_bytes),
        };
        let verifier = Verifier::new(&self.snapshot).with_process(&self.process);
        match verifier.begin(&head, ask.now, &mut self.cache, &mut self.memory) {
            Step::NeedBody(mut pending) => {
                pending.absorb(ask.body).unwrap();
                verifier.finish(pending, ask.now, &mut self.memory)
            }
            decided => decided,
        }
    }

    fn ask(&mut self, signed: &Signed, ask: Ask<'_>) -> Step {
        self.step(&[("agent-passport", &signed.to_header())], ask)
    }

    /// `ok`, `hold`, or a reason's code.
    fn code(&mut self, signed: &Signed, ask: Ask<'_>) -> &'static str {
        code(&self.ask(signed, ask))
    }
}

fn code(step: &Step) -> &'static str {
    match step {
        Step::Permit(_) => "ok",
        Step::Deny(refused) => refused.denial.reason.code(),
        Step::Hold(_) => "hold",
        Step::NeedBody(_) => panic!("a body is asked for once"),
    }
}

fn permit(step: Step) -> Permit {
    let Step::Permit(permit) = step else { panic!("{step:?}") };
    permit
}

fn refused(step: Step) -> Refused {
    let Step::Deny(refused) = step else { panic!("{step:?}") };
    refused
}

fn held(step: Step) -> Held {
    let Step::Hold(held) = step else { panic!("{step:?}") };
    held
}

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

/// The binding as another implementation would make it.
fn binding(body: &[u8], method: &str, target: &str, action: &str, cost: u64, agent: u8) -> String {
    let thumbprint = base64::encode_url(&sha256(&key(agent).public_key()));
    let text = format!(
        r#"{{"action":"{action}","agent_key":"{thumbprint}","body":"{}","cost_cents":{cost},"gate":"gate_test","method":"{method}","target":"{target}","v":1}}"#,
        hex(&sha256(body))
    );
    hex(&sha256(text.as_bytes()))
}

fn approved(binding: &str) -> Value {
    json!({"id": "appr_1", "binding": binding, "lane": base64::encode_url(&process().lane("gate_test")),
           "expires_at": NOW.plus_millis(60_000).to_iso()})
}

const BOOK: Ask<'_> = Ask { method: "POST", path: "/costly?seat=1A", body: b"{\"seat\":1}", ..ASK };

fn needing_approval() -> Signed {
    issued(&json!({"core:cost:approval_threshold": 100, "rate_limit_per_minute": 1}))
}

#[test]
fn a_request_that_needs_approval_is_held_and_bound_to_all_that_it_asks() {
    let mut gate = Gate::live(&json!({}));
    let held = held(gate.ask(&needing_approval(), BOOK));
    assert_eq!(hex(&held.binding), binding(BOOK.body, "POST", "/costly?seat=1A", "flights:book", 250, 1));
    assert_eq!(held.agent_key, sha256(&key(1).public_key()));
    assert_eq!(held.refused.denial.reason.code(), "approval_required");
    assert_eq!(held.refused.evaluations.last().unwrap().result, "hold");
    let agent = held.refused.identity.unwrap().agent_id().to_owned();
    assert_eq!(
        held.summary,
        format!(
            "{agent} asks for flights:book: POST airline.example/costly for $2.50 ($2.50/$1.00, above which it needs approval)"
        )
    );
    // Nothing was counted.
    assert_eq!(gate.code(&needing_approval(), BOOK), "hold");
}

#[test]
fn an_approval_lets_the_same_request_pass_once() {
    let bound = binding(BOOK.body, "POST", "/costly?seat=1A", "flights:book", 250, 1);
    let mut gate = Gate::live(&json!({"approvals": [approved(&bound)]}));
    let signed = issued(&json!({"core:cost:approval_threshold": 100}));
    assert_eq!(gate.code(&signed, BOOK), "ok");
    assert_eq!(gate.code(&signed, BOOK), "hold");
    assert_eq!(gate.code(&signed, Ask { now: NOW.plus_millis(30_000), ..BOOK }), "hold");
}

#[test]
fn each_of_two_approvals_of_one_request_lets_it_pass_once() {
    let bound = binding(BOOK.body, "POST", "/costly?seat=1A", "flights:book", 250, 1);
    let mut second = approved(&bound);
    second["id"] = json!("appr_2");
    let mut gate = Gate::live(&json!({"approvals": [approved(&bound)]}));
    let signed = issued(&json!({"core:cost:approval_threshold": 100}));
    assert_eq!([(); 2].map(|()| gate.code(&signed, BOOK)), ["ok", "hold"]);
    // The one that is used is in force still when the next is given.
    gate.snapshot = Gate::live(&json!({"approvals": [approved(&bound), second]})).snapshot;
    assert_eq!([(); 2].map(|()| gate.code(&signed, BOOK)), ["ok", "hold"]);
}

#[test]
fn an_approval_is_for_nothing_else() {
    let signed = issued(&json!({"core:approval:required": true}));
    let bound = binding(BOOK.body, "POST", "/costly?seat=1A", "flights:book", 250, 1);
    for ask in [
        Ask { body: b"{\"seat\":2}", ..BOOK },
        Ask { body: b"", ..BOOK },
        Ask { method: "GET", ..BOOK },
        Ask { path: "/costly?seat=1B", ..BOOK },
        Ask { path: "/costly", ..BOOK },
        // The same action for another price.
        Ask { path: "/free?seat=1A", ..BOOK },
        Ask { path: "/flights?seat=1A", ..BOOK },
        Ask { now: NOW.plus_millis(60_000), ..BOOK },
    ] {
        let mut gate = Gate::live(&json!({"approvals": [approved(&bound)]}));
        assert_eq!(gate.code(&signed, ask), "hold", "{} {}", ask.method, ask.path);
        assert_eq!(gate.code(&signed, Ask { now: NOW.plus_millis(59_999), ..BOOK }), "ok");
    }
    // Another agent.
    let mut gate = Gate::live(&json!({"approvals": [approved(&bound)]}));
    let other = self_issue(&key(2), &passport("pp_1", &json!({"core:approval:required": true})));
    assert_eq!(gate.code(&other, BOOK), "hold");
    // Another process, whose memory would not know that it was used here.
    gate.process = Process::new([2; 32], NOW);
    assert_eq!(gate.code(&signed, BOOK), "hold");
    // A gate of another name.
    let gate_b = json!({"approvals": [approved(&bound)], "gate": {"id": "gate_b"}});
    assert_eq!(Gate::live(&gate_b).code(&signed, BOOK), "hold");
}

#[test]
fn an_approval_lifts_nothing_but_the_hold() {
    let bound = binding(BOOK.body, "POST", "/costly?seat=1A", "flights:book", 250, 1);
    let mut gate = Gate::live(&json!({"approvals": [approved(&bound)]}));
    let read_only = issued(&json!({"core:approval:required": true, "core:data:read_only": true}));
    assert_eq!(gate.code(&read_only, BOOK), "constraint_violated");
    let signed = needing_approval();
    assert_eq!(gate.code(&signed, BOOK), "ok");
    // It was counted when it passed.
    assert_eq!(gate.code(&signed, BOOK), "rate_limit_exceeded");
}

/// Asks with a proof that has this nonce.
fn prove(gate: &mut Gate, signed: &Signed, nonce: &str, ask: Ask<'_>) -> Step {
    let credential = signed.to_header();
    let agent = portcullis_core::modei::self_agent_id(&key(1).public_key());
    let (path, query) =
        ask.path.split_once('?').map_or((ask.path, None), |(path, query)| (path, Some(query)));
    let proof = ProofDraft {
        method: ask.method,
        authority: "api.example:8443",
        path,
        query,
        credential: ("agent-passport", &credential),
        body: Some(ask.body),
        key_id: &agent,
        created: NOW,
        expires: None,
        nonce,
    }
    .sign(&key(1));
    let mut headers = vec![("agent-passport", credential.as_str())];
    headers.extend(proof.iter().map(|(name, value)| (*name, value.as_str())));
    gate.step(&headers, ask)
}

const NONCE: &str = "AAAAAAAAAAAAAAAAAAAAAA";

#[test]
fn a_request_that_guardrails_refuse_uses_up_no_nonce_and_a_replay_no_limit() {
    let mut gate = Gate::of(&json!({}));
    let signed = issued(&json!({"rate_limit_per_minute": 2}));
    assert_eq!(code(&prove(&mut gate, &signed, NONCE, ASK)), "ok");
    for _ in 0..3 {
        assert_eq!(code(&prove(&mut gate, &signed, NONCE, ASK)), "request_replayed");
    }
    let other = "BBBBBBBBBBBBBBBBBBBBBB";
    assert_eq!(code(&prove(&mut gate, &signed, other, ASK)), "ok");
    let third = "CCCCCCCCCCCCCCCCCCCCCC";
    assert_eq!(code(&prove(&mut gate, &signed, third, ASK)), "rate_limit_exceeded");
    let next = Ask { now: NOW.plus_millis(60_000), ..ASK };
    assert_eq!(code(&prove(&mut gate, &signed, third, next)), "ok");
}

#[test]
fn a_held_request_uses_up_its_nonce_and_is_approved_under_another() {
    let bound = binding(BOOK.body, "POST", "/costly?seat=1A", "flights:book", 250, 1);
    let signed = issued(&json!({"core:approval:required": true}));
    let mut gate = Gate::live(&json!({}));
    assert_eq!(hex(&held(prove(&mut gate, &signed, NONCE, BOOK)).binding), bound);
    assert_eq!(code(&prove(&mut gate, &signed, NONCE, BOOK)), "request_replayed");
    gate.snapshot = Gate::live(&json!({"approvals": [approved(&bound)]})).snapshot;
    assert_eq!(code(&prove(&mut gate, &signed, NONCE, BOOK)), "request_replayed");
    assert_eq!(code(&prove(&mut gate, &signed, "BBBBBBBBBBBBBBBBBBBBBB", BOOK)), "ok");
    assert_eq!(code(&prove(&mut gate, &signed, "CCCCCCCCCCCCCCCCCCCCCC", BOOK)), "hold");
}

#[test]
fn guardrails_that_change_while_a_body_comes_are_those_that_count() {
    let signed = issued(&json!({}));
    let credential = signed.to_header();
    let stricter = |guardrails: Value| Gate::live(&json!({"guardrails": guardrails})).snapshot;
    for (guardrails, body, expected) in [
        (json!({"core:data:read_only": true}), BOOK.body, "constraint_violated"),
        // Its body was not hashed, so there is nothing that an approval could be bound to.
        (json!({"core:approval:required": true}), BOOK.body, "trust_material_stale"),
    ] {
        let mut gate = Gate::live(&json!({}));
        let draft = ProofDraft {
            method: "POST",
            authority: "api.example:8443",
            path: "/free",
            query: None,
            credential: ("agent-passport", &credential),
            body: Some(body),
            key_id: &portcullis_core::modei::self_agent_id(&key(1).public_key()),
            created: NOW,
            expires: None,
            nonce: NONCE,
        };
        let proof = draft.sign(&key(1));
        let mut headers = vec![(&b"agent-passport"[..], credential.as_bytes())];
        headers.extend(proof.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        let head = RequestHead {
            method: b"POST",
            authority: b"api.example:8443",
            path: b"/free",
            headers: &headers,
            source: None,
        };
        let begun = Verifier::new(&gate.snapshot).begin(&head, NOW, &mut gate.cache, &mut gate.memory);
        let Step::NeedBody(mut pending) = begun else { panic!("{begun:?}") };
        pending.absorb(body).unwrap();
        let snapshot = stricter(guardrails);
        assert_eq!(code(&Verifier::new(&snapshot).finish(pending, NOW, &mut gate.memory)), expected);
    }
}

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
