//! Credentials as callers name and hand them over.

use crate::input::Unusable;
use alloc::string::ToString;
use portcullis_core::{Handed, Kind, Unrecognised};

/// Recognises a credential; one that the caller says is a badge, or a signature, is refused as one
/// if it is none.
///
/// # Errors
/// It is none, or no passport where the caller says that it is one.
pub(crate) fn of_kind<'c>(kind: &str, bytes: &'c [u8]) -> Result<Handed<'c>, Unusable> {
    match kind {
        "badge" => Ok(Handed::badge(bytes)),
        "simpleguard" => Ok(Handed::request_signature(bytes)),
        "passport" => Handed::recognise(bytes).map_err(Unusable::from).and_then(|found| match found.kind() {
            Kind::Passport | Kind::PassportJwt => Ok(found),
            Kind::Badge | Kind::SimpleGuard => {
                Err(Unusable::new("NOT_A_CREDENTIAL", "it is no passport, but a credential of CapiscIO"))
            }
        }),
        _ => Ok(Handed::recognise(bytes)?),
    }
}

impl From<Unrecognised> for Unusable {
    fn from(why: Unrecognised) -> Self {
        Unusable { code: "NOT_A_CREDENTIAL", detail: why.to_string() }
    }
}
