//! Finding the credential that a request presents.

use crate::denial::Denial;
use crate::modei;
use crate::reason::Reason;
use crate::request::RequestHead;

/// A credential as it stands in a header.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Presented<'r> {
    pub(crate) kind: Kind,
    pub(crate) bytes: &'r [u8],
}

/// The kinds of credential, by where they are found.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// A passport in `Agent-Passport`.
    Passport,
    /// A passport JWT in `Authorization`.
    PassportJwt,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 2] = [Kind::Passport, Kind::PassportJwt];

    /// The header that carries it, in lower case.
    pub fn header(self) -> &'static str {
        match self {
            Kind::Passport => "agent-passport",
            Kind::PassportJwt => "authorization",
        }
    }

    /// Whether the header of this kind, having this value, carries such a credential,
    /// good or bad. Several tokens in one `Authorization` count: one may be ours.
    pub fn is_carried_by(self, value: &[u8]) -> bool {
        match self {
            Kind::Passport => true,
            Kind::PassportJwt => {
                bearer_token(value).is_some_and(|token| token.contains(&b',') || modei::is_jwt(token))
            }
        }
    }
}

impl<'r> Presented<'r> {
    /// The one credential of a request, or `None`. An `Authorization` that is none of
    /// ours is no credential.
    ///
    /// # Errors
    /// `header_ambiguous` for a header that is there twice, `credential_ambiguous` for
    /// two credentials.
    pub(crate) fn find(head: &RequestHead<'r>) -> Result<Option<Self>, Denial> {
        let passport =
            head.only(Kind::Passport.header())?.map(|bytes| Presented { kind: Kind::Passport, bytes });
        let jwt = match head.only(Kind::PassportJwt.header())?.and_then(bearer_token) {
            // A proxy may have joined two headers into one list (RFC 9110 section 5.3).
            Some(token) if token.contains(&b',') => {
                return Err(Denial::new(
                    Reason::HeaderAmbiguous,
                    "authorization holds more than one bearer token",
                ));
            }
            Some(token) if modei::is_jwt(token) => Some(Presented { kind: Kind::PassportJwt, bytes: token }),
            _ => None,
        };
        match (passport, jwt) {
            (Some(_), Some(_)) => Err(Denial::new(
                Reason::CredentialAmbiguous,
                "both agent-passport and authorization carry a passport",
            )),
            (one, None) | (None, one) => Ok(one),
        }
    }
}

/// RFC 6750 section 2.1; the scheme's name in any case (RFC 9110 section 11.1).
fn bearer_token(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}
