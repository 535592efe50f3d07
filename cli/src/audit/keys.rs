//! Whom an auditor believes.

use crate::{files, trust};
use anyhow::{Context, Result};
use portcullis_core::KeyConfig;
use portcullis_core::attestation::AuditKeys;
use serde::Deserialize;
use std::path::Path;

/// As the control service serves it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Of gates' records.
    keys: Vec<Key>,
    /// Of the service, which sign checkpoints.
    service_keys: Vec<Key>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    key_id: String,
    public_key: String,
    #[serde(default)]
    not_before: Option<String>,
    #[serde(default)]
    not_after: Option<String>,
    /// `service` for a key of the service among those of records.
    #[serde(default)]
    of: Option<String>,
}

/// Reads them.
pub(super) fn read(path: &Path) -> Result<AuditKeys> {
    let file = parse(path)?;
    let configs = |keys: Vec<Key>| keys.into_iter().map(Key::config).collect::<Vec<_>>();
    AuditKeys::new(&configs(file.keys), &configs(file.service_keys)).map_err(|error| trust::at(path, &error))
}

/// Reads those of gates' records alone, and whether each is the service's.
pub(crate) fn of_records(path: &Path) -> Result<Vec<(KeyConfig, bool)>> {
    let told = |key: Key| {
        let is_service = key.of.as_deref() == Some("service");
        (key.config(), is_service)
    };
    Ok(parse(path)?.keys.into_iter().map(told).collect())
}

fn parse(path: &Path) -> Result<File> {
    // Room for thousands of keys.
    const MAX_BYTES: usize = 4 * 1024 * 1024;
    let bytes = files::read(path, MAX_BYTES)?.bytes;
    serde_json::from_slice(&bytes).with_context(|| {
        format!(
            "{} must be {{\"keys\":[…],\"service_keys\":[…]}} with key_id and public_key in each",
            path.display()
        )
    })
}

impl Key {
    fn config(self) -> KeyConfig {
        KeyConfig {
            key_id: self.key_id,
            public_key: self.public_key,
            not_before: self.not_before,
            not_after: self.not_after,
        }
    }
}
