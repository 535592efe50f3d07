//! The forms in which a credential is handed to this program.

use crate::files;
use anyhow::{Context, Result, anyhow, bail};
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
    /// A compact JWS.
    Jwt,
}

impl Credential {
    /// Reads a credential from a file, or from standard input where the path is `-`,
    /// and recognises its form: JSON, a header's value, a whole header line, a JWT.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes = files::read_or_stdin(path, MAX_BYTES)?;
        Self::recognise(&bytes).with_context(|| format!("{} is no credential", name(path)))
    }

    fn recognise(bytes: &[u8]) -> Result<Self> {
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
        let token = after(bytes, "authorization:").unwrap_or(bytes);
        let token = after(token, "bearer ").unwrap_or(token);
        if modei::is_jwt(token) {
            return of(Form::Jwt, token);
        }
        let looks_like_jwt = token.starts_with(b"eyJ") && token.contains(&b'.');
        if looks_like_jwt {
            bail!("it looks like a JWT, but not like one of type passport+jwt");
        }
        bail!(
            "expected is a passport: its JSON with passport_json and signature, the value or the whole line of its Agent-Passport header, or its JWT"
        )
    }

    /// What kind of credential it is.
    pub(crate) fn kind(&self) -> Kind {
        match self.form {
            Form::Header | Form::Json => Kind::Passport,
            Form::Jwt => Kind::PassportJwt,
        }
    }

    /// The credential as the core verifies it.
    ///
    /// # Errors
    /// What a gate would answer to one that is not of the form its kind has.
    pub(crate) fn signed(&self) -> Result<SignedEnvelope, Denial> {
        match self.form {
            Form::Header => modei::from_header(&self.bytes),
            Form::Json => Ok(modei::from_json(self.bytes.clone())),
            Form::Jwt => modei::from_jwt(&self.bytes),
        }
    }

    /// The passport's JSON text: with its signature, but for a JWT its payload.
    pub(crate) fn text(&self) -> Result<Vec<u8>> {
        match self.form {
            Form::Json => Ok(self.bytes.clone()),
            Form::Header => std::str::from_utf8(&self.bytes)
                .ok()
                .and_then(|text| base64::decode(text.strip_prefix(':')?.strip_suffix(':')?))
                .ok_or_else(|| anyhow!("the header's value is not `:<standard base64>:`; it may be cut off")),
            Form::Jwt => self.jwt_part(1),
        }
    }

    /// The header of a JWT.
    pub(crate) fn jwt_header(&self) -> Result<Option<Vec<u8>>> {
        match self.form {
            Form::Header | Form::Json => Ok(None),
            Form::Jwt => self.jwt_part(0).map(Some),
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
