//! Judging a request by guardrails.

use super::rules::{Asked, Limits, Rule, Rules, shown};
use super::spend::{Cap, Taken, Window};
use super::table::Key;
use crate::counters::Usage;
use crate::reason::Reason;
use crate::request::Method;
use crate::time::UnixTime;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// What is judged of a request.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'f> {
    /// The action that its route amounts to.
    pub action: &'f str,
    /// Its method.
    pub method: Method,
    /// The host that it is for.
    pub target_domain: &'f str,
    /// Its path, decoded, without query.
    pub path: &'f str,
    /// The model that its route leads to, if the route says so.
    pub model: Option<&'f str>,
    /// What it costs.
    pub cost_cents: u64,
    /// The time.
    pub now: UnixTime,
}

/// Limits and what was used of them before this request.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    /// How often it may be done.
    pub limits: Limits,
    /// How often it was done.
    pub used: Usage,
}

/// What became of one guardrail.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Evaluation {
    /// Its key, `core:<category>:<name>`.
    pub name: &'static str,
    /// `pass`, `block`, `hold` or `recorded`.
    pub result: &'static str,
    /// What was found, for people.
    pub detail: String,
}

/// What became of a request at guardrails.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verdict {
    /// Each guardrail that was looked at, in order. One that blocks is the last.
    pub evaluations: Vec<Evaluation>,
    /// What follows.
    pub outcome: Outcome,
}

/// What follows from guardrails.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// All passed.
    Allow,
    /// One did not.
    Block {
        /// Of which kind it was.
        reason: Reason,
        /// What was found.
        detail: String,
        /// When it is worth trying again, in seconds.
        retry_after_s: Option<u32>,
    },
    /// A person must approve of it first.
    Hold {
        /// Why.
        detail: String,
    },
}

/// Judges a request by the rules of all sources, in the order of their keys: a block ends it,
/// a hold is remembered and loses to a later block. What is spent is for whoever takes it
/// ([`Spend`](super::Spend)) to judge.
pub fn evaluate(sources: &[&Rules], counted: &[Counted], facts: &Facts<'_>) -> Verdict {
    let mut evaluations = Vec::new();
    let mut held = None;
    for key in Key::IN_ORDER {
        let mut findings = Vec::new();
        match key {
            Key::MaxPerMinute => findings.extend(counted.iter().filter_map(|one| one.judge(0, facts.now))),
            Key::MaxPerHour => findings.extend(counted.iter().filter_map(|one| one.judge(1, facts.now))),
            Key::MaxPerDay => findings.extend(counted.iter().filter_map(|one| one.judge(2, facts.now))),
            _ => {
                for rule in sources.iter().flat_map(|rules| &rules.list).filter(|rule| rule.key == key) {
                    findings.push(judge(rule, facts));
                }
            }
        }
        for Finding { term, result, detail, reason, retry_after_s } in findings {
            let name = term.unwrap_or(key.name());
            let blocks = result == BLOCK;
            if result == HOLD && held.is_none() {
                held = Some(detail.clone());
            }
            evaluations.push(Evaluation { name, result, detail: detail.clone() });
            if blocks {
                return Verdict { evaluations, outcome: Outcome::Block { reason, detail, retry_after_s } };
            }
        }
    }
    let outcome = held.map_or(Outcome::Allow, |detail| Outcome::Hold { detail });
    Verdict { evaluations, outcome }
}

const PASS: &str = "pass";
const BLOCK: &str = "block";
const HOLD: &str = "hold";
const RECORDED: &str = "recorded";

struct Finding {
    /// The name of a term.
    term: Option<&'static str>,
    result: &'static str,
    detail: String,
    /// Of a block.
    reason: Reason,
    retry_after_s: Option<u32>,
}

#[inline(never)]
fn finding(result: &'static str, detail: String, reason: Reason) -> Finding {
    Finding { term: None, result, detail, reason, retry_after_s: None }
}

impl Counted {
    fn judge(&self, window: usize, now: UnixTime) -> Option<Finding> {
        let limit = self.limits.0.get(window).copied().flatten()?;
        let used = *self.used.0.get(window)?;
        let is_over = used >= limit;
        let shown = if is_over { used } else { used.saturating_add(1) };
        let name = ["minute", "hour", "day"].get(window).copied().unwrap_or_default();
        let detail = [&shown.to_string(), "/", &limit.to_string(), " requests used this ", name].concat();
        let result = if is_over { BLOCK } else { PASS };
        let retry_after_s = Some(crate::counters::seconds_left(window, now));
        Some(Finding { retry_after_s, ..finding(result, detail, Reason::RateLimitExceeded) })
    }
}

fn judge(rule: &Rule, facts: &Facts<'_>) -> Finding {
    let violated = Reason::ConstraintViolated;
    match (&rule.asked, rule.key) {
        (Asked::Term(name, value), _) => {
            Finding { term: Some(name), ..finding(RECORDED, value.clone(), violated) }
        }
        (Asked::Spans(spans), key) => {
            let within = spans.iter().any(|span| span.contains(facts.now));
            let (good, bad) = match key {
                Key::OperatingHours => (within, "outside operating hours: it is "),
                _ => (!within, "within a blackout window: it is "),
            };
            let what = if good { "it is " } else { bad };
            let detail = [what, &facts.now.to_iso()].concat();
            finding(if good { PASS } else { BLOCK }, detail, violated)
        }
        (Asked::Cents(cents), Key::ApprovalThreshold) => {
            let is_more = facts.cost_cents > *cents;
            let end = if is_more { ", above which it needs approval" } else { ", up to which it needs none" };
            finding(if is_more { HOLD } else { PASS }, cost_detail(facts.cost_cents, *cents, end), violated)
        }
        (Asked::Cents(cents), _) => {
            let result = if facts.cost_cents > *cents { BLOCK } else { PASS };
            let detail = cost_detail(facts.cost_cents, *cents, " per action");
            finding(result, detail, Reason::SpendLimitExceeded)
        }
        (Asked::Flag, Key::ReadOnly) => {
            let reads = matches!(facts.method, Method::Get | Method::Head | Method::Options);
            let verb = facts.action.split(|letter: char| !letter.is_ascii_alphanumeric());
            let writes =
                verb.into_iter().any(|part| VERBS.iter().any(|verb| part.eq_ignore_ascii_case(verb)));
            let good = reads && !writes;
            let detail = if good { "it only reads" } else { "it may do more than read" };
            finding(if good { PASS } else { BLOCK }, detail.into(), violated)
        }
        (Asked::Flag, _) => finding(HOLD, "every request needs approval".into(), violated),
        (Asked::Names(names), key) => judge_name(names, key, facts),
    }
}

const VERBS: [&str; 6] = ["write", "create", "update", "delete", "send", "post"];

fn judge_name(names: &[String], key: Key, facts: &Facts<'_>) -> Finding {
    let (subject, separator) = match key {
        Key::DomainAllowlist | Key::DomainBlocklist => (facts.target_domain, '\0'),
        Key::PathAllowlist => (facts.path, '/'),
        Key::ModelAllowlist => match facts.model {
            Some(model) => (model, '\0'),
            None => {
                let detail = "the route does not say which model it leads to".into();
                return finding(BLOCK, detail, Reason::ConstraintNotEnforceable);
            }
        },
        _ => (facts.action, ':'),
    };
    let listed = names.iter().any(|name| fits(name, subject, separator));
    let (result, end) = match (key, listed) {
        (Key::ApprovalForActions, true) => (HOLD, " needs approval"),
        (Key::ApprovalForActions, false) => (PASS, " needs no approval"),
        (Key::DomainBlocklist | Key::ActionBlocklist, true) => (BLOCK, " is blocklisted"),
        (Key::DomainBlocklist | Key::ActionBlocklist, false) => (PASS, " is not blocklisted"),
        (_, true) => (PASS, " is allowlisted"),
        (_, false) => (BLOCK, " is not allowlisted"),
    };
    finding(result, [&shown(subject), end].concat(), Reason::ConstraintViolated)
}

/// Whether `name` is the pattern itself, or begins with all of it up to a `*`.
///
/// INVARIANT: a pattern that was read has its `*` behind the separator, or alone.
pub(super) fn fits(pattern: &str, name: &str, separator: char) -> bool {
    match pattern.strip_suffix('*') {
        Some(above) if separator != '\0' => name.starts_with(above),
        _ => pattern == name,
    }
}

/// Amounts for people: `$12.50/$100.00`, and what they are.
pub(crate) fn cost_detail(cents: u64, of: u64, end: &str) -> String {
    let mut text = String::new();
    for (amount, behind) in [(cents, "/"), (of, end)] {
        let digits = amount.to_string();
        let (dollars, rest) = digits.split_at_checked(digits.len().saturating_sub(2)).unwrap_or_default();
        text.push('$');
        text.push_str(if dollars.is_empty() { "0" } else { dollars });
        text.push('.');
        if rest.len() < 2 {
            text.push('0');
        }
        text.push_str(rest);
        text.push_str(behind);
    }
    text
}

/// Adds that a limit was reached after all.
pub(crate) fn push_counted(evaluations: &mut Vec<Evaluation>, window: usize, counted: &Counted) -> String {
    let name = [Key::MaxPerMinute, Key::MaxPerHour, Key::MaxPerDay].get(window).map_or("", |key| key.name());
    // The time is of no use to what is said.
    let detail = counted.judge(window, UnixTime::from_millis(0)).map(|finding| finding.detail);
    let detail = detail.unwrap_or_default();
    evaluations.push(Evaluation { name, result: BLOCK, detail: detail.clone() });
    detail
}

/// Adds what became of a cap, and answers it for people.
pub fn push_spent(evaluations: &mut Vec<Evaluation>, taken: Taken, is_over: bool) -> String {
    let Taken { spent, cap: Cap { cents, window } } = taken;
    let end = match window {
        Window::Daily => " daily spend used",
        Window::Rolling(_) => " spend used in its window",
        Window::Total => " total spend used",
    };
    let detail = cost_detail(spent, cents, end);
    let result = if is_over { BLOCK } else { PASS };
    evaluations.push(Evaluation { name: "core:cost:max_cumulative", result, detail: detail.clone() });
    detail
}
