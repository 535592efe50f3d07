//! Verifying receipts as they are settled: nothing that was found when they came counts.

use crate::db::Tx;
use crate::error::ApiResult;
use crate::receipts::{Columns, Stored};
use crate::records::keys;
use anyhow::{Context, anyhow};
use portcullis_core::receipt::{ReceiptError, ReceiptVerifier, SignedReceipt, WithBase};
use portcullis_core::{PublicKey, UnixTime, base64};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread::available_parallelism;

/// The keys that sign, or signed, receipts of a gate, by their ids; and their ends.
#[derive(Debug)]
pub(super) struct Keys(HashMap<String, (PublicKey, Option<i64>)>);

/// What came of one: the receipt, or the code of what is wrong with it.
pub(super) type Verdict = Result<Verified, &'static str>;

/// A receipt that both sides have signed.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) signed: SignedReceipt,
    /// The passport at the root of the chain, where the agent signed a request that has the chain.
    pub(super) root: Option<String>,
}

impl Keys {
    pub(super) async fn load(tx: &mut Tx, gate: &str) -> ApiResult<Self> {
        let mut keys = HashMap::new();
        for key in keys::of_records(tx, gate).await? {
            let public =
                base64::decode_array(&key.public_key).and_then(|bytes| PublicKey::from_bytes(&bytes));
            let end = key.not_after.as_deref().and_then(UnixTime::from_rfc3339).map(UnixTime::as_millis);
            keys.insert(key.key_id, (public.context("a gate's attestation key is unreadable")?, end));
        }
        Ok(Keys(keys))
    }

    /// Which receipts are what their maker wrote and their agent asked for.
    fn verify(&self, page: &[Stored], verifier: &mut ReceiptVerifier) -> Vec<Verdict> {
        let read: Vec<_> = page.iter().map(|stored| self.read(stored)).collect();
        let with_base: Vec<_> = read
            .iter()
            .zip(page)
            .filter_map(|(read, stored)| {
                let (signed, key) = read.as_ref().ok()?;
                Some(WithBase { signed, key, base: &stored.attachment.base })
            })
            .collect();
        let mut roots = verifier.verify(&with_base).into_iter();
        read.into_iter()
            .map(|read| {
                let (signed, _) = read?;
                let root = roots.next().unwrap_or(Err(ReceiptError::SignatureInvalid));
                let root = root.map_err(|error| error.code())?;
                // A request came through a gate, whose log has the permit.
                if root.is_some() && signed.receipt.attestation_id.is_none() {
                    return Err("permit_missing");
                }
                Ok(Verified { signed, root })
            })
            .collect()
    }

    /// A receipt that is what its row says, and the key that must have signed it.
    fn read(&self, stored: &Stored) -> Result<(SignedReceipt, &PublicKey), &'static str> {
        let signed =
            SignedReceipt::read(stored.attachment.receipt.as_bytes()).map_err(|error| error.code())?;
        if Columns::of(&signed).whole() != stored.columns {
            return Err("row_mismatch");
        }
        let (key, end) = self.0.get(&base64::encode_url(signed.key_id())).ok_or("key_unknown")?;
        // What came after a key's end may be by whoever has stolen it.
        if end.is_some_and(|end| stored.received_at > end) {
            return Err("key_retired");
        }
        Ok((signed, key))
    }
}

/// Verifies receipts on all cores.
#[derive(Debug)]
pub(super) struct Cores {
    keys: Arc<Keys>,
    count: usize,
    /// Those that are not at work.
    free: Mutex<Vec<ReceiptVerifier>>,
}

impl Cores {
    /// Cores that one settlement uses at most, for what its pages take: [`PAGE`](super::run::PAGE).
    const MOST: usize = 4;

    pub(super) fn new(keys: Keys) -> Self {
        let cores = available_parallelism().map_or(1, usize::from).min(Self::MOST);
        // So that no core waits for the next page to be read.
        let count = cores.saturating_add(1);
        Cores { keys: Arc::new(keys), count, free: Mutex::default() }
    }

    /// How many pages are verified at a time.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Verifies a page, on one core.
    pub(super) async fn verify(&self, page: Vec<Stored>) -> anyhow::Result<(Vec<Stored>, Vec<Verdict>)> {
        let known = self.free.lock().map_err(|_| anyhow!("a verifier has failed"))?.pop();
        let mut verifier = known.map_or_else(new_verifier, Ok)?;
        let keys = Arc::clone(&self.keys);
        let task = tokio::task::spawn_blocking(move || {
            let verdicts = keys.verify(&page, &mut verifier);
            (page, verdicts, verifier)
        });
        let (page, verdicts, verifier) = task.await?;
        self.free.lock().map_err(|_| anyhow!("a verifier has failed"))?.push(verifier);
        Ok((page, verdicts))
    }
}

fn new_verifier() -> anyhow::Result<ReceiptVerifier> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| anyhow!("no randomness: {error}"))?;
    Ok(ReceiptVerifier::new(secret))
}
