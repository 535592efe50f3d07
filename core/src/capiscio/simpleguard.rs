//! SimpleGuard: a JWS in which an agent signs the digest of a request's body.
//!
//! Three dialects exist. That of the pure Python SDK (0.3) is in `X-Capiscio-JWS` and
//! carries whatever claims the caller gave; that of later SDKs is in `X-Capiscio-Badge`,
//! names `iss` in its header and has no claims but times and `bh`; that of the Go package
//! is there too, with `sub`, `iss` and `jti`. What they have in common is what is judged.

use super::badge::time;
use crate::base64;
use crate::denial::Denial;
use crate::ed25519::{PublicKey, sha256};
use crate::json::{self, Limits, Value};
use crate::jws::{Compact, Decoded, Header, check_case};
use crate::reason::Reason;
use crate::time::{CLOCK_SKEW_MS, UnixTime};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// A SimpleGuard JWS that has been read and not yet verified.
#[derive(Clone, Copy, Debug)]
struct Unverified<'t> {
    compact: Compact<'t>,
    issued_at: UnixTime,
    expires_at: UnixTime,
    body_hash: Option<[u8; 32]>,
}

/// A SimpleGuard JWS whose signature is right. What it is worth is another matter:
/// whether its body is the one that it signs, and whether it comes for the first time.
#[derive(Clone, Debug)]
pub struct RequestSignature {
    issued_at: UnixTime,
    expires_at: UnixTime,
    body_hash: Option<[u8; 32]>,
    digest: [u8; 32],
}

/// Whether a token in `X-Capiscio-Badge` is a SimpleGuard JWS and no badge: its claims
/// can be read and have neither `vc` nor `ial`. Judged by the text; what only looks like
/// one of the two is then refused as that.
pub fn is_request_signature(token: &[u8]) -> bool {
    payload(token).is_some_and(|payload| !names_claims_of_badge(&payload))
}

/// Whether the payload of a JWS names `vc` or `ial`.
pub(crate) fn claims_to_be_badge(token: &[u8]) -> bool {
    payload(token).is_some_and(|payload| names_claims_of_badge(&payload))
}

fn names_claims_of_badge(payload: &[u8]) -> bool {
    let names = |name: &[u8]| payload.windows(name.len()).any(|window| window.eq_ignore_ascii_case(name));
    names(b"\"ial\"") || names(b"\"vc\"")
}

/// The payload of a JWS, read leniently: what is claimed is claimed with padding too.
fn payload(token: &[u8]) -> Option<Vec<u8>> {
    let payload =
        token.split(|byte| *byte == b'.').nth(1).filter(|payload| payload.len() <= MAX_TOKEN_BYTES)?;
    base64::decode_url(core::str::from_utf8(payload).ok()?.trim_end_matches('='))
}

/// The key id that a SimpleGuard JWS names, unverified.
///
/// # Errors
/// `simpleguard_malformed`.
pub fn key_id(token: &[u8]) -> Result<String, Denial> {
    let compact = split(token)?;
    let header =
        base64::decode_url(compact.header).ok_or_else(|| malformed("its header is not base64url"))?;
    let header = Header::read(&header).map_err(malformed)?;
    if header.typ.as_deref() != Some("JWT") {
        return Err(malformed("typ is not JWT"));
    }
    header.kid.ok_or_else(|| malformed("it has no kid"))
}

/// Verifies that `key` made this JWS and that now is in its time.
///
/// # Errors
/// `simpleguard_malformed`, `simpleguard_signature_invalid`, `simpleguard_expired`,
/// `simpleguard_not_yet_valid`.
pub fn verify(token: &[u8], key: &PublicKey, now: UnixTime) -> Result<RequestSignature, Denial> {
    let unverified = Unverified::read(token)?;
    let Unverified { compact, issued_at, expires_at, body_hash } = unverified;
    if !compact.is_signed_by(key) {
        let detail = "the signature is not one by the key that kid names";
        return Err(Denial::new(Reason::SimpleguardSignatureInvalid, detail));
    }
    let signature = RequestSignature {
        issued_at,
        expires_at,
        body_hash,
        digest: sha256(compact.signing_input.as_bytes()),
    };
    signature.check_window(now)?;
    Ok(signature)
}

impl RequestSignature {
    /// When it was made, to the second.
    pub fn issued_at(&self) -> UnixTime {
        self.issued_at
    }

    /// Until when it is good.
    pub fn expires_at(&self) -> UnixTime {
        self.expires_at
    }

    /// The SHA-256 of the body that it signs, if it signs one.
    pub fn body_hash(&self) -> Option<&[u8; 32]> {
        self.body_hash.as_ref()
    }

    /// The SHA-256 of what is signed: the same for equal requests in one second.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The last moment at which it could pass.
    pub(crate) fn last_moment(&self) -> UnixTime {
        self.expires_at.plus_millis(CLOCK_SKEW_MS)
    }

    /// # Errors
    /// `simpleguard_expired` or `simpleguard_not_yet_valid`.
    pub(crate) fn check_window(&self, now: UnixTime) -> Result<(), Denial> {
        if self.last_moment() <= now {
            let detail = format!("it was valid until {}, and now is {now}", self.expires_at);
            return Err(Denial::new(Reason::SimpleguardExpired, detail));
        }
        if self.issued_at > now.plus_millis(CLOCK_SKEW_MS) {
            let detail = format!("it was made at {}, and now is {now}", self.issued_at);
            return Err(Denial::new(Reason::SimpleguardNotYetValid, detail));
        }
        Ok(())
    }

    /// Judges the body that came with it. A body that is not signed is refused, although
    /// two of the dialects let it pass: anyone on the way could have put it there.
    ///
    /// # Errors
    /// `body_not_signed` or `body_digest_mismatch`.
    pub fn check_body(&self, length: u64, hash: &[u8; 32]) -> Result<(), Denial> {
        match self.body_hash {
            None if length == 0 => Ok(()),
            None => Err(unsigned_body()),
            Some(signed) if signed == *hash => Ok(()),
            Some(_) => Err(Denial::new(Reason::BodyDigestMismatch, "bh is not the digest of the body")),
        }
    }
}

pub(crate) fn unsigned_body() -> Denial {
    Denial::new(Reason::BodyNotSigned, "the request has a body, and its signature no bh")
}

/// Badges have some 700 bytes, SimpleGuard tokens 300 and the caller's claims; the
/// headers of a request have 60 KiB in all.
pub(crate) const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// What all dialects write as the time from `iat` to `exp`. It bounds how long a
/// signature must be remembered.
const MAX_LIFE_MS: i64 = 60_000;

/// The pure Python dialect signs whatever JSON its caller gives it.
const LIMITS: Limits = Limits { bytes: MAX_TOKEN_BYTES, depth: 32, values: 2048 };

impl<'t> Unverified<'t> {
    fn read(token: &'t [u8]) -> Result<Self, Denial> {
        let compact = split(token)?;
        let decoded = Decoded::of(&compact).ok_or_else(|| malformed("a part of it is not base64url"))?;
        let claims = json::parse(&decoded.payload, LIMITS).map_err(|error| {
            Denial::new(Reason::SimpleguardMalformed, format!("its claims are unreadable: {error}"))
        })?;
        let claims = claims.as_object().ok_or_else(|| malformed("its claims are no object"))?;
        check_case(claims, &["bh", "exp", "iat", "ial", "vc"]).map_err(malformed)?;
        if ["ial", "vc"].iter().any(|name| claims.get(name).is_some()) {
            return Err(malformed("it has the claims of a badge"));
        }
        let time = |name: &'static str, missing| time(claims, name).and_then(|time| time.ok_or(missing));
        let issued_at = time("iat", "iat is missing").map_err(malformed)?;
        let expires_at = time("exp", "exp is missing").map_err(malformed)?;
        let life = expires_at.as_millis().saturating_sub(issued_at.as_millis());
        if !(0..=MAX_LIFE_MS).contains(&life) {
            return Err(malformed("exp is not within 60 s after iat"));
        }
        let body_hash = match claims.get("bh").map(Value::as_str) {
            None => None,
            Some(text) => {
                let hash = text.and_then(base64::decode_url).and_then(|hash| hash.try_into().ok());
                Some(hash.ok_or_else(|| malformed("bh is not the base64url of 32 bytes"))?)
            }
        };
        Ok(Unverified { compact, issued_at, expires_at, body_hash })
    }
}

fn split(token: &[u8]) -> Result<Compact<'_>, Denial> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(malformed("it is longer than 16 KiB"));
    }
    Compact::split(token).ok_or_else(|| malformed("it is no compact JWS"))
}

fn malformed(problem: &'static str) -> Denial {
    Denial::new(Reason::SimpleguardMalformed, problem)
}
