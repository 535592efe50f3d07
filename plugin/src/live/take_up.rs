//! Taking up what another worker has shared, as if it had come from anywhere.

use super::Live;
use super::store::{Manifest, Part};
use crate::fault::{HostFault, Place, Problem};
use portcullis_core::UnixTime;
use portcullis_core::live::{LiveError, LiveTrust, Next};

/// Why it was not taken up.
pub(super) enum Refused {
    Live(LiveError),
    Host(HostFault),
}

/// What became of the snapshot.
pub(super) type Snapshot = Result<(), LiveError>;

/// Takes up what a manifest counts: what is new of it where that follows on what this
/// worker has, else all of it. A snapshot that is refused is told apart: what is revoked is
/// taken up all the same.
pub(super) fn take_up(live: &mut Live, manifest: &Manifest, now: UnixTime) -> Result<Snapshot, Refused> {
    let taken = live.shared.as_ref().map_or(0, |(taken, _)| taken.end);
    if live.shared.is_some() {
        let mut trust = live.trust.try_borrow_mut().map_err(|_| REENTERED)?;
        let first = manifest.first.max(taken.min(manifest.end));
        let followed = follow(live, &mut trust, manifest, first, now);
        // Beginning anew brings revocations that were missed, and nothing else.
        if trust.has_revocations() {
            return followed;
        }
    }
    let mut anew = LiveTrust::new(&live.line.config).map_err(LiveError::from)?;
    anew.accept_head(&live.names.read(Part::BaseHead(manifest.base_place))?, now, None)?;
    for index in 0..manifest.pages {
        if !matches!(anew.next(), Next::Page { .. }) {
            return Err(LiveError::Mismatch("the shared pages are more than a set").into());
        }
        anew.accept_page(&live.names.read(Part::Page(manifest.base_place, index))?, now)?;
    }
    let snapshot = follow(live, &mut anew, manifest, manifest.first, now)?;
    let mut trust = live.trust.try_borrow_mut().map_err(|_| REENTERED)?;
    // What begins anew remembers nothing, and must still not go back.
    let numbers = |trust: &LiveTrust| {
        trust.head().map(|head| (head.revocations.number, head.snapshot_number, head.time))
    };
    let (before, after) = (numbers(&trust), numbers(&anew));
    let goes_back = before
        .zip(after)
        .is_some_and(|(before, after)| after.0 < before.0 || after.1 < before.1 || after.2 < before.2);
    if goes_back {
        return Err(LiveError::WentBack.into());
    }
    if anew.current().is_err() && trust.current().is_ok() {
        return Err(LiveError::Mismatch("the shared material is not complete").into());
    }
    *trust = anew;
    Ok(snapshot)
}

/// Takes up entries from `first` on, the newest head, and its snapshot.
fn follow(
    live: &Live,
    trust: &mut LiveTrust,
    manifest: &Manifest,
    first: u64,
    now: UnixTime,
) -> Result<Snapshot, Refused> {
    // At most as many as there are places.
    for index in first..manifest.end {
        let entry = live.names.read(Part::Entry(index))?;
        let at = entry.iter().position(|byte| *byte == b'\n');
        let (head, delta) = at.and_then(|at| entry.split_at_checked(at)).ok_or(NO_ENTRY)?;
        trust.accept_head(head, now, None)?;
        trust.accept_delta(delta.trim_ascii_start(), now)?;
    }
    trust.accept_head(manifest.head.as_bytes(), now, None)?;
    let named = trust.head().map_or(0, |head| head.snapshot_number);
    if !matches!(trust.next(), Next::Ask { snapshot, .. } if snapshot == named) {
        let token = live.names.read(Part::Snapshot(manifest.snapshot_place))?;
        return Ok(trust.accept_snapshot(&token, now));
    }
    Ok(Ok(()))
}

const NO_ENTRY: LiveError = LiveError::Unreadable("a shared entry is not a head and a delta");
const REENTERED: HostFault = HostFault::new(Place::Host, Problem::Reentered);

impl From<LiveError> for Refused {
    fn from(error: LiveError) -> Self {
        Refused::Live(error)
    }
}

impl From<HostFault> for Refused {
    fn from(fault: HostFault) -> Self {
        Refused::Host(fault)
    }
}
