//! `portcullis gate enrol`.

use super::service::{self, Reach};
use crate::files::{self, Existing, Readers};
use crate::keygen;
use crate::output::{Answer, Lines, Verdict};
use anyhow::{Context, Result, bail};
use portcullis_core::base64;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Enrol a gate: makes its key, brings the public half to the control service
///
/// The key goes into a file for the gate's environment, readable by its owner alone. The
/// gate's configuration, with the keys of the service that it is to believe, goes into
/// another, for the proxy: compare those keys with what the service's operator tells you.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    reach: Reach,
    /// The one-time token; `-` reads it from standard input
    #[arg(long, value_name = "TOKEN")]
    token: String,
    /// The file for the gate's environment
    #[arg(long, value_name = "FILE", default_value = "gate.env")]
    env: PathBuf,
    /// The file for the gate's configuration; `-` prints it
    #[arg(long, value_name = "FILE", default_value = "gate.json")]
    config: PathBuf,
    /// The proxy's name for the service's upstream
    #[arg(long, value_name = "NAME", default_value = "portcullis_control")]
    cluster: String,
    /// Replace the files if they exist
    #[arg(long)]
    force: bool,
}

/// Makes a key and brings it.
pub(super) fn run(args: &Args) -> Result<Answer> {
    let existing = if args.force { Existing::Replace } else { Existing::Keep };
    if !args.force && args.env.exists() {
        // Before the token is spent.
        bail!("{} exists; --force replaces it", args.env.display());
    }
    let token = if args.token == "-" {
        let bytes = files::read_or_stdin(std::path::Path::new("-"), 1024)?;
        String::from_utf8(bytes).context("the token is not text")?.trim().to_owned()
    } else {
        args.token.clone()
    };
    let key = keygen::fresh()?;
    // Before it is enrolled: a key that cannot be kept must not be.
    service::save_key(&args.env, &key, existing)?;
    let body = json!({
        "token": token,
        "public_key": base64::encode(&key.public_key()),
        "attestation_key": base64::encode(&key.attestation_key().public_key()),
    });
    let answer = args.reach.post("/gate/v1/enrol", &body, &key).inspect_err(|_| {
        // What was not enrolled is of no use to anybody.
        let _ = std::fs::remove_file(&args.env);
    })?;
    let gate = service::text(&answer, "gate_id")?;
    let keys = answer.get("service_keys").filter(|keys| keys.is_array()).context("the answer has no keys")?;
    let config = json!({
        "gate": {"id": gate},
        "service": {"cluster": args.cluster, "authority": args.reach.authority()?, "keys": keys},
    });
    let config_text = serde_json::to_string_pretty(&config)? + "\n";
    let is_printed = files::is_standard(&args.config);
    if !is_printed {
        files::write(&args.config, &config_text, Readers::Umask, existing)?;
    }
    let mut lines = Lines::headed(format!("The gate {gate} is enrolled"));
    lines.add(
        "key",
        format!("{}: keep it to yourself; it goes into the proxy's environment", args.env.display()),
    );
    if !is_printed {
        lines.add("configuration", args.config.display().to_string());
    }
    for key in keys.as_array().into_iter().flatten() {
        lines.add("believes", key.get("key_id").and_then(Value::as_str).unwrap_or_default());
    }
    let human = if is_printed { config_text } else { lines.into_text() };
    let told = json!({"gate_id": gate, "key_id": service::text(&answer, "key_id")?, "env": args.env.display().to_string(), "config": config});
    Answer::new(Verdict::Done, human, &told)
}
