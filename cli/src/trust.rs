//! Trust material from files.

use crate::files;
use anyhow::{Result, anyhow};
use portcullis_core::{Config, ConfigError, Profile, Snapshot, Trust, TrustConfig};
use std::path::Path;

/// Trust material to judge by: a bundle, or that of a whole gate.
pub(crate) enum Material {
    Bundle(Box<Trust>),
    Gate(Box<Snapshot>),
}

impl Material {
    /// Reads what `portcullis bundle` writes: a bundle, or a gate's whole configuration.
    /// A bundle is judged by at profile L1.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes = files::read(path, MAX_BYTES)?.bytes;
        let here = |error: ConfigError| at(path, &error);
        if is_gate(&bytes) {
            let config = Config::from_json(&bytes).map_err(here)?;
            return Ok(Material::Gate(Box::new(Snapshot::of_static(&config).map_err(here)?)));
        }
        let config = TrustConfig::from_json(&bytes).map_err(here)?;
        Ok(Material::Bundle(Box::new(Trust::new(&config, Profile::L1).map_err(here)?)))
    }

    /// Whom it trusts.
    pub(crate) fn trust(&self) -> &Trust {
        match self {
            Material::Bundle(trust) => trust,
            Material::Gate(snapshot) => snapshot.trust(),
        }
    }
}

/// The largest trust material or configuration that is read: what a gate reads, too.
pub(crate) const MAX_BYTES: usize = 64 * 1024 * 1024;

/// An error, and the file that it is in.
pub(crate) fn at(path: &Path, error: &ConfigError) -> anyhow::Error {
    let file = path.display();
    if error.path.is_empty() {
        anyhow!("{file}: {}", error.problem)
    } else {
        anyhow!("{file}: {}: {}", error.path, error.problem)
    }
}

/// Whether a text is a gate's configuration rather than trust material alone.
fn is_gate(bytes: &[u8]) -> bool {
    let value = serde_json::from_slice::<serde_json::Value>(bytes);
    value.is_ok_and(|value| ["gate", "routes", "trust"].iter().any(|member| value.get(member).is_some()))
}
