use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wasmtime::{Cache, CacheConfig, Config, Engine, ExternType, Module};

use crate::fault::Faults;
use crate::shared::{Metrics, Queues, SharedData};
use crate::{Fault, HostProfile, StartError, Vm};

/// A compiled plugin. Compiling takes seconds, so do it once and clone this.
#[derive(Clone)]
pub struct Plugin {
    pub(crate) engine: Engine,
    pub(crate) module: Module,
}

/// One proxy process: what its workers share, and what decides how it behaves.
///
/// A clone is another handle to the same process. Settings made with the
/// chaining methods (`configuration`, `environment`, …) count for the VMs that
/// are started from the handle they return.
#[derive(Clone)]
pub struct Host {
    pub(crate) plugin: Plugin,
    pub(crate) settings: Settings,
    pub(crate) process: Arc<Process>,
}

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) profile: HostProfile,
    pub(crate) configuration: Vec<u8>,
    pub(crate) vm_configuration: Vec<u8>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) fuel_per_callback: u64,
    pub(crate) memory_limit: usize,
    pub(crate) trace_limit: usize,
    pub(crate) randomness: Randomness,
    pub(crate) clusters: Option<Vec<String>>,
    pub(crate) log_level: LogLevel,
    pub(crate) log_sink: Option<LogSink>,
}

type LogSink = Arc<dyn Fn(LogLevel, &str) + Send + Sync>;

#[derive(Clone, Copy)]
pub(crate) enum Randomness {
    Seeded(u64),
    System,
}

/// What all VMs of a process share.
pub(crate) struct Process {
    pub(crate) vm_id: &'static str,
    pub(crate) data: Mutex<SharedData>,
    pub(crate) queues: Mutex<Queues>,
    pub(crate) metrics: Mutex<Metrics>,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) vms_started: AtomicU32,
    pub(crate) virtual_now: AtomicU64,
    pub(crate) system_clock: std::sync::atomic::AtomicBool,
}

/// The ABI's log levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// 0
    Trace,
    /// 1
    Debug,
    /// 2
    Info,
    /// 3
    Warn,
    /// 4
    Error,
    /// 5
    Critical,
}

/// The environment variable that names a folder, by its absolute path, for compiled plugins:
/// every test is a process of its own, and an engine that is not optimised itself takes seconds
/// to compile one.
const COMPILED: &str = "PORTCULLIS_COMPILED";

/// The plugin's file cannot be read or is not a WebAssembly module.
#[derive(Debug)]
pub struct HostError(String);

impl Plugin {
    /// Compiles a plugin. `wasm` is a binary module. With a folder in `PORTCULLIS_COMPILED` in the
    /// environment, what was compiled before is taken from there.
    pub fn from_bytes(wasm: &[u8]) -> Result<Self, HostError> {
        let mut config = Config::new();
        config.consume_fuel(true);
        if let Some(folder) = std::env::var_os(COMPILED) {
            let mut cache = CacheConfig::new();
            cache.with_directory(folder);
            let cache = Cache::new(cache).map_err(|e| HostError(format!("{COMPILED}: {e:#}")))?;
            config.cache(Some(cache));
        }
        let engine = Engine::new(&config).map_err(|e| HostError(format!("no WebAssembly engine: {e:#}")))?;
        let module =
            Module::new(&engine, wasm).map_err(|e| HostError(format!("not a WebAssembly module: {e:#}")))?;
        Ok(Self { engine, module })
    }

    /// Reads and compiles the plugin in a file.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, HostError> {
        let path = path.as_ref();
        let wasm =
            std::fs::read(path).map_err(|e| HostError(format!("cannot read {}: {e}", path.display())))?;
        Self::from_bytes(&wasm).map_err(|e| HostError(format!("{}: {e}", path.display())))
    }

    /// The functions that the plugin imports, as `module.name`, sorted.
    pub fn imports(&self) -> Vec<String> {
        let mut names: Vec<_> = self
            .module
            .imports()
            .filter(|import| matches!(import.ty(), ExternType::Func(_)))
            .map(|import| format!("{}.{}", import.module(), import.name()))
            .collect();
        names.sort();
        names
    }
}

impl Host {
    /// A new process, at time [`Host::START`], with seed 0, an empty
    /// configuration and no environment.
    pub fn new(plugin: &Plugin, profile: HostProfile) -> Self {
        let process = Process {
            vm_id: "gate_vm",
            data: Mutex::new(SharedData::new(profile.cas_rules)),
            queues: Mutex::default(),
            metrics: Mutex::default(),
            faults: Mutex::default(),
            vms_started: AtomicU32::new(0),
            virtual_now: AtomicU64::new(nanoseconds(Self::START)),
            system_clock: false.into(),
        };
        let settings = Settings {
            profile,
            configuration: Vec::new(),
            vm_configuration: Vec::new(),
            environment: Vec::new(),
            // About a second of work; the slowest honest callback (a chain of
            // six signatures in an unoptimised build) stays under a tenth.
            fuel_per_callback: 2_000_000_000,
            // Twice what the largest trust material is to take.
            memory_limit: 64 * 1024 * 1024,
            // A request makes some thirty calls: the trace of the last few hundred.
            trace_limit: 10_000,
            randomness: Randomness::Seeded(0),
            clusters: None,
            log_level: LogLevel::Trace,
            log_sink: None,
        };
        Self { plugin: plugin.clone(), settings, process: Arc::new(process) }
    }

    /// The time at which a virtual clock stands at first, since the Unix epoch:
    /// 2026-01-01T00:00:00Z.
    pub const START: Duration = Duration::from_secs(1_767_225_600);

    /// The plugin's configuration: the text of the `StringValue`.
    pub fn configuration(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.settings.configuration = text.into();
        self
    }

    /// The VM's configuration.
    pub fn vm_configuration(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.settings.vm_configuration = text.into();
        self
    }

    /// One more variable in the environment of VMs.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.settings.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The seed of `random_get`. Each VM draws from its own stream of numbers,
    /// given by the seed and by how many VMs were started before it.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.randomness = Randomness::Seeded(seed);
        self
    }

    /// How many WebAssembly instructions (wasmtime's fuel) one callback may
    /// use before it is stopped with [`TrapKind::OutOfFuel`](crate::TrapKind::OutOfFuel).
    pub fn fuel_per_callback(mut self, fuel: u64) -> Self {
        self.settings.fuel_per_callback = fuel;
        self
    }

    /// How large one VM's memory may grow, in bytes.
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.settings.memory_limit = bytes;
        self
    }

    /// How many trace lines and log lines each VM keeps, the newest; 0 records nothing.
    pub fn trace_limit(mut self, lines: usize) -> Self {
        self.settings.trace_limit = lines;
        self
    }

    /// The upstreams that `proxy_http_call` may name. Unless set, any name will do.
    pub fn clusters(mut self, names: &[&str]) -> Self {
        self.settings.clusters = Some(names.iter().map(|&name| name.to_owned()).collect());
        self
    }

    /// The level below which the plugin's log messages are dropped, and where
    /// the others go besides [`Vm::logs`].
    pub fn log_to(mut self, level: LogLevel, sink: impl Fn(LogLevel, &str) + Send + Sync + 'static) -> Self {
        self.settings.log_level = level;
        self.settings.log_sink = Some(Arc::new(sink));
        self
    }

    /// Real time and real randomness, for running rather than testing.
    pub fn for_real(mut self) -> Self {
        self.process.system_clock.store(true, Ordering::Relaxed);
        self.settings.randomness = Randomness::System;
        self
    }

    /// Starts one more VM: instantiates the plugin and configures it.
    pub fn start(&self) -> Result<Vm, StartError> {
        Vm::start(self)
    }

    /// The time now, since the Unix epoch.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.process.now())
    }

    /// Sets the virtual clock to a time since the Unix epoch.
    pub fn set_now(&self, now: Duration) {
        self.process.virtual_now.store(nanoseconds(now), Ordering::Relaxed);
    }

    /// Moves the virtual clock forward.
    pub fn advance(&self, by: Duration) {
        self.set_now(self.now().saturating_add(by));
    }

    /// From now on, lies where the fault says so.
    pub fn inject(&self, fault: Fault) {
        lock(&self.process.faults).inject(fault);
    }

    /// Lets something happen right before the `nth` call of this name from now
    /// on (counted from 1, over all VMs): another VM's whole request, say, between
    /// this VM's reading of shared data and its writing. It must not touch the VM
    /// that makes the call.
    pub fn before(&self, call: &str, nth: u64, act: impl FnOnce() + Send + 'static) {
        lock(&self.process.faults).before(call, nth, Box::new(act));
    }

    /// Forgets all faults, and all that was to happen [`before`](Self::before) a call.
    pub fn clear_faults(&self) {
        lock(&self.process.faults).clear();
    }

    /// A value in the shared data.
    pub fn shared_data(&self, key: &str) -> Option<Vec<u8>> {
        lock(&self.process.data).get(key.as_bytes()).map(|(value, _)| value.to_vec())
    }

    /// The keys in the shared data, sorted.
    pub fn shared_keys(&self) -> Vec<String> {
        lock(&self.process.data).keys().map(|key| String::from_utf8_lossy(key).into_owned()).collect()
    }

    /// Puts a value into the shared data, as a VM that is not watched would:
    /// its CAS changes.
    pub fn set_shared_data(&self, key: &str, value: impl Into<Vec<u8>>) {
        lock(&self.process.data).put(key.as_bytes(), value.into());
    }

    /// Loses a value, as a host with eviction does.
    pub fn evict_shared_data(&self, key: &str) {
        lock(&self.process.data).remove(key.as_bytes());
    }

    /// What waits in a shared queue, oldest first; `None` if no VM registered it.
    pub fn queue(&self, name: &str) -> Option<Vec<Vec<u8>>> {
        lock(&self.process.queues).contents(name.as_bytes())
    }

    /// A counter's or gauge's value, or how often a histogram was recorded;
    /// `None` if no VM defined it.
    pub fn metric(&self, name: &str) -> Option<u64> {
        lock(&self.process.metrics).named(name)
    }

    /// All metrics that are not zero, by name, sorted.
    pub fn metrics(&self) -> Vec<(String, u64)> {
        lock(&self.process.metrics).nonzero()
    }
}

impl Process {
    /// Nanoseconds since the Unix epoch.
    pub(crate) fn now(&self) -> u64 {
        if self.system_clock.load(Ordering::Relaxed) {
            // A clock before 1970 is a broken one: every credential is then not yet valid.
            nanoseconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
        } else {
            self.virtual_now.load(Ordering::Relaxed)
        }
    }
}

/// Saturates in the year 2554.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A VM that died while it held the lock left nothing half-done: all changes
/// under these locks are single assignments.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LogLevel {
    pub(crate) fn from_abi(level: u32) -> Option<Self> {
        Some(match level {
            0 => Self::Trace,
            1 => Self::Debug,
            2 => Self::Info,
            3 => Self::Warn,
            4 => Self::Error,
            5 => Self::Critical,
            _ => return None,
        })
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
        })
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for HostError {}
