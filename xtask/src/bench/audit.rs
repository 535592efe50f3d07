//! How many records the command line audits in a second.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::report::{Report, Row};
use super::statistics::Spread;
use crate::workspace::Workspace;
use crate::{progress, test};
use xtask::made_log;

/// Makes a log, audits it a few times, and reports the median.
pub(crate) fn measure(workspace: &Workspace, report: &mut Report) -> Result<()> {
    let program = test::release_program(workspace, "portcullis", "build the CLI, optimised")?;
    let folder = workspace.target_folder("bench/audit")?;
    let (export, keys) = progress::step("make a log of 100,000 records", |_| {
        made_log::write(&folder, RECORDS, made_log::decision)
    })?;
    let rates: Vec<_> = (0..ROUNDS).map(|_| rate(&program, &export, &keys)).collect::<Result<_>>()?;
    let rate = Spread::of(rates).median;
    let bytes = std::fs::metadata(&export)?.len().div_euclid(RECORDS);
    println!("\nan audit: {rate:.0} records/s, of {bytes} bytes each");
    report.add(Row::new("audit.records", rate, "records/s").at_least(20_000.0));
    Ok(())
}

/// A log that takes some seconds.
const RECORDS: u64 = 100_000;
const ROUNDS: usize = 5;

/// Seconds include starting the program and reading the file: that is what a person waits for.
fn rate(program: &Path, export: &Path, keys: &Path) -> Result<f64> {
    let began = Instant::now();
    let output = Command::new(program)
        .args(["audit", "verify", "--json", "--keys"])
        .arg(keys)
        .arg(export)
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let seconds = began.elapsed().as_secs_f64();
    let found: Value = serde_json::from_slice(&output.stdout).context("the audit answers in JSON")?;
    ensure!(found.get("records") == Some(&json!(RECORDS)), "the audit says {found}");
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    Ok(RECORDS as f64 / seconds)
}
