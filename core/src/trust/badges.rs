//! Whose Trust Badges are admitted, and within which limits.

use super::limits::{Ceiling, Keys, time};
use super::{Scoped, Tier, Trust, is_id, is_listed, scoped};
use crate::capiscio::{Badge, Ial, Level, is_did, is_https_origin, is_uuid_v4, key_of_did};
use crate::config::{
    AcceptSelfSigned, BadgeIssuerConfig, Compatibility, DidDocumentConfig, Profile, Spot, TrustConfig,
};
use crate::denial::Denial;
use crate::ed25519::PublicKey;
use crate::live::LiveView;
use crate::ordered::Named;
use crate::reason::Reason;
use crate::time::UnixTime;
use alloc::format;
use alloc::vec::Vec;

/// Trust material for badges.
#[derive(Debug)]
pub(super) struct Badges {
    issuers: Named<BadgeIssuer>,
    self_signed: Option<BadgeIssuer>,
    /// By DID, the keys of its document.
    documents: Named<Keys>,
    revoked: Scoped,
}

/// An issuer of badges that the gate trusts, within limits.
#[derive(Debug)]
pub(crate) struct BadgeIssuer {
    tier: Tier,
    ceiling: Ceiling,
    keys: Keys,
    minimum_level: Level,
    compatibility: Vec<Compatibility>,
    revocations_synced_at: Option<UnixTime>,
}

/// RFC-002 section 7.5: `REVOCATION_CACHE_MAX_STALENESS`.
const MAX_STALENESS_MS: i64 = 300_000;

impl Trust {
    /// The issuer of badges in whose name a badge of this level speaks, if it is trusted.
    pub(crate) fn badge_issuer(&self, issuer: &str, level: Level) -> Option<&BadgeIssuer> {
        let listed = self.badges.issuers.get(issuer);
        let anyone = self.badges.self_signed.as_ref().filter(|_| level == Level::SelfSigned);
        listed.or(anyone)
    }

    /// Whether the gate's profile, and what it is told of the issuer, let badges of this
    /// level and assurance in.
    ///
    /// # Errors
    /// `trust_tier_insufficient` or `badge_level_insufficient`.
    pub(crate) fn check_badge_level(
        &self,
        issuer: &BadgeIssuer,
        level: Level,
        ial: Ial,
    ) -> Result<(), Denial> {
        if issuer.tier < Tier::required_by(self.profile) {
            let detail = "the badge's issuer is of too low a tier for the gate's profile";
            return Err(Denial::new(Reason::TrustTierInsufficient, detail));
        }
        let (least, assurance) = match self.profile {
            // Level 0 has its own door: an issuer or an opt-in that names it.
            Profile::L1 => (Level::SelfSigned, Ial::AccountAttested),
            Profile::L2 => (Level::DomainValidated, Ial::AccountAttested),
            Profile::L3 => (Level::OrganizationValidated, Ial::ProofOfPossession),
        };
        let least = least.max(issuer.minimum_level);
        if level < least || ial < assurance {
            let detail = format!(
                "the badge is of level {} and IAL {}, and level {} and IAL {} are asked for",
                level.text(),
                ial.text(),
                least.text(),
                assurance.text()
            );
            return Err(Denial::new(Reason::BadgeLevelInsufficient, detail));
        }
        Ok(())
    }

    /// The key that a verification method of a DID document names.
    pub(crate) fn did_key(&self, did: &str, method: &str, now: UnixTime) -> Option<[u8; 32]> {
        self.badges.documents.get(did)?.get(method, now).map(|key| *key.as_bytes())
    }

    /// Whether a badge is revoked or its agent not active: RFC-002 section 7.5. Level 0
    /// is in nobody's lists but the operator's, and is judged by these all the same.
    ///
    /// # Errors
    /// `BADGE_REVOKED`, `REVOCATION_CHECK_FAILED` or `BADGE_AGENT_DISABLED`.
    pub(crate) fn check_badge_revocation(
        &self,
        issuer: &BadgeIssuer,
        badge: &Badge,
        live: Option<LiveView<'_>>,
        now: UnixTime,
    ) -> Result<(), Denial> {
        let (name, id) = (badge.issuer(), badge.id());
        if is_listed(&self.badges.revoked, name, id)
            || live.is_some_and(|live| live.revocations().contains_badge(name, id))
        {
            return Err(Denial::new(Reason::BadgeRevoked, "it is among what this gate knows to be revoked"));
        }
        let followed = live.and_then(|live| live.followed(name));
        let synced_at = followed.or(issuer.revocations_synced_at);
        // Above L1 they are to be as fresh as all trust material, if that is less.
        let bound = live.filter(|_| self.profile != Profile::L1).map(LiveView::max_age_ms);
        let most = bound.map_or(MAX_STALENESS_MS, |bound| bound.min(MAX_STALENESS_MS));
        let is_stale = |synced: UnixTime| synced.plus_millis(most) < now;
        if badge.level() >= Level::DomainValidated && synced_at.is_some_and(is_stale) {
            let detail = "the issuer's lists of what is revoked are older than the gate's profile allows";
            return Err(Denial::new(Reason::RevocationCheckFailed, detail));
        }
        if self.is_disabled(name, badge.subject(), live) {
            return Err(Denial::new(Reason::BadgeAgentDisabled, "the agent is disabled at this gate"));
        }
        Ok(())
    }

    /// The tier of a badge's issuer, if it has one here.
    pub(crate) fn badge_issuer_tier(&self, badge: &Badge) -> Option<Tier> {
        self.badge_issuer(badge.issuer(), badge.level()).map(|issuer| issuer.tier)
    }

    /// The tier of a badge's issuer, if holders of its badges may have `action`. A badge
    /// grants nothing itself (RFC-002 section 2): the ceiling is the grant.
    ///
    /// # Errors
    /// `BADGE_ISSUER_UNTRUSTED` or `issuer_ceiling_exceeded`.
    pub(crate) fn badge_tier(&self, badge: &Badge, action: &str) -> Result<Tier, Reason> {
        let issuer = self.badge_issuer(badge.issuer(), badge.level()).ok_or(Reason::BadgeIssuerUntrusted)?;
        if issuer.ceiling.contains(action) { Ok(issuer.tier) } else { Err(Reason::IssuerCeilingExceeded) }
    }
}

impl Badges {
    pub(super) fn checked(config: &TrustConfig, spot: &Spot<'_>) -> Self {
        let mut issuers = Named::new();
        for (index, issuer) in config.badge_issuers.iter().enumerate() {
            let list = spot.member("badge_issuers");
            let spot = list.element(index);
            let checked = BadgeIssuer::checked(issuer, &spot);
            spot.check(issuers.insert(&issuer.id, checked), "id", "stands twice");
        }
        let mut documents = Named::new();
        for (index, document) in config.did_documents.iter().enumerate() {
            let list = spot.member("did_documents");
            let spot = list.element(index);
            let checked = document_keys(document, &spot);
            spot.check(documents.insert(&document.id, checked), "id", "stands twice");
        }
        let list = spot.member("revoked_badges");
        // A revocation that can fit no badge would be none.
        for (index, entry) in config.revoked_badges.iter().enumerate() {
            let spot = list.element(index);
            let is_issuer = is_https_origin(&entry.issuer) || key_of_did(&entry.issuer).is_some();
            spot.check(is_issuer, "issuer", ISSUER_FORM);
            spot.check(is_uuid_v4(&entry.jti), "jti", "must be a UUID of version 4, as a badge's jti is");
        }
        let revoked = config.revoked_badges.iter().map(|entry| (&entry.issuer, &entry.jti));
        let revoked = scoped(&mut { revoked }, &list, "jti");
        let of_anyone = |config| BadgeIssuer::of_anyone(config, &spot.member("accept_self_signed"));
        let self_signed = config.accept_self_signed.as_ref().map(of_anyone);
        Badges { issuers, self_signed, documents, revoked }
    }
}

impl BadgeIssuer {
    fn checked(config: &BadgeIssuerConfig, spot: &Spot<'_>) -> Self {
        let is_agent = key_of_did(&config.id).is_some();
        spot.check(is_agent || is_https_origin(&config.id), "id", ISSUER_FORM);
        let keys = Keys::checked(&config.keys, &spot.member("keys"));
        let problem = "must have at least one key, or none for a did:key, which is its own";
        spot.check(keys.is_empty() == is_agent, "keys", problem);
        let tier = Tier::new(config.tier).filter(|tier| !is_agent || *tier == Tier::LOWEST);
        let tier = spot.known(tier, "tier", "must be 1, 2 or 3, and 1 for a did:key");
        let level = config.minimum_level.as_deref().map_or(Some(Level::SelfSigned), Level::from_text);
        let problem = "must be one of the strings \"0\", \"1\", \"2\", \"3\" and \"4\"";
        let minimum_level = spot.known(level, "minimum_level", problem);
        let synced_at = time(config.revocations_synced_at.as_deref(), "revocations_synced_at", spot);
        BadgeIssuer {
            tier: tier.unwrap_or(Tier::LOWEST),
            ceiling: Ceiling::checked(&config.actions, spot),
            keys,
            minimum_level: minimum_level.unwrap_or(Level::SelfSigned),
            compatibility: config.compatibility.clone(),
            revocations_synced_at: synced_at,
        }
    }

    /// Any agent that signs for itself.
    fn of_anyone(config: &AcceptSelfSigned, spot: &Spot<'_>) -> Self {
        BadgeIssuer {
            tier: Tier::LOWEST,
            ceiling: Ceiling::checked(&config.actions, spot),
            keys: Keys::default(),
            minimum_level: Level::SelfSigned,
            compatibility: config.compatibility.clone(),
            revocations_synced_at: None,
        }
    }

    pub(crate) fn allows(&self, departure: Compatibility) -> bool {
        self.compatibility.contains(&departure)
    }

    pub(crate) fn key(&self, id: &str, now: UnixTime) -> Option<&PublicKey> {
        self.keys.get(id, now)
    }

    pub(crate) fn keys_at(&self, now: UnixTime) -> impl Iterator<Item = (&str, &PublicKey)> {
        self.keys.at(now)
    }
}

const ISSUER_FORM: &str =
    "must be an HTTPS origin such as https://registry.example, or the did:key of one agent";

fn document_keys(document: &DidDocumentConfig, spot: &Spot<'_>) -> Keys {
    let is_web = document.id.starts_with("did:web:") && is_did(&document.id);
    spot.check(is_web, "id", "must be a did:web; a did:key is its own document");
    let keys = spot.member("keys");
    for (index, key) in document.keys.iter().enumerate() {
        let fragment = key.key_id.strip_prefix(&document.id).and_then(|rest| rest.strip_prefix('#'));
        let is_of_document = fragment.is_some_and(|fragment| !fragment.is_empty()) && is_id(&key.key_id);
        let problem = "must be the document's id, `#`, and a fragment";
        keys.element(index).check(is_of_document, "key_id", problem);
    }
    Keys::checked(&document.keys, &keys)
}
