//! `portcullis gate rotate`.

use super::service::{self, Reach};
use crate::files::Existing;
use crate::keygen;
use crate::output::{Answer, Lines, Verdict};
use anyhow::{Result, bail};
use portcullis_core::base64;
use serde_json::json;
use std::path::PathBuf;

/// Renew the key with which a gate calls its control service
///
/// The new key is signed in by the present one, which goes on for a day: time to change
/// the environment of every instance of the gate.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    reach: Reach,
    /// The gate's id
    #[arg(long, value_name = "ID")]
    gate: String,
    /// The file with the present key
    #[arg(long, value_name = "FILE", default_value = "gate.env")]
    env: PathBuf,
    /// The file for the new key
    #[arg(long, value_name = "FILE", default_value = "gate.next.env")]
    out: PathBuf,
}

/// Makes a key and brings it.
pub(super) fn run(args: &Args) -> Result<Answer> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    if args.gate.is_empty() || !args.gate.bytes().all(is_plain) {
        bail!("--gate must be the gate's id, of letters, digits and - _ . ~");
    }
    let present = service::read_key(&args.env)?;
    let next = keygen::fresh()?;
    service::save_key(&args.out, &next, Existing::Keep)?;
    let body = json!({
        "public_key": base64::encode(&next.public_key()),
        "attestation_key": base64::encode(&next.attestation_key().public_key()),
    });
    let path = format!("/gate/v1/gates/{}/keys", args.gate);
    let answer = args.reach.post(&path, &body, &present).inspect_err(|_| {
        // What was not brought is of no use to anybody.
        let _ = std::fs::remove_file(&args.out);
    })?;
    let mut lines = Lines::headed(format!("The gate {} has a new key", args.gate));
    lines.add(
        "key",
        format!("{}: keep it to yourself; it goes into the proxy's environment", args.out.display()),
    );
    lines.add("the former until", service::text(&answer, "former_until")?);
    Answer::new(Verdict::Done, lines.into_text(), &answer)
}
