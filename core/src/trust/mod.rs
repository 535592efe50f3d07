//! Whom a gate trusts, checked and indexed.

mod badges;
mod limits;
mod simpleguard;

pub(crate) use badges::BadgeIssuer;
pub(crate) use limits::Keys;
pub use simpleguard::SIMPLEGUARD_ISSUER;

use crate::config::{ConfigError, IssuerConfig, IssuerKind, Profile, Spot, TrustConfig, checked};
use crate::live::LiveView;
use crate::modei::{Admission, Passport, Root, RootKind, Roots};
use crate::ordered::{Named, Names};
use crate::reason::Reason;
use crate::time::UnixTime;
use alloc::string::String;
use badges::Badges;
use limits::Ceiling;
use simpleguard::Agents;

/// Trust material: issuers with their keys, tiers and ceilings, and what is revoked.
#[derive(Debug)]
pub struct Trust {
    profile: Profile,
    issuers: Named<Issuer>,
    self_issued: Option<Ceiling>,
    badges: Badges,
    simpleguard: Agents,
    revoked: Scoped,
    disabled: Scoped,
}

/// An issuer that the gate trusts, within limits.
#[derive(Debug)]
struct Issuer {
    kind: RootKind,
    tier: Tier,
    is_domain_verified: bool,
    ceiling: Ceiling,
    keys: Keys,
}

/// Who vouches for an issuer: 1 (nobody but itself), 2 (its domain is verified), 3
/// (certified). Not to be confused with a gate's profile or a passport's provenance.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Tier(u8);

impl Trust {
    /// Checks trust material whole and indexes it, to be judged by under `profile`.
    ///
    /// # Errors
    /// The first [`ConfigError`]: what is doubled, malformed, contradictory or empty
    /// that must not be. Paths begin with `trust`.
    pub fn new(config: &TrustConfig, profile: Profile) -> Result<Self, ConfigError> {
        checked("trust", |spot| Trust::checked(config, profile, spot))
    }

    pub(crate) fn checked(config: &TrustConfig, profile: Profile, spot: &Spot<'_>) -> Self {
        let mut issuers = Named::new();
        let list = spot.member("issuers");
        for (index, issuer) in config.issuers.iter().enumerate() {
            let spot = list.element(index);
            let checked = Issuer::checked(issuer, &spot);
            spot.check(issuers.insert(&issuer.id, checked), "id", "stands twice");
        }
        let self_issued = config.self_issued.as_ref();
        let revoked = config.revoked_passports.iter().map(|entry| (&entry.issuer, &entry.passport_id));
        let disabled = config.disabled_agents.iter().map(|entry| (&entry.issuer, &entry.agent_id));
        Trust {
            profile,
            issuers,
            self_issued: self_issued
                .map(|written| Ceiling::checked(&written.actions, &spot.member("self_issued"))),
            badges: Badges::checked(config, spot),
            simpleguard: Agents::checked(&config.simpleguard_agents, &spot.member("simpleguard_agents")),
            revoked: scoped(&mut { revoked }, &spot.member("revoked_passports"), "passport_id"),
            disabled: scoped(&mut { disabled }, &spot.member("disabled_agents"), "agent_id"),
        }
    }

    /// The tier of a root.
    pub fn tier(&self, root: &Root) -> Option<Tier> {
        match root.kind() {
            RootKind::SelfIssued => self.self_issued.as_ref().map(|_| Tier(1)),
            RootKind::Gate | RootKind::Platform => self.issuers.get(root.issuer()).map(|issuer| issuer.tier),
        }
    }

    /// Who may be admitted at `now`.
    pub fn roots_at(&self, now: UnixTime) -> impl Roots + '_ {
        RootsAt { trust: self, now }
    }

    /// Judges again, by this material, the root of a passport that was verified
    /// under another or at another time.
    ///
    /// # Errors
    /// As [`Roots::admit`]; `signature_key_unavailable` where the issuer's key is now
    /// another one.
    pub fn readmit(&self, root: &Root, now: UnixTime) -> Result<(), Reason> {
        match self.roots_at(now).admit(root.kind(), root.issuer(), root.key_id())? {
            Admission::IssuerKey(key) if key.as_bytes() != root.key() => Err(Reason::SignatureKeyUnavailable),
            Admission::IssuerKey(_) | Admission::OwnKey => Ok(()),
        }
    }

    /// Whether the passport, or one that it was delegated from, is revoked, or an agent
    /// that held one of them disabled.
    ///
    /// # Errors
    /// `passport_revoked` or `agent_disabled`.
    pub fn check_revocation(&self, passport: &Passport) -> Result<(), Reason> {
        self.check_revocation_with(passport, None)
    }

    /// The same, by live material too.
    pub(crate) fn check_revocation_with(
        &self,
        passport: &Passport,
        live: Option<LiveView<'_>>,
    ) -> Result<(), Reason> {
        let issuer = passport.root().issuer();
        let is_revoked = |id: &str| {
            is_listed(&self.revoked, issuer, id)
                || live.is_some_and(|live| live.revocations().contains_passport(issuer, id))
        };
        if passport.hops().any(|hop| is_revoked(hop.passport_id())) {
            return Err(Reason::PassportRevoked);
        }
        if passport.hops().any(|hop| self.is_disabled(issuer, hop.agent_id(), live)) {
            return Err(Reason::AgentDisabled);
        }
        Ok(())
    }

    /// Whether an agent may not act here, whatever it presents.
    fn is_disabled(&self, issuer: &str, agent: &str, live: Option<LiveView<'_>>) -> bool {
        is_listed(&self.disabled, issuer, agent)
            || live.is_some_and(|live| live.revocations().contains_agent(issuer, agent))
    }

    /// Whether a passport's root may grant `action`.
    ///
    /// # Errors
    /// `self_issued_platform_ceiling_exceeded` or `issuer_ceiling_exceeded`.
    pub fn check_ceiling(&self, root: &Root, action: &str) -> Result<(), Reason> {
        let (ceiling, reason) = match root.kind() {
            RootKind::SelfIssued => (self.self_issued.as_ref(), Reason::SelfIssuedPlatformCeilingExceeded),
            RootKind::Gate | RootKind::Platform => {
                (self.issuers.get(root.issuer()).map(|issuer| &issuer.ceiling), Reason::IssuerCeilingExceeded)
            }
        };
        if ceiling.is_some_and(|ceiling| ceiling.contains(action)) { Ok(()) } else { Err(reason) }
    }
}

impl Tier {
    /// 1 to 3.
    pub fn number(self) -> u8 {
        self.0
    }
}

struct RootsAt<'s> {
    trust: &'s Trust,
    now: UnixTime,
}

impl Roots for RootsAt<'_> {
    fn admit(&self, kind: RootKind, issuer: &str, key_id: &str) -> Result<Admission<'_>, Reason> {
        if kind == RootKind::SelfIssued {
            // Self-issued passports are tier 1, and L1 asks for no more.
            return match (&self.trust.self_issued, self.trust.profile) {
                (None, _) => Err(Reason::SelfIssuedNotAllowed),
                (Some(_), Profile::L1) => Ok(Admission::OwnKey),
                (Some(_), Profile::L2 | Profile::L3) => Err(Reason::TrustTierInsufficient),
            };
        }
        let issuer = self.trust.issuers.get(issuer).filter(|issuer| issuer.kind == kind);
        let issuer = issuer.ok_or(Reason::SignatureKeyUnavailable)?;
        if issuer.tier < Tier::required_by(self.trust.profile) {
            return Err(Reason::TrustTierInsufficient);
        }
        if self.trust.profile != Profile::L1 && !issuer.is_domain_verified {
            return Err(Reason::IssuerDomainUnverified);
        }
        let key = issuer.keys.get(key_id, self.now);
        Ok(Admission::IssuerKey(key.ok_or(Reason::SignatureKeyUnavailable)?))
    }
}

impl Tier {
    pub(crate) const LOWEST: Tier = Tier(1);

    fn new(number: u8) -> Option<Self> {
        (1..=3).contains(&number).then_some(Tier(number))
    }

    fn required_by(profile: Profile) -> Self {
        match profile {
            Profile::L1 => Tier(1),
            Profile::L2 => Tier(2),
            Profile::L3 => Tier(3),
        }
    }
}

impl Issuer {
    fn checked(config: &IssuerConfig, spot: &Spot<'_>) -> Self {
        let is_own = is_id(&config.id) && !FOREIGN.iter().any(|foreign| config.id.starts_with(foreign));
        spot.check(is_own, "id", ISSUER_FORM);
        let tier = spot.known(Tier::new(config.tier), "tier", "must be 1, 2 or 3");
        spot.check(!config.keys.is_empty(), "keys", "must have at least one key");
        let keys = Keys::checked(&config.keys, &spot.member("keys"));
        let kind = match config.kind {
            IssuerKind::Gate => RootKind::Gate,
            IssuerKind::Platform => RootKind::Platform,
        };
        Issuer {
            kind,
            tier: tier.unwrap_or(Tier::LOWEST),
            is_domain_verified: config.domain_verified,
            ceiling: Ceiling::checked(&config.actions, spot),
            keys,
        }
    }
}

/// How the names of other kinds of issuer begin. Ids belong to issuers, so no two kinds of
/// issuer may have one name.
const FOREIGN: [&str; 5] = ["delegate:", "did:", "https://", "self:", SIMPLEGUARD_ISSUER];

const ISSUER_FORM: &str = "must be 1 to 256 printable ASCII characters without spaces, and not begin as the \
     names of other kinds of issuer do: delegate:, did:, https://, self:, simpleguard";

/// Ids with the issuers that they belong to.
///
/// One text each, `issuer id`: neither has a space.
type Scoped = Names;

pub(crate) fn scoped_name(issuer: &str, id: &str) -> String {
    [issuer, " ", id].concat()
}

fn is_listed(list: &Scoped, issuer: &str, id: &str) -> bool {
    // Most gates have empty lists: no pair is built to look one up there.
    !list.is_empty() && list.contains(&scoped_name(issuer, id))
}

#[inline(never)]
fn scoped<'c>(
    entries: &mut dyn Iterator<Item = (&'c String, &'c String)>,
    list: &Spot<'_>,
    member: &str,
) -> Scoped {
    let mut pairs = Names::new();
    for (index, (issuer, id)) in entries.enumerate() {
        let spot = list.element(index);
        spot.check(is_id(issuer), "issuer", ID_FORM);
        spot.check(is_id(id), member, ID_FORM);
        // Badges' ids are UUIDs, whose letters are compared in lower case.
        let id = if member == "jti" { id.to_ascii_lowercase() } else { id.clone() };
        pairs.add(&scoped_name(issuer, &id));
    }
    pairs
}

pub(crate) const ID_FORM: &str = "must be 1 to 256 printable ASCII characters without spaces";

pub(crate) fn is_id(text: &str) -> bool {
    (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// An action as routes and ceilings name it. Actions go into a header for the upstream.
pub(crate) fn is_action(text: &str) -> bool {
    is_id(text) && !text.bytes().any(|byte| byte == b'*')
}
