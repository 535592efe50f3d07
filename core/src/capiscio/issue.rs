//! Making badges and SimpleGuard signatures.

use super::did::{did_of_key, is_did, method_of_key};
use super::level::{Ial, Level};
use crate::base64;
use crate::ed25519::{SecretKey, sha256};
use crate::json::{Object, Value, canonical_text};
use crate::time::UnixTime;
use alloc::string::String;
use alloc::vec::Vec;

/// What a badge is to say, apart from who issues it.
#[derive(Clone, Debug)]
pub struct BadgeDraft {
    /// `jti`, a UUID of version 4.
    pub id: String,
    /// For whom; empty is anyone.
    pub audience: Vec<String>,
    /// `iat`, in whole seconds.
    pub issued_at: UnixTime,
    /// `exp`, in whole seconds.
    pub expires_at: UnixTime,
    /// The agent's domain.
    pub domain: Option<String>,
}

/// An issuer that signs badges for others.
#[derive(Clone, Debug)]
pub struct BadgeIssuer {
    /// Its HTTPS origin.
    pub origin: String,
    /// The `kid` of its key.
    pub key_id: String,
}

impl BadgeDraft {
    /// A badge of level 0, which the agent signs for itself (RFC-002 section 13.1).
    pub fn self_sign(&self, key: &SecretKey) -> String {
        let public_key = key.public_key();
        let did = did_of_key(&public_key);
        let claims = self.claims(&did, &did, &public_key, Level::SelfSigned, None);
        jws(key, &method_of_key(&public_key), claims)
    }

    /// A badge of level 1 to 4 about the agent `subject`, whose key is `agent_key`.
    /// `confirmed` is the verification method of the subject's DID document by which the
    /// agent has proved to hold the key; without one the badge is of IAL 0.
    ///
    /// `None` where RFC-002 has no such badge: level 0, a subject that is no DID, no
    /// domain from level 2 on, a method of another subject.
    pub fn sign(
        &self,
        key: &SecretKey,
        by: &BadgeIssuer,
        subject: &str,
        agent_key: &[u8; 32],
        level: Level,
        confirmed: Option<&str>,
    ) -> Option<String> {
        let is_of_subject =
            |method: &str| method.strip_prefix(subject).is_some_and(|fragment| fragment.starts_with('#'));
        let is_possible = level != Level::SelfSigned
            && super::badge::is_https_origin(&by.origin)
            && is_did(subject)
            && (self.domain.is_some() || level < Level::DomainValidated)
            && confirmed.is_none_or(is_of_subject);
        let claims = || self.claims(&by.origin, subject, agent_key, level, confirmed);
        is_possible.then(|| jws(key, &by.key_id, claims()))
    }

    fn claims(
        &self,
        issuer: &str,
        subject: &str,
        agent_key: &[u8; 32],
        level: Level,
        confirmed: Option<&str>,
    ) -> Object<'static> {
        let mut about = Object::from([("level", text(level.text()))]);
        if let Some(domain) = &self.domain {
            about.set("domain", text(domain));
        }
        let types = ["VerifiableCredential", "AgentIdentity"].map(text);
        let ial = if confirmed.is_some() { Ial::ProofOfPossession } else { Ial::AccountAttested };
        let mut claims = Object::from([
            ("jti", text(&self.id)),
            ("iss", text(issuer)),
            ("sub", text(subject)),
            ("iat", seconds(self.issued_at)),
            ("exp", seconds(self.expires_at)),
            ("ial", text(ial.text())),
            ("key", jwk(agent_key).into()),
            (
                "vc",
                Object::from([("type", Value::Array(types.into())), ("credentialSubject", about.into())])
                    .into(),
            ),
        ]);
        if let Some(method) = confirmed {
            claims.set("cnf", Object::from([("kid", text(method))]).into());
        }
        if !self.audience.is_empty() {
            claims.set("aud", Value::Array(self.audience.iter().map(|name| text(name)).collect()));
        }
        claims
    }
}

/// Signs a request as SimpleGuard's pure Python dialect does: the caller's `claims`, the
/// times, and the digest of the body, if there is one. The result is the value of
/// `X-Capiscio-JWS`.
pub fn sign_request(
    key: &SecretKey,
    key_id: &str,
    claims: Object<'static>,
    body: Option<&[u8]>,
    now: UnixTime,
) -> String {
    let mut claims = claims;
    claims.set("iat", seconds(now));
    claims.set("exp", seconds(now.plus_millis(60_000)));
    if let Some(body) = body {
        claims.set("bh", text(&base64::encode_url(&sha256(body))));
    }
    jws(key, key_id, claims)
}

fn jws(key: &SecretKey, key_id: &str, claims: Object<'static>) -> String {
    let header = Object::from([("alg", text("EdDSA")), ("kid", text(key_id)), ("typ", text("JWT"))]);
    sign_jws(key, header, claims)
}

/// A compact JWS over a header and claims.
pub(super) fn sign_jws(key: &SecretKey, header: Object<'static>, claims: Object<'static>) -> String {
    let encoded = |object: Object<'static>| base64::encode_url(canonical_text(&object.into()).as_bytes());
    let signing_input = [encoded(header), encoded(claims)].join(".");
    let signature = base64::encode_url(&key.sign(signing_input.as_bytes()));
    [signing_input, signature].join(".")
}

fn jwk(key: &[u8; 32]) -> Object<'static> {
    Object::from([("crv", text("Ed25519")), ("kty", text("OKP")), ("x", text(&base64::encode_url(key)))])
}

fn text(text: &str) -> Value<'static> {
    Value::from(text).into_owned()
}

fn seconds(time: UnixTime) -> Value<'static> {
    Value::integer(time.as_millis().div_euclid(1000))
}
