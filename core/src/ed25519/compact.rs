//! By ed25519-compact, where the size of a file rules.

use super::batch::SignatureClaim;
use ed25519_compact::{KeyPair, PublicKey, Seed, Signature};

pub(super) type Key = PublicKey;

pub(super) fn key(bytes: &[u8; 32]) -> Option<Key> {
    // By itself it takes any 32 bytes.
    Some(PublicKey::new(*bytes)).filter(|key| key.validate().is_ok())
}

pub(super) fn verify(key: &Key, message: &[u8], signature: &[u8; 64]) -> bool {
    key.verify(message, &Signature::new(*signature)).is_ok()
}

pub(super) fn is_torsion_free(_: &Key) -> bool {
    true
}

/// A signature that is good. This implementation judges each alone.
pub(super) struct Claim<'k>(core::marker::PhantomData<&'k Key>);

impl<'k> Claim<'k> {
    pub(super) fn read(key: &'k Key, claim: &SignatureClaim<'_>) -> Option<Self> {
        verify(key, &claim.message, &claim.signature).then_some(Claim(core::marker::PhantomData))
    }

    pub(super) fn holds(&self) -> bool {
        true
    }
}

pub(super) struct Coefficients;

impl Coefficients {
    pub(super) fn new(_: [u8; 32]) -> Self {
        Coefficients
    }
}

pub(super) fn hold<'c>(_: impl Iterator<Item = &'c Claim<'c>>, _: &mut Coefficients) -> bool {
    true
}

pub(super) fn public_key(seed: &[u8; 32]) -> [u8; 32] {
    *KeyPair::from_seed(Seed::new(*seed)).pk
}

pub(super) fn sign(seed: &[u8; 32], message: &[u8]) -> [u8; 64] {
    *KeyPair::from_seed(Seed::new(*seed)).sk.sign(message, None)
}

/// What signing needs, worked out once.
pub(super) struct Prepared(KeyPair);

impl Prepared {
    pub(super) fn new(seed: &[u8; 32]) -> Self {
        Prepared(KeyPair::from_seed(Seed::new(*seed)))
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        *self.0.sk.sign(message, None)
    }

    pub(super) fn public_key(&self) -> &[u8; 32] {
        &self.0.pk
    }
}
