//! Guardrails at a gate: what is held for a person, and what uses up a nonce.

use crate::common::guarded::{
    ASK, Ask, BOOK, Gate, NONCE, approved, binding, code, held, issued, needing_approval, passport, prove,
};
use crate::common::{NOW, key};
use portcullis_core::live::hex;
use portcullis_core::modei::self_issue;
use portcullis_core::{Process, ProofDraft, RequestHead, Step, Verifier, sha256};
use serde_json::{Value, json};

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
fn an_approval_is_for_one_of_the_hosts_that_a_gate_stands_before() {
    let authorities = json!(["api.example:8443", "other.example"]);
    let signed = issued(&json!({"core:approval:required": true}));
    let flights = Ask { path: "/flights", ..ASK };
    let bound = held(Gate::live(&json!({})).ask(&signed, flights)).binding;
    let members = json!({"approvals": [approved(&hex(&bound))], "authorities": authorities});
    let mut gate = Gate::live(&members);
    assert_eq!(gate.code(&signed, Ask { authority: "other.example", ..flights }), "hold");
    assert_eq!(gate.code(&signed, flights), "ok");
}

#[test]
fn what_cannot_be_spent_uses_up_neither_an_approval_nor_a_limit() {
    let bound = binding(BOOK.body, "POST", "/costly?seat=1A", "flights:book", 250, 1);
    let mut gate = Gate::live(&json!({"approvals": [approved(&bound)]}));
    let of = |id: &str, constraints: Value| self_issue(&key(1), &passport(id, &constraints));
    let poor = of(
        "pp_poor",
        json!({"core:approval:required": true, "max_total_cost": 100, "rate_limit_per_minute": 1}),
    );
    assert_eq!([(); 2].map(|()| gate.code(&poor, BOOK)), ["spend_limit_exceeded"; 2]);
    // The approval is for the agent, whichever of its passports it brings.
    let rich = of("pp_rich", json!({"core:approval:required": true, "max_total_cost": 250}));
    assert_eq!(gate.code(&rich, BOOK), "ok");
    // And who was approved of, but once, spends nothing.
    let free = of("pp_rich", json!({"max_total_cost": 250}));
    assert_eq!(gate.code(&free, BOOK), "spend_limit_exceeded");
    let next = of("pp_next", json!({"core:approval:required": true, "max_total_cost": 250}));
    assert_eq!(gate.code(&next, BOOK), "hold");
    assert_eq!(gate.code(&of("pp_next", json!({"max_total_cost": 250})), BOOK), "ok");
}

#[test]
fn who_must_be_approved_is_held_before_it_is_looked_at_what_is_left_to_spend() {
    let mut gate = Gate::live(&json!({}));
    let poor = json!({"core:approval:required": true, "max_total_cost": 100});
    assert_eq!(gate.code(&self_issue(&key(1), &passport("pp_poor", &poor)), BOOK), "hold");
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
fn what_other_proxies_must_be_asked_about_is_charged_when_they_have_not_seen_it() {
    let constraints = json!({"rate_limit_per_minute": 1, "max_total_cost": 250});
    let signed = issued(&constraints);
    let mut gate = Gate::live(&json!({"nonce_authority": true}));
    let asked = |gate: &mut Gate, nonce: &str| match prove(gate, &signed, nonce, BOOK) {
        Step::NeedAuthority(pending) => pending,
        decided => panic!("{decided:?}"),
    };
    // As often as somebody repeats what was used elsewhere.
    for nonce in ["BBBBBBBBBBBBBBBBBBBBBB", "CCCCCCCCCCCCCCCCCCCCCC"] {
        asked(&mut gate, nonce);
        assert_eq!(code(&prove(&mut gate, &signed, nonce, BOOK)), "request_replayed");
    }
    let (pending, late) = (asked(&mut gate, NONCE), asked(&mut gate, "DDDDDDDDDDDDDDDDDDDDDD"));
    assert_eq!(pending.once().unwrap().token, sha256(NONCE.as_bytes()));
    let finish = |gate: &mut Gate, pending| {
        let verifier = Verifier::new(&gate.snapshot).with_process(&gate.process);
        code(&verifier.finish(pending, NOW, &mut gate.memory))
    };
    assert_eq!(finish(&mut gate, pending), "ok");
    assert_eq!(finish(&mut gate, late), "rate_limit_exceeded");
    // All is judged again, as the answer may take its time.
    let mut gate = Gate::live(&json!({"nonce_authority": true}));
    let pending = asked(&mut gate, NONCE);
    gate.snapshot = Gate::live(&json!({"guardrails": {"core:data:read_only": true}})).snapshot;
    assert_eq!(finish(&mut gate, pending), "constraint_violated");
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
