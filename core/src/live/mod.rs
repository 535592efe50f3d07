//! Live trust material: what a gate takes from its control service while it runs.
//!
//! Six kinds of signed documents. A [`Head`] says which snapshot and which revocations
//! are in force, and when that was so; a [`SnapshotDocument`] brings the gate's
//! configuration; [`RevocationPage`]s and [`RevocationDelta`]s bring what is revoked, as
//! keyed fingerprints. [`LiveTrust`] takes them up in the order of their dependence,
//! never goes back, and judges nothing by what it has not verified against a head. The
//! fifth is the answer to a [`NonceQuestion`], about one request; the sixth, to a
//! [`SpendQuestion`], about what may be spent.
//!
//! All are compact JWS (RFC 7515) by EdDSA with the protected header
//! `{"alg":"EdDSA","kid":…,"typ":…}` and nothing else in it, over RFC 8785 JSON. How
//! they are fetched is the business of whoever holds a [`LiveTrust`].

mod call;
mod document;
mod error;
mod fingerprint;
mod head;
mod load;
mod nonce;
mod response;
mod revocations;
mod set;
mod snapshot;
mod spend;
mod trust;
mod view;

pub use call::Call;
pub use document::ServiceKeys;
pub(crate) use document::{Members, owned, whole};
pub use error::LiveError;
pub use fingerprint::FingerprintKey;
pub use head::{Head, RevocationState};
pub use load::RevocationLoad;
pub use nonce::{NonceDecision, NonceQuestion};
pub use response::TrustResponse;
pub use revocations::{MAX_FINGERPRINTS, RevocationDelta, RevocationPage};
pub use set::{MAX_REVOCATIONS, Revocations};
pub use snapshot::{SignedSnapshot, SnapshotDocument, SnapshotDraft};
pub use spend::{LeaseSpent, MAX_ACCOUNTS, MAX_LEASES, SpendAnswer, SpendAsk, SpendGrant, SpendQuestion};
pub use trust::{Current, LiveTrust, Next};
pub use view::LiveView;

use alloc::string::String;

/// Lower-case hex, as documents and the service's query write hashes and fingerprints.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).flatten().collect()
}

/// Reads lower-case hex of exactly `bytes.len()` bytes.
pub(crate) fn read_hex(text: &str, bytes: &mut [u8]) -> Option<()> {
    let mut digits = text.bytes().map(|digit| match digit {
        b'0'..=b'9' => Some(digit.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(digit.wrapping_sub(b'a').wrapping_add(10)),
        _ => None,
    });
    for byte in bytes {
        *byte = digits.next()?? << 4 | digits.next()??;
    }
    digits.next().is_none().then_some(())
}
