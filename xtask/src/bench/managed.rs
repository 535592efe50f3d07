//! Gates of the profiles that ask for proofs, with live trust material from a control
//! service of their own.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::agent::AUTHORITY;
use super::credentials::{JWT_KEY_ID, PASSPORT_ISSUER, Signer};
use super::side_by_side::{PATH, Stage};
use crate::envoy::Envoy;
use crate::test;
use xtask::control::{Control, Service};
use xtask::envoy_config::GateConfig;
use xtask::live_gate::{self, Enrolled, KEY_VARIABLE};

/// A control service, and what gates of it are made with.
pub(super) struct Managed {
    service: Service,
    cli: PathBuf,
    /// Where its files are.
    pub(super) folder: PathBuf,
}

impl Managed {
    /// Starts a service with nothing in it; its files are in `target/bench/<name>`.
    pub(super) fn start(stage: &Stage<'_>, name: &str) -> Result<Self> {
        let cli = test::build_program(stage.workspace, "portcullis", "build the CLI")?;
        let program = test::release_control(stage.workspace)?;
        let folder = stage.workspace.target_folder(&format!("bench/{name}"))?;
        std::fs::remove_dir_all(&folder)?;
        std::fs::create_dir(&folder)?;
        let service = Control::in_folder(&program, &folder, None)?.start()?;
        Ok(Self { service, cli, folder })
    }

    /// Starts an Envoy with a gate of this configuration, and waits until all its workers
    /// have that, and until proofs that are made now are younger than the gate.
    pub(super) fn gate(&self, stage: &Stage<'_>, name: &str, config: &Value, workers: u32) -> Result<Envoy> {
        self.envoy(stage, name, &self.enrol(config)?, workers)
    }

    /// Makes a gate of this configuration.
    pub(super) fn enrol(&self, config: &Value) -> Result<Enrolled> {
        let gate = GateConfig::parse(&config.to_string())?;
        live_gate::enrol(&self.service, &self.cli, &self.folder, &gate)
    }

    /// Starts an Envoy of a gate, and waits as [`Managed::gate`] does.
    pub(super) fn envoy(
        &self,
        stage: &Stage<'_>,
        name: &str,
        enrolled: &Enrolled,
        workers: u32,
    ) -> Result<Envoy> {
        let envoy_config = stage
            .shipped
            .clone()
            .with_gate(&enrolled.config)?
            .with_control(self.service.address)?
            .with_buffer(BUFFER)?;
        let environment = [(KEY_VARIABLE, enrolled.key.as_str())];
        let envoy = stage.envoy(name, envoy_config, workers, &environment)?;
        live_gate::wait_until_open(&envoy)?;
        // Proofs tell the second in which they are made, and count from its beginning.
        std::thread::sleep(Duration::from_secs(1));
        Ok(envoy)
    }

    /// The log of a gate and the keys by which it is audited, as files.
    pub(super) fn export(&self, gate: &str) -> Result<(PathBuf, PathBuf)> {
        let (export, keys) = (self.folder.join("export.jsonl"), self.folder.join("keys.json"));
        self.service.fetch(&format!("/api/v1/attestations/export?format=jsonl&gate_id={gate}"), &export)?;
        self.service.fetch(&format!("/api/gates/{gate}/attestation-keys"), &keys)?;
        Ok((export, keys))
    }

    /// The checkpoint of a gate's log; nothing before the first record.
    pub(super) fn checkpoint(&self, gate: &str) -> Result<String> {
        let answer = self.service.call("GET", &format!("/api/gates/{gate}/log/checkpoint"), None)?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// How many records the log of a gate has: the second line of its checkpoint.
    pub(super) fn log_size(&self, gate: &str) -> Result<u64> {
        Ok(self.checkpoint(gate)?.lines().nth(1).and_then(|line| line.parse().ok()).unwrap_or(0))
    }
}

/// What a gate of this profile is configured with, its trust in the passports of `issuer`
/// included.
pub(super) fn gate_config(id: &str, profile: &str, issuer: &Signer, windows: &Value) -> Value {
    let trusted = json!({
        "id": PASSPORT_ISSUER, "type": "platform", "tier": 3, "domain_verified": true,
        "actions": ["flights:search"],
        "keys": [{ "key_id": JWT_KEY_ID, "public_key": issuer.public_key() }],
    });
    json!({
        "gate": { "id": id }, "profile": profile, "authorities": [AUTHORITY],
        "max_body_bytes": BUFFER, "windows": windows,
        "routes": [{ "path": PATH, "methods": ["GET", "POST"], "action": "flights:search" }],
        "trust": { "issuers": [trusted] },
    })
}

/// What an Envoy may hold back of a body: more than the largest here, so that none waits
/// for room.
pub(super) const BUFFER: u32 = 4 << 20;
