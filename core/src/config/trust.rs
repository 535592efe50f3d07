//! Trust material as it is written.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// `trust`: static trust material, as `portcullis bundle` writes it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TrustConfig {
    /// The issuers whose passports are admitted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub issuers: Vec<IssuerConfig>,
    /// What passports may do that agents sign for themselves. Left out: refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub self_issued: Option<SelfIssuedConfig>,
    /// The issuers whose Trust Badges are admitted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub badge_issuers: Vec<BadgeIssuerConfig>,
    /// What agents may do whose Trust Badges they signed themselves (level 0), whoever
    /// they are. Left out: such badges are refused, but for those of listed issuers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accept_self_signed: Option<AcceptSelfSigned>,
    /// The keys of agents that a badge may bind itself to, by their `did:web`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub did_documents: Vec<DidDocumentConfig>,
    /// The agents whose SimpleGuard signatures are admitted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub simpleguard_agents: Vec<SimpleGuardAgent>,
    /// Trust Badges that are no longer good.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revoked_badges: Vec<RevokedBadge>,
    /// Passports that are no longer good, however long they would be valid.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revoked_passports: Vec<RevokedPassport>,
    /// Agents that may not act here, whatever they present.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disabled_agents: Vec<DisabledAgent>,
}

/// One entry of `trust.issuers`.
#[derive(Clone, Debug, Serialize)]
pub struct IssuerConfig {
    /// The issuer's id, as its passports name it.
    pub id: String,
    /// What kind of issuer it is.
    #[serde(rename = "type")]
    pub kind: IssuerKind,
    /// Who vouches for it: 1 (nobody but itself), 2 (its domain is verified), 3 (certified).
    pub tier: u8,
    /// Whether it was shown that its domain is its own: L2 and L3 ask for that. Left out:
    /// false.
    #[serde(skip_serializing_if = "super::is_false")]
    pub domain_verified: bool,
    /// The actions that it may grant here: names, `namespace:*`, or `*`.
    pub actions: Vec<String>,
    /// Its keys.
    pub keys: Vec<KeyConfig>,
}

/// The types of issuer that sign for others.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IssuerKind {
    /// A gate.
    Gate,
    /// A platform's managed issuer.
    Platform,
}

/// One key of an issuer.
#[derive(Clone, Debug, Serialize)]
pub struct KeyConfig {
    /// The key's id, as passports name it.
    pub key_id: String,
    /// Standard base64 of the 32 bytes of the Ed25519 key.
    pub public_key: String,
    /// The first moment at which the gate uses it, as RFC 3339 in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// The moment from which the gate no longer uses it, as RFC 3339 in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
}

/// `trust.self_issued`.
#[derive(Clone, Debug, Serialize)]
pub struct SelfIssuedConfig {
    /// The actions that such passports may grant: names, `namespace:*`, or `*`.
    pub actions: Vec<String>,
}

/// One entry of `trust.revoked_passports`.
#[derive(Clone, Debug, Serialize)]
pub struct RevokedPassport {
    /// The issuer at the root of the passport: passport ids are unique within it.
    pub issuer: String,
    /// The passport's id. Whatever was delegated from it is revoked too.
    pub passport_id: String,
}

/// One entry of `trust.disabled_agents`.
#[derive(Clone, Debug, Serialize)]
pub struct DisabledAgent {
    /// The issuer at the root of the agent's passports: agent ids are unique within it.
    pub issuer: String,
    /// The agent's id. Whatever it delegated is refused too.
    pub agent_id: String,
}

/// One entry of `trust.badge_issuers`.
#[derive(Clone, Debug, Serialize)]
pub struct BadgeIssuerConfig {
    /// The `iss` of its badges: an HTTPS origin; or the `did:key` of one agent whose
    /// self-signed badges are admitted.
    pub id: String,
    /// Who vouches for it, as for issuers of passports; a `did:key` is of tier 1.
    pub tier: u8,
    /// The actions that holders of its badges may have here: names, `namespace:*`, or `*`.
    pub actions: Vec<String>,
    /// Its keys, by `kid`. None for a `did:key`, which is its own key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<KeyConfig>,
    /// The lowest trust level, `"0"` to `"4"`, that its badges may have. Left out: what
    /// the gate's profile asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum_level: Option<String>,
    /// Where its badges may depart from RFC-002.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub compatibility: Vec<Compatibility>,
    /// When the lists of its revoked badges and disabled agents were last known to be
    /// complete, as RFC 3339 in UTC. Badges of levels 2 to 4 are refused once that is
    /// more than 300 s ago (RFC-002 section 7.5). Left out: the lists are the operator's
    /// own, and as good as the gate's configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revocations_synced_at: Option<String>,
}

/// One departure from RFC-002 that real tools are known for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Compatibility {
    /// The protected header has no `typ`.
    MissingTyp,
    /// The protected header has no `kid`; at most five of the issuer's keys are tried.
    MissingKid,
    /// `ial` is the empty string, and means `"0"`.
    EmptyIal,
}

impl Compatibility {
    /// All of them, by the names that they are written with.
    pub const ALL: [(&'static str, Compatibility); 3] = [
        ("empty_ial", Compatibility::EmptyIal),
        ("missing_kid", Compatibility::MissingKid),
        ("missing_typ", Compatibility::MissingTyp),
    ];

    /// What a gate finds wrong with a badge that departs so.
    pub(crate) fn problem(self) -> &'static str {
        match self {
            Compatibility::EmptyIal => "ial is empty",
            Compatibility::MissingKid => "the protected header has no kid",
            Compatibility::MissingTyp => "the protected header has no typ",
        }
    }
}

/// `trust.accept_self_signed`.
#[derive(Clone, Debug, Serialize)]
pub struct AcceptSelfSigned {
    /// The actions that such agents may have: names, `namespace:*`, or `*`.
    pub actions: Vec<String>,
    /// Where their badges may depart from RFC-002.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub compatibility: Vec<Compatibility>,
}

/// One entry of `trust.did_documents`: of an agent's DID document, what a gate needs.
#[derive(Clone, Debug, Serialize)]
pub struct DidDocumentConfig {
    /// The agent's DID, a `did:web`.
    pub id: String,
    /// Its verification methods, by their DID URLs.
    pub keys: Vec<KeyConfig>,
}

/// One entry of `trust.simpleguard_agents`: `trusted/{kid}.pem` of a trust store.
#[derive(Clone, Debug, Serialize)]
pub struct SimpleGuardAgent {
    /// The key, and the `kid` that is the agent's identity here.
    #[serde(flatten)]
    pub key: KeyConfig,
    /// The actions that the agent may have: names, `namespace:*`, or `*`.
    pub actions: Vec<String>,
}

/// One entry of `trust.revoked_badges`.
#[derive(Clone, Debug, Serialize)]
pub struct RevokedBadge {
    /// The issuer: badge ids are unique within it.
    pub issuer: String,
    /// The badge's id.
    pub jti: String,
}
