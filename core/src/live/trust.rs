//! What a gate has of its trust material, and what it takes up next.

use super::document::ServiceKeys;
use super::error::LiveError;
use super::head::Head;
use super::load::RevocationLoad;
use super::nonce::{NonceDecision, NonceQuestion};
use super::response::TrustResponse;
use super::revocations::{RevocationDelta, RevocationPage};
use super::set::Revocations;
use super::snapshot::SnapshotDocument;
use super::view::LiveView;
use crate::config::{ConfigError, ServiceConfig};
use crate::denial::Denial;
use crate::reason::Reason;
use crate::snapshot::Snapshot;
use crate::time::UnixTime;
use alloc::string::String;
use alloc::sync::Arc;

/// The live trust material of one gate.
///
/// Heads announce, documents fulfil: what is judged by counts as old as the last head
/// whose snapshot and revocations were all taken up. A document that is refused changes
/// nothing that is judged by, and makes it older.
#[derive(Debug)]
pub struct LiveTrust {
    gate: String,
    keys: ServiceKeys,
    max_age_ms: i64,
    /// The last head that was accepted; none may go back behind it.
    announced: Option<Head>,
    /// When it came.
    announced_at: UnixTime,
    /// The last head all of whose material was in force.
    fulfilled: Option<Head>,
    snapshot: Option<Installed>,
    revocations: Option<Revocations>,
    renewal: Option<Renewal>,
}

#[derive(Debug)]
struct Installed {
    number: u64,
    snapshot: Arc<Snapshot>,
}

/// A set that will take the place of the one in force.
#[derive(Debug)]
enum Renewal {
    Pages(RevocationLoad),
    /// All pages are there, of different numbers perhaps; a delta must reach the head's.
    Loaded(Revocations),
}

/// What a gate fetches next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    /// What is new since these numbers; 0 for nothing yet.
    Ask {
        /// The snapshot's number.
        snapshot: u64,
        /// The revocations' number.
        revocations: u64,
    },
    /// The page of revocations that begins at this fingerprint.
    Page {
        /// The fingerprint.
        from: u64,
    },
}

/// What a request is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Current<'t> {
    /// The configuration.
    pub snapshot: &'t Arc<Snapshot>,
    /// What is revoked, and how old all this is.
    pub live: LiveView<'t>,
}

impl LiveTrust {
    /// A gate that has nothing yet.
    ///
    /// # Errors
    /// The first [`ConfigError`] of what leads to the service.
    pub fn new(config: &ServiceConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(LiveTrust {
            gate: config.gate.id.clone(),
            keys: ServiceKeys::new(&config.service.keys)?,
            max_age_ms: i64::from(config.service.max_age_seconds).saturating_mul(1000),
            announced: None,
            announced_at: UnixTime::from_millis(0),
            fulfilled: None,
            snapshot: None,
            revocations: None,
            renewal: None,
        })
    }

    /// What to judge by. Its age is judged by the [`Verifier`](crate::Verifier), with each
    /// request.
    ///
    /// # Errors
    /// `trust_material_missing` until a head, its snapshot and its revocations were all
    /// taken up.
    pub fn current(&self) -> Result<Current<'_>, Denial> {
        let missing = |detail| Denial::new(Reason::TrustMaterialMissing, detail);
        let installed = self.snapshot.as_ref().ok_or_else(|| missing("no snapshot has come yet"))?;
        let (Some(head), Some(revocations)) = (&self.fulfilled, &self.revocations) else {
            return Err(missing("what is revoked has not come yet"));
        };
        let live = LiveView { head, revocations, max_age_ms: self.max_age_ms };
        Ok(Current { snapshot: &installed.snapshot, live })
    }

    /// What to fetch next. After an error it may be the same as before: wait then, as
    /// the service may need time to mend it.
    pub fn next(&self) -> Next {
        if let Some(Renewal::Pages(load)) = &self.renewal
            && let Some(from) = load.next_from()
        {
            return Next::Page { from };
        }
        Next::Ask {
            snapshot: self.snapshot.as_ref().map_or(0, |installed| installed.number),
            revocations: self.base().map_or(0, |base| base.state().number),
        }
    }

    /// Reads the service's answer to a question about a nonce.
    ///
    /// # Errors
    /// As [`NonceQuestion::read_answer`].
    pub fn nonce_answer(
        &self,
        asked: &NonceQuestion,
        token: &[u8],
        now: UnixTime,
    ) -> Result<NonceDecision, LiveError> {
        asked.read_answer(token, &self.gate, &self.keys, now)
    }

    /// The gate's id.
    pub fn gate(&self) -> &str {
        &self.gate
    }

    /// The keys by which it believes its service: they sign checkpoints too.
    pub fn service_keys(&self) -> &ServiceKeys {
        &self.keys
    }

    /// The last head that was accepted. What it announces need not have come yet.
    pub fn head(&self) -> Option<&Head> {
        self.announced.as_ref()
    }

    /// Takes up a whole answer. `echo` is as for [`accept_head`](Self::accept_head).
    ///
    /// # Errors
    /// The first of its documents' errors; what else the answer brings is taken up all the
    /// same, if its head is good.
    pub fn accept(
        &mut self,
        response: &TrustResponse,
        now: UnixTime,
        echo: Option<&str>,
    ) -> Result<(), LiveError> {
        self.accept_head(response.head.as_bytes(), now, echo)?;
        if response.reload {
            self.reload();
        }
        // What is revoked comes first: a snapshot that is refused must not keep it out.
        let delta = response.delta.as_ref().map_or(Ok(()), |delta| self.accept_delta(delta.as_bytes(), now));
        let snapshot = response
            .snapshot
            .as_ref()
            .map_or(Ok(()), |snapshot| self.accept_snapshot(snapshot.as_bytes(), now));
        delta.and(snapshot)
    }

    /// Takes up a head. `echo` is the random that was sent to ask for it; `None` where
    /// another worker of the same proxy asked, compared it, and passed the head on.
    ///
    /// A head with the numbers of the last one and an older time is ignored: several
    /// instances of the service may answer.
    ///
    /// # Errors
    /// As [`Head::read`]; [`LiveError::WrongEcho`]; [`LiveError::WentBack`];
    /// [`LiveError::Mismatch`] where one number stands for two contents.
    pub fn accept_head(&mut self, token: &[u8], now: UnixTime, echo: Option<&str>) -> Result<(), LiveError> {
        let head = Head::read(token, &self.gate, &self.keys, now)?;
        if echo.is_some_and(|echo| echo != head.echo) {
            return Err(LiveError::WrongEcho);
        }
        if let Some(last) = &self.announced
            && !is_progress(last, &head)?
        {
            return Ok(());
        }
        self.announced = Some(head);
        self.announced_at = now;
        self.settle()
    }

    /// Takes up the snapshot that the last head names.
    ///
    /// # Errors
    /// As [`SnapshotDocument::read`], and [`LiveError::Config`] as [`Snapshot::new`]. The
    /// snapshot in force stays in force.
    pub fn accept_snapshot(&mut self, token: &[u8], now: UnixTime) -> Result<(), LiveError> {
        let head = self.announced.as_ref().ok_or(NO_HEAD)?;
        if self.snapshot.as_ref().is_some_and(|installed| installed.number == head.snapshot_number) {
            return Ok(());
        }
        let document = SnapshotDocument::read(token, &self.gate, &self.keys, now, &head.snapshot_sha256)?;
        if document.number != head.snapshot_number {
            return Err(LiveError::Mismatch("the snapshot and the head do not agree on its number"));
        }
        let snapshot = Arc::new(Snapshot::new(&document.config)?);
        self.snapshot = Some(Installed { number: document.number, snapshot });
        self.settle()
    }

    /// Takes up a delta that leads to what the last head names.
    ///
    /// # Errors
    /// As [`RevocationDelta::read`] and [`Revocations::apply`]; [`LiveError::Mismatch`]
    /// where the result is not what the head names: then all pages are fetched anew. What
    /// was in force stays in force.
    pub fn accept_delta(&mut self, token: &[u8], now: UnixTime) -> Result<(), LiveError> {
        let head = self.announced.as_ref().ok_or(NO_HEAD)?;
        let named = head.revocations;
        let delta = RevocationDelta::read(token, &self.gate, &self.keys, now)?;
        let base =
            self.base().ok_or(LiveError::Mismatch("there is nothing yet that the delta could change"))?;
        // Another instance may answer late.
        if delta.number <= base.state().number {
            return Ok(());
        }
        if delta.number != named.number {
            return Err(LiveError::Mismatch("the delta leads to another number than the head's"));
        }
        match base.apply(&delta) {
            Ok(set) if set.state() == named => {
                self.revocations = Some(set);
                self.renewal = None;
                self.settle()
            }
            Ok(_) => {
                self.load();
                Err(NOT_AS_NAMED)
            }
            Err(error) => {
                self.load();
                Err(error)
            }
        }
    }

    /// Takes up a page of all that is revoked, the one that [`next`](Self::next) names.
    ///
    /// # Errors
    /// As [`RevocationPage::read`] and [`RevocationLoad::add`]; where the page does not fit
    /// to the ones before, or all of them not to the head, all are fetched anew.
    pub fn accept_page(&mut self, token: &[u8], now: UnixTime) -> Result<(), LiveError> {
        let Some(Renewal::Pages(load)) = &mut self.renewal else {
            return Err(LiveError::Mismatch("no page was asked for"));
        };
        let page = RevocationPage::read(token, &self.gate, &self.keys, now)?;
        let added = load.add(&page);
        if added.is_err() {
            self.load();
            return added;
        }
        if load.next_from().is_none()
            && let Some(Renewal::Pages(load)) = self.renewal.take()
        {
            self.renewal = Some(Renewal::Loaded(load.finish()?));
        }
        self.settle()
    }

    /// Begins to fetch all pages anew, although what is in force may be right: for those
    /// who pass documents on, and have too many or only some of them.
    pub fn renew(&mut self) {
        if self.announced.is_some() {
            self.load();
        }
    }

    /// Whether what is revoked is what the last head names, and no pages are being fetched
    /// that would take its place.
    pub fn has_revocations(&self) -> bool {
        let named = self.announced.as_ref().map(|head| head.revocations);
        self.renewal.is_none()
            && named.is_some()
            && self.revocations.as_ref().map(Revocations::state) == named
    }

    /// Fetches all pages, unless that is being done or what is in force is what the last
    /// head names.
    fn reload(&mut self) {
        let named = self.announced.as_ref().map(|head| head.revocations);
        let is_in_force = self.revocations.as_ref().map(Revocations::state) == named;
        if !is_in_force && !matches!(self.renewal, Some(Renewal::Pages(_))) {
            self.load();
        }
    }

    fn load(&mut self) {
        let least = self.announced.as_ref().map_or(0, |head| head.revocations.number);
        self.renewal = Some(Renewal::Pages(RevocationLoad::new(least)));
    }

    /// What a delta would change.
    fn base(&self) -> Option<&Revocations> {
        match &self.renewal {
            Some(Renewal::Loaded(set)) => Some(set),
            _ => self.revocations.as_ref(),
        }
    }

    /// Puts a loaded set in force once it is what the head names, and the head once all
    /// that it names is in force.
    fn settle(&mut self) -> Result<(), LiveError> {
        let Some(head) = &self.announced else { return Ok(()) };
        let (named, snapshot) = (head.revocations, head.snapshot_number);
        match self.renewal.take() {
            Some(Renewal::Loaded(set))
                if set.state().number == named.number && set.newest() == named.number =>
            {
                if set.state() != named {
                    self.load();
                    return Err(NOT_AS_NAMED);
                }
                self.revocations = Some(set);
            }
            None if self.revocations.is_none() => self.load(),
            renewal => self.renewal = renewal,
        }
        let is_fulfilled = self.revocations.as_ref().is_some_and(|set| set.state() == named)
            && self.snapshot.as_ref().is_some_and(|installed| installed.number == snapshot);
        if is_fulfilled && let Some(head) = &self.announced {
            // The service's clock may be ahead of the gate's. That makes nothing younger.
            let mut head = head.clone();
            head.time = head.time.min(self.announced_at);
            self.fulfilled = Some(head);
        }
        Ok(())
    }
}

const NO_HEAD: LiveError = LiveError::Mismatch("no head has come yet");
const NOT_AS_NAMED: LiveError = LiveError::Mismatch("the revocations are not those that the head names");

/// Whether a head says something newer than the last one.
fn is_progress(last: &Head, head: &Head) -> Result<bool, LiveError> {
    // The head's own number is the higher of these, so it grows as they do.
    let numbers = |head: &Head| (head.snapshot_number, head.revocations.number);
    if (head.snapshot_number == last.snapshot_number && head.snapshot_sha256 != last.snapshot_sha256)
        || (head.revocations.number == last.revocations.number && head.revocations != last.revocations)
    {
        return Err(LiveError::Mismatch("two heads say different things by one number"));
    }
    if numbers(head) == numbers(last) {
        return Ok(head.time >= last.time);
    }
    let went_back = head.snapshot_number < last.snapshot_number
        || head.revocations.number < last.revocations.number
        || head.time < last.time;
    if went_back { Err(LiveError::WentBack) } else { Ok(true) }
}
