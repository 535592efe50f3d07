//! `portcullis receipts`: what both sides of a sale have in hand.

mod compare;
pub(crate) mod keys;
mod lines;

use crate::output::Answer;
use anyhow::Result;
use clap::Subcommand;

/// Judge receipts for uses of priced actions
#[derive(Subcommand)]
pub(crate) enum Command {
    Compare(compare::Args),
}

/// Does what the command says.
pub(crate) fn run(command: &Command) -> Result<Answer> {
    match command {
        Command::Compare(args) => compare::run(args),
    }
}
