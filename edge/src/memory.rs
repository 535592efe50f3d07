//! What a gate remembers: in this process, or in a store that is asked by the caller.

use alloc::collections::BTreeMap;
use alloc::string::String;
use portcullis_core::guardrails::{Limits, Spend, SpendAccount, SpendFault, Taken};
use portcullis_core::{
    Charged, CounterFault, CounterKey, Counters, LocalCounters, LocalReplay, Novelty, Once, Process, Replay,
    ReplayFault, UnixTime, Usage, base64, sha256,
};

/// The memory of this process. Full, both parts have some 40 MB in pages of a fixed number; what
/// finds no room there is refused.
pub(crate) struct Local {
    replay: LocalReplay,
    counters: LocalCounters,
}

/// What a store has answered about what a request uses up.
pub(crate) struct Known<'k>(BTreeMap<&'k str, Result<Novelty, ReplayFault>>);

/// What one judgement remembers, and what it has to ask for.
pub(crate) struct Recorder<'m> {
    local: &'m mut Local,
    known: &'m Known<'m>,
    gate: Option<&'m str>,
    counts: bool,
    asked: Option<Once>,
}

impl Local {
    pub(crate) fn new(process: &Process) -> Self {
        Local {
            replay: LocalReplay::new(process.replay_secret()),
            counters: LocalCounters::new(process.counter_secret()),
        }
    }
}

impl<'k> Known<'k> {
    /// Reads lines of a key and what is known of it: `new`, `full`, `failed`, or since when it is
    /// used, in milliseconds since 1970.
    pub(crate) fn read(lines: &'k str) -> Self {
        let pairs = lines.lines().filter_map(|line| line.split_once(' '));
        Known(
            pairs
                .map(|(key, answer)| {
                    let known = match answer {
                        "new" => Ok(Novelty::New),
                        "full" => Err(ReplayFault::Full),
                        _ => answer
                            .parse()
                            .map(|first| Novelty::Seen { first: UnixTime::from_millis(first) })
                            .map_err(|_| ReplayFault::Unavailable("the store does not answer as it should")),
                    };
                    (key, known)
                })
                .collect(),
        )
    }
}

impl<'m> Recorder<'m> {
    /// What is used once is asked of a store for the gate of this id, or where there is none
    /// remembered here.
    pub(crate) fn new(
        local: &'m mut Local,
        known: &'m Known<'m>,
        asks_for: Option<&'m str>,
        counts: bool,
    ) -> Self {
        Recorder { local, known, gate: asks_for, counts, asked: None }
    }

    /// What must be asked of the store before anything is decided.
    pub(crate) fn asked(&self) -> Option<Once> {
        self.asked
    }
}

/// Under which a store remembers: nothing of a nonce or an agent can be told by it.
pub(crate) fn store_key(gate: &str, once: &Once) -> String {
    let bytes = [&sha256(gate.as_bytes()), &once.key, &once.token].map(<[u8; 32]>::as_slice).concat();
    base64::encode_url(&sha256(&bytes))
}

impl Replay for Recorder<'_> {
    fn insert(&mut self, once: &Once, now: UnixTime) -> Result<Novelty, ReplayFault> {
        let Some(gate) = self.gate else { return self.local.replay.insert(once, now) };
        match self.known.0.get(store_key(gate, once).as_str()) {
            Some(answer) => *answer,
            // The judgement ends here, and is made again once this is known. Nothing was charged
            // by then, as counters come last.
            None => {
                self.asked = Some(*once);
                Err(ReplayFault::Unavailable("the store was not asked yet"))
            }
        }
    }
}

impl Counters for Recorder<'_> {
    fn usage(&mut self, key: &CounterKey, now: UnixTime) -> Result<Usage, CounterFault> {
        if self.counts { self.local.counters.usage(key, now) } else { Err(UNCOUNTED) }
    }

    fn charge(&mut self, key: &CounterKey, limits: &Limits, now: UnixTime) -> Result<Charged, CounterFault> {
        if self.counts { self.local.counters.charge(key, limits, now) } else { Err(UNCOUNTED) }
    }
}

const UNCOUNTED: CounterFault =
    CounterFault::Unavailable("nothing is counted here: see the option `counters`");

/// Nobody at the edge keeps what is spent.
impl Spend for Recorder<'_> {
    fn take(&mut self, _: &SpendAccount, _: u64, _: UnixTime) -> Result<Taken, SpendFault> {
        Err(SpendFault::Unavailable("a gate at the edge does not keep what is spent"))
    }

    fn give_back(&mut self, _: &SpendAccount, _: u64, _: UnixTime) {}
}
