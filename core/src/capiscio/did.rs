//! Decentralized identifiers: `did:key` of Ed25519 keys, which are their own documents,
//! and the documents of `did:web`.

use super::jwk::key_of_jwk;
use crate::json::{self, Limits, Object, Value};
use crate::jws::check_case;
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

/// The `did:key` of an Ed25519 key: `did:key:z` and the base58btc of 0xed 0x01 and the 32
/// bytes (RFC-002 section 6.1).
pub fn did_of_key(key: &[u8; 32]) -> String {
    [DID_KEY, &multibase(key)].concat()
}

/// The Ed25519 key that a `did:key` is made of; `None` for every other DID, and for
/// other encodings of the same key.
pub fn key_of_did(did: &str) -> Option<[u8; 32]> {
    key_of_multibase(did.strip_prefix(DID_KEY)?)
}

/// The DID URL of the one verification method of a `did:key`.
pub(super) fn method_of_key(key: &[u8; 32]) -> String {
    [DID_KEY, &multibase(key), "#", &multibase(key)].concat()
}

/// Whether a DID URL is that of the one verification method of this `did:key`.
pub(super) fn is_method_of_key(method: &str, did: &str) -> bool {
    let fragment = method.strip_prefix(did).and_then(|rest| rest.strip_prefix('#'));
    fragment.is_some() && fragment == did.strip_prefix(DID_KEY)
}

/// Whether `text` has the form of a DID (W3C DID Core section 3.1): `did:`, a method, and
/// an identifier, which for `did:key` must be that of an Ed25519 key and for `did:web`
/// begin with a host.
pub fn is_did(text: &str) -> bool {
    let Some((method, id)) = text.strip_prefix("did:").and_then(|rest| rest.split_once(':')) else {
        return false;
    };
    let is_id_byte = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte);
    // 256 as for every other id at a gate.
    let is_plain = text.len() <= 256
        && !method.is_empty()
        && method.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        && id.bytes().all(is_id_byte)
        && id.split(':').all(|segment| !segment.is_empty());
    is_plain && (method != "key" || key_of_did(text).is_some())
}

/// The verification methods of a DID document that have Ed25519 keys.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DidDocument {
    /// The DID.
    pub id: String,
    /// The DID URLs of its verification methods, and their keys.
    pub keys: Vec<(String, [u8; 32])>,
    /// The DID URLs of the verification methods by which the subject authenticates itself:
    /// those that RFC-003 takes proofs by.
    pub authentication: Vec<String>,
}

impl DidDocument {
    /// Reads a DID document (RFC-002 sections 6.3 and 7.2.7). Verification methods of
    /// other key types are passed over.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        // RFC-003 lets a document have 64 KiB.
        const LIMITS: Limits = Limits { bytes: 64 * 1024, depth: 16, values: 8192 };
        let document = json::parse(bytes, LIMITS).map_err(|_| "it is not strict JSON")?;
        let document = document.as_object().ok_or("it is no object")?;
        check_case(document, &["authentication", "id", "verificationMethod"])?;
        let id = document.get("id").and_then(Value::as_str).filter(|id| is_did(id)).ok_or("id is no DID")?;
        let methods = document
            .get("verificationMethod")
            .and_then(Value::as_array)
            .ok_or("verificationMethod is no array")?;
        let mut keys = Vec::new();
        for method in methods {
            let method = method.as_object().ok_or("a verification method is no object")?;
            check_case(method, &["id", "publicKeyJwk", "publicKeyMultibase"])?;
            let name = method.get("id").and_then(Value::as_str).ok_or("a verification method has no id")?;
            let name = absolute(id, name);
            let fragment = name.strip_prefix(id).and_then(|rest| rest.strip_prefix('#'));
            if fragment.is_none_or(str::is_empty) {
                return Err("a verification method's id is not a fragment of the document's");
            }
            if keys.iter().any(|(known, _)| *known == name) {
                return Err("two verification methods have one id");
            }
            if let Some(key) = key_of_method(method)? {
                keys.push((name, key));
            }
        }
        Ok(DidDocument { id: id.to_owned(), keys, authentication: authentication(document, id)? })
    }
}

/// Both forms of DID Core section 5.3.1: a reference, and a method that stands there.
fn authentication(document: &Object<'_>, id: &str) -> Result<Vec<String>, &'static str> {
    let Some(listed) = document.get("authentication") else { return Ok(Vec::new()) };
    let name = |method: &Value<'_>| {
        let embedded = method.as_object().and_then(|method| method.get("id"));
        let name =
            embedded.unwrap_or(method).as_str().ok_or("authentication names no verification method")?;
        Ok(absolute(id, name))
    };
    listed.as_array().ok_or("authentication is no array")?.iter().map(name).collect()
}

/// A relative DID URL is one of its document (DID Core section 3.2.2).
fn absolute(id: &str, name: &str) -> String {
    if name.starts_with('#') { [id, name].concat() } else { name.to_owned() }
}

const DID_KEY: &str = "did:key:";

/// The multicodec prefix of Ed25519 public keys.
const ED25519: [u8; 2] = [0xed, 0x01];

/// The length of `z` and the base58btc of 34 bytes that begin with 0xed: 47 digits.
const MULTIBASE_LENGTH: usize = 48;

fn multibase(key: &[u8; 32]) -> String {
    let [bytes, digits] = [[ED25519.as_slice(), key].concat(), Vec::new()];
    let mut digits = digits;
    // Cannot fail: a vector grows as it must.
    let _ = bs58::encode(bytes).onto(&mut digits);
    ["z", &String::from_utf8(digits).unwrap_or_default()].concat()
}

fn key_of_multibase(text: &str) -> Option<[u8; 32]> {
    // Base58 costs the square of its length.
    let digits = text.strip_prefix('z').filter(|_| text.len() == MULTIBASE_LENGTH)?;
    let mut bytes = [0; 34];
    let length = bs58::decode(digits).onto(&mut bytes).ok()?;
    let [first, second, key @ ..] = bytes;
    (length == 34 && [first, second] == ED25519).then_some(key)
}

fn key_of_method(method: &Object<'_>) -> Result<Option<[u8; 32]>, &'static str> {
    match (method.get("publicKeyMultibase"), method.get("publicKeyJwk")) {
        (Some(_), Some(_)) => Err("a verification method has two keys"),
        (Some(multibase), None) => Ok(multibase.as_str().and_then(key_of_multibase)),
        (None, Some(jwk)) => Ok(jwk.as_object().and_then(key_of_jwk)),
        (None, None) => Ok(None),
    }
}
