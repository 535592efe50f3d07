//! CapiscIO's credentials from recipes.

use super::credential::key;
use portcullis_core::capiscio::{BadgeDraft, BadgeIssuer, Level, did_of_key, sign_request};
use portcullis_core::json::{Limits, Object, parse};
use portcullis_core::{UnixTime, sha256};
use serde::Deserialize;

/// How a Trust Badge is made. Times are relative to the moment of the run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BadgeRecipe {
    /// Whose it is; the name is the seed of the key.
    pub agent: String,
    /// Who signs it; the name is the seed of its key, `https://NAME.example` its origin,
    /// `NAME-1` its key's id. Left out: the agent itself.
    pub issuer: Option<String>,
    /// Left out: the agent's `did:key`.
    pub subject: Option<String>,
    #[serde(default = "registered")]
    pub level: String,
    pub domain: Option<String>,
    #[serde(default)]
    pub audience: Vec<String>,
    /// Makes it IAL 1: a verification method, or `key` for that of the `did:key`.
    pub confirmed: Option<String>,
    /// Seconds from now.
    #[serde(default = "a_minute_ago")]
    pub issued: i64,
    /// Seconds from now.
    #[serde(default = "in_five_minutes")]
    pub expires: i64,
}

/// How a SimpleGuard signature is made.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignatureRecipe {
    /// Who signs; the name is the seed of the key.
    pub agent: String,
    /// Left out: the agent's name.
    pub kid: Option<String>,
    /// The body; left out, none is signed.
    pub body: Option<String>,
    /// Claims of the caller's own, as a JSON object.
    #[serde(default = "no_claims")]
    pub claims: String,
    /// Seconds from now.
    #[serde(default)]
    pub made: i64,
}

impl BadgeRecipe {
    /// The badge, and the parts of it that a text may name.
    pub(super) fn make(&self, name: &str, now: UnixTime) -> Badge {
        let agent = key(&self.agent);
        let did = did_of_key(&agent.public_key());
        let subject = self.subject.clone().unwrap_or_else(|| did.clone());
        let draft = BadgeDraft {
            id: uuid(name),
            audience: self.audience.clone(),
            issued_at: now.plus_millis(self.issued * 1000),
            expires_at: now.plus_millis(self.expires * 1000),
            domain: self.domain.clone(),
        };
        let (issuer, token) = match &self.issuer {
            None => (did.clone(), draft.self_sign(&agent)),
            Some(issuer) => {
                let by = BadgeIssuer {
                    origin: format!("https://{issuer}.example"),
                    key_id: format!("{issuer}-1"),
                };
                let level = Level::from_text(&self.level).expect("a level");
                let of_key = format!("{did}#{}", did.trim_start_matches("did:key:"));
                let confirmed =
                    self.confirmed.as_deref().map(|method| if method == "key" { &of_key } else { method });
                let token = draft.sign(&key(issuer), &by, &subject, &agent.public_key(), level, confirmed);
                (by.origin, token.unwrap_or_else(|| panic!("RFC-002 has no such badge as {name}")))
            }
        };
        Badge { token, id: draft.id, subject, issuer }
    }
}

/// A badge and its parts.
pub(super) struct Badge {
    pub(super) token: String,
    pub(super) id: String,
    pub(super) subject: String,
    pub(super) issuer: String,
}

impl SignatureRecipe {
    pub(super) fn make(&self, now: UnixTime) -> String {
        let limits = Limits { bytes: 1 << 14, depth: 8, values: 1 << 8 };
        let claims = parse(self.claims.as_bytes(), limits).expect("claims are JSON").into_owned();
        let claims: Object<'static> = claims.as_object().expect("claims are an object").clone();
        let kid = self.kid.as_ref().unwrap_or(&self.agent);
        let body = self.body.as_ref().map(|body| body.as_bytes());
        sign_request(&key(&self.agent), kid, claims, body, now.plus_millis(self.made * 1000))
    }
}

/// A UUID of version 4, always the same for one name.
pub(super) fn uuid(name: &str) -> String {
    let digest = sha256(name.as_bytes());
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}

fn registered() -> String {
    "1".into()
}

fn a_minute_ago() -> i64 {
    -60
}

fn in_five_minutes() -> i64 {
    300
}

fn no_claims() -> String {
    "{}".into()
}
