//! Live trust material: fetched by one worker for all, from the control service.
//!
//! The worker that holds the lease asks the service and puts what it is answered into the
//! data that workers share (`store`); every worker, that one too, takes it up from its own
//! verification of it (`take_up`). Nothing is believed because it was shared.

use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
mod ask;
mod lease;
mod line;
mod store;
mod take_up;

use crate::fault::{HostFault, Place, Problem};
use crate::host::{self, Level};
use crate::metrics::{Gauge, Metrics, TrustEvent};
use crate::shared::{HostStore, create, get};
use alloc::rc::Rc;
use alloc::sync::Arc;
use core::cell::RefCell;
use lease::Lease;
pub(crate) use line::{LONGEST_BACKOFF_MS, Line, Trouble, answered, backoff, in_one_line};
use portcullis_core::live::{LiveError, LiveTrust};
use portcullis_core::{ConfigError, SecretKey, ServiceConfig, Snapshot, UnixTime, base64};
use store::{Manifest, Names};

/// How often a worker looks for what is new, and its holder renews the lease. What was
/// revoked must be refused by every worker within a second: this is a fifth of it.
pub(crate) const TICK_MS: u32 = 200;

/// The environment variable that holds the gate's own key.
const KEY_VARIABLE: &str = "PORTCULLIS_GATE_KEY";

/// What keeps a gate from taking trust material.
pub(crate) enum Obstacle {
    Config(ConfigError),
    Host(HostFault),
    Key(&'static str),
}

/// A worker's part in the gate's live trust material.
pub(crate) struct Live {
    line: Rc<Line>,
    trust: Rc<RefCell<LiveTrust>>,
    /// base64url of the random that this proxy's heads must repeat.
    echo: String,
    names: Names,
    lease: Lease,
    /// What was shared when this worker last took it up, and its CAS.
    shared: Option<(Manifest, u32)>,
    /// The generation that could not be taken up: it is not tried again.
    refused_generation: Option<u64>,
    asker: ask::Asker,
    metrics: Rc<Metrics>,
    /// What was last wrong, so that it is logged once.
    trouble: Option<&'static str>,
}

impl Live {
    /// Begins with what other workers have shared, if any have.
    pub(crate) fn open(config: ServiceConfig, metrics: Rc<Metrics>) -> Result<Self, Obstacle> {
        let trust = LiveTrust::new(&config).map_err(Obstacle::Config)?;
        let names = Names::of(&config.gate.id);
        let echo = echo(&names).map_err(Obstacle::Host)?;
        let lease = Lease::new(&names).map_err(Obstacle::Host)?;
        let mut live = Live {
            line: Rc::new(Line::new(config, key()?)),
            trust: Rc::new(RefCell::new(trust)),
            echo,
            names,
            lease,
            shared: None,
            refused_generation: None,
            asker: ask::Asker::default(),
            metrics,
            trouble: None,
        };
        host::set_tick_period(TICK_MS).map_err(Obstacle::Host)?;
        let now = host::now().map_err(Obstacle::Host)?;
        live.look(now);
        Ok(live)
    }

    /// What requests are judged by.
    pub(crate) fn trust(&self) -> &Rc<RefCell<LiveTrust>> {
        &self.trust
    }

    /// The line to the service.
    pub(crate) fn line(&self) -> &Rc<Line> {
        &self.line
    }

    /// Whether this worker talks to the service for all, at its last tick.
    pub(crate) fn has_lease(&self) -> bool {
        self.lease.is_held()
    }

    /// The configuration in force, if there is one.
    pub(crate) fn snapshot(&self) -> Option<Arc<Snapshot>> {
        let trust = self.trust.try_borrow().ok()?;
        trust.current().ok().map(|current| Arc::clone(current.snapshot))
    }

    /// Looks for what others have shared, and asks the service if that is this worker's
    /// turn.
    pub(crate) fn tick(&mut self) {
        let Ok(now) = host::now() else { return };
        self.look(now);
        self.show_age();
        match self.lease.hold(now) {
            Ok(lease::Held::Taken) => {
                self.metrics.count_trust(TrustEvent::LeaseTaken);
                self.begin();
                self.ask(now);
            }
            Ok(lease::Held::Kept) => self.ask(now),
            Ok(lease::Held::ByAnother) => {}
            Err(fault) => self.note(TrustEvent::HostFault, &fault.to_string()),
        }
    }

    /// Shows how recent is what the gate judges by. Of several workers the last to look is seen.
    fn show_age(&self) {
        if let Ok(trust) = self.trust.try_borrow()
            && let Ok(current) = trust.current()
            && let Ok(millis) = u64::try_from(current.live.head().time.as_millis())
        {
            self.metrics.show(Gauge::HeadTime, millis / 1000);
        }
    }

    /// Takes up what is shared, if it is new.
    fn look(&mut self, now: UnixTime) {
        let shared = match self.names.manifest() {
            Ok(shared) => shared,
            Err(fault) => return self.note(TrustEvent::HostFault, &fault.to_string()),
        };
        let Some((manifest, cas)) = shared else { return };
        let generation = Some(manifest.generation);
        if self.shared.as_ref().map(|(taken, _)| taken.generation) == generation
            || self.refused_generation == generation
        {
            return;
        }
        match take_up::take_up(self, &manifest, now) {
            Ok(snapshot) => {
                self.shared = Some((manifest, cas));
                match snapshot {
                    Ok(()) => self.good(),
                    Err(error) => self.refused(&error),
                }
            }
            Err(take_up::Refused::Live(error)) => {
                self.refused_generation = generation;
                self.refused(&error);
                // Its holder shares everything anew: what is there cannot be taken up.
                let _ = self.names.ask_for_renewal(manifest.generation);
            }
            Err(take_up::Refused::Host(fault)) => self.note(TrustEvent::HostFault, &fault.to_string()),
        }
    }

    /// Counts that a document was refused, and logs it unless that was the last to say.
    fn refused(&mut self, error: &LiveError) {
        self.note(TrustEvent::of(error), &error.to_string());
    }

    fn note(&mut self, event: TrustEvent, detail: &str) {
        self.metrics.count_trust(event);
        if self.trouble != Some(event.name()) {
            self.trouble = Some(event.name());
            let detail = line::in_one_line(detail);
            host::log(Level::Warn, &format!("trust material is not renewed: {}: {detail}", event.name()));
        }
    }

    fn good(&mut self) {
        if self.trouble.take().is_some() {
            host::log(Level::Info, "trust material is renewed again");
        }
    }
}

/// The random that heads for this proxy process must repeat, made by its first worker: a
/// head from before that cannot have it.
fn echo(names: &Names) -> Result<String, HostFault> {
    let name = names.of_part("echo");
    if get(&mut HostStore, &name)?.is_none() {
        let mut random = [0; 16];
        host::random(&mut random)?;
        create(&mut HostStore, &name, &random)?;
    }
    let (random, _) = host::shared(&name)?;
    if random.len() != 16 {
        return Err(HostFault::new(Place::GetSharedData, Problem::OtherValue));
    }
    Ok(base64::encode_url(&random))
}

/// The gate's own key, which is never in a configuration: proxies show those.
fn key() -> Result<SecretKey, Obstacle> {
    let text = host::variable(KEY_VARIABLE).map_err(Obstacle::Host)?.ok_or(Obstacle::Key(
        "its environment has no PORTCULLIS_GATE_KEY; see host_env_keys, and `portcullis gate enrol`",
    ))?;
    let seed = base64::decode_array(text.trim());
    seed.map(SecretKey::from_seed)
        .ok_or(Obstacle::Key("PORTCULLIS_GATE_KEY in its environment is not standard base64 of 32 bytes"))
}
