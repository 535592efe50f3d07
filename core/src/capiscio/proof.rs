//! Proofs of possession (RFC-003 section 6): a JWS in which an agent answers a registry's
//! challenge, and so shows that it holds a key of its DID document.

use super::badge::time;
use super::did::{is_did, method_of_key};
use super::simpleguard::MAX_TOKEN_BYTES;
use crate::ed25519::{PublicKey, SecretKey};
use crate::json::{self, Limits, Object, Value};
use crate::jws::{Compact, Decoded, Header, check_case};
use crate::time::UnixTime;
use alloc::borrow::ToOwned;
use alloc::string::String;

/// A proof that has been read and not yet verified: whether it answers the challenge, and
/// whose key its `kid` names, is for the registry to judge.
#[derive(Clone, Copy, Debug)]
pub struct Unverified<'t>(Compact<'t>);

/// What a proof says (RFC-003 sections 6.1 and 6.2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Proof {
    /// The DID URL of the verification method that is proved, from the header.
    pub kid: String,
    /// The challenge's id.
    pub cid: String,
    /// The challenge's nonce, as text.
    pub nonce: String,
    /// The agent's DID.
    pub sub: String,
    /// The registry's origin.
    pub aud: String,
    /// The URI of the request that the proof is for.
    pub htu: String,
    /// The method of that request.
    pub htm: String,
    /// When it was made, in whole seconds.
    pub iat: UnixTime,
    /// Until when it is good, in whole seconds.
    pub exp: UnixTime,
    /// The proof's own id.
    pub jti: String,
}

/// Why a text is no proof.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProofError {
    /// `invalid_proof`: malformed, or a claim is missing.
    Malformed(&'static str),
    /// `missing_cid`.
    MissingCid,
    /// `missing_exp`.
    MissingExp,
}

impl Proof {
    /// Reads a proof. Its signature is not judged: that is [`Unverified::is_signed_by`], with
    /// the key that `kid` names in the agent's DID document.
    ///
    /// # Errors
    /// What is malformed or missing.
    pub fn read(token: &[u8]) -> Result<(Self, Unverified<'_>), ProofError> {
        use ProofError::Malformed;
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Malformed("it is longer than 16 KiB"));
        }
        let compact = Compact::split(token).ok_or(Malformed("it is no compact JWS"))?;
        let decoded = Decoded::of(&compact).ok_or(Malformed("a part of it is not base64url"))?;
        if compact.signature().is_none() {
            return Err(Malformed("its signature is not the base64url of 64 bytes"));
        }
        let header = Header::read(&decoded.header).map_err(Malformed)?;
        if header.typ.as_deref() != Some("pop+jwt") {
            return Err(Malformed("typ is not pop+jwt"));
        }
        let kid = header.kid.filter(|kid| is_did_url(kid));
        let kid = kid.ok_or(Malformed("kid is no DID URL of a verification method"))?;
        let claims =
            json::parse(&decoded.payload, LIMITS).map_err(|_| Malformed("its claims are not strict JSON"))?;
        let claims = claims.as_object().ok_or(Malformed("its claims are no object"))?;
        check_case(claims, &CLAIMS).map_err(Malformed)?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
        let required = |name, problem| text(name).ok_or(Malformed(problem));
        let proof = Proof {
            kid,
            cid: text("cid").ok_or(ProofError::MissingCid)?,
            nonce: required("nonce", "nonce is no string")?,
            sub: required("sub", "sub is no string")?,
            aud: required("aud", "aud is no string")?,
            htu: required("htu", "htu is no string")?,
            htm: required("htm", "htm is no string")?,
            iat: time(claims, "iat").map_err(Malformed)?.ok_or(Malformed("iat is missing"))?,
            exp: time(claims, "exp").map_err(Malformed)?.ok_or(ProofError::MissingExp)?,
            jti: required("jti", "jti is no string")?,
        };
        Ok((proof, Unverified(compact)))
    }

    /// Signs it, as an agent does.
    pub fn sign(&self, key: &SecretKey) -> String {
        let text = |text: &str| Value::from(text).into_owned();
        let seconds = |time: UnixTime| Value::integer(time.as_millis().div_euclid(1000));
        let header =
            Object::from([("alg", text("EdDSA")), ("kid", text(&self.kid)), ("typ", text("pop+jwt"))]);
        let claims = Object::from([
            ("aud", text(&self.aud)),
            ("cid", text(&self.cid)),
            ("exp", seconds(self.exp)),
            ("htm", text(&self.htm)),
            ("htu", text(&self.htu)),
            ("iat", seconds(self.iat)),
            ("jti", text(&self.jti)),
            ("nonce", text(&self.nonce)),
            ("sub", text(&self.sub)),
        ]);
        super::issue::sign_jws(key, header, claims)
    }
}

impl Unverified<'_> {
    /// Whether `key` made the signature, judged strictly.
    pub fn is_signed_by(&self, key: &[u8; 32]) -> bool {
        PublicKey::from_bytes(key).is_some_and(|key| self.0.is_signed_by(&key))
    }
}

/// The DID URL of the one verification method of a `did:key`, and that method's key.
pub fn method_of_did_key(did: &str) -> Option<(String, [u8; 32])> {
    super::key_of_did(did).map(|key| (method_of_key(&key), key))
}

const CLAIMS: [&str; 9] = ["aud", "cid", "exp", "htm", "htu", "iat", "jti", "nonce", "sub"];

/// Real ones have nine claims.
const LIMITS: Limits = Limits { bytes: MAX_TOKEN_BYTES, depth: 8, values: 256 };

/// A DID, `#` and a fragment; with a query it names no method (RFC-003 section 5.2.2).
fn is_did_url(text: &str) -> bool {
    text.split_once('#').is_some_and(|(did, fragment)| {
        is_did(did)
            && !fragment.is_empty()
            && fragment.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?')
    })
}
