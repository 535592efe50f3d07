//! What was used once, as the workers of a proxy remember it together.

use portcullis_core::{Novelty, Once, Replay, ReplayFault, UnixTime};

/// The memory that workers share.
#[derive(Debug, Default)]
pub(crate) struct SharedReplay;

impl Replay for SharedReplay {
    fn insert(&mut self, _: &Once, _: UnixTime) -> Result<Novelty, ReplayFault> {
        Err(ReplayFault::Unavailable("the memory of used signatures is not there"))
    }
}
