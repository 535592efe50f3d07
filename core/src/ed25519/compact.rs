//! By ed25519-compact, where the size of a file rules.

use super::frequent::SignatureClaim;
use alloc::vec::Vec;
use ed25519_compact::{KeyPair, PublicKey, Seed, Signature};

pub(super) type Key = PublicKey;

pub(super) fn key(bytes: &[u8; 32]) -> Option<Key> {
    // By itself it takes any 32 bytes.
    Some(PublicKey::new(*bytes)).filter(|key| key.validate().is_ok())
}

pub(super) fn verify(key: &Key, message: &[u8], signature: &[u8; 64]) -> bool {
    key.verify(message, &Signature::new(*signature)).is_ok()
}

/// This implementation has no tables.
pub(super) struct Base;

impl Base {
    pub(super) fn new() -> Self {
        Base
    }
}

pub(super) struct Table(PublicKey);

impl Table {
    pub(super) fn new(key: &Key) -> Self {
        Table(*key)
    }
}

pub(super) fn verify_all(_: &Base, claims: &[(&Table, &SignatureClaim<'_>)]) -> Vec<bool> {
    claims.iter().map(|(table, claim)| verify(&table.0, &claim.message, &claim.signature)).collect()
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
