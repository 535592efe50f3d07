//! The plugin's beginning: its host is probed, its configuration read.

use crate::host::{self, HostFault, Level};
use crate::metrics::Metrics;
use crate::replay::{HostStore, SharedReplay};
use crate::request::Request;
use core::cell::RefCell;
use core::fmt;
use portcullis_core::{Config, ConfigError, CredentialCache, Snapshot};
use std::rc::Rc;

/// What requests are judged by. A request keeps the one that it began with.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) snapshot: Snapshot,
    pub(crate) cache: RefCell<CredentialCache>,
    pub(crate) metrics: Metrics,
    pub(crate) replay: RefCell<SharedReplay<HostStore>>,
}

/// The context from which requests come.
#[derive(Debug, Default)]
pub(crate) struct Root {
    gate: Option<Rc<Gate>>,
}

impl Root {
    /// Reads the configuration of `size` bytes; answers whether it can be used.
    pub(crate) fn configure(&mut self, size: usize) -> bool {
        // Absence refuses: after a configuration that cannot be used there is none, in
        // case the host goes on in spite of the answer.
        self.gate = None;
        match configure(size) {
            Ok(gate) => {
                host::log(Level::Info, &format!("gate {} is ready", gate.snapshot.gate()));
                self.gate = Some(Rc::new(gate));
                true
            }
            Err(obstacle) => {
                host::log(Level::Critical, &format!("the gate does not start: {obstacle}"));
                false
            }
        }
    }

    /// A request that begins now.
    pub(crate) fn request(&self) -> Request {
        Request::new(self.gate.clone())
    }
}

/// What keeps a gate from starting.
enum Obstacle {
    Config(ConfigError),
    Host(HostFault, &'static str),
}

fn configure(size: usize) -> Result<Gate, Obstacle> {
    probe()?;
    let json = host::configuration(size).map_err(|fault| Obstacle::Host(fault, "its configuration"))?;
    let config = Config::from_json(&json).map_err(Obstacle::Config)?;
    let snapshot = Snapshot::new(&config).map_err(Obstacle::Config)?;
    let replay = SharedReplay::open(HostStore)
        .map_err(|fault| Obstacle::Host(fault, "a memory that workers share"))?;
    let (metrics, missing) = Metrics::define();
    if missing > 0 {
        host::log(Level::Warn, &format!("the host did not make {missing} counter(s): they stay uncounted"));
    }
    let cache_bytes = usize::try_from(config.cache_bytes).unwrap_or(usize::MAX);
    Ok(Gate {
        snapshot,
        cache: RefCell::new(CredentialCache::new(cache_bytes)),
        metrics,
        replay: RefCell::new(replay),
    })
}

/// Tries what a gate depends on and what hosts have been seen to lack or to feign. Some
/// of it only higher profiles use; a host that lacks it is no host for a gate.
fn probe() -> Result<(), Obstacle> {
    let mut random = [0; 16];
    let randomness = host::random(&mut random).and_then(|()| {
        if random == [0; 16] { Err(HostFault::Answer("random_get", "filled in zeros")) } else { Ok(()) }
    });
    randomness.map_err(|fault| Obstacle::Host(fault, "randomness"))?;
    host::environment().map_err(|fault| Obstacle::Host(fault, "environment variables"))?;
    host::now().map_err(|fault| Obstacle::Host(fault, "a clock"))?;
    probe_shared_data().map_err(|fault| Obstacle::Host(fault, "data shared between workers"))
}

fn probe_shared_data() -> Result<(), HostFault> {
    const KEY: &str = "portcullis.probe";
    // The same in all workers, which write and read it in any order.
    const VALUE: &[u8] = b"shared";
    const CAS_MISMATCH: u32 = 8;
    match host::set_shared(KEY, VALUE, 0) {
        // Where CAS 0 means "if there is none", another worker was here before.
        Err(fault) if fault.status() != Some(CAS_MISMATCH) => return Err(fault),
        _ => {}
    }
    let (value, _) = host::shared(KEY)?;
    if value == VALUE {
        Ok(())
    } else {
        Err(HostFault::Answer("proxy_get_shared_data", "returned another value than was set"))
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Obstacle::Config(error) => error.fmt(formatter),
            Obstacle::Host(fault, lack) => write!(formatter, "the host does not give it {lack}: {fault}"),
        }
    }
}
