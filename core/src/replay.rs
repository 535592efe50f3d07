//! What may be used once.

mod local;
mod page;

use crate::denial::Denial;
use crate::reason::Reason;
use crate::time::UnixTime;

pub use local::LocalReplay;
pub use page::{ReplayPage, ReplaySecret, Trace};

/// Something that may be used once.
#[derive(Clone, Copy, Debug)]
pub struct Once {
    /// The SHA-256 thumbprint of the key that made it, by which a caller's share is counted.
    pub key: [u8; 32],
    /// The SHA-256 of what may be used once.
    pub token: [u8; 32],
    /// After this moment it cannot be used anyway.
    pub until: UnixTime,
    /// Whether anybody can make such keys.
    pub self_issued: bool,
}

/// Whether something was there before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Novelty {
    /// It was not, and is now.
    New,
    /// It was.
    Seen {
        /// When it first came, cut to the second.
        first: UnixTime,
    },
}

/// Why it cannot be told whether something was there before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReplayFault {
    /// There is no room.
    Full,
    /// The key has used up its share.
    QuotaExceeded,
    /// The memory does not answer as it should.
    Unavailable(&'static str),
}

/// What a memory that cannot tell means for a request.
impl From<ReplayFault> for Denial {
    fn from(fault: ReplayFault) -> Self {
        match fault {
            ReplayFault::Full | ReplayFault::QuotaExceeded => {
                Denial::new(Reason::ReplayMemoryFull, "no more signatures can be remembered")
            }
            ReplayFault::Unavailable(problem) => Denial::new(Reason::HostFault, problem),
        }
    }
}

/// A memory of what was used.
pub trait Replay {
    /// Remembers `once` until its time is over, and tells whether it was there before.
    ///
    /// # Errors
    /// [`ReplayFault`]; whoever asked must then refuse.
    fn insert(&mut self, once: &Once, now: UnixTime) -> Result<Novelty, ReplayFault>;
}
