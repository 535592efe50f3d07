//! `portcullis catalog`: what gates offer, checked by whoever would use it.

mod verify;

use crate::output::Answer;
use anyhow::Result;
use clap::Subcommand;

/// Check the terms that gates publish
#[derive(Subcommand)]
pub(crate) enum Command {
    Verify(verify::Args),
}

/// Does what the command says.
pub(crate) fn run(command: &Command) -> Result<Answer> {
    match command {
        Command::Verify(args) => verify::run(args),
    }
}
