//! The order of checks for a Trust Badge.

use super::badge::{Badge, Claims, IssuerKey};
use super::did::{is_method_of_key, key_of_did};
use super::level::Level;
use super::simpleguard::MAX_TOKEN_BYTES;
use crate::denial::Denial;
use crate::ed25519::PublicKey;
use crate::json::{self, Limits};
use crate::jws::{Compact, Decoded, Header};
use crate::live::LiveView;
use crate::reason::Reason;
use crate::time::{CLOCK_SKEW_MS, UnixTime};
use crate::trust::{BadgeIssuer, Trust};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

/// Verifies a Trust Badge: RFC-002 section 8.1, steps 1 to 5. Parsing, the claims' shape,
/// the issuer before any of its keys, the issuer's limits for levels, the signature. The
/// first failure is the answer.
///
/// Steps 6 to 9 depend on time and trust material; they are [`check_standing`].
///
/// # Errors
/// `BADGE_MALFORMED`, `BADGE_CLAIMS_INVALID`, `BADGE_ISSUER_UNTRUSTED`,
/// `badge_level_insufficient`, `trust_tier_insufficient`, `BADGE_SIGNATURE_INVALID`.
pub fn verify(token: &[u8], trust: &Trust, now: UnixTime) -> Result<Badge, Denial> {
    // Steps 1 and 2.
    let malformed = |problem| Denial::new(Reason::BadgeMalformed, problem);
    if token.len() > MAX_TOKEN_BYTES {
        return Err(malformed("the badge is longer than 16 KiB"));
    }
    let compact = Compact::split(token).ok_or_else(|| malformed("the badge is no compact JWS"))?;
    let decoded = Decoded::of(&compact).ok_or_else(|| malformed("a part of the badge is not base64url"))?;
    if compact.signature().is_none() {
        return Err(malformed("the badge's signature is not the base64url of 64 bytes"));
    }
    let header = Header::read(&decoded.header).map_err(malformed)?;
    let payload = json::parse(&decoded.payload, LIMITS).map_err(|error| {
        Denial::new(Reason::BadgeMalformed, format!("the claims are unreadable: {error}"))
    })?;
    let payload = payload.as_object().ok_or_else(|| malformed("the claims are no object"))?;

    // Step 3.
    let claims = Claims::read(&header, payload).map_err(invalid)?;
    let issuer = trust.badge_issuer(&claims.issuer, claims.level);
    check_departures(&claims, issuer)?;

    // Step 4: no key is touched before its issuer is known to be trusted.
    let issuer = issuer.ok_or_else(|| untrusted(&claims))?;
    trust.check_badge_level(issuer, claims.level, claims.ial)?;

    // Step 5.
    let signer = signer(&compact, &header, &claims, issuer, now).ok_or_else(|| {
        Denial::new(Reason::BadgeSignatureInvalid, "no valid key of the issuer has made the signature")
    })?;
    Ok(Badge { claims, signer })
}

/// Judges what changes with time and trust material, and so at each use: RFC-002 section
/// 8.1, steps 6 to 9, and whether the issuer is still trusted, with this key.
///
/// # Errors
/// `BADGE_ISSUER_UNTRUSTED`, `BADGE_SIGNATURE_INVALID`, `BADGE_EXPIRED`,
/// `BADGE_NOT_YET_VALID`, `BADGE_AUDIENCE_MISMATCH`, `BADGE_CLAIMS_INVALID`,
/// `BADGE_REVOKED`, `REVOCATION_CHECK_FAILED`, `BADGE_AGENT_DISABLED`, and where the
/// issuer's limits are others than they were, what [`verify`] answers.
pub fn check_standing(
    badge: &Badge,
    trust: &Trust,
    audience: Audience<'_>,
    now: UnixTime,
) -> Result<(), Denial> {
    check_standing_with(badge, trust, None, audience, now)
}

/// The same, by live material too.
pub(crate) fn check_standing_with(
    badge: &Badge,
    trust: &Trust,
    live: Option<LiveView<'_>>,
    audience: Audience<'_>,
    now: UnixTime,
) -> Result<(), Denial> {
    let Badge { claims, signer } = badge;
    let issuer = trust.badge_issuer(&claims.issuer, claims.level);
    check_departures(claims, issuer)?;
    let issuer = issuer.ok_or_else(|| untrusted(claims))?;
    trust.check_badge_level(issuer, claims.level, claims.ial)?;
    let is_still_a_key = claims.level == Level::SelfSigned
        || issuer.key(&signer.id, now).is_some_and(|key| *key.as_bytes() == signer.key);
    if !is_still_a_key {
        return Err(Denial::new(Reason::BadgeSignatureInvalid, "its key is no longer one of the issuer's"));
    }
    check_window(claims, now)?;
    check_audience(claims, audience)?;
    check_binding(claims, trust, now)?;
    trust.check_badge_revocation(issuer, badge, live, now)
}

/// Whom a badge may be for, where it says so.
#[derive(Clone, Copy, Debug)]
pub enum Audience<'a> {
    /// Whoever judges it does not know its own name.
    Unchecked,
    /// One of these must be in `aud`.
    OneOf(&'a [String]),
}

/// A registry's badges have some 600 bytes and 30 values; unknown members may come on top.
const LIMITS: Limits = Limits { bytes: MAX_TOKEN_BYTES, depth: 16, values: 1024 };

/// RFC-002 section 11: verifications of one badge that names no key.
const MAX_TRIALS: usize = 5;

/// RFC-002 section 8.1, step 3, where the issuer may depart from it. Of an issuer that
/// nobody trusts nothing is allowed, and the shape is judged before the issuer.
fn check_departures(claims: &Claims, issuer: Option<&BadgeIssuer>) -> Result<(), Denial> {
    let is_allowed = |departure| issuer.is_some_and(|issuer| issuer.allows(departure));
    match claims.departures.iter().find(|departure| !is_allowed(**departure)) {
        None => Ok(()),
        Some(departure) => Err(invalid(departure.problem())),
    }
}

fn signer(
    compact: &Compact<'_>,
    header: &Header,
    claims: &Claims,
    issuer: &BadgeIssuer,
    now: UnixTime,
) -> Option<IssuerKey> {
    if claims.level == Level::SelfSigned {
        let key = PublicKey::from_bytes(&claims.key)?;
        let signer = IssuerKey { id: claims.issuer.clone(), key: claims.key };
        return compact.is_signed_by(&key).then_some(signer);
    }
    let signed = |(id, key): &(&str, &PublicKey)| {
        compact.is_signed_by(key).then(|| ((*id).to_owned(), *key.as_bytes()))
    };
    let (id, key) = match header.kid.as_deref() {
        Some(kid) => signed(&(kid, issuer.key(kid, now)?))?,
        None => issuer.keys_at(now).take(MAX_TRIALS).find_map(|key| signed(&key))?,
    };
    Some(IssuerKey { id, key })
}

/// RFC-002 section 8.1, step 6 a to c.
fn check_window(claims: &Claims, now: UnixTime) -> Result<(), Denial> {
    if claims.expires_at.plus_millis(CLOCK_SKEW_MS) <= now {
        let detail = format!("it was valid until {}, and now is {now}", claims.expires_at);
        return Err(Denial::new(Reason::BadgeExpired, detail));
    }
    let from = claims.not_before.map_or(claims.issued_at, |not_before| not_before.max(claims.issued_at));
    if from > now.plus_millis(CLOCK_SKEW_MS) {
        let detail = format!("it is valid from {from}, and now is {now}");
        return Err(Denial::new(Reason::BadgeNotYetValid, detail));
    }
    Ok(())
}

/// RFC-002 section 8.3.
fn check_audience(claims: &Claims, audience: Audience<'_>) -> Result<(), Denial> {
    match (&claims.audience, audience) {
        (Some(named), Audience::OneOf(own)) if !named.iter().any(|name| own.contains(name)) => {
            Err(Denial::new(Reason::BadgeAudienceMismatch, "aud names none of this gate's audiences"))
        }
        _ => Ok(()),
    }
}

/// RFC-002 section 8.1, step 7: what the issuer says to have proved must be what the
/// agent's DID document says.
fn check_binding(claims: &Claims, trust: &Trust, now: UnixTime) -> Result<(), Denial> {
    let Some(method) = &claims.confirmed else { return Ok(()) };
    // Only methods of the subject's own document are looked at.
    let bound = match key_of_did(&claims.subject) {
        Some(key) => Some(key).filter(|_| is_method_of_key(method, &claims.subject)),
        None => trust.did_key(&claims.subject, method, now),
    };
    match bound {
        Some(key) if key == claims.key => Ok(()),
        Some(_) => Err(invalid("cnf.kid names another key than the badge's")),
        None => Err(invalid("cnf.kid is in no DID document that this gate has")),
    }
}

fn untrusted(claims: &Claims) -> Denial {
    let detail = if claims.level == Level::SelfSigned {
        "the badge is self-signed, and its agent is not one of those that are trusted"
    } else {
        "iss is not an issuer of badges that this gate trusts"
    };
    Denial::new(Reason::BadgeIssuerUntrusted, detail)
}

fn invalid(problem: &'static str) -> Denial {
    Denial::new(Reason::BadgeClaimsInvalid, problem)
}
