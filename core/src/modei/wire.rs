//! The forms in which a passport travels.

use super::passport::Form;
use crate::base64;
use crate::denial::Denial;
use crate::json::{self, Limits, Value};
use crate::jws::Compact;
use crate::reason::Reason;
use alloc::format;
use alloc::vec::Vec;
use serde::Deserialize;

/// The longest passport that is read: four times the largest that a proxy lets
/// through in headers (60 KiB), for files and APIs.
pub const MAX_WIRE_BYTES: usize = 256 * 1024;

/// Bounds for parsing a passport. A leaf with the deepest chain nests six envelopes,
/// four levels each; constraints get the rest. 32,768 values are what a text of
/// `MAX_WIRE_BYTES` holds at eight bytes a value, less than any honest one uses.
pub const LIMITS: Limits = Limits { bytes: MAX_WIRE_BYTES, depth: 64, values: 32_768 };

/// A passport as bytes, taken out of its transport, not yet parsed.
#[derive(Clone, Debug)]
pub struct SignedEnvelope {
    /// The JSON text: an envelope, or an envelope and its detached signature.
    pub(super) text: Vec<u8>,
    pub(super) seal: Seal,
}

/// Where the signature of a passport is, and what it is over.
#[derive(Clone, Debug)]
pub(super) enum Seal {
    /// In the text's member `signature`, over the canonical bytes of `passport_json`.
    Detached,
    /// A JWS: the signature over this signing input (RFC 7515 section 5.1); the text
    /// is the payload.
    Jws { signing_input: Vec<u8>, signature: [u8; 64] },
}

/// Reads the value of an `Agent-Passport` header: an RFC 9651 byte sequence,
/// `:<standard base64>:`, of the passport's JSON.
///
/// # Errors
/// `credential_malformed`.
pub fn from_header(value: &[u8]) -> Result<SignedEnvelope, Denial> {
    let encoded = core::str::from_utf8(value)
        .ok()
        .and_then(|text| text.strip_prefix(':')?.strip_suffix(':'))
        .ok_or_else(|| malformed("Agent-Passport must be a byte sequence, :<base64>:"))?;
    let text = base64::decode(encoded).ok_or_else(|| {
        malformed("Agent-Passport must hold standard base64 with padding, and nothing else")
    })?;
    Ok(from_json(text))
}

/// Takes `{"passport_json": …, "signature": "…"}`.
pub fn from_json(text: Vec<u8>) -> SignedEnvelope {
    SignedEnvelope { text, seal: Seal::Detached }
}

/// Reads a passport JWT: a compact JWS (RFC 7515 section 7.1) of `typ` `passport+jwt`
/// and `alg` `EdDSA` (RFC 8037), whose payload has the members of an envelope.
///
/// # Errors
/// `credential_malformed`, or `signature_malformed` where only the last part is at fault.
pub fn from_jwt(token: &[u8]) -> Result<SignedEnvelope, Denial> {
    let compact = Compact::split(token).ok_or_else(|| malformed("a JWT must have three parts"))?;
    let Compact { signing_input, header, payload, .. } = compact;
    if header.len() > MAX_JWT_HEADER {
        return Err(malformed("the JWT's header must have at most 1024 characters"));
    }
    let header = base64::decode_url(header).ok_or_else(|| malformed("the JWT's header must be base64url"))?;
    let header = JoseHeader::read(&header).ok_or_else(|| {
        malformed(
            "the JWT's header must hold alg and typ, at most kid beside them, each once, without escapes or control characters",
        )
    })?;
    if header.alg != "EdDSA" || header.typ != JWT_TYPE {
        return Err(malformed("the JWT must be of alg EdDSA and typ passport+jwt"));
    }
    let text = base64::decode_url(payload).ok_or_else(|| malformed("the JWT's payload must be base64url"))?;
    let signature = compact.signature().ok_or_else(|| {
        Denial::new(Reason::SignatureMalformed, "the JWT's signature must be the base64url of 64 bytes")
    })?;
    Ok(SignedEnvelope {
        text,
        seal: Seal::Jws { signing_input: signing_input.as_bytes().to_vec(), signature },
    })
}

/// Whether a bearer token claims to be a passport JWT. Any other token is not ours to
/// judge. Lenient where [`from_jwt`] is strict: that a header names the type anywhere is
/// claim enough, and what only looks like one is then refused.
pub fn is_jwt(token: &[u8]) -> bool {
    let header = token.split(|byte| *byte == b'.').next().filter(|header| header.len() <= MAX_JWT_HEADER);
    let header = header.and_then(|header| core::str::from_utf8(header).ok());
    let Some(header) = header.and_then(|header| base64::decode_url(header.trim_end_matches('='))) else {
        return false;
    };
    header.windows(JWT_TYPE.len()).any(|window| window.eq_ignore_ascii_case(JWT_TYPE.as_bytes()))
}

impl SignedEnvelope {
    pub(super) fn form(&self) -> Form {
        match self.seal {
            Seal::Detached => Form::Envelope,
            Seal::Jws { .. } => Form::Jwt,
        }
    }

    /// # Errors
    /// `invalid_envelope_shape` for what is not strict JSON.
    pub(super) fn parse(&self) -> Result<Value<'_>, Denial> {
        json::parse(&self.text, LIMITS).map_err(|error| {
            Denial::new(Reason::InvalidEnvelopeShape, format!("the passport is unreadable: {error}"))
        })
    }
}

const JWT_TYPE: &str = "passport+jwt";

/// In characters of base64url. Ours has at most three short members.
const MAX_JWT_HEADER: usize = 1024;

/// A JOSE header (RFC 7515 section 4). Parameters beside these are refused, `crit`
/// with them: a gate must not pass over what a signer meant to be obeyed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JoseHeader<'a> {
    alg: &'a str,
    typ: &'a str,
    #[serde(default, rename = "kid")]
    _kid: Option<&'a str>,
}

impl<'a> JoseHeader<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        // serde_json_core takes these in strings for what they are, others do not.
        if bytes.iter().any(|byte| *byte < b' ' || *byte == b'\\') {
            return None;
        }
        let (header, used) = serde_json_core::from_slice(bytes).ok()?;
        (used == bytes.len()).then_some(header)
    }
}

fn malformed(detail: &'static str) -> Denial {
    Denial::new(Reason::CredentialMalformed, detail)
}
