//! How often something was done, in the minute, the hour and the day that it is.
//!
//! Windows are fixed, as UTC has them: what is counted in one of them is three numbers, and
//! not a list of times. At the turn of a window twice its limit may pass within a short time.

mod local;
mod page;

use crate::denial::Denial;
use crate::ed25519::sha256;
use crate::guardrails::Limits;
use crate::reason::Reason;
use crate::time::UnixTime;
use alloc::vec::Vec;

pub use local::LocalCounters;
pub use page::{CounterPage, CounterSecret, CounterTrace};

/// For whom something is counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CounterKey {
    pub(super) digest: [u8; 32],
    pub(super) class: CounterClass,
}

/// Who can make up such keys. Each class has memory of its own, so that none crowds out
/// another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CounterClass {
    /// Those for whom an issuer vouches.
    Vouched,
    /// Anybody, by making credentials; and who delegates.
    SelfIssued,
    /// Anybody, by calling from many places.
    Anonymous,
}

/// How often something was done in the minute, the hour and the day that it is; 0 where that
/// is not counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage(pub [u32; 3]);

/// Whether something was counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Charged {
    /// It was; the usage with it.
    Done(Usage),
    /// It was not, as a limit is reached.
    Over {
        /// Which: 0 for the minute, 1 for the hour, 2 for the day.
        window: usize,
        /// What is used.
        used: Usage,
    },
}

/// Why it cannot be told how often something was done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CounterFault {
    /// There is no room for another that is counted.
    Full,
    /// The memory does not answer as it should.
    Unavailable(&'static str),
}

/// What a memory that cannot tell means for a request.
impl From<CounterFault> for Denial {
    fn from(fault: CounterFault) -> Self {
        match fault {
            CounterFault::Full => Denial::new(Reason::CounterMemoryFull, "no more agents can be counted"),
            CounterFault::Unavailable(problem) => Denial::new(Reason::HostFault, problem),
        }
    }
}

/// A memory of how often things were done.
pub trait Counters {
    /// How often it was done.
    ///
    /// # Errors
    /// [`CounterFault`]; whoever asked must then refuse.
    fn usage(&mut self, key: &CounterKey, now: UnixTime) -> Result<Usage, CounterFault>;

    /// Counts it in the windows that have a limit, unless one of them is reached; at once,
    /// whoever else counts.
    ///
    /// # Errors
    /// [`CounterFault`]; whoever asked must then refuse.
    fn charge(&mut self, key: &CounterKey, limits: &Limits, now: UnixTime) -> Result<Charged, CounterFault>;
}

impl CounterKey {
    /// What a passport, known by the ids from its root to it, does with a permission.
    pub fn of_passport(issuer: &str, passports: &str, permission: &str, class: CounterClass) -> Self {
        Self::of(b"passport", &[issuer.as_bytes(), passports.as_bytes(), permission.as_bytes()], class)
    }

    /// What an agent does, by guardrails of the gate that stand under `pattern`.
    pub fn of_agent(issuer: &str, agent: &str, pattern: &str, class: CounterClass) -> Self {
        Self::of(b"agent", &[issuer.as_bytes(), agent.as_bytes(), pattern.as_bytes()], class)
    }

    /// SHA-256 of for whom and for what: no two keys have the same.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// What is done from somewhere without a credential.
    pub fn of_source(source: &[u8]) -> Self {
        Self::of(b"source", &[source], CounterClass::Anonymous)
    }

    fn of(kind: &[u8], parts: &[&[u8]], class: CounterClass) -> Self {
        let mut bytes = Vec::from(kind);
        for part in parts {
            // Lengths tell where a part ends, so that no two keys are the same bytes.
            bytes.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            bytes.extend_from_slice(part);
        }
        CounterKey { digest: sha256(&bytes), class }
    }
}

/// How long the windows are, in seconds. They begin where UTC's do.
pub const WINDOWS: [u32; 3] = [60, 3600, 86_400];

/// When a window is over, in whole seconds, at least one.
pub(crate) fn seconds_left(window: usize, now: UnixTime) -> u32 {
    let length = i64::from(WINDOWS.get(window).copied().unwrap_or(1)).saturating_mul(1000);
    let left = length.saturating_sub(now.as_millis().rem_euclid(length)).saturating_add(999).div_euclid(1000);
    u32::try_from(left).unwrap_or(1)
}
