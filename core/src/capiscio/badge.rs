//! What a Trust Badge says (RFC-002 section 4.3), its shape checked and nothing else.

use super::did::{is_did, key_of_did};
use super::jwk::key_of_jwk;
use super::level::{Ial, Level};
use crate::config::Compatibility;
use crate::ed25519::PublicKey;
use crate::json::{Object, Value};
use crate::jws::{Header, check_case};
use crate::time::UnixTime;
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

/// A Trust Badge whose shape and signature are right. Made by
/// [`verify`](super::verify()) alone. That it is valid now and here is judged anew at each
/// use, by [`check_standing`](super::check_standing).
#[derive(Clone, Debug)]
pub struct Badge {
    pub(super) claims: Claims,
    pub(super) signer: IssuerKey,
}

/// The key that a badge was verified with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IssuerKey {
    /// Its `kid` in the trust material; for a self-signed badge the DID.
    pub id: String,
    /// Its bytes.
    pub key: [u8; 32],
}

/// The claims.
#[derive(Clone, Debug)]
pub(super) struct Claims {
    pub(super) id: String,
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) audience: Option<Vec<String>>,
    pub(super) issued_at: UnixTime,
    pub(super) expires_at: UnixTime,
    pub(super) not_before: Option<UnixTime>,
    pub(super) ial: Ial,
    /// `cnf.kid`: where `ial` is `"1"`, and only there.
    pub(super) confirmed: Option<String>,
    pub(super) key: [u8; 32],
    pub(super) level: Level,
    pub(super) domain: Option<String>,
    /// What had to be allowed for the badge to be read.
    pub(super) departures: Vec<Compatibility>,
}

impl Badge {
    /// `jti`: its id, a UUID in lower case, unique within its issuer.
    pub fn id(&self) -> &str {
        &self.claims.id
    }

    /// `iss`: an HTTPS origin, or for a self-signed badge the agent's `did:key`.
    pub fn issuer(&self) -> &str {
        &self.claims.issuer
    }

    /// `sub`: the agent's DID.
    pub fn subject(&self) -> &str {
        &self.claims.subject
    }

    /// `aud`: for whom it is; `None` is anyone.
    pub fn audience(&self) -> Option<&[String]> {
        self.claims.audience.as_deref()
    }

    /// `iat`.
    pub fn issued_at(&self) -> UnixTime {
        self.claims.issued_at
    }

    /// `exp`.
    pub fn expires_at(&self) -> UnixTime {
        self.claims.expires_at
    }

    /// `ial`.
    pub fn ial(&self) -> Ial {
        self.claims.ial
    }

    /// `key`: the agent's own Ed25519 key, which verifies what the agent signs.
    pub fn key(&self) -> &[u8; 32] {
        &self.claims.key
    }

    /// `vc.credentialSubject.level`.
    pub fn level(&self) -> Level {
        self.claims.level
    }

    /// `vc.credentialSubject.domain`, which is validated from level 2 on.
    pub fn domain(&self) -> Option<&str> {
        self.claims.domain.as_deref()
    }

    /// The key that signed it.
    pub fn signer(&self) -> &IssuerKey {
        &self.signer
    }

    /// About how many bytes it keeps in memory.
    pub(crate) fn weight(&self) -> usize {
        let Claims { id, issuer, subject, audience, confirmed, domain, .. } = &self.claims;
        let texts = [id, issuer, subject, &self.signer.id].into_iter();
        let texts = texts.chain(audience.iter().flatten()).chain(confirmed).chain(domain);
        texts
            .map(|text| text.len().saturating_add(size_of::<String>()))
            .fold(size_of::<Self>(), usize::saturating_add)
    }
}

impl Claims {
    /// Reads a badge's claims and checks their shape: RFC-002 section 8.1, step 3.
    ///
    /// # Errors
    /// What is missing or malformed, for `BADGE_CLAIMS_INVALID`.
    pub(super) fn read(header: &Header, payload: &Object<'_>) -> Result<Self, &'static str> {
        let mut departures = Vec::new();
        match header.typ.as_deref() {
            Some("JWT") => {}
            None => departures.push(Compatibility::MissingTyp),
            Some(_) => return Err("typ is not JWT"),
        }
        if header.kid.is_none() {
            departures.push(Compatibility::MissingKid);
        }
        check_case(payload, &KNOWN)?;
        let id = text(payload, "jti").filter(|id| is_uuid_v4(id)).ok_or("jti is no UUID of version 4")?;
        let issuer = text(payload, "iss").ok_or("iss is no string")?;
        let subject = text(payload, "sub").filter(|sub| is_did(sub)).ok_or("sub is no DID")?;
        let issued_at = time(payload, "iat")?.ok_or("iat is missing")?;
        let expires_at = time(payload, "exp")?.ok_or("exp is missing")?;
        let not_before = time(payload, "nbf")?;
        if expires_at <= issued_at || not_before.is_some_and(|from| from >= expires_at) {
            return Err("exp is not later than iat and nbf");
        }
        let subject_claims = credential_subject(payload)?;
        let level = text(subject_claims, "level").and_then(Level::from_text);
        let level = level.ok_or("vc.credentialSubject.level is not one of \"0\" to \"4\"")?;
        let ial = match text(payload, "ial") {
            Some("") => {
                departures.push(Compatibility::EmptyIal);
                Ial::AccountAttested
            }
            text => text.and_then(Ial::from_text).ok_or("ial is neither \"0\" nor \"1\"")?,
        };
        let key = payload.get("key").and_then(Value::as_object).and_then(key_of_jwk);
        let key = key.ok_or("key is no public JWK of Ed25519")?;
        // Under a key that verifies many messages, none is bound to the agent.
        PublicKey::from_bytes(&key).ok_or("key is no Ed25519 key of large order")?;
        let claims = Claims {
            id: id.to_ascii_lowercase(),
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            audience: audience(payload)?,
            issued_at,
            expires_at,
            not_before,
            ial,
            confirmed: confirmation(payload, ial)?,
            key,
            level,
            domain: domain(subject_claims, level)?,
            departures,
        };
        claims.check_issuer()?;
        Ok(claims)
    }

    /// RFC-002 sections 4.3.1 and 4.3.2: level 0 is signed by the agent itself and assures
    /// nothing more; all other levels are an HTTPS origin's word.
    fn check_issuer(&self) -> Result<(), &'static str> {
        if self.level != Level::SelfSigned {
            let is_origin = is_https_origin(&self.issuer);
            return if is_origin { Ok(()) } else { Err("iss is no HTTPS origin, and level is not \"0\"") };
        }
        if self.ial != Ial::AccountAttested {
            return Err("level is \"0\", and ial is not");
        }
        if self.issuer != self.subject || key_of_did(&self.subject) != Some(self.key) {
            return Err("level is \"0\", and iss, sub and key are not one did:key");
        }
        Ok(())
    }
}

/// Whether `text` is the origin of an HTTPS URL, in its one form: lower case, no
/// path, a port only where it is not 443.
pub fn is_https_origin(text: &str) -> bool {
    let Some(authority) = text.strip_prefix("https://") else { return false };
    let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    let is_port = |port: &str| {
        !port.starts_with('0')
            && port != "443"
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse::<u64>().is_ok_and(|port| port <= 65_535)
    };
    text.len() <= 256 && host.split('.').all(is_label) && port.is_none_or(is_port)
}

/// The claims that are read. No other name may be one of these in another case.
const KNOWN: [&str; 11] = ["aud", "cnf", "exp", "iat", "ial", "iss", "jti", "key", "nbf", "sub", "vc"];

fn text<'v>(object: &'v Object<'_>, name: &str) -> Option<&'v str> {
    object.get(name)?.as_str()
}

/// RFC 7519 section 2, in whole seconds.
pub(super) fn time(payload: &Object<'_>, name: &str) -> Result<Option<UnixTime>, &'static str> {
    let Some(value) = payload.get(name) else { return Ok(None) };
    let seconds = value.as_integer().filter(|seconds| *seconds >= 0);
    let seconds = seconds.ok_or("a time is not in whole seconds")?;
    Ok(Some(UnixTime::from_millis(seconds.saturating_mul(1000))))
}

fn audience(payload: &Object<'_>) -> Result<Option<Vec<String>>, &'static str> {
    const WRONG: &str = "aud is no array of strings";
    let Some(value) = payload.get("aud") else { return Ok(None) };
    let listed = value.as_array().ok_or(WRONG)?;
    let names = listed.iter().map(|name| name.as_str().map(ToOwned::to_owned).ok_or(WRONG));
    names.collect::<Result<_, _>>().map(Some)
}

/// RFC-002 section 4.3.3.
fn confirmation(payload: &Object<'_>, ial: Ial) -> Result<Option<String>, &'static str> {
    match (ial, payload.get("cnf")) {
        (Ial::AccountAttested, None) => Ok(None),
        (Ial::AccountAttested, Some(_)) => Err("ial is \"0\", and there is a cnf"),
        (Ial::ProofOfPossession, None) => Err("ial is \"1\", and there is no cnf"),
        (Ial::ProofOfPossession, Some(cnf)) => {
            let cnf = cnf.as_object().ok_or("cnf is no object")?;
            check_case(cnf, &["jkt", "jwk", "kid"])?;
            if ["jkt", "jwk"].iter().any(|name| cnf.get(name).is_some()) {
                return Err("cnf names its key otherwise than by kid");
            }
            text(cnf, "kid").map(|kid| Some(kid.to_owned())).ok_or("cnf.kid is no string")
        }
    }
}

fn credential_subject<'v>(payload: &'v Object<'v>) -> Result<&'v Object<'v>, &'static str> {
    let vc = payload.get("vc").and_then(Value::as_object).ok_or("vc is no object")?;
    check_case(vc, &["credentialSubject", "type"])?;
    let types = vc.get("type").and_then(Value::as_array).ok_or("vc.type is no array")?;
    let has = |name: &str| types.iter().any(|one| one.as_str() == Some(name));
    if !has("VerifiableCredential") || !has("AgentIdentity") {
        return Err("vc.type lacks VerifiableCredential or AgentIdentity");
    }
    let subject = vc.get("credentialSubject").and_then(Value::as_object);
    let subject = subject.ok_or("vc.credentialSubject is no object")?;
    check_case(subject, &["domain", "issuance_profile", "level"])?;
    let profile = subject.get("issuance_profile");
    if profile.is_some_and(|profile| !matches!(profile.as_str(), Some("registered" | "anonymous_dv"))) {
        return Err("vc.credentialSubject.issuance_profile is neither registered nor anonymous_dv");
    }
    Ok(subject)
}

/// RFC-002 section 4.3.4.
fn domain(subject: &Object<'_>, level: Level) -> Result<Option<String>, &'static str> {
    match subject.get("domain").map(Value::as_str) {
        Some(Some(domain)) if !domain.is_empty() => Ok(Some(domain.to_owned())),
        None if level < Level::DomainValidated => Ok(None),
        None => Err("vc.credentialSubject.domain is missing, and level is 2 or higher"),
        Some(_) => Err("vc.credentialSubject.domain is no domain"),
    }
}

/// RFC 9562 section 5.4, the hexadecimal digits in any case.
pub(crate) fn is_uuid_v4(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            14 => byte == b'4',
            19 => matches!(byte.to_ascii_lowercase(), b'8' | b'9' | b'a' | b'b'),
            _ => byte.is_ascii_hexdigit(),
        })
}
