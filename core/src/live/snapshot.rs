//! A gate's configuration, as its control service sends it.

use super::document::{Kind, ServiceKeys, owned, whole};
use super::error::LiveError;
use crate::config::{Config, ConfigError};
use crate::ed25519::{SecretKey, sha256};
use crate::json::{self, Limits, Object, canonical_text};
use crate::time::UnixTime;
use alloc::string::{String, ToString};

/// A gate's configuration with its number, read and not yet checked whole: that is
/// [`Snapshot::new`](crate::Snapshot::new)'s business.
#[derive(Clone, Debug)]
pub struct SnapshotDocument {
    /// The gate's id.
    pub gate: String,
    /// The snapshot's number.
    pub number: u64,
    /// When it was made.
    pub time: UnixTime,
    /// The configuration.
    pub config: Config,
}

/// A snapshot to be signed.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotDraft<'a> {
    /// The gate's id.
    pub gate: &'a str,
    /// The snapshot's number, at least 1.
    pub number: u64,
    /// When it is made.
    pub time: UnixTime,
    /// The configuration, as JSON.
    pub config: &'a str,
}

/// A snapshot's document, and the hash by which heads name it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedSnapshot {
    /// The document.
    pub token: String,
    /// SHA-256 of its decoded payload.
    pub sha256: [u8; 32],
}

/// As for configurations, with room for the members around one.
const LIMITS: Limits = Limits { bytes: 64 * 1024 * 1024 + 1024, depth: 17, values: 8_000_005 };

const SNAPSHOT: Kind =
    Kind { typ: "portcullis-snapshot+jws", members: &["config", "gate", "number", "time"], limits: LIMITS };

impl SnapshotDraft<'_> {
    /// Signs it with the key of this id.
    ///
    /// # Errors
    /// [`ConfigError`] where the configuration is none that a gate can read, or is that of
    /// another gate. Whether one can decide by it is asked of
    /// [`Snapshot::new`](crate::Snapshot::new).
    pub fn sign(&self, key: &SecretKey, key_id: &str) -> Result<SignedSnapshot, ConfigError> {
        check_gate(&Config::from_json(self.config.as_bytes())?, self.gate)?;
        let config = json::parse(self.config.as_bytes(), LIMITS)
            .map_err(|error| ConfigError::new("", error.to_string()))?;
        let mut payload = Object::from([
            ("gate", owned(self.gate)),
            ("number", whole(self.number)),
            ("time", owned(&self.time.to_iso())),
        ]);
        payload.set("config", config);
        let payload = canonical_text(&payload.into());
        Ok(SignedSnapshot { sha256: sha256(payload.as_bytes()), token: SNAPSHOT.sign(&payload, key, key_id) })
    }
}

impl SnapshotDocument {
    /// Reads the snapshot for `gate` that a head names by its hash.
    ///
    /// # Errors
    /// What is wrong with the document; [`LiveError::Hash`] where it is another one than
    /// the head's; [`LiveError::Config`] where its configuration cannot be read.
    pub fn read(
        token: &[u8],
        gate: &str,
        keys: &ServiceKeys,
        now: UnixTime,
        hash: &[u8; 32],
    ) -> Result<Self, LiveError> {
        let payload = SNAPSHOT.open(token, keys, now)?;
        if sha256(&payload) != *hash {
            return Err(LiveError::Hash);
        }
        SNAPSHOT.read(&payload, gate, |members| {
            let document = SnapshotDocument {
                gate: gate.to_string(),
                number: members.number("number")?,
                time: members.time("time")?,
                config: Config::from_value(members.required("config")?)?,
            };
            check_gate(&document.config, gate)?;
            Ok(document)
        })
    }
}

fn check_gate(config: &Config, gate: &str) -> Result<(), ConfigError> {
    if config.gate.id == gate {
        Ok(())
    } else {
        Err(ConfigError::new("gate.id", "must be the id of the gate that the snapshot is for"))
    }
}
