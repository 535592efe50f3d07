//! A page of a gate's leases, as pure functions of its bytes: read, changed, and written
//! back by compare-and-swap.
//!
//! Whatever changes here in layout or number needs another [`Leases::LAYOUT`].

use super::entry::{Entry, Lease, joined};
use super::need::LEASES;
use super::{SpendCaps, SpendLevel, SpendNames, SpendUsed, day_of};
use crate::ed25519::sha256;
use crate::live::{SpendAnswer, SpendAsk};
use crate::time::UnixTime;
use alloc::vec::Vec;
use core::fmt;

/// Pages for accounts that an issuer vouches for. With 32 entries each, some 3,000
/// accounts fit that are all in use within five minutes; 160 pages of full entries are
/// 7.9 MB, and none is made before it is needed.
const VOUCHED_PAGES: u32 = 128;

/// Pages for passports that are self-issued or were delegated: of both, agents can make any number.
const MADE_UP_PAGES: u32 = 32;

/// A request reads and writes a page as a whole: some ten KiB with names of usual length.
const ENTRIES: usize = 32;

/// Of the three names together. Ids have 256 characters at most; whose permission is
/// longer than the rest cannot have caps that the service counts.
const MAX_NAMES: usize = 1024;

/// A full entry: 125 bytes, the lease that is asked for, leases of 45 bytes, names.
const MAX_ENTRY: usize = 2 + 125 + 24 + LEASES * 45 + MAX_NAMES;

const MAGIC: [u8; 4] = *b"psl1";

/// A page: what accounts hold, and what the service said of them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Leases {
    entries: Vec<Entry>,
}

/// What became of an amount.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Taken {
    /// It is spent. The page must be written before anything is done by it. How far the
    /// tightest cap is used with it, where that is known.
    Taken(Option<SpendLevel>),
    /// Nothing is there yet: it is asked for once the page is written.
    Pending,
    /// A cap does not leave it.
    Exhausted(SpendLevel),
}

/// Why a page cannot say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LeaseFault {
    /// It is no page of this layout.
    Damaged,
    /// It has as many accounts as it may, all in use.
    Full,
    /// Issuer, passport and permission have more than 1,018 bytes together.
    LongNames,
}

impl Leases {
    /// The version of the layout, of which whoever names pages takes note.
    pub const LAYOUT: u32 = 1;

    /// How many pages there are.
    pub const COUNT: u32 = VOUCHED_PAGES + MADE_UP_PAGES;

    /// The size of a full page in bytes.
    pub const MAX_BYTES: usize = MAGIC.len() + ENTRIES * MAX_ENTRY;

    /// The number of the page that an account is on. `secret` is the process's own, so that
    /// nobody can search for accounts that meet in one page.
    pub fn page_of(account: &[u8; 32], is_made_up: bool, secret: &[u8; 32]) -> u32 {
        // INVARIANT: both lengths are fixed, and nobody sees the hash.
        let hash = sha256([*secret, *account].as_flattened());
        let chosen = hash.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        if is_made_up { VOUCHED_PAGES.saturating_add(chosen % MADE_UP_PAGES) } else { chosen % VOUCHED_PAGES }
    }

    /// Reads a page.
    ///
    /// # Errors
    /// [`LeaseFault::Damaged`].
    pub fn decode(bytes: &[u8]) -> Result<Self, LeaseFault> {
        let mut from = bytes.strip_prefix(&MAGIC).ok_or(LeaseFault::Damaged)?;
        let mut entries = Vec::new();
        // Each turn reads two bytes at least, and no page has more entries than it may.
        while !from.is_empty() {
            if entries.len() >= ENTRIES {
                return Err(LeaseFault::Damaged);
            }
            entries.push(Entry::read(&mut from).ok_or(LeaseFault::Damaged)?);
        }
        Ok(Leases { entries })
    }

    /// The page's bytes, for [`Self::decode`].
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for entry in &self.entries {
            entry.write(&mut bytes);
        }
        bytes
    }

    /// Whether nothing is known of any account.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Spends so many cents of what an account holds.
    ///
    /// # Errors
    /// [`LeaseFault`].
    pub fn take(
        &mut self,
        names: &SpendNames<'_>,
        caps: &SpendCaps,
        cents: u64,
        now: UnixTime,
    ) -> Result<Taken, LeaseFault> {
        let Some((window, cap_cents)) = caps.smallest() else { return Ok(Taken::Taken(None)) };
        let (account, day, now) = (names.id(), day_of(now), seconds(now));
        let known = self.find(&account, caps);
        if cents == 0 {
            return Ok(Taken::Taken(known.map(|entry| entry.level(day, now))));
        }
        if cents > cap_cents {
            let level = known.map(|entry| entry.used(day, now).of(window));
            return Ok(Taken::Exhausted(SpendLevel {
                window,
                used_cents: level.unwrap_or_default(),
                cap_cents,
            }));
        }
        if known.is_none() {
            self.insert(names, account, caps)?;
        }
        let entry = self.find(&account, caps).ok_or(LeaseFault::Full)?;
        entry.used_at = now;
        entry.last_cost = cents;
        if entry.available(now) >= cents {
            entry.spend(cents, now);
            return Ok(Taken::Taken(Some(entry.level(day, now))));
        }
        entry.waiting = entry.waiting.max(cents);
        Ok(match entry.exhausted_on(day) {
            Some(window) => Taken::Exhausted(entry.level_of(window, day, now)),
            None => Taken::Pending,
        })
    }

    /// Takes back what a request was to spend that did not go on. Where its lease is over,
    /// it counts as spent.
    pub fn give_back(&mut self, names: &SpendNames<'_>, caps: &SpendCaps, cents: u64, now: UnixTime) {
        let now = seconds(now);
        let Some(entry) = self.find(&names.id(), caps) else { return };
        let mut left = cents;
        for lease in entry.leases.iter_mut().filter(|lease| lease.is_open(now)) {
            let part = left.min(lease.spent);
            lease.spent = lease.spent.saturating_sub(part);
            left = left.saturating_sub(part);
        }
    }

    /// Whether there is something to ask or to report.
    pub fn is_due(&self, now: UnixTime) -> bool {
        let (day, now) = (day_of(now), seconds(now));
        self.entries.iter().any(|entry| entry.is_due(day, now) || entry.is_idle(now))
    }

    /// What is to be asked and reported now, of `room` entries at most. The page must be
    /// written before it is sent: what is reported as done is not used any more.
    /// `lease_id` gives random names for leases.
    pub fn wanted(
        &mut self,
        now: UnixTime,
        room: usize,
        mut lease_id: impl FnMut() -> [u8; 16],
    ) -> Vec<SpendAsk> {
        let (day, now) = (day_of(now), seconds(now));
        self.entries.retain(|entry| !(entry.is_idle(now) && entry.holds_nothing()));
        let due = self.entries.iter_mut().filter(|entry| entry.is_due(day, now));
        due.take(room).filter_map(|entry| entry.ask(day, now, &mut lease_id)).collect()
    }

    /// Takes up the answer to what this page asked. A second time it changes nothing.
    pub fn settle(&mut self, asks: &[SpendAsk], answer: &SpendAnswer, now: UnixTime) {
        let now = seconds(now);
        for (ask, told) in asks.iter().zip(&answer.accounts) {
            let Some(entry) = self.find(&ask.account, &ask.caps) else { continue };
            entry.acknowledge(&ask.spent);
            if entry.asked_at == 0 || entry.asked.map(|asked| asked.lease) != ask.lease {
                continue;
            }
            entry.asked_at = 0;
            entry.answered_at = now;
            entry.day = u32::try_from(answer.day).unwrap_or(u32::MAX);
            entry.used = told.used;
            let Some(asked) = entry.asked.take() else { continue };
            entry.exhausted = told.exhausted;
            entry.waiting = 0;
            entry.last_grant = told.granted_cents;
            if told.granted_cents > 0 && entry.leases.iter().all(|lease| lease.id != asked.lease) {
                entry.leases.push(Lease {
                    id: asked.lease,
                    expires: seconds(told.expires_at),
                    granted: told.granted_cents,
                    spent: 0,
                    reported: 0,
                    is_closed: false,
                });
            }
        }
    }

    fn find(&mut self, account: &[u8; 32], caps: &SpendCaps) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.account == *account && entry.caps == *caps)
    }

    fn insert(
        &mut self,
        names: &SpendNames<'_>,
        account: [u8; 32],
        caps: &SpendCaps,
    ) -> Result<(), LeaseFault> {
        let names = joined([names.issuer, names.passport_id, names.permission], MAX_NAMES)
            .ok_or(LeaseFault::LongNames)?;
        if self.entries.len() >= ENTRIES {
            let idlest = self.entries.iter().enumerate().filter(|(_, entry)| entry.holds_nothing());
            let (index, _) = idlest.min_by_key(|(_, entry)| entry.used_at).ok_or(LeaseFault::Full)?;
            self.entries.swap_remove(index);
        }
        self.entries.push(Entry {
            account,
            caps: *caps,
            names,
            used_at: 0,
            waiting: 0,
            last_cost: 0,
            last_grant: 0,
            asked_at: 0,
            asked: None,
            answered_at: 0,
            day: 0,
            used: SpendUsed::default(),
            exhausted: None,
            leases: Vec::new(),
        });
        Ok(())
    }
}

/// The second that a time is in, until 2106.
fn seconds(time: UnixTime) -> u32 {
    u32::try_from(time.as_millis().div_euclid(1000)).unwrap_or_default()
}

impl fmt::Display for LeaseFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            LeaseFault::Damaged => "a page of what accounts may spend is damaged",
            LeaseFault::Full => "there is no room for another account's spending",
            LeaseFault::LongNames => {
                "issuer, passport and permission are too long for spending to be counted"
            }
        })
    }
}

impl core::error::Error for LeaseFault {}
