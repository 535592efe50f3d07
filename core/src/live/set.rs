//! The set of what is revoked.

use super::error::LiveError;
use super::fingerprint::FingerprintKey;
use super::head::RevocationState;
use super::revocations::RevocationDelta;
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
    digest: u64,
    /// Ascending, each once. Eight bytes for each, where a tree would take some twenty.
    fingerprints: Vec<u64>,
}

impl Revocations {
    /// A set as it was at `number`. `None` unless the fingerprints ascend, each once, and
    /// are no more than a gate holds.
    pub fn new(key: FingerprintKey, number: u64, fingerprints: Vec<u64>) -> Option<Self> {
        Self::of_pages(key, number, number, fingerprints)
    }

    /// A set put together from pages of different numbers, `number` to `newest`.
    pub(super) fn of_pages(
        key: FingerprintKey,
        number: u64,
        newest: u64,
        fingerprints: Vec<u64>,
    ) -> Option<Self> {
        let count = u64::try_from(fingerprints.len()).unwrap_or(u64::MAX);
        let is_sound = fingerprints.is_sorted_by(|left, right| left < right) && count <= MAX_REVOCATIONS;
        let digest = fingerprints.iter().fold(0, |digest, fingerprint| digest ^ fingerprint);
        is_sound.then_some(Revocations { key, number, newest, digest, fingerprints })
    }

    /// Whether a passport is revoked, by the issuer at its root and its id.
    pub fn contains_passport(&self, issuer: &str, id: &str) -> bool {
        // Most gates have empty sets: nothing is hashed to look it up there.
        !self.fingerprints.is_empty() && self.contains(self.key.passport(issuer, id))
    }

    /// Whether a badge is revoked, by its issuer and its id in lower case.
    pub fn contains_badge(&self, issuer: &str, id: &str) -> bool {
        !self.fingerprints.is_empty() && self.contains(self.key.badge(issuer, id))
    }

    /// Whether an agent is disabled, by the issuer in whose name it is known, and its id.
    pub fn contains_agent(&self, issuer: &str, id: &str) -> bool {
        !self.fingerprints.is_empty() && self.contains(self.key.agent(issuer, id))
    }

    /// The set in three numbers, as a head names it.
    pub fn state(&self) -> RevocationState {
        let count = u64::try_from(self.fingerprints.len()).unwrap_or(u64::MAX);
        RevocationState { number: self.number, count, digest: self.digest }
    }

    /// The highest number of which it may have changes: above that of
    /// [`state`](Self::state) where pages of different numbers were put together.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// The fingerprints, ascending.
    pub fn fingerprints(&self) -> &[u64] {
        &self.fingerprints
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
        let fingerprints = merged(&self.fingerprints, &delta.added, &delta.removed);
        Self::of_pages(self.key, delta.number, delta.number, fingerprints)
            .ok_or(LiveError::Mismatch("there are more revocations than a gate holds"))
    }

    fn contains(&self, fingerprint: u64) -> bool {
        self.fingerprints.binary_search(&fingerprint).is_ok()
    }
}

/// A set that may have millions of entries is not printed.
impl fmt::Debug for Revocations {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Revocations({:?})", self.state())
    }
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
