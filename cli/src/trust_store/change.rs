//! `portcullis trust add` and `portcullis trust remove`.

use super::Store;
use super::card::{Card, LIMITS};
use super::folder::{self, Folder};
use super::kid::Kid;
use crate::files::{self, Existing};
use crate::keyfile;
use crate::output::{Answer, Lines, Verdict, shown};
use anyhow::{Context, Result, anyhow, bail};
use portcullis_core::{base64, json, json::Value};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Trust an agent's public key
///
/// From an agent card all its public keys are taken, or the one of --kid; a JWK brings
/// its own kid; PEM and base64 have none, so that --kid must say it. It is the kid that
/// the agent writes into its signatures.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Add {
    #[command(flatten)]
    store: Store,
    /// The key: PEM (SPKI), JWK, base64 of 32 bytes, or an agent-card.json; `-` is
    /// standard input
    #[arg(value_name = "KEYFILE")]
    key: PathBuf,
    /// The id of the key in the agent's signatures
    #[arg(long)]
    kid: Option<String>,
    /// Put the key in the place of another of this kid
    #[arg(long)]
    force: bool,
}

/// Trusts keys.
pub(super) fn add(args: &Add) -> Result<Answer> {
    let wanted = args.kid.as_deref().map(Kid::new).transpose()?;
    let bytes = files::read_or_stdin(&args.key, LIMITS.bytes)?;
    let offered = offered(&bytes, wanted).with_context(|| args.key.display().to_string())?;
    let folder = args.store.trusted();
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let present = Folder::read(&args.store.path)?;
    // All are looked at before the first is written.
    let mut added = Vec::new();
    for (kid, key) in offered {
        if let Some(other) = present.keys.iter().find(|other| other.kid.collides_with(&kid)) {
            bail!(
                "{} and {}, which is trusted, differ in case only, and not every file system tells them apart",
                kid.as_str(),
                other.kid()
            );
        }
        let known = present.get(&kid).map(|trusted| trusted.key);
        let file = kid.file(&folder);
        if known != Some(key) && std::fs::symlink_metadata(&file).is_ok() && !args.force {
            bail!("{} is there, with another key; replace it with --force", file.display());
        }
        added.push((known != Some(key), kid, key));
    }
    let existing = if args.force { Existing::Replace } else { Existing::Keep };
    let mut keys = Vec::new();
    for (is_new, kid, key) in added {
        let file = kid.file(&folder);
        if is_new {
            folder::write(&folder, &kid, &key, existing)?;
        }
        keys.push(Added {
            kid: kid.as_str().to_owned(),
            public_key: base64::encode(&key),
            file: file.display().to_string(),
            is_new,
        });
    }
    let mut text = String::new();
    for key in &keys {
        let what = if key.is_new { "Trusted" } else { "Trusted already:" };
        let mut lines = Lines::headed(format!("{what} {}", shown(&key.kid)));
        lines.add("public key", &key.public_key);
        lines.add("file", &key.file);
        text.push_str(&lines.into_text());
    }
    Answer::new(Verdict::Done, text, &serde_json::json!({ "keys": keys }))
}

#[derive(Serialize)]
struct Added {
    kid: String,
    public_key: String,
    file: String,
    /// Whether it was not trusted before.
    is_new: bool,
}

/// The keys that a file offers, by their ids.
fn offered(bytes: &[u8], wanted: Option<Kid>) -> Result<Vec<(Kid, [u8; 32])>> {
    let Some(content) = json_object(bytes) else {
        let key = keyfile::public_of(bytes)?;
        let kid = wanted.ok_or_else(|| {
            anyhow!(
                "the key says nothing of its kid: add --kid, the one in the agent's signatures (most agents' files are called `private` or `public`, so the file's name is no kid)"
            )
        })?;
        return Ok(vec![(kid, key)]);
    };
    if content.get("kty").is_some() {
        let key = keyfile::public_of(bytes)?;
        let own = content.get("kid").and_then(serde_json::Value::as_str).map(Kid::new);
        let kid = wanted.map(Ok).or(own).context("the JWK has no kid: add --kid")??;
        return Ok(vec![(kid, key)]);
    }
    if content.get("private_key_base64").is_some() {
        bail!("it is a private credential file; hand out and trust public keys only");
    }
    let card = Card::parse(bytes)?;
    let keys = card.keys().iter();
    match wanted {
        None => Ok(keys.cloned().collect()),
        Some(kid) => {
            let found = keys.filter(|(own, _)| *own == kid).cloned().collect::<Vec<_>>();
            if found.is_empty() {
                bail!("the card has no key of kid {}", kid.as_str());
            }
            Ok(found)
        }
    }
}

/// The members of a JSON object; which kind of file it is, and no more, is told by them.
fn json_object(bytes: &[u8]) -> Option<serde_json::Value> {
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    // What is not strict JSON is told by whoever reads it in earnest.
    let strict = json::parse(bytes, LIMITS).ok();
    let is_object = strict.as_ref().and_then(Value::as_object).is_some();
    let value = serde_json::from_slice(bytes).ok().filter(|_| is_object);
    Some(value.unwrap_or(serde_json::Value::Null))
}

/// Trust an agent's key no longer
///
/// A gate refuses its signatures from its next bundle on; `cargo xtask up --trust` and
/// whoever else watches the folder sees to that at once.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Remove {
    #[command(flatten)]
    store: Store,
    /// The key's id
    kid: String,
}

/// Trusts a key no longer. A file that holds no usable key goes too.
pub(super) fn remove(args: &Remove) -> Result<Answer> {
    let kid = Kid::new(&args.kid)?;
    let folder = args.store.trusted();
    let file = kid.file(&folder);
    let is_there = is_listed(&folder, &file)?;
    if is_there {
        std::fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    let json =
        serde_json::json!({ "kid": kid.as_str(), "removed": is_there, "file": file.display().to_string() });
    if is_there {
        let mut lines = Lines::headed(format!("No longer trusted: {}", kid.as_str()));
        lines.add("removed", file.display().to_string());
        return Answer::new(Verdict::Done, lines.into_text(), &json);
    }
    let text = format!("Not trusted anyway: {} is not in {}\n", kid.as_str(), folder.display());
    Answer::new(Verdict::Refused, text, &json)
}

/// Whether a folder has a file of exactly this name: where case is not told apart, a path
/// would lead to another's key.
fn is_listed(folder: &Path, file: &Path) -> Result<bool> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        if entry?.path() == file {
            return Ok(true);
        }
    }
    Ok(false)
}
