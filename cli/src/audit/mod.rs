//! `portcullis audit`: what a gate has recorded, judged by whoever has its export.

mod checkpoint;
mod export;
pub(crate) mod keys;
mod show;
mod verify;
mod workers;

use crate::output::Answer;
use anyhow::Result;
use clap::Subcommand;

/// Judge an export of a gate's records, or read in it
#[derive(Subcommand)]
pub(crate) enum Command {
    Verify(verify::Args),
    Show(show::Args),
    Checkpoint(checkpoint::Args),
}

/// Does what the command says.
pub(crate) fn run(command: &Command) -> Result<Answer> {
    match command {
        Command::Verify(args) => verify::run(args),
        Command::Show(args) => show::run(args),
        Command::Checkpoint(args) => checkpoint::run(args),
    }
}
