//! Reading trust material.

use super::read::{Members, Place};
use super::{
    AcceptSelfSigned, BadgeIssuerConfig, Compatibility, DidDocumentConfig, DisabledAgent, IssuerConfig,
    IssuerKind, KeyConfig, RevokedBadge, RevokedPassport, SelfIssuedConfig, SimpleGuardAgent, TrustConfig,
};
use alloc::string::String;
use alloc::vec::Vec;

pub(super) fn trust(place: Place<'_>) -> TrustConfig {
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
    ]);
    TrustConfig {
        issuers: list(&members, "issuers", issuer),
        self_issued: members.optional("self_issued").map(|place| {
            let members = place.members(&["actions"]);
            SelfIssuedConfig { actions: members.required("actions").texts() }
        }),
        badge_issuers: list(&members, "badge_issuers", badge_issuer),
        accept_self_signed: members.optional("accept_self_signed").map(|place| {
            let members = place.members(&["actions", "compatibility"]);
            AcceptSelfSigned {
                actions: members.required("actions").texts(),
                compatibility: compatibility(&members),
            }
        }),
        did_documents: list(&members, "did_documents", |place| {
            let members = place.members(&["id", "keys"]);
            DidDocumentConfig { id: members.required("id").text(), keys: members.required("keys").list(key) }
        }),
        simpleguard_agents: list(&members, "simpleguard_agents", simpleguard_agent),
        revoked_badges: scoped_list(&members, "revoked_badges", "jti")
            .into_iter()
            .map(|(issuer, jti)| RevokedBadge { issuer, jti })
            .collect(),
        revoked_passports: scoped_list(&members, "revoked_passports", "passport_id")
            .into_iter()
            .map(|(issuer, passport_id)| RevokedPassport { issuer, passport_id })
            .collect(),
        disabled_agents: scoped_list(&members, "disabled_agents", "agent_id")
            .into_iter()
            .map(|(issuer, agent_id)| DisabledAgent { issuer, agent_id })
            .collect(),
    }
}

fn list<'v, T>(members: &Members<'v>, name: &str, read: impl Fn(Place<'v>) -> T) -> Vec<T> {
    members.optional(name).map(|place| place.list(read)).unwrap_or_default()
}

fn issuer(place: Place<'_>) -> IssuerConfig {
    let members = place.members(&["actions", "domain_verified", "id", "keys", "tier", "type"]);
    IssuerConfig {
        id: members.required("id").text(),
        kind: members
            .required("type")
            .one_of(&[("gate", IssuerKind::Gate), ("platform", IssuerKind::Platform)])
            .unwrap_or(IssuerKind::Gate),
        tier: members.required("tier").whole_number(),
        domain_verified: members.flag("domain_verified").unwrap_or_default(),
        actions: members.required("actions").texts(),
        keys: members.required("keys").list(key),
    }
}

pub(super) fn key(place: Place<'_>) -> KeyConfig {
    key_of(&place.members(&KEY_MEMBERS))
}

const KEY_MEMBERS: [&str; 4] = ["key_id", "not_after", "not_before", "public_key"];

fn key_of(members: &Members<'_>) -> KeyConfig {
    KeyConfig {
        key_id: members.required("key_id").text(),
        public_key: members.required("public_key").text(),
        not_before: members.text("not_before"),
        not_after: members.text("not_after"),
    }
}

fn badge_issuer(place: Place<'_>) -> BadgeIssuerConfig {
    let members = place.members(&[
        "actions",
        "compatibility",
        "id",
        "keys",
        "minimum_level",
        "revocations_synced_at",
        "tier",
    ]);
    BadgeIssuerConfig {
        id: members.required("id").text(),
        tier: members.required("tier").whole_number(),
        actions: members.required("actions").texts(),
        keys: list(&members, "keys", key),
        minimum_level: members.text("minimum_level"),
        compatibility: compatibility(&members),
        revocations_synced_at: members.text("revocations_synced_at"),
    }
}

fn compatibility(members: &Members<'_>) -> Vec<Compatibility> {
    let switches = list(members, "compatibility", |place| place.one_of(&Compatibility::ALL));
    switches.into_iter().flatten().collect()
}

fn simpleguard_agent(place: Place<'_>) -> SimpleGuardAgent {
    let members = place.members(&["actions", "key_id", "not_after", "not_before", "public_key"]);
    SimpleGuardAgent { key: key_of(&members), actions: members.required("actions").texts() }
}

/// One function for three lists: a closure for each would be three times the code.
#[inline(never)]
fn scoped_list(members: &Members<'_>, name: &'static str, id: &'static str) -> Vec<(String, String)> {
    list(members, name, |place| {
        let members = place.members(&["issuer", id]);
        (members.required("issuer").text(), members.required(id).text())
    })
}
