//! Guardrails as they are judged, made from what was written.

use super::spend::{Cap, Caps, Window};
use super::table::{Form, KNOWN, Key};
use super::values::{self, Problem, Span, unreadable};
use crate::denial::Denial;
use crate::json::{Object, Value, canonical_text};
use crate::reason::Reason;
use alloc::string::String;
use alloc::vec::Vec;

/// What one source, a permission or a gate, asks of a request. All of it must hold.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    pub(super) list: Vec<Rule>,
    pub(super) limits: Limits,
    pub(super) caps: Caps,
}

/// How often something may be done in a minute, an hour and a day, each as UTC has it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Limits(pub [Option<u32>; 3]);

#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) key: Key,
    pub(super) asked: Asked,
}

#[derive(Clone, Debug)]
pub(super) enum Asked {
    Cents(u64),
    Names(Vec<String>),
    Spans(Vec<Span>),
    Flag,
    /// A term and its value, for records.
    Term(&'static str, String),
}

/// What is wrong with guardrails as they are written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RuleFault {
    /// The member at fault, as in `spend_limits.daily_usd`.
    pub member: String,
    /// `constraint_unknown`, or `constraint_not_enforceable` for what can be read and not
    /// be judged.
    pub reason: Reason,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl From<RuleFault> for Denial {
    fn from(fault: RuleFault) -> Self {
        Denial::new(fault.reason, [&shown(&fault.member), " ", fault.problem].concat())
    }
}

impl Rules {
    /// Reads guardrails in any of the three vocabularies.
    ///
    /// # Errors
    /// The first member that is unknown, malformed, or beyond what a gate can judge.
    pub fn read(written: &Object<'_>) -> Result<Self, RuleFault> {
        let mut reading = Reading::default();
        for (name, value) in written.iter() {
            reading.member(name, value)?;
        }
        reading.rules()
    }

    /// The rules of a policy for requests without a credential.
    pub(crate) fn of_policy(limits: Limits, read_only: bool, blocked: &[String]) -> Self {
        let mut rules = Rules { limits, ..Rules::default() };
        if read_only {
            rules.add(Key::ReadOnly, Asked::Flag);
        }
        if !blocked.is_empty() {
            rules.add(Key::ActionBlocklist, Asked::Names(blocked.to_vec()));
        }
        rules
    }

    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty() && self.limits.is_empty() && self.caps.is_empty()
    }

    /// How often a request may come.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What may be spent.
    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    /// About how many bytes it keeps in memory.
    pub(crate) fn weight(&self) -> usize {
        let entries: usize = self
            .list
            .iter()
            .map(|rule| match &rule.asked {
                Asked::Names(names) => {
                    names.iter().map(|name| name.len().saturating_add(size_of::<String>())).sum()
                }
                Asked::Spans(spans) => spans.len().saturating_mul(size_of::<Span>()),
                Asked::Term(_, text) => text.len(),
                Asked::Cents(_) | Asked::Flag => 0,
            })
            .sum();
        entries
            .saturating_add(self.list.len().saturating_mul(size_of::<Rule>()))
            .saturating_add(size_of::<Self>())
    }

    pub(super) fn add(&mut self, key: Key, asked: Asked) {
        // Of amounts the lower holds both; lists and spans that are there twice are both
        // looked at.
        if let Asked::Cents(cents) = asked
            && let Some(known) = self.list.iter_mut().find(|rule| rule.key == key)
        {
            if let Asked::Cents(known) = &mut known.asked {
                *known = cents.min(*known);
            }
            return;
        }
        self.list.push(Rule { key, asked });
    }
}

impl Limits {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Limits::default()
    }

    pub(crate) fn tighten(&mut self, window: usize, limit: u32) {
        if let Some(known) = self.0.get_mut(window) {
            *known = Some(known.map_or(limit, |known| known.min(limit)));
        }
    }

    /// Both hold.
    pub(crate) fn tighten_all(&mut self, others: &Limits) {
        for (window, limit) in others.0.iter().enumerate() {
            if let Some(limit) = limit {
                self.tighten(window, *limit);
            }
        }
    }

    /// What of these limits is not kept already by `others`.
    pub(crate) fn beyond(&self, others: &Limits) -> Limits {
        let mut beyond = *self;
        for (limit, other) in beyond.0.iter_mut().zip(others.0) {
            *limit = limit.filter(|limit| other.is_none_or(|other| *limit < other));
        }
        beyond
    }
}

/// Rules so far, and what stands in two members.
#[derive(Default)]
struct Reading {
    rules: Rules,
    cumulative: Option<u64>,
    window: Option<Window>,
}

impl Reading {
    fn member(&mut self, name: &str, value: &Value<'_>) -> Result<(), RuleFault> {
        let fault = |member: String, (reason, problem): Problem| Err(RuleFault { member, reason, problem });
        let Some((known, form)) = KNOWN.iter().find(|(known, _)| *known == name) else {
            return fault(name.into(), (Reason::ConstraintUnknown, "is no guardrail that this gate knows"));
        };
        let Form::Within(inner) = form else {
            return self.take(known, *form, value).or_else(|problem| fault(name.into(), problem));
        };
        let Some(object) = value.as_object() else {
            return fault(name.into(), (Reason::ConstraintUnknown, "must be an object"));
        };
        for (member, value) in object.iter() {
            let taken = match inner.iter().find(|(known, _)| *known == member) {
                Some((known, form)) => self.take(known, *form, value),
                None => unreadable("is no guardrail that this gate knows"),
            };
            taken.or_else(|problem| fault([name, ".", member].concat(), problem))?;
        }
        Ok(())
    }

    fn take(&mut self, name: &'static str, form: Form, value: &Value<'_>) -> Result<(), Problem> {
        let beyond = |problem| Err((Reason::ConstraintNotEnforceable, problem));
        let (key, asked) = match form {
            Form::Count(window) => {
                // A limit that no counter can reach is kept as the highest that one can.
                let limit = u32::try_from(values::whole(value)?).unwrap_or(u32::MAX);
                self.rules.limits.tighten(window, limit);
                return Ok(());
            }
            Form::Cap(window) => {
                self.rules.caps.tighten(Cap { cents: values::whole(value)?, window });
                return Ok(());
            }
            Form::UsdTextCap(_) if value.as_str().is_none_or(|text| !text.starts_with('$')) => {
                return unreadable("must be dollars, as $50.00");
            }
            Form::UsdCap(window) | Form::UsdTextCap(window) => {
                self.rules.caps.tighten(Cap { cents: values::cents_of_usd(value)?, window });
                return Ok(());
            }
            Form::Cumulative => {
                self.cumulative = Some(values::whole(value)?);
                return Ok(());
            }
            Form::CumulativeWindow => {
                self.window = Some(values::window(value)?);
                return Ok(());
            }
            Form::Cents(key) => (key, Asked::Cents(values::whole(value)?)),
            Form::Usd(key) => (key, Asked::Cents(values::cents_of_usd(value)?)),
            Form::Domains(key) => (key, Asked::Names(values::domains(value)?)),
            Form::Actions(key) => (key, Asked::Names(values::actions(value)?)),
            Form::Paths(key) => (key, Asked::Names(values::paths(value)?)),
            Form::Names(key) => (key, Asked::Names(values::names(value)?)),
            Form::Spans(key) => (key, Asked::Spans(values::spans(value)?)),
            Form::Flag(key) => match value.as_bool() {
                Some(true) => (key, Asked::Flag),
                Some(false) => return Ok(()),
                None => return unreadable("must be true or false"),
            },
            Form::Beyond if value.as_bool() == Some(false) => return Ok(()),
            Form::Beyond => return beyond("is more than a gate can judge"),
            Form::PersonalData if value.as_str() == Some("log_only") => {
                (Key::Recorded, Asked::Term("pii_controls.mode", "log_only".into()))
            }
            Form::PersonalData => return beyond("can be log_only, as a gate does not read bodies"),
            Form::Currency if value.as_str() == Some("USD") => return Ok(()),
            Form::Currency => return beyond("must be USD, as a gate knows no rates of exchange"),
            Form::Term => {
                // Longer than any term that has a meaning; records are cut further.
                const LONGEST: usize = 128;
                (Key::Recorded, Asked::Term(name, canonical_text(value).chars().take(LONGEST).collect()))
            }
            // INVARIANT: never within another.
            Form::Within(_) => return unreadable("must not stand here"),
        };
        self.rules.add(key, asked);
        Ok(())
    }

    fn rules(mut self) -> Result<Rules, RuleFault> {
        match (self.cumulative, self.window) {
            (Some(cents), window) => {
                self.rules.caps.tighten(Cap { cents, window: window.unwrap_or(Window::Total) });
            }
            (None, Some(_)) => {
                return Err(RuleFault {
                    member: "core:cost:cumulative_window".into(),
                    reason: Reason::ConstraintUnknown,
                    problem: "is of no use without core:cost:max_cumulative",
                });
            }
            (None, None) => {}
        }
        Ok(self.rules)
    }
}

/// Somebody else's text, for a message: cut to what an honest one has.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(100).map(|letter| if letter.is_ascii_graphic() { letter } else { '?' }).collect()
}
