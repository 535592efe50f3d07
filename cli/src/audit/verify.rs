//! `portcullis audit verify`.

use super::export::Export;
use super::keys;
use super::workers::{Found, judge};
use crate::files;
use crate::output::{Answer, Lines, Verdict, shown};
use anyhow::{Context, Result, anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};
use portcullis_core::attestation::{self, Audit};
use portcullis_core::base64;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// Verify an export of a gate's records: signatures, chains, and the whole log
///
/// Believes only the keys in --keys and the checkpoint in --checkpoint, so have both from
/// elsewhere than the export. Without --checkpoint, a log that gate and service have
/// rewritten together from its beginning is not noticed.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The export, JSON Lines or JSON; `-` is standard input
    #[arg(value_name = "FILE|-")]
    export: PathBuf,
    /// The gate's attestation keys and the service's keys, as the service serves them
    #[arg(long, value_name = "FILE")]
    keys: PathBuf,
    /// A checkpoint kept from an earlier audit: the log must be that one, grown
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
}

/// Judges an export.
pub(super) fn run(args: &Args) -> Result<Answer> {
    let keys = keys::read(&args.keys)?;
    let mut export = Export::open(&args.export)?;
    let header = export.header.clone();
    let older = args.checkpoint.as_deref().map(|path| {
        let note = read_note(path)?;
        keys.checkpoint(&header.gate, &note)
            .map_err(|error| anyhow!("{} cannot be compared with: {error}", path.display()))
    });
    let older = older.transpose()?;
    if older.is_some() && !header.complete {
        bail!("an export that leaves records out cannot be compared with a checkpoint: export the whole log");
    }
    let mut audit = Audit::new(header.clone(), older.clone());
    let progress = progress(export.size);
    let found = judge(&mut export, &keys, &mut audit, &progress);
    progress.finish_and_clear();
    let found = match found? {
        Some(found) => Err(found),
        None => audit.finish().map_err(|broken| Found { broken, line: 0 }),
    };
    match found {
        Err(found) => refused(&header.gate, &found),
        Ok(verdict) => {
            if older.is_some() && verdict.extends_older.is_none() {
                bail!(
                    "the checkpoint counts fewer records than retention has removed, so that it cannot be \
                     compared with: keep one of each audit"
                );
            }
            let whole = Whole::new(&header.gate, header.complete, &verdict)?;
            Answer::new(Verdict::Done, whole.to_text(), &whole)
        }
    }
}

pub(super) fn read_note(path: &Path) -> Result<String> {
    // A note with sixteen signatures of the largest kind.
    const MAX_BYTES: usize = 128 * 1024;
    String::from_utf8(files::read(path, MAX_BYTES)?.bytes)
        .with_context(|| format!("{} is no checkpoint", path.display()))
}

/// An export that is whole.
#[derive(Serialize)]
struct Whole {
    valid: bool,
    gate: String,
    complete: bool,
    records: u64,
    pruned: u64,
    lanes: u64,
    decisions: BTreeMap<&'static str, u64>,
    /// Decisions that were not recorded, by the gate's own word.
    dropped: u64,
    first_at: Option<String>,
    last_at: Option<String>,
    checkpoint: Checkpoint,
    extends_older: Option<bool>,
}

#[derive(Serialize)]
struct Checkpoint {
    origin: String,
    size: u64,
    root: String,
    time: String,
}

impl Whole {
    fn new(gate: &str, complete: bool, verdict: &attestation::Verdict) -> Result<Self> {
        let checkpoint = verdict.checkpoint.as_ref().context("an audit ends with a checkpoint")?;
        Ok(Whole {
            valid: true,
            gate: gate.to_owned(),
            complete,
            records: verdict.records,
            pruned: verdict.pruned,
            lanes: verdict.lanes,
            decisions: verdict.decisions.clone(),
            dropped: verdict.dropped,
            first_at: verdict.period.map(|(first, _)| first.to_iso()),
            last_at: verdict.period.map(|(_, last)| last.to_iso()),
            checkpoint: Checkpoint {
                origin: checkpoint.origin.clone(),
                size: checkpoint.size,
                root: base64::encode(&checkpoint.root),
                time: checkpoint.time.to_iso(),
            },
            extends_older: verdict.extends_older,
        })
    }

    fn to_text(&self) -> String {
        let whole =
            if self.complete { "the whole log" } else { "PART of the log: what is left out is unknown" };
        let mut lines = Lines::headed(format!("VALID        {} records, {whole}", self.records));
        lines.add("gate", shown(&self.gate));
        if let (Some(first), Some(last)) = (&self.first_at, &self.last_at) {
            lines.add("decided", format!("{first} to {last}"));
        }
        let counted = |(name, count): (&&str, &u64)| format!("{count} {name}");
        lines.add("decisions", self.decisions.iter().map(counted).collect::<Vec<_>>().join(", "));
        if self.dropped > 0 {
            lines.add("unrecorded", format!("{} decisions, by the gate's own word", self.dropped));
        }
        if self.pruned > 0 {
            lines.add(
                "removed",
                format!("{} records by retention: their hashes stand in the tree", self.pruned),
            );
        }
        lines.add("lanes", self.lanes.to_string());
        lines.add(
            "checkpoint",
            format!(
                "{} records at {}, root {}",
                self.checkpoint.size, self.checkpoint.time, self.checkpoint.root
            ),
        );
        lines.add(
            "older one",
            match self.extends_older {
                Some(_) => "this log is that one, grown",
                None if self.complete => {
                    "not given: keep this one (`portcullis audit checkpoint`) for the next audit"
                }
                None => "not compared",
            },
        );
        lines.into_text()
    }
}

/// An export in which something is wrong.
#[derive(Serialize)]
struct Wrong {
    valid: bool,
    gate: String,
    reason_code: &'static str,
    detail: String,
    /// The line of the file, from 1; null where it is the end that is wrong.
    line: Option<u64>,
    /// The record's index in the log, from 0.
    index: u64,
    record: Option<Record>,
}

#[derive(Serialize)]
struct Record {
    attestation_id: String,
    lane: String,
    sequence_number: u64,
}

fn refused(gate: &str, Found { broken, line }: &Found) -> Result<Answer> {
    let wrong = Wrong {
        valid: false,
        gate: gate.to_owned(),
        reason_code: broken.error.code(),
        detail: broken.error.to_string(),
        line: (*line > 0).then_some(*line),
        index: broken.index,
        record: broken.record.as_ref().map(|record| Record {
            attestation_id: record.id.clone(),
            lane: base64::encode_url(&record.lane),
            sequence_number: record.number,
        }),
    };
    let mut lines = Lines::headed(format!("BROKEN       {}", wrong.reason_code));
    lines.add("found", &wrong.detail);
    lines.add("gate", shown(gate));
    let at = wrong.line.map_or_else(|| "the end of the file".to_owned(), |line| format!("line {line}"));
    lines.add("where", format!("{at}, record {} of the log (from 0)", wrong.index));
    if let Some(record) = &wrong.record {
        lines.add("record", &record.attestation_id);
        lines.add("lane", format!("{}, number {}", record.lane, record.sequence_number));
    }
    lines.add("before it", "all was as it should be; what comes after it was not judged");
    Answer::new(Verdict::Refused, lines.into_text(), &wrong)
}

/// For a person at a terminal; nothing for anybody else.
fn progress(size: Option<u64>) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = size.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    let template = match size {
        Some(_) => "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left",
        None => "{spinner} {bytes} {bytes_per_sec}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
