//! `portcullis trust list`.

use super::Store;
use super::folder::Folder;
use crate::output::{Answer, Lines, Verdict, shown};
use anyhow::Result;
use portcullis_core::base64;
use serde::Serialize;

/// List the keys that a trust store trusts
///
/// Exits with 1 if the store holds a file that should be a key and cannot be used.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    #[command(flatten)]
    store: Store,
}

#[derive(Serialize)]
struct Report {
    keys: Vec<Key>,
    unusable: Vec<Unusable>,
}

#[derive(Serialize)]
struct Key {
    kid: String,
    public_key: String,
    file: String,
}

#[derive(Serialize)]
struct Unusable {
    file: String,
    problem: String,
}

/// Lists keys.
pub(super) fn run(args: &Args) -> Result<Answer> {
    let folder = Folder::read(&args.store.path)?;
    let keys = folder.keys.iter().map(|trusted| Key {
        kid: trusted.kid().to_owned(),
        public_key: base64::encode(&trusted.key),
        file: trusted.file.display().to_string(),
    });
    let unusable = folder
        .faults
        .iter()
        .map(|fault| Unusable { file: fault.file.display().to_string(), problem: fault.problem.clone() });
    let report = Report { keys: keys.collect(), unusable: unusable.collect() };
    let count = report.keys.len();
    let mut lines =
        Lines::headed(format!("{count} trusted {} in {}", plural(count), args.store.trusted().display()));
    for key in &report.keys {
        lines.add(&key.public_key, shown(&key.kid));
    }
    for fault in &folder.faults {
        lines.add("UNUSABLE", shown(&fault.to_text()));
    }
    let verdict = if report.unusable.is_empty() { Verdict::Done } else { Verdict::Refused };
    Ok(Answer::new(verdict, lines.into_text(), &report)?.noting(folder.warnings))
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "key" } else { "keys" }
}
