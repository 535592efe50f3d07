//! A page of a memory: a packed array of what was used, as pure functions of its bytes.
//!
//! A memory is many pages, and each thing has one of them by a hash of its key and its
//! token. By the key alone a caller's share could be counted exactly, but one busy
//! caller would have a single page, and all that it sends would contend for it; by both,
//! a caller spreads evenly over all pages, and a share of every page is as good as a
//! share of the whole. The hash is under a secret of the process, so that nobody can
//! search for tokens that meet in one page.
//!
//! Whatever changes here in layout or number needs another [`ReplayPage::LAYOUT`].

use super::{Novelty, Once, ReplayFault};
use crate::ed25519::sha256;
use crate::time::UnixTime;
use alloc::vec::Vec;
use core::fmt;

/// Pages for callers whom an issuer vouches for.
///
/// Together with those below and full, 1,280 pages take 15.8 MB of the process, which no
/// page takes before it is needed. Their 524,288 entries are 4,300 requests a second with
/// signatures that can pass for two minutes, 1,700 with proofs that live for five.
const VOUCHED_PAGES: u32 = 1024;

/// Pages for self-issued keys. Anybody can make as many keys as it takes to fill these,
/// and must not crowd out others thereby.
const SELF_ISSUED_PAGES: u32 = 256;

/// Entries of a page. A request reads and writes a page as a whole: 12 KiB are copied
/// in a microsecond or two, which is little beside a signature's 100. Fewer entries
/// would fill unevenly: a page of these is full when all together are at 85 % or more.
const ENTRIES: usize = 512;

/// Entries of a page that one key may have: a quarter, so that it takes four keys to
/// fill the memory, and one alone can keep up 1,000 requests a second with signatures that
/// can pass for two minutes.
const QUOTA: usize = ENTRIES / 4;

/// Of the keyed hash of key and token. With 96 bits, two of a memory's entries being
/// taken for the same is out of the question.
const FINGERPRINT: usize = 12;

/// Of the keyed hash of a key. Two keys that meet, one pair in four thousand million,
/// share a quota.
const OWNER: usize = 4;

/// Fingerprint, owner, and two times as seconds since 1970 in 4 bytes, until 2106.
const ENTRY: usize = FINGERPRINT + OWNER + 4 + 4;

/// Label and layout; behind it the latest time of what was dropped.
const MAGIC: [u8; 4] = *b"prp1";
const HEADER: usize = 8;

/// What keys the hashes of a memory. Made at random, once for a memory.
#[derive(Clone)]
pub struct ReplaySecret([u8; 32]);

/// What a memory keeps of something: which page, and what stands there.
#[derive(Clone, Copy, Debug)]
pub struct Trace {
    page: u32,
    fingerprint: [u8; FINGERPRINT],
    owner: [u8; OWNER],
    until: UnixTime,
}

/// A page.
#[derive(Clone, Debug)]
pub struct ReplayPage {
    bytes: Vec<u8>,
}

impl ReplaySecret {
    /// Takes 32 bytes, which must be random and be told to nobody.
    pub const fn new(bytes: [u8; 32]) -> Self {
        ReplaySecret(bytes)
    }

    /// Where something is kept, and as what.
    pub fn trace(&self, once: &Once) -> Trace {
        // INVARIANT: the lengths are fixed and differ, so that no two inputs are the
        // same bytes, and nobody sees the hashes, so there is nothing to extend.
        let [both, key] = [&[self.0, once.key, once.token][..], &[self.0, once.key][..]]
            .map(|parts| sha256(parts.as_flattened()));
        let (fingerprint, rest) =
            both.split_first_chunk().map_or(([0; FINGERPRINT], &[][..]), |(f, r)| (*f, r));
        let chosen = rest.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let page = if once.self_issued {
            VOUCHED_PAGES.saturating_add(chosen % SELF_ISSUED_PAGES)
        } else {
            chosen % VOUCHED_PAGES
        };
        let owner = key.first_chunk().map_or([0; OWNER], |owner| *owner);
        Trace { page, fingerprint, owner, until: once.until }
    }
}

impl fmt::Debug for ReplaySecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ReplaySecret")
    }
}

impl Trace {
    /// The number of its page, less than [`ReplayPage::COUNT`].
    pub fn page(&self) -> u32 {
        self.page
    }
}

impl ReplayPage {
    /// The version of the layout, of which whoever names pages takes note.
    pub const LAYOUT: u32 = 2;

    /// How many pages a memory has.
    pub const COUNT: u32 = VOUCHED_PAGES + SELF_ISSUED_PAGES;

    /// The size of a full page in bytes.
    pub const MAX_BYTES: usize = HEADER + ENTRIES * ENTRY;

    /// A page with nothing on it.
    pub fn empty() -> Self {
        let mut bytes = MAGIC.to_vec();
        bytes.resize(HEADER, 0);
        ReplayPage { bytes }
    }

    /// Reads a page.
    ///
    /// # Errors
    /// [`ReplayFault::Unavailable`] if it is no page of this layout.
    pub fn decode(bytes: Vec<u8>) -> Result<Self, ReplayFault> {
        let whole = bytes.len().checked_sub(HEADER).is_some_and(|size| size % ENTRY == 0);
        if whole && bytes.len() <= Self::MAX_BYTES && bytes.starts_with(&MAGIC) {
            Ok(ReplayPage { bytes })
        } else {
            Err(ReplayFault::Unavailable("a page of the memory of what was used is damaged"))
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

    /// How full it is, in percent: at 100 there is no room for one more.
    pub fn fill_percent(&self) -> u64 {
        // INVARIANT: at most MAX_BYTES, so the product is small and the quotient at most 100.
        u64::try_from(self.len().saturating_mul(100) / ENTRIES).unwrap_or(100)
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes something down and drops what is over, if it was not there before.
    /// Otherwise changes nothing.
    ///
    /// # Errors
    /// [`ReplayFault`].
    pub fn insert(&mut self, trace: &Trace, now: UnixTime) -> Result<Novelty, ReplayFault> {
        let (now, until) = (seconds(now)?, seconds(trace.until)?);
        let live = || self.entries().filter(move |entry| entry.until >= now);
        if let Some(entry) = live().find(|entry| entry.fingerprint == trace.fingerprint) {
            let first = UnixTime::from_millis(i64::from(entry.first).saturating_mul(1000));
            return Ok(Novelty::Seen { first });
        }
        // Of what is over nothing is known. The second holds where a clock was set back
        // after others were dropped by it.
        if until < now || until <= self.forgotten() {
            return Err(ReplayFault::Unavailable("its time is over by the memory of what was used"));
        }
        if live().filter(|entry| entry.owner == trace.owner).count() >= QUOTA {
            return Err(ReplayFault::QuotaExceeded);
        }
        if live().count() >= ENTRIES {
            return Err(ReplayFault::Full);
        }
        let dropped = self.entries().filter(|entry| entry.until < now).map(|entry| entry.until);
        let forgotten = dropped.fold(self.forgotten(), u32::max);
        let mut bytes = Vec::with_capacity(self.bytes.len().saturating_add(ENTRY));
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&forgotten.to_le_bytes());
        let added = Entry { fingerprint: trace.fingerprint, owner: trace.owner, first: now, until };
        for entry in live().chain([added]) {
            bytes.extend_from_slice(&entry.fingerprint);
            bytes.extend_from_slice(&entry.owner);
            bytes.extend_from_slice(&entry.first.to_le_bytes());
            bytes.extend_from_slice(&entry.until.to_le_bytes());
        }
        self.bytes = bytes;
        Ok(Novelty::New)
    }

    /// The latest time of what was dropped.
    fn forgotten(&self) -> u32 {
        self.bytes
            .get(MAGIC.len()..)
            .and_then(<[u8]>::first_chunk)
            .map_or(0, |time| u32::from_le_bytes(*time))
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        let (entries, _) = self.bytes.get(HEADER..).unwrap_or_default().as_chunks::<ENTRY>();
        entries.iter().filter_map(Entry::read)
    }
}

struct Entry {
    fingerprint: [u8; FINGERPRINT],
    owner: [u8; OWNER],
    first: u32,
    /// The last second in which it counts.
    until: u32,
}

impl Entry {
    /// INVARIANT: an entry is as long as its parts, so there always is one.
    fn read(bytes: &[u8; ENTRY]) -> Option<Self> {
        let (fingerprint, rest) = bytes.split_first_chunk()?;
        let (owner, rest) = rest.split_first_chunk()?;
        let (first, rest) = rest.split_first_chunk()?;
        let until = rest.first_chunk()?;
        Some(Entry {
            fingerprint: *fingerprint,
            owner: *owner,
            first: u32::from_le_bytes(*first),
            until: u32::from_le_bytes(*until),
        })
    }
}

/// The second that a time is in. What is over within a second stays until its end.
fn seconds(time: UnixTime) -> Result<u32, ReplayFault> {
    u32::try_from(time.as_millis().div_euclid(1000))
        .map_err(|_| ReplayFault::Unavailable("a time is out of reach of the memory of what was used"))
}
