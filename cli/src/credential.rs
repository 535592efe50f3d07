//! The forms in which a credential is handed to this program.

use crate::files;
use anyhow::{Context, Result, anyhow, bail};
use portcullis_core::capiscio;
use portcullis_core::modei::{self, MAX_WIRE_BYTES, SignedEnvelope};
use portcullis_core::{Denial, Kind, base64};
use std::path::Path;

/// A credential, recognised but not judged.
pub(crate) struct Credential {
    form: Form,
    bytes: Vec<u8>,
}

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

/// Which kinds of credential a command takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Any,
    Badge,
}

impl Asked {
    /// # Errors
    /// A credential of another kind.
    pub(crate) fn check(self, credential: &Credential) -> Result<()> {
        if self == Asked::Badge && credential.kind() != Kind::Badge {
            bail!("the credential is no Trust Badge; `portcullis verify` and `inspect` take any");
        }
        Ok(())
    }
}

impl Credential {
    /// Reads a credential from a file, or from standard input where the path is `-`,
    /// and recognises its form: JSON, a header's value, a whole header line, a JWT.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes = files::read_or_stdin(path, MAX_BYTES)?;
        Self::recognise(&bytes).with_context(|| format!("{} is no credential", name(path)))
    }

    /// Recognises a credential's form by its bytes, which may be a whole header line.
    pub(crate) fn recognise(bytes: &[u8]) -> Result<Self> {
        let bytes = bytes.trim_ascii();
        if bytes.is_empty() {
            bail!("it is empty");
        }
        let of = |form, bytes: &[u8]| Ok(Credential { form, bytes: bytes.to_vec() });
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
        if says(token, 1, "vc") || says(token, 1, "ial") {
            return of(Form::Badge, token);
        }
        if says(token, 0, "kid") && says(token, 1, "iat") && says(token, 1, "exp") {
            return of(Form::SimpleGuard, token);
        }
        let looks_like_jwt = token.starts_with(b"eyJ") && token.contains(&b'.');
        if looks_like_jwt {
            bail!(
                "it looks like a JWT, but not like a passport (type passport+jwt), a Trust Badge (claims vc, ial) or a SimpleGuard signature (kid, iat, exp)"
            );
        }
        bail!(
            "expected is a passport (its JSON with passport_json and signature, the value or the whole line of its Agent-Passport header, or its JWT), a Trust Badge or a SimpleGuard signature (the token, or the whole line of its header)"
        )
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

    /// The credential as it was given, without the header's name.
    pub(crate) fn token(&self) -> &[u8] {
        &self.bytes
    }

    /// The header that carries it: name and value.
    pub(crate) fn header(&self) -> Result<(&'static str, String)> {
        let token = || String::from_utf8(self.bytes.clone()).context("the credential is no text");
        Ok(match self.form {
            Form::Header => ("agent-passport", token()?),
            Form::Json => ("agent-passport", format!(":{}:", base64::encode(&self.bytes))),
            Form::Jwt => ("authorization", format!("Bearer {}", token()?)),
            Form::Badge => ("x-capiscio-badge", token()?),
            Form::SimpleGuard => ("x-capiscio-jws", token()?),
        })
    }

    /// The credential as the core verifies it.
    ///
    /// # Errors
    /// What a gate would answer to one that is not of the form its kind has.
    pub(crate) fn signed(&self) -> Result<SignedEnvelope, Denial> {
        match self.form {
            Form::Header => modei::from_header(&self.bytes),
            Form::Json => Ok(modei::from_json(self.bytes.clone())),
            // What is no passport is judged elsewhere, and refused here.
            Form::Jwt | Form::Badge | Form::SimpleGuard => modei::from_jwt(&self.bytes),
        }
    }

    /// The credential's JSON text: with its signature, but for a JWS its payload.
    pub(crate) fn text(&self) -> Result<Vec<u8>> {
        match self.form {
            Form::Json => Ok(self.bytes.clone()),
            Form::Header => std::str::from_utf8(&self.bytes)
                .ok()
                .and_then(|text| base64::decode(text.strip_prefix(':')?.strip_suffix(':')?))
                .ok_or_else(|| anyhow!("the header's value is not `:<standard base64>:`; it may be cut off")),
            Form::Jwt | Form::Badge | Form::SimpleGuard => self.jwt_part(1),
        }
    }

    /// The header of a JWS.
    pub(crate) fn jwt_header(&self) -> Result<Option<Vec<u8>>> {
        match self.form {
            Form::Header | Form::Json => Ok(None),
            Form::Jwt | Form::Badge | Form::SimpleGuard => self.jwt_part(0).map(Some),
        }
    }

    fn jwt_part(&self, index: usize) -> Result<Vec<u8>> {
        let part = std::str::from_utf8(&self.bytes).ok().and_then(|token| token.split('.').nth(index));
        part.and_then(base64::decode_url).ok_or_else(|| {
            anyhow!("the JWT is not three parts of base64url with dots between them; it may be cut off")
        })
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

/// A header line holds the longest passport that is read as base64, a third longer.
const MAX_BYTES: usize = 2 * MAX_WIRE_BYTES;

fn name(path: &Path) -> String {
    if path.as_os_str() == "-" { "standard input".into() } else { path.display().to_string() }
}

/// Whether a part of a JWS names a member, by its text alone.
fn says(token: &[u8], part: usize, name: &str) -> bool {
    let part = token.split(|byte| *byte == b'.').nth(part).and_then(|part| std::str::from_utf8(part).ok());
    let text = part.and_then(|part| base64::decode_url(part.trim_end_matches('=')));
    let text = text.map(|text| String::from_utf8_lossy(&text).to_ascii_lowercase());
    text.is_some_and(|text| text.contains(&format!("\"{name}\"")))
}

/// What follows `prefix`, which is matched in any case, without spaces around it.
fn after<'b>(bytes: &'b [u8], prefix: &str) -> Option<&'b [u8]> {
    let (start, rest) = bytes.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix.as_bytes()).then(|| rest.trim_ascii())
}

/// Whether a JSON text means to be a passport. Lenient, so that a damaged one is
/// refused as a passport and not as something unknown.
fn is_passport(text: &[u8]) -> bool {
    const MEMBERS: [&str; 3] = ["passport_json", "schema_version", "signature"];
    match serde_json::from_slice::<serde_json::Value>(text) {
        Ok(value) => MEMBERS.iter().any(|member| value.get(member).is_some()),
        Err(_) => {
            let name = b"\"passport_json\"";
            text.windows(name.len()).any(|window| window == name)
        }
    }
}
