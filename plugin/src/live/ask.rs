//! Asking the service, for all workers of the proxy.

use super::lease::Held;
use super::store::{Manifest, Part};
use super::{Live, line};
use crate::fault::{HostFault, Place, Problem};
use crate::host;
use crate::metrics::TrustEvent;
use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use portcullis_core::UnixTime;
use portcullis_core::live::{LiveError, Next, TrustResponse};

/// How long the service may keep a call until there is something new: a head every two
/// seconds is what gates are promised.
const WAIT_S: u32 = 2;

/// How long a call may take in all: a page is 120 KB, and networks are slow at times.
const DEADLINE_MS: u32 = 10_000;

/// When a call is given up that the host never ended.
const LOST_MS: i64 = 20_000;

/// A service that answers at once with nothing new is not asked more often than this.
const PAUSE_MS: i64 = 1000;

/// What is being asked, and what has come of it so far.
#[derive(Default)]
pub(super) struct Asker {
    flight: Option<Flight>,
    /// Not before this time, in milliseconds.
    not_before: i64,
    failures: u32,
    /// A base that is being put together.
    base: Option<Base>,
    /// The newest head that was accepted.
    head: String,
    /// The newest snapshot, until it is shared.
    snapshot: Option<String>,
}

/// A call that waits for its answer.
struct Flight {
    token: u32,
    asked: Asked,
    at: UnixTime,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Asked {
    /// What is new.
    News,
    /// A delta for all workers, to take the place of many.
    Merged,
    /// A page.
    Page,
}

/// Pages that were fetched and shared, and are not counted yet.
struct Base {
    place: u64,
    pages: u64,
    number: u64,
}

impl Live {
    /// Begins to ask, as this worker has the lease now.
    pub(super) fn begin(&mut self) {
        // An answer that comes late is to another holder's question.
        self.asker = Asker::default();
        // Of pages that came before nothing was shared.
        if let Ok(mut trust) = self.trust.try_borrow_mut()
            && matches!(trust.next(), Next::Page { .. })
        {
            trust.renew();
        }
    }

    /// Asks what is to be asked next, if it is time.
    pub(super) fn ask(&mut self, now: UnixTime) {
        if let Some(flight) = &self.asker.flight {
            // A host that forgets a call must not end all asking.
            if now < flight.at.plus_millis(LOST_MS) {
                return;
            }
            self.asker.flight = None;
        }
        if now.as_millis() < self.asker.not_before {
            return;
        }
        self.renew_if_asked();
        let Some((asked, path, query)) = self.question() else { return };
        match self.line.get(path, &query, DEADLINE_MS, now) {
            Ok(token) => self.asker.flight = Some(Flight { token, asked, at: now }),
            Err(fault) => {
                self.note(TrustEvent::CallFailed, &self.uncalled(fault));
                self.back_off(now);
            }
        }
    }

    /// Why no call was made.
    fn uncalled(&self, fault: HostFault) -> String {
        // What Envoy answers for a cluster that it does not have.
        const BAD_ARGUMENT: u32 = 2;
        if fault.status() == Some(BAD_ARGUMENT) {
            return format!(
                "the proxy has no cluster {}, as service.cluster says",
                self.line.config.service.cluster
            );
        }
        fault.to_string()
    }

    /// What is to be asked next: the path's last segment, and the query.
    fn question(&self) -> Option<(Asked, &'static str, String)> {
        let trust = self.trust.try_borrow().ok()?;
        let have = |number: Option<u64>| number.unwrap_or_default();
        let (asked, snapshot, revocations, wait) = match trust.next() {
            // What is fetched must begin with a head that can be passed on.
            Next::Page { .. } if self.asker.head.is_empty() => {
                let current = trust.current().ok().map(|current| current.live);
                let snapshot = current.map(|live| live.head().snapshot_number);
                let revocations = current.map(|live| live.revocations().state().number);
                (Asked::News, have(snapshot), have(revocations), 0)
            }
            Next::Page { from } => return Some((Asked::Page, "revocations", format!("from={from:016x}"))),
            Next::Ask { snapshot, revocations } => match &self.shared {
                Some((manifest, _)) if self.asker.base.is_none() && manifest.is_full() => {
                    (Asked::Merged, snapshot, manifest.base_number, 0)
                }
                _ => (Asked::News, snapshot, revocations, WAIT_S),
            },
        };
        let echo = &self.echo;
        let query = format!("snapshot={snapshot}&revocations={revocations}&wait={wait}&random={echo}");
        Some((asked, "trust", query))
    }

    /// Begins a new base where a worker could take nothing up from the one that is shared.
    fn renew_if_asked(&mut self) {
        let generation = self.shared.as_ref().map(|(manifest, _)| manifest.generation);
        if generation.is_none()
            || self.asker.base.is_some()
            || self.names.renewal_asked().ok().flatten() != generation
        {
            return;
        }
        if let Ok(mut trust) = self.trust.try_borrow_mut()
            && trust.has_revocations()
        {
            self.metrics.count_trust(TrustEvent::Renewed);
            trust.renew();
        }
    }

    /// Takes an answer of `size` bytes.
    pub(crate) fn answered(&mut self, token: u32, size: usize) {
        let Some(flight) = self.asker.flight.take_if(|flight| flight.token == token) else { return };
        let Ok(now) = host::now() else { return };
        match self.lease.hold(now) {
            Ok(Held::Kept) => {}
            // Somebody else asks by now, or did meanwhile.
            Ok(Held::Taken | Held::ByAnother) => return,
            Err(fault) => return self.note(TrustEvent::HostFault, &fault.to_string()),
        }
        let taken = host::call_answer(size).map_err(Failed::Host).and_then(|(status, body)| match status {
            200 => self.take(flight.asked, &body, now),
            0 => Err(Failed::Call),
            status => Err(Failed::Status(status, line::told(&body))),
        });
        match taken {
            Ok(news) => {
                self.asker.failures = 0;
                self.metrics.count_trust(TrustEvent::Taken);
                self.good();
                let pause = if news { 0 } else { PAUSE_MS };
                self.asker.not_before = flight.at.plus_millis(pause).as_millis();
                self.ask(now);
            }
            Err(failed) => {
                match failed {
                    Failed::Call => {
                        self.note(
                            TrustEvent::CallFailed,
                            "the control service cannot be reached, or does not answer",
                        );
                    }
                    Failed::Status(status, told) => {
                        self.note(
                            TrustEvent::Status,
                            &format!("the control service answers {status}: {told}"),
                        );
                    }
                    Failed::Live(error) => self.refused(&error),
                    Failed::Host(fault) => self.note(TrustEvent::HostFault, &fault.to_string()),
                }
                self.back_off(now);
            }
        }
    }

    fn back_off(&mut self, now: UnixTime) {
        let wait = line::backoff(self.asker.failures);
        self.asker.failures = self.asker.failures.saturating_add(1);
        self.asker.not_before = now.plus_millis(wait).as_millis();
    }

    /// Takes an answer up and shares it. Whether it brought anything new.
    fn take(&mut self, asked: Asked, body: &[u8], now: UnixTime) -> Result<bool, Failed> {
        match asked {
            Asked::Page => self.take_page(body, now),
            Asked::News | Asked::Merged => self.take_news(asked, body, now),
        }
    }

    fn take_page(&mut self, token: &[u8], now: UnixTime) -> Result<bool, Failed> {
        let mut trust = self.trust.try_borrow_mut().map_err(|_| REENTERED)?;
        if matches!(trust.next(), Next::Page { from: 0 }) {
            // Of the two places the one that does not count.
            let place =
                self.names.manifest()?.map_or(0, |(manifest, _)| 1_u64.saturating_sub(manifest.base_place));
            self.asker.base = Some(Base { place, pages: 0, number: 0 });
            self.names.write(Part::BaseHead(place), self.asker.head.as_bytes())?;
        }
        trust.accept_page(token, now)?;
        let base = self.asker.base.as_mut().ok_or(REENTERED)?;
        self.names.write(Part::Page(base.place, base.pages), token)?;
        base.pages = base.pages.saturating_add(1);
        if let Next::Ask { revocations, .. } = trust.next() {
            base.number = revocations;
        }
        let settled = trust.has_revocations();
        drop(trust);
        if settled {
            self.share(None)?;
        }
        Ok(true)
    }

    fn take_news(&mut self, asked: Asked, body: &[u8], now: UnixTime) -> Result<bool, Failed> {
        let response = TrustResponse::read(body)?;
        let mut trust = self.trust.try_borrow_mut().map_err(|_| REENTERED)?;
        let before = trust.head().cloned();
        let accepted = trust.accept(&response, now, Some(&self.echo));
        let is_of_the_head = trust.head() == before.as_ref();
        if is_of_the_head && accepted.is_err() {
            return Err(Failed::after(accepted));
        }
        self.asker.head = response.head;
        let brought = response.snapshot.is_some() || response.delta.is_some() || response.reload;
        if response.snapshot.is_some() {
            self.asker.snapshot = response.snapshot;
        }
        if asked == Asked::Merged && response.reload {
            trust.renew();
        }
        let settled = trust.has_revocations();
        drop(trust);
        // A snapshot that was refused here is refused by all, and keeps no revocation out.
        if settled {
            self.share(response.delta.as_deref().map(|delta| (asked, delta)))?;
        }
        accepted?;
        Ok(brought || !settled)
    }

    /// Shares what is in force now, and the delta that led to it.
    fn share(&mut self, delta: Option<(Asked, &str)>) -> Result<(), Failed> {
        let (mut manifest, cas) = match self.names.manifest()? {
            Some((manifest, cas)) => (manifest, Some(cas)),
            None => (Manifest::default(), None),
        };
        manifest.generation = manifest.generation.saturating_add(1);
        manifest.head.clone_from(&self.asker.head);
        if let Some(snapshot) = &self.asker.snapshot {
            manifest.snapshot_place = 1_u64.saturating_sub(manifest.snapshot_place);
            self.names.write(Part::Snapshot(manifest.snapshot_place), snapshot.as_bytes())?;
        }
        if let Some(base) = &self.asker.base {
            manifest.base_place = base.place;
            manifest.base_number = base.number;
            manifest.pages = base.pages;
            manifest.first = manifest.end;
        }
        if let Some((asked, delta)) = delta {
            if asked == Asked::Merged {
                manifest.first = manifest.end;
            }
            let entry = [&manifest.head, "\n", delta].concat();
            self.names.write(Part::Entry(manifest.end), entry.as_bytes())?;
            manifest.end = manifest.end.saturating_add(1);
        }
        if !self.names.publish(&manifest, cas)? {
            return Err(OVERTAKEN.into());
        }
        self.asker.snapshot = None;
        self.asker.base = None;
        let written = self.names.manifest()?.filter(|(written, _)| *written == manifest);
        self.shared = Some(written.ok_or(OVERTAKEN)?);
        Ok(())
    }
}

/// Why an answer came to nothing.
enum Failed {
    /// There was none.
    Call,
    /// It was none of success.
    Status(u16, String),
    /// A document was refused.
    Live(LiveError),
    Host(HostFault),
}

impl Failed {
    fn after(accepted: Result<(), LiveError>) -> Self {
        accepted.map_or_else(Failed::Live, |()| Failed::Call)
    }
}

impl From<LiveError> for Failed {
    fn from(error: LiveError) -> Self {
        Failed::Live(error)
    }
}

impl From<HostFault> for Failed {
    fn from(fault: HostFault) -> Self {
        Failed::Host(fault)
    }
}

const OVERTAKEN: HostFault = HostFault::new(Place::SetSharedData, Problem::Overtaken);
const REENTERED: HostFault = HostFault::new(Place::Host, Problem::Reentered);
