//! Private keys at rest: sealed under a master key that the database never holds.

use anyhow::{Context, Result, anyhow, bail};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use portcullis_core::base64;
use std::fmt;
use std::path::Path;

/// Seals and opens with the master key: XChaCha20-Poly1305, a random nonce each time.
#[derive(Clone)]
pub struct Vault {
    cipher: XChaCha20Poly1305,
}

const NONCE_BYTES: usize = 24;

impl Vault {
    /// A vault under a master key: standard base64 of 32 random bytes.
    ///
    /// # Errors
    /// The text is something else.
    pub fn new(master_key: &str) -> Result<Self> {
        let key = base64::decode_array::<32>(master_key.trim())
            .ok_or_else(|| anyhow!("the master key must be standard base64 of 32 bytes"))?;
        Ok(Vault { cipher: XChaCha20Poly1305::new(&Key::from(key)) })
    }

    /// The vault of the master key in a file that nobody else may read.
    ///
    /// # Errors
    /// There is none, others may read it, or it holds something else.
    pub fn from_file(path: &Path) -> Result<Self> {
        check_permissions(path)?;
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::new(&text).with_context(|| path.display().to_string())
    }

    /// Writes a new master key into a file that does not exist yet, for its owner only.
    ///
    /// # Errors
    /// The file exists or cannot be written, or the machine has no randomness.
    pub fn create_file(path: &Path) -> Result<Self> {
        use std::io::Write;
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| anyhow!("no randomness: {error}"))?;
        let text = base64::encode(&key);
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).with_context(|| format!("cannot make {}", path.display()))?;
        writeln!(file, "{text}").and_then(|()| file.sync_all())?;
        Self::new(&text)
    }

    /// Seals a secret. `about` says what it is, and must be said again to open it, so that
    /// no sealed secret can be put in another's place.
    ///
    /// # Errors
    /// The machine has no randomness.
    pub fn seal(&self, about: &str, secret: &[u8]) -> Result<String> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|error| anyhow!("no randomness: {error}"))?;
        let payload = Payload { msg: secret, aad: about.as_bytes() };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| anyhow!("a secret cannot be sealed"))?;
        Ok(base64::encode(&[nonce.as_slice(), &sealed].concat()))
    }

    /// Opens what was sealed.
    ///
    /// # Errors
    /// It was sealed under another master key, about something else, or changed since.
    pub fn open(&self, about: &str, sealed: &str) -> Result<Vec<u8>> {
        let sealed = base64::decode(sealed).ok_or_else(|| anyhow!("a sealed secret is not base64"))?;
        let Some((nonce, sealed)) = sealed.split_first_chunk::<NONCE_BYTES>() else {
            bail!("a sealed secret is too short");
        };
        let payload = Payload { msg: sealed, aad: about.as_bytes() };
        self.cipher
            .decrypt(&XNonce::from(*nonce), payload)
            .map_err(|_| anyhow!("the master key does not open the key of {about}: is it this database's?"))
    }
}

/// Nothing of the key is shown.
impl fmt::Debug for Vault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Vault")
    }
}

#[cfg(unix)]
fn check_permissions(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path)
        .with_context(|| format!("cannot read {}", path.display()))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        bail!("{0} can be read by others: chmod 600 {0}", path.display());
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_permissions(_: &Path) -> Result<()> {
    Ok(())
}
