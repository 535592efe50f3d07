//! What a verifier answers. Permits are made in this room and nowhere else.

use super::metered::Metered;
use super::pending::Pending;
use super::wanted::Wanted;
use crate::attestation::AccessMode;
use crate::capiscio::Badge;
use crate::config::Mode;
use crate::denial::Denial;
use crate::guardrails::Evaluation;
use crate::modei::Passport;
use crate::presented::Kind;
use crate::route::Route;
use crate::trust::{SIMPLEGUARD_ISSUER, Tier};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The answer to a request's head, or to its whole.
#[derive(Debug)]
pub enum Step {
    /// It is refused.
    Deny(Refused),
    /// A person must approve of it first.
    Hold(Held),
    /// Its body must be seen before it goes anywhere.
    NeedBody(Box<Pending>),
    /// What it uses once is new here, and must be elsewhere too before anything is charged: where the
    /// gate asks about that ([`Snapshot::asks_nonce_authority`](crate::Snapshot::asks_nonce_authority)).
    NeedAuthority(Box<Pending>),
    /// It may pass.
    Permit(Permit),
}

/// A request that may pass. Only [`Verifier`](super::Verifier) makes one.
#[derive(Debug)]
pub struct Permit {
    pub(super) route: Arc<Route>,
    pub(super) identity: Option<Identity>,
    pub(super) wanted: Option<Wanted>,
    pub(super) access: AccessMode,
    pub(super) evaluations: Vec<Evaluation>,
    pub(super) message_id: Option<String>,
    pub(super) metered: Option<Box<Metered>>,
}

/// Who asks, for what.
#[derive(Clone, Debug)]
pub struct Identity {
    pub(super) credential: Credential,
    pub(super) tier: Tier,
    pub(super) route: Arc<Route>,
}

/// What was verified.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A passport, and how it came.
    Passport(Kind, Rc<Passport>),
    /// A badge.
    Badge(Rc<Badge>),
    /// A SimpleGuard signature by the key of this `kid`.
    SimpleGuard(String),
}

/// A request that is refused, and what that means where it was refused.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Why.
    pub denial: Denial,
    /// Whether the refusal blocks: the route's mode, or the gate's where no route was
    /// found.
    pub mode: Mode,
    /// The route, where one was found before the refusal.
    pub route: Option<Arc<Route>>,
    /// What a proof must be like, where the credential is good and a proof is asked for.
    pub wanted: Option<Wanted>,
    /// Who asks, where the credential is good, whatever was refused then.
    pub identity: Option<Identity>,
    /// How the request came in.
    pub access: AccessMode,
    /// What became of each guardrail.
    pub evaluations: Vec<Evaluation>,
    /// When it is worth trying again, in seconds.
    pub retry_after_s: Option<u32>,
    /// The id of the JSON-RPC request, as JSON text; `None` where there is none, or none was read.
    pub message_id: Option<String>,
}

/// A request that a person must approve first.
#[derive(Debug)]
pub struct Held {
    /// As which it is answered until then: `approval_required`.
    pub refused: Refused,
    /// What an approval must be for: SHA-256 over the RFC 8785 text of action, agent key,
    /// body, cost, domain, gate, method and target.
    pub binding: [u8; 32],
    /// The SHA-256 thumbprint of the agent's key.
    pub agent_key: [u8; 32],
    /// What is asked, for the person who decides.
    pub summary: String,
}

/// What is found out of a request on its way to a decision.
#[derive(Debug, Default)]
pub(super) struct Trail {
    pub(super) wanted: Option<Wanted>,
    pub(super) identity: Option<Identity>,
    pub(super) access: AccessMode,
    pub(super) evaluations: Vec<Evaluation>,
    pub(super) retry_after_s: Option<u32>,
    pub(super) message_id: Option<String>,
}

impl Trail {
    /// Of a request whose credential is good.
    pub(super) fn of(identity: Identity) -> Self {
        Trail { identity: Some(identity), access: AccessMode::Credential, ..Trail::default() }
    }
}

impl Refused {
    /// The refusal of a request of which nothing is known.
    pub fn of_unknown(denial: Denial) -> Self {
        Self::new(denial, Mode::Enforce, None, Trail::default())
    }

    #[inline(never)]
    pub(super) fn new(denial: Denial, mode: Mode, route: Option<Arc<Route>>, trail: Trail) -> Self {
        let Trail { wanted, identity, access, evaluations, retry_after_s, message_id } = trail;
        Refused { denial, mode, route, wanted, identity, access, evaluations, retry_after_s, message_id }
    }
}

impl Permit {
    #[inline(never)]
    pub(super) fn new(route: &Arc<Route>, trail: &mut Trail) -> Self {
        let Trail { wanted, identity, access, evaluations, message_id, .. } = core::mem::take(trail);
        let metered = None;
        Permit { route: Arc::clone(route), identity, wanted, access, evaluations, message_id, metered }
    }

    /// The refusal of a request that had this permit.
    pub fn refuse(self, denial: Denial) -> Refused {
        let Permit { route, identity, wanted, access, evaluations, message_id, .. } = self;
        let (mode, route) = (route.mode(), Some(route));
        let retry_after_s = None;
        Refused { denial, mode, route, wanted, identity, access, evaluations, retry_after_s, message_id }
    }

    /// How the request came in.
    pub fn access(&self) -> AccessMode {
        self.access
    }

    /// What became of each guardrail.
    pub fn evaluations(&self) -> &[Evaluation] {
        &self.evaluations
    }

    /// The route.
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// Who was let through; `None` on a public route, and for a request without a credential.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// What its use is charged by, where the action has a price.
    pub fn metered(&self) -> Option<&Metered> {
        self.metered.as_deref()
    }

    /// What the next proof of this agent must be like, where it answers a challenge.
    pub fn wanted(&self) -> Option<&Wanted> {
        self.wanted.as_ref()
    }
}

impl Identity {
    /// The kind of credential.
    pub fn kind(&self) -> Kind {
        match &self.credential {
            Credential::Passport(kind, _) => *kind,
            Credential::Badge(_) => Kind::Badge,
            Credential::SimpleGuard(_) => Kind::SimpleGuard,
        }
    }

    /// The agent's id, unique within the issuer: a badge's `sub`, a signature's `kid`.
    pub fn agent_id(&self) -> &str {
        match &self.credential {
            Credential::Passport(_, passport) => passport.agent_id(),
            Credential::Badge(badge) => badge.subject(),
            Credential::SimpleGuard(key_id) => key_id,
        }
    }

    /// The credential's id, unique within the issuer: a badge's `jti`, a signature's `kid`.
    pub fn credential_id(&self) -> &str {
        match &self.credential {
            Credential::Passport(_, passport) => passport.id(),
            Credential::Badge(badge) => badge.id(),
            Credential::SimpleGuard(key_id) => key_id,
        }
    }

    /// The issuer at the credential's root.
    pub fn issuer(&self) -> &str {
        match &self.credential {
            Credential::Passport(_, passport) => passport.root().issuer(),
            Credential::Badge(badge) => badge.issuer(),
            Credential::SimpleGuard(_) => SIMPLEGUARD_ISSUER,
        }
    }

    /// The issuer's tier.
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// The action that was granted.
    pub fn action(&self) -> &str {
        self.route.action()
    }

    /// The route that was asked for.
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// The credential.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// The passport, if it is one.
    pub fn passport(&self) -> Option<&Passport> {
        self.credential.passport()
    }
}

impl Credential {
    pub(super) fn passport(&self) -> Option<&Passport> {
        match self {
            Credential::Passport(_, passport) => Some(passport),
            Credential::Badge(_) | Credential::SimpleGuard(_) => None,
        }
    }
}
