//! All that a gate remembers of requests.

use crate::counters::{Charged, CounterFault, CounterKey, Counters, LocalCounters, Usage};
use crate::guardrails::{Cap, Limits, Spend, SpendAccount, SpendFault, Taken, Window};
use crate::process::Process;
use crate::replay::{LocalReplay, Novelty, Once, Replay, ReplayFault};
use crate::time::UnixTime;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// What was used once, how often things were done, and what was spent.
pub trait Memory: Replay + Counters + Spend {}

impl<T: Replay + Counters + Spend> Memory for T {}

/// A memory that nobody shares, for tests, tools and hosts that run one gate in one process.
/// It is lost with the process.
#[derive(Debug)]
pub struct LocalMemory {
    replay: LocalReplay,
    counters: LocalCounters,
    spent: LocalSpend,
}

/// What was spent, each amount with its time. Unbounded: an entry for every request that
/// costs.
#[derive(Debug, Default)]
struct LocalSpend(BTreeMap<String, Vec<(UnixTime, u64)>>);

impl LocalMemory {
    /// A memory with nothing in it.
    pub fn new(process: &Process) -> Self {
        LocalMemory {
            replay: LocalReplay::new(process.replay_secret()),
            counters: LocalCounters::new(process.counter_secret()),
            spent: LocalSpend::default(),
        }
    }
}

impl Replay for LocalMemory {
    fn insert(&mut self, once: &Once, now: UnixTime) -> Result<Novelty, ReplayFault> {
        self.replay.insert(once, now)
    }
}

impl Counters for LocalMemory {
    fn usage(&mut self, key: &CounterKey, now: UnixTime) -> Result<Usage, CounterFault> {
        self.counters.usage(key, now)
    }

    fn charge(&mut self, key: &CounterKey, limits: &Limits, now: UnixTime) -> Result<Charged, CounterFault> {
        self.counters.charge(key, limits, now)
    }
}

impl Spend for LocalMemory {
    fn take(&mut self, account: &SpendAccount, cents: u64, now: UnixTime) -> Result<Taken, SpendFault> {
        const DAY_MS: i64 = 86_400_000;
        let spent = self.spent.0.entry(account.id()).or_default();
        let mut nearest: Option<Taken> = None;
        for cap in account.caps.iter() {
            let from = match cap.window {
                Window::Daily => now.as_millis().div_euclid(DAY_MS).saturating_mul(DAY_MS),
                Window::Rolling(days) => {
                    now.plus_millis(i64::from(days).saturating_mul(DAY_MS).saturating_neg()).as_millis()
                }
                Window::Total => i64::MIN,
            };
            let within = spent.iter().filter(|(at, _)| at.as_millis() >= from).map(|(_, cents)| *cents);
            let before = within.fold(0, u64::saturating_add);
            let with_this = before.saturating_add(cents);
            if with_this > cap.cents {
                return Err(SpendFault::Exhausted { spent: before, cap });
            }
            let left = |spent: u64, cap: Cap| cap.cents.saturating_sub(spent);
            if nearest.is_none_or(|known| left(with_this, cap) < left(known.spent, known.cap)) {
                nearest = Some(Taken { spent: with_this, cap });
            }
        }
        spent.push((now, cents));
        nearest.ok_or(SpendFault::Unavailable("an account without caps"))
    }

    fn give_back(&mut self, account: &SpendAccount, cents: u64, now: UnixTime) {
        if let Some(spent) = self.spent.0.get_mut(&account.id())
            && let Some(at) = spent.iter().rposition(|taken| *taken == (now, cents))
        {
            spent.remove(at);
        }
    }
}
