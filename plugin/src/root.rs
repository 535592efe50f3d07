//! The plugin's beginning: its host is probed, its configuration read.

use crate::build;
use crate::fault::{HostFault, Place, Problem};
use crate::host::{self, Level};
use crate::live::{self, Line, Live};
use crate::metrics::Metrics;
use crate::records::Records;
use crate::replay::{SharedReplay, end_earlier};
use crate::request::Request;
use crate::shared::{self, EARLIER, HostStore, LAYOUT};
use crate::spend::SpendAsker;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use core::cell::{Cell, OnceCell, RefCell};
use core::fmt;
use portcullis_core::live::LiveTrust;
use portcullis_core::{
    AttestPolicy, ConfigError, CredentialCache, GateConfiguration, HostKind, Snapshot, UnixTime,
};

/// What requests are judged by. A request keeps the one that it began with.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) snapshot: Arc<Snapshot>,
    /// What is revoked, and how old all this is; the newest, whenever a request began.
    pub(crate) trust: Option<Rc<RefCell<LiveTrust>>>,
    /// To the control service, if there is one.
    pub(crate) line: Option<Rc<Line>>,
    /// What is decided, where a control service keeps it.
    pub(crate) records: Option<Rc<RefCell<Records>>>,
    pub(crate) works: Rc<Works>,
}

/// What all requests of a worker use, whatever they are judged by.
#[derive(Debug)]
pub(crate) struct Works {
    pub(crate) host: HostKind,
    /// Whether the host turned out to be that, once a request has asked.
    pub(crate) is_that_host: OnceCell<bool>,
    pub(crate) cache: RefCell<CredentialCache>,
    pub(crate) metrics: Rc<Metrics>,
    pub(crate) replay: RefCell<SharedReplay<HostStore>>,
    /// Whether it was told that a body of which the gate waits did not come.
    pub(crate) told_of_hold: Cell<bool>,
    /// Whether the host was found to keep nothing for its access log.
    pub(crate) is_log_silent: Cell<bool>,
}

/// What a request finds when it comes.
#[derive(Clone, Debug, Default)]
pub(crate) enum Entrance {
    /// The plugin has no configuration that can be used.
    #[default]
    Unconfigured,
    /// No trust material has come yet.
    Waiting(Rc<Works>),
    /// A gate.
    Open(Rc<Gate>),
}

/// The context from which requests come.
#[derive(Default)]
pub(crate) struct Root {
    entrance: Entrance,
    live: Option<Live>,
    records: Option<Rc<RefCell<Records>>>,
    /// What workers of an earlier layout have left, or still leave.
    left: Option<Records>,
    spend: SpendAsker,
}

impl Root {
    /// Reads the configuration of `size` bytes; answers whether it can be used.
    pub(crate) fn on_configure(&mut self, size: usize) -> bool {
        // Absence refuses: after a configuration that cannot be used there is none, in
        // case the host goes on in spite of the answer.
        *self = Root::default();
        build::tell();
        match self.configure(size) {
            Ok(gate) => {
                host::log(Level::Info, &format!("gate {gate} is ready"));
                true
            }
            Err(obstacle) => {
                *self = Root::default();
                host::log(Level::Critical, &format!("the gate does not start: {obstacle}"));
                false
            }
        }
    }

    pub(crate) fn on_tick(&mut self) {
        if let Some(live) = &mut self.live {
            live.tick();
            self.renew();
        }
        self.deliver();
    }

    /// Takes the answer to an HTTP call, of `size` bytes.
    pub(crate) fn on_call_answered(&mut self, token: u32, size: usize) {
        let Some(live) = &mut self.live else { return };
        let records = self.records.as_ref().and_then(|records| records.try_borrow_mut().ok());
        let (trust, line) = (live.trust(), live.line());
        if records.is_some_and(|mut records| records.answered(token, size, trust, line))
            || self.left.as_mut().is_some_and(|left| left.answered(token, size, trust, line))
            || self.spend.answered(token, size, live.trust())
        {
            return;
        }
        live.answered(token, size);
        self.renew();
    }

    /// Sends records that wait, and asks for what may be spent.
    fn deliver(&mut self) {
        if let (Some(live), Some(records)) = (&self.live, &self.records)
            && let (Ok(mut records), Ok(now)) = (records.try_borrow_mut(), host::now())
        {
            records.deliver(live.line(), now, 1);
            if let Some(left) = &mut self.left {
                left.deliver(live.line(), now, 1);
            }
            if live.has_lease() {
                self.spend.ask(live.line(), records.lane(), now);
            }
        }
    }

    /// The time, if requests may wait for their records to be taken.
    pub(crate) fn recorded_at(&self) -> Option<UnixTime> {
        let Entrance::Open(gate) = &self.entrance else { return None };
        let waits = gate.snapshot.attest() == AttestPolicy::BeforeAllow;
        waits.then(|| host::now().ok()).flatten()
    }

    /// A request that begins now.
    pub(crate) fn request(&self) -> Request {
        Request::new(self.entrance.clone())
    }

    /// Reads the configuration; answers the gate's id.
    fn configure(&mut self, size: usize) -> Result<String, Obstacle> {
        probe()?;
        let json = host::configuration(size).map_err(|fault| Obstacle::Host(fault, "its configuration"))?;
        let configuration = GateConfiguration::from_json(&json).map_err(Obstacle::Config)?;
        let (mut metrics, missing) = Metrics::define();
        if missing > 0 {
            host::log(
                Level::Warn,
                &format!("the host did not make {missing} counter(s): they stay uncounted"),
            );
        }
        let (host, cache_bytes, gate, snapshot, metrics) = match &configuration {
            GateConfiguration::Static(config) => {
                let snapshot = Arc::new(Snapshot::of_static(config).map_err(Obstacle::Config)?);
                (config.host, config.cache_bytes, config.gate.id.clone(), Some(snapshot), Rc::new(metrics))
            }
            GateConfiguration::Live(config) => {
                metrics.define_trust();
                (HostKind::Envoy, config.cache_bytes, config.gate.id.clone(), None, Rc::new(metrics))
            }
        };
        if let GateConfiguration::Live(config) = configuration {
            self.live = Some(Live::open(config, Rc::clone(&metrics)).map_err(Obstacle::Live)?);
        }
        // Last, when nothing else can fail: an earlier version that goes on in this one's stead must not
        // have lost its memory.
        let lack = |fault| Obstacle::Host(fault, "a memory that workers share");
        let ended = end_earlier(&mut HostStore).map_err(lack)?;
        let mut replay = host::now().and_then(|now| SharedReplay::open(HostStore, now)).map_err(lack)?;
        let process = replay.process().map_err(|_| lack(LOST))?;
        let works = Rc::new(Works {
            host,
            is_that_host: OnceCell::new(),
            cache: RefCell::new(CredentialCache::new(usize::try_from(cache_bytes).unwrap_or(usize::MAX))),
            metrics,
            replay: RefCell::new(replay),
            told_of_hold: Cell::new(false),
            is_log_silent: Cell::new(false),
        });
        if let Some(snapshot) = snapshot {
            self.entrance =
                Entrance::Open(Rc::new(Gate { snapshot, trust: None, line: None, records: None, works }));
        } else if let Some(live) = &self.live {
            let records = |layout, process| {
                Records::of(layout, &gate, &live.line().key, process, Rc::clone(&works.metrics))
            };
            self.records = Some(Rc::new(RefCell::new(records(LAYOUT, &process))));
            self.left = ended.as_ref().map(|ended| records(EARLIER, ended));
            self.entrance = Entrance::Waiting(works);
            self.renew();
        }
        Ok(gate)
    }

    /// Opens the gate by the snapshot that is in force now.
    fn renew(&mut self) {
        let Some(live) = &self.live else { return };
        let Some(snapshot) = live.snapshot() else { return };
        let works = match &self.entrance {
            Entrance::Open(gate) if Arc::ptr_eq(&gate.snapshot, &snapshot) => return,
            Entrance::Open(gate) => Rc::clone(&gate.works),
            Entrance::Waiting(works) => Rc::clone(works),
            Entrance::Unconfigured => return,
        };
        let waits = snapshot.attest() == AttestPolicy::BeforeAllow;
        if let Err(fault) = host::set_tick_period(if waits { WAITING_TICK_MS } else { live::TICK_MS }) {
            host::log(Level::Warn, &format!("permits wait longer for their records: {fault}"));
        }
        let (trust, line) = (Some(Rc::clone(live.trust())), Some(Rc::clone(live.line())));
        let records = self.records.clone();
        self.entrance = Entrance::Open(Rc::new(Gate { snapshot, trust, line, records, works }));
    }
}

/// How often a worker looks whether records were taken that requests wait for: what it costs them
/// on average is half of it, where another worker sent them.
const WAITING_TICK_MS: u32 = 20;

/// What keeps a gate from starting.
enum Obstacle {
    Config(ConfigError),
    Host(HostFault, &'static str),
    Live(live::Obstacle),
}

const LOST: HostFault = HostFault::new(Place::GetSharedData, Problem::OtherValue);

/// Tries what a gate depends on and what hosts have been seen to lack or to feign. Some
/// of it only higher profiles use; a host that lacks it is no host for a gate.
fn probe() -> Result<(), Obstacle> {
    let mut random = [0; 16];
    let randomness = host::random(&mut random).and_then(|()| {
        if random == [0; 16] { Err(HostFault::new(Place::RandomGet, Problem::Zeros)) } else { Ok(()) }
    });
    randomness.map_err(|fault| Obstacle::Host(fault, "randomness"))?;
    host::environment().map_err(|fault| Obstacle::Host(fault, "environment variables"))?;
    host::now().map_err(|fault| Obstacle::Host(fault, "a clock"))?;
    probe_shared_data().map_err(|fault| Obstacle::Host(fault, "data shared between workers"))
}

fn probe_shared_data() -> Result<(), HostFault> {
    let key = shared::name("probe");
    // The same in all workers, which write and read it in any order.
    const VALUE: &[u8] = b"shared";
    const CAS_MISMATCH: u32 = 8;
    match host::set_shared(&key, VALUE, 0) {
        // Where CAS 0 means "if there is none", another worker was here before.
        Err(fault) if fault.status() != Some(CAS_MISMATCH) => return Err(fault),
        _ => {}
    }
    let (value, _) = host::shared(&key)?;
    if value == VALUE { Ok(()) } else { Err(HostFault::new(Place::GetSharedData, Problem::OtherValue)) }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Obstacle::Config(error) | Obstacle::Live(live::Obstacle::Config(error)) => error.fmt(formatter),
            Obstacle::Live(live::Obstacle::Key(problem)) => formatter.write_str(problem),
            Obstacle::Live(live::Obstacle::Host(fault)) => {
                write!(formatter, "the host does not give it what live trust material needs: {fault}")
            }
            Obstacle::Host(fault, lack) => write!(formatter, "the host does not give it {lack}: {fault}"),
        }
    }
}
