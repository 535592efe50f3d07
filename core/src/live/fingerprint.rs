//! Fingerprints: what is revoked, in eight bytes each.

use core::fmt;
use core::hash::Hasher;
use siphasher::sip::SipHasher24;

/// The key of a gate's fingerprints. Random and not public, so that nobody can make up a
/// credential whose fingerprint is that of another.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct FingerprintKey([u8; 16]);

impl FingerprintKey {
    /// A key from 16 random bytes.
    pub const fn new(bytes: [u8; 16]) -> Self {
        FingerprintKey(bytes)
    }

    /// The 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Of a passport: the issuer at its root, and its id.
    pub fn passport(&self, issuer: &str, id: &str) -> u64 {
        self.fingerprint(b'p', issuer, id)
    }

    /// Of a Trust Badge: `iss`, and `jti` in lower case.
    pub fn badge(&self, issuer: &str, id: &str) -> u64 {
        self.fingerprint(b'b', issuer, id)
    }

    /// Of an agent: the issuer in whose name it is known, and its id there.
    pub fn agent(&self, issuer: &str, id: &str) -> u64 {
        self.fingerprint(b'a', issuer, id)
    }

    /// SipHash-2-4 over `kind ‖ issuer ‖ 0x00 ‖ id`.
    fn fingerprint(&self, kind: u8, issuer: &str, id: &str) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(&[kind]);
        hasher.write(issuer.as_bytes());
        hasher.write(&[0]);
        hasher.write(id.as_bytes());
        hasher.finish()
    }
}

/// Nothing of the key is shown.
impl fmt::Debug for FingerprintKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("FingerprintKey")
    }
}
