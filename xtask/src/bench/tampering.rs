//! A hundred thousand decisions of two Envoys of a gate: how fast they reach the log and leave it
//! again, and that an audit finds each tampering with them.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use xtask::tampering::{self, Log};

use super::agent::AUTHORITY;
use super::load::Load;
use super::managed::Managed;
use super::records::{BURST, config, issued, presenting};
use super::report::{Report, Row};
use super::side_by_side::{PATH, Stage};
use crate::envoy::Envoy;
use crate::http::Request;
use crate::test;
use crate::workspace::Workspace;

/// Decisions, as many at each of the Envoys.
const DECISIONS: usize = 100_000;

const GATE: &str = "gate_tampering";

/// Lets the Envoys decide, exports what they decided, and audits it. Fails where a tampering is
/// not found.
pub(crate) fn measure(workspace: &Workspace, wasm: &Path, report: &mut Report) -> Result<()> {
    let cli = test::release_program(workspace, "portcullis", "build the CLI, optimised")?;
    let stage = Stage::new(workspace, wasm)?;
    let managed = Managed::start(&stage, "tampering")?;
    let enrolled = managed.enrol(&config(GATE, "required"))?;
    let envoys = [
        managed.envoy(&stage, "tampering_a", &enrolled, 2)?,
        managed.envoy(&stage, "tampering_b", &enrolled, 2)?,
    ];
    let half = DECISIONS.div_euclid(2);
    let began = Instant::now();
    decide(&managed, &envoys, half)?;
    let earlier = managed.checkpoint(GATE)?;
    decide(&managed, &envoys, half)?;
    report_rate(report, "tampering.logged", began);
    let delivered = Instant::now();
    let (export, keys) = managed.export(GATE)?;
    report_rate(report, "tampering.exported", delivered);
    let log = Log {
        cli: &cli,
        export: &export,
        keys: &keys,
        gate_key: &enrolled.key,
        earlier: &earlier,
        folder: &managed.folder,
    };
    let found = tampering::each_is_found(&log)?;
    println!("\neach of {} tamperings is found: {}", found.len(), found.join(", "));
    Ok(())
}

fn report_rate(report: &mut Report, name: &'static str, began: Instant) {
    let rate = DECISIONS as f64 / began.elapsed().as_secs_f64();
    println!("{name}: {rate:.0} records/s");
    report.add(Row::new(name, rate, "records/s"));
}

/// Has the Envoys decide so often in turn, one request in five without a credential, and waits
/// until the log has all of it.
fn decide(managed: &Managed, envoys: &[Envoy], decisions: usize) -> Result<()> {
    let good = presenting(&issued(1)?);
    let bad = Request::new("GET", PATH).to_bytes(AUTHORITY, false);
    let before = managed.log_size(GATE)?;
    let (mut decided, began) = (0_usize, Instant::now());
    while decided < decisions {
        for envoy in envoys {
            // Fewer than an Envoy has room for.
            let burst = BURST.min(decisions.saturating_sub(decided));
            let refused = burst.div_euclid(5);
            let mut load = Load::connect(envoy.listen)?;
            load.drive(&vec![bad.as_slice(); refused], 401)?;
            load.drive(&vec![good.as_slice(); burst.saturating_sub(refused)], 200)?;
            decided = decided.saturating_add(burst);
        }
        while managed.log_size(GATE)? < before.saturating_add(decided as u64) {
            ensure!(began.elapsed() < DEADLINE, "not all records arrive");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

/// Ten times what it takes.
const DEADLINE: Duration = Duration::from_secs(600);
