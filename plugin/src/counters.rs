//! How often things were done, as the workers of a proxy count it together.

use crate::replay::SharedReplay;
use crate::shared::{Store, create, get, name, set};
use alloc::format;
use alloc::string::String;
use portcullis_core::guardrails::Limits;
use portcullis_core::{
    Charged, CounterFault, CounterKey, CounterPage, CounterTrace, Counters, ReplayFault, UnixTime, Usage,
};

/// How often a page is read and changed before it is given up. All that one agent does is
/// counted on one page, so workers meet there when it does much; but each time that one fails
/// another has succeeded.
const TRIES: u32 = 64;

impl<S: Store> SharedReplay<S> {
    /// Where something is counted.
    fn counted(&mut self, key: &CounterKey) -> Result<(CounterTrace, String), CounterFault> {
        let process = self.process().map_err(|fault| match fault {
            ReplayFault::Unavailable(problem) => CounterFault::Unavailable(problem),
            ReplayFault::Full | ReplayFault::QuotaExceeded => UNREADABLE,
        })?;
        let trace = process.counter_secret().trace(key);
        let name = name(&format!("counters.{}", trace.page()));
        Ok((trace, name))
    }
}

impl<S: Store> Counters for SharedReplay<S> {
    fn usage(&mut self, key: &CounterKey, now: UnixTime) -> Result<Usage, CounterFault> {
        let (trace, name) = self.counted(key)?;
        match get(&mut self.store, &name).map_err(|_| UNREADABLE)? {
            Some((page, _)) => CounterPage::decode(page)?.usage(&trace, now),
            None => Ok(Usage::default()),
        }
    }

    fn charge(&mut self, key: &CounterKey, limits: &Limits, now: UnixTime) -> Result<Charged, CounterFault> {
        let (trace, name) = self.counted(key)?;
        for _ in 0..TRIES {
            let Some((page, cas)) = get(&mut self.store, &name).map_err(|_| UNREADABLE)? else {
                create(&mut self.store, &name, CounterPage::empty().as_bytes()).map_err(|_| UNWRITABLE)?;
                continue;
            };
            // With 0, which no value has, the page would be overwritten blindly.
            if cas == 0 {
                return Err(UNREADABLE);
            }
            let mut page = CounterPage::decode(page)?;
            let charged = page.charge(&trace, limits, now)?;
            let is_over = matches!(charged, Charged::Over { .. });
            if is_over || set(&mut self.store, &name, page.as_bytes(), cas).map_err(|_| UNWRITABLE)? {
                return Ok(charged);
            }
        }
        Err(CounterFault::Unavailable("the memory of counts changes too often"))
    }
}

const UNREADABLE: CounterFault = CounterFault::Unavailable("the memory of counts cannot be read");
const UNWRITABLE: CounterFault = CounterFault::Unavailable("the memory of counts cannot be written");
