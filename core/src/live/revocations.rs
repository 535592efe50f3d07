//! What is revoked, in pages and in changes.

use super::document::{Kind, Members, ServiceKeys, owned, whole};
use super::error::LiveError;
use super::fingerprint::FingerprintKey;
use super::hex;
use crate::base64;
use crate::ed25519::SecretKey;
use crate::json::{Limits, Object, canonical_text};
use crate::time::UnixTime;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// The most fingerprints in one document: 64 KiB of them, so that a proxy's host call
/// carries a document at once and a gate never works long on one.
pub const MAX_FINGERPRINTS: usize = 8192;

/// What is revoked within a range of fingerprints.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RevocationPage {
    /// The gate's id.
    pub gate: String,
    /// The number up to which the page is complete.
    pub number: u64,
    /// The key of the fingerprints.
    pub key: FingerprintKey,
    /// The first fingerprint of the range.
    pub from: u64,
    /// The last one.
    pub to: u64,
    /// The fingerprints in the range, ascending, each once; at most [`MAX_FINGERPRINTS`].
    pub fingerprints: Vec<u64>,
}

/// What has changed between two numbers: the final state of every fingerprint that did.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RevocationDelta {
    /// The gate's id.
    pub gate: String,
    /// It has all changes after this number,
    pub since: u64,
    /// up to this one.
    pub number: u64,
    /// The key of the fingerprints.
    pub key: FingerprintKey,
    /// What is revoked at `number`, ascending, each once.
    pub added: Vec<u64>,
    /// What is not, likewise; with `added` at most [`MAX_FINGERPRINTS`].
    pub removed: Vec<u64>,
}

/// 8,192 fingerprints are 87,384 characters of base64; the other members have some 400.
const LIMITS: Limits = Limits { bytes: 96 * 1024, depth: 2, values: 8 };

const PAGE: Kind = Kind {
    typ: "portcullis-revocations+jws",
    members: &["fingerprints", "from", "gate", "key", "number", "to"],
    limits: LIMITS,
};

const DELTA: Kind = Kind {
    typ: "portcullis-delta+jws",
    members: &["added", "gate", "key", "number", "removed", "since"],
    limits: LIMITS,
};

impl RevocationPage {
    /// Signs it with the key of this id.
    pub fn sign(&self, key: &SecretKey, key_id: &str) -> String {
        let payload = Object::from([
            ("fingerprints", owned(&encoded(&self.fingerprints))),
            ("from", owned(&hex(&self.from.to_be_bytes()))),
            ("gate", owned(&self.gate)),
            ("key", owned(&base64::encode_url(self.key.as_bytes()))),
            ("number", whole(self.number)),
            ("to", owned(&hex(&self.to.to_be_bytes()))),
        ]);
        PAGE.sign(&canonical_text(&payload.into()), key, key_id)
    }

    /// Reads a page for `gate`.
    ///
    /// # Errors
    /// What is wrong with the document.
    pub fn read(token: &[u8], gate: &str, keys: &ServiceKeys, now: UnixTime) -> Result<Self, LiveError> {
        let payload = PAGE.open(token, keys, now)?;
        let page = PAGE.read(&payload, gate, |members| {
            Ok(RevocationPage {
                gate: gate.to_string(),
                number: members.number("number")?,
                key: fingerprint_key(members)?,
                from: u64::from_be_bytes(members.hex("from")?),
                to: u64::from_be_bytes(members.hex("to")?),
                fingerprints: fingerprints(members, "fingerprints")?,
            })
        })?;
        // As they ascend, the first and the last decide for all.
        let is_within = |fingerprint: Option<&u64>| {
            fingerprint.is_none_or(|fingerprint| (page.from..=page.to).contains(fingerprint))
        };
        let (first, last) = (page.fingerprints.first(), page.fingerprints.last());
        if page.from > page.to || !is_within(first) || !is_within(last) {
            return Err(LiveError::Unreadable("a fingerprint is outside of its page's range"));
        }
        Ok(page)
    }
}

impl RevocationDelta {
    /// Signs it with the key of this id.
    pub fn sign(&self, key: &SecretKey, key_id: &str) -> String {
        let payload = Object::from([
            ("added", owned(&encoded(&self.added))),
            ("gate", owned(&self.gate)),
            ("key", owned(&base64::encode_url(self.key.as_bytes()))),
            ("number", whole(self.number)),
            ("removed", owned(&encoded(&self.removed))),
            ("since", whole(self.since)),
        ]);
        DELTA.sign(&canonical_text(&payload.into()), key, key_id)
    }

    /// Reads a delta for `gate`.
    ///
    /// # Errors
    /// What is wrong with the document.
    pub fn read(token: &[u8], gate: &str, keys: &ServiceKeys, now: UnixTime) -> Result<Self, LiveError> {
        let payload = DELTA.open(token, keys, now)?;
        let delta = DELTA.read(&payload, gate, |members| {
            Ok(RevocationDelta {
                gate: gate.to_string(),
                since: members.number("since")?,
                number: members.number("number")?,
                key: fingerprint_key(members)?,
                added: fingerprints(members, "added")?,
                removed: fingerprints(members, "removed")?,
            })
        })?;
        if delta.since >= delta.number {
            return Err(LiveError::Unreadable("a delta must lead from one number to a higher one"));
        }
        if delta.added.len().saturating_add(delta.removed.len()) > MAX_FINGERPRINTS {
            return Err(LiveError::Unreadable("there are more than 8192 fingerprints"));
        }
        if delta.removed.iter().any(|fingerprint| delta.added.binary_search(fingerprint).is_ok()) {
            return Err(LiveError::Unreadable("a fingerprint is both added and removed"));
        }
        Ok(delta)
    }
}

fn fingerprint_key(members: &Members<'_>) -> Result<FingerprintKey, LiveError> {
    let bytes = base64::decode_url(members.text("key")?).and_then(|bytes| bytes.try_into().ok());
    bytes.map(FingerprintKey::new).ok_or(LiveError::Member("key"))
}

fn fingerprints(members: &Members<'_>, name: &'static str) -> Result<Vec<u64>, LiveError> {
    let bytes = base64::decode(members.text(name)?).ok_or(LiveError::Member(name))?;
    let (words, rest) = bytes.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(LiveError::Member(name));
    }
    if words.len() > MAX_FINGERPRINTS {
        return Err(LiveError::Unreadable("there are more than 8192 fingerprints"));
    }
    let mut fingerprints = Vec::with_capacity(words.len());
    let mut last = None;
    for word in words {
        let fingerprint = u64::from_be_bytes(*word);
        if last.is_some_and(|last| last >= fingerprint) {
            return Err(LiveError::Unreadable("the fingerprints do not ascend"));
        }
        last = Some(fingerprint);
        fingerprints.push(fingerprint);
    }
    Ok(fingerprints)
}

fn encoded(fingerprints: &[u64]) -> String {
    let bytes: Vec<u8> = fingerprints.iter().flat_map(|fingerprint| fingerprint.to_be_bytes()).collect();
    base64::encode(&bytes)
}
