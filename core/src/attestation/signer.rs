//! A key that signs often: records, and calls to the control service.

use crate::base64;
use crate::ed25519::{Prepared, SecretKey, sha256};
use alloc::string::String;
use core::fmt;

/// A gate's own key or its [attestation key](SecretKey::attestation_key), made ready to sign
/// often. It takes 30 KB of memory, and as long to make as some twenty signatures: make it once.
pub struct Signer {
    key: Prepared,
    key_id: String,
}

impl Signer {
    /// Makes a key ready.
    pub fn new(key: &SecretKey) -> Self {
        let key = Prepared::new(key);
        let key_id = base64::encode_url(&sha256(key.public_key()));
        Signer { key, key_id }
    }

    /// `key_id` of records, `keyid` of calls: base64url, without padding, of the public key's SHA-256.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The 32 bytes of the public key.
    pub fn public_key(&self) -> &[u8; 32] {
        self.key.public_key()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message)
    }
}

/// Nothing of the key is shown but its id.
impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Signer ")?;
        formatter.write_str(&self.key_id)
    }
}
