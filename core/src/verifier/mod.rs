//! The order of checks for a request.

mod asking;
mod guard;
mod hold;
mod metered;
mod pending;
mod permit;
mod prove;
mod wanted;

pub use hold::BoundRequest;
pub use metered::Metered;
pub use pending::Pending;
pub use permit::{Credential, Held, Identity, Permit, Refused, Step};
pub use wanted::Wanted;

use crate::attestation::AccessMode;
use crate::cache::{CredentialCache, Known};
use crate::capiscio::{self, Audience, Badge, RequestSignature};
use crate::config::{Profile, Repeats};
use crate::denial::Denial;
use crate::ed25519::{PublicKey, sha256};
use crate::guardrails::Guards;
use crate::live::LiveView;
use crate::mcp::{Awaited, Message, Messages};
use crate::memory::Memory;
use crate::modei::{self, Passport};
use crate::presented::{Kind, Presented, Token};
use crate::process::Process;
use crate::reason::Reason;
use crate::receipt::Rate;
use crate::replay::{Novelty, Once};
use crate::request::{RequestHead, Unambiguous};
use crate::route::{Access, Route};
use crate::snapshot::Snapshot;
use crate::time::UnixTime;
use crate::trust::Tier;
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use asking::Asking;
use pending::Body;
use permit::Trail;
use prove::{Proven, announces_body};

/// Decides requests under one snapshot.
#[derive(Clone, Copy, Debug)]
pub struct Verifier<'s> {
    snapshot: &'s Snapshot,
    live: Option<LiveView<'s>>,
    process: Option<&'s Process>,
}

impl<'s> Verifier<'s> {
    /// A verifier that decides by `snapshot`, as trust material that has no age. At L2 and L3
    /// it refuses all, as that must be fresh there.
    pub fn new(snapshot: &'s Snapshot) -> Self {
        Verifier { snapshot, live: None, process: None }
    }

    /// The same verifier, where the trust material is live: it decides only while that is
    /// recent enough, by the configuration of the service and by the snapshot's own window,
    /// and refuses what is revoked by it as well.
    #[must_use]
    pub fn with_live(self, live: LiveView<'s>) -> Self {
        Verifier { live: Some(live.within(self.snapshot.windows().trust_age_ms())), ..self }
    }

    /// The same verifier in a proxy's process, which the profiles L2 and L3 need: proofs older
    /// than it are refused, and its challenges known.
    #[must_use]
    pub fn with_process(self, process: &'s Process) -> Self {
        Verifier { process: Some(process), ..self }
    }

    /// Decides a request by its head at the time `now`, as far as a head can decide.
    ///
    /// Checks, in this order: that the request can be read in one way only, that it has
    /// a route, that its upgrade is allowed, that live trust material is recent enough; then,
    /// unless the route is public, that it presents one credential, the credential itself in
    /// its standard's own order, its window, revocation, catalog and signature of the body, the proof
    /// of the request, grant and ceiling, price, and guardrails. The first failure is the answer. A
    /// credential that fails is never treated as absent; where none is presented, the policy
    /// for such requests decides. What passes without a look at its body is charged.
    ///
    /// A request that must be held always needs its body, as what is approved is bound to it. So
    /// does a message to an MCP server, as it alone says what is asked: the head decides about
    /// the credential, and grant, ceiling and guardrails wait.
    pub fn begin(
        &self,
        head: &RequestHead<'_>,
        now: UnixTime,
        cache: &mut CredentialCache,
        memory: &mut dyn Memory,
    ) -> Step {
        let mut trail = Trail::default();
        let (request, route) = match self.route(head) {
            Ok(found) => found,
            Err(denial) => {
                return Step::Deny(Refused::new(denial, self.snapshot.mode(), None, trail));
            }
        };
        let is_whole = request.is_upgrade && !announces_body(head);
        let asking = Asking::new(head, request);
        let mut decided = self
            .check_age(now)
            .and_then(|()| self.decide(head, asking, route, now, cache, memory, &mut trail));
        if let Ok(Step::NeedBody(pending)) = &mut decided {
            pending.is_whole = is_whole;
        }
        decided.unwrap_or_else(|denial| {
            Step::Deny(Refused::new(denial, route.mode(), Some(Arc::clone(route)), trail))
        })
    }

    /// Decides a request whose whole body `pending` has taken, by a snapshot of the profile
    /// that its head was judged by: all that time may have changed, that signature and proof
    /// are of this body, guardrails, that neither signature nor proof was used before; then what
    /// the request uses is charged, the approval of somebody where that is needed with it. A
    /// request that is refused before its nonce is used uses nothing up; one that is held, or cannot
    /// be charged, uses up its nonce alone.
    ///
    /// What is to be shown to the nonce authority ([`Step::NeedAuthority`]) comes here once more when it
    /// was, and is judged again, as waiting takes time; what it uses once is not used again.
    pub fn finish(&self, pending: Box<Pending>, now: UnixTime, memory: &mut dyn Memory) -> Step {
        let mut pending = pending;
        let mut trail = pending.trail();
        match self.conclude(&mut pending, now, memory, &mut trail) {
            Ok(Some(step)) => step,
            Ok(None) => Step::NeedAuthority(pending),
            Err(denial) => {
                let route = &pending.route;
                Step::Deny(Refused::new(denial, route.mode(), Some(Arc::clone(route)), trail))
            }
        }
    }

    /// Routes are trust material too: what is public now may not be by a newer snapshot.
    fn check_age(&self, now: UnixTime) -> Result<(), Denial> {
        match self.live {
            Some(live) => live.check_age(now),
            None if self.snapshot.profile() == Profile::L1 => Ok(()),
            None => Err(Denial::new(Reason::TrustMaterialMissing, "nothing says how old it is")),
        }
    }

    fn route<'r>(&self, head: &RequestHead<'r>) -> Result<(Unambiguous<'r>, &'s Arc<Route>), Denial> {
        let request = head.unambiguous(self.snapshot)?;
        let route = self
            .snapshot
            .routes()
            .find(&request.path, request.method)
            .map_err(|reason| Denial::new(reason, "no route has this path and method"))?;
        if request.is_upgrade && !route.allows_upgrade() {
            return Err(Denial::new(Reason::UpgradeRefused, "the request asks to switch protocols"));
        }
        Ok((request, route))
    }

    #[expect(clippy::too_many_arguments, reason = "what is judged, by what, and what is found")]
    fn decide(
        &self,
        head: &RequestHead<'_>,
        asking: Asking<'_>,
        route: &Arc<Route>,
        now: UnixTime,
        cache: &mut CredentialCache,
        memory: &mut dyn Memory,
        trail: &mut Trail,
    ) -> Result<Step, Denial> {
        if *route.access() == Access::Public {
            return Ok(Self::admit_publicly(route, trail));
        }
        let messages = route.messages(asking.method);
        // INVARIANT: whoever presents a credential is judged by it, and by nothing less.
        let Some(Presented { carrier, credential, signature }) = Presented::find(head)? else {
            let may_pass = self.snapshot.anonymous().is_some() || messages.is_some_and(Messages::has_public);
            if messages.is_some() && may_pass {
                let awaited = Some(Awaited::of(head)?);
                let body = Body::new(self.snapshot.max_body_bytes(), false);
                let source = head.source.map(<[u8]>::to_vec);
                return Ok(Step::NeedBody(Pending::boxed(route, asking, awaited, source, body)));
            }
            return self.admit_anonymous(&asking, head.source, route, now, memory, trail);
        };
        let awaited = messages.map(|_| Awaited::of(head)).transpose()?;
        let (credential, signed) = match credential.kind {
            Kind::Passport | Kind::PassportJwt => {
                (Credential::Passport(credential.kind, self.passport(credential, now, cache)?), None)
            }
            Kind::Badge => {
                let badge = self.badge(credential, now, cache)?;
                let signed = signature.map(|signature| Self::signed_by_holder(signature, &badge, now));
                (Credential::Badge(badge), signed.transpose()?)
            }
            Kind::SimpleGuard => {
                let key_id = capiscio::key_id(credential.bytes)?;
                let key = self.snapshot.trust().simpleguard_key_with(&key_id, self.live, now)?;
                let signed = Signed::verify(credential, key, now)?;
                (Credential::SimpleGuard(key_id), Some(signed))
            }
        };
        let mut tier = self.tier(&credential);
        if let Some(tier) = tier {
            *trail = Trail::of(Identity { credential: credential.clone(), tier, route: Arc::clone(route) });
        }
        let proven = self.prove(head, carrier, &credential, now, &mut trail.wanted)?;
        let mut is_hashed = signed.is_some();
        if awaited.is_none() {
            let judged =
                self.judge_action(&credential, proven.as_ref(), &asking, route, now, memory, trail)?;
            if signed.is_none() && proven.is_none() && judged.hold.is_none() {
                self.charge(&judged.guards, route.cost_cents(), None, now, memory, trail)?;
                trail.wanted = None;
                return Ok(Step::Permit(Permit::new(route, trail)));
            }
            tier = Some(judged.tier);
            is_hashed |= judged.hold.is_some();
        }
        let body = Body::new(self.snapshot.max_body_bytes(), is_hashed);
        let mut pending = Pending::boxed(route, asking, awaited, None, body);
        let tier = tier.unwrap_or(Tier::LOWEST);
        pending.identity = Some(Identity { credential, tier, route: Arc::clone(route) });
        (pending.signed, pending.proven, pending.wanted) = (signed, proven, trail.wanted.take());
        Ok(Step::NeedBody(pending))
    }

    fn admit_publicly(route: &Arc<Route>, trail: &mut Trail) -> Step {
        *trail =
            Trail { access: AccessMode::Public, message_id: trail.message_id.take(), ..Trail::default() };
        Step::Permit(Permit::new(route, trail))
    }

    /// Judges all that hangs on the action of a request, for the holder of a good credential:
    /// grant, ceiling, price, and guardrails as far as looking at them goes.
    #[expect(clippy::too_many_arguments, reason = "what is judged, by what, and what is found")]
    fn judge_action<'g>(
        &'g self,
        credential: &'g Credential,
        proven: Option<&Proven>,
        asking: &Asking<'_>,
        route: &'g Route,
        now: UnixTime,
        memory: &mut dyn Memory,
        trail: &mut Trail,
    ) -> Result<Judged<'g>, Denial> {
        let action = route.action();
        let tier = self.grant(credential, action)?;
        let price = self.price(credential, action, proven)?;
        let guards = self.guards(credential, action)?;
        let hold = Self::look(&guards, asking, route, now, memory, trail)?;
        Ok(Judged { tier, price, guards, hold })
    }

    /// The passport of a credential, known or verified now; its standing judged now.
    fn passport(
        &self,
        token: Token<'_>,
        now: UnixTime,
        cache: &mut CredentialCache,
    ) -> Result<Rc<Passport>, Denial> {
        let trust = self.snapshot.trust();
        let passport = match cache.get(token) {
            // The cache remembers arithmetic only: this snapshot must still admit the root.
            Some(Known::Passport(passport)) if trust.readmit(passport.root(), now).is_ok() => passport,
            _ => {
                let signed = match token.kind {
                    Kind::PassportJwt => modei::from_jwt(token.bytes)?,
                    _ => modei::from_header(token.bytes)?,
                };
                let passport = Rc::new(modei::verify(&signed, &trust.roots_at(now))?);
                cache.insert(token, &Known::Passport(Rc::clone(&passport)));
                passport
            }
        };
        self.check_passport(&passport, now)?;
        Ok(passport)
    }

    fn check_passport(&self, passport: &Passport, now: UnixTime) -> Result<(), Denial> {
        check_window(passport, now)?;
        let standing = self.snapshot.trust().check_revocation_with(passport, self.live);
        standing.map_err(|reason| Denial::new(reason, "the passport or one that it was delegated from"))?;
        if self.own_pin(passport).is_some_and(|pin| !self.snapshot.has_published(pin)) {
            let detail = "the gate has not published the catalog that the passport is pinned to";
            return Err(Denial::new(Reason::CatalogPinMismatch, detail));
        }
        // Each hop: who holds a long one can delegate short ones from it to the end.
        let windows = self.snapshot.windows();
        passport.hops().try_for_each(|hop| windows.check_life(hop.issued_at(), hop.expires_at()))
    }

    /// The badge of a credential, known or verified now; its standing judged now.
    fn badge(
        &self,
        token: Token<'_>,
        now: UnixTime,
        cache: &mut CredentialCache,
    ) -> Result<Rc<Badge>, Denial> {
        let trust = self.snapshot.trust();
        let badge = match cache.get(token) {
            Some(Known::Badge(badge)) => badge,
            _ => {
                let badge = Rc::new(capiscio::verify(token.bytes, trust, now)?);
                cache.insert(token, &Known::Badge(Rc::clone(&badge)));
                badge
            }
        };
        self.check_badge(&badge, now)?;
        Ok(badge)
    }

    fn check_badge(&self, badge: &Badge, now: UnixTime) -> Result<(), Denial> {
        let audience = Audience::OneOf(self.snapshot.audiences());
        capiscio::check_standing_with(badge, self.snapshot.trust(), self.live, audience, now)?;
        self.snapshot.windows().check_life(badge.issued_at(), badge.expires_at())
    }

    /// The signature of a request by the key that its badge is about.
    fn signed_by_holder(token: Token<'_>, badge: &Badge, now: UnixTime) -> Result<Signed, Denial> {
        // Read for its form only: the badge says whose key it is.
        capiscio::key_id(token.bytes)?;
        let key = PublicKey::from_bytes(badge.key())
            .ok_or_else(|| Denial::new(Reason::BadgeClaimsInvalid, "key is no Ed25519 key"))?;
        Signed::verify(token, &key, now)
    }

    /// The tier of who vouches for the holder of this credential.
    fn tier(&self, credential: &Credential) -> Option<Tier> {
        let trust = self.snapshot.trust();
        match credential {
            Credential::Badge(badge) => trust.badge_issuer_tier(badge),
            Credential::SimpleGuard(_) => Some(Tier::LOWEST),
            Credential::Passport(_, passport) => trust.tier(passport.root()),
        }
    }

    /// The tier of who grants `action` to the holder of this credential.
    fn grant(&self, credential: &Credential, action: &str) -> Result<Tier, Denial> {
        let trust = self.snapshot.trust();
        let by_issuer = |reason| Denial::new(reason, format!("the issuer may not grant {action} here"));
        match credential {
            Credential::Badge(badge) => trust.badge_tier(badge, action).map_err(by_issuer),
            Credential::SimpleGuard(key_id) => trust
                .simpleguard_tier(key_id, action)
                .map_err(|reason| Denial::new(reason, format!("the agent may not have {action} here"))),
            Credential::Passport(_, passport) => {
                if passport.permissions().get(action).is_none() {
                    let detail = format!("the passport does not grant {action}");
                    return Err(Denial::new(Reason::PermissionDenied, detail));
                }
                trust.check_ceiling(passport.root(), action).map_err(by_issuer)?;
                trust.tier(passport.root()).ok_or_else(|| {
                    Denial::new(Reason::SignatureKeyUnavailable, "the root's issuer is unknown")
                })
            }
        }
    }

    /// Judges again what time may have changed of a credential since its request's head came.
    fn check_standing(
        &self,
        credential: &Credential,
        signed: Option<&Signed>,
        now: UnixTime,
    ) -> Result<(), Denial> {
        match credential {
            Credential::Badge(badge) => self.check_badge(badge, now),
            Credential::Passport(_, passport) => {
                let root = self.snapshot.trust().readmit(passport.root(), now);
                root.map_err(|reason| Denial::new(reason, "its issuer is not trusted for it any more"))?;
                self.check_passport(passport, now)
            }
            Credential::SimpleGuard(key_id) => {
                let key = self.snapshot.trust().simpleguard_key_with(key_id, self.live, now)?;
                if signed.is_none_or(|signed| sha256(key.as_bytes()) != signed.signer) {
                    let detail = "kid is another key of the gate's trust store now";
                    return Err(Denial::new(Reason::SimpleguardKeyUntrusted, detail));
                }
                Ok(())
            }
        }
    }

    /// `None` for what the nonce authority must see first.
    fn conclude(
        &self,
        pending: &mut Pending,
        now: UnixTime,
        memory: &mut dyn Memory,
        trail: &mut Trail,
    ) -> Result<Option<Step>, Denial> {
        // A body may take its time to come.
        self.check_age(now)?;
        if let Some(Identity { credential, .. }) = &pending.identity {
            self.check_standing(credential, pending.signed.as_ref(), now)?;
        }
        if let Some(Signed { signature, .. }) = &pending.signed {
            signature.check_window(now)?;
            signature.check_body(pending.body.length, &pending.body.hasher.digest())?;
        }
        if let Some(proven) = &pending.proven {
            proven.check(now)?;
        }
        let awaited = pending.awaited.take();
        let message = awaited.as_ref().map(|awaited| Message::read(&awaited.text)).transpose()?;
        if let (Some(awaited), Some(message)) = (&awaited, &message) {
            trail.message_id = message.id();
            awaited.check(message)?;
            pending.find(message, trail)?;
        }
        let Pending { route, identity, asking, signed, proven, body, source, .. } = &*pending;
        if *route.access() == Access::Public {
            return Ok(Some(Self::admit_publicly(route, trail)));
        }
        let Some(identity) = identity else {
            return self.admit_anonymous(asking, source.as_deref(), route, now, memory, trail).map(Some);
        };
        let credential = &identity.credential;
        let judged = self.judge_action(credential, proven.as_ref(), asking, route, now, memory, trail)?;
        let Judged { tier, price, guards, hold } = judged;
        let metered = match price {
            Some(rate) => self.meter(rate, identity, proven.as_ref())?,
            None => None,
        };
        let hold = match hold {
            None => None,
            Some(detail) => {
                let asked = match &message {
                    Some(message) => message.digest(),
                    None if body.is_hashed || body.length == 0 => body.hasher.digest(),
                    None => {
                        let detail = "guardrails changed while the body came: send the request again";
                        return Err(Denial::new(Reason::TrustMaterialStale, detail));
                    }
                };
                Some(self.hold(identity, asking, &asked, detail, now)?)
            }
        };
        if pending.once.is_none() {
            let signature =
                signed.as_ref().map(|signed| signed.spend(route.repeats(), now, memory)).transpose()?;
            let nonce = proven.as_ref().map(|proven| proven.spend(now, memory)).transpose()?;
            let once = nonce.or(signature);
            if once.is_some() && self.snapshot.asks_nonce_authority() {
                (pending.once, pending.awaited) = (once, awaited);
                pending.message_id = trail.message_id.take();
                return Ok(None);
            }
        }
        let cents = route.cost_cents();
        let held = match hold {
            Some(hold) if !self.is_approved(&hold, now, None)? => Some(hold),
            hold => {
                let may_pass = self.charge(&guards, cents, hold.as_ref(), now, memory, trail)?;
                hold.filter(|_| !may_pass)
            }
        };
        if let Some(hold) = held {
            return Ok(Some(Step::Hold(hold.answer(route, core::mem::take(trail)))));
        }
        trail.identity = Some(Identity { tier, ..identity.clone() });
        if self.snapshot.profile() != Profile::L3 {
            trail.wanted = None;
        }
        let mut permit = Permit::new(route, trail);
        permit.metered = metered;
        Ok(Some(Step::Permit(permit)))
    }
}

/// What hangs on the action, found good.
struct Judged<'g> {
    tier: Tier,
    price: Option<Rate>,
    guards: Guards<'g>,
    /// Why the request must be held, if it must.
    hold: Option<String>,
}

/// A signature of a body that has been verified, and the thumbprint of its key.
#[derive(Debug)]
struct Signed {
    signature: RequestSignature,
    signer: [u8; 32],
}

impl Signed {
    fn verify(token: Token<'_>, key: &PublicKey, now: UnixTime) -> Result<Self, Denial> {
        let signature = capiscio::verify_request_signature(token.bytes, key, now)?;
        Ok(Signed { signature, signer: sha256(key.as_bytes()) })
    }

    /// Uses the signature, and answers what was used.
    fn spend(&self, repeats: Repeats, now: UnixTime, replay: &mut dyn Memory) -> Result<Once, Denial> {
        let Signed { signature, signer } = self;
        let token = *signature.digest();
        let once = Once { key: *signer, token, until: signature.last_moment(), self_issued: false };
        match replay.insert(&once, now) {
            Ok(Novelty::New) => Ok(once),
            Ok(Novelty::Seen { first })
                if repeats == Repeats::SameSecond && now < first.plus_millis(SAME_SECOND_MS) =>
            {
                Ok(once)
            }
            Ok(Novelty::Seen { first }) => {
                Err(Denial::new(Reason::RequestReplayed, format!("the signature was used at {first}")))
            }
            Err(fault) => Err(fault.into()),
        }
    }
}

/// How long after the second of its first use a signature may come again where the route
/// allows it. Its times are in whole seconds, so two equal requests within one sign the
/// same; and the memory keeps whole seconds: this is one at least, and less than two.
const SAME_SECOND_MS: i64 = 2000;

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
