//! The project's own commands: `cargo xtask up`, `test`, `bench`, `soak`, `ci`, `fuzz`, `image`, `dist`.
//!
//! Everything here is what a developer or an operator types; nothing here
//! decides about a request. The rooms: [`tools`] and [`plugin`] make what the
//! commands need, [`envoy`], [`gate`] and [`echo`] run it, [`tour`] shows it,
//! [`mod@bench`] measures it, [`release`] makes what others install of it.

mod audit_page;
mod bench;
mod capabilities;
mod ci;
mod fuzz;
mod gate;
mod named_paths;
mod node;
mod plugin;
mod progress;
mod release;
mod soak_command;
mod test;
mod tools;
mod tour;
mod up;
mod web;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workspace::Workspace;
use xtask::{children, echo, envoy, envoy_config, http, net, workspace};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about, version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the plugin and run a real Envoy with it, before an echo upstream
    Up(up::Options),
    /// Install what the tests need, build the plugin and run every test
    Test(test::Options),
    /// Measure Envoy's CPU time per request, with the gate and without
    Bench(bench::Options),
    /// Send many mixed requests through a real Envoy, and see that the gate's memory stays what it was
    Soak(soak_command::Options),
    /// Run everything that a change must pass
    Ci,
    /// Build the package for JavaScript into target/web/package
    Web(web::Options),
    /// Build the audit page as one file, for browsers without a network
    AuditPage,
    /// Make an OCI image of the plugin, for Istio and Envoy Gateway, and push it
    Image(release::ImageOptions),
    /// Make all files of a release, with their checksums, in target/dist
    Dist,
    /// Run the fuzz targets
    Fuzz(fuzz::Options),
    /// Serve Envoy's external authorization, for the benchmark
    #[command(hide = true)]
    BenchAuthz(bench::AuthzOptions),
    /// Build target/portcullis.wasm and check its size and imports
    #[command(hide = true)]
    Plugin,
    /// Make the private Python environment with Envoy and the Modei client
    #[command(hide = true)]
    Venv,
    /// Check that the paths named in the documents exist
    #[command(hide = true)]
    Paths,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one command; `false` means that it ran and found something wrong.
fn run(command: Command) -> Result<bool> {
    children::end_them_on_ctrl_c()?;
    let workspace = Workspace::find()?;
    match command {
        Command::Up(options) => up::run(&workspace, &options),
        Command::Test(options) => test::run(&workspace, &options),
        Command::Bench(options) => bench::run(&workspace, &options),
        Command::BenchAuthz(options) => bench::serve_authz(&options),
        Command::Soak(options) => soak_command::run(&workspace, &options),
        Command::Ci => ci::run(&workspace),
        Command::Image(options) => release::image(&workspace, &options).map(|()| true),
        Command::Dist => release::dist(&workspace).map(|()| true),
        Command::Fuzz(options) => fuzz::run(&workspace, &options),
        Command::Web(options) if options.parts => web::measure_parts(&workspace).map(|()| true),
        Command::Web(_) => {
            println!("{}", web::build(&workspace)?.display());
            web::check(&workspace).map(|()| true)
        }
        Command::AuditPage => {
            println!("{}", audit_page::build(&workspace)?.display());
            Ok(true)
        }
        Command::Plugin => {
            let plugin = plugin::build(&workspace)?;
            plugin::check(&workspace, &plugin)?;
            println!("{}", plugin.display());
            Ok(true)
        }
        Command::Venv => {
            println!("{}", tools::python(&workspace)?.root.display());
            Ok(true)
        }
        Command::Paths => named_paths::check(&workspace).map(|()| true),
    }
}
