//! `portcullis`: keys, passports and trust material from the command line.
//!
//! Every rule is the core's; here are files, words and exit codes: 0 for valid or done,
//! 1 for refused, 2 for input that cannot be used.

mod approvals;
mod audit;
mod badge;
mod bundle;
mod bundle_badges;
mod catalog;
mod credential;
mod delegate;
mod draft;
mod explain;
mod files;
mod gate;
mod inspect;
mod issue;
mod keyfile;
mod keygen;
mod output;
mod receipts;
mod settlement;
mod sign;
mod trust;
mod trust_store;
mod verify;
mod verify_capiscio;
mod watch;

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use std::sync::LazyLock;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let answer = match cli.command {
        Command::Approvals(command) => approvals::run(&command),
        Command::Audit(command) => audit::run(&command),
        Command::Badge(command) => badge::run(&command),
        Command::Bundle(args) => bundle::run(&args),
        Command::Catalog(command) => catalog::run(&command),
        Command::Delegate(args) => delegate::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Gate(command) => gate::run(&command),
        Command::Inspect(args) => inspect::run(&args, credential::Asked::Any),
        Command::Issue(args) => issue::run(&args),
        Command::Keygen(args) => keygen::run(&args),
        Command::Receipts(command) => receipts::run(&command),
        Command::Settlement(command) => settlement::run(&command),
        Command::Sign(args) => sign::run(&args),
        Command::Trust(args) => trust_store::run(&args),
        Command::Verify(args) => verify::run(&args, credential::Asked::Any),
        Command::Watch(args) => watch::run(&args, cli.json),
    };
    output::print(answer, cli.json)
}

/// Keys, passports and trust material for Portcullis gates.
///
/// Exit codes: 0 valid or done, 1 refused, 2 unusable input.
#[derive(Parser)]
#[command(name = "portcullis", version = VERSION.as_str())]
struct Cli {
    /// Answer with one JSON object on standard output, errors too
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

/// The version, and the commit that a release was made of, which `cargo xtask dist` tells.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let commit = option_env!("PORTCULLIS_COMMIT").unwrap_or("unknown");
    format!("{} (commit {commit})", env!("CARGO_PKG_VERSION"))
});

#[derive(Subcommand)]
enum Command {
    Keygen(keygen::Args),
    Issue(issue::Args),
    Delegate(delegate::Args),
    Verify(verify::Args),
    Sign(sign::Args),
    Inspect(inspect::Args),
    Explain(explain::Args),
    Bundle(bundle::Args),
    #[command(subcommand)]
    Badge(badge::Command),
    Trust(trust_store::Args),
    #[command(subcommand)]
    Gate(gate::Command),
    #[command(subcommand)]
    Approvals(approvals::Command),
    #[command(subcommand)]
    Audit(audit::Command),
    #[command(subcommand)]
    Catalog(catalog::Command),
    #[command(subcommand)]
    Receipts(receipts::Command),
    #[command(subcommand)]
    Settlement(settlement::Command),
    Watch(watch::Args),
}
