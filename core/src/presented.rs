//! Finding the credential that a request presents.

use crate::capiscio;
use crate::denial::Denial;
use crate::modei;
use crate::reason::Reason;
use crate::request::RequestHead;

/// What a request presents: one credential, and beside a badge perhaps the signature of
/// its holder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Presented<'r> {
    /// Where the credential stands.
    pub(crate) carrier: Carrier,
    pub(crate) credential: Token<'r>,
    /// A SimpleGuard JWS that came with a badge.
    pub(crate) signature: Option<Token<'r>>,
}

/// A credential as it stands in a header.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Token<'r> {
    pub(crate) kind: Kind,
    pub(crate) bytes: &'r [u8],
}

/// The kinds of credential.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// A CapiscIO Trust Badge, in `X-Capiscio-Badge` or `Authorization`.
    Badge,
    /// A Modei passport, in `Agent-Passport`.
    Passport,
    /// A Modei passport as a JWT, in `Authorization`.
    PassportJwt,
    /// A SimpleGuard request signature, in `X-Capiscio-JWS` or `X-Capiscio-Badge`.
    SimpleGuard,
}

impl Kind {
    /// Its name in answers.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Badge => "badge",
            Kind::Passport => "passport",
            Kind::PassportJwt => "passport_jwt",
            Kind::SimpleGuard => "simpleguard",
        }
    }
}

/// The headers that carry credentials.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Carrier {
    /// `Agent-Passport`.
    AgentPassport,
    /// `Authorization`, with the scheme `Bearer`; it carries other people's tokens too.
    Authorization,
    /// `X-Capiscio-Badge`.
    CapiscioBadge,
    /// `X-Capiscio-JWS`.
    CapiscioJws,
}

impl Carrier {
    /// All of them.
    pub const ALL: [Carrier; 4] =
        [Carrier::AgentPassport, Carrier::Authorization, Carrier::CapiscioBadge, Carrier::CapiscioJws];

    /// The header's name, in lower case.
    pub fn header(self) -> &'static str {
        match self {
            Carrier::AgentPassport => "agent-passport",
            Carrier::Authorization => "authorization",
            Carrier::CapiscioBadge => "x-capiscio-badge",
            Carrier::CapiscioJws => "x-capiscio-jws",
        }
    }

    /// Whether the header, having this value, carries a credential, good or bad, that
    /// this gate judges. Several tokens in one `Authorization` count: one may be ours.
    pub fn carries(self, value: &[u8]) -> bool {
        match self {
            Carrier::AgentPassport | Carrier::CapiscioBadge | Carrier::CapiscioJws => true,
            Carrier::Authorization => {
                bearer_token(value).is_some_and(|token| token.contains(&b',') || of_bearer(token).is_some())
            }
        }
    }

    /// The credential in this header, if there is one.
    fn find<'r>(self, head: &RequestHead<'r>) -> Result<Option<Token<'r>>, Denial> {
        let Some(value) = head.only(self.header())? else { return Ok(None) };
        let bytes = match self {
            Carrier::AgentPassport => value,
            Carrier::CapiscioBadge | Carrier::CapiscioJws => value.trim_ascii(),
            Carrier::Authorization => match bearer_token(value) {
                Some(token) => token,
                None => return Ok(None),
            },
        };
        // A proxy may have joined two headers into one list (RFC 9110 section 5.3).
        // JSON has commas of its own, and is no token but one mistake.
        if self != Carrier::AgentPassport && bytes.contains(&b',') && !bytes.starts_with(b"{") {
            let detail = alloc::format!("{} holds more than one token", self.header());
            return Err(Denial::new(Reason::HeaderAmbiguous, detail));
        }
        let kind = match self {
            Carrier::AgentPassport => Some(Kind::Passport),
            Carrier::Authorization => of_bearer(bytes),
            Carrier::CapiscioBadge if capiscio::is_request_signature(bytes) => Some(Kind::SimpleGuard),
            Carrier::CapiscioBadge => Some(Kind::Badge),
            Carrier::CapiscioJws => Some(Kind::SimpleGuard),
        };
        Ok(kind.map(|kind| Token { kind, bytes }))
    }
}

impl<'r> Presented<'r> {
    /// What a request presents, or `None`. An `Authorization` that is none of ours is no
    /// credential.
    ///
    /// # Errors
    /// `header_ambiguous` for a header that is there twice, `credential_ambiguous` for
    /// two credentials that do not belong together.
    pub(crate) fn find(head: &RequestHead<'r>) -> Result<Option<Self>, Denial> {
        let mut found: Option<Self> = None;
        for carrier in Carrier::ALL {
            let Some(token) = carrier.find(head)? else { continue };
            found = Some(match found {
                None => Presented { carrier, credential: token, signature: None },
                Some(first) => first.with(carrier, token)?,
            });
        }
        Ok(found)
    }

    /// A badge and one signature belong together, and nothing else does.
    fn with(self, carrier: Carrier, second: Token<'r>) -> Result<Self, Denial> {
        let credential = self.credential;
        match (credential.kind, second.kind, self.signature) {
            (Kind::Badge, Kind::SimpleGuard, None) => Ok(Presented { signature: Some(second), ..self }),
            (Kind::SimpleGuard, Kind::Badge, None) => {
                Ok(Presented { carrier, credential: second, signature: Some(credential) })
            }
            _ => Err(Denial::new(
                Reason::CredentialAmbiguous,
                "the request carries two credentials that do not belong together",
            )),
        }
    }
}

/// What kind of credential a bearer token is, if it is one of ours.
fn of_bearer(token: &[u8]) -> Option<Kind> {
    if modei::is_jwt(token) {
        return Some(Kind::PassportJwt);
    }
    capiscio::claims_to_be_badge(token).then_some(Kind::Badge)
}

/// RFC 6750 section 2.1; the scheme's name in any case (RFC 9110 section 11.1).
pub(crate) fn bearer_token(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}
