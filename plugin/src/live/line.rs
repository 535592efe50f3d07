//! The line to the control service: signed calls, from whichever context.

use crate::fault::HostFault;
use crate::host;
use crate::shown::shown;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use portcullis_core::attestation::Signer;
use portcullis_core::live::Call;
use portcullis_core::{SecretKey, ServiceConfig, UnixTime};

/// How to reach the service, and who calls.
pub(crate) struct Line {
    pub(super) config: ServiceConfig,
    pub(crate) key: SecretKey,
    signer: Signer,
}

impl Line {
    pub(super) fn new(config: ServiceConfig, key: SecretKey) -> Self {
        let signer = Signer::new(&key);
        Line { config, key, signer }
    }

    /// Asks for what stands at `path` for this gate; answers the call's token.
    pub(super) fn get(
        &self,
        path: &str,
        query: &str,
        deadline_ms: u32,
        now: UnixTime,
    ) -> Result<u32, HostFault> {
        self.call(("GET", path, query, b""), None, deadline_ms, now)
    }

    /// Sends a body to what stands at `path` for this gate; answers the call's token. `traceparent`
    /// is that of the request for which alone it is called, if it has one.
    pub(crate) fn post(
        &self,
        path: &str,
        body: &[u8],
        traceparent: Option<&str>,
        deadline_ms: u32,
        now: UnixTime,
    ) -> Result<u32, HostFault> {
        self.call(("POST", path, "", body), traceparent, deadline_ms, now)
    }

    fn call(
        &self,
        (method, path, query, body): (&str, &str, &str, &[u8]),
        traceparent: Option<&str>,
        deadline_ms: u32,
        now: UnixTime,
    ) -> Result<u32, HostFault> {
        let mut nonce = [0; 16];
        host::random(&mut nonce)?;
        let service = &self.config.service;
        let path = Call::path_of(&self.config.gate.id, path);
        let call = Call { method, authority: &service.authority, path: &path, query, body };
        let target = if query.is_empty() { path.clone() } else { format!("{path}?{query}") };
        let signed = call.sign_by(&self.signer, now, &nonce);
        let mut headers =
            vec![(":method", method), (":path", target.as_str()), (":authority", service.authority.as_str())];
        headers.extend(signed.iter().map(|(name, value)| (*name, value.as_str())));
        // Not signed: nothing depends on it.
        headers.extend(traceparent.map(|value| ("traceparent", value)));
        host::http_call(&service.cluster, &headers, body, deadline_ms)
    }
}

/// After failures: from a quarter of a second, doubled each time, up to fifteen.
const FIRST_BACKOFF_MS: i64 = 250;
pub(crate) const LONGEST_BACKOFF_MS: i64 = 15_000;

/// How long to wait after so many failures in a row, in milliseconds: half of the time, and up
/// to as much again, so that a thousand gates do not come back as one.
pub(crate) fn backoff(failures: u32) -> i64 {
    let doubled = FIRST_BACKOFF_MS.checked_shl(failures.min(10)).unwrap_or(LONGEST_BACKOFF_MS);
    let half = doubled.min(LONGEST_BACKOFF_MS).div_euclid(2);
    // Without randomness it is the whole.
    let mut random = [u8::MAX];
    let _ = host::random(&mut random);
    half.saturating_add(half.saturating_mul(u8::from_ne_bytes(random).into()).div_euclid(255))
}

/// The body of an answer of `size` bytes that says 200.
pub(crate) fn answered(size: usize) -> Result<Vec<u8>, Trouble> {
    match host::call_answer(size)? {
        (200, body) => Ok(body),
        (0, _) => Err("the control service cannot be reached, or does not answer".into()),
        (status, body) => Err(format!("the control service answers {status}: {}", told(&body)).into()),
    }
}

/// Why a call came to nothing, in words for the log.
#[derive(Debug)]
pub(crate) struct Trouble(pub(crate) String);

impl<T: ToString> From<T> for Trouble {
    fn from(problem: T) -> Self {
        Trouble(in_one_line(&problem.to_string()))
    }
}

/// A line of a log must not be made two by what it tells.
pub(crate) fn in_one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// The beginning of what an answer says, for the log.
pub(super) fn told(body: &[u8]) -> String {
    shown(body, 200)
}

/// Of the key nothing is shown.
impl core::fmt::Debug for Line {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("Line")
    }
}
