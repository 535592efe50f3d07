//! Compact JWS (RFC 7515 section 7.1), taken apart and not yet believed.

use crate::base64;
use crate::ed25519::PublicKey;
use crate::json::{self, Limits, Object, Value};
use alloc::string::String;
use alloc::vec::Vec;

/// A JWS in its three parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compact<'t> {
    /// The first two parts with their dot: what the signature is over (section 5.1).
    pub(crate) signing_input: &'t str,
    pub(crate) header: &'t str,
    pub(crate) payload: &'t str,
    signature: &'t str,
}

impl<'t> Compact<'t> {
    /// Takes a token apart. `None` for what has not three parts or is not text; JSON
    /// serialisation (section 7.2) and white space are refused when the parts are decoded.
    pub(crate) fn split(token: &'t [u8]) -> Option<Self> {
        let token = core::str::from_utf8(token).ok()?;
        let (signing_input, signature) = token.rsplit_once('.')?;
        let (header, payload) = signing_input.split_once('.')?;
        Some(Compact { signing_input, header, payload, signature })
    }

    /// The signature, if it is one of Ed25519 (RFC 8037).
    pub(crate) fn signature(&self) -> Option<[u8; 64]> {
        base64::decode_url(self.signature)?.try_into().ok()
    }

    /// Whether the signature is one by `key`.
    pub(crate) fn is_signed_by(&self, key: &PublicKey) -> bool {
        self.signature().is_some_and(|signature| key.verify(self.signing_input.as_bytes(), &signature))
    }
}

/// The parts of a JWS as JSON texts, decoded.
#[derive(Clone, Debug)]
pub(crate) struct Decoded {
    pub(crate) header: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

impl Decoded {
    pub(crate) fn of(compact: &Compact<'_>) -> Option<Self> {
        Some(Decoded {
            header: base64::decode_url(compact.header)?,
            payload: base64::decode_url(compact.payload)?,
        })
    }
}

/// What a protected header says (section 4.1), of what matters here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Header {
    pub(crate) typ: Option<String>,
    pub(crate) kid: Option<String>,
}

impl Header {
    /// Reads the header of a JWS of `alg` `EdDSA`. Parameters that are not known are
    /// ignored (section 4), but for `crit`, which forbids that, and for known ones in
    /// another case, which some readers take for the known ones.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        // Real ones have three members of some 60 bytes each.
        const LIMITS: Limits = Limits { bytes: 1024, depth: 4, values: 32 };
        let header = json::parse(bytes, LIMITS).map_err(|_| "the protected header is not strict JSON")?;
        let header = header.as_object().ok_or("the protected header is no object")?;
        check_case(header, &["alg", "b64", "crit", "kid", "typ"])?;
        if ["b64", "crit"].iter().any(|name| header.get(name).is_some()) {
            return Err("the protected header has critical parameters, and none are known");
        }
        if header.get("alg").and_then(Value::as_str) != Some("EdDSA") {
            return Err("alg is not EdDSA");
        }
        let text = |name: &str| match header.get(name) {
            None => Ok(None),
            Some(value) => value.as_str().map(|text| Some(text.into())).ok_or("typ or kid is no string"),
        };
        Ok(Header { typ: text("typ")?, kid: text("kid")? })
    }
}

/// Refuses members that a reader who does not mind case would take for known ones.
pub(crate) fn check_case(object: &Object<'_>, known: &[&str]) -> Result<(), &'static str> {
    let is_disguised =
        |name: &str| known.iter().any(|known| name.eq_ignore_ascii_case(known) && name != *known);
    if object.iter().any(|(name, _)| is_disguised(name)) {
        return Err("a member has the name of a known one in another case");
    }
    Ok(())
}
