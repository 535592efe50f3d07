//! Requests that a person must approve first.

use super::Verifier;
use super::asking::Asking;
use super::permit::{Credential, Held, Identity, Refused, Trail};
use crate::base64;
use crate::denial::Denial;
use crate::ed25519::sha256;
use crate::guardrails::cost_detail;
use crate::json::{Object, Value, canonical_text};
use crate::live::hex;
use crate::memory::Memory;
use crate::reason::Reason;
use crate::replay::{Novelty, Once};
use crate::route::Route;
use crate::time::UnixTime;
use alloc::string::String;
use alloc::sync::Arc;

/// What a request is held for.
pub(super) struct Hold {
    binding: [u8; 32],
    agent_key: [u8; 32],
    detail: String,
    summary: String,
}

/// The one request that an approval lets through.
#[derive(Clone, Copy, Debug)]
pub struct BoundRequest<'b> {
    /// The action.
    pub action: &'b str,
    /// The SHA-256 thumbprint of the agent's key.
    pub agent_key: &'b [u8; 32],
    /// The SHA-256 of the body; of a message to an MCP server, that of method and parameters.
    pub body: &'b [u8; 32],
    /// What it costs.
    pub cost_cents: u64,
    /// The host that it is for in the end, in lower case: one gate may stand before several.
    pub domain: &'b str,
    /// The gate's id.
    pub gate: &'b str,
    /// The method.
    pub method: &'b str,
    /// Path and query.
    pub target: &'b str,
}

impl BoundRequest<'_> {
    /// What an approval must be for: SHA-256 over the RFC 8785 text of all members, the
    /// key in base64url, the body's hash in hexadecimal.
    pub fn binding(&self) -> [u8; 32] {
        let (key, body) = (base64::encode_url(self.agent_key), hex(self.body));
        let cents = i64::try_from(self.cost_cents).unwrap_or(i64::MAX);
        let bound = Object::from([
            ("action", Value::from(self.action)),
            ("agent_key", key.as_str().into()),
            ("body", body.as_str().into()),
            ("cost_cents", Value::integer(cents)),
            ("domain", self.domain.into()),
            ("gate", self.gate.into()),
            ("method", self.method.into()),
            ("target", self.target.into()),
            ("v", 2.into()),
        ]);
        sha256(canonical_text(&bound.into()).as_bytes())
    }
}

impl Verifier<'_> {
    /// What an approval of this request must be for: its action, method, host, target, cost and
    /// body, by this agent at this gate, and nothing else.
    pub(super) fn hold(
        &self,
        identity: &Identity,
        asking: &Asking<'_>,
        body: &[u8; 32],
        detail: String,
        now: UnixTime,
    ) -> Result<Hold, Denial> {
        let agent_key = match &identity.credential {
            Credential::Passport(_, passport) => sha256(passport.public_key()),
            Credential::Badge(badge) => sha256(badge.key()),
            Credential::SimpleGuard(id) => {
                sha256(self.snapshot.trust().simpleguard_key_with(id, self.live, now)?.as_bytes())
            }
        };
        let (action, domain) = (identity.action(), asking.target_domain(&identity.route));
        let bound = BoundRequest {
            action,
            agent_key: &agent_key,
            body,
            cost_cents: identity.route.cost_cents(),
            domain: &domain,
            gate: self.snapshot.gate(),
            method: asking.method.name(),
            target: asking.target.as_ref(),
        };
        let summary = summary(identity, asking, &domain, &detail);
        Ok(Hold { binding: bound.binding(), agent_key, detail, summary })
    }

    /// Whether what is held was approved for this process; uses that up in a memory, where it may have
    /// been used before.
    pub(super) fn is_approved(
        &self,
        hold: &Hold,
        now: UnixTime,
        mut used: Option<&mut dyn Memory>,
    ) -> Result<bool, Denial> {
        let Some(process) = self.process else { return Ok(false) };
        let lane = process.lane(self.snapshot.gate());
        // The same request may have been approved more than once, and the first of them used.
        for approval in self.snapshot.approvals().iter().filter(|one| one.is_for(&hold.binding, &lane, now)) {
            let Some(memory) = &mut used else { return Ok(true) };
            let once = Once {
                key: hold.binding,
                token: sha256(approval.id.as_bytes()),
                until: approval.expires_at,
                self_issued: false,
            };
            if memory.insert(&once, now)? == Novelty::New {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Hold {
    /// The answer to a request that is held.
    pub(super) fn answer(self, route: &Arc<Route>, trail: Trail) -> Held {
        let Hold { binding, agent_key, detail, summary } = self;
        let denial = Denial::new(Reason::ApprovalRequired, detail);
        let refused = Refused::new(denial, route.mode(), Some(Arc::clone(route)), trail);
        Held { refused, binding, agent_key, summary }
    }
}

/// What a person reads who is to decide.
fn summary(identity: &Identity, asking: &Asking<'_>, domain: &str, detail: &str) -> String {
    // It is read on a telephone.
    const LONGEST_PATH: usize = 100;
    let path: String = asking.path.chars().take(LONGEST_PATH).collect();
    let cost = cost_detail(identity.route.cost_cents(), 0, "");
    let cost = cost.split('/').next().unwrap_or_default();
    let parts = [
        identity.agent_id(),
        " asks for ",
        identity.action(),
        ": ",
        asking.method.name(),
        " ",
        domain,
        &path,
        " for ",
        cost,
        " (",
        detail,
        ")",
    ];
    parts.concat()
}
