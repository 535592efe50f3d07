//! `portcullis audit checkpoint`.

use super::export::Export;
use crate::files::{self, Existing, Readers, is_standard};
use crate::output::{Answer, Verdict};
use anyhow::{Context, Result};
use portcullis_core::attestation::export::ExportTrailer;
use serde::Serialize;
use std::path::PathBuf;

/// Write down an export's checkpoint, for --checkpoint of a later audit
///
/// It is not verified here: keep it once `audit verify` has found the export whole.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The export; `-` is standard input
    #[arg(value_name = "FILE|-")]
    export: PathBuf,
    /// Where to write it; `-` is standard output
    #[arg(long, value_name = "FILE|-", default_value = "-")]
    out: PathBuf,
}

#[derive(Serialize)]
struct Written {
    checkpoint: String,
}

/// Writes the checkpoint of an export.
pub(super) fn run(args: &Args) -> Result<Answer> {
    let mut export = Export::open(&args.export)?;
    let (mut line, mut last) = (Vec::new(), None);
    while let Some(text) = export.next_text(&mut line)? {
        last = Some(text);
    }
    let trailer = last.as_deref().map(|text| ExportTrailer::read(text.as_bytes()));
    let trailer = trailer.and_then(Result::ok).context("the export has no trailer: it is cut off")?;
    let note = trailer.checkpoint;
    let text = if is_standard(&args.out) {
        note.clone()
    } else {
        files::write(&args.out, &note, Readers::Umask, Existing::Keep)?;
        format!("written to {}", args.out.display())
    };
    Answer::new(Verdict::Done, text, &Written { checkpoint: note })
}
