//! A request's headers, made ready for the upstream.

use crate::fault::{HostFault, Place, Problem};
use crate::host::{self, Map};
use crate::pairs::{self, Pair};
use crate::root::Gate;
use alloc::vec::Vec;
use portcullis_core::{Denial, Permit};
use portcullis_reply::headers;

/// Trailers are merged into the headers by some upstreams (RFC 9110 section 6.5.1).
pub(crate) fn clean_trailers(gate: &Gate, count: usize) -> Result<(), Denial> {
    let mut map = host::headers(Map::RequestTrailers)?;
    let trailers = pairs::decode(&mut map).map_err(malformed)?;
    if trailers.is_empty() && count > 0 {
        return Err(HostFault::new(Place::GetHeaderMapPairs, Problem::NoTrailers).into());
    }
    headers::check_reserved(&gate.snapshot, &trailers)?;
    // A credential in a trailer was never looked at, so no route keeps it.
    clean(Map::RequestTrailers, &trailers, false)
}

/// Takes out what a client may not send, and its credential unless the route keeps it.
pub(crate) fn clean(map: Map, headers: &[Pair<'_>], keeps_credential: bool) -> Result<(), Denial> {
    let mut gone = Vec::new();
    for (name, value) in headers {
        // A call takes out all headers of a name.
        if headers::is_stripped(name, value, keeps_credential) && !gone.contains(name) {
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
        return Err(HostFault::new(Place::RemoveHeaderMapValue, Problem::TookNothing).into());
    }
    Ok(())
}

pub(crate) fn set_identity(permit: &Permit) -> Result<(), Denial> {
    let Some(identity) = permit.identity() else { return Ok(()) };
    for (name, value) in headers::identity(identity) {
        host::set_request_header(name, value)?;
    }
    Ok(())
}

pub(crate) fn malformed(error: pairs::Malformed) -> HostFault {
    HostFault::new(Place::GetHeaderMapPairs, Problem::Map(error))
}
