//! What a request's record says.

use crate::pairs::Head;
use crate::shown::shown;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use portcullis_core::attestation::{
    AccessMode, Agent, AttestedRequest, Decision, Draft, Evaluation, Hold, Outcome, ReceiptName, Unsigned,
};
use portcullis_core::{Access, Denial, Held, Identity, Mode, Route, Snapshot, UnixTime, guardrails};

/// A decision on a request.
pub(crate) struct Entry<'e> {
    pub(crate) decision: Decision,
    pub(crate) denial: Option<&'e Denial>,
    pub(crate) mode: Mode,
    pub(crate) access: AccessMode,
    pub(crate) identity: Option<&'e Identity>,
    pub(crate) route: Option<&'e Route>,
    pub(crate) evaluations: &'e [guardrails::Evaluation],
    pub(crate) target: &'e Target,
    /// Where a person must approve: what of, the approval's id, and until when.
    pub(crate) held: Option<(&'e Held, String, UnixTime)>,
    /// Of a use: its receipt, and what it costs, in cents.
    pub(crate) receipt: Option<(ReceiptName, u64)>,
}

/// What a request asks for, as far as it can be told without judging it.
#[derive(Debug, Default)]
pub(crate) struct Target {
    method: String,
    authority: String,
    path: String,
}

impl Target {
    pub(crate) fn of(head: &Head<'_>) -> Self {
        // Of a query nothing is kept: it may be anything.
        let path = head.path.split(|byte| *byte == b'?').next().unwrap_or_default();
        let [method, authority, path] = [head.method, head.authority, path].map(|part| {
            // What is longer is cut in a record.
            const LONGEST: usize = 256;
            shown(part, LONGEST)
        });
        Target { method, authority, path }
    }
}

impl Entry<'_> {
    /// The record, under this id.
    pub(crate) fn unsigned(&self, snapshot: &Snapshot, now: UnixTime, id: [u8; 16]) -> Unsigned {
        let Target { method, authority, path } = self.target;
        let action = self.route.and_then(|route| match route.access() {
            Access::Action(action) => Some(action.clone()),
            Access::Public => None,
        });
        let (hold, approval) = match &self.held {
            None => (None, None),
            Some((held, approval, expires_at)) => {
                let hold = Hold {
                    agent_key: portcullis_core::base64::encode_url(&held.agent_key),
                    binding: held.binding,
                    expires_at: *expires_at,
                    summary: held.summary.clone(),
                };
                (Some(hold), Some(approval.clone()))
            }
        };
        let draft = Draft {
            access_mode: self.access,
            agent: self.identity.map(agent),
            approval_request_id: approval,
            id,
            decision: self.decision,
            detail: self.denial.map(|denial| denial.detail.to_string()),
            dropped: None,
            gate_id: snapshot.gate().to_string(),
            gate_name: snapshot.gate_name().map(ToString::to_string),
            guardrails: self.evaluations.iter().filter_map(evaluation).collect::<Vec<_>>(),
            hold,
            mode: self.mode,
            reason_code: self.denial.map(|denial| denial.reason.code().to_string()),
            receipt: self.receipt.map(|(name, _)| name),
            request: Some(AttestedRequest {
                action,
                cost_cents: match self.receipt {
                    Some((_, cents)) => cents,
                    None => self.route.map_or(0, Route::cost_cents),
                },
                method: method.clone(),
                path: path.clone(),
                target_domain: self.route.map(|route| route.target_domain(authority).to_string()),
            }),
            time: now,
        };
        draft.unsigned()
    }
}

fn agent(identity: &Identity) -> Agent {
    Agent {
        agent_id: identity.agent_id().to_string(),
        agent_name: identity.passport().and_then(|passport| passport.agent_name()).map(ToString::to_string),
        issuer_id: identity.issuer().to_string(),
        passport_id: identity.credential_id().to_string(),
        tier: identity.tier().number(),
    }
}

fn evaluation(told: &guardrails::Evaluation) -> Option<Evaluation> {
    let result = Outcome::from_name(told.result)?;
    Some(Evaluation { name: told.name.to_string(), result, detail: told.detail.clone() })
}
