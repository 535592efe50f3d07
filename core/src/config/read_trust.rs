//! Reading trust material.

use super::read::{Members, Place, text};
use super::{
    AcceptSelfSigned, BadgeIssuerConfig, Compatibility, ConfigError, DidDocumentConfig, DisabledAgent,
    IssuerConfig, IssuerKind, KeyConfig, RevokedBadge, RevokedPassport, SelfIssuedConfig, SimpleGuardAgent,
    TrustConfig,
};
use alloc::string::String;
use alloc::vec::Vec;

pub(super) fn trust(place: Place<'_>) -> Result<TrustConfig, ConfigError> {
    let members = place.members(&[
        "accept_self_signed",
        "badge_issuers",
        "did_documents",
        "disabled_agents",
        "issuers",
        "revoked_badges",
        "revoked_passports",
        "self_issued",
        "simpleguard_agents",
    ])?;
    Ok(TrustConfig {
        issuers: members.optional("issuers", |place| place.list(issuer))?.unwrap_or_default(),
        self_issued: members.optional("self_issued", |place| {
            let members = place.members(&["actions"])?;
            Ok(SelfIssuedConfig { actions: members.required("actions")?.list(text)? })
        })?,
        badge_issuers: members
            .optional("badge_issuers", |place| place.list(badge_issuer))?
            .unwrap_or_default(),
        accept_self_signed: members.optional("accept_self_signed", |place| {
            let members = place.members(&["actions", "compatibility"])?;
            Ok(AcceptSelfSigned {
                actions: members.required("actions")?.list(text)?,
                compatibility: compatibility(&members)?,
            })
        })?,
        did_documents: members
            .optional("did_documents", |place| {
                place.list(|place| {
                    let members = place.members(&["id", "keys"])?;
                    Ok(DidDocumentConfig {
                        id: members.required("id")?.text()?,
                        keys: members.required("keys")?.list(key)?,
                    })
                })
            })?
            .unwrap_or_default(),
        simpleguard_agents: members
            .optional("simpleguard_agents", |place| place.list(simpleguard_agent))?
            .unwrap_or_default(),
        revoked_badges: scoped_list(&members, "revoked_badges", "jti")?
            .into_iter()
            .map(|(issuer, jti)| RevokedBadge { issuer, jti })
            .collect(),
        revoked_passports: scoped_list(&members, "revoked_passports", "passport_id")?
            .into_iter()
            .map(|(issuer, passport_id)| RevokedPassport { issuer, passport_id })
            .collect(),
        disabled_agents: scoped_list(&members, "disabled_agents", "agent_id")?
            .into_iter()
            .map(|(issuer, agent_id)| DisabledAgent { issuer, agent_id })
            .collect(),
    })
}

fn issuer(place: Place<'_>) -> Result<IssuerConfig, ConfigError> {
    let members = place.members(&["actions", "domain_verified", "id", "keys", "tier", "type"])?;
    Ok(IssuerConfig {
        id: members.required("id")?.text()?,
        kind: members
            .required("type")?
            .one_of(&[("gate", IssuerKind::Gate), ("platform", IssuerKind::Platform)])?,
        tier: members.required("tier")?.whole_number()?,
        domain_verified: members.optional("domain_verified", |place| place.flag())?.unwrap_or_default(),
        actions: members.required("actions")?.list(text)?,
        keys: members.required("keys")?.list(key)?,
    })
}

pub(super) fn key(place: Place<'_>) -> Result<KeyConfig, ConfigError> {
    key_of(&place.members(&KEY_MEMBERS)?)
}

const KEY_MEMBERS: [&str; 4] = ["key_id", "not_after", "not_before", "public_key"];

fn key_of(members: &Members<'_>) -> Result<KeyConfig, ConfigError> {
    Ok(KeyConfig {
        key_id: members.required("key_id")?.text()?,
        public_key: members.required("public_key")?.text()?,
        not_before: members.optional("not_before", text)?,
        not_after: members.optional("not_after", text)?,
    })
}

fn badge_issuer(place: Place<'_>) -> Result<BadgeIssuerConfig, ConfigError> {
    let members = place.members(&[
        "actions",
        "compatibility",
        "id",
        "keys",
        "minimum_level",
        "revocations_synced_at",
        "tier",
    ])?;
    Ok(BadgeIssuerConfig {
        id: members.required("id")?.text()?,
        tier: members.required("tier")?.whole_number()?,
        actions: members.required("actions")?.list(text)?,
        keys: members.optional("keys", |place| place.list(key))?.unwrap_or_default(),
        minimum_level: members.optional("minimum_level", text)?,
        compatibility: compatibility(&members)?,
        revocations_synced_at: members.optional("revocations_synced_at", text)?,
    })
}

fn compatibility(members: &Members<'_>) -> Result<Vec<Compatibility>, ConfigError> {
    let switches = |place: Place<'_>| place.list(|place| place.one_of(&Compatibility::ALL));
    Ok(members.optional("compatibility", switches)?.unwrap_or_default())
}

fn simpleguard_agent(place: Place<'_>) -> Result<SimpleGuardAgent, ConfigError> {
    let members = place.members(&["actions", "key_id", "not_after", "not_before", "public_key"])?;
    Ok(SimpleGuardAgent { key: key_of(&members)?, actions: members.required("actions")?.list(text)? })
}

/// One function for three lists: a closure for each would be three times the code.
#[inline(never)]
fn scoped_list(
    members: &Members<'_>,
    list: &'static str,
    id: &'static str,
) -> Result<Vec<(String, String)>, ConfigError> {
    let read = |place: Place<'_>| place.list(|place| scoped(place, id));
    Ok(members.optional(list, read)?.unwrap_or_default())
}

fn scoped(place: Place<'_>, id: &'static str) -> Result<(String, String), ConfigError> {
    let members = place.members(&["issuer", id])?;
    Ok((members.required("issuer")?.text()?, members.required(id)?.text()?))
}
