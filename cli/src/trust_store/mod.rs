//! `portcullis trust`: a SimpleGuard trust store, the folder in which CapiscIO's SDK
//! keeps an agent's own keys and the public keys of the agents that it accepts:
//!
//! ```text
//! agent-card.json
//! capiscio_keys/private.pem
//! capiscio_keys/public.pem
//! capiscio_keys/trusted/{kid}.pem
//! ```

mod card;
mod change;
mod folder;
mod kid;
mod list;
mod own;

pub(crate) use folder::{Folder, Trusted};

use crate::output::Answer;
use anyhow::Result;
use std::path::{Path, PathBuf};

/// Keep a trust store: the folder of keys that CapiscIO's SimpleGuard uses
///
/// `portcullis bundle --trust-store DIR` makes a gate's trust material of it.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Init(own::Init),
    Add(change::Add),
    List(list::Args),
    Remove(change::Remove),
    Rotate(own::Rotate),
}

/// Runs one of the commands.
pub(crate) fn run(args: &Args) -> Result<Answer> {
    match &args.command {
        Command::Init(args) => own::init(args),
        Command::Add(args) => change::add(args),
        Command::List(args) => list::run(args),
        Command::Remove(args) => change::remove(args),
        Command::Rotate(args) => own::rotate(args),
    }
}

/// The folder that the commands work in.
#[derive(clap::Args)]
struct Store {
    /// The trust store: the folder that holds capiscio_keys
    #[arg(long = "store", value_name = "DIR")]
    path: PathBuf,
}

impl Store {
    fn card(&self) -> PathBuf {
        self.path.join("agent-card.json")
    }

    fn keys(&self) -> PathBuf {
        self.path.join("capiscio_keys")
    }

    fn private_key(&self) -> PathBuf {
        self.keys().join("private.pem")
    }

    fn public_key(&self) -> PathBuf {
        self.keys().join("public.pem")
    }

    fn trusted(&self) -> PathBuf {
        trusted(&self.path)
    }
}

/// Where a store keeps the keys that it trusts.
fn trusted(store: &Path) -> PathBuf {
    store.join("capiscio_keys").join("trusted")
}
