//! The order of checks for a request.

use crate::cache::CredentialCache;
use crate::config::Mode;
use crate::denial::Denial;
use crate::modei::{self, Passport};
use crate::presented::{Kind, Presented};
use crate::reason::Reason;
use crate::request::RequestHead;
use crate::route::{Access, Route};
use crate::snapshot::Snapshot;
use crate::time::UnixTime;
use crate::trust::Tier;
use alloc::format;
use alloc::rc::Rc;

/// Decides requests under one snapshot.
#[derive(Clone, Copy, Debug)]
pub struct Verifier<'s> {
    snapshot: &'s Snapshot,
}

/// The answer to a request's head.
#[derive(Debug)]
pub enum Step<'s> {
    /// It is refused.
    Deny(Refused<'s>),
    /// It may pass.
    Permit(Permit<'s>),
}

/// A request that may pass. Only [`Verifier`] makes one.
#[derive(Debug)]
pub struct Permit<'s> {
    route: &'s Route,
    identity: Option<Identity<'s>>,
}

/// Who was let through, for what.
#[derive(Debug)]
pub struct Identity<'s> {
    kind: Kind,
    passport: Rc<Passport>,
    tier: Tier,
    action: &'s str,
}

/// A request that is refused, and what that means where it was refused.
#[derive(Debug)]
pub struct Refused<'s> {
    /// Why.
    pub denial: Denial,
    /// Whether the refusal blocks: the route's mode, or the gate's where no route was
    /// found.
    pub mode: Mode,
    /// The route, where one was found before the refusal.
    pub route: Option<&'s Route>,
}

impl<'s> Verifier<'s> {
    /// A verifier that decides by `snapshot`.
    pub fn new(snapshot: &'s Snapshot) -> Self {
        Verifier { snapshot }
    }

    /// Decides a request by its head at the time `now`.
    ///
    /// Checks, in this order: that the request can be read in one way only, that it has
    /// a route, that its upgrade is allowed; then, unless the route is public, that it
    /// presents one credential, the credential itself in its standard's own order, its
    /// window, revocation, grant and ceiling, and that every constraint can be kept. The
    /// first failure is the answer. A credential that fails is never treated as absent.
    pub fn begin(&self, head: &RequestHead<'_>, now: UnixTime, cache: &mut CredentialCache) -> Step<'s> {
        let refused = |denial, mode, route| Step::Deny(Refused { denial, mode, route });
        let route = match self.route(head) {
            Ok(route) => route,
            Err(denial) => return refused(denial, self.snapshot.mode(), None),
        };
        match self.decide(head, route, now, cache) {
            Ok(permit) => Step::Permit(permit),
            Err(denial) => refused(denial, route.mode(), Some(route)),
        }
    }

    fn route(&self, head: &RequestHead<'_>) -> Result<&'s Route, Denial> {
        let request = head.unambiguous(self.snapshot)?;
        let route = self
            .snapshot
            .routes()
            .find(&request.path, request.method)
            .map_err(|reason| Denial::new(reason, "no route has this path and method"))?;
        if request.is_upgrade && !route.allows_upgrade() {
            return Err(Denial::new(Reason::UpgradeRefused, "the request asks to switch protocols"));
        }
        Ok(route)
    }

    fn decide(
        &self,
        head: &RequestHead<'_>,
        route: &'s Route,
        now: UnixTime,
        cache: &mut CredentialCache,
    ) -> Result<Permit<'s>, Denial> {
        let Access::Action(action) = route.access() else {
            return Ok(Permit { route, identity: None });
        };
        let presented = Presented::find(head)?
            .ok_or_else(|| Denial::new(Reason::CredentialMissing, "the route asks for a passport"))?;
        let passport = self.passport(presented, now, cache)?;
        self.check_standing(&passport, now)?;
        self.check_grant(&passport, action)?;
        let tier =
            self.snapshot.trust().tier(passport.root()).ok_or_else(|| {
                Denial::new(Reason::SignatureKeyUnavailable, "the root's issuer is unknown")
            })?;
        Ok(Permit { route, identity: Some(Identity { kind: presented.kind, passport, tier, action }) })
    }

    /// The passport of a credential: from the cache, if this snapshot still admits its
    /// root, or verified now and remembered.
    fn passport(
        &self,
        presented: Presented<'_>,
        now: UnixTime,
        cache: &mut CredentialCache,
    ) -> Result<Rc<Passport>, Denial> {
        if let Some(passport) = cache.get(presented)
            && self.snapshot.trust().readmit(passport.root(), now).is_ok()
        {
            return Ok(passport);
        }
        let signed = match presented.kind {
            Kind::Passport => modei::from_header(presented.bytes)?,
            Kind::PassportJwt => modei::from_jwt(presented.bytes)?,
        };
        let passport = Rc::new(modei::verify(&signed, &self.snapshot.trust().roots_at(now))?);
        cache.insert(presented, &passport);
        Ok(passport)
    }

    /// What changes with time and trust material, and so is judged at each use.
    fn check_standing(&self, passport: &Passport, now: UnixTime) -> Result<(), Denial> {
        check_window(passport, now)?;
        self.snapshot
            .trust()
            .check_revocation(passport)
            .map_err(|reason| Denial::new(reason, "the passport or one that it was delegated from"))
    }

    fn check_grant(&self, passport: &Passport, action: &str) -> Result<(), Denial> {
        let constraints = passport.permissions().get(action).ok_or_else(|| {
            Denial::new(Reason::PermissionDenied, format!("the passport does not grant {action}"))
        })?;
        self.snapshot
            .trust()
            .check_ceiling(passport.root(), action)
            .map_err(|reason| Denial::new(reason, format!("the issuer may not grant {action} here")))?;
        // Absence refuses: a limit that nobody enforces would be none.
        match constraints.iter().next() {
            None => Ok(()),
            Some(_) => Err(Denial::new(
                Reason::ConstraintNotEnforceable,
                format!(
                    "{action} is granted with {} constraint(s), and this gate enforces none",
                    constraints.len()
                ),
            )),
        }
    }
}

/// Whether `now` lies in the window of a passport and all that it was delegated from,
/// give or take 60 s.
///
/// # Errors
/// `passport_not_yet_valid` or `passport_expired`.
pub fn check_window(passport: &Passport, now: UnixTime) -> Result<(), Denial> {
    if passport.is_early(now) {
        let detail = format!("it is valid from {}, and now is {now}", passport.issued_at());
        return Err(Denial::new(Reason::PassportNotYetValid, detail));
    }
    if passport.is_late(now) {
        let detail = format!("it was valid until {}, and now is {now}", passport.expires_at());
        return Err(Denial::new(Reason::PassportExpired, detail));
    }
    Ok(())
}

impl<'s> Permit<'s> {
    /// The route.
    pub fn route(&self) -> &'s Route {
        self.route
    }

    /// Who was let through; `None` on a public route.
    pub fn identity(&self) -> Option<&Identity<'s>> {
        self.identity.as_ref()
    }
}

impl Identity<'_> {
    /// The kind of credential.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The agent's id, unique within the issuer.
    pub fn agent_id(&self) -> &str {
        self.passport.agent_id()
    }

    /// The credential's id, unique within the issuer.
    pub fn credential_id(&self) -> &str {
        self.passport.id()
    }

    /// The issuer at the credential's root.
    pub fn issuer(&self) -> &str {
        self.passport.root().issuer()
    }

    /// The issuer's tier.
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// The action that was granted.
    pub fn action(&self) -> &str {
        self.action
    }

    /// The credential.
    pub fn passport(&self) -> &Passport {
        &self.passport
    }
}
