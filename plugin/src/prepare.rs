//! A request's headers, made ready for the upstream.

use crate::fault::{HostFault, Place, Problem};
use crate::host::{self, Map};
use crate::pairs::{self, Pair};
use crate::root::Gate;
use alloc::vec::Vec;
use portcullis_core::{Denial, HostKind, Permit, Refused, ReservedHeaders};
use portcullis_reply::headers;

/// Trailers are merged into the headers by some upstreams (RFC 9110 section 6.5.1).
pub(crate) fn clean_trailers(gate: &Gate, count: usize) -> Result<(), Denial> {
    let mut map = host::headers(Map::RequestTrailers)?;
    let trailers = pairs::decode(&mut map).map_err(malformed)?;
    if trailers.is_empty() && count > 0 {
        return Err(HostFault::new(Place::GetHeaderMapPairs, Problem::NoTrailers).into());
    }
    check_reserved(gate, &trailers)?;
    // A credential in a trailer was never looked at, so no route keeps it.
    clean(gate, Map::RequestTrailers, &trailers, false)
}

/// Refuses what a client may not send, where the host does not take it out.
pub(crate) fn check_reserved(gate: &Gate, headers: &[Pair<'_>]) -> Result<(), Denial> {
    let is_refused =
        gate.works.host == HostKind::Nginx || gate.snapshot.reserved_headers() == ReservedHeaders::Refuse;
    if is_refused { headers::check_reserved(headers) } else { Ok(()) }
}

/// Takes out what a client may not send, and its credential unless the route keeps it.
pub(crate) fn clean(
    gate: &Gate,
    map: Map,
    headers: &[Pair<'_>],
    keeps_credential: bool,
) -> Result<(), Denial> {
    if gate.works.host == HostKind::Nginx {
        // What is taken out there goes on all the same, and `proxy_set_header` no longer finds it.
        return Ok(());
    }
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

pub(crate) fn set_identity(gate: &Gate, permit: &Permit) -> Result<(), Denial> {
    let Some(identity) = permit.identity() else { return Ok(()) };
    // INVARIANT: on nginx, where a header that is set leaves others of its name, there are none:
    // each of these names is reserved.
    let set = match gate.works.host {
        HostKind::Envoy => host::set_request_header,
        HostKind::Nginx => host::add_request_header,
    };
    for (name, value) in headers::identity(identity) {
        set(name, value)?;
    }
    Ok(())
}

/// Takes out again what a permit has set that came to nothing. On nginx it stays: it is true, and cannot
/// be taken out.
pub(crate) fn unset_identity(gate: &Gate, refused: &Refused) -> Result<(), Denial> {
    if gate.works.host == HostKind::Nginx {
        return Ok(());
    }
    for (name, _) in refused.identity.iter().flat_map(headers::identity) {
        host::remove_header(Map::RequestHeaders, name.as_bytes())?;
    }
    Ok(())
}

pub(crate) fn malformed(error: pairs::Malformed) -> HostFault {
    HostFault::new(Place::GetHeaderMapPairs, Problem::Map(error))
}
