//! Deciding on actions in place of a gate: by the guardrails that gates judge by, over what
//! the service itself has counted, and the accounts of spending that it keeps for all gates.

pub mod counts;
mod target;

pub use target::Target;

use crate::App;
use crate::db::Tx;
use crate::error::ApiResult;
use crate::passports::judge::GateTrust;
use crate::spend::Paid;
use crate::time::now;
use crate::{approvals, constraints};
use counts::At;
use portcullis_core::guardrails::{
    Caps, Counted, Counting, Evaluation, Facts, Guards, Outcome, Restrictions, SpendAccount, Taken, evaluate,
    push_spent,
};
use portcullis_core::modei::Passport;
use portcullis_core::{Denial, Method, Reason};

/// An action that a passport is to be used for.
#[derive(Clone, Debug)]
pub struct Action {
    /// The action, which the passport grants.
    pub name: String,
    /// What it is upon.
    pub target: Target,
    /// How it is done; `GET` where nobody says so, and the action's name alone tells
    /// whether it only reads.
    pub method: Method,
    /// The model that it leads to.
    pub model: Option<String>,
    /// What it costs, in cents.
    pub cost_cents: u64,
}

/// What guardrails say.
#[derive(Debug)]
pub struct Judged {
    /// Each one that was looked at, in order.
    pub evaluations: Vec<Evaluation>,
    /// What follows.
    pub outcome: Outcome,
    /// The approval that was used for it.
    pub approval: Option<String>,
}

impl Judged {
    /// That constraints cannot be judged at all.
    fn refused(denial: Denial) -> Self {
        let (reason, detail) = (denial.reason, denial.into_detail().into_owned());
        let outcome = Outcome::Block { reason, detail, retry_after_s: None };
        Judged { evaluations: Vec::new(), outcome, approval: None }
    }

    fn block(&mut self, reason: Reason, detail: String, retry_after_s: Option<u32>) {
        self.outcome = Outcome::Block { reason, detail, retry_after_s };
    }

    fn spent(&mut self, paid: Paid) {
        match paid {
            Paid::Taken(all) => self.passed(all),
            Paid::Over(all, over) => {
                self.passed(all);
                let detail = push_spent(&mut self.evaluations, over, true);
                self.block(Reason::SpendLimitExceeded, detail, None);
            }
            Paid::Full => {
                let detail = "the service keeps no more accounts of this gate's agents".to_owned();
                self.block(Reason::SpendLeasePending, detail, None);
            }
        }
    }

    fn passed(&mut self, all: Vec<Taken>) {
        for taken in all {
            push_spent(&mut self.evaluations, taken, false);
        }
    }
}

/// What guardrails would say. Nothing is counted, spent or held.
///
/// # Errors
/// No database.
pub async fn look(
    tx: &mut Tx,
    app: &App,
    gate: &GateTrust,
    passport: &Passport,
    action: &Action,
) -> ApiResult<Judged> {
    let restrictions = constraints::restrictions(tx, passport).await?;
    let guards = match guards(gate, passport, action, &restrictions) {
        Ok(guards) => guards,
        Err(denial) => return Ok(Judged::refused(denial)),
    };
    let at = action.at(gate, passport);
    let counted = at.look(tx, &guards).await?;
    let mut judged = action.judge(&guards, &counted, &at);
    if action.cost_cents > 0 && !matches!(judged.outcome, Outcome::Block { .. }) {
        let paid = app.spend.look(tx, guards.accounts(), action.cost_cents).await?;
        judged.spent(paid);
    }
    Ok(judged)
}

/// What guardrails say, in a transaction in which whoever else decides about the same
/// waits. What is allowed is counted and spent. Where a person must approve, an approval for
/// `binding` is used up, if there is one.
///
/// # Errors
/// No database.
pub async fn charge(
    tx: &mut Tx,
    app: &App,
    gate: &GateTrust,
    passport: &Passport,
    action: &Action,
    binding: &[u8; 32],
) -> ApiResult<Judged> {
    let restrictions = constraints::restrictions(tx, passport).await?;
    let guards = match guards(gate, passport, action, &restrictions) {
        Ok(guards) => guards,
        Err(denial) => return Ok(Judged::refused(denial)),
    };
    let at = action.at(gate, passport);
    let counted = at.hold(tx, &guards).await?;
    let mut judged = action.judge(&guards, &counted, &at);
    let is_allowed = match &judged.outcome {
        Outcome::Allow => true,
        Outcome::Block { .. } => false,
        Outcome::Hold { .. } => {
            // Nobody is asked about, and no approval is used up for, what no cap allows.
            let paid = app.spend.look(tx, guards.accounts(), action.cost_cents).await?;
            if !matches!(paid, Paid::Taken(_)) {
                judged.spent(paid);
                return Ok(judged);
            }
            judged.approval = approvals::use_own(tx, &gate.id, binding).await?;
            judged.approval.is_some()
        }
    };
    if !is_allowed {
        return Ok(judged);
    }
    judged.outcome = Outcome::Allow;
    if action.cost_cents > 0 {
        let accounts = with_own(guards.accounts(), passport, &action.name);
        let paid = app.spend.take(tx, &gate.id, &accounts, action.cost_cents).await?;
        judged.spent(paid);
    }
    if judged.outcome == Outcome::Allow {
        at.charge(tx, &guards, &counted).await?;
    }
    Ok(judged)
}

impl Action {
    fn at<'a>(&'a self, gate: &'a GateTrust, passport: &'a Passport) -> At<'a> {
        At { gate: &gate.id, passport, action: &self.name, now: now() }
    }

    fn judge(&self, guards: &Guards<'_>, counted: &[Counted], at: &At<'_>) -> Judged {
        let facts = Facts {
            action: &self.name,
            method: self.method,
            target_domain: &self.target.host,
            path: &self.target.path,
            model: self.model.as_deref(),
            cost_cents: self.cost_cents,
            now: at.now,
        };
        let verdict = evaluate(guards.sources(), counted, &facts);
        Judged { evaluations: verdict.evaluations, outcome: verdict.outcome, approval: None }
    }
}

/// The guardrails of the passport, those that were set for it later, and the gate's.
fn guards<'g>(
    gate: &'g GateTrust,
    passport: &'g Passport,
    action: &'g Action,
    restrictions: &'g Restrictions,
) -> Result<Guards<'g>, Denial> {
    let mut guards = Guards::of_passport(passport, &action.name, restrictions)?;
    guards.add_gate(&gate.guardrails, &action.name, Counting::of_passport(passport));
    Ok(guards)
}

/// The accounts, and the passport's own even if nobody caps it: what it spends in all is
/// told.
fn with_own(accounts: &[SpendAccount], passport: &Passport, action: &str) -> Vec<SpendAccount> {
    let own = SpendAccount {
        issuer: passport.root().issuer().to_owned(),
        passport_id: passport.path_to(passport.depth()),
        permission: action.to_owned(),
        caps: Caps::default(),
    };
    let mut all = accounts.to_vec();
    if !all.iter().any(|account| account.id() == own.id()) {
        all.push(own);
    }
    all
}
