//! A request's way through the gate.

use crate::body;
use crate::callbacks::Action;
use crate::fault::{HostFault, Place, Problem};
use crate::host::{self, Level, Map};
use crate::live::in_one_line;
use crate::meter::{self, Meter};
use crate::metrics::{Gauge, Outcome};
use crate::nginx;
use crate::nonce::Asked;
use crate::pairs::{self, Head};
use crate::prepare::{check_reserved, clean, clean_trailers, malformed, set_identity, unset_identity};
use crate::records::{Kept, Target};
use crate::replay::SharedReplay;
use crate::root::{Entrance, Gate};
use crate::shared::HostStore;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use portcullis_core::{
    AttestPolicy, Denial, Held, HostKind, Mode, Pending, Permit, Process, Profile, Reason, Refused,
    ReplayFault, RequestHead, Step, UnixTime, Verifier, Wanted,
};
use portcullis_reply::{Reply, Told};

/// One request.
#[derive(Debug)]
pub(crate) struct Request {
    entrance: Entrance,
    state: State,
    /// What it owes. Of its own, as it is owed whatever becomes of the state.
    meter: Option<Box<Meter>>,
}

#[derive(Debug)]
enum State {
    /// Its headers were not seen.
    New,
    /// Its head is good so far, and its body is held back until it is whole.
    Holding(Box<Pending>),
    /// It may pass once the control service has said that it is no other's repetition.
    Waiting(Box<Pending>, Asked),
    /// It may pass once the control service has its record, the one of this position.
    Recorded(Box<Recorded>),
    /// It goes on to the upstream; the answer carries the agent's next challenge, if the gate
    /// asks for such. What it owes, until that is the request's.
    Admitted(Option<Box<Wanted>>, Option<Box<Meter>>),
    /// It was answered, or could not even be: it never goes on.
    Refused,
}

/// A request whose permit waits for its record to be taken.
#[derive(Debug)]
struct Recorded {
    permit: Permit,
    target: Target,
    id: String,
    /// Its receipt's, where it is to have one.
    receipt_id: [u8; 16],
    position: u64,
    /// Until when, in milliseconds since 1970.
    until: i64,
}

/// How long a permit waits for its record: a batch takes milliseconds, and where another worker
/// has one on its way it comes with the next. A service that has not answered by then is as good as
/// none.
const RECORD_MS: i64 = 2000;

// INVARIANT: `Continue` is answered, and a paused request resumed, only in the state
// `Admitted`, whatever order the host calls in; and a reply is made once. On nginx it is answered
// to the head of a request that is `Holding`, too.
impl Request {
    pub(crate) fn on_headers(&mut self, ends: bool) -> Action {
        let action = self.on_head(ends);
        // Nothing goes on there before the body's callback, which a pause here would keep away.
        if self.is_held_by_continuing() { Action::Continue } else { action }
    }

    fn on_head(&mut self, ends: bool) -> Action {
        match self.state {
            State::New => self.advance(|gate, _| Self::judge(gate, ends)),
            State::Admitted(..) => {
                // What was admitted before is owed, whatever comes of this.
                self.on_end();
                self.advance(|gate, _| Self::judge(gate, ends))
            }
            State::Holding(_) | State::Waiting(..) => self.stop(HostFault::new(AGAIN, Problem::CameTwice)),
            State::Recorded(_) | State::Refused => Action::Pause,
        }
    }

    pub(crate) fn on_body(&mut self, size: usize, ends: bool) -> Action {
        match self.state {
            State::New => self.stop(unseen(Place::OnRequestBody)),
            State::Holding(_) => self.advance(|gate, pending| Self::take(gate, pending, size, ends)),
            State::Waiting(..) => self.stop(late(Place::OnRequestBody)),
            State::Admitted(..) => Action::Continue,
            // Of a request that is not judged by its body, the proxy keeps what comes.
            State::Recorded(_) | State::Refused => Action::Pause,
        }
    }

    pub(crate) fn on_trailers(&mut self, count: usize) -> Action {
        match self.state {
            State::New => self.stop(unseen(Place::OnRequestTrailers)),
            // A body that trailers follow ends without saying so.
            State::Holding(_) => self.advance(|gate, pending| {
                // First, so that nothing is used and recorded which then fails.
                clean_trailers(gate, count)?;
                Self::finish(gate, pending.ok_or_else(lost)?)
            }),
            State::Waiting(..) => self.stop(late(Place::OnRequestTrailers)),
            State::Admitted(ref mut wanted, _) => {
                let wanted = wanted.take();
                self.advance(|gate, _| {
                    clean_trailers(gate, count)?;
                    Ok(State::Admitted(wanted, None))
                })
            }
            State::Recorded(_) => {
                let state = core::mem::replace(&mut self.state, State::Refused);
                self.advance(|gate, _| {
                    clean_trailers(gate, count)?;
                    Ok(state)
                })
            }
            State::Refused => Action::Pause,
        }
    }

    /// The upstream's answer begins. Nothing that fails here changes it; only that the upstream
    /// was asked past the gate does.
    pub(crate) fn on_response(&mut self) -> Action {
        if self.is_held_by_continuing() {
            // Of nginx itself, as to a body that is too long; or it has not done as it does.
            host::log(Level::Warn, "an answer came to a request before its body was shown to the gate");
        } else if let Some(callback) = self.left_out()
            && host::has_upstream()
        {
            return self.stop(HostFault::new(callback, Problem::LeftOut));
        }
        self.note_answer();
        // What is answered was decided on its way in.
        Action::Continue
    }

    /// The callback for which this request still waits. Hosts that are not to make it leave it out
    /// without a word, and let the request go on.
    fn left_out(&self) -> Option<Place> {
        match &self.state {
            State::New => Some(Place::OnRequestHeaders),
            State::Holding(pending) if came(pending) => Some(Place::OnRequestTrailers),
            State::Holding(_) => Some(Place::OnRequestBody),
            State::Waiting(..) | State::Recorded(_) | State::Admitted(..) | State::Refused => None,
        }
    }

    fn note_answer(&mut self) {
        let Entrance::Open(gate) = &self.entrance else { return };
        let wanted = match &mut self.state {
            State::Admitted(wanted, _) => wanted.take(),
            // Answered by the gate itself, after all.
            _ if self.meter.is_some() => None,
            _ => return,
        };
        meter::answered(&mut self.meter, gate);
        let Some(wanted) = wanted else { return };
        let added = gate
            .accept_signature(&wanted)
            .and_then(|value| Ok(host::add_response_header("accept-signature", &value)?));
        if let Err(denial) = added {
            log("no challenge", &denial);
        }
    }

    /// Nothing more comes of it.
    pub(crate) fn on_end(&mut self) {
        let Entrance::Open(gate) = &self.entrance else { return };
        meter::ended(&mut self.meter, gate);
        if let State::Holding(pending) = &self.state
            && !came(pending)
            && !gate.works.told_of_hold.replace(true)
        {
            host::log(Level::Warn, NOTHING_CAME);
        }
    }

    /// Whether it waits for the answer to this call.
    pub(crate) fn waits_for(&self, token: u32) -> bool {
        matches!(&self.state, State::Waiting(_, asked) if asked.token == token)
    }

    /// Takes the answer that it waits for, of `size` bytes; `id` is its own context's.
    pub(crate) fn on_answered(&mut self, id: u32, size: usize) {
        let state = core::mem::replace(&mut self.state, State::Refused);
        let State::Waiting(pending, asked) = state else {
            self.state = state;
            return;
        };
        let action = self.advance(|gate, _| {
            // The answer is the root's, what follows the request's.
            let answer = host::call_answer(size);
            host::set_effective_context(id)?;
            let answer = answer.as_ref().map(|(status, body)| (*status, body.as_slice()));
            match asked.judge(answer.map_err(|fault| *fault), gate) {
                Ok(()) => Self::finish(gate, pending),
                Err(denial) => Self::act_on_held(gate, Step::Deny(pending.refused(denial))),
            }
        });
        self.resume(action);
    }

    /// Looks whether the record that it waits for was taken; `id` is its own context's.
    pub(crate) fn on_news(&mut self, id: u32, now: UnixTime) {
        let (State::Recorded(recorded), Entrance::Open(gate)) = (&self.state, &self.entrance) else {
            return;
        };
        let is_taken = gate.is_recorded(recorded.position);
        if is_taken == Ok(false) && now.as_millis() < recorded.until {
            return;
        }
        let state = core::mem::replace(&mut self.state, State::Refused);
        let State::Recorded(recorded) = state else { return };
        let action = self.advance(|gate, _| {
            host::set_effective_context(id)?;
            if is_taken? {
                let Recorded { permit, id, target, receipt_id, .. } = *recorded;
                return Ok(Self::admitted(gate, permit, id, target, receipt_id, now));
            }
            let detail = "the control service did not take the record of the decision in time";
            let denial = Denial::new(Reason::RecordUnacknowledged, detail);
            Err(recorded.permit.refuse(denial).into())
        });
        self.resume(action);
    }

    fn resume(&mut self, action: Action) {
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
        Request { entrance, state: State::New, meter: None }
    }

    /// Whether its body is still to come, on a host that shows it to those only who let the head
    /// go on.
    fn is_held_by_continuing(&self) -> bool {
        let is_nginx = matches!(&self.entrance, Entrance::Open(gate) if gate.works.host == HostKind::Nginx);
        is_nginx && matches!(self.state, State::Holding(_))
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
                Err(HostFault::new(Place::OnConfigure, Problem::NoConfiguration).into())
            }
        };
        match result {
            Ok(State::Admitted(wanted, meter)) => {
                self.meter = meter.or(self.meter.take());
                self.state = State::Admitted(wanted, None);
                Action::Continue
            }
            Ok(state) => {
                self.state = state;
                Action::Pause
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
        nginx::check_host(&gate.works)?;
        let mut target = Vec::new();
        let mut map = host::headers(Map::RequestHeaders)?;
        let mut head = pairs::head(&mut map).map_err(malformed)?;
        check_reserved(gate, &head.headers)?;
        if gate.works.host == HostKind::Nginx {
            nginx::restore(&mut head, &mut target)?;
        }
        let now = host::now()?;
        let outcome = {
            let mut cache = gate.works.cache.try_borrow_mut().map_err(|_| REENTERED)?;
            let Head { method, authority, path, ref headers } = head;
            let source = gate.source()?;
            let head = RequestHead { method, authority, path, headers, source: source.as_deref() };
            let process = gate.process()?;
            gate.with_memory(|memory| {
                gate.with_verifier(process.as_ref(), |verifier| {
                    verifier.begin(&head, now, &mut cache, memory)
                })
            })?
        };
        let pending = match outcome {
            Step::NeedBody(pending) => pending,
            decided => return Self::act(gate, &head, decided),
        };
        let comes = match gate.works.host {
            HostKind::Envoy => body::comes(ends || pending.is_whole(), &head.headers)?,
            HostKind::Nginx => match nginx::body_comes(&head.headers)? {
                Some(comes) => comes,
                None => {
                    let denial = Denial::new(Reason::BodyLengthMissing, nginx::NO_LENGTH);
                    return Self::act(gate, &head, Step::Deny(pending.refused(denial)));
                }
            },
        };
        if comes {
            return Ok(State::Holding(pending));
        }
        Self::act(gate, &head, Self::conclude(gate, pending, now)?)
    }

    /// Takes what has come of the body.
    fn take(gate: &Gate, pending: Option<Box<Pending>>, size: usize, ends: bool) -> Result<State, Refusal> {
        let mut pending = pending.ok_or_else(lost)?;
        match body::take(&mut pending, size)? {
            Ok(()) if ends => Self::finish(gate, pending),
            Ok(()) => Ok(State::Holding(pending)),
            Err(refused) => Self::act_on_held(gate, Step::Deny(*refused)),
        }
    }

    /// Decides a request whose body has come whole, and again where others had to be asked.
    fn finish(gate: &Gate, pending: Box<Pending>) -> Result<State, Refusal> {
        let decided = Self::conclude(gate, pending, host::now()?)?;
        Self::act_on_held(gate, decided)
    }

    fn conclude(gate: &Gate, mut pending: Box<Pending>, now: UnixTime) -> Result<Step, Denial> {
        if pending.awaits_message()
            && let Err(refused) = body::take_message(&mut pending)?
        {
            return Ok(Step::Deny(*refused));
        }
        // For what proofs ask of it otherwise, it was asked at the head.
        let asks = gate.snapshot.has_approvals() || gate.snapshot.has_prices();
        let process = if asks { gate.process()? } else { None };
        gate.with_memory(|memory| {
            gate.with_verifier(process.as_ref(), |verifier| verifier.finish(pending, now, memory))
        })
    }

    /// Acts on a request whose headers were held, and must be fetched again.
    fn act_on_held(gate: &Gate, decided: Step) -> Result<State, Refusal> {
        let mut map = host::headers(Map::RequestHeaders)?;
        let head = pairs::head(&mut map).map_err(malformed)?;
        Self::act(gate, &head, decided)
    }

    /// Makes the headers ready for the upstream, if the request goes there.
    fn act(gate: &Gate, head: &Head<'_>, decided: Step) -> Result<State, Refusal> {
        match decided {
            Step::Permit(permit) => Self::admit(gate, head, permit),
            Step::NeedAuthority(pending) => match Asked::about(&pending, gate, &head.headers) {
                Ok(asked) => Ok(State::Waiting(pending, asked)),
                Err(denial) => Self::refused(gate, head, pending.refused(denial)),
            },
            Step::Deny(refused) => Self::refused(gate, head, refused),
            Step::Hold(Held { refused, .. }) if refused.mode == Mode::Report => {
                Self::refused(gate, head, refused)
            }
            Step::Hold(held) => Err(Refusal::Held(Box::new(held))),
            Step::NeedBody(_) => Err(lost().into()),
        }
    }

    fn admit(gate: &Gate, head: &Head<'_>, permit: Permit) -> Result<State, Refusal> {
        clean(gate, Map::RequestHeaders, &head.headers, permit.route().keeps_credential())?;
        set_identity(gate, &permit)?;
        // Last, so that nothing is recorded which then fails.
        let (target, is_metered, now) = (Target::of(head), permit.metered().is_some(), host::now()?);
        let mut receipt_id = [0; 16];
        if is_metered {
            host::random(&mut receipt_id)?;
        }
        let (kept, id) = gate.record_permit(&permit, &target)?;
        let attest = gate.snapshot.attest();
        let goes_on = match kept {
            Kept::At(position) if attest == AttestPolicy::BeforeAllow => {
                let until = now.plus_millis(RECORD_MS).as_millis();
                let recorded = Recorded { permit, target, id, receipt_id, position, until };
                return Ok(State::Recorded(Box::new(recorded)));
            }
            Kept::At(_) => true,
            // What nobody records nobody can charge.
            Kept::Off => !is_metered,
            Kept::NoRoom => !is_metered && attest == AttestPolicy::BestEffort,
        };
        if goes_on {
            return Ok(Self::admitted(gate, permit, id, target, receipt_id, now));
        }
        let detail = "no more decisions can be recorded until the control service takes some";
        let refused = permit.refuse(Denial::new(Reason::RecordQueueFull, detail));
        // It may go on all the same, where that is only reported.
        unset_identity(gate, &refused)?;
        Self::refused(gate, head, refused)
    }

    fn admitted(
        gate: &Gate,
        permit: Permit,
        id: String,
        target: Target,
        receipt_id: [u8; 16],
        now: UnixTime,
    ) -> State {
        let wanted = permit.wanted().cloned().map(Box::new);
        gate.works.decided(Outcome::Allowed, permit.identity(), &id);
        State::Admitted(wanted, Meter::start(permit, id, target, receipt_id, now))
    }

    /// What becomes of a request that is refused: it goes on all the same where that is only
    /// reported.
    fn refused(gate: &Gate, head: &Head<'_>, refused: Refused) -> Result<State, Refusal> {
        if refused.mode == Mode::Enforce {
            return Err(refused.into());
        }
        let keeps_credential = refused.route.as_ref().is_some_and(|route| route.keeps_credential());
        clean(gate, Map::RequestHeaders, &head.headers, keeps_credential)?;
        let (attestation_id, _) = gate.record_refusal(&Refusal::from(refused.clone()), &Target::of(head))?;
        let outcome = Outcome::Reported(refused.denial.reason);
        gate.works.decided(outcome, refused.identity.as_ref(), attestation_id.as_deref().unwrap_or_default());
        log("report", &refused.denial);
        Ok(State::Admitted(None, None))
    }

    fn refuse(&self, refusal: &Refusal) {
        let Refused { denial, wanted, identity, .. } = refusal.refused();
        let unasked = Denial::new(Reason::ApprovalUnavailable, denial.detail.clone());
        let mut denial = denial;
        let mut told = Told::of(refusal.refused());
        if let Entrance::Open(gate) = &self.entrance {
            told.profile = gate.snapshot.profile();
            if let Some(wanted) = wanted {
                let wanted = gate.accept_signature(wanted);
                told.wanted = wanted.inspect_err(|denial| log("no challenge", denial)).ok();
            }
            // Once more, as what was held may be refused long after it was seen.
            let target = host::headers(Map::RequestHeaders).ok().and_then(|mut map| {
                let head = pairs::head(&mut map).ok()?;
                Some(Target::of(&head))
            });
            match gate.record_refusal(refusal, &target.unwrap_or_default()) {
                Ok((attestation_id, approval_id)) => {
                    told.attestation_id = attestation_id;
                    told.approval_id = approval_id;
                }
                Err(fault) => host::log(Level::Warn, &format!("a refusal has no record: {fault}")),
            }
        }
        let outcome = match refusal {
            Refusal::Held(_) if told.approval_id.is_some() => Outcome::Held,
            Refusal::Held(_) => {
                denial = &unasked;
                Outcome::Blocked(denial.reason)
            }
            Refusal::Refused(_) => Outcome::Blocked(denial.reason),
        };
        log("block", denial);
        let works = match &self.entrance {
            Entrance::Open(gate) => Some(&gate.works),
            Entrance::Waiting(works) => Some(works),
            Entrance::Unconfigured => None,
        };
        if let Some(works) = works {
            works.decided(outcome, identity.as_ref(), told.attestation_id.as_deref().unwrap_or_default());
        }
        let reply = Reply::refusing(denial, told);
        let headers: Vec<_> = reply.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if let Err(fault) = host::reply(reply.status.into(), reply.code, &headers, &reply.body) {
            // The request hangs until the proxy gives it up; it does not go on.
            host::log(Level::Warn, &format!("a refused request stays unanswered: {fault}"));
        }
    }
}

/// Why a request does not go on.
pub(crate) enum Refusal {
    Refused(Box<Refused>),
    Held(Box<Held>),
}

impl Refusal {
    pub(crate) fn refused(&self) -> &Refused {
        match self {
            Refusal::Refused(refused) => refused,
            Refusal::Held(held) => &held.refused,
        }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        Refusal::Refused(Box::new(refused))
    }
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        Refused::of_unknown(denial).into()
    }
}

impl From<HostFault> for Refusal {
    fn from(fault: HostFault) -> Self {
        Denial::from(fault).into()
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

    /// Decides something with the memory that workers share, and shows how full that is.
    fn with_memory<T>(
        &self,
        decide: impl FnOnce(&mut SharedReplay<HostStore>) -> Result<T, Denial>,
    ) -> Result<T, Denial> {
        let mut memory = self.works.replay.try_borrow_mut().map_err(|_| REENTERED)?;
        let decided = decide(&mut memory);
        if let Some(percent) = memory.take_fill() {
            self.works.metrics.show(Gauge::ReplayFill, percent);
        }
        decided
    }

    /// Where a request comes from, for a policy for those without a credential.
    fn source(&self) -> Result<Option<Vec<u8>>, HostFault> {
        if !self.snapshot.admits_anonymous() {
            return Ok(None);
        }
        let mut address = host::property(b"source\0address")?;
        // nginx tells no port, and an address of IPv6 has colons of its own.
        if self.works.host == HostKind::Envoy
            && let Some(colon) = address.iter().rposition(|byte| *byte == b':')
        {
            address.truncate(colon);
        }
        Ok(Some(address))
    }

    /// The process, for profiles and prices that ask when it began, and for approvals, which are
    /// its own.
    fn process(&self) -> Result<Option<Process>, Denial> {
        let Gate { snapshot, .. } = self;
        if snapshot.profile() == Profile::L1 && !snapshot.has_approvals() && !snapshot.has_prices() {
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

fn log(decision: &str, denial: &Denial) {
    let level = if denial.reason == Reason::HostFault { Level::Warn } else { Level::Info };
    host::log(level, &format!("{decision} {}: {}", denial.reason.code(), in_one_line(&denial.detail)));
}

const REENTERED: HostFault = HostFault::new(Place::Host, Problem::Reentered);

const AGAIN: Place = Place::OnRequestHeaders;

/// Told once by each worker: clients can bring it about too.
const NOTHING_CAME: &str = "a held request ended before its body came: its client left, or this is an Envoy \
    without allow_on_headers_stop_iteration";

/// Whether anything has come of a body that is waited for.
fn came(pending: &Pending) -> bool {
    pending.taken() > 0 || pending.announced() > 0
}

/// Cannot occur: a request is held with what it waits for.
fn lost() -> Denial {
    HostFault::new(Place::Gate, Problem::LostRequest).into()
}

fn unseen(callback: Place) -> HostFault {
    HostFault::new(callback, Problem::CameBeforeTheHeaders)
}

fn late(callback: Place) -> HostFault {
    HostFault::new(callback, Problem::CameAfterTheEnd)
}

/// What fails at the host is a reason to refuse, in `report` mode too: nothing was judged.
impl From<HostFault> for Denial {
    fn from(fault: HostFault) -> Self {
        Denial::new(Reason::HostFault, fault.to_string())
    }
}
