//! A request's way through the gate.

use crate::headers;
use crate::host::{self, HostFault, Level, Map};
use crate::metrics::Outcome;
use crate::pairs::{self, Head, Pair};
use crate::reply::Reply;
use crate::root::Gate;
use portcullis_core::{Denial, Mode, Permit, Reason, RequestHead, ReservedHeaders, Step, Verifier};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;
use std::rc::Rc;

/// One request.
#[derive(Debug)]
pub(crate) struct Request {
    gate: Option<Rc<Gate>>,
    state: State,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Its headers were not seen.
    New,
    /// It goes on to the upstream.
    Admitted,
    /// It was answered, or could not even be: it never goes on.
    Refused,
}

impl Context for Request {}

// INVARIANT: `Continue` is answered only in the state `Admitted`, whatever order the
// host calls in; and a reply is made once.
impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        match self.state {
            State::New | State::Admitted => self.conclude(Self::judge),
            State::Refused => Action::Pause,
        }
    }

    fn on_http_request_body(&mut self, _: usize, _: bool) -> Action {
        match self.state {
            State::New => self.conclude(|_| Err(unseen("proxy_on_request_body").into())),
            State::Admitted => Action::Continue,
            State::Refused => Action::Pause,
        }
    }

    fn on_http_request_trailers(&mut self, count: usize) -> Action {
        match self.state {
            State::New => self.conclude(|_| Err(unseen("proxy_on_request_trailers").into())),
            State::Admitted => self.conclude(|gate| Self::clean_trailers(gate, count)),
            State::Refused => Action::Pause,
        }
    }
}

impl Request {
    pub(crate) fn new(gate: Option<Rc<Gate>>) -> Self {
        Request { gate, state: State::New }
    }

    fn conclude(&mut self, step: impl FnOnce(&Gate) -> Result<(), Denial>) -> Action {
        let result = match &self.gate {
            Some(gate) => step(gate),
            None => Err(HostFault::Answer("proxy_on_configure", "gave no usable configuration").into()),
        };
        match result {
            Ok(()) => {
                self.state = State::Admitted;
                Action::Continue
            }
            Err(denial) => {
                self.state = State::Refused;
                self.refuse(&denial);
                Action::Pause
            }
        }
    }

    /// Decides the request and makes its headers ready for the upstream.
    fn judge(gate: &Gate) -> Result<(), Denial> {
        let mut map = host::headers(Map::RequestHeaders)?;
        let head = pairs::head(&mut map).map_err(malformed)?;
        check_reserved(gate, &head.headers)?;
        let now = host::now()?;
        let outcome = {
            let mut cache = gate.cache.try_borrow_mut().map_err(|_| REENTERED)?;
            let Head { method, authority, path, ref headers } = head;
            let head = RequestHead { method, authority, path, headers };
            Verifier::new(&gate.snapshot).begin(&head, now, &mut cache)
        };
        match outcome {
            Step::Permit(permit) => {
                clean(Map::RequestHeaders, &head.headers, permit.route().keeps_credential())?;
                set_identity(&permit)?;
                gate.metrics.count(Outcome::Allowed);
                Ok(())
            }
            Step::Deny(refused) if refused.mode == Mode::Report => {
                let keeps_credential = refused.route.is_some_and(|route| route.keeps_credential());
                clean(Map::RequestHeaders, &head.headers, keeps_credential)?;
                gate.metrics.count(Outcome::Reported(refused.denial.reason));
                log("report", &refused.denial);
                Ok(())
            }
            Step::Deny(refused) => Err(refused.denial),
        }
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

    fn refuse(&self, denial: &Denial) {
        log("block", denial);
        if let Some(gate) = &self.gate {
            gate.metrics.count(Outcome::Blocked(denial.reason));
        }
        let reply = Reply::refusing(denial);
        if let Err(fault) = host::reply(reply.status.into(), reply.code, &reply.headers, &reply.body) {
            // The request hangs until the proxy gives it up; it does not go on.
            host::log(Level::Warn, &format!("a refused request stays unanswered: {fault}"));
        }
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

fn set_identity(permit: &Permit<'_>) -> Result<(), Denial> {
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

fn unseen(callback: &'static str) -> HostFault {
    HostFault::Answer(callback, "came before the request's headers")
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
