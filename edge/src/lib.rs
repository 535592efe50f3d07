//! The gate where there is no proxy: a request's head and body go in, and what is to be done
//! with it comes out. The core decides; `web/js/gate.js` acts.
//!
//! A request is judged from its beginning each time that something more is known of it: its
//! body, or what a store outside answers about what it uses up. What was found out by then is
//! found out again, and only an answer that is final charges anything.

// The standard library's panics and its allocator are 20 KB of the file.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

mod head;
mod memory;
mod outcome;
mod trust;
mod unusable;
mod vm;

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use head::Head;
use memory::{Known, Local, Recorder};
use outcome::Outcome;
use portcullis_core::live::LiveView;
use portcullis_core::{
    AttestPolicy, ConfigError, CredentialCache, Denial, GateConfiguration, Held, HostKind, Pending, Permit,
    Process, Profile, Reason, Refused, RequestHead, ReservedHeaders, Snapshot, Step, UnixTime, Verifier,
    Wanted,
};
use portcullis_reply::{Told, headers};
use trust::Taking;
use unusable::{Unusable, thrown};
use wasm_bindgen::prelude::wasm_bindgen;

/// A gate.
#[wasm_bindgen]
pub struct EdgeGate {
    source: Source,
    /// Whether one memory in this process is all that there is to remember what was used.
    remembers: bool,
    /// Whether requests are counted, here.
    counts: bool,
    /// Since the first request: a worker has neither randomness nor a clock before.
    process: Option<Process>,
    local: Option<Local>,
    cache: CredentialCache,
}

/// Where a gate has from what it decides by.
enum Source {
    /// From its configuration.
    Fixed(Arc<Snapshot>),
    /// From a control service.
    Live(Box<Taking>),
}

/// How much of a body that needs judging there is.
enum Body {
    /// It was not read.
    Unread,
    /// There is none.
    Absent,
    /// All of it, or more of it than a gate reads.
    Read(Vec<u8>),
}

#[wasm_bindgen]
impl EdgeGate {
    /// A gate of this configuration, which is the plugin's. `remembers` and `counts` say whether
    /// memory in this process is enough for what may be used once, and for what is counted.
    ///
    /// # Errors
    /// What is wrong with the configuration, or cannot be kept at the edge.
    #[wasm_bindgen(constructor)]
    pub fn new(config: &[u8], remembers: bool, counts: bool) -> Result<EdgeGate, String> {
        Self::open(config, remembers, counts).map_err(|unusable| thrown(&unusable))
    }

    /// Whether it takes what it decides by from a control service.
    #[wasm_bindgen(getter, js_name = isLive)]
    pub fn is_live(&self) -> bool {
        matches!(self.source, Source::Live(_))
    }

    /// Begins: `secret` are 32 bytes, random or those that all processes of this gate share,
    /// `began` is since when its memory holds whatever was used, in milliseconds since 1970;
    /// `gate_key` are the 32 bytes by which its calls to the control service are signed.
    ///
    /// # Errors
    /// A secret or a key of another length.
    pub fn begin(&mut self, secret: &[u8], began: f64, gate_key: Option<Vec<u8>>) -> Result<(), String> {
        let secret = secret.try_into().map_err(|_| {
            thrown(&Unusable::argument("secrets.process", "32 random bytes, or base64 of them"))
        })?;
        if let Source::Live(taking) = &mut self.source {
            taking.begin(gate_key).map_err(|unusable| thrown(&unusable))?;
        }
        let process = Process::new(secret, time(began));
        self.local = Some(Local::new(&process));
        self.process = Some(process);
        Ok(())
    }

    /// Judges a request at `now`, in milliseconds since 1970. `head` are method, authority, target,
    /// source, and names and values of headers, with a zero byte between any two;
    /// `body` what was read of the body, `ends` whether there is none; `known` what the store
    /// answered so far; `random` are 16 random bytes.
    pub fn judge(
        &mut self,
        head: &[u8],
        body: Option<Vec<u8>>,
        ends: bool,
        known: &str,
        now: f64,
        random: &[u8],
    ) -> String {
        let body = match body {
            _ if ends => Body::Absent,
            Some(body) => Body::Read(body),
            None => Body::Unread,
        };
        let random = random.first_chunk().copied().unwrap_or_default();
        self.decide(head, body, &Known::read(known), time(now), &random).to_json()
    }

    /// What answers a request where the gate itself has failed.
    #[wasm_bindgen(js_name = faultReply)]
    pub fn fault_reply() -> String {
        Outcome::of_unknown(Denial::new(Reason::HostFault, "")).to_json()
    }

    /// What to ask the control service next, as a call that is signed: JSON, or nothing for a
    /// gate that has none. `random` are 32 random bytes.
    pub fn question(&mut self, now: f64, random: &[u8]) -> Option<String> {
        match &mut self.source {
            Source::Fixed(_) => None,
            Source::Live(taking) => taking.question(time(now), random),
        }
    }

    /// Takes the answer to the last question up; answers whether there is more to ask at once.
    ///
    /// # Errors
    /// Why it was refused: what is in force stays so.
    pub fn accept(&mut self, body: &[u8], now: f64) -> Result<bool, String> {
        match &mut self.source {
            Source::Fixed(_) => Ok(false),
            Source::Live(taking) => taking.accept(body, time(now)).map_err(|unusable| thrown(&unusable)),
        }
    }
}

impl EdgeGate {
    fn open(config: &[u8], remembers: bool, counts: bool) -> Result<Self, Unusable> {
        let configuration = GateConfiguration::from_json(config)?;
        let (source, cache_bytes) = match configuration {
            GateConfiguration::Static(config) => {
                if config.spend.is_some() {
                    return Err(unkept("spend", "is kept by no gate at the edge: leave it out"));
                }
                if config.host != HostKind::Envoy {
                    return Err(unkept("host", "is for gates in proxies: leave it out"));
                }
                let snapshot = Snapshot::of_static(&config)?;
                check_kept(&snapshot, counts)?;
                (Source::Fixed(Arc::new(snapshot)), config.cache_bytes)
            }
            GateConfiguration::Live(config) => {
                let cache_bytes = config.cache_bytes;
                (Source::Live(Box::new(Taking::new(config, counts)?)), cache_bytes)
            }
        };
        let cache = CredentialCache::new(usize::try_from(cache_bytes).unwrap_or(usize::MAX));
        Ok(EdgeGate { source, remembers, counts, process: None, local: None, cache })
    }

    fn decide(
        &mut self,
        head: &[u8],
        body: Body,
        known: &Known,
        now: UnixTime,
        random: &[u8; 16],
    ) -> Outcome {
        let EdgeGate { source, remembers, counts, process, local, cache } = self;
        let (snapshot, live) = match source {
            Source::Fixed(snapshot) => (&*snapshot, None),
            Source::Live(taking) => match taking.current() {
                Ok(current) => (current.snapshot, Some(current.live)),
                Err(denial) => return Outcome::of_unknown(denial),
            },
        };
        let (Some(process), Some(local)) = (process, local) else {
            return Outcome::of_unknown(Denial::new(Reason::HostFault, "the gate has not begun"));
        };
        let judging = Judging { snapshot, live, process, now, random };
        let head = match Head::read(head) {
            Ok(head) => head,
            Err(denial) => return judging.refuse(None, Refused::of_unknown(denial)),
        };
        if snapshot.reserved_headers() == ReservedHeaders::Refuse
            && let Err(denial) = headers::check_reserved(&head.headers)
        {
            return judging.refuse(Some(&head), Refused::of_unknown(denial));
        }
        let mut memory = Recorder::new(local, known, (!*remembers).then_some(snapshot.gate()), *counts);
        let step = judging.step(&head, body, cache, &mut memory);
        if let Some(once) = memory.asked() {
            return Outcome::Ask { key: memory::store_key(snapshot.gate(), &once), until: once.until };
        }
        match step {
            Step::NeedBody(_) => Outcome::NeedBody { limit: snapshot.max_body_bytes() },
            Step::Permit(permit) => judging.permit(&head, &permit),
            Step::Deny(refused) => judging.refuse(Some(&head), refused),
            Step::Hold(held) => judging.hold(&head, held),
            // Its configuration is refused.
            Step::NeedAuthority(pending) => {
                let detail = "nobody here asks whether it was used elsewhere";
                let denial = Denial::new(Reason::NonceAuthorityUnavailable, detail);
                judging.refuse(Some(&head), pending.refused(denial))
            }
        }
    }
}

/// What a request is judged by.
#[derive(Clone, Copy)]
struct Judging<'g> {
    snapshot: &'g Snapshot,
    live: Option<LiveView<'g>>,
    process: &'g Process,
    now: UnixTime,
    random: &'g [u8; 16],
}

impl Judging<'_> {
    fn step(
        &self,
        head: &Head<'_>,
        body: Body,
        cache: &mut CredentialCache,
        memory: &mut Recorder<'_>,
    ) -> Step {
        let mut verifier = Verifier::new(self.snapshot).with_process(self.process);
        if let Some(live) = self.live {
            verifier = verifier.with_live(live);
        }
        let Head { method, authority, path, source, headers } = head;
        let request = RequestHead { method, authority, path, headers, source: *source };
        let mut pending = match verifier.begin(&request, self.now, cache, memory) {
            Step::NeedBody(pending) => pending,
            decided => return decided,
        };
        let absorbed = match body {
            Body::Unread if !pending.is_whole() => return Step::NeedBody(pending),
            Body::Read(body) if !pending.is_whole() => absorb(&mut pending, body),
            _ => match head.check_bodiless() {
                Ok(()) => absorb(&mut pending, Vec::new()),
                Err(denial) => return Step::Deny(Refused::of_unknown(denial)),
            },
        };
        match absorbed {
            Ok(()) => verifier.finish(pending, self.now, memory),
            Err(refused) => Step::Deny(*refused),
        }
    }

    fn permit(&self, head: &Head<'_>, permit: &Permit) -> Outcome {
        let wanted = permit.wanted().map(|wanted| self.accept_signature(wanted));
        Outcome::permitted(head, permit, wanted)
    }

    /// Nobody here asks a person: a request that is held is refused as by a plugin that has no
    /// control service.
    fn hold(&self, head: &Head<'_>, held: Held) -> Outcome {
        let Held { mut refused, .. } = held;
        if refused.mode == portcullis_core::Mode::Enforce {
            refused.denial = Denial::new(Reason::ApprovalUnavailable, refused.denial.detail.clone());
        }
        self.refuse(Some(head), refused)
    }

    fn refuse(&self, head: Option<&Head<'_>>, refused: Refused) -> Outcome {
        let mut told = Told::of(&refused);
        told.profile = self.snapshot.profile();
        told.wanted = refused.wanted.as_ref().map(|wanted| self.accept_signature(wanted));
        Outcome::refused(head, refused, told)
    }

    /// The value of the header that asks for a proof, at L3 with a new challenge.
    fn accept_signature(&self, wanted: &Wanted) -> String {
        let Judging { snapshot, process, now, random, .. } = self;
        if snapshot.profile() != Profile::L3 {
            return wanted.accept_signature(None);
        }
        let expires = now.plus_millis(snapshot.windows().challenge_ms());
        let nonce = process.challenge(snapshot.gate(), wanted.agent(), expires, random);
        wanted.accept_signature(Some(&nonce))
    }
}

fn absorb(pending: &mut Pending, body: Vec<u8>) -> Result<(), Box<Refused>> {
    if pending.awaits_message() { pending.absorb_message(body) } else { pending.absorb(&body) }
}

/// Refuses what nobody at the edge keeps: it must not seem to be kept.
fn check_kept(snapshot: &Snapshot, counts: bool) -> Result<(), Unusable> {
    const SERVICE: &str = "asks for what a gate at the edge does not do: ";
    if snapshot.has_prices() {
        return Err(unkept("catalog_prices", &[SERVICE, "nobody here makes receipts"].concat()));
    }
    if matches!(snapshot.attest(), AttestPolicy::Required | AttestPolicy::BeforeAllow) {
        let detail = [SERVICE, "no records are kept here. Set it to off or best_effort"].concat();
        return Err(unkept("attest.policy", &detail));
    }
    if snapshot.asks_nonce_authority() {
        let detail = [SERVICE, "let the store be one that all processes share"].concat();
        return Err(unkept("nonce_authority", &detail));
    }
    if snapshot.guardrails().iter().any(|(_, rules)| !rules.caps().is_empty()) {
        return Err(unkept("guardrails", "cap what is spent, which nobody at the edge keeps"));
    }
    let limits = snapshot.guardrails().iter().any(|(_, rules)| *rules.limits() != Default::default());
    if !counts && (limits || snapshot.admits_anonymous()) {
        let detail = "have limits, and nothing is counted here: see the option `counters`";
        return Err(unkept(if limits { "guardrails" } else { "anonymous" }, detail));
    }
    Ok(())
}

fn unkept(member: &str, problem: &str) -> Unusable {
    ConfigError::new(member, problem).into()
}

impl From<ConfigError> for Unusable {
    fn from(error: ConfigError) -> Self {
        Unusable { code: "INVALID_CONFIGURATION", detail: error.to_string() }
    }
}

/// JavaScript's times: a whole number of milliseconds, and what is none is the time's beginning,
/// by which nothing is valid.
#[expect(clippy::cast_possible_truncation, reason = "what is out of range becomes the nearest that is not")]
fn time(millis: f64) -> UnixTime {
    UnixTime::from_millis(millis as i64)
}
