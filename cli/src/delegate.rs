//! `portcullis delegate`.

use crate::credential::{self, Source};
use crate::draft::{self, DraftArgs, FormArgs};
use crate::keyfile;
use crate::output::Answer;
use anyhow::{Context, Result, anyhow, bail};
use portcullis_core::json::Value;
use portcullis_core::modei::{self, SelfContained, Signed};
use portcullis_core::{Denial, Kind, Reason, UnixTime};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Delegate a passport to another agent
///
/// The child may have no more than the parent, and no longer. A constraint that it
/// leaves out still holds, as the parent has it.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The passport to delegate from, as JSON or as its header; `-` is standard input
    #[arg(long, value_name = "FILE")]
    parent: PathBuf,
    /// The private key of the agent that holds it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The public key of the agent that gets it: base64, or a key file
    #[arg(long, value_name = "BASE64|FILE")]
    to: String,
    #[command(flatten)]
    draft: DraftArgs,
    /// How long it is valid: 30d, 24h, 10m [default: as long as the parent]
    #[arg(long, value_name = "LIFETIME", value_parser = draft::lifetime)]
    expires_in: Option<Duration>,
    #[command(flatten)]
    form: FormArgs,
}

/// Delegates a passport, and verifies it as far as that goes without an issuer's key.
pub(crate) fn run(args: &Args) -> Result<Answer> {
    let source = Source::read(&args.parent)?;
    let credential = source.credential()?;
    if credential.kind() == Kind::PassportJwt {
        bail!(
            "{} is a JWT, whose signature cannot stand in a delegation chain; delegate from the passport's JSON",
            args.parent.display()
        );
    }
    let key = keyfile::load_secret(&args.key)?;
    let agent_key = keyfile::public_from_argument(&args.to, Path::new("")).context("--to")?;
    let parent = match Signed::from_json(&credential::text(&credential)?) {
        Ok(parent) => parent,
        Err(denial) => return draft::refusal(&denial),
    };

    let mut notes = args.draft.notes();
    let issued_at = args.draft.issued_at()?;
    let limit = expiry(&parent)?;
    if limit <= issued_at {
        let detail = format!("the parent was valid until {limit}, and now is {issued_at}");
        return draft::refusal(&Denial::new(Reason::PassportExpired, detail));
    }
    let asked = args.expires_in.map_or(limit, |lifetime| draft::end(issued_at, lifetime));
    if asked > limit {
        notes.push(format!(
            "the lifetime is cut: the passport expires at {limit}, as its parent does, and not at {asked}"
        ));
    }
    let draft = args.draft.draft("pp_delegate_", issued_at, asked.min(limit))?;
    let signed = match modei::delegate(&parent, &key, &agent_key, &draft) {
        Ok(signed) => signed,
        Err(denial) => return draft::refusal(&denial),
    };
    match modei::verify(&modei::from_json(signed.to_json().into_bytes()), &SelfContained) {
        Ok(_) => {}
        // The chain's root is an issuer's, whose key is not at hand.
        Err(denial) if denial.reason == Reason::SignatureKeyUnavailable => {}
        Err(denial) => return draft::refusal(&denial),
    }
    Ok(args.form.answer(&signed, &key, &draft)?.noting(notes))
}

/// When a passport expires, by its own word.
fn expiry(passport: &Signed) -> Result<UnixTime> {
    ["provenance", "expires_at"]
        .iter()
        .try_fold(passport.envelope(), |value, name| value.as_object()?.get(name))
        .and_then(Value::as_str)
        .and_then(UnixTime::from_iso)
        .ok_or_else(|| {
            anyhow!("the parent has no provenance.expires_at of the form YYYY-MM-DDTHH:MM:SS.mmmZ")
        })
}
