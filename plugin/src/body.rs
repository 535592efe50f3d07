//! The body of a request that is held back.

use crate::fault::{HostFault, Place, Problem};
use crate::host;
use crate::pairs::Pair;
use alloc::boxed::Box;
use alloc::vec::Vec;
use portcullis_core::{Pending, Refused};

/// Takes what has come of the body, `size` bytes in all, as far as it was not taken yet.
///
/// # Errors
/// A host that does not keep what it holds back: the digest would be of something else
/// than what the upstream gets. Inside, what the core refuses.
pub(crate) fn take(pending: &mut Pending, size: usize) -> Result<Result<(), Box<Refused>>, HostFault> {
    // At most so much of the body is in the VM at a time.
    const PIECE: usize = 64 * 1024;
    if pending.awaits_message() {
        // It is read whole at its end, and stays with the proxy until then.
        return Ok(pending.announce(size));
    }
    let mut taken = usize::try_from(pending.taken()).unwrap_or(usize::MAX);
    if size < taken {
        return Err(HostFault::new(BODY, Problem::BodyShrinks));
    }
    while taken < size {
        let wanted = size.saturating_sub(taken).min(PIECE);
        let piece = part(taken, wanted)?;
        if let Err(refused) = pending.absorb(&piece) {
            return Ok(Err(refused));
        }
        taken = taken.saturating_add(wanted);
    }
    Ok(Ok(()))
}

/// Takes the whole of a body that says what is asked, which has come to its end.
///
/// # Errors
/// As [`take`].
pub(crate) fn take_message(pending: &mut Pending) -> Result<Result<(), Box<Refused>>, HostFault> {
    let size = pending.announced();
    let text = if size == 0 { Vec::new() } else { part(0, size)? };
    Ok(pending.absorb_message(text))
}

fn part(start: usize, size: usize) -> Result<Vec<u8>, HostFault> {
    let part = host::body(start, size)?;
    if part.len() != size {
        return Err(HostFault::new(Place::GetBufferBytes, Problem::OtherPartOfTheBody));
    }
    Ok(part)
}

/// Whether a body comes, by what the host says of the request's end. One that has none must
/// announce none: RFC 9112 section 6.
///
/// # Errors
/// A contradiction, which is the host's: it reads both.
pub(crate) fn comes(ends: bool, headers: &[Pair<'_>]) -> Result<bool, HostFault> {
    let announces = |(name, value): &Pair<'_>| match *name {
        b"content-length" => value.trim_ascii() != b"0",
        b"transfer-encoding" => true,
        _ => false,
    };
    if ends && headers.iter().any(announces) {
        return Err(HostFault::new(BODY, Problem::BodyLeftOut));
    }
    Ok(!ends)
}

const BODY: Place = Place::OnRequestBody;
