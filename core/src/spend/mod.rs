//! Spending that must survive a restart, and that several gates share: taken from leases
//! that the control service grants ahead of need.
//!
//! A gate asks for an amount before requests need it, and spends what it was granted
//! without asking anybody. What is granted counts as spent from then on, whoever holds it;
//! so no number of gates, workers and crashes overruns a cap. [`Leases`] is the gate's
//! book, a page of it; [`SpendQuestion`](crate::live::SpendQuestion) is how it asks.

mod entry;
mod need;
mod page;

pub use page::{LeaseFault, Leases, Taken};

use crate::ed25519::sha256;
use crate::json::{Object, Value, canonical_text};
use crate::time::UnixTime;
use alloc::format;
use alloc::string::String;

/// Whose spending it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SpendNames<'n> {
    /// The issuer at the root of the passport.
    pub issuer: &'n str,
    /// The ids of the passports from the root to the one that set the caps, with spaces
    /// between, which no id has.
    pub passport_id: &'n str,
    /// The permission that is used.
    pub permission: &'n str,
}

/// How much may be spent, in integer cents of at most 2^53. All that are there hold.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SpendCaps {
    /// Within a day of UTC.
    pub daily_cents: Option<u64>,
    /// Within some days.
    pub rolling: Option<Rolling>,
    /// Ever.
    pub total_cents: Option<u64>,
}

/// A cap over today and the days before it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rolling {
    /// How many days, today among them: 1 to [`Rolling::MOST_DAYS`].
    pub days: u16,
    /// How much, in cents.
    pub cents: u64,
}

impl Rolling {
    /// A leap year.
    pub const MOST_DAYS: u16 = 366;
}

/// The time over which a cap counts.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum SpendWindow {
    /// A day of UTC.
    Daily,
    /// Today and days before it.
    Rolling,
    /// All time.
    Total,
}

/// How much counts in each window, in cents.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SpendUsed {
    /// Today.
    pub daily: u64,
    /// In the days of the rolling cap; 0 where there is none.
    pub rolling: u64,
    /// Ever.
    pub total: u64,
}

/// How far a cap is used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SpendLevel {
    /// The cap's window.
    pub window: SpendWindow,
    /// What is used, in cents: spent here, and spent or held elsewhere.
    pub used_cents: u64,
    /// The cap, in cents.
    pub cap_cents: u64,
}

impl SpendNames<'_> {
    /// Whether it is of a credential that nobody vouches for: one that its agent has signed, a passport or
    /// a badge, or a passport that was delegated. Who makes such can make any number.
    pub fn is_made_up(&self) -> bool {
        let is_own = self.issuer.starts_with("self:") || self.issuer.starts_with("did:key:");
        is_own || self.passport_id.contains(' ')
    }

    /// The account's id: the SHA-256 of the RFC 8785 text of `issuer`, `passport_id` and
    /// `permission`.
    pub fn id(&self) -> [u8; 32] {
        let names = Object::from([
            ("issuer", Value::from(self.issuer)),
            ("passport_id", Value::from(self.passport_id)),
            ("permission", Value::from(self.permission)),
        ]);
        sha256(canonical_text(&names.into()).as_bytes())
    }
}

impl SpendCaps {
    /// Whether there is no cap.
    pub const fn is_empty(&self) -> bool {
        self.daily_cents.is_none() && self.rolling.is_none() && self.total_cents.is_none()
    }

    /// The caps that there are.
    pub fn each(&self) -> impl Iterator<Item = (SpendWindow, u64)> {
        let rolling = self.rolling.map(|rolling| (SpendWindow::Rolling, rolling.cents));
        let daily = self.daily_cents.map(|cents| (SpendWindow::Daily, cents));
        let total = self.total_cents.map(|cents| (SpendWindow::Total, cents));
        [daily, rolling, total].into_iter().flatten()
    }

    /// The smallest of them.
    pub fn smallest(&self) -> Option<(SpendWindow, u64)> {
        self.each().min_by_key(|(_, cents)| *cents)
    }

    /// What may still be had beside what is used, and the cap that says so. `None` where
    /// there is no cap.
    pub fn room(&self, used: &SpendUsed) -> Option<(u64, SpendWindow)> {
        let rooms = self.each().map(|(window, cap)| (cap.saturating_sub(used.of(window)), window));
        rooms.min_by_key(|(room, _)| *room)
    }
}

impl SpendUsed {
    /// What counts in a window.
    pub const fn of(&self, window: SpendWindow) -> u64 {
        match window {
            SpendWindow::Daily => self.daily,
            SpendWindow::Rolling => self.rolling,
            SpendWindow::Total => self.total,
        }
    }
}

impl SpendWindow {
    /// `daily`, `rolling` or `total`.
    pub const fn name(self) -> &'static str {
        match self {
            SpendWindow::Daily => "daily",
            SpendWindow::Rolling => "rolling",
            SpendWindow::Total => "total",
        }
    }

    /// The window of this name.
    pub fn named(name: &str) -> Option<Self> {
        [SpendWindow::Daily, SpendWindow::Rolling, SpendWindow::Total]
            .into_iter()
            .find(|window| window.name() == name)
    }
}

impl SpendLevel {
    /// `$12.50/$100.00 daily spend used`
    pub fn text(&self) -> String {
        format!("{}/{} {} spend used", dollars(self.used_cents), dollars(self.cap_cents), self.window.name())
    }
}

/// The day of UTC that a time is in, counted from 1970-01-01.
pub fn day_of(time: UnixTime) -> u64 {
    u64::try_from(time.as_millis().div_euclid(DAY_MS)).unwrap_or_default()
}

/// When a day of UTC is over.
pub fn end_of_day(day: u64) -> UnixTime {
    let next = i64::try_from(day).unwrap_or(i64::MAX).saturating_add(1);
    UnixTime::from_millis(next.saturating_mul(DAY_MS))
}

const DAY_MS: i64 = 86_400_000;

/// `$12.50`
pub fn dollars(cents: u64) -> String {
    format!("${}.{:02}", cents / 100, cents % 100)
}
