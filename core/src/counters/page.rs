//! A page of a memory: a packed array of counts, as pure functions of its bytes.
//!
//! Whatever changes here in layout or number needs another [`CounterPage::LAYOUT`].

use super::{Charged, CounterClass, CounterFault, CounterKey, Usage, WINDOWS};
use crate::ed25519::sha256;
use crate::guardrails::Limits;
use crate::time::UnixTime;
use alloc::vec::Vec;
use core::fmt;

/// Pages of those whom an issuer vouches for, and of the two other classes. Full, all 1,536
/// take 11 MB of the process, which no page takes before it is needed. A hundred thousand
/// credentials are 98 to a page, with 256 places: that one is full is out of the question.
const PAGES: [u32; 3] = [1024, 256, 256];

/// Entries of a page. A request reads and writes a page as a whole: 7 KiB are copied in a
/// microsecond.
const ENTRIES: usize = 256;

/// Of the keyed hash. With 96 bits, that two of a memory's entries are the same is out of the
/// question.
const FINGERPRINT: usize = 12;

/// Fingerprint, the minute since 1970 of the last count, and three counts, in 4 bytes each.
const ENTRY: usize = FINGERPRINT + 4 + 3 * 4;

/// Label and layout.
const MAGIC: [u8; 4] = *b"pct1";

/// What keys the hashes of a memory. Made at random, once for a memory.
#[derive(Clone)]
pub struct CounterSecret([u8; 32]);

/// Where a memory keeps a count, and as what.
#[derive(Clone, Copy, Debug)]
pub struct CounterTrace {
    page: u32,
    fingerprint: [u8; FINGERPRINT],
}

/// A page.
#[derive(Clone, Debug)]
pub struct CounterPage {
    bytes: Vec<u8>,
}

impl CounterSecret {
    /// Takes 32 bytes, which must be random and be told to nobody.
    pub const fn new(bytes: [u8; 32]) -> Self {
        CounterSecret(bytes)
    }

    /// Where something is counted.
    pub fn trace(&self, key: &CounterKey) -> CounterTrace {
        // INVARIANT: the lengths are fixed, and nobody sees the hash, so there is nothing
        // to extend.
        let hash = sha256([self.0, key.digest].as_flattened());
        let (fingerprint, rest) =
            hash.split_first_chunk().map_or(([0; FINGERPRINT], &[][..]), |(f, r)| (*f, r));
        let chosen = rest.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let [vouched, self_issued, anonymous] = PAGES;
        let (first, count) = match key.class {
            CounterClass::Vouched => (0, vouched),
            CounterClass::SelfIssued => (vouched, self_issued),
            CounterClass::Anonymous => (vouched.saturating_add(self_issued), anonymous),
        };
        let page = first.saturating_add(chosen.checked_rem(count).unwrap_or_default());
        CounterTrace { page, fingerprint }
    }
}

impl fmt::Debug for CounterSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CounterSecret")
    }
}

impl CounterTrace {
    /// The number of its page, less than [`CounterPage::COUNT`].
    pub fn page(&self) -> u32 {
        self.page
    }
}

impl CounterPage {
    /// The version of the layout, of which whoever names pages takes note.
    pub const LAYOUT: u32 = 1;

    /// How many pages a memory has.
    pub const COUNT: u32 = PAGES[0] + PAGES[1] + PAGES[2];

    /// The size of a full page in bytes.
    pub const MAX_BYTES: usize = MAGIC.len() + ENTRIES * ENTRY;

    /// A page with nothing on it.
    pub fn empty() -> Self {
        CounterPage { bytes: MAGIC.to_vec() }
    }

    /// Reads a page.
    ///
    /// # Errors
    /// [`CounterFault::Unavailable`] if it is no page of this layout.
    pub fn decode(bytes: Vec<u8>) -> Result<Self, CounterFault> {
        let whole = bytes.len().checked_sub(MAGIC.len()).is_some_and(|size| size % ENTRY == 0);
        if whole && bytes.len() <= Self::MAX_BYTES && bytes.starts_with(&MAGIC) {
            Ok(CounterPage { bytes })
        } else {
            Err(CounterFault::Unavailable("a page of the memory of counts is damaged"))
        }
    }

    /// The page's bytes, for [`Self::decode`].
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many entries there are, of those too whose time is over.
    pub fn len(&self) -> usize {
        self.entries().count()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How often it was done.
    ///
    /// # Errors
    /// [`CounterFault::Unavailable`] for a time that is out of reach.
    pub fn usage(&self, trace: &CounterTrace, now: UnixTime) -> Result<Usage, CounterFault> {
        let now = minute(now)?;
        let entry = self.entries().find(|entry| entry.fingerprint == trace.fingerprint);
        Ok(Usage(entry.map_or([0; 3], |entry| entry.at(now))))
    }

    /// Counts it in the windows that have a limit and drops what is over, unless one of the
    /// limits is reached. Otherwise changes nothing.
    ///
    /// # Errors
    /// [`CounterFault`].
    pub fn charge(
        &mut self,
        trace: &CounterTrace,
        limits: &Limits,
        now: UnixTime,
    ) -> Result<Charged, CounterFault> {
        let now = minute(now)?;
        let known = self.entries().find(|entry| entry.fingerprint == trace.fingerprint);
        let mut counts = known.as_ref().map_or([0; 3], |entry| entry.at(now));
        let used = Usage(counts);
        for (window, (count, limit)) in counts.iter_mut().zip(limits.0).enumerate() {
            if let Some(limit) = limit {
                if *count >= limit {
                    return Ok(Charged::Over { window, used });
                }
                *count = count.saturating_add(1);
            }
        }
        // A clock that was set back begins no window anew.
        let minute = known.map_or(now, |entry| entry.minute.max(now));
        let counted = Entry { fingerprint: trace.fingerprint, minute, counts };
        let mut bytes = Vec::with_capacity(self.bytes.len().saturating_add(ENTRY));
        bytes.extend_from_slice(&MAGIC);
        let others =
            self.entries().filter(|entry| entry.fingerprint != trace.fingerprint && entry.at(now) != [0; 3]);
        for entry in others.chain([counted]) {
            bytes.extend_from_slice(&entry.fingerprint);
            bytes.extend_from_slice(&entry.minute.to_le_bytes());
            for count in entry.counts {
                bytes.extend_from_slice(&count.to_le_bytes());
            }
        }
        if bytes.len() > Self::MAX_BYTES {
            return Err(CounterFault::Full);
        }
        self.bytes = bytes;
        Ok(Charged::Done(Usage(counts)))
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        let (entries, _) = self.bytes.get(MAGIC.len()..).unwrap_or_default().as_chunks::<ENTRY>();
        entries.iter().filter_map(Entry::read)
    }
}

struct Entry {
    fingerprint: [u8; FINGERPRINT],
    minute: u32,
    counts: [u32; 3],
}

impl Entry {
    /// INVARIANT: an entry is as long as its parts, so there always is one.
    fn read(bytes: &[u8; ENTRY]) -> Option<Self> {
        let (fingerprint, rest) = bytes.split_first_chunk()?;
        let (minute, rest) = rest.split_first_chunk()?;
        let (counts, _) = rest.as_chunks();
        let [first, second, third] = counts else { return None };
        let counts = [*first, *second, *third].map(u32::from_le_bytes);
        Some(Entry { fingerprint: *fingerprint, minute: u32::from_le_bytes(*minute), counts })
    }

    /// The counts of the windows that are not over in this minute.
    fn at(&self, now: u32) -> [u32; 3] {
        let mut counts = self.counts;
        for (count, seconds) in counts.iter_mut().zip(WINDOWS) {
            let window = |minute: u32| minute.checked_div(seconds / 60);
            if window(self.minute) < window(now) {
                *count = 0;
            }
        }
        counts
    }
}

/// The minute that a time is in, since 1970.
fn minute(now: UnixTime) -> Result<u32, CounterFault> {
    u32::try_from(now.as_millis().div_euclid(60_000))
        .map_err(|_| CounterFault::Unavailable("a time is out of reach of the memory of counts"))
}
