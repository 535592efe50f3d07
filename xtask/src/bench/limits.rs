//! What a gate of many routes costs, beside one of one route: until Envoy is ready, for each request,
//! and in memory.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use serde_json::{Value, json};

use super::Options;
use super::cpu;
use super::credentials::Signer;
use super::live::resident;
use super::report::{Report, Row};
use super::side_by_side::{SideBySide, Stage, Traffic, Variant};
use super::statistics::Spread;
use crate::http::Request;
use crate::workspace::Workspace;

/// As many as a gate may have.
const MANY: usize = 10_000;

/// Measures it, and adds its rows to `report`.
pub(crate) fn measure(
    workspace: &Workspace,
    wasm: &Path,
    options: &Options,
    report: &mut Report,
) -> Result<()> {
    let stage = Stage::new(workspace, wasm)?;
    starts(&stage, options, report)?;
    let mut variants = SideBySide::new("limits", &[]);
    let passport = Signer::new(2).self_issued();
    for (name, about, count) in
        [("one_route", "a gate of one route", 1), ("many_routes", "a gate of 10,000 routes", MANY)]
    {
        let envoy = stage.envoy(name, with_routes(&stage, count)?, 1, &[])?;
        // The last of all, deep in a tree.
        let path = path(count.saturating_sub(1));
        let passport = passport.clone();
        let traffic = move |to: SocketAddr| {
            let mut request = Request::new("GET", &path);
            request.headers.push(("agent-passport".to_owned(), passport));
            Traffic::Same(request.to_bytes(&to.to_string(), false))
        };
        variants.add(Variant::new(name, about, envoy, 200, traffic)?);
    }
    variants.run(options)?;
    let (one, many) = (variants.rounds("one_route")?, variants.rounds("many_routes")?);
    for (name, rounds) in [("one_route", one), ("many_routes", many)] {
        report.add(Row::new(format!("limits.{name}"), Spread::of(rounds.iter().copied()).median, "us"));
    }
    let ratio = Spread::of_ratios(many, one).median;
    report.add(Row::new("limits.many_routes/one_route", ratio, "ratio").at_most(MOST));
    println!("a request to the last of {MANY} routes costs {ratio:.3} times one to the only route");
    Ok(())
}

/// How much more a request may cost among many routes than with one. A look-up in a tree of ten
/// thousand compares some forty names.
const MOST: f64 = 1.1;

/// How long an Envoy takes until it is ready, and its memory then.
fn starts(stage: &Stage<'_>, options: &Options, report: &mut Report) -> Result<()> {
    for (name, count) in [("one_route", 1), ("many_routes", MANY)] {
        let (mut times, mut used, mut sizes) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..options.rounds.min(STARTS) {
            let config = with_routes(stage, count)?;
            let began = Instant::now();
            let envoy = stage.envoy(&format!("start-{name}"), config, 1, &[])?;
            times.push(began.elapsed().as_secs_f64() * 1e3);
            used.push(cpu::used(envoy.pid())?.as_secs_f64() * 1e3);
            sizes.push(resident(envoy.pid())? / (1024.0 * 1024.0));
        }
        for (what, values, unit) in
            [("ready", times, "ms"), ("ready_cpu", used, "ms"), ("resident", sizes, "MiB")]
        {
            let median = Spread::of(values).median;
            println!("{name}: {what} {median:.1} {unit}");
            report.add(Row::new(format!("limits.{name}.{what}"), median, unit));
        }
    }
    Ok(())
}

/// A start takes a second; the spread of some is small.
const STARTS: u32 = 5;

fn with_routes(stage: &Stage<'_>, count: usize) -> Result<crate::envoy_config::EnvoyConfig> {
    let routes: Vec<Value> = (0..count)
        .map(|number| json!({ "path": path(number), "methods": ["GET"], "action": "flights:search" }))
        .collect();
    stage.shipped.clone().change_gate(|gate| gate.put("/routes", json!(routes)))
}

fn path(number: usize) -> String {
    format!("/flights/of/airline/{number:05}/seats")
}
