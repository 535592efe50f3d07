//! `cargo xtask soak`: a long run through real Envoy, by hand.

use anyhow::Result;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::workspace::Workspace;
use crate::{plugin, test, tools, web};
use xtask::soak::{self, Programs};

#[derive(Args)]
pub(crate) struct Options {
    /// How many requests are sent
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(20_000..))]
    requests: u64,
}

/// Builds what is needed, sends them, and tells what came of it. `false` where the gate has grown, or
/// has answered otherwise than it should.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool> {
    let envoy = tools::python(workspace)?.envoy;
    let plugin = plugin::build(workspace)?;
    let cli = test::build_program(workspace, "portcullis", "build the CLI")?;
    let control = test::build_control(workspace, &web::build(workspace)?)?;
    let programs = Programs { envoy: &envoy, control: &control, cli: &cli, plugin: &plugin };
    let folder = workspace.target_folder("soak")?;
    std::fs::remove_dir_all(&folder)?;
    std::fs::create_dir(&folder)?;
    let bar = ProgressBar::new(options.requests).with_style(
        ProgressStyle::with_template("{bar:30} {pos}/{len} requests {elapsed}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let progress = |count| bar.set_position(count);
    let outcome = soak::run(workspace, &programs, ("soak", &folder), options.requests, &progress)?;
    bar.finish_and_clear();
    for (answer, count) in &outcome.answers {
        println!("{count:>10}  {answer}");
    }
    let seconds = outcome.time.as_secs_f64();
    println!(
        "{} requests in {seconds:.1} s: {:.0} a second",
        options.requests,
        options.requests as f64 / seconds
    );
    for (when, memory) in [("once warm", outcome.warm), ("at the end", outcome.end)] {
        let mib = |bytes: u64| bytes as f64 / (1024.0 * 1024.0);
        let (machines, resident) = (mib(memory.machines), mib(memory.resident));
        println!("{when}: {machines:.2} MiB in VMs, Envoy {resident:.1} MiB");
    }
    if let Err(fault) = outcome.check() {
        println!("{fault:#}");
        return Ok(false);
    }
    Ok(true)
}
