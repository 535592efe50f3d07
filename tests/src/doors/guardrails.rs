//! Guardrails as they are written, in any vocabulary.

use super::{Answer, NOW};
use portcullis_core::guardrails::{Counted, Facts, GateRules, Outcome, Rules, evaluate};
use portcullis_core::json::{Limits, Object, Value, parse};
use portcullis_core::{Method, Reason, Usage};

/// Reads them and judges a few requests: what is read is judged without an end of the
/// process, whatever is refused is refused for one of two reasons, and all members together are
/// no looser than each alone.
pub fn guardrails(input: &[u8]) -> Answer {
    let Ok(Value::Object(written)) = parse(input, LIMITS) else { return Answer::Refused };
    // A gate reads more: what stands under the names of actions.
    let by_gate = GateRules::read(&written);
    let rules = match Rules::read(&written) {
        Ok(rules) => rules,
        Err(fault) => {
            assert!(matches!(fault.reason, Reason::ConstraintUnknown | Reason::ConstraintNotEnforceable));
            return by_gate.map_or(Answer::Refused, |_| Answer::Accepted);
        }
    };
    assert!(by_gate.is_ok(), "what a permission may ask, a gate may too");
    for facts in [
        Facts {
            action: "flights:search",
            method: Method::Get,
            target_domain: "api.example.com",
            path: "/flights",
            model: Some("opus"),
            cost_cents: 250,
            now: NOW,
        },
        Facts {
            action: "mail:send",
            method: Method::Post,
            target_domain: "evil.example",
            path: "/",
            model: None,
            cost_cents: 0,
            now: NOW.plus_millis(43_200_000),
        },
    ] {
        let whole = strictness(&rules, &facts);
        for (name, value) in written.iter() {
            let mut alone = Object::default();
            alone.set(name, value.clone());
            if let Ok(rules) = Rules::read(&alone) {
                assert!(strictness(&rules, &facts) <= whole, "{name} is stricter alone");
            }
        }
    }
    Answer::Accepted
}

/// 0 for what passes, 1 for what is held, 2 for what is refused.
fn strictness(rules: &Rules, facts: &Facts<'_>) -> u8 {
    let counted = [Counted { limits: *rules.limits(), used: Usage([5, 50, 500]) }];
    let verdict = evaluate(&[rules], &counted, facts);
    let blocks = verdict.evaluations.iter().filter(|one| one.result == "block").count();
    let outcome = match verdict.outcome {
        Outcome::Allow => 0,
        Outcome::Hold { .. } => 1,
        Outcome::Block { .. } => 2,
    };
    assert_eq!(blocks, usize::from(outcome == 2));
    outcome
}

const LIMITS: Limits = Limits { bytes: 64 * 1024, depth: 8, values: 10_000 };
