//! What a gate asks of every request, or of every request for some action.

use super::rules::{RuleFault, Rules};
use super::values::is_action_pattern;
use crate::config::Spot;
use crate::json::Object;
use crate::reason::Reason;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// A gate's guardrails: for all requests, and for actions.
#[derive(Clone, Debug, Default)]
pub struct GateRules {
    /// For the actions that fit: all, or those of one permission.
    entries: Vec<(String, Rules)>,
}

impl GateRules {
    /// Reads a gate's guardrails. A member that is an object and no guardrail itself holds
    /// the guardrails of the permission that it is called by: an action, or `ns:*`.
    ///
    /// # Errors
    /// [`RuleFault`], whose member is a path within `written`.
    pub fn read(written: &Object<'_>) -> Result<Self, RuleFault> {
        let mut entries = Vec::new();
        let mut flat = Object::default();
        for (name, value) in written.iter() {
            let permission = value.as_object().filter(|_| is_action_pattern(name) && !is_known(name));
            match permission {
                Some(rules) => {
                    let rules = Rules::read(rules).map_err(|fault| RuleFault {
                        member: [name, ".", &fault.member].concat(),
                        ..fault
                    })?;
                    entries.push((name.to_string(), rules));
                }
                None => flat.set(name, value.clone()),
            }
        }
        let rules = Rules::read(&flat)?;
        if !rules.is_empty() {
            if entries.iter().any(|(pattern, _)| pattern == "*") {
                let problem = "says again what holds for all: state each guardrail once";
                return Err(RuleFault {
                    member: String::from("*"),
                    reason: Reason::ConstraintUnknown,
                    problem,
                });
            }
            entries.insert(0, (String::from("*"), rules));
        }
        Ok(GateRules { entries })
    }

    /// The same; what is wrong is noted.
    #[inline(never)]
    pub(crate) fn checked(written: &Object<'_>, spot: &Spot<'_>) -> Self {
        GateRules::read(written).unwrap_or_else(|fault| {
            spot.check(false, &fault.member, fault.problem);
            GateRules::default()
        })
    }

    /// Those that hold for this action, each with the pattern that it stands under.
    pub fn of<'r>(&'r self, action: &'r str) -> impl Iterator<Item = (&'r str, &'r Rules)> {
        let fitting = self.entries.iter().filter(move |(pattern, _)| Self::fits(pattern, action));
        fitting.map(|(pattern, rules)| (pattern.as_str(), rules))
    }

    /// Whether a pattern is for this action.
    pub fn fits(pattern: &str, action: &str) -> bool {
        super::judge::fits(pattern, action, ':')
    }

    /// All of them, each with its pattern.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Rules)> {
        self.entries.iter().map(|(pattern, rules)| (pattern.as_str(), rules))
    }
}

fn is_known(name: &str) -> bool {
    super::table::KNOWN.iter().any(|(known, _)| *known == name)
}
