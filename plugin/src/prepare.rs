//! A request's headers, made ready for the upstream.

use crate::fault::{HostFault, Place, Problem};
use crate::headers;
use crate::host::{self, Map};
use crate::pairs::{self, Pair};
use crate::root::Gate;
use alloc::vec::Vec;
use portcullis_core::{Denial, Permit, Reason, ReservedHeaders};

/// Trailers are merged into the headers by some upstreams (RFC 9110 section 6.5.1).
pub(crate) fn clean_trailers(gate: &Gate, count: usize) -> Result<(), Denial> {
    let mut map = host::headers(Map::RequestTrailers)?;
    let trailers = pairs::decode(&mut map).map_err(malformed)?;
    if trailers.is_empty() && count > 0 {
        return Err(HostFault::new(Place::GetHeaderMapPairs, Problem::NoTrailers).into());
    }
    check_reserved(gate, &trailers)?;
    // A credential in a trailer was never looked at, so no route keeps it.
    clean(Map::RequestTrailers, &trailers, false)
}

/// Refuses reserved headers where the configuration says that the host cannot be
/// trusted to take them out.
pub(crate) fn check_reserved(gate: &Gate, headers: &[Pair<'_>]) -> Result<(), Denial> {
    let is_refused = gate.snapshot.reserved_headers() == ReservedHeaders::Refuse
        && headers.iter().any(|(name, _)| headers::is_reserved(name));
    if is_refused {
        let detail = "the request carries a header that only the gate may set";
        return Err(Denial::new(Reason::HeaderAmbiguous, detail));
    }
    Ok(())
}

/// Takes out what a client may not send, and its credential unless the route keeps it.
pub(crate) fn clean(map: Map, headers: &[Pair<'_>], keeps_credential: bool) -> Result<(), Denial> {
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
