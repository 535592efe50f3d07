//! The core's own benchmarks (criterion), natively.

use anyhow::{Context, Result};
use serde_json::Value;

use super::report::{Report, Row};
use crate::workspace::Workspace;

/// Runs the benchmarks in `core/benches` and takes criterion's medians.
pub(crate) fn measure(workspace: &Workspace, report: &mut Report) -> Result<()> {
    if !workspace.root.join("core/benches").is_dir() {
        eprintln!("SKIPPED the core's own benchmarks: there is no core/benches");
        return Ok(());
    }
    let results = workspace.target.join("criterion");
    // What earlier runs left must not pass for this one's.
    if results.exists() {
        std::fs::remove_dir_all(&results)?;
    }
    let status = workspace
        .cargo()
        .args(["bench", "--package=portcullis-core"])
        .status()
        .context("cannot run cargo bench")?;
    anyhow::ensure!(status.success(), "`cargo bench --package=portcullis-core` failed");
    let mut found = Vec::new();
    collect(&results, &mut found, MAX_DEPTH)?;
    found.sort_by(|(left, _), (right, _)| left.cmp(right));
    anyhow::ensure!(!found.is_empty(), "criterion left no results");
    for (name, nanoseconds) in found {
        report.add(Row::new(format!("core.{name}"), nanoseconds / 1e3, "us"));
    }
    Ok(())
}

/// Finds `…/<group>/<name>/new/{benchmark,estimates}.json`.
fn collect(folder: &std::path::Path, found: &mut Vec<(String, f64)>, depth: u32) -> Result<()> {
    let Some(deeper) = depth.checked_sub(1) else {
        return Ok(());
    };
    let estimates = folder.join("new/estimates.json");
    if estimates.is_file() {
        let name = read(&folder.join("new/benchmark.json"))?;
        let name = name.pointer("/full_id").and_then(Value::as_str);
        let median = read(&estimates)?;
        let median = median.pointer("/median/point_estimate").and_then(Value::as_f64);
        if let (Some(name), Some(median)) = (name, median) {
            found.push((name.replace('/', "."), median));
        }
    }
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, found, deeper)?;
        }
    }
    Ok(())
}

fn read(file: &std::path::Path) -> Result<Value> {
    let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

/// criterion nests group, name, parameter; one more for the root.
const MAX_DEPTH: u32 = 4;
