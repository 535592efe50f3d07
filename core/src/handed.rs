//! The forms in which people and programs hand a credential over: bare, as a header's value, as a
//! whole header line. A gate knows each by its header; here it is told by its bytes.

use crate::json;
use crate::modei::{self, LIMITS, MAX_WIRE_BYTES, SignedEnvelope};
use crate::{Denial, Kind, base64, capiscio};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// A credential, recognised but not judged.
#[derive(Clone, Copy, Debug)]
pub struct Handed<'c> {
    form: Form,
    token: &'c [u8],
}

#[derive(Clone, Copy, Debug)]
enum Form {
    /// The value of an `Agent-Passport` header.
    Header,
    /// `{"passport_json": …, "signature": …}`.
    Json,
    /// A passport as a compact JWS.
    Jwt,
    /// A Trust Badge.
    Badge,
    /// A SimpleGuard signature.
    SimpleGuard,
}

impl<'c> Handed<'c> {
    /// No credential is longer: a header line holds the longest passport that is read as base64,
    /// a third longer than it is.
    pub const MAX_BYTES: usize = MAX_WIRE_BYTES.saturating_mul(2);

    /// Recognises a credential's form by its bytes.
    ///
    /// # Errors
    /// It is none, and how it might have been one.
    pub fn recognise(bytes: &'c [u8]) -> Result<Self, Unrecognised> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(Unrecognised::TooLong);
        }
        let bytes = bytes.trim_ascii();
        if bytes.is_empty() {
            return Err(Unrecognised::Empty);
        }
        let of = |form, token| Ok(Handed { form, token });
        if let Some(value) = after(bytes, "agent-passport:") {
            return of(Form::Header, value);
        }
        if bytes.starts_with(b":") {
            return of(Form::Header, bytes);
        }
        if bytes.starts_with(b"{") && is_passport(bytes) {
            return of(Form::Json, bytes);
        }
        if let Some(token) = after(bytes, "x-capiscio-jws:") {
            return of(Form::SimpleGuard, token);
        }
        if let Some(token) = after(bytes, "x-capiscio-badge:") {
            let is_signature = capiscio::is_request_signature(token);
            return of(if is_signature { Form::SimpleGuard } else { Form::Badge }, token);
        }
        let token = after(bytes, "authorization:").unwrap_or(bytes);
        let token = after(token, "bearer ").unwrap_or(token);
        if modei::is_jwt(token) {
            return of(Form::Jwt, token);
        }
        if says(token, 1, "\"vc\"") || says(token, 1, "\"ial\"") {
            return of(Form::Badge, token);
        }
        if says(token, 0, "\"kid\"") && says(token, 1, "\"iat\"") && says(token, 1, "\"exp\"") {
            return of(Form::SimpleGuard, token);
        }
        let is_like_jwt = token.starts_with(b"eyJ") && token.contains(&b'.');
        Err(if is_like_jwt { Unrecognised::OtherJwt } else { Unrecognised::Unknown })
    }

    /// The value of an `Agent-Passport` header, whatever it is.
    pub fn header_value(value: &'c [u8]) -> Self {
        Handed { form: Form::Header, token: value }
    }

    /// A Trust Badge, bare or as a header line, whatever it is: what is another credential is then
    /// refused as a badge.
    pub fn badge(bytes: &'c [u8]) -> Self {
        let bytes = bytes.trim_ascii();
        Handed { form: Form::Badge, token: after(bytes, "x-capiscio-badge:").unwrap_or(bytes) }
    }

    /// The same of a SimpleGuard signature.
    pub fn request_signature(bytes: &'c [u8]) -> Self {
        let bytes = bytes.trim_ascii();
        Handed { form: Form::SimpleGuard, token: after(bytes, "x-capiscio-jws:").unwrap_or(bytes) }
    }

    /// What kind of credential it is.
    pub fn kind(&self) -> Kind {
        match self.form {
            Form::Header | Form::Json => Kind::Passport,
            Form::Jwt => Kind::PassportJwt,
            Form::Badge => Kind::Badge,
            Form::SimpleGuard => Kind::SimpleGuard,
        }
    }

    /// The credential as it was given, without the header's name.
    pub fn token(&self) -> &'c [u8] {
        self.token
    }

    /// The passport as it is verified.
    ///
    /// # Errors
    /// What a gate would answer to one that is not of the form its kind has.
    pub fn signed(&self) -> Result<SignedEnvelope, Denial> {
        match self.form {
            Form::Header => modei::from_header(self.token),
            Form::Json => Ok(modei::from_json(self.token.to_vec())),
            // What is no passport is judged elsewhere, and refused here.
            Form::Jwt | Form::Badge | Form::SimpleGuard => modei::from_jwt(self.token),
        }
    }

    /// The header that carries it: name and value. Nothing where it is no text.
    pub fn header(&self) -> Option<(&'static str, String)> {
        let token = core::str::from_utf8(self.token).ok()?;
        Some(match self.form {
            Form::Header => ("agent-passport", token.into()),
            Form::Json => ("agent-passport", [":", &base64::encode(self.token), ":"].concat()),
            Form::Jwt => ("authorization", ["Bearer ", token].concat()),
            Form::Badge => ("x-capiscio-badge", token.into()),
            Form::SimpleGuard => ("x-capiscio-jws", token.into()),
        })
    }

    /// Its JSON text: with its signature, but for a JWS its payload. Nothing where it is cut off.
    pub fn text(&self) -> Option<Vec<u8>> {
        match self.form {
            Form::Json => Some(self.token.to_vec()),
            Form::Header => {
                let value = core::str::from_utf8(self.token).ok()?;
                base64::decode(value.strip_prefix(':')?.strip_suffix(':')?)
            }
            Form::Jwt | Form::Badge | Form::SimpleGuard => jws_part(self.token, 1),
        }
    }

    /// The protected header of a JWS (RFC 7515), as JSON text. Nothing where it is none.
    pub fn jws_header(&self) -> Option<Vec<u8>> {
        match self.form {
            Form::Header | Form::Json => None,
            Form::Jwt | Form::Badge | Form::SimpleGuard => jws_part(self.token, 0),
        }
    }
}

/// Why something is no credential; shown, it says what would have been one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unrecognised {
    /// There is nothing.
    Empty,
    /// A JWS that is none of ours.
    OtherJwt,
    /// More than [`Handed::MAX_BYTES`].
    TooLong,
    /// Anything else.
    Unknown,
}

impl fmt::Display for Unrecognised {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Unrecognised::Empty => "it is empty",
            Unrecognised::OtherJwt => {
                "it looks like a JWT, but not like a passport (type passport+jwt), a Trust Badge (claims vc, \
                 ial) or a SimpleGuard signature (kid, iat, exp)"
            }
            Unrecognised::TooLong => "it is longer than any credential",
            Unrecognised::Unknown => {
                "expected is a passport (its JSON with passport_json and signature, the value or the whole \
                 line of its Agent-Passport header, or its JWT), a Trust Badge or a SimpleGuard signature \
                 (the token, or the whole line of its header)"
            }
        })
    }
}

impl core::error::Error for Unrecognised {}

fn jws_part(token: &[u8], part: usize) -> Option<Vec<u8>> {
    let part = token.split(|byte| *byte == b'.').nth(part)?;
    base64::decode_url(core::str::from_utf8(part).ok()?)
}

/// Whether a part of a JWS has this text, in any case. Lenient, so that a damaged one is refused
/// as what it means to be.
fn says(token: &[u8], part: usize, text: &str) -> bool {
    let part = token.split(|byte| *byte == b'.').nth(part).and_then(|part| core::str::from_utf8(part).ok());
    let decoded = part.and_then(|part| base64::decode_url(part.trim_end_matches('=')));
    decoded.is_some_and(|decoded| holds(&decoded, text))
}

/// Whether a JSON text means to be a passport: by its members, or, where it is damaged or can be
/// read in two ways, by its text, so that it is refused as a passport and not as something unknown.
fn is_passport(text: &[u8]) -> bool {
    const MEMBERS: [&str; 3] = ["passport_json", "schema_version", "signature"];
    match json::parse(text, LIMITS) {
        Ok(value) => {
            let members = value.as_object();
            members.is_some_and(|members| MEMBERS.iter().any(|name| members.get(name).is_some()))
        }
        Err(_) => MEMBERS.iter().any(|name| holds(text, &["\"", name, "\""].concat())),
    }
}

fn holds(text: &[u8], name: &str) -> bool {
    text.windows(name.len()).any(|window| window.eq_ignore_ascii_case(name.as_bytes()))
}

/// What follows `prefix`, which is matched in any case, without spaces around it.
fn after<'b>(bytes: &'b [u8], prefix: &str) -> Option<&'b [u8]> {
    let (start, rest) = bytes.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix.as_bytes()).then(|| rest.trim_ascii())
}
