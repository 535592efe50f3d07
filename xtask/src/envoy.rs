//! A real Envoy on loopback: started, waited for, and ended by its own pid.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::children::Running;
use crate::envoy_config::{Addresses, EnvoyConfig};
use crate::http::Request;
use crate::workspace::Workspace;

/// A running Envoy.
pub struct Envoy {
    process: Running,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Envoy's own pages.
    pub admin: SocketAddr,
    /// Everything that Envoy and the plugin log.
    pub log: PathBuf,
}

impl Envoy {
    /// Starts `program` with `config` and waits until it serves. `name` names
    /// its files in `target/envoy/`.
    pub fn start(
        workspace: &Workspace,
        program: &Path,
        name: &str,
        config: EnvoyConfig,
        addresses: &Addresses,
        workers: u32,
    ) -> Result<Self> {
        Self::start_with(workspace, program, name, config, addresses, workers, &[])
    }

    /// As [`Envoy::start`], with further variables in its environment.
    pub fn start_with(
        workspace: &Workspace,
        program: &Path,
        name: &str,
        config: EnvoyConfig,
        addresses: &Addresses,
        workers: u32,
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let folder = workspace.target_folder("envoy")?;
        let file = folder.join(format!("{name}.json"));
        let log = folder.join(format!("{name}.log"));
        std::fs::write(&file, config.at(addresses)?.to_text())
            .with_context(|| format!("cannot write {}", file.display()))?;
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(program);
        command.envs(environment.iter().copied());
        command
            .arg("--config-path")
            .arg(&file)
            .args(["--concurrency", &workers.to_string()])
            // Hot restart needs a machine-wide number for each Envoy; without
            // it, any number of them runs side by side.
            .arg("--disable-hot-restart")
            // Lines of the access log are looked for at once.
            .args(["--file-flush-interval-msec", "100"])
            .args(["--log-level", "warning"])
            .args(["--component-log-level", "wasm:info"])
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let envoy = Self {
            process: Running::start(&mut command, "Envoy")?,
            listen: addresses.listen,
            admin: addresses.admin,
            log,
        };
        envoy.wait_until_ready()?;
        Ok(envoy)
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.process.pid
    }

    /// Whether Envoy still runs.
    pub fn runs(&self) -> Result<bool> {
        Ok(self.process.ended()?.is_none())
    }

    /// The log's last lines, for an error.
    pub fn log_tail(&self) -> String {
        tail(&self.log)
    }

    /// Ready means that the configuration is loaded, the plugin has accepted
    /// its own, and the listener takes connections.
    fn wait_until_ready(&self) -> Result<()> {
        let began = Instant::now();
        while began.elapsed() < START_DEADLINE {
            if let Some(status) = self.process.ended()? {
                bail!(
                    "Envoy did not start ({status}); the end of {}:\n{}",
                    self.log.display(),
                    self.log_tail()
                );
            }
            let ready = Request::new("GET", "/ready").send(self.admin);
            if ready.is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        bail!(
            "Envoy was not ready within {} s; the end of {}:\n{}",
            START_DEADLINE.as_secs(),
            self.log.display(),
            self.log_tail()
        )
    }
}

/// Asks Envoy whether it would accept `config`, without listening anywhere.
pub fn validate(workspace: &Workspace, program: &Path, config: &EnvoyConfig) -> Result<()> {
    let file = workspace.target_folder("envoy")?.join("validate.json");
    std::fs::write(&file, config.to_text())?;
    let output = Command::new(program)
        .args(["--mode", "validate", "--log-level", "warning"])
        .arg("--config-path")
        .arg(&file)
        .current_dir(&workspace.root)
        .output()
        .context("cannot run Envoy")?;
    if !output.status.success() {
        bail!("Envoy refuses envoy/envoy.yaml:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// The last lines of a log file, without those of Envoy's access log.
pub fn tail(log: &Path) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('{')).collect();
    let from = lines.len().saturating_sub(20);
    lines.get(from..).unwrap_or_default().join("\n")
}

/// Compiling the plugin takes V8 about a second; a busy machine may take ten.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// Short beside the second that a start takes, long enough to cost nothing.
const POLL: Duration = Duration::from_millis(20);
