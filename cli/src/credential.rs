//! Credentials from files, in whatever form they are handed over.

use crate::files;
use anyhow::{Context, Result, bail};
use portcullis_core::{Handed, Kind};
use std::path::Path;

/// Which kinds of credential a command takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Any,
    Badge,
}

impl Asked {
    /// # Errors
    /// A credential of another kind.
    pub(crate) fn check(self, credential: &Handed<'_>) -> Result<()> {
        if self == Asked::Badge && credential.kind() != Kind::Badge {
            bail!("the credential is no Trust Badge; `portcullis verify` and `inspect` take any");
        }
        Ok(())
    }
}

/// A file of the size of a credential, or standard input where the path is `-`.
pub(crate) struct Source<'p> {
    path: &'p Path,
    bytes: Vec<u8>,
}

impl<'p> Source<'p> {
    pub(crate) fn read(path: &'p Path) -> Result<Self> {
        Ok(Source { path, bytes: files::read_or_stdin(path, Handed::MAX_BYTES)? })
    }

    /// The credential in it: JSON, a header's value, a whole header line, a JWT.
    pub(crate) fn credential(&self) -> Result<Handed<'_>> {
        Handed::recognise(&self.bytes).with_context(|| match self.path.as_os_str() == "-" {
            true => "standard input is no credential".to_owned(),
            false => format!("{} is no credential", self.path.display()),
        })
    }
}

/// The credential's JSON text: with its signature, but for a JWS its payload.
pub(crate) fn text(credential: &Handed<'_>) -> Result<Vec<u8>> {
    credential.text().context(if is_jws(credential) {
        NO_JWS
    } else {
        "the header's value is not `:<standard base64>:`; it may be cut off"
    })
}

/// The header of a JWS.
pub(crate) fn jws_header(credential: &Handed<'_>) -> Result<Option<Vec<u8>>> {
    if is_jws(credential) { credential.jws_header().context(NO_JWS).map(Some) } else { Ok(None) }
}

const NO_JWS: &str = "the JWT is not three parts of base64url with dots between them; it may be cut off";

fn is_jws(credential: &Handed<'_>) -> bool {
    credential.kind() != Kind::Passport
}

/// The header that carries it: name and value.
pub(crate) fn header(credential: &Handed<'_>) -> Result<(&'static str, String)> {
    credential.header().context("the credential is no text")
}
