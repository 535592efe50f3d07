//! A memory of one's own.

use super::{Novelty, Once, Replay, ReplayFault, ReplayPage, ReplaySecret};
use crate::time::UnixTime;
use alloc::collections::BTreeMap;

/// A memory that nobody shares, for tests, tools and hosts that run one gate in one
/// process.
#[derive(Debug)]
pub struct LocalReplay {
    secret: ReplaySecret,
    /// By number, those on which something was written.
    pages: BTreeMap<u32, ReplayPage>,
}

impl LocalReplay {
    /// A memory with nothing in it.
    pub fn new(secret: ReplaySecret) -> Self {
        LocalReplay { secret, pages: BTreeMap::new() }
    }
}

impl Replay for LocalReplay {
    fn insert(&mut self, once: &Once, now: UnixTime) -> Result<Novelty, ReplayFault> {
        let trace = self.secret.trace(once);
        self.pages.entry(trace.page()).or_insert_with(ReplayPage::empty).insert(&trace, now)
    }
}
