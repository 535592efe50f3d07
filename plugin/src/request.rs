//! A request's way through the gate.

use crate::body;
use crate::callbacks::Action;
use crate::headers;
use crate::host::{self, HostFault, Level, Map};
use crate::metrics::Outcome;
use crate::nonce::Asked;
use crate::pairs::{self, Head, Pair};
use crate::reply::Reply;
use crate::root::{Entrance, Gate};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use portcullis_core::{
    Denial, Mode, Pending, Permit, Process, Profile, Reason, Refused, ReplayFault, RequestHead,
    ReservedHeaders, Step, UnixTime, Verifier, Wanted,
};

/// One request.
#[derive(Debug)]
pub(crate) struct Request {
    entrance: Entrance,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Its headers were not seen.
    New,
    /// Its head is good so far, and its body is held back until it is whole.
    Holding(Box<Pending>),
    /// It may pass once the control service has said that it is no other's repetition.
    Waiting(Box<(Permit, Asked)>),
    /// It goes on to the upstream; the answer carries the agent's next challenge, if the gate
    /// asks for such.
    Admitted(Option<Box<Wanted>>),
    /// It was answered, or could not even be: it never goes on.
    Refused,
}

// INVARIANT: `Continue` is answered, and a paused request resumed, only in the state
// `Admitted`, whatever order the host calls in; and a reply is made once.
impl Request {
    pub(crate) fn on_headers(&mut self, ends: bool) -> Action {
        match self.state {
            State::New | State::Admitted(_) => self.advance(|gate, _| Self::judge(gate, ends)),
            State::Holding(_) | State::Waiting(_) => self.stop(HostFault::Answer(AGAIN, "came twice")),
            State::Refused => Action::Pause,
        }
    }

    pub(crate) fn on_body(&mut self, size: usize, ends: bool) -> Action {
        match self.state {
            State::New => self.stop(unseen("proxy_on_request_body")),
            State::Holding(_) => self.advance(|gate, pending| Self::take(gate, pending, size, ends)),
            State::Waiting(_) => self.stop(late("proxy_on_request_body")),
            State::Admitted(_) => Action::Continue,
            State::Refused => Action::Pause,
        }
    }

    pub(crate) fn on_trailers(&mut self, count: usize) -> Action {
        match self.state {
            State::New => self.stop(unseen("proxy_on_request_trailers")),
            // A body that trailers follow ends without saying so.
            State::Holding(_) => self.advance(|gate, pending| {
                let state = Self::finish(gate, pending.ok_or_else(lost)?)?;
                Self::clean_trailers(gate, count)?;
                Ok(state)
            }),
            State::Waiting(_) => self.stop(late("proxy_on_request_trailers")),
            State::Admitted(ref mut wanted) => {
                let wanted = wanted.take();
                self.advance(|gate, _| {
                    Self::clean_trailers(gate, count)?;
                    Ok(State::Admitted(wanted))
                })
            }
            State::Refused => Action::Pause,
        }
    }

    /// The upstream's answer begins. Nothing that fails here changes it.
    pub(crate) fn on_response(&mut self) {
        let State::Admitted(wanted) = &mut self.state else { return };
        let (Some(wanted), Entrance::Open(gate)) = (wanted.take(), &self.entrance) else { return };
        let added = gate
            .accept_signature(&wanted)
            .and_then(|value| Ok(host::add_response_header("accept-signature", &value)?));
        if let Err(denial) = added {
            log("no challenge", &denial);
        }
    }

    /// Whether it waits for the answer to this call.
    pub(crate) fn waits_for(&self, token: u32) -> bool {
        matches!(&self.state, State::Waiting(waiting) if waiting.1.token == token)
    }

    /// Takes the answer that it waits for, of `size` bytes; `id` is its own context's.
    pub(crate) fn on_answered(&mut self, id: u32, size: usize) {
        let state = core::mem::replace(&mut self.state, State::Refused);
        let State::Waiting(waiting) = state else {
            self.state = state;
            return;
        };
        let (permit, asked) = *waiting;
        let action = self.advance(|gate, _| {
            // The answer is the root's, what follows the request's.
            let answer = host::call_answer(size);
            host::set_effective_context(id)?;
            let answer = answer.as_ref().map(|(status, body)| (*status, body.as_slice()));
            let decided = asked.judge(answer.map_err(|fault| *fault), gate);
            let mut map = host::headers(Map::RequestHeaders)?;
            let headers = pairs::head(&mut map).map_err(malformed)?.headers;
            match decided {
                Ok(()) => Self::admit(gate, &headers, &permit),
                Err(denial) => Self::refused_or_reported(gate, &headers, &permit, denial),
            }
        });
        if action == Action::Continue
            && let Err(fault) = host::resume_request()
        {
            self.state = State::Refused;
            self.refuse(&Denial::from(fault).into());
        }
    }
}

impl Request {
    pub(crate) fn new(entrance: Entrance) -> Self {
        Request { entrance, state: State::New }
    }

    /// Refuses a request for what the host did.
    #[cold]
    fn stop(&mut self, fault: HostFault) -> Action {
        self.advance(|_, _| Err(fault.into()))
    }

    fn advance(
        &mut self,
        step: impl FnOnce(&Gate, Option<Box<Pending>>) -> Result<State, Refusal>,
    ) -> Action {
        // Refused until something better is known: a trap on the way changes nothing.
        let state = core::mem::replace(&mut self.state, State::Refused);
        let pending = if let State::Holding(pending) = state { Some(pending) } else { None };
        let result = match &self.entrance {
            Entrance::Open(gate) => step(gate, pending),
            Entrance::Waiting(_) => {
                let detail = "none has come from the control service yet";
                Err(Denial::new(Reason::TrustMaterialMissing, detail).into())
            }
            Entrance::Unconfigured => {
                Err(HostFault::Answer("proxy_on_configure", "gave no usable configuration").into())
            }
        };
        match result {
            Ok(state) => {
                let action =
                    if matches!(state, State::Admitted(_)) { Action::Continue } else { Action::Pause };
                self.state = state;
                action
            }
            Err(refusal) => {
                self.refuse(&refusal);
                Action::Pause
            }
        }
    }

    /// Decides the request by its head; `ends` is whether the host says that no body
    /// follows.
    fn judge(gate: &Gate, ends: bool) -> Result<State, Refusal> {
        let mut map = host::headers(Map::RequestHeaders)?;
        let head = pairs::head(&mut map).map_err(malformed)?;
        check_reserved(gate, &head.headers)?;
        let now = host::now()?;
        let outcome = {
            let mut cache = gate.works.cache.try_borrow_mut().map_err(|_| REENTERED)?;
            let Head { method, authority, path, ref headers } = head;
            let head = RequestHead { method, authority, path, headers };
            let process = gate.process()?;
            gate.with_verifier(process.as_ref(), |verifier| verifier.begin(&head, now, &mut cache))?
        };
        match outcome {
            Step::NeedBody(pending) if ends => {
                body::check_absent(&head.headers)?;
                Self::act(gate, &head.headers, Self::conclude(gate, pending, now)?)
            }
            Step::NeedBody(pending) => Ok(State::Holding(pending)),
            decided => Self::act(gate, &head.headers, decided),
        }
    }

    /// Takes what has come of the body.
    fn take(gate: &Gate, pending: Option<Box<Pending>>, size: usize, ends: bool) -> Result<State, Refusal> {
        let mut pending = pending.ok_or_else(lost)?;
        match body::take(&mut pending, size)? {
            Ok(()) if ends => Self::finish(gate, pending),
            Ok(()) => Ok(State::Holding(pending)),
            Err(refused) => Self::act_on_held(gate, Step::Deny(refused)),
        }
    }

    /// Decides a request whose body has come whole.
    fn finish(gate: &Gate, pending: Box<Pending>) -> Result<State, Refusal> {
        let decided = Self::conclude(gate, pending, host::now()?)?;
        Self::act_on_held(gate, decided)
    }

    fn conclude(gate: &Gate, pending: Box<Pending>, now: UnixTime) -> Result<Step, Denial> {
        let mut replay = gate.works.replay.try_borrow_mut().map_err(|_| REENTERED)?;
        // What the process has to say of it was asked at its head.
        gate.with_verifier(None, |verifier| verifier.finish(pending, now, &mut *replay))
    }

    /// Acts on a request whose headers were held, and must be fetched again.
    fn act_on_held(gate: &Gate, decided: Step) -> Result<State, Refusal> {
        let mut map = host::headers(Map::RequestHeaders)?;
        let head = pairs::head(&mut map).map_err(malformed)?;
        Self::act(gate, &head.headers, decided)
    }

    /// Makes the headers ready for the upstream, if the request goes there.
    fn act(gate: &Gate, headers: &[Pair<'_>], decided: Step) -> Result<State, Refusal> {
        match decided {
            Step::Permit(permit) => match permit.once() {
                Some(once) if gate.snapshot.asks_nonce_authority() => match Asked::about(once, gate) {
                    Ok(asked) => Ok(State::Waiting(Box::new((permit, asked)))),
                    Err(denial) => Self::refused_or_reported(gate, headers, &permit, denial),
                },
                _ => Self::admit(gate, headers, &permit),
            },
            Step::Deny(Refused { denial, mode: Mode::Report, route, .. }) => {
                Self::report(gate, headers, route.is_some_and(|route| route.keeps_credential()), &denial)
            }
            Step::Deny(Refused { denial, wanted, .. }) => Err(Refusal { denial, wanted }),
            Step::NeedBody(_) => Err(lost().into()),
        }
    }

    fn admit(gate: &Gate, headers: &[Pair<'_>], permit: &Permit) -> Result<State, Refusal> {
        clean(Map::RequestHeaders, headers, permit.route().keeps_credential())?;
        set_identity(permit)?;
        gate.works.metrics.count(Outcome::Allowed);
        Ok(State::Admitted(permit.wanted().cloned().map(Box::new)))
    }

    /// What becomes of a request that is refused although it had a permit.
    fn refused_or_reported(
        gate: &Gate,
        headers: &[Pair<'_>],
        permit: &Permit,
        denial: Denial,
    ) -> Result<State, Refusal> {
        match permit.route().mode() {
            Mode::Report => Self::report(gate, headers, permit.route().keeps_credential(), &denial),
            Mode::Enforce => Err(Refusal { denial, wanted: permit.wanted().cloned() }),
        }
    }

    fn report(
        gate: &Gate,
        headers: &[Pair<'_>],
        keeps_credential: bool,
        denial: &Denial,
    ) -> Result<State, Refusal> {
        clean(Map::RequestHeaders, headers, keeps_credential)?;
        gate.works.metrics.count(Outcome::Reported(denial.reason));
        log("report", denial);
        Ok(State::Admitted(None))
    }

    /// Trailers are merged into the headers by some upstreams (RFC 9110 section 6.5.1).
    fn clean_trailers(gate: &Gate, count: usize) -> Result<(), Denial> {
        let mut map = host::headers(Map::RequestTrailers)?;
        let trailers = pairs::decode(&mut map).map_err(malformed)?;
        if trailers.is_empty() && count > 0 {
            return Err(malformed(pairs::Malformed("returned no trailers where there are some")).into());
        }
        check_reserved(gate, &trailers)?;
        // A credential in a trailer was never looked at, so no route keeps it.
        clean(Map::RequestTrailers, &trailers, false)
    }

    fn refuse(&self, refusal: &Refusal) {
        let Refusal { denial, wanted } = refusal;
        log("block", denial);
        let works = match &self.entrance {
            Entrance::Open(gate) => Some(&gate.works),
            Entrance::Waiting(works) => Some(works),
            Entrance::Unconfigured => None,
        };
        if let Some(works) = works {
            works.metrics.count(Outcome::Blocked(denial.reason));
        }
        let (profile, wanted) = match (&self.entrance, wanted) {
            (Entrance::Open(gate), Some(wanted)) => {
                let wanted = gate.accept_signature(wanted);
                (gate.snapshot.profile(), wanted.inspect_err(|denial| log("no challenge", denial)).ok())
            }
            (Entrance::Open(gate), None) => (gate.snapshot.profile(), None),
            _ => (Profile::L1, None),
        };
        let reply = Reply::refusing(denial, profile, wanted);
        let headers: Vec<_> = reply.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if let Err(fault) = host::reply(reply.status.into(), reply.code, &headers, &reply.body) {
            // The request hangs until the proxy gives it up; it does not go on.
            host::log(Level::Warn, &format!("a refused request stays unanswered: {fault}"));
        }
    }
}

/// Why a request is refused, and what to ask of the next.
struct Refusal {
    denial: Denial,
    wanted: Option<Wanted>,
}

impl<T: Into<Denial>> From<T> for Refusal {
    fn from(denial: T) -> Self {
        Refusal { denial: denial.into(), wanted: None }
    }
}

impl Gate {
    /// Decides something by the request's snapshot and the newest trust material.
    fn with_verifier<T>(
        &self,
        process: Option<&Process>,
        decide: impl FnOnce(Verifier<'_>) -> T,
    ) -> Result<T, Denial> {
        let mut verifier = Verifier::new(&self.snapshot);
        if let Some(process) = process {
            verifier = verifier.with_process(process);
        }
        let Some(trust) = &self.trust else { return Ok(decide(verifier)) };
        let trust = trust.try_borrow().map_err(|_| REENTERED)?;
        Ok(decide(verifier.with_live(trust.current()?.live)))
    }

    /// The process, for profiles that ask when it began.
    fn process(&self) -> Result<Option<Process>, Denial> {
        if self.snapshot.profile() == Profile::L1 {
            return Ok(None);
        }
        let mut replay = self.works.replay.try_borrow_mut().map_err(|_| REENTERED)?;
        replay.process().map(Some).map_err(ReplayFault::into)
    }

    /// The value of the header that asks for a proof, at L3 with a new challenge.
    fn accept_signature(&self, wanted: &Wanted) -> Result<String, Denial> {
        let process = self.process()?.filter(|_| self.snapshot.profile() == Profile::L3);
        let Some(process) = process else { return Ok(wanted.accept_signature(None)) };
        let mut random = [0; 16];
        host::random(&mut random)?;
        let expires = host::now()?.plus_millis(self.snapshot.windows().challenge_ms());
        let nonce = process.challenge(self.snapshot.gate(), wanted.agent(), expires, &random);
        Ok(wanted.accept_signature(Some(&nonce)))
    }
}

/// Refuses reserved headers where the configuration says that the host cannot be
/// trusted to take them out.
fn check_reserved(gate: &Gate, headers: &[Pair<'_>]) -> Result<(), Denial> {
    let is_refused = gate.snapshot.reserved_headers() == ReservedHeaders::Refuse
        && headers.iter().any(|(name, _)| headers::is_reserved(name));
    if is_refused {
        let detail = "the request carries a header that only the gate may set";
        return Err(Denial::new(Reason::HeaderAmbiguous, detail));
    }
    Ok(())
}

/// Takes out what a client may not send, and its credential unless the route keeps it.
fn clean(map: Map, headers: &[Pair<'_>], keeps_credential: bool) -> Result<(), Denial> {
    let mut gone = Vec::new();
    for (name, value) in headers {
        let must_go =
            headers::is_reserved(name) || (!keeps_credential && headers::is_credential(name, value));
        // A call takes out all headers of a name.
        if must_go && !gone.contains(name) {
            host::remove_header(map, name)?;
            gone.push(*name);
        }
    }
    if gone.iter().any(|name| headers::is_reserved(name)) { check_cleaned(map) } else { Ok(()) }
}

/// Looks again, where a client sent what is reserved: rare, and worth a call more than
/// a host's word.
fn check_cleaned(map: Map) -> Result<(), Denial> {
    let mut left = host::headers(map)?;
    if pairs::decode(&mut left).map_err(malformed)?.iter().any(|(name, _)| headers::is_reserved(name)) {
        return Err(HostFault::Answer("proxy_remove_header_map_value", "took nothing out").into());
    }
    Ok(())
}

fn set_identity(permit: &Permit) -> Result<(), Denial> {
    let Some(identity) = permit.identity() else { return Ok(()) };
    for (name, value) in headers::identity(identity) {
        host::set_request_header(name, value)?;
    }
    Ok(())
}

fn log(decision: &str, denial: &Denial) {
    let level = if denial.reason == Reason::HostFault { Level::Warn } else { Level::Info };
    host::log(
        level,
        &format!("{decision} {}: {}", denial.reason.code(), denial.detail.replace(char::is_control, " ")),
    );
}

const REENTERED: HostFault = HostFault::Answer("the host", "called the gate while it was deciding");

const AGAIN: &str = "proxy_on_request_headers";

/// Cannot occur: a request is held with what it waits for.
fn lost() -> Denial {
    HostFault::Answer("the gate", "lost what it knew of a request").into()
}

fn unseen(callback: &'static str) -> HostFault {
    HostFault::Answer(callback, "came before the request's headers")
}

fn late(callback: &'static str) -> HostFault {
    HostFault::Answer(callback, "came after the request's end")
}

fn malformed(error: pairs::Malformed) -> HostFault {
    HostFault::Answer("proxy_get_header_map_pairs", error.0)
}

/// What fails at the host is a reason to refuse, in `report` mode too: nothing was judged.
impl From<HostFault> for Denial {
    fn from(fault: HostFault) -> Self {
        Denial::new(Reason::HostFault, fault.to_string())
    }
}
