//! All guardrails of a request together: those of its passport and those of its gate. A gate
//! and a control service judge by the same ones.

use super::gate::GateRules;
use super::granted::Level;
use super::restrictions::Restrictions;
use super::rules::{Limits, Rules};
use super::spend::{Caps, SpendAccount};
use crate::counters::{CounterClass, CounterKey};
use crate::denial::Denial;
use crate::modei::{Hop, Passport, RootKind};
use alloc::string::ToString;
use alloc::vec::Vec;

/// All that is asked of a request beyond who makes it: by its permission, and by the gate.
#[derive(Debug, Default)]
pub struct Guards<'g> {
    pub(crate) sources: Vec<&'g Rules>,
    pub(crate) counted: Vec<Count>,
    pub(crate) accounts: Vec<SpendAccount>,
}

/// How often something may be done, and for whom that is counted.
#[derive(Clone, Copy, Debug)]
pub struct Count {
    /// For whom.
    pub key: CounterKey,
    /// How often.
    pub limits: Limits,
    /// Which passport of the chain counts, from the root on; `None` where the gate does.
    pub hop: Option<usize>,
}

/// Whom something is counted for.
#[derive(Clone, Copy, Debug)]
pub struct Counting<'c> {
    /// The issuer at the root of the credential.
    pub issuer: &'c str,
    /// The agent that the issuer knows, unique within it.
    pub agent: &'c str,
    /// Who can make up such.
    pub class: CounterClass,
}

impl<'c> Counting<'c> {
    /// The holder of the passport at the root: whoever holds one that was delegated from it has an id
    /// that its delegator made, who may make any number.
    pub fn of_passport(passport: &'c Passport) -> Self {
        let root = passport.root();
        let class = match root.kind() {
            RootKind::SelfIssued => CounterClass::SelfIssued,
            RootKind::Gate | RootKind::Platform => CounterClass::Vouched,
        };
        let agent = passport.hops().next().map_or(passport.agent_id(), Hop::agent_id);
        Counting { issuer: root.issuer(), agent, class }
    }
}

impl<'g> Guards<'g> {
    /// What a passport asks for a permission that it grants, down its chain: by what was
    /// signed, and by what was set for it, or one that it was delegated from, since.
    ///
    /// # Errors
    /// What was signed cannot be kept: `constraint_unknown` or `constraint_not_enforceable`.
    pub fn of_passport(
        passport: &'g Passport,
        permission: &'g str,
        restrictions: &'g Restrictions,
    ) -> Result<Self, Denial> {
        let Counting { issuer, class, .. } = Counting::of_passport(passport);
        let mut guards = Guards::default();
        let mut levels = &[][..];
        if let Some(granted) = passport.constraints(permission) {
            let granted = granted.as_ref().map_err(|fault| Denial::from(fault.clone()))?;
            guards.sources.push(granted.rules());
            levels = granted.levels();
        }
        for (hop, one) in passport.hops().enumerate() {
            let own = levels.iter().find(|level| level.hop == hop);
            let (mut limits, mut caps) = own
                .map_or((Limits::default(), Caps::default()), |Level { limits, caps, .. }| (*limits, *caps));
            let set = restrictions.of(issuer, one.passport_id());
            for (_, rules) in set.into_iter().flat_map(|rules| rules.of(permission)) {
                guards.sources.push(rules);
                // One count and one account, under the tighter of both.
                limits.tighten_all(rules.limits());
                rules.caps().iter().for_each(|cap| caps.tighten(cap));
            }
            if limits.is_empty() && caps.is_empty() {
                continue;
            }
            let passports = passport.path_to(hop);
            // Whoever delegates makes up as many as he likes.
            let class = if hop > 0 { CounterClass::SelfIssued } else { class };
            let key = || CounterKey::of_passport(issuer, &passports, permission, class);
            guards.count(key, &limits, Some(hop));
            if !caps.is_empty() {
                guards.accounts.push(SpendAccount {
                    issuer: issuer.to_string(),
                    passport_id: passports,
                    permission: permission.to_string(),
                    caps,
                });
            }
        }
        Ok(guards)
    }

    /// Adds what a gate itself asks for an action.
    pub fn add_gate(&mut self, rules: &'g GateRules, action: &'g str, whom: Counting<'_>) {
        for (pattern, rules) in rules.of(action) {
            self.sources.push(rules);
            let Counting { issuer, agent, class } = whom;
            self.count(|| CounterKey::of_agent(issuer, agent, pattern, class), rules.limits(), None);
            if !rules.caps().is_empty() {
                self.accounts.push(SpendAccount {
                    issuer: issuer.to_string(),
                    passport_id: agent.to_string(),
                    // No permission of a passport is called so.
                    permission: if pattern.ends_with('*') {
                        pattern.to_string()
                    } else {
                        [pattern, "*"].concat()
                    },
                    caps: *rules.caps(),
                });
            }
        }
    }

    /// What holds for each request by itself.
    pub fn sources(&self) -> &[&'g Rules] {
        &self.sources
    }

    /// How often it may be done, and for whom that is counted.
    pub fn counted(&self) -> &[Count] {
        &self.counted
    }

    /// What may be spent, and on whose account.
    pub fn accounts(&self) -> &[SpendAccount] {
        &self.accounts
    }

    pub(crate) fn count(&mut self, key: impl FnOnce() -> CounterKey, limits: &Limits, hop: Option<usize>) {
        if !limits.is_empty() {
            self.counted.push(Count { key: key(), limits: *limits, hop });
        }
    }
}
