//! Taking up all that is revoked, page by page.

use super::error::LiveError;
use super::fingerprint::FingerprintKey;
use super::revocations::RevocationPage;
use super::set::{Chunk, MAX_REVOCATIONS, Revocations, chunks};
use alloc::vec::Vec;

/// Pages on their way to being a set. Their ranges must follow on each other from 0 to
/// the highest fingerprint. They may be of different numbers, as the service goes on
/// meanwhile: the set then needs a delta from the lowest of them.
#[derive(Debug)]
pub struct RevocationLoad {
    /// The head's number when the load began: no page may be older.
    least: u64,
    key: Option<FingerprintKey>,
    /// `None` once the last page is there.
    next_from: Option<u64>,
    pages: u32,
    lowest: u64,
    highest: u64,
    count: u64,
    /// As the set will have them: none is moved, and no list of all grows by doubling.
    chunks: Vec<Chunk>,
}

/// Pages of one load. A full set has 512 full ones; a service may cut them smaller.
const MAX_PAGES: u32 = 8192;

impl RevocationLoad {
    /// A load that begins when the head has revocations of this number.
    pub fn new(least: u64) -> Self {
        RevocationLoad {
            least,
            key: None,
            next_from: Some(0),
            pages: 0,
            lowest: u64::MAX,
            highest: 0,
            count: 0,
            chunks: Vec::new(),
        }
    }

    /// Where the next page must begin; `None` once all are there.
    pub fn next_from(&self) -> Option<u64> {
        self.next_from
    }

    /// Adds the next page.
    ///
    /// # Errors
    /// [`LiveError::Mismatch`], [`LiveError::WentBack`]. The load can go on with another
    /// page in its place.
    pub fn add(&mut self, page: &RevocationPage) -> Result<(), LiveError> {
        if self.next_from != Some(page.from) {
            return Err(LiveError::Mismatch("the page does not begin where the last one ended"));
        }
        if self.key.is_some_and(|key| key != page.key) {
            return Err(LiveError::Mismatch("the page's fingerprints are of another key"));
        }
        if page.number < self.least {
            return Err(LiveError::WentBack);
        }
        let more = u64::try_from(page.fingerprints.len()).unwrap_or(u64::MAX);
        let count = self.count.saturating_add(more);
        if self.pages >= MAX_PAGES || count > MAX_REVOCATIONS {
            return Err(LiveError::Mismatch("there are more revocations than a gate holds"));
        }
        self.key = Some(page.key);
        self.pages = self.pages.saturating_add(1);
        self.lowest = self.lowest.min(page.number);
        self.highest = self.highest.max(page.number);
        self.count = count;
        self.chunks.extend(chunks(&page.fingerprints));
        self.next_from = page.to.checked_add(1);
        Ok(())
    }

    /// The set, once all pages are there. Whether it is what the head names is judged
    /// by [`LiveTrust`](super::LiveTrust).
    ///
    /// # Errors
    /// [`LiveError::Mismatch`] where pages are missing.
    pub fn finish(self) -> Result<Revocations, LiveError> {
        let key = self.key.filter(|_| self.next_from.is_none());
        let key = key.ok_or(LiveError::Mismatch("pages are missing"))?;
        Revocations::of_pages(key, self.lowest, self.highest, self.chunks)
            .ok_or(LiveError::Mismatch("the pages' fingerprints do not ascend"))
    }
}
