//! What was used once, as the workers of a proxy remember it together.
//!
//! Nothing of it is in a worker: the pages and the process whose secret they are found by are
//! read from the proxy for each request, so that workers cannot come to differ, and one
//! that is restarted has forgotten nothing.

use crate::fault::{HostFault, Place, Problem};
use crate::shared::{EARLIER, NO_CAS, Store, create, get, name, replace, set};
use alloc::format;
use alloc::string::String;
use portcullis_core::{Novelty, Once, Process, Replay, ReplayFault, ReplayPage, UnixTime};

/// How often a page is read and changed before it is given up. Workers that make 50 000
/// requests a second between them write one of 1,024 pages 50 times a second, and a change
/// takes some tens of microseconds: one in hundreds meets another. Eight in a row mean
/// that the host is at fault.
const TRIES: u32 = 8;

/// The memory that workers share.
#[derive(Debug)]
pub(crate) struct SharedReplay<S> {
    pub(crate) store: S,
    process_name: String,
    /// How full the page is that was written last, in percent, until that is shown.
    fill: Option<u64>,
}

impl<S: Store> SharedReplay<S> {
    /// Finds the memory, or begins it at `now` if this is the process's first worker.
    pub(crate) fn open(mut store: S, now: UnixTime) -> Result<Self, HostFault> {
        let process_name = name(PROCESS);
        if get(&mut store, &process_name)?.is_none() {
            let mut secret = [0; 32];
            store.random(&mut secret)?;
            create(&mut store, &process_name, &Process::new(secret, now).to_bytes())?;
        }
        // By now there is one, whoever made it. Written again unchanged, to see that the
        // host minds the CAS: all depends on it.
        let (process, _) = store.get(&process_name)?;
        if process.len() == ENDED {
            return Err(HostFault::new(Place::GetSharedData, Problem::Ended));
        }
        if process.len() != Process::BYTES || set(&mut store, &process_name, &process, NO_CAS)? {
            return Err(HostFault::new(Place::SetSharedData, Problem::NotByItsCas));
        }
        Ok(SharedReplay { store, process_name, fill: None })
    }

    /// How full the page was that was written since this was last asked, in percent.
    pub(crate) fn take_fill(&mut self) -> Option<u64> {
        self.fill.take()
    }

    /// The process that its workers share.
    pub(crate) fn process(&mut self) -> Result<Process, ReplayFault> {
        let process = get(&mut self.store, &self.process_name).map_err(|_| UNREADABLE)?;
        process.and_then(|(bytes, _)| Process::from_bytes(&bytes)).ok_or(LOST)
    }
}

impl<S: Store> Replay for SharedReplay<S> {
    fn insert(&mut self, once: &Once, now: UnixTime) -> Result<Novelty, ReplayFault> {
        let trace = self.process()?.replay_secret().trace(once);
        let name = name(&format!("replay.{}", trace.page()));
        for _ in 0..TRIES {
            let Some((page, cas)) = get(&mut self.store, &name).map_err(|_| UNREADABLE)? else {
                create(&mut self.store, &name, ReplayPage::empty().as_bytes()).map_err(|_| UNWRITABLE)?;
                continue;
            };
            // With 0, which no value has, the page would be overwritten blindly.
            if cas == 0 {
                return Err(UNREADABLE);
            }
            let mut page = ReplayPage::decode(page)?;
            let novelty = page.insert(&trace, now)?;
            self.fill = Some(page.fill_percent());
            if novelty != Novelty::New
                || set(&mut self.store, &name, page.as_bytes(), cas).map_err(|_| UNWRITABLE)?
            {
                return Ok(novelty);
            }
        }
        Err(ReplayFault::Unavailable("the memory of what was used changes too often"))
    }
}

const UNREADABLE: ReplayFault = ReplayFault::Unavailable("the memory of what was used cannot be read");
const UNWRITABLE: ReplayFault = ReplayFault::Unavailable("the memory of what was used cannot be written");
const LOST: ReplayFault = ReplayFault::Unavailable("the proxy lost the memory of what was used");

/// Where the process stands.
const PROCESS: &str = "process";

/// The length of a process that a newer layout has ended: none that counts has it, so that its
/// workers find none. The first bytes stay, as the process's lane may have records left.
const ENDED: usize = Process::BYTES + 1;

/// Ends the memory of the layout before, of which this one knows nothing: from here on its workers
/// refuse whatever may be used once, is counted or spends, and none of them starts again. The process
/// of this layout must begin after that, so that what was used there is older and is refused. The
/// process that was ended, if there was one.
pub(crate) fn end_earlier(store: &mut impl Store) -> Result<Option<Process>, HostFault> {
    let name = [EARLIER, PROCESS].concat();
    for _ in 0..TRIES {
        let (mut value, cas) = match get(store, &name)? {
            Some((value, cas)) => (value, Some(cas)),
            // One that begins later must not count either.
            None => Default::default(),
        };
        let is_ended = value.len() == ENDED;
        value.resize(ENDED, 0);
        if is_ended || replace(store, &name, &value, cas)? {
            let process =
                value.first_chunk().and_then(|bytes: &[u8; Process::BYTES]| Process::from_bytes(bytes));
            return Ok(process.filter(|process| process.began().as_millis() != 0));
        }
    }
    Err(HostFault::new(Place::SetSharedData, Problem::ValueChanges))
}

#[cfg(test)]
mod tests;
