//! What may be asked without a credential.

use crate::config::{AnonymousConfig, Spot};
use crate::guardrails::{Limits, Rules};
use crate::route::Routes;
use alloc::string::String;
use alloc::vec::Vec;

/// A gate's policy for requests without a credential.
#[derive(Debug)]
pub(crate) struct Anonymous {
    allowed: Vec<String>,
    rules: Rules,
    upgrade: String,
}

impl Anonymous {
    /// Checks a policy. A fault is an action that no route has, and a text that is not one line.
    pub(crate) fn checked(config: &AnonymousConfig, routes: &Routes, spot: &Spot<'_>) -> Self {
        let lists =
            [("allowed_actions", &config.allowed_actions), ("blocked_actions", &config.blocked_actions)];
        for (member, listed) in lists {
            let list = spot.member(member);
            for (index, action) in listed.iter().enumerate() {
                list.element(index).check(routes.has_action(action), "", "is an action that no route has");
            }
        }
        let mut upgrade = String::new();
        for (member, text) in
            [("upgrade_message", &config.upgrade_message), ("upgrade_url", &config.upgrade_url)]
        {
            let text = text.as_deref().unwrap_or_default();
            let is_line = text.len() <= MOST_TEXT && !text.chars().any(char::is_control);
            spot.check(is_line, member, "must be one line of at most 512 bytes");
            if !upgrade.is_empty() && !text.is_empty() {
                upgrade.push(' ');
            }
            upgrade.push_str(text);
        }
        let limits = [Some(config.rate_limit_per_minute), Some(config.rate_limit_per_hour), None];
        let rules = Rules::of_policy(Limits(limits), config.read_only, &config.blocked_actions);
        Anonymous { allowed: config.allowed_actions.clone(), rules, upgrade }
    }

    /// Whether `action` may be asked at all.
    pub(crate) fn allows(&self, action: &str) -> bool {
        self.allowed.iter().any(|allowed| allowed == action)
    }

    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    pub(crate) fn limits(&self) -> &Limits {
        self.rules.limits()
    }

    /// What a refusal says of how to get a credential.
    pub(crate) fn upgrade(&self) -> &str {
        &self.upgrade
    }
}

/// In bytes: it is part of each refusal.
const MOST_TEXT: usize = 512;
