//! How many records the audit page verifies in a second, in Chromium.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use xtask::{chromium, made_log};

use super::report::{Report, Row};
use super::statistics::Spread;
use crate::workspace::Workspace;
use crate::{audit_page, node, progress};

/// A log that takes some seconds.
const RECORDS: u64 = 50_000;
const ROUNDS: u32 = 3;

/// Has the page judge a log a few times, and reports the median.
pub(crate) fn measure(workspace: &Workspace, report: &mut Report) -> Result<()> {
    let chromium = program()?;
    let page = audit_page::build(workspace)?;
    let node = node::node(workspace)?;
    let folder = workspace.target_folder("bench/audit-page")?;
    let (exported, keys) = progress::step("make a log of 50,000 records", |_| {
        made_log::write(&folder, RECORDS, made_log::decision)
    })?;
    let scene =
        json!({ "page": page, "exported": exported, "keys": keys, "records": RECORDS, "rounds": ROUNDS });
    let output = Command::new(node.program())
        .arg(workspace.root.join("tests/browser/audit_speed.mjs"))
        .env(chromium::VARIABLE, chromium)
        .env("PORTCULLIS_NODE_PACKAGES", node.packages())
        .env("PORTCULLIS_SCENE", scene.to_string())
        .output()
        .context("cannot run Node.js")?;
    ensure!(output.status.success(), "no measure: {}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout)?;
    let rates: Vec<f64> = serde_json::from_str(said.lines().next_back().unwrap_or_default())?;
    let rate = Spread::of(rates).median;
    println!("\nan audit in Chromium: {rate:.0} records/s");
    report.add(Row::new("audit-page.records", rate, "records/s").at_least(3000.0));
    Ok(())
}

fn program() -> Result<PathBuf> {
    if chromium::program().is_none() {
        progress::step("install Chromium from the system's packages", |_| chromium::install())?;
    }
    chromium::program().context("there is no Chromium")
}
