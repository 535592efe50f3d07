//! What a verifier answers. Permits are made in this room and nowhere else.

use super::pending::Pending;
use super::wanted::Wanted;
use crate::capiscio::Badge;
use crate::config::Mode;
use crate::denial::Denial;
use crate::modei::Passport;
use crate::presented::Kind;
use crate::replay::Once;
use crate::route::{Access, Route};
use crate::trust::{SIMPLEGUARD_ISSUER, Tier};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;

/// The answer to a request's head, or to its whole.
#[derive(Debug)]
pub enum Step {
    /// It is refused.
    Deny(Refused),
    /// Its body must be seen before it goes anywhere.
    NeedBody(Box<Pending>),
    /// It may pass.
    Permit(Permit),
}

/// A request that may pass. Only [`Verifier`](super::Verifier) makes one.
#[derive(Debug)]
pub struct Permit {
    pub(super) route: Arc<Route>,
    pub(super) identity: Option<Identity>,
    pub(super) once: Option<Once>,
    pub(super) wanted: Option<Wanted>,
}

/// Who was let through, for what.
#[derive(Debug)]
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
#[derive(Debug)]
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
}

impl Permit {
    /// The route.
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// Who was let through; `None` on a public route.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// What was used up, and is remembered in this process: a nonce or a signature.
    pub fn once(&self) -> Option<&Once> {
        self.once.as_ref()
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
        match self.route.access() {
            Access::Action(action) => action,
            // Nobody is identified there.
            Access::Public => "",
        }
    }

    /// The credential.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// The passport, if it is one.
    pub fn passport(&self) -> Option<&Passport> {
        match &self.credential {
            Credential::Passport(_, passport) => Some(passport),
            Credential::Badge(_) | Credential::SimpleGuard(_) => None,
        }
    }
}
