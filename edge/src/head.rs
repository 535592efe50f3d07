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
            headers.push((name, value));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_part_by_part() {
        let head = Head::read(b"GET\0api\0/a?b\x00127.0.0.1\0x-a\0\xff\0x-a\0").unwrap();
        assert_eq!((head.method, head.authority, head.path), (&b"GET"[..], &b"api"[..], &b"/a?b"[..]));
        assert_eq!(head.source, Some(&b"127.0.0.1"[..]));
        assert_eq!(head.headers, [(&b"x-a"[..], &b"\xff"[..]), (b"x-a", b"")]);
        assert_eq!(Head::read(b"GET\0api\0/\0").unwrap().source, None);
    }

    #[test]
    fn what_is_no_head_is_refused() {
        let many = [&b"GET\0api\0/\0"[..], &b"\0a\0b".repeat(1001)].concat();
        let long = alloc::vec![b'a'; MAX_BYTES + 1];
        for bytes in [&b""[..], b"GET\0api\0/", b"GET\0api\0/\0\0name", &many, &long] {
            assert_eq!(Head::read(bytes).err().unwrap().reason, Reason::HostFault);
        }
    }

    #[test]
    fn a_runtime_that_leaves_a_body_out_is_not_believed() {
        for (headers, is_good) in [
            (&b""[..], true),
            (b"\0content-length\x000", true),
            (b"\0content-length\x001", false),
            (b"\0transfer-encoding\0chunked", false),
        ] {
            let bytes = [&b"POST\0api\0/\0"[..], headers].concat();
            assert_eq!(Head::read(&bytes).unwrap().check_bodiless().is_ok(), is_good);
        }
    }
}
