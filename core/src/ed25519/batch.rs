//! Verifying many signatures together.

use super::{PublicKey, backend, is_canonical_field_element};
use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// That a key has signed a message.
#[derive(Clone, Debug)]
pub struct SignatureClaim<'m> {
    /// The 32 bytes of the key.
    pub key: [u8; 32],
    /// What is signed.
    pub message: Cow<'m, [u8]>,
    /// The signature.
    pub signature: [u8; 64],
}

/// Verifies signatures some hundreds together, by one equation for all: of a thousand, each takes a third
/// of the time that it takes alone. Verdicts are those of [`PublicKey::verify`], but by chance: of an
/// `R` that only the key's holder can make, with a component of small order, each equation misses one in 2^32.
pub struct BatchVerifier {
    keys: BTreeMap<[u8; 32], Known>,
    coefficients: backend::Coefficients,
}

struct Known {
    key: PublicKey,
    /// Whether it has no component of small order: what it signs is judged together with others.
    is_plain: bool,
}

impl BatchVerifier {
    /// Keys that are kept: 3 MB.
    const MOST_KEYS: usize = 10_000;
    /// Of fewer, each by itself takes less time.
    const FEWEST: usize = 64;

    /// A verifier with a secret of its own, from a cryptographic random source: nobody who makes
    /// signatures may guess it.
    pub fn new(secret: [u8; 32]) -> Self {
        BatchVerifier { keys: BTreeMap::new(), coefficients: backend::Coefficients::new(secret) }
    }

    /// Which of the claims hold, in their order.
    pub fn verify(&mut self, claims: &[SignatureClaim<'_>]) -> Vec<bool> {
        for claim in claims {
            self.meet(&claim.key);
        }
        let mut together = Vec::with_capacity(claims.len());
        let mut verdicts = Vec::with_capacity(claims.len());
        for claim in claims {
            let mut holds = false;
            match self.keys.get(&claim.key) {
                // What encodes its point in a second way is another text than what a signer makes.
                Some(Known { key, is_plain: true }) if is_canonical_r(&claim.signature) => {
                    together.extend(backend::Claim::read(&key.key, claim).map(|read| (verdicts.len(), read)));
                }
                Some(Known { is_plain: true, .. }) => {}
                Some(Known { key, .. }) => holds = key.verify(&claim.message, &claim.signature),
                // It is none, or many others came after it.
                None => {
                    holds = PublicKey::from_bytes(&claim.key)
                        .is_some_and(|key| key.verify(&claim.message, &claim.signature));
                }
            }
            verdicts.push(holds);
        }
        Self::judge(&together, &mut self.coefficients, &mut verdicts);
        verdicts
    }

    /// Halves what does not hold together, down to few: fourteen times for a million.
    fn judge(
        claims: &[(usize, backend::Claim<'_>)],
        coefficients: &mut backend::Coefficients,
        verdicts: &mut [bool],
    ) {
        let mut note = |at: usize, holds: bool| verdicts.get_mut(at).into_iter().for_each(|one| *one = holds);
        if claims.len() < Self::FEWEST {
            claims.iter().for_each(|(at, claim)| note(*at, claim.holds()));
        } else if backend::hold(claims.iter().map(|(_, claim)| claim), coefficients) {
            claims.iter().for_each(|(at, _)| note(*at, true));
        } else {
            let (first, second) = claims.split_at(claims.len().div_ceil(2));
            Self::judge(first, coefficients, verdicts);
            Self::judge(second, coefficients, verdicts);
        }
    }

    fn meet(&mut self, key: &[u8; 32]) {
        if self.keys.contains_key(key) {
            return;
        }
        let Some(read) = PublicKey::from_bytes(key) else { return };
        if self.keys.len() >= Self::MOST_KEYS {
            self.keys.clear();
        }
        let is_plain = backend::is_torsion_free(&read.key);
        self.keys.insert(*key, Known { key: read, is_plain });
    }
}

fn is_canonical_r(signature: &[u8; 64]) -> bool {
    signature.first_chunk().is_some_and(is_canonical_field_element)
}

impl core::fmt::Debug for BatchVerifier {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "BatchVerifier({} keys)", self.keys.len())
    }
}
