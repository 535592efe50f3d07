//! What a page has of one account under one set of caps.

use super::{Rolling, SpendCaps, SpendUsed, SpendWindow};
use alloc::vec::Vec;

/// An account under one set of caps. What was granted under some caps is never used under
/// others: a delegated passport may have smaller ones than its root, on the same account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    pub(super) account: [u8; 32],
    pub(super) caps: SpendCaps,
    /// Issuer, passport, permission: each with its length in two bytes before it.
    pub(super) names: Vec<u8>,
    /// When something was last taken or asked for, in seconds.
    pub(super) used_at: u32,
    /// What the largest of the requests needs that wait; 0 for none.
    pub(super) waiting: u64,
    /// What the last request cost.
    pub(super) last_cost: u64,
    /// What was granted last.
    pub(super) last_grant: u64,
    /// When the service was last asked, in seconds; 0 where nothing is under way.
    pub(super) asked_at: u32,
    /// The lease that is asked for.
    pub(super) asked: Option<Asked>,
    /// When the service answered last, in seconds.
    pub(super) answered_at: u32,
    /// The day of that answer.
    pub(super) day: u32,
    /// What it said is used, without the leases that are here.
    pub(super) used: SpendUsed,
    /// The cap that left less than was asked for.
    pub(super) exhausted: Option<SpendWindow>,
    pub(super) leases: Vec<Lease>,
}

/// A lease that is asked for. It has its name before it is granted, so that asking twice
/// grants once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Asked {
    pub(super) lease: [u8; 16],
    pub(super) want: u64,
}

/// What may be spent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Lease {
    pub(super) id: [u8; 16],
    /// From when it is good no more, in seconds.
    pub(super) expires: u32,
    pub(super) granted: u64,
    pub(super) spent: u64,
    /// What the service knows to be spent.
    pub(super) reported: u64,
    /// Nothing is taken from it any more; the service is yet to know.
    pub(super) is_closed: bool,
}

impl Entry {
    /// What can be taken now.
    pub(super) fn available(&self, now: u32) -> u64 {
        self.leases.iter().map(|lease| lease.available(now)).fold(0, u64::saturating_add)
    }

    /// The bytes of an entry, with their length before them.
    pub(super) fn write(&self, to: &mut Vec<u8>) {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&self.account);
        bytes.extend_from_slice(&self.caps.daily_cents.unwrap_or(u64::MAX).to_le_bytes());
        bytes.extend_from_slice(&self.caps.total_cents.unwrap_or(u64::MAX).to_le_bytes());
        let rolling = self.caps.rolling.unwrap_or(Rolling { days: 0, cents: 0 });
        bytes.extend_from_slice(&rolling.days.to_le_bytes());
        bytes.extend_from_slice(&rolling.cents.to_le_bytes());
        for number in [
            self.waiting,
            self.last_cost,
            self.last_grant,
            self.used.daily,
            self.used.rolling,
            self.used.total,
        ] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for seconds in [self.used_at, self.asked_at, self.answered_at, self.day] {
            bytes.extend_from_slice(&seconds.to_le_bytes());
        }
        bytes.push(match self.exhausted {
            None => 0,
            Some(SpendWindow::Daily) => 1,
            Some(SpendWindow::Rolling) => 2,
            Some(SpendWindow::Total) => 3,
        });
        bytes.push(u8::from(self.asked.is_some()));
        if let Some(asked) = self.asked {
            bytes.extend_from_slice(&asked.lease);
            bytes.extend_from_slice(&asked.want.to_le_bytes());
        }
        bytes.push(u8::try_from(self.leases.len()).unwrap_or(u8::MAX));
        for lease in &self.leases {
            bytes.extend_from_slice(&lease.id);
            bytes.extend_from_slice(&lease.expires.to_le_bytes());
            for cents in [lease.granted, lease.spent, lease.reported] {
                bytes.extend_from_slice(&cents.to_le_bytes());
            }
            bytes.push(u8::from(lease.is_closed));
        }
        bytes.extend_from_slice(&self.names);
        to.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_le_bytes());
        to.append(&mut bytes);
    }

    /// Reads an entry off the front.
    pub(super) fn read(from: &mut &[u8]) -> Option<Self> {
        let length = u16::from_le_bytes(take(from)?);
        let (mut bytes, rest) = from.split_at_checked(length.into())?;
        *from = rest;
        let from = &mut bytes;
        let account = take(from)?;
        let cap = |cents: u64| (cents != u64::MAX).then_some(cents);
        let (daily_cents, total_cents) = (cap(number(from)?), cap(number(from)?));
        let (days, cents) = (u16::from_le_bytes(take(from)?), number(from)?);
        let rolling = (days > 0).then_some(Rolling { days, cents });
        let (waiting, last_cost, last_grant) = (number(from)?, number(from)?, number(from)?);
        let used = SpendUsed { daily: number(from)?, rolling: number(from)?, total: number(from)? };
        let (used_at, asked_at) = (seconds(from)?, seconds(from)?);
        let (answered_at, day) = (seconds(from)?, seconds(from)?);
        let exhausted = match take(from)? {
            [0] => None,
            [1] => Some(SpendWindow::Daily),
            [2] => Some(SpendWindow::Rolling),
            [3] => Some(SpendWindow::Total),
            _ => return None,
        };
        let asked = if flag(from)? { Some(Asked { lease: take(from)?, want: number(from)? }) } else { None };
        let [count] = take(from)?;
        let leases = (0..count).map(|_| Lease::read(from)).collect::<Option<Vec<_>>>()?;
        Some(Entry {
            account,
            caps: SpendCaps { daily_cents, rolling, total_cents },
            names: from.to_vec(),
            used_at,
            waiting,
            last_cost,
            last_grant,
            asked_at,
            asked,
            answered_at,
            day,
            used,
            exhausted,
            leases,
        })
    }

    /// Issuer, passport, permission.
    pub(super) fn names(&self) -> Option<[&str; 3]> {
        let mut from = self.names.as_slice();
        let mut name = || {
            let length = u16::from_le_bytes(take(&mut from)?);
            let (name, rest) = from.split_at_checked(length.into())?;
            from = rest;
            core::str::from_utf8(name).ok()
        };
        Some([name()?, name()?, name()?])
    }
}

/// Three names, each with its length before it; `None` where they are too long together.
pub(super) fn joined(names: [&str; 3], most: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for name in names {
        bytes.extend_from_slice(&u16::try_from(name.len()).ok()?.to_le_bytes());
        bytes.extend_from_slice(name.as_bytes());
    }
    (bytes.len() <= most).then_some(bytes)
}

impl Lease {
    /// What can be taken of it now.
    pub(super) fn available(&self, now: u32) -> u64 {
        if self.is_open(now) { self.granted.saturating_sub(self.spent) } else { 0 }
    }

    pub(super) fn is_open(&self, now: u32) -> bool {
        !self.is_closed && now < self.expires
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        Some(Lease {
            id: take(from)?,
            expires: seconds(from)?,
            granted: number(from)?,
            spent: number(from)?,
            reported: number(from)?,
            is_closed: flag(from)?,
        })
    }
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*bytes)
}

fn number(from: &mut &[u8]) -> Option<u64> {
    take(from).map(u64::from_le_bytes)
}

fn seconds(from: &mut &[u8]) -> Option<u32> {
    take(from).map(u32::from_le_bytes)
}

fn flag(from: &mut &[u8]) -> Option<bool> {
    match take(from)? {
        [0] => Some(false),
        [1] => Some(true),
        _ => None,
    }
}
