//! `portcullis keygen`.

use crate::draft;
use crate::files::{self, Existing};
use crate::keyfile::{self, Format};
use crate::output::{Answer, Lines, Verdict};
use anyhow::{Result, anyhow};
use portcullis_core::capiscio::did_of_key;
use portcullis_core::modei::{self_agent_id, self_issuer_id};
use portcullis_core::{SecretKey, base64};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Make an agent's or an issuer's Ed25519 key
///
/// The file is readable by its owner alone, and is refused later if others may read it.
/// What is printed is public: hand the public key to whoever is to verify.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Where the private key goes; `-` prints it [default: agent.json, agent.pem or agent.jwk]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How it is written
    #[arg(long, value_enum, default_value = "modei")]
    format: Format,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
}

/// Makes a key from the system's randomness.
pub(crate) fn run(args: &Args) -> Result<Answer> {
    let key = fresh()?;
    let public_key = key.public_key();
    let text = keyfile::secret_text(&key, args.format, draft::now()?)?;

    let default = match args.format {
        Format::Modei => "agent.json",
        Format::Pem => "agent.pem",
        Format::Jwk => "agent.jwk",
    };
    let path = args.out.as_deref().unwrap_or(Path::new(default));
    let is_printed = files::is_standard(path);
    if !is_printed {
        let existing = if args.force { Existing::Replace } else { Existing::Keep };
        keyfile::save_secret(path, &text, existing)?;
    }
    let made = Made {
        agent_id: self_agent_id(&public_key),
        did: did_of_key(&public_key),
        issuer_id: self_issuer_id(&public_key),
        public_key: base64::encode(&public_key),
        public_key_pem: keyfile::public_pem(&public_key)?,
        public_key_jwk: keyfile::public_jwk(&public_key),
        file: (!is_printed).then(|| path.display().to_string()),
        private_key: is_printed.then(|| text.clone()),
    };
    let human = if is_printed { text } else { made.to_text(path, args.format) };
    Answer::new(Verdict::Done, human, &made)
}

/// A key from the system's randomness.
pub(crate) fn fresh() -> Result<SecretKey> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| anyhow!("the system gives no randomness: {error}"))?;
    Ok(SecretKey::from_seed(seed))
}

#[derive(Serialize)]
struct Made {
    agent_id: String,
    /// The key as a `did:key`, which self-signed badges are about.
    did: String,
    issuer_id: String,
    public_key: String,
    public_key_pem: String,
    public_key_jwk: serde_json::Value,
    file: Option<String>,
    /// The key's file, where it was asked for on standard output.
    private_key: Option<String>,
}

impl Made {
    fn to_text(&self, path: &Path, format: Format) -> String {
        let mut lines = Lines::headed(format!("Private key in {}: keep it to yourself", path.display()));
        lines.add("agent", &self.agent_id);
        lines.add("did", &self.did);
        lines.add("public key", &self.public_key);
        match format {
            Format::Modei => lines.into_text(),
            Format::Pem => lines.into_text() + &self.public_key_pem,
            Format::Jwk => lines.into_text() + &self.public_key_jwk.to_string(),
        }
    }
}
