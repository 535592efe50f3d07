//! A trust store beside a running Envoy: what changes in the folder reaches the gate.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::ecds::{Discovered, Outcome};
use crate::envoy::Envoy;

/// Keeps a gate's trust material what the folder says.
///
/// What is not there, or cannot be read, is not trusted: a file of no use is left out,
/// and a folder of no use trusts nobody. To hold on to what was last good would be to
/// trust a key that was removed, for as long as something else is broken.
pub struct TrustFolder {
    bundler: Bundler,
    gate: Discovered,
    /// What the folder looked like when it was last read.
    seen: Option<Listing>,
    /// The keys that the gate has, by `kid`.
    trusted: BTreeMap<String, String>,
    /// What the bundler had to say of the folder.
    notes: Vec<String>,
}

impl TrustFolder {
    /// Reads `store` with the portcullis program `cli`, and writes the file from which
    /// Envoy is to take `gate`. `actions` is what the store's agents may do.
    ///
    /// # Errors
    /// The folder cannot be read, which at the beginning is a mistake.
    pub fn open(cli: &Path, store: &Path, actions: &str, gate: Discovered) -> Result<Self> {
        let bundler = Bundler { cli: cli.to_owned(), store: store.to_owned(), actions: actions.to_owned() };
        let seen = Listing::of(&bundler.folder());
        let bundle = bundler.run()?;
        let mut folder = Self { bundler, gate, seen, trusted: bundle.keys()?, notes: bundle.notes };
        let text = folder.gate_text(&bundle.agents)?;
        folder.gate.publish(&text)?;
        Ok(folder)
    }

    /// The keys that the gate has, and what is to be said of the folder.
    pub fn describe(&self) -> Vec<String> {
        let keys = self.trusted.keys().map(|kid| format!("trusted: {kid}"));
        keys.chain(self.notes.iter().cloned()).collect()
    }

    /// The file from which Envoy takes the gate.
    pub fn file(&self) -> PathBuf {
        self.gate.file()
    }

    /// Looks whether the folder has changed, sees to it that `envoy` has the change, and
    /// tells what it was.
    pub fn look(&mut self, envoy: &Envoy) -> Result<Vec<String>> {
        // Before it is read, so that what changes meanwhile is seen next time.
        let listing = Listing::of(&self.bundler.folder());
        if listing.is_some() && listing == self.seen {
            return Ok(Vec::new());
        }
        let bundle = self.bundler.run().unwrap_or_else(|error| Bundle::nobody(&error));
        let mut lines: Vec<_> =
            bundle.notes.iter().filter(|note| !self.notes.contains(note)).cloned().collect();
        let keys = bundle.keys()?;
        if keys != self.trusted {
            let text = self.gate_text(&bundle.agents)?;
            match self.gate.publish_to(envoy, &text)? {
                Outcome::Taken => {
                    lines.extend(differences(&self.trusted, &keys));
                    self.trusted = keys;
                }
                Outcome::Refused => lines.push(format!(
                    "REFUSED: the gate goes on with the keys that it had, removed ones too; end it if that matters; see {}",
                    envoy.log.display()
                )),
            }
        }
        self.seen = listing;
        self.notes = bundle.notes;
        Ok(lines)
    }

    fn gate_text(&self, agents: &Value) -> Result<String> {
        let mut gate = self.gate.gate()?;
        gate.put_trust("simpleguard_agents", agents.clone())?;
        Ok(gate.to_text())
    }
}

fn differences(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let removed = before.keys().filter(|kid| !after.contains_key(*kid));
    let removed = removed.map(|kid| format!("no longer trusted: {kid}"));
    let added = after.iter().filter_map(|(kid, key)| match before.get(kid) {
        None => Some(format!("trusted: {kid}")),
        Some(former) if former != key => Some(format!("trusted, with another key: {kid}")),
        Some(_) => None,
    });
    removed.chain(added).collect()
}

/// `portcullis bundle`, which knows what a trust store is.
struct Bundler {
    cli: PathBuf,
    store: PathBuf,
    actions: String,
}

/// What it makes of a store.
struct Bundle {
    /// `trust.simpleguard_agents`.
    agents: Value,
    notes: Vec<String>,
}

impl Bundler {
    /// Where the keys are.
    fn folder(&self) -> PathBuf {
        self.store.join("capiscio_keys/trusted")
    }

    fn run(&self) -> Result<Bundle> {
        let mut command = Command::new(&self.cli);
        command.arg("bundle").arg("--trust-store").arg(&self.store);
        command.args(["--trust-store-actions", &self.actions, "--skip-unusable"]);
        let output = command.output().context("cannot run the portcullis program")?;
        let told = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            bail!("{}", told.trim_end().trim_start_matches("portcullis: error: "));
        }
        let mut material: Value = serde_json::from_slice(&output.stdout)?;
        let agents =
            material.get_mut("simpleguard_agents").map_or_else(|| Value::Array(Vec::new()), Value::take);
        Ok(Bundle {
            agents,
            notes: told.lines().map(|line| line.trim_start_matches("portcullis: ").to_owned()).collect(),
        })
    }
}

impl Bundle {
    /// That of a folder of no use.
    fn nobody(error: &anyhow::Error) -> Self {
        Self { agents: Value::Array(Vec::new()), notes: vec![format!("{error:#}; nobody in it is trusted")] }
    }

    /// Its keys by `kid`.
    fn keys(&self) -> Result<BTreeMap<String, String>> {
        let agents = self.agents.as_array().context("simpleguard_agents is no list")?.iter();
        let text = |agent: &Value, name: &str| agent.get(name).and_then(Value::as_str).map(str::to_owned);
        agents
            .map(|agent| text(agent, "key_id").zip(text(agent, "public_key")))
            .collect::<Option<_>>()
            .context("the portcullis program made agents without keys")
    }
}

/// The names in a folder, and of each file when it was last changed and how long it is.
/// A file's metadata are those of what a link leads to.
#[derive(PartialEq, Eq)]
struct Listing(Vec<(PathBuf, Option<(SystemTime, u64)>)>);

impl Listing {
    /// `None` for a folder that cannot be listed, or that has just changed and may change
    /// again within one tick of the file system's clock: it is then read next time too.
    fn of(folder: &Path) -> Option<Self> {
        let settled = SystemTime::now().checked_sub(SETTLED)?;
        let mut listing = Vec::new();
        for entry in std::fs::read_dir(folder).ok()? {
            let path = entry.ok()?.path();
            let metadata = std::fs::metadata(&path).ok();
            let state = metadata.and_then(|metadata| Some((metadata.modified().ok()?, metadata.len())));
            if state.is_some_and(|(modified, _)| modified > settled) {
                return None;
            }
            listing.push((path, state));
        }
        listing.sort();
        Some(Self(listing))
    }
}

/// FAT's clock ticks every two seconds, other file systems' a hundred times a second.
const SETTLED: Duration = Duration::from_secs(2);
