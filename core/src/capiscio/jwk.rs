//! JSON Web Keys of type OKP (RFC 7517, RFC 8037) and sets of them.

use crate::base64;
use crate::json::{self, Limits, Object, Value};
use crate::jws::check_case;
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

/// The Ed25519 key of a public JWK for signatures; `None` for any other JWK, and for one
/// that gives its private part away.
pub fn key_of_jwk(jwk: &Object<'_>) -> Option<[u8; 32]> {
    check_case(jwk, &["alg", "crv", "d", "kty", "use", "x"]).ok()?;
    let is = |name: &str, value: &str| jwk.get(name).is_some_and(|found| found.as_str() == Some(value));
    let may_be = |name: &str, value: &str| jwk.get(name).is_none() || is(name, value);
    let is_public_key = is("kty", "OKP")
        && is("crv", "Ed25519")
        && may_be("alg", "EdDSA")
        && may_be("use", "sig")
        && jwk.get("d").is_none();
    let x = jwk.get("x")?.as_str().filter(|_| is_public_key)?;
    base64::decode_url(x)?.try_into().ok()
}

/// The Ed25519 keys of a JWK set, as a registry publishes it (RFC-002 section 11).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Jwks {
    /// The keys by `kid`.
    pub keys: Vec<(String, [u8; 32])>,
}

impl Jwks {
    /// Reads a JWK set. Keys of other types are passed over.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        // As much as a DID document may have.
        const LIMITS: Limits = Limits { bytes: 64 * 1024, depth: 16, values: 8192 };
        let set = json::parse(bytes, LIMITS).map_err(|_| "it is not strict JSON")?;
        let listed = set.as_object().and_then(|set| set.get("keys")).and_then(Value::as_array);
        let mut keys: Vec<(String, [u8; 32])> = Vec::new();
        for jwk in listed.ok_or("keys is no array")? {
            let jwk = jwk.as_object().ok_or("a key is no object")?;
            let Some(key) = key_of_jwk(jwk) else { continue };
            let kid = jwk.get("kid").and_then(Value::as_str).ok_or("a key has no kid")?;
            if keys.iter().any(|(known, _)| known == kid) {
                return Err("two keys have one kid");
            }
            keys.push((kid.to_owned(), key));
        }
        if keys.is_empty() { Err("it has no Ed25519 key for signatures") } else { Ok(Jwks { keys }) }
    }
}
