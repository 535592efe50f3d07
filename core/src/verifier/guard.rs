//! Guardrails of a request: which there are, what they say, and what is charged.

use super::Verifier;
use super::asking::Asking;
use super::hold::Hold;
use super::permit::{Credential, Permit, Step, Trail};
use crate::anonymous::Anonymous;
use crate::attestation::AccessMode;
use crate::capiscio::Level;
use crate::counters::{Charged, CounterClass, CounterKey, seconds_left};
use crate::denial::Denial;
use crate::guardrails::{
    Count, Counted, Counting, Guards, Outcome, SpendFault, Taken, evaluate, push_counted, push_spent,
};
use crate::memory::Memory;
use crate::reason::Reason;
use crate::route::Route;
use crate::time::UnixTime;
use crate::trust::SIMPLEGUARD_ISSUER;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

impl Verifier<'_> {
    /// What is asked of the holder of a credential for an action that it was granted.
    #[inline(never)]
    pub(super) fn guards<'g>(
        &'g self,
        credential: &'g Credential,
        action: &'g str,
    ) -> Result<Guards<'g>, Denial> {
        let mut guards = match credential {
            Credential::Passport(_, passport) => {
                Guards::of_passport(passport, action, self.snapshot.restrictions())?
            }
            Credential::Badge(_) | Credential::SimpleGuard(_) => Guards::default(),
        };
        if !guards.accounts.is_empty() && !self.snapshot.keeps_spend() {
            let detail = format!("{action} has a cap on what is spent, and nobody here keeps that");
            return Err(Denial::new(Reason::ConstraintNotEnforceable, detail));
        }
        guards.add_gate(self.snapshot.guardrails(), action, whom(credential));
        Ok(guards)
    }

    /// Looks at all guardrails, and answers why the request must be held, if it must.
    #[inline(never)]
    pub(super) fn look(
        guards: &Guards<'_>,
        asking: &Asking<'_>,
        route: &Route,
        now: UnixTime,
        memory: &mut dyn Memory,
        trail: &mut Trail,
    ) -> Result<Option<String>, Denial> {
        if guards.sources.is_empty() {
            return Ok(None);
        }
        let mut counted = Vec::with_capacity(guards.counted.len());
        for Count { key, limits, .. } in &guards.counted {
            counted.push(Counted { limits: *limits, used: memory.usage(key, now)? });
        }
        let target_domain = asking.target_domain(route);
        let verdict = evaluate(&guards.sources, &counted, &asking.facts(route, &target_domain, now));
        trail.evaluations = verdict.evaluations;
        match verdict.outcome {
            Outcome::Allow => Ok(None),
            Outcome::Hold { detail } => Ok(Some(detail)),
            Outcome::Block { reason, detail, retry_after_s } => {
                trail.retry_after_s = retry_after_s;
                Err(Denial::new(reason, detail))
            }
        }
    }

    /// Takes what is spent, uses an approval where the request is held for one, and counts. What others
    /// have used up since it was looked at refuses, and gives back what was taken. Answers whether it
    /// may pass: not where the approval was used before.
    #[inline(never)]
    pub(super) fn charge(
        &self,
        guards: &Guards<'_>,
        cents: u64,
        hold: Option<&Hold>,
        now: UnixTime,
        memory: &mut dyn Memory,
        trail: &mut Trail,
    ) -> Result<bool, Denial> {
        let accounts = if cents == 0 { &[] } else { guards.accounts.as_slice() };
        let mut taken = 0_usize;
        let mut charge = || {
            // First, as a gate may have to ask for more: who comes again has counted nothing.
            for account in accounts {
                let now_taken = memory.take(account, cents, now).map_err(|fault| not_spent(fault, trail))?;
                push_spent(&mut trail.evaluations, now_taken, false);
                taken = taken.saturating_add(1);
            }
            if let Some(hold) = hold
                && !self.is_approved(hold, now, Some(memory))?
            {
                return Ok(false);
            }
            for Count { key, limits, .. } in &guards.counted {
                if let Charged::Over { window, used } = memory.charge(key, limits, now)? {
                    trail.retry_after_s = Some(seconds_left(window, now));
                    let counted = Counted { limits: *limits, used };
                    let detail = push_counted(&mut trail.evaluations, window, &counted);
                    return Err(Denial::new(Reason::RateLimitExceeded, detail));
                }
            }
            Ok(true)
        };
        let charged = charge();
        if !matches!(charged, Ok(true)) {
            for account in accounts.iter().take(taken) {
                memory.give_back(account, cents, now);
            }
        }
        charged
    }

    /// Decides a request that presents no credential at all.
    pub(super) fn admit_anonymous(
        &self,
        asking: &Asking<'_>,
        source: Option<&[u8]>,
        route: &Arc<Route>,
        now: UnixTime,
        memory: &mut dyn Memory,
        trail: &mut Trail,
    ) -> Result<Step, Denial> {
        let Some(policy) = self.snapshot.anonymous() else {
            return Err(Denial::new(Reason::CredentialMissing, "the route asks for a credential"));
        };
        trail.access = AccessMode::Anonymous;
        if self.snapshot.states_price(asking.facts(route, "", now).action) {
            let detail = "this has a price, and needs a credential that has agreed to it";
            return Err(Denial::new(Reason::AnonymousNotAllowed, detail));
        }
        self.judge_anonymous(policy, asking, source, route, now, memory, trail).map_err(|denial| {
            // What a credential would mend is told as that.
            let reason = match denial.reason {
                Reason::ConstraintViolated => Reason::AnonymousNotAllowed,
                reason => reason,
            };
            let separator = if policy.upgrade().is_empty() { "" } else { ". " };
            Denial::new(reason, [&denial.detail, separator, policy.upgrade()].concat())
        })?;
        Ok(Step::Permit(Permit::new(route, trail)))
    }

    #[expect(clippy::too_many_arguments, reason = "what is judged, by what, and what is found")]
    fn judge_anonymous(
        &self,
        policy: &Anonymous,
        asking: &Asking<'_>,
        source: Option<&[u8]>,
        route: &Route,
        now: UnixTime,
        memory: &mut dyn Memory,
        trail: &mut Trail,
    ) -> Result<(), Denial> {
        let refused = |detail: &'static str| Err(Denial::new(Reason::AnonymousNotAllowed, detail));
        let action = asking.facts(route, "", now).action;
        if !policy.allows(action) {
            return refused("this needs a credential");
        }
        let Some(source) = source.filter(|source| !source.is_empty()) else {
            return refused("it is not known where the request comes from");
        };
        let mut guards = Guards::default();
        guards.sources.push(policy.rules());
        let mut limits = *policy.limits();
        for (_, rules) in self.snapshot.guardrails().of(action) {
            guards.sources.push(rules);
            limits.tighten_all(rules.limits());
            if route.cost_cents() > 0 && !rules.caps().is_empty() {
                return refused("what it costs is capped by agent, and it names none");
            }
        }
        guards.count(|| CounterKey::of_source(source), &limits, None);
        if Self::look(&guards, asking, route, now, memory, trail)?.is_some() {
            return refused("it needs approval, and nobody asks for that");
        }
        self.charge(&guards, 0, None, now, memory, trail).map(|_| ())
    }
}

/// Why a request does not go on of which something cannot be spent.
fn not_spent(fault: SpendFault, trail: &mut Trail) -> Denial {
    match fault {
        SpendFault::Pending => {
            trail.retry_after_s = Some(1);
            Denial::new(Reason::SpendLeasePending, "the gate has asked for more: try again")
        }
        SpendFault::Exhausted { spent, cap } => {
            let detail = push_spent(&mut trail.evaluations, Taken { spent, cap }, true);
            Denial::new(Reason::SpendLimitExceeded, detail)
        }
        SpendFault::Unavailable(problem) => Denial::new(Reason::HostFault, problem),
    }
}

/// Whose requests count together.
fn whom(credential: &Credential) -> Counting<'_> {
    let of = |issuer, agent, self_issued| {
        let class = if self_issued { CounterClass::SelfIssued } else { CounterClass::Vouched };
        Counting { issuer, agent, class }
    };
    match credential {
        Credential::Passport(_, passport) => Counting::of_passport(passport),
        Credential::Badge(badge) => of(badge.issuer(), badge.subject(), badge.level() == Level::SelfSigned),
        Credential::SimpleGuard(key_id) => of(SIMPLEGUARD_ISSUER, key_id.as_str(), false),
    }
}
