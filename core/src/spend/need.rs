//! When an account needs another lease, how much, and what the service is told.

use super::entry::{Asked, Entry, Lease};
use super::{SpendLevel, SpendUsed, SpendWindow};
use crate::live::{LeaseSpent, SpendAsk};
use alloc::borrow::ToOwned;
use alloc::vec::Vec;

/// Of an entry. One is in use, one was asked for ahead of need, the others wait for the
/// service to know that they are over.
pub(super) const LEASES: usize = 8;

/// Who asked and heard nothing asks again. The service answers within one.
const ASK_AGAIN_SECONDS: u32 = 3;

/// How often the service is asked whether there is room again. Requests are refused
/// meanwhile without a question.
const LOOK_AGAIN_SECONDS: u32 = 10;

/// How long what was spent may be unknown to the service. Nothing is decided by it there.
const REPORT_SECONDS: u32 = 30;

/// What nobody used for so long is given back, so that other gates can have it.
const IDLE_SECONDS: u32 = 300;

impl Entry {
    /// Takes what is known to be available.
    pub(super) fn spend(&mut self, cents: u64, now: u32) {
        let mut left = cents;
        for lease in &mut self.leases {
            let part = left.min(lease.available(now));
            lease.spent = lease.spent.saturating_add(part);
            left = left.saturating_sub(part);
        }
    }

    /// What counts in each window, by the last answer and what was spent here since.
    pub(super) fn used(&self, day: u64, now: u32) -> SpendUsed {
        let spent = |is_counted: &dyn Fn(&Lease) -> bool| {
            let counted = self.leases.iter().filter(|lease| is_counted(lease));
            counted.map(|lease| lease.spent).fold(0, u64::saturating_add)
        };
        let today = if u64::from(self.day) == day { self.used.daily } else { 0 };
        let all = spent(&|_| true);
        SpendUsed {
            daily: today.saturating_add(spent(&|lease| now < lease.expires)),
            rolling: self.used.rolling.saturating_add(all),
            total: self.used.total.saturating_add(all),
        }
    }

    /// How far the tightest cap is used.
    pub(super) fn level(&self, day: u64, now: u32) -> SpendLevel {
        let used = self.used(day, now);
        let window = self.caps.room(&used).map_or(SpendWindow::Total, |(_, window)| window);
        self.level_of(window, day, now)
    }

    pub(super) fn level_of(&self, window: SpendWindow, day: u64, now: u32) -> SpendLevel {
        let cap = self.caps.each().find(|(of, _)| *of == window).map(|(_, cents)| cents);
        let used_cents = self.used(day, now).of(window);
        SpendLevel { window, used_cents, cap_cents: cap.unwrap_or_default() }
    }

    /// The cap that left too little, by an answer of this day: another day may have more.
    pub(super) fn exhausted_on(&self, day: u64) -> Option<SpendWindow> {
        self.exhausted.filter(|_| u64::from(self.day) == day)
    }

    /// Whether nothing is lost if it is forgotten.
    pub(super) fn holds_nothing(&self) -> bool {
        self.leases.is_empty() && self.asked_at == 0
    }

    pub(super) fn is_idle(&self, now: u32) -> bool {
        self.used_at.saturating_add(IDLE_SECONDS) <= now
    }

    pub(super) fn is_due(&self, day: u64, now: u32) -> bool {
        if self.asked_at != 0 && now < self.asked_at.saturating_add(ASK_AGAIN_SECONDS) {
            return false;
        }
        let unreported = || self.leases.iter().any(|lease| lease.spent != lease.reported);
        self.asked.is_some()
            || self.wants(day, now)
            || self.leases.iter().any(|lease| self.is_over(lease, now))
            || (self.answered_at.saturating_add(REPORT_SECONDS) <= now && unreported())
    }

    /// Whether a lease is good for nothing more.
    pub(super) fn is_over(&self, lease: &Lease, now: u32) -> bool {
        lease.available(now) == 0 || self.is_idle(now)
    }

    /// Whether another lease is wanted: a request waits for one, or one soon will.
    pub(super) fn wants(&self, day: u64, now: u32) -> bool {
        if self.leases.len() >= LEASES || self.is_idle(now) {
            return false;
        }
        let available = self.available(now);
        let may_look =
            self.exhausted_on(day).is_none() || self.answered_at.saturating_add(LOOK_AGAIN_SECONDS) <= now;
        let is_waited_for = self.waiting > available;
        let is_half_used = self.last_grant > 0 && available < self.last_grant / 2;
        may_look && (is_waited_for || is_half_used)
    }

    /// How much: ten requests' worth, or a twentieth of the smallest cap, whichever is
    /// more; but no more than a quarter of that cap, so that other gates find something,
    /// unless the request needs more.
    pub(super) fn want(&self) -> u64 {
        let cost = self.waiting.max(self.last_cost);
        let cap = self.caps.smallest().map_or(0, |(_, cents)| cents);
        cost.saturating_mul(10).max(cap / 20).min(cap / 4).max(cost)
    }

    pub(super) fn ask(
        &mut self,
        day: u64,
        now: u32,
        lease_id: &mut impl FnMut() -> [u8; 16],
    ) -> Option<SpendAsk> {
        if self.asked.is_none() && self.wants(day, now) {
            self.asked = Some(Asked { lease: lease_id(), want: self.want() });
        }
        let over: Vec<bool> = self.leases.iter().map(|lease| self.is_over(lease, now)).collect();
        for (lease, is_over) in self.leases.iter_mut().zip(over) {
            lease.is_closed |= is_over;
        }
        self.asked_at = now.max(1);
        let spent = self.leases.iter().map(|lease| LeaseSpent {
            lease: lease.id,
            spent_cents: lease.spent,
            is_done: lease.is_closed,
        });
        let spent = spent.collect();
        let [issuer, passport_id, permission] = self.names()?;
        Some(SpendAsk {
            account: self.account,
            issuer: issuer.to_owned(),
            passport_id: passport_id.to_owned(),
            permission: permission.to_owned(),
            caps: self.caps,
            lease: self.asked.map(|asked| asked.lease),
            want_cents: self.asked.map_or(0, |asked| asked.want),
            spent,
        })
    }

    /// The service knows of what was reported.
    pub(super) fn acknowledge(&mut self, reports: &[LeaseSpent]) {
        for report in reports {
            if report.is_done {
                self.leases.retain(|lease| lease.id != report.lease);
            } else if let Some(lease) = self.leases.iter_mut().find(|lease| lease.id == report.lease) {
                lease.reported = report.spent_cents;
            }
        }
    }
}
