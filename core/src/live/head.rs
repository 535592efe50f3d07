//! The head: which trust material is in force, and when that was so.

use super::document::{Kind, Members, ServiceKeys, owned, whole};
use super::error::LiveError;
use super::hex;
use super::set::MAX_REVOCATIONS;
use crate::base64;
use crate::capiscio::is_https_origin;
use crate::ed25519::SecretKey;
use crate::json::{Limits, Object, Value, canonical_text};
use crate::time::{CLOCK_SKEW_MS, UnixTime};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// What is in force at a gate, by the word of its control service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Head {
    /// The gate's id.
    pub gate: String,
    /// When this was so.
    pub time: UnixTime,
    /// The higher of the snapshot's and the revocations' numbers.
    pub number: u64,
    /// The snapshot's number, at least 1.
    pub snapshot_number: u64,
    /// SHA-256 of the snapshot's decoded payload.
    pub snapshot_sha256: [u8; 32],
    /// What is revoked.
    pub revocations: RevocationState,
    /// Issuers of badges whose revocations the service follows, and when it last looked
    /// there with success; in the order of their names.
    pub followed: Vec<(String, UnixTime)>,
    /// The random that the gate has sent: base64url of 16 bytes.
    pub echo: String,
}

/// A set of fingerprints in three numbers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RevocationState {
    /// The number of the last change; 0 where there was none.
    pub number: u64,
    /// How many fingerprints there are.
    pub count: u64,
    /// All of them, XORed.
    pub digest: u64,
}

const HEAD: Kind = Kind {
    typ: "portcullis-head+jws",
    members: &["echo", "followed", "gate", "number", "revocations", "snapshot", "time"],
    // Room for some 8,000 followed issuers of 100 bytes each.
    limits: Limits { bytes: 1024 * 1024, depth: 4, values: 8192 },
};

impl Head {
    /// Signs it with the key of this id. The issuers followed may be in any order.
    pub fn sign(&self, key: &SecretKey, key_id: &str) -> String {
        let snapshot = Object::from([
            ("number", whole(self.snapshot_number)),
            ("sha256", owned(&hex(&self.snapshot_sha256))),
        ]);
        let revocations = Object::from([
            ("count", whole(self.revocations.count)),
            ("digest", owned(&hex(&self.revocations.digest.to_be_bytes()))),
            ("number", whole(self.revocations.number)),
        ]);
        let mut payload = Object::from([
            ("echo", owned(&self.echo)),
            ("gate", owned(&self.gate)),
            ("number", whole(self.number)),
            ("revocations", revocations.into()),
            ("snapshot", snapshot.into()),
            ("time", owned(&self.time.to_iso())),
        ]);
        if !self.followed.is_empty() {
            let mut followed = Object::default();
            for (issuer, time) in &self.followed {
                followed.set(issuer, owned(&time.to_iso()));
            }
            payload.set("followed", followed.into());
        }
        HEAD.sign(&canonical_text(&payload.into()), key, key_id)
    }

    /// Reads a head for `gate`. Whether it is newer than another, recent enough, and the
    /// answer to what was asked is judged by [`LiveTrust`](super::LiveTrust).
    ///
    /// # Errors
    /// What is wrong with the document; [`LiveError::FromTheFuture`].
    pub fn read(token: &[u8], gate: &str, keys: &ServiceKeys, now: UnixTime) -> Result<Self, LiveError> {
        let payload = HEAD.open(token, keys, now)?;
        let head = HEAD.read(&payload, gate, head)?;
        if head.time > now.plus_millis(CLOCK_SKEW_MS) {
            return Err(LiveError::FromTheFuture);
        }
        Ok(head)
    }

    /// When the service last looked at this issuer's revocations, if it follows them.
    pub(super) fn followed(&self, issuer: &str) -> Option<UnixTime> {
        let at = self.followed.binary_search_by(|(name, _)| name.as_str().cmp(issuer)).ok()?;
        self.followed.get(at).map(|(_, time)| *time)
    }
}

fn head(members: &Members<'_>) -> Result<Head, LiveError> {
    let snapshot = Members::of(members.required("snapshot")?, &["number", "sha256"])?;
    let revocations = Members::of(members.required("revocations")?, &["count", "digest", "number"])?;
    let head = Head {
        gate: members.text("gate")?.to_string(),
        time: members.time("time")?,
        number: members.number("number")?,
        snapshot_number: snapshot.number("number")?,
        snapshot_sha256: snapshot.hex("sha256")?,
        revocations: RevocationState {
            number: revocations.number("number")?,
            count: revocations.number("count")?,
            digest: u64::from_be_bytes(revocations.hex("digest")?),
        },
        followed: members.optional("followed").map_or(Ok(Vec::new()), followed)?,
        echo: members.text("echo")?.to_string(),
    };
    // 0 stands for nothing, and a gate without a configuration has no head.
    if head.snapshot_number == 0 {
        return Err(LiveError::Member("snapshot.number"));
    }
    if head.number != head.snapshot_number.max(head.revocations.number) {
        return Err(LiveError::Unreadable("number is not the higher of the snapshot's and the revocations'"));
    }
    if head.revocations.count > MAX_REVOCATIONS {
        return Err(LiveError::Unreadable("there are more revocations than a gate holds"));
    }
    if base64::decode_url(&head.echo).is_none_or(|random| random.len() != 16) {
        return Err(LiveError::Member("echo"));
    }
    Ok(head)
}

fn followed(value: &Value<'_>) -> Result<Vec<(String, UnixTime)>, LiveError> {
    let object = value.as_object().ok_or(LiveError::Member("followed"))?;
    let mut followed = Vec::with_capacity(object.len());
    // INVARIANT: an object's members are in the order of their names, which are ASCII here.
    for (issuer, time) in object.iter() {
        let time = time.as_str().and_then(UnixTime::from_iso).filter(|_| is_https_origin(issuer));
        followed.push((issuer.to_string(), time.ok_or(LiveError::Member("followed"))?));
    }
    Ok(followed)
}
