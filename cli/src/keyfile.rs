//! Key files, in three formats that are told apart by what is in them: Modei's
//! credential file (version 1), PEM (RFC 7468; PKCS#8 and SPKI as in RFC 8410), and
//! JWK (RFC 8037).
//!
//! No error here repeats anything of a file: it may be a secret.

use crate::files::{self, Existing, Readers};
use anyhow::{Context, Result, anyhow, bail};
use ed25519::pkcs8::spki::der::pem::LineEnding;
use ed25519::pkcs8::{EncodePrivateKey, EncodePublicKey};
use ed25519::{KeypairBytes, PublicKeyBytes};
use portcullis_core::json::{self, Limits, Object, Value};
use portcullis_core::modei::self_agent_id;
use portcullis_core::{PublicKey, SecretKey, UnixTime, base64};
use std::path::Path;

/// How a key is written.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Modei's credential file, version 1
    Modei,
    /// PKCS#8 in PEM (RFC 8410)
    Pem,
    /// An OKP JSON Web Key (RFC 8037)
    Jwk,
}

/// Reads a private key from a file that nobody but its owner may read.
pub(crate) fn load_secret(path: &Path) -> Result<SecretKey> {
    match load(path)? {
        Key::Secret(key) => Ok(key),
        Key::Public(_) => bail!("{} holds a public key, and a private key is needed here", path.display()),
    }
}

/// Reads a public key: 32 bytes as standard base64, or a file, from which a private
/// key's public half will do. A relative path starts from `folder`.
pub(crate) fn public_from_argument(argument: &str, folder: &Path) -> Result<[u8; 32]> {
    if let Some(bytes) = base64::decode_array::<32>(argument) {
        return checked(bytes);
    }
    load_public(&folder.join(argument))
        .with_context(|| "the key is neither the base64 of 32 bytes nor a readable key file")
}

/// Reads a public key from a file, or the public half of the private key in it.
pub(crate) fn load_public(path: &Path) -> Result<[u8; 32]> {
    Ok(match load(path)? {
        Key::Secret(key) => key.public_key(),
        Key::Public(key) => key,
    })
}

/// Reads a public key as others hand it out: a private key is refused.
pub(crate) fn public_of(bytes: &[u8]) -> Result<[u8; 32]> {
    match parse(bytes)? {
        Key::Public(key) => Ok(key),
        Key::Secret(_) => bail!(
            "it holds a private key, which only its agent may have: take the public one (`openssl pkey -pubout`), and make a new key if this one got about"
        ),
    }
}

/// Reads a public key in PEM.
pub(crate) fn public_pem_of(bytes: &[u8]) -> Result<[u8; 32]> {
    let key = public_of(bytes)?;
    let is_pem = bytes.windows(PEM_BEGINS.len()).any(|window| window == PEM_BEGINS.as_bytes());
    if is_pem {
        Ok(key)
    } else {
        bail!("it is a public key, but not PEM; `portcullis trust add` converts it")
    }
}

/// Refuses to let anything but a new key take the place of a private key.
pub(crate) fn keep(path: &Path) -> Result<()> {
    // What is no file is not read, as a pipe would be waited for.
    let is_file = std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    let contents = if is_file { files::read(path, MAX_BYTES).ok() } else { None };
    let holds_secret = contents.is_some_and(|contents| matches!(parse(&contents.bytes), Ok(Key::Secret(_))));
    if holds_secret {
        bail!("{} holds a private key and is not overwritten; choose another file", path.display());
    }
    Ok(())
}

/// The text of a private key's file.
pub(crate) fn secret_text(key: &SecretKey, format: Format, created_at: UnixTime) -> Result<String> {
    let public_key = key.public_key();
    Ok(match format {
        Format::Modei => {
            let created_at = created_at.to_iso();
            // Modei writes whole seconds.
            let seconds = created_at.split('.').next().unwrap_or_default();
            let file = serde_json::json!({
                "version": 1,
                "agent_id": self_agent_id(&public_key),
                "public_key_base64": base64::encode(&public_key),
                "private_key_base64": base64::encode(key.seed()),
                "created_at": format!("{seconds}Z"),
            });
            serde_json::to_string_pretty(&file)?
        }
        Format::Pem => {
            // Without the public key, as version 1: what every OpenSSL reads.
            let pair = KeypairBytes { secret_key: *key.seed(), public_key: None };
            let pem = pair.to_pkcs8_pem(LineEnding::LF).map_err(|error| anyhow!("{error}"))?;
            pem.as_str().to_owned()
        }
        Format::Jwk => {
            let mut jwk = public_jwk(&public_key);
            if let Some(members) = jwk.as_object_mut() {
                members.insert("d".into(), base64::encode_url(key.seed()).into());
            }
            serde_json::to_string_pretty(&jwk)?
        }
    })
}

/// A public key as SPKI in PEM.
pub(crate) fn public_pem(key: &[u8; 32]) -> Result<String> {
    PublicKeyBytes(*key).to_public_key_pem(LineEnding::LF).map_err(|error| anyhow!("{error}"))
}

/// A public key as JWK.
pub(crate) fn public_jwk(key: &[u8; 32]) -> serde_json::Value {
    serde_json::json!({ "kty": "OKP", "crv": "Ed25519", "x": base64::encode_url(key) })
}

/// Writes a private key's file, readable by its owner alone.
pub(crate) fn save_secret(path: &Path, text: &str, existing: Existing) -> Result<()> {
    if existing == Existing::Keep && path.exists() {
        bail!("{} exists; choose another file, or replace it with --force", path.display());
    }
    files::write(path, text, Readers::Owner, existing)
}

const PEM_BEGINS: &str = "-----BEGIN ";

/// The largest of these files that anyone makes has some 400 bytes; a PEM file may
/// begin with a page of comments.
pub(crate) const MAX_BYTES: usize = 16 * 1024;

enum Key {
    Secret(SecretKey),
    Public([u8; 32]),
}

fn load(path: &Path) -> Result<Key> {
    let contents = files::read(path, MAX_BYTES)?;
    let key = parse(&contents.bytes).with_context(|| format!("{} is no usable key file", path.display()))?;
    if matches!(key, Key::Secret(_))
        && let Some(mode) = contents.mode
        && mode & 0o077 != 0
    {
        bail!(
            "{path} holds a private key that others may read (mode {mode:04o}): run `chmod 600 {path}`, and make a new key if others had access",
            path = path.display()
        );
    }
    Ok(key)
}

fn parse(bytes: &[u8]) -> Result<Key> {
    let text = std::str::from_utf8(bytes).ok().map(str::trim);
    let text = text.ok_or_else(|| anyhow!("it is not text; PEM, JWK, Modei's JSON or base64 is expected"))?;
    if text.is_empty() {
        bail!("it is empty");
    }
    if let Some(at) = text.find(PEM_BEGINS) {
        return parse_pem(text.get(at..).unwrap_or_default());
    }
    if text.starts_with('{') {
        return parse_json(text);
    }
    match base64::decode_array::<32>(text) {
        Some(key) => checked(key).map(Key::Public),
        None => bail!("it is none of PEM, JWK, Modei's credential file, or a public key's base64"),
    }
}

fn parse_pem(text: &str) -> Result<Key> {
    let wrong = || anyhow!("the PEM does not hold an Ed25519 key (RFC 8410)");
    if text.starts_with("-----BEGIN PUBLIC KEY-----") {
        let key: PublicKeyBytes = text.parse().map_err(|_| wrong())?;
        return checked(key.to_bytes()).map(Key::Public);
    }
    if text.starts_with("-----BEGIN PRIVATE KEY-----") {
        let pair: KeypairBytes = text.parse().map_err(|_| wrong())?;
        let key = SecretKey::from_seed(pair.secret_key);
        return match &pair.public_key {
            Some(public) if public.to_bytes() != key.public_key() => bail!(MISMATCH),
            _ => Ok(Key::Secret(key)),
        };
    }
    bail!(
        "the PEM is neither a `PRIVATE KEY` (PKCS#8, not encrypted) nor a `PUBLIC KEY`; `openssl pkey` converts other forms"
    )
}

fn parse_json(text: &str) -> Result<Key> {
    let limits = Limits { bytes: MAX_BYTES, depth: 8, values: 256 };
    let value = json::parse(text.as_bytes(), limits).map_err(|error| anyhow!("{error}"))?;
    let object = value.as_object().ok_or_else(|| anyhow!("it is not a JSON object"))?;
    if object.get("kty").is_some() { parse_jwk(object) } else { parse_modei(object) }
}

/// RFC 8037 section 2. Members that say nothing about the key itself are passed over.
fn parse_jwk(object: &Object<'_>) -> Result<Key> {
    let member = |name| object.get(name).and_then(Value::as_str);
    if member("kty") != Some("OKP") || member("crv") != Some("Ed25519") {
        bail!("the JWK is not of kty OKP and crv Ed25519");
    }
    let bytes = |name: &str, text: &str| -> Result<[u8; 32]> {
        let bytes = base64::decode_url(text).and_then(|bytes| bytes.try_into().ok());
        bytes.ok_or_else(|| anyhow!("the JWK's `{name}` is not the base64url of 32 bytes"))
    };
    let public = bytes("x", member("x").ok_or_else(|| anyhow!("the JWK has no `x`"))?)?;
    match object.get("d") {
        None => checked(public).map(Key::Public),
        Some(secret) => {
            let key = SecretKey::from_seed(bytes("d", secret.as_str().unwrap_or_default())?);
            if key.public_key() == public { Ok(Key::Secret(key)) } else { bail!(MISMATCH) }
        }
    }
}

/// As Modei's SDK reads it: ids and the public key are derived again, and must agree.
fn parse_modei(object: &Object<'_>) -> Result<Key> {
    let member = |name: &str| {
        let text = object.get(name).and_then(Value::as_str);
        text.ok_or_else(|| anyhow!("the credential file has no text `{name}`"))
    };
    match object.get("version").and_then(Value::as_integer) {
        Some(1) => {}
        Some(version) => bail!("the credential file is of version {version}, and 1 is supported"),
        None => bail!("it is neither a JWK (no `kty`) nor Modei's credential file (no `version`)"),
    }
    member("created_at")?;
    let seed = base64::decode_array::<32>(member("private_key_base64")?)
        .ok_or_else(|| anyhow!("`private_key_base64` is not the base64 of 32 bytes"))?;
    let key = SecretKey::from_seed(seed);
    let public_key = key.public_key();
    if member("public_key_base64")? != base64::encode(&public_key) {
        bail!(MISMATCH);
    }
    if member("agent_id")? != self_agent_id(&public_key) {
        bail!("`agent_id` does not belong to the key: the file is damaged or was edited");
    }
    Ok(Key::Secret(key))
}

const MISMATCH: &str =
    "the public key in it does not belong to the private key: the file is damaged or was edited";

/// Refuses bytes that are no key.
pub(crate) fn checked(bytes: [u8; 32]) -> Result<[u8; 32]> {
    match PublicKey::from_bytes(&bytes) {
        Some(_) => Ok(bytes),
        None => bail!("the 32 bytes are no Ed25519 key that could verify anything"),
    }
}
