//! The set of what is revoked.

use super::error::LiveError;
use super::fingerprint::FingerprintKey;
use super::head::RevocationState;
use super::revocations::{MAX_FINGERPRINTS, RevocationDelta};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

/// The most fingerprints that a gate holds: 32 MiB of them, in each worker.
pub const MAX_REVOCATIONS: u64 = 4 * 1024 * 1024;

/// What is revoked at a gate, as fingerprints.
#[derive(Clone)]
pub struct Revocations {
    key: FingerprintKey,
    /// It has all changes up to this number, and perhaps some up to `newest`.
    number: u64,
    newest: u64,
    count: u64,
    digest: u64,
    /// Ascending, each once. Eight bytes for each, where a tree would take some twenty.
    chunks: Vec<Chunk>,
}

/// A part of a set, never empty. Sets share those that did not change: a delta costs the
/// memory of what it touches, not that of another whole set, which a worker's memory
/// would keep for good.
pub(super) type Chunk = Arc<[u64]>;

/// The most fingerprints of a chunk: as many as a page has.
const MAX_CHUNK: usize = MAX_FINGERPRINTS;

impl Revocations {
    /// A set as it was at `number`. `None` unless the fingerprints ascend, each once, and
    /// are no more than a gate holds.
    pub fn new(key: FingerprintKey, number: u64, fingerprints: Vec<u64>) -> Option<Self> {
        Self::of_pages(key, number, number, chunks(&fingerprints).collect())
    }

    /// A set put together from pages of different numbers, `number` to `newest`.
    pub(super) fn of_pages(
        key: FingerprintKey,
        number: u64,
        newest: u64,
        chunks: Vec<Chunk>,
    ) -> Option<Self> {
        let (mut count, mut digest, mut last, mut ascends) = (0_u64, 0, None, true);
        for fingerprint in chunks.iter().flat_map(|chunk| chunk.iter()) {
            ascends &= last.is_none_or(|last| last < *fingerprint);
            last = Some(*fingerprint);
            digest ^= fingerprint;
            count = count.saturating_add(1);
        }
        let is_sound = ascends && count <= MAX_REVOCATIONS;
        is_sound.then_some(Revocations { key, number, newest, count, digest, chunks })
    }

    /// Whether a passport is revoked, by the issuer at its root and its id.
    pub fn contains_passport(&self, issuer: &str, id: &str) -> bool {
        // Most gates have empty sets: nothing is hashed to look it up there.
        self.count > 0 && self.contains(self.key.passport(issuer, id))
    }

    /// Whether a badge is revoked, by its issuer and its id in lower case.
    pub fn contains_badge(&self, issuer: &str, id: &str) -> bool {
        self.count > 0 && self.contains(self.key.badge(issuer, id))
    }

    /// Whether an agent is disabled, by the issuer in whose name it is known, and its id.
    pub fn contains_agent(&self, issuer: &str, id: &str) -> bool {
        self.count > 0 && self.contains(self.key.agent(issuer, id))
    }

    /// The set in three numbers, as a head names it.
    pub fn state(&self) -> RevocationState {
        RevocationState { number: self.number, count: self.count, digest: self.digest }
    }

    /// The highest number of which it may have changes: above that of
    /// [`state`](Self::state) where pages of different numbers were put together.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// The fingerprints, ascending.
    pub fn fingerprints(&self) -> Vec<u64> {
        self.chunks.concat()
    }

    /// The set after a delta, which may begin before this set's number: it says how things
    /// stand, not what was done.
    ///
    /// # Errors
    /// [`LiveError::Mismatch`] where the delta begins after what the set has, is of another
    /// key, or makes the set too large; [`LiveError::WentBack`] where the set may have
    /// changes that the delta does not know of.
    pub fn apply(&self, delta: &RevocationDelta) -> Result<Self, LiveError> {
        if delta.key != self.key {
            return Err(LiveError::Mismatch("the delta's fingerprints are of another key"));
        }
        if delta.since > self.number {
            return Err(LiveError::Mismatch("the delta begins after what the gate has"));
        }
        if delta.number < self.newest {
            return Err(LiveError::WentBack);
        }
        let (mut added, mut removed) = (delta.added.as_slice(), delta.removed.as_slice());
        let mut set = Revocations {
            number: delta.number,
            newest: delta.number,
            chunks: Vec::with_capacity(self.chunks.len()),
            ..*self
        };
        // An empty set is one empty chunk.
        for index in 0..self.chunks.len().max(1) {
            let shared = self.chunks.get(index);
            let old: &[u64] = shared.map_or(&[], |chunk| chunk);
            // A chunk's range ends where the next one begins.
            let end = index.checked_add(1).and_then(|next| self.chunks.get(next)?.first().copied());
            let (new, gone) = (before(&mut added, end), before(&mut removed, end));
            match shared {
                Some(chunk) if new.is_empty() && gone.is_empty() => set.chunks.push(Arc::clone(chunk)),
                _ => set.replace(old, &merged(old, new, gone)),
            }
        }
        (set.count <= MAX_REVOCATIONS)
            .then_some(set)
            .ok_or(LiveError::Mismatch("there are more revocations than a gate holds"))
    }

    /// Adds chunks that have `new` where the set before had `old`.
    fn replace(&mut self, old: &[u64], new: &[u64]) {
        self.digest = old.iter().chain(new).fold(self.digest, |digest, fingerprint| digest ^ fingerprint);
        self.count = self.count.saturating_sub(length(old)).saturating_add(length(new));
        self.chunks.extend(chunks(new));
    }

    fn contains(&self, fingerprint: u64) -> bool {
        let after =
            self.chunks.partition_point(|chunk| chunk.first().is_some_and(|first| *first <= fingerprint));
        let chunk = after.checked_sub(1).and_then(|at| self.chunks.get(at));
        chunk.is_some_and(|chunk| chunk.binary_search(&fingerprint).is_ok())
    }
}

/// A set that may have millions of entries is not printed.
impl fmt::Debug for Revocations {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Revocations({:?})", self.state())
    }
}

/// Chunks of ascending fingerprints, of like sizes: that to which one is added has room for
/// the next.
pub(super) fn chunks(fingerprints: &[u64]) -> impl Iterator<Item = Chunk> {
    let count = fingerprints.len().div_ceil(MAX_CHUNK).max(1);
    fingerprints.chunks(fingerprints.len().div_ceil(count).max(1)).map(Chunk::from)
}

/// Takes what is before `end` from ascending fingerprints: all of them where there is none.
fn before<'f>(fingerprints: &mut &'f [u64], end: Option<u64>) -> &'f [u64] {
    let at = fingerprints.partition_point(|fingerprint| end.is_none_or(|end| *fingerprint < end));
    let (taken, left) = fingerprints.split_at_checked(at).unwrap_or((fingerprints, &[]));
    *fingerprints = left;
    taken
}

fn length(fingerprints: &[u64]) -> u64 {
    u64::try_from(fingerprints.len()).unwrap_or(u64::MAX)
}

/// One pass over three ascending lists.
fn merged(old: &[u64], added: &[u64], removed: &[u64]) -> Vec<u64> {
    let mut merged = Vec::with_capacity(old.len().saturating_add(added.len()));
    let mut added = added.iter().copied().peekable();
    let mut removed = removed.iter().copied().peekable();
    for &fingerprint in old {
        while let Some(new) = added.next_if(|new| *new < fingerprint) {
            merged.push(new);
        }
        added.next_if_eq(&fingerprint);
        while removed.next_if(|gone| *gone < fingerprint).is_some() {}
        if removed.next_if_eq(&fingerprint).is_none() {
            merged.push(fingerprint);
        }
    }
    merged.extend(added);
    merged
}
