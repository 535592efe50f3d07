//! The core's own benchmarks (criterion), natively and in V8, the engine of Envoy.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::report::{Report, Row};
use crate::node;
use crate::tools;
use crate::workspace::Workspace;

/// Runs the benchmarks in `core/benches` on both, prints criterion's medians side by
/// side and reports them.
pub(crate) fn measure(workspace: &Workspace, report: &mut Report) -> Result<()> {
    let native = medians(workspace, "native", workspace.cargo().args(BENCH))?;
    tools::wasm_target(workspace, "wasm32-wasip1")?;
    let runner = runner(workspace, node::node(workspace)?.program());
    // Built as the plugin is: its profile.
    let wasm = ["--target=wasm32-wasip1", "--profile=wasm", "--config", &runner];
    let v8 = medians(workspace, "v8", workspace.cargo().args(BENCH).args(wasm))?;

    println!("\n{:<44}{:>12}{:>12}  µs", "the core's own functions", "native", "in V8");
    for (name, native) in &native {
        let in_v8 = v8.get(name).map_or("-".to_owned(), |median| format!("{median:.2}"));
        println!("{name:<44}{native:>12.2}{in_v8:>12}");
    }
    let median = |name: &str| native.get(name).copied().with_context(|| format!("no benchmark {name}"));
    let loaded = median("trust_store_of_10000_loaded")?;
    report.add(Row::new("core.trust_store_of_10000_loaded".to_owned(), loaded / 1e6, "s").at_most(1.0));
    let growth = median("trust_store_of_10000_looked_up")? / median("trust_store_of_10_looked_up")?;
    // A tree of a thousand times as many keys is ten steps deeper, of a token's hundreds.
    report.add(Row::new("core.trust_store_look_up_growth".to_owned(), growth, "ratio").at_most(1.2));
    // In the engine that gates run in.
    let looked_up = v8.get("revocation_looked_up_among_1000000").copied();
    let looked_up = looked_up.context("no look-up among a million in V8")?;
    report.add(Row::new("core.revocation_looked_up".to_owned(), looked_up, "us").at_most(1.0));
    for (engine, medians) in [("native", native), ("v8", v8)] {
        for (name, median) in medians {
            report.add(Row::new(format!("core.{engine}.{name}"), median, "us"));
        }
    }
    Ok(())
}

const BENCH: [&str; 2] = ["bench", "--package=portcullis-core"];

/// Microseconds by name.
type Medians = BTreeMap<String, f64>;

/// Has criterion measure, and reads what it found.
fn medians(workspace: &Workspace, engine: &str, bench: &mut Command) -> Result<Medians> {
    let results = workspace.target.join("criterion").join(engine);
    // What earlier runs left must not pass for this one's.
    if results.exists() {
        std::fs::remove_dir_all(&results)?;
    }
    std::fs::create_dir_all(&results)?;
    let status = bench.env("CRITERION_HOME", &results).status().context("cannot run cargo bench")?;
    ensure!(status.success(), "`cargo bench --package=portcullis-core` failed ({engine})");
    let mut medians = Medians::new();
    for entry in std::fs::read_dir(&results)? {
        let folder = entry?.path().join("new");
        if folder.is_dir() {
            let name = read(&folder.join("benchmark.json"), "/full_id")?;
            let name = name.as_str().context("criterion names a benchmark by no text")?.to_owned();
            let median = read(&folder.join("estimates.json"), "/median/point_estimate")?;
            medians.insert(name, median.as_f64().context("criterion's median is no number")? / 1e3);
        }
    }
    ensure!(!medians.is_empty(), "criterion left no results in {}", results.display());
    Ok(medians)
}

/// What of a file of criterion's lies at `pointer`.
fn read(file: &Path, pointer: &str) -> Result<Value> {
    let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let whole: Value = serde_json::from_slice(&text)?;
    whole.pointer(pointer).cloned().with_context(|| format!("{} has no {pointer}", file.display()))
}

/// cargo's setting by which Node.js runs what is built for wasm32-wasip1.
fn runner(workspace: &Workspace, node: &Path) -> String {
    let script = workspace.root.join("core/benches/v8.mjs");
    // Node.js warns that WASI is experimental; the program is our own.
    let command = serde_json::json!([node.to_string_lossy(), "--no-warnings", script.to_string_lossy()]);
    // A JSON array of plain texts is a TOML array too.
    format!("target.wasm32-wasip1.runner={command}")
}
