//! The forms in which a credential is handed over.

use crate::input::Unusable;
use alloc::string::String;
use alloc::vec::Vec;
use portcullis_core::modei::{self, MAX_WIRE_BYTES, SignedEnvelope};
use portcullis_core::{Denial, Kind, base64, capiscio};

/// A credential, recognised but not judged.
pub(crate) struct Credential<'c> {
    form: Form,
    pub(crate) token: &'c [u8],
}

#[derive(Clone, Copy)]
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

impl<'c> Credential<'c> {
    /// Recognises a credential's form by its bytes, which may be a whole header line.
    ///
    /// # Errors
    /// It is none, and says how it might have been one.
    pub(crate) fn recognise(bytes: &'c [u8]) -> Result<Self, Unusable> {
        // A header line holds the longest passport that is read as base64, a third longer.
        if bytes.len() > MAX_WIRE_BYTES.saturating_mul(2) {
            return Err(Unusable::new("NOT_A_CREDENTIAL", "it is longer than any credential"));
        }
        let bytes = bytes.trim_ascii();
        let of = |form, token| Ok(Credential { form, token });
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
        let detail = if token.starts_with(b"eyJ") && token.contains(&b'.') {
            "it looks like a JWT, but not like a passport (type passport+jwt), a Trust Badge (claims vc, ial) \
             or a SimpleGuard signature (kid, iat, exp)"
        } else {
            "expected is a passport (its JSON with passport_json and signature, its header's value or whole \
             line, or its JWT), a Trust Badge or a SimpleGuard signature (the token, or its header's whole line)"
        };
        Err(Unusable::new("NOT_A_CREDENTIAL", detail))
    }

    /// The value of an `Agent-Passport` header, whatever it is.
    pub(crate) fn header_value(value: &'c [u8]) -> Self {
        Credential { form: Form::Header, token: value }
    }

    /// The same, where the caller says which kind it is: a token of another is then refused as
    /// one of this kind.
    pub(crate) fn of_kind(kind: &str, bytes: &'c [u8]) -> Result<Self, Unusable> {
        let named = |form, header| {
            let bytes = bytes.trim_ascii();
            Ok(Credential { form, token: after(bytes, header).unwrap_or(bytes) })
        };
        match kind {
            "badge" => named(Form::Badge, "x-capiscio-badge:"),
            "simpleguard" => named(Form::SimpleGuard, "x-capiscio-jws:"),
            "passport" => Credential::recognise(bytes).and_then(|found| match found.kind() {
                Kind::Passport | Kind::PassportJwt => Ok(found),
                Kind::Badge | Kind::SimpleGuard => {
                    Err(Unusable::new("NOT_A_CREDENTIAL", "it is no passport, but a credential of CapiscIO"))
                }
            }),
            _ => Credential::recognise(bytes),
        }
    }

    /// What kind of credential it is.
    pub(crate) fn kind(&self) -> Kind {
        match self.form {
            Form::Header | Form::Json => Kind::Passport,
            Form::Jwt => Kind::PassportJwt,
            Form::Badge => Kind::Badge,
            Form::SimpleGuard => Kind::SimpleGuard,
        }
    }

    /// The passport as the core verifies it.
    ///
    /// # Errors
    /// What a gate would answer to one that is not of the form its kind has.
    pub(crate) fn signed(&self) -> Result<SignedEnvelope, Denial> {
        match self.form {
            Form::Header => modei::from_header(self.token),
            Form::Json => Ok(modei::from_json(self.token.to_vec())),
            Form::Jwt | Form::Badge | Form::SimpleGuard => modei::from_jwt(self.token),
        }
    }

    /// The header that carries it: name and value.
    pub(crate) fn header(&self) -> (&'static str, String) {
        let token = || String::from_utf8_lossy(self.token).into_owned();
        match self.form {
            Form::Header => ("agent-passport", token()),
            Form::Json => ("agent-passport", [":", &base64::encode(self.token), ":"].concat()),
            Form::Jwt => ("authorization", ["Bearer ", &token()].concat()),
            Form::Badge => ("x-capiscio-badge", token()),
            Form::SimpleGuard => ("x-capiscio-jws", token()),
        }
    }

    /// Its JSON text: with its signature, but for a JWS its payload.
    pub(crate) fn text(&self) -> Option<Vec<u8>> {
        let token = core::str::from_utf8(self.token).ok()?;
        match self.form {
            Form::Json => Some(self.token.to_vec()),
            Form::Header => base64::decode(token.strip_prefix(':')?.strip_suffix(':')?),
            Form::Jwt | Form::Badge | Form::SimpleGuard => base64::decode_url(token.split('.').nth(1)?),
        }
    }
}

/// The name of a kind of credential in answers.
pub(crate) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Badge => "badge",
        Kind::Passport => "passport",
        Kind::PassportJwt => "passport_jwt",
        Kind::SimpleGuard => "simpleguard",
    }
}

/// Whether a part of a JWS has this text, in any case.
fn says(token: &[u8], part: usize, text: &str) -> bool {
    let part = token.split(|byte| *byte == b'.').nth(part).and_then(|part| core::str::from_utf8(part).ok());
    let decoded = part.and_then(|part| base64::decode_url(part.trim_end_matches('=')));
    decoded.is_some_and(|decoded| holds(&decoded, text))
}

/// Whether a JSON text means to be a passport. Lenient, so that a damaged one is refused as a
/// passport and not as something unknown.
fn is_passport(text: &[u8]) -> bool {
    ["\"passport_json\"", "\"schema_version\"", "\"signature\""].iter().any(|name| holds(text, name))
}

fn holds(text: &[u8], name: &str) -> bool {
    text.windows(name.len()).any(|window| window.eq_ignore_ascii_case(name.as_bytes()))
}

/// What follows `prefix`, which is matched in any case, without spaces around it.
fn after<'b>(bytes: &'b [u8], prefix: &str) -> Option<&'b [u8]> {
    let (start, rest) = bytes.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix.as_bytes()).then(|| rest.trim_ascii())
}
