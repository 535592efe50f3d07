//! Digests of bodies (RFC 9530).

use super::fields::{Fault, Item, Member, Value, dictionary};
use crate::base64;
use crate::denial::Denial;
use crate::ed25519::{Hasher, sha256};
use crate::reason::Reason;
use crate::request::RequestHead;
use alloc::format;
use alloc::string::String;
use sha2::{Digest, Sha512};

/// What a `Content-Digest` says of the body. A body must fit all of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ContentDigest {
    sha256: Option<[u8; 32]>,
    sha512: Option<[u8; 64]>,
}

/// The digests of a body that comes in pieces.
#[derive(Clone, Debug)]
pub struct BodyDigest {
    sha256: Option<Hasher>,
    sha512: Option<Sha512>,
}

impl ContentDigest {
    /// The request's, if it has one.
    ///
    /// # Errors
    /// `digest_malformed`, `digest_algorithm_unsupported`.
    pub(crate) fn find(head: &RequestHead<'_>) -> Result<Option<Self>, Denial> {
        let members = dictionary(&mut head.values("content-digest")).map_err(|fault| {
            malformed(match fault {
                Fault::Malformed => "it is no dictionary of byte sequences",
                Fault::Doubled => "it has an algorithm twice",
                Fault::TooLong => "it is longer than any that is needed",
            })
        })?;
        let mut digest = ContentDigest { sha256: None, sha512: None };
        for member in &members {
            match member.key {
                "sha-256" => digest.sha256 = Some(bytes(member)?),
                "sha-512" => digest.sha512 = Some(bytes(member)?),
                _ => {
                    let problem = "it uses an algorithm other than sha-256 and sha-512";
                    return Err(Denial::new(Reason::DigestAlgorithmUnsupported, problem));
                }
            }
        }
        Ok((!members.is_empty()).then_some(digest))
    }
}

impl BodyDigest {
    /// For the algorithms that `wanted` names, of no bytes yet.
    pub fn new(wanted: &ContentDigest) -> Self {
        BodyDigest {
            sha256: wanted.sha256.map(|_| Hasher::default()),
            sha512: wanted.sha512.map(|_| Sha512::new()),
        }
    }

    /// Takes the next bytes of the body, in order, each once.
    pub fn update(&mut self, bytes: &[u8]) {
        if let Some(hasher) = &mut self.sha256 {
            hasher.update(bytes);
        }
        if let Some(hasher) = &mut self.sha512 {
            hasher.update(bytes);
        }
    }

    /// Judges the body that was taken.
    ///
    /// # Errors
    /// `body_digest_mismatch`, unless it fits all that `wanted` names; what was not
    /// hashed does not fit.
    pub fn check(&self, wanted: &ContentDigest) -> Result<(), Denial> {
        let sha256 = self.sha256.as_ref().map(Hasher::digest);
        let sha512 = self.sha512.as_ref().map(|hasher| hasher.clone().finalize().into());
        if (ContentDigest { sha256, sha512 }) == *wanted {
            return Ok(());
        }
        Err(Denial::new(Reason::BodyDigestMismatch, "Content-Digest is not the digest of the body"))
    }
}

/// The value of a `Content-Digest` for `body`.
pub(crate) fn content_digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", base64::encode(&sha256(body)))
}

fn bytes<const N: usize>(member: &Member<'_>) -> Result<[u8; N], Denial> {
    let bytes = match &member.value {
        Value::Item(Item::Bytes(text)) if member.parameters.is_empty() => base64::decode_array(text),
        _ => None,
    };
    bytes.ok_or_else(|| malformed("one of its digests is not the base64, between colons, of its length"))
}

fn malformed(problem: &'static str) -> Denial {
    Denial::new(Reason::DigestMalformed, problem)
}
