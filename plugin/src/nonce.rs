//! Asking the nonce authority: a request that would pass waits until the control service
//! has said that what it has used up was not used at another proxy.

use crate::fault::{HostFault, Place, Problem};
use crate::host::{self, Level};
use crate::pairs::Pair;
use crate::root::Gate;
use crate::trace;
use alloc::format;
use core::fmt;
use portcullis_core::live::{NonceDecision, NonceQuestion};
use portcullis_core::{Denial, Pending, Reason};

/// How long a request waits. An answer takes milliseconds; a service that has not answered
/// by then is as good as none, and a client is better told so than kept. As many requests
/// wait as the proxy lets calls to the service be under way.
const DEADLINE_MS: u32 = 1000;

/// A question that waits for its answer. It is never asked again: the first that was asked
/// may have used up what it is about.
#[derive(Debug)]
pub(crate) struct Asked {
    question: NonceQuestion,
    /// The call's.
    pub(crate) token: u32,
}

impl Asked {
    /// Asks about what a request with these headers has used up here.
    pub(crate) fn about(pending: &Pending, gate: &Gate, headers: &[Pair<'_>]) -> Result<Self, Denial> {
        Self::call(pending, gate, trace::parent(headers))
            .map_err(|fault| unavailable("the control service cannot be called", &fault))
    }

    fn call(pending: &Pending, gate: &Gate, traceparent: Option<&str>) -> Result<Self, HostFault> {
        let (Some(once), Some(line)) = (pending.once(), &gate.line) else {
            return Err(HostFault::new(Place::Gate, Problem::NoService));
        };
        let mut random = [0; 16];
        host::random(&mut random)?;
        // To the next second: not sooner than the proof ends.
        let until = once.until.plus_millis(999);
        let question = NonceQuestion { key: once.key, nonce: once.token, until, random };
        let body = question.to_json();
        let token = line.post("nonces", body.as_bytes(), traceparent, DEADLINE_MS, host::now()?)?;
        Ok(Asked { question, token })
    }

    /// Whether the request may pass, by what came: the status, 0 for none, and the body.
    pub(crate) fn judge(&self, answer: Result<(u16, &[u8]), HostFault>, gate: &Gate) -> Result<(), Denial> {
        let token = match answer {
            Ok((200, body)) => body,
            Ok((0, _)) => {
                return Err(unavailable("the control service did not answer in time", &"no answer"));
            }
            Ok((status, _)) => return Err(unavailable(UNDECIDED, &status)),
            Err(fault) => return Err(unavailable(UNDECIDED, &fault)),
        };
        let now = host::now()?;
        let trust = gate.trust.as_ref().and_then(|trust| trust.try_borrow().ok());
        let trust = trust.ok_or_else(|| unavailable(UNDECIDED, &"there is no trust material"))?;
        match trust.nonce_answer(&self.question, token, now) {
            Ok(NonceDecision::New) => Ok(()),
            Ok(NonceDecision::Seen) => {
                Err(Denial::new(Reason::RequestReplayed, "it was used before, perhaps at another proxy"))
            }
            Err(error) => Err(unavailable(UNDECIDED, &error)),
        }
    }
}

const UNDECIDED: &str = "the control service gave no decision that counts";

/// The client learns that it is not its fault, the log what was.
#[cold]
fn unavailable(detail: &'static str, why: &dyn fmt::Display) -> Denial {
    host::log(Level::Warn, &format!("the nonce authority: {why}"));
    Denial::new(Reason::NonceAuthorityUnavailable, detail)
}
