//! A memory of one's own.

use super::{Charged, CounterFault, CounterKey, CounterPage, CounterSecret, Counters, Usage};
use crate::guardrails::Limits;
use crate::time::UnixTime;
use alloc::collections::BTreeMap;

/// A memory that nobody shares, for tests, tools and hosts that run one gate in one process.
#[derive(Debug)]
pub struct LocalCounters {
    secret: CounterSecret,
    /// By number, those on which something was written.
    pages: BTreeMap<u32, CounterPage>,
}

impl LocalCounters {
    /// A memory with nothing in it.
    pub fn new(secret: CounterSecret) -> Self {
        LocalCounters { secret, pages: BTreeMap::new() }
    }
}

impl Counters for LocalCounters {
    fn usage(&mut self, key: &CounterKey, now: UnixTime) -> Result<Usage, CounterFault> {
        let trace = self.secret.trace(key);
        self.pages.get(&trace.page()).map_or(Ok(Usage::default()), |page| page.usage(&trace, now))
    }

    fn charge(&mut self, key: &CounterKey, limits: &Limits, now: UnixTime) -> Result<Charged, CounterFault> {
        let trace = self.secret.trace(key);
        self.pages.entry(trace.page()).or_insert_with(CounterPage::empty).charge(&trace, limits, now)
    }
}
