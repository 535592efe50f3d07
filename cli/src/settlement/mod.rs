//! `portcullis settlement`: having a period settled, and recomputing what it came to.

mod make;
mod verify;

use crate::output::Answer;
use anyhow::Result;
use clap::Subcommand;

/// Have a period settled by a control service, or judge a settlement
#[derive(Subcommand)]
pub(crate) enum Command {
    Make(make::Args),
    Verify(verify::Args),
}

/// Does what the command says.
pub(crate) fn run(command: &Command) -> Result<Answer> {
    match command {
        Command::Make(args) => make::run(args),
        Command::Verify(args) => verify::run(args),
    }
}
