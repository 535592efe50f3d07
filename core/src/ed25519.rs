//! Ed25519 (RFC 8032), through one implementation at a time.
//!
//! `dalek` decides at every gate. `compact` is the independent second one, for
//! bundles whose size rules, and the oracle that tests hold the first against.

#[cfg(not(feature = "dalek"))]
#[path = "ed25519/compact.rs"]
mod backend;
#[cfg(feature = "dalek")]
#[path = "ed25519/dalek.rs"]
mod backend;
mod batch;

pub use batch::{BatchVerifier, SignatureClaim};

use sha2::{Digest, Sha256};

/// A public key whose bytes are the encoding of a point that may verify: canonical
/// and of large order.
#[derive(Clone)]
pub struct PublicKey {
    key: backend::Key,
    bytes: [u8; 32],
}

/// A private key, as its 32-byte seed (RFC 8032 section 5.1.5).
#[derive(Clone)]
pub struct SecretKey {
    seed: [u8; 32],
}

impl PublicKey {
    /// Reads a key from its 32 bytes (RFC 8032 section 5.1.2), or `None` if they
    /// encode no point, encode one in a second way, or one of small order: under
    /// such a key one signature would fit many messages.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        if !is_canonical_field_element(bytes) {
            return None;
        }
        let key = backend::key(bytes)?;
        Some(PublicKey { key, bytes: *bytes })
    }

    /// The 32 bytes of the key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Whether `signature` is one of `message` by this key. Strict: `S` must be below
    /// the group's order and `R` not of small order (RFC 8032 section 8.4).
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        backend::verify(&self.key, message, signature)
    }
}

impl core::fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "PublicKey({:02x?})", self.bytes)
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for PublicKey {}

impl SecretKey {
    /// A key from its seed. The seed must come from a cryptographic random source.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        SecretKey { seed }
    }

    /// The seed. Whoever reads it can sign.
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// The 32 bytes of the public key.
    pub fn public_key(&self) -> [u8; 32] {
        backend::public_key(&self.seed)
    }

    /// Signs `message` (RFC 8032 section 5.1.6).
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        backend::sign(&self.seed, message)
    }

    /// The key that signs a gate's records, derived from the gate's own key, so that no
    /// second secret is carried: its seed is HMAC-SHA-256 under the gate's seed of a fixed
    /// text.
    pub fn attestation_key(&self) -> SecretKey {
        SecretKey::from_seed(hmac_sha256(&self.seed, b"portcullis attestation key 1"))
    }
}

/// Nothing of the seed is shown.
impl core::fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("SecretKey")
    }
}

/// A private key that is made ready to sign often. It keeps 30 KB of the base point's
/// multiples, made when it is made and so no part of a plugin's file.
pub(crate) struct Prepared(backend::Prepared);

impl Prepared {
    pub(crate) fn new(key: &SecretKey) -> Self {
        Prepared(backend::Prepared::new(&key.seed))
    }

    /// As [`SecretKey::sign`], the same signature.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message)
    }

    pub(crate) fn public_key(&self) -> &[u8; 32] {
        self.0.public_key()
    }
}

/// SHA-256 (FIPS 180-4).
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// HMAC-SHA-256 (RFC 2104) under a key of 32 bytes.
pub(crate) fn hmac_sha256(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let padded = |with: u8| {
        let mut block = [with; 64];
        for (byte, key) in block.iter_mut().zip(key) {
            *byte ^= key;
        }
        block
    };
    let inner = sha256(&[&padded(0x36), message].concat());
    sha256(&[&padded(0x5c)[..], &inner].concat())
}

/// SHA-256 of what comes in pieces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hasher(Sha256);

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Of what came so far.
    pub(crate) fn digest(&self) -> [u8; 32] {
        self.0.clone().finalize().into()
    }
}

/// Whether the 255 bits of the y coordinate are below 2^255 - 19. Implementations
/// differ on the others, so a key written that way would be two keys.
fn is_canonical_field_element(bytes: &[u8; 32]) -> bool {
    let [first, middle @ .., last] = bytes;
    !(*first >= 0xed && middle.iter().all(|byte| *byte == 0xff) && last & 0x7f == 0x7f)
}

#[cfg(not(any(feature = "dalek", feature = "compact")))]
compile_error!("one of the features `dalek` and `compact` must be on");

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    /// RFC 4231 sections 4.2 and 4.3; a shorter key is one that ends in zeros (RFC 2104).
    #[test]
    fn hmac_gives_what_rfc_4231_says() {
        let key = |bytes: &[u8]| {
            let mut key = [0; 32];
            key.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            key
        };
        let hex = |bytes: [u8; 32]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(
            hex(hmac_sha256(&key(&[0x0b; 20]), b"Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert_eq!(
            hex(hmac_sha256(&key(b"Jefe"), b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    proptest! {
        #[test]
        fn a_signature_of_a_prepared_key_is_the_same_signature(
            seed in any::<[u8; 32]>(),
            message in any::<Vec<u8>>(),
        ) {
            let key = SecretKey::from_seed(seed);
            let prepared = Prepared::new(&key);
            prop_assert_eq!(*prepared.public_key(), key.public_key());
            prop_assert_eq!(prepared.sign(&message), key.sign(&message));
        }
    }
}
