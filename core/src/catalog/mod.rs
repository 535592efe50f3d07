//! Catalogs: what a gate offers, at which price and service level.
//!
//! A gate publishes its catalog as a snapshot that it has signed. Whoever has the snapshot,
//! its hash, its signature and the gate's key checks the terms with [`Published::verify`],
//! and needs to trust nobody on the way. Passports name the version that they were issued
//! under by number and hash.

mod answer;
mod diff;
mod permission;
mod terms;

pub use answer::{Answer, AnswerError, Believed, verify_answer};
pub use diff::{Change, ChangeKind, changes};
pub use permission::{MAX_PERMISSIONS, Permission, RiskLevel};
pub use terms::{MAX_CENTS, Price, PricingModel, Terms};

use crate::base64;
use crate::config::{ConfigError, within};
use crate::ed25519::{PublicKey, SecretKey, sha256};
use crate::json::{self, Limits, Object, Value, canonical_text};
use crate::live::{hex, owned, whole};
use crate::time::UnixTime;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// The longest snapshot, in canonical bytes: that of an envelope, so that whoever reads
/// passports can read it.
pub const MAX_BYTES: usize = 65_536;

/// The most versions of one gate: their hashes go into each of its snapshots, 67 bytes for
/// each.
pub const MAX_VERSIONS: usize = 1000;

/// Bounds for parsing a snapshot. Its canonical text is the shortest of its texts; four
/// times that is room for any sender's white space.
const LIMITS: Limits = Limits { bytes: 4 * MAX_BYTES, depth: 8, values: 16_384 };

/// What a gate offers.
#[derive(Clone, Debug, PartialEq)]
pub struct Catalog {
    /// The gate.
    pub gate_id: String,
    /// The version, 1 for the first.
    pub version: u64,
    /// When it was published.
    pub published_at: UnixTime,
    /// What is offered, each thing once.
    pub permissions: Vec<Permission>,
}

/// A catalog that was signed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Signed {
    /// The snapshot's canonical text (RFC 8785).
    pub snapshot: String,
    /// SHA-256 of that, in lower-case hexadecimal.
    pub content_hash: String,
    /// The Ed25519 signature over the 32 bytes of the hash, in standard base64.
    pub signature: String,
}

/// A catalog as whoever offers it presents it; nothing of it is known to be right.
#[derive(Clone, Copy, Debug)]
pub struct Published<'p> {
    /// The snapshot as JSON, in any form.
    pub snapshot: &'p [u8],
    /// SHA-256 of its canonical text, in lower-case hexadecimal; `sha256:` may stand before
    /// it.
    pub content_hash: &'p str,
    /// The signature over the 32 bytes of the hash, in standard base64.
    pub signature: &'p str,
    /// The key that it is by, standard base64 of 32 bytes.
    pub public_key: &'p str,
}

/// Why a published catalog is none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CatalogError {
    /// The snapshot is no strict JSON.
    Unreadable(String),
    /// Its hash is another one: the terms were changed, or the hash was.
    HashMismatch {
        /// The hash of the snapshot that is there.
        found: String,
    },
    /// The key is not the standard base64 of an Ed25519 key.
    KeyMalformed,
    /// The signature is not the standard base64 of 64 bytes.
    SignatureMalformed,
    /// The signature is not one of this hash by this key.
    SignatureInvalid,
    /// What was signed is no catalog.
    Form(ConfigError),
    /// It is signed by another key than the one that was asked for.
    KeyUnexpected,
    /// What stands beside the snapshot says something else than what was signed.
    TermsMismatch,
}

impl Catalog {
    /// Signs it with a gate's key. The text is the same whoever writes it.
    ///
    /// # Errors
    /// [`ConfigError`] where it is longer than [`MAX_BYTES`].
    pub fn sign(&self, key: &SecretKey) -> Result<Signed, ConfigError> {
        let snapshot = canonical_text(&self.to_value());
        if snapshot.len() > MAX_BYTES {
            let problem = format!("take {} bytes, and a catalog may have {MAX_BYTES}", snapshot.len());
            return Err(ConfigError::new("permissions", problem));
        }
        let content_hash = hex(&sha256(snapshot.as_bytes()));
        let signature = sign_text(&snapshot, key);
        Ok(Signed { snapshot, content_hash, signature })
    }

    /// Reads a snapshot. Whether anybody has signed it is not looked at.
    ///
    /// # Errors
    /// [`ConfigError`] names the member.
    pub fn from_json(json: &[u8]) -> Result<Self, ConfigError> {
        let value = json::parse(json, LIMITS).map_err(|error| ConfigError::new("", error.to_string()))?;
        Catalog::read(&value)
    }

    /// The permission of this name.
    pub fn permission(&self, key: &str) -> Option<&Permission> {
        self.permissions.iter().find(|permission| permission.key == key)
    }

    fn read(value: &Value<'_>) -> Result<Self, ConfigError> {
        within(value, |place| {
            let members = place.members(&["gate_id", "permissions", "published_at", "version"]);
            let published_at = members
                .required("published_at")
                .read_text(UnixTime::from_iso, "must be a time as 2026-01-31T00:00:00.000Z");
            let version = members.required("version");
            Catalog {
                gate_id: members.required("gate_id").text(),
                version: version.number_within(1, u64::MAX, "must be a whole number, 1 or more"),
                published_at: published_at.unwrap_or(UnixTime::from_millis(0)),
                permissions: permission::permissions(&members.required("permissions")),
            }
        })
    }

    fn to_value(&self) -> Value<'static> {
        let permissions = self.permissions.iter().map(Permission::to_value).collect();
        Object::from([
            ("gate_id", owned(&self.gate_id)),
            ("permissions", Value::Array(permissions)),
            ("published_at", owned(&self.published_at.to_iso())),
            ("version", whole(self.version)),
        ])
        .into()
    }
}

impl Published<'_> {
    /// Checks the terms: that the snapshot is strict JSON, that its canonical text has the
    /// hash, that the key has signed the hash, and that it is a catalog, in this order.
    /// Whether the key is the gate's is for the caller to know.
    ///
    /// # Errors
    /// [`CatalogError`] names the first check that failed.
    pub fn verify(&self) -> Result<Catalog, CatalogError> {
        let value = json::parse(self.snapshot, LIMITS)
            .map_err(|error| CatalogError::Unreadable(error.to_string()))?;
        self.verify_value(&value)
    }

    fn verify_value(&self, value: &Value<'_>) -> Result<Catalog, CatalogError> {
        let hash = sha256(canonical_text(value).as_bytes());
        let found = hex(&hash);
        if self.content_hash.strip_prefix("sha256:").unwrap_or(self.content_hash) != found {
            return Err(CatalogError::HashMismatch { found });
        }
        let key = base64::decode_array(self.public_key).and_then(|bytes| PublicKey::from_bytes(&bytes));
        let key = key.ok_or(CatalogError::KeyMalformed)?;
        let signature = base64::decode_array(self.signature).ok_or(CatalogError::SignatureMalformed)?;
        if !key.verify(&hash, &signature) {
            return Err(CatalogError::SignatureInvalid);
        }
        Catalog::read(value).map_err(CatalogError::Form)
    }
}

/// Signs a snapshot's canonical text once more: the Ed25519 signature over the 32 bytes of its
/// SHA-256, in standard base64.
pub fn sign_text(snapshot: &str, key: &SecretKey) -> String {
    base64::encode(&key.sign(&sha256(snapshot.as_bytes())))
}

/// Reads `{"permissions": […]}`, as a draft has them.
///
/// # Errors
/// [`ConfigError`] names the member.
pub fn draft(json: &[u8]) -> Result<Vec<Permission>, ConfigError> {
    let value = json::parse(json, LIMITS).map_err(|error| ConfigError::new("", error.to_string()))?;
    within(&value, |place| permission::permissions(&place.members(&["permissions"]).required("permissions")))
}

impl CatalogError {
    /// A stable name for it.
    pub fn code(&self) -> &'static str {
        match self {
            CatalogError::Unreadable(_) => "snapshot_unreadable",
            CatalogError::HashMismatch { .. } => "content_hash_mismatch",
            CatalogError::KeyMalformed => "public_key_malformed",
            CatalogError::SignatureMalformed => "signature_malformed",
            CatalogError::SignatureInvalid => "signature_invalid",
            CatalogError::Form(_) => "snapshot_malformed",
            CatalogError::KeyUnexpected => "public_key_unexpected",
            CatalogError::TermsMismatch => "terms_mismatch",
        }
    }
}

impl fmt::Display for CatalogError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CatalogError::Unreadable(problem) => write!(formatter, "the snapshot is unreadable: {problem}"),
            CatalogError::HashMismatch { found } => {
                write!(formatter, "the snapshot has the hash {found}, and not the one that stands beside it")
            }
            CatalogError::KeyMalformed => formatter
                .write_str("public_key must be the standard base64 of the 32 bytes of an Ed25519 key"),
            CatalogError::SignatureMalformed => {
                formatter.write_str("signature must be the standard base64 of 64 bytes")
            }
            CatalogError::SignatureInvalid => {
                formatter.write_str("the signature is not one of this hash by this key")
            }
            CatalogError::KeyUnexpected => {
                formatter.write_str("it is signed by another key than the one given")
            }
            CatalogError::TermsMismatch => {
                formatter.write_str("says something else than the catalog that was signed")
            }
            CatalogError::Form(error) => write!(formatter, "it is no published catalog: {error}"),
        }
    }
}

impl core::error::Error for CatalogError {}
