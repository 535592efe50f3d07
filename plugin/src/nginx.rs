//! nginx with ngx_wasm_module, as far as it shows another request than Envoy does. What it cannot
//! do, and what an operator must set there: `docs/nginx.md`.

use crate::fault::{HostFault, Place, Problem};
use crate::host;
use crate::pairs::{Head, Pair};
use crate::root::Works;
use alloc::vec::Vec;
use portcullis_core::{Denial, HostKind, Reason, normal_path};

/// What is said of a body that [`body_comes`] cannot tell.
pub(crate) const NO_LENGTH: &str = "a body that is judged must come with its content-length here";

/// Checks that the host is the one that the configuration says: by the rules of the other, claims of
/// clients or bodies that nobody has judged would reach the upstream.
///
/// # Errors
/// It is another.
pub(crate) fn check_host(works: &Works) -> Result<(), HostFault> {
    // A variable of nginx's own, which the module shows as a property, and Envoy knows nothing of.
    let is_nginx = || host::property(b"ngx\0nginx_version").is_ok_and(|version| !version.is_empty());
    let is_that = works.is_that_host.get_or_init(|| is_nginx() == (works.host == HostKind::Nginx));
    if *is_that { Ok(()) } else { Err(HostFault::new(Place::Host, Problem::OtherProxy)) }
}

/// Puts back into a head what was sent: nginx shows the path decoded, and its own name for the
/// authority. `target` is where the path is kept.
///
/// # Errors
/// `path_ambiguous` where something has changed the path before the gate.
pub(crate) fn restore<'h>(head: &mut Head<'h>, target: &'h mut Vec<u8>) -> Result<(), Denial> {
    *target = host::property(b"request\0path")?;
    if !is_shown_as(target, head.path) {
        let detail = "the proxy has rewritten the path before the gate has seen it";
        return Err(Denial::new(Reason::PathAmbiguous, detail));
    }
    head.path = target;
    let host = head.headers.iter().find(|(name, _)| *name == b"host");
    head.authority = host.map(|(_, value)| *value).unwrap_or_default();
    Ok(())
}

/// Whether nginx shows this target so, unless something has changed it. A target in no normal form
/// is refused for that, however it is shown.
fn is_shown_as(target: &[u8], shown: &[u8]) -> bool {
    let Ok(path) = normal_path(target) else { return true };
    let query = target.iter().position(|byte| *byte == b'?').and_then(|at| target.get(at..));
    // An empty query is not shown.
    let query = query.filter(|query| query.len() > 1).unwrap_or_default();
    shown.strip_prefix(path.as_bytes()) == Some(query)
}

/// Whether a body comes; `None` where the head does not say. nginx calls for no body that is empty, so
/// what comes in chunks may never be shown; and HTTP/2 ends a body without saying so before.
pub(crate) fn body_comes(headers: &[Pair<'_>]) -> Result<Option<bool>, HostFault> {
    match said(headers) {
        Said::Length(length) => Ok(Some(length > 0)),
        Said::Nothing => Ok(host::property(b"request\0protocol")?.starts_with(b"HTTP/1.").then_some(false)),
        Said::Unclear => Ok(None),
    }
}

/// What a head says of its body.
#[derive(Debug, PartialEq)]
enum Said {
    Length(u64),
    Nothing,
    Unclear,
}

/// By RFC 9112 section 6; chunks have no length.
fn said(headers: &[Pair<'_>]) -> Said {
    let values = |name: &'static [u8]| headers.iter().filter(move |(one, _)| *one == name);
    if values(b"transfer-encoding").next().is_some() {
        return Said::Unclear;
    }
    let mut lengths = values(b"content-length");
    match (lengths.next(), lengths.next()) {
        (Some((_, length)), None) => {
            let length = core::str::from_utf8(length).ok().and_then(|length| length.parse().ok());
            length.map_or(Said::Unclear, Said::Length)
        }
        (None, _) => Said::Nothing,
        _ => Said::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_shown_decoded_and_without_an_empty_query() {
        for (target, shown) in
            [("/a", "/a"), ("/%61?b=%61", "/a?b=%61"), ("/a?", "/a"), ("/a%3Fb?c", "/a?b?c"), ("/a/", "/a/")]
        {
            assert!(is_shown_as(target.as_bytes(), shown.as_bytes()), "{target} as {shown}");
        }
    }

    #[test]
    fn what_is_shown_otherwise_was_changed() {
        for (target, shown) in
            [("/a", "/b"), ("/a", "/a/"), ("/a?b", "/a"), ("/a", "/a?b"), ("/a%3Fb", "/a"), ("/a", "")]
        {
            assert!(!is_shown_as(target.as_bytes(), shown.as_bytes()), "{target} as {shown}");
        }
    }

    #[test]
    fn a_body_comes_if_its_length_says_so_and_chunks_say_nothing() {
        assert_eq!(said(&[(b"content-length", b"0")]), Said::Length(0));
        assert_eq!(said(&[(b"content-length", b"7")]), Said::Length(7));
        assert_eq!(said(&[(b"accept", b"*/*")]), Said::Nothing);
        for unclear in [
            &[(b"transfer-encoding".as_slice(), b"chunked".as_slice())] as &[Pair<'_>],
            &[(b"transfer-encoding", b"identity")],
            &[(b"content-length", b"0"), (b"transfer-encoding", b"chunked")],
            &[(b"content-length", b"0"), (b"content-length", b"7")],
            &[(b"content-length", b"0, 7")],
            &[(b"content-length", b"-1")],
            &[(b"content-length", b"")],
        ] {
            assert_eq!(said(unclear), Said::Unclear);
        }
    }
}
