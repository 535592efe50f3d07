//! `portcullis gate`: a gate's own key, and its place in a control service.

mod enrol;
mod rotate;
mod service;

pub(crate) use service::Reach;

use crate::output::Answer;
use anyhow::Result;
use clap::Subcommand;

/// Enrol a gate in a control service, or renew the key with which it calls there
#[derive(Subcommand)]
pub(crate) enum Command {
    Enrol(enrol::Args),
    Rotate(rotate::Args),
}

/// Does what the command says.
pub(crate) fn run(command: &Command) -> Result<Answer> {
    match command {
        Command::Enrol(args) => enrol::run(args),
        Command::Rotate(args) => rotate::run(args),
    }
}
