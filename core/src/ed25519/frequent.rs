//! Verifying often by the same keys.

use super::{PublicKey, backend};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;

/// Public keys by which many signatures are verified, one after the other: each is read once, and
/// one that comes often is made ready with a table of its multiples. Verdicts are those of
/// [`PublicKey::verify`].
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

    /// Whether `signature` is one of `message` by the key with these bytes.
    pub fn verify(&mut self, key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        if !self.keys.contains_key(key) {
            let Some(read) = PublicKey::from_bytes(key) else { return false };
            if self.keys.len() >= Self::MOST_KEYS {
                *self = FrequentKeys::default();
            }
            self.keys.insert(*key, Frequent { key: read, uses: 0, table: None });
        }
        let Some(frequent) = self.keys.get_mut(key) else { return false };
        frequent.uses = frequent.uses.saturating_add(1);
        if frequent.uses == Self::OFTEN && self.tables < Self::MOST_TABLES {
            self.tables = self.tables.saturating_add(1);
            frequent.table = Some(backend::Table::new(&frequent.key.key));
        }
        match &frequent.table {
            Some(table) => {
                let base = self.base.get_or_insert_with(|| Box::new(backend::Base::new()));
                table.verify(base, message, signature)
            }
            None => frequent.key.verify(message, signature),
        }
    }
}

impl core::fmt::Debug for FrequentKeys {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "FrequentKeys({} of them, {} with a table)", self.keys.len(), self.tables)
    }
}
