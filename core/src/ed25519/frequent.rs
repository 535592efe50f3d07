//! Verifying often by the same keys.

use super::{PublicKey, backend};
use alloc::borrow::Cow;
use alloc::boxed::Box;
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

/// Public keys by which many signatures are verified: each is read once, and one that comes often is
/// made ready with a table of its multiples. Verdicts are those of [`PublicKey::verify`].
#[derive(Default)]
pub struct FrequentKeys {
    keys: BTreeMap<[u8; 32], Frequent>,
    base: Option<Box<backend::Base>>,
    tables: usize,
}

struct Frequent {
    key: PublicKey,
    uses: u32,
    table: Option<backend::Table>,
}

impl FrequentKeys {
    /// Keys that are kept: 3 MB.
    const MOST_KEYS: usize = 10_000;
    /// Those with a table, of 130 KiB each: 33 MB.
    const MOST_TABLES: usize = 256;
    /// A table takes as long to make as it spares in ten uses.
    const OFTEN: u32 = 20;

    /// Which of the claims hold, in their order.
    pub fn verify(&mut self, claims: &[SignatureClaim<'_>]) -> Vec<bool> {
        for claim in claims {
            self.meet(&claim.key);
        }
        let mut tabled = Vec::with_capacity(claims.len());
        let verdicts: Vec<_> = claims
            .iter()
            .map(|claim| match self.keys.get(&claim.key) {
                Some(Frequent { table: Some(table), .. }) => {
                    tabled.push((table, claim));
                    None
                }
                Some(Frequent { key, .. }) => Some(key.verify(&claim.message, &claim.signature)),
                // It is none, or many others came after it.
                None => Some(
                    PublicKey::from_bytes(&claim.key)
                        .is_some_and(|key| key.verify(&claim.message, &claim.signature)),
                ),
            })
            .collect();
        let mut by_table = Vec::new().into_iter();
        if !tabled.is_empty() {
            let base = self.base.get_or_insert_with(|| Box::new(backend::Base::new()));
            by_table = backend::verify_all(base, &tabled).into_iter();
        }
        verdicts.into_iter().map(|verdict| verdict.or_else(|| by_table.next()).unwrap_or(false)).collect()
    }

    fn meet(&mut self, key: &[u8; 32]) {
        if !self.keys.contains_key(key) {
            let Some(read) = PublicKey::from_bytes(key) else { return };
            if self.keys.len() >= Self::MOST_KEYS {
                *self = FrequentKeys::default();
            }
            self.keys.insert(*key, Frequent { key: read, uses: 0, table: None });
        }
        let Some(frequent) = self.keys.get_mut(key) else { return };
        frequent.uses = frequent.uses.saturating_add(1);
        if frequent.uses == Self::OFTEN && self.tables < Self::MOST_TABLES {
            self.tables = self.tables.saturating_add(1);
            frequent.table = Some(backend::Table::new(&frequent.key.key));
        }
    }
}

impl core::fmt::Debug for FrequentKeys {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "FrequentKeys({} of them, {} with a table)", self.keys.len(), self.tables)
    }
}
