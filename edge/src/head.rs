//! A request's head as it crosses the boundary.

use alloc::vec::Vec;
use portcullis_core::{Denial, Reason};

/// A request's head, of bytes as they came.
pub(crate) struct Head<'b> {
    pub(crate) method: &'b [u8],
    pub(crate) authority: &'b [u8],
    /// Path and query.
    pub(crate) path: &'b [u8],
    /// Where it comes from, if that is known.
    pub(crate) source: Option<&'b [u8]>,
    /// Names in lower case.
    pub(crate) headers: Vec<(&'b [u8], &'b [u8])>,
}

/// As many as the plugin takes.
const MAX_PAIRS: usize = 1000;
const MAX_BYTES: usize = 1024 * 1024;

impl<'b> Head<'b> {
    /// Reads method, authority, target, source, and each header's name and value, with a zero
    /// byte between any two of them: no part of a request has one.
    ///
    /// # Errors
    /// `host_fault` for a head of another form.
    pub(crate) fn read(bytes: &'b [u8]) -> Result<Self, Denial> {
        let malformed = |detail: &'static str| Denial::new(Reason::HostFault, detail);
        if bytes.len() > MAX_BYTES {
            return Err(malformed("the head has more than a mebibyte"));
        }
        let mut parts = bytes.split(|byte| *byte == 0);
        let mut part = || parts.next().ok_or_else(|| malformed("the head is not of its form"));
        let (method, authority, path, source) = (part()?, part()?, part()?, part()?);
        let mut headers = Vec::new();
        while let Some(name) = parts.next() {
            let value = parts.next().ok_or_else(|| malformed("a header has no value"))?;
            if headers.len() == MAX_PAIRS {
                return Err(malformed("the head has more than 1000 headers"));
            }
            match second_bearer(name, value) {
                Some((first, second)) => headers.extend([(name, first), (name, second)]),
                None => headers.push((name, value)),
            }
        }
        let source = Some(source).filter(|source| !source.is_empty());
        Ok(Head { method, authority, path, source, headers })
    }

    /// Checks that a request of which the runtime says that it has no body announces none:
    /// RFC 9112 section 6.
    ///
    /// # Errors
    /// `host_fault`, as the runtime reads both.
    pub(crate) fn check_bodiless(&self) -> Result<(), Denial> {
        let announces = |(name, value): &(&[u8], &[u8])| match *name {
            b"content-length" => value.trim_ascii() != b"0",
            b"transfer-encoding" => true,
            _ => false,
        };
        if self.headers.iter().any(announces) {
            return Err(Denial::new(Reason::HostFault, "the runtime leaves out a body that is announced"));
        }
        Ok(())
    }
}

/// `fetch` joins headers of one name (RFC 9110 section 5.3): a token that stands after another
/// scheme's is told apart again, so that it is seen and two are too many.
fn second_bearer<'b>(name: &[u8], value: &'b [u8]) -> Option<(&'b [u8], &'b [u8])> {
    if name != b"authorization" {
        return None;
    }
    value.iter().enumerate().filter(|(_, byte)| **byte == b',').find_map(|(at, _)| {
        let (first, rest) = value.split_at_checked(at)?;
        let second = rest.strip_prefix(b",")?.trim_ascii_start();
        let scheme = second.first_chunk::<7>()?;
        let is_bearer = scheme.eq_ignore_ascii_case(b"bearer ");
        let is_first = first.first_chunk::<7>().is_some_and(|first| first.eq_ignore_ascii_case(b"bearer "));
        (is_bearer && !is_first).then_some((first, second))
    })
}
