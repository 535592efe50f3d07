use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::{StoreLimits, StoreLimitsBuilder};

use crate::abi::Random;
use crate::host::{Host, Process, Settings};
use crate::stream::Stream;
use crate::{Headers, LogLevel, Response, Trace};

/// The root context of every VM.
pub(crate) const ROOT: u32 = 1;

/// A VM's side of the host: what host calls look at and change.
pub(crate) struct VmState {
    pub(crate) number: u32,
    pub(crate) settings: Settings,
    pub(crate) process: Arc<Process>,
    pub(crate) limits: StoreLimits,
    pub(crate) random: Random,
    pub(crate) trace: Trace,
    pub(crate) logs: VecDeque<(LogLevel, String)>,
    /// The export that runs, for traps and for the trace.
    pub(crate) callback: &'static str,
    /// The context that runs, and the one that the plugin chose instead.
    pub(crate) current: u32,
    pub(crate) effective: Option<u32>,
    pub(crate) configuring: bool,
    pub(crate) streams: BTreeMap<u32, Stream>,
    pub(crate) last_context: u32,
    pub(crate) tick_period: Option<Duration>,
    pub(crate) http_calls: BTreeMap<u32, HttpCall>,
    pub(crate) last_token: u32,
    pub(crate) http_response: Option<Response>,
}

/// A call that the plugin made with `proxy_http_call`, waiting for its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCall {
    /// The ABI's token.
    pub token: u32,
    /// The upstream's name (Envoy: a cluster).
    pub upstream: String,
    /// The headers, pseudo-headers included.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
    /// The trailers.
    pub trailers: Headers,
    /// How long the plugin wants to wait.
    pub timeout: Duration,
}

impl VmState {
    pub(crate) fn new(host: &Host, number: u32) -> Self {
        let mut settings = host.settings.clone();
        if settings.profile.configuration_nul_terminated {
            settings.configuration.push(0);
            settings.vm_configuration.push(0);
        }
        Self {
            number,
            limits: StoreLimitsBuilder::new().memory_size(settings.memory_limit).build(),
            random: Random::new(settings.randomness, number),
            trace: Trace::new(settings.trace_limit),
            settings,
            process: Arc::clone(&host.process),
            logs: VecDeque::new(),
            callback: "",
            current: ROOT,
            effective: None,
            configuring: false,
            streams: BTreeMap::new(),
            last_context: ROOT,
            tick_period: None,
            http_calls: BTreeMap::new(),
            last_token: 0,
            http_response: None,
        }
    }

    /// The stream that host calls are about; `None` in the root context.
    pub(crate) fn stream(&mut self) -> Option<&mut Stream> {
        self.streams.get_mut(&self.effective.unwrap_or(self.current))
    }

    pub(crate) fn log(&mut self, level: LogLevel, message: &str) {
        if level < self.settings.log_level {
            return;
        }
        if let Some(sink) = &self.settings.log_sink {
            sink(level, message);
        }
        if self.settings.trace_limit == 0 {
            return;
        }
        if self.logs.len() >= self.settings.trace_limit {
            self.logs.pop_front();
        }
        self.logs.push_back((level, message.to_owned()));
    }
}
