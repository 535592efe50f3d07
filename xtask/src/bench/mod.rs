//! `cargo xtask bench`: what the gate costs, beside what it is compared with.

mod agent;
mod audit;
mod audit_page;
mod authz;
mod core;
mod cpu;
mod credentials;
mod envoys;
mod limits;
mod live;
mod load;
mod managed;
mod nonces;
mod proofs;
mod records;
mod report;
mod settlement;
mod side_by_side;
mod statistics;
mod tampering;
mod web;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::plugin;
use crate::workspace::Workspace;
pub(crate) use authz::{Options as AuthzOptions, serve as serve_authz};
use report::{Report, Row};

#[derive(Args)]
pub(crate) struct Options {
    /// Measure one part only
    #[arg(long, value_name = "NAME")]
    only: Option<Part>,
    /// Rounds; every variant is measured once in each. Many short rounds
    /// withstand a busy machine better than few long ones
    #[arg(long, default_value_t = 21, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Requests for each variant in each round
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    requests: u32,
    /// Nonces that `nonces` uses up
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(200..))]
    nonces: u32,
    /// Receipts that `settlement` settles
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1000..))]
    receipts: u32,
}

/// The parts of the benchmark.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Envoy's CPU time per request, side by side
    Envoy,
    /// The core's own functions, natively and in V8
    Core,
    /// Proofs of requests: CPU time of gates of L2 and L3, and of external authorization
    Proofs,
    /// A million single-use nonces through one Envoy, and repeats of them
    Nonces,
    /// Pushes to running gates, and a million revocations
    Live,
    /// What many routes cost: until a gate is ready, for each request, and in memory
    Limits,
    /// Requests whose decisions are recorded, and counting of many agents' requests
    Records,
    /// Records that the command line audits in a second
    Audit,
    /// Records that the audit page verifies in a second, in Chromium
    AuditPage,
    /// A hundred thousand decisions of two Envoys, and each tampering with their export
    Tampering,
    /// A million receipts settled, both signatures of each verified
    Settlement,
    /// The package for JavaScript, beside jose and WebCrypto, in Node.js
    Web,
    /// The plugin file's size
    Size,
}

/// Measures, prints, and writes `target/bench/report.json`. `false` when a bar
/// is missed.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool> {
    let wanted = |part| options.only.is_none_or(|only| only == part);
    let mut report = Report::default();
    let is_without_plugin = matches!(
        options.only,
        Some(Part::Audit | Part::AuditPage | Part::Core | Part::Settlement | Part::Web)
    );
    if !is_without_plugin {
        let wasm = plugin::build(workspace)?;
        if wanted(Part::Size) {
            report.add(size(&wasm)?);
        }
        if wanted(Part::Envoy) {
            envoys::measure(workspace, &wasm, options, &mut report)?;
        }
        if wanted(Part::Proofs) {
            proofs::measure(workspace, &wasm, options, &mut report)?;
        }
        if wanted(Part::Nonces) {
            nonces::measure(workspace, &wasm, options, &mut report)?;
        }
        if wanted(Part::Limits) {
            limits::measure(workspace, &wasm, options, &mut report)?;
        }
        if wanted(Part::Records) {
            records::measure(workspace, &wasm, options, &mut report)?;
        }
        if wanted(Part::Tampering) {
            tampering::measure(workspace, &wasm, &mut report)?;
        }
        if wanted(Part::Live) {
            live::measure(workspace, &wasm, &mut report)?;
        }
    }
    if wanted(Part::Core) {
        core::measure(workspace, &mut report)?;
    }
    if wanted(Part::Audit) {
        audit::measure(workspace, &mut report)?;
    }
    if wanted(Part::AuditPage) {
        audit_page::measure(workspace, &mut report)?;
    }
    if wanted(Part::Web) {
        web::measure(workspace, &mut report)?;
    }
    if wanted(Part::Settlement) {
        settlement::measure(workspace, options.receipts, &mut report)?;
    }
    let file = report.write(&workspace.target_folder("bench")?)?;
    println!("\n{report}\nwritten to {}", workspace.short(&file));
    Ok(report.holds())
}

fn size(wasm: &std::path::Path) -> Result<Row> {
    let bytes = u32::try_from(std::fs::metadata(wasm)?.len())?;
    let bar = u32::try_from(plugin::WANTED_BYTES)?;
    Ok(Row::new("plugin.size", f64::from(bytes), "bytes").at_most(f64::from(bar)))
}
