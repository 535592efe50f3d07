//! A real Envoy on loopback: started, waited for, and ended by its own pid.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

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
        // Hot restart needs a machine-wide number for each Envoy; without it, any number of them
        // runs side by side.
        let alone = ["--disable-hot-restart".to_owned()];
        let envoy = Self::launch(workspace, program, name, config, addresses, workers, environment, &alone)?;
        envoy.wait_until_ready(0)?;
        Ok(envoy)
    }

    /// As [`Envoy::start_with`], an Envoy that takes over from the last that was started by
    /// `restart`, and from which another may.
    #[expect(clippy::too_many_arguments, reason = "what a start takes, and how it comes about")]
    pub fn start_restartable(
        workspace: &Workspace,
        program: &Path,
        name: &str,
        config: EnvoyConfig,
        addresses: &Addresses,
        workers: u32,
        environment: &[(&str, &str)],
        restart: &mut HotRestart,
    ) -> Result<Self> {
        let file = workspace.target_folder("envoy")?.join(format!("{name}.{}.base-id", std::process::id()));
        let number = match &restart.base_id {
            Some(base_id) => vec!["--base-id".to_owned(), base_id.clone()],
            None => vec![
                "--use-dynamic-base-id".to_owned(),
                "--base-id-path".to_owned(),
                file.display().to_string(),
            ],
        };
        let mut arguments = number;
        for (name, value) in [
            ("--restart-epoch", u64::from(restart.epoch)),
            ("--drain-time-s", restart.drain.as_secs()),
            ("--parent-shutdown-time-s", restart.parent_shutdown.as_secs()),
        ] {
            arguments.extend([name.to_owned(), value.to_string()]);
        }
        let envoy = Self::launch(
            workspace,
            program,
            &format!("{name}-{}", restart.epoch),
            config,
            addresses,
            workers,
            environment,
            &arguments,
        )?;
        envoy.wait_until_ready(restart.epoch)?;
        if restart.base_id.is_none() {
            let number = std::fs::read_to_string(&file).context("Envoy told no number for its successors")?;
            restart.base_id = Some(number.trim().to_owned());
            std::fs::remove_file(&file)?;
        }
        restart.epoch = restart.epoch.saturating_add(1);
        Ok(envoy)
    }

    #[expect(clippy::too_many_arguments, reason = "what a start takes, and how it comes about")]
    fn launch(
        workspace: &Workspace,
        program: &Path,
        name: &str,
        config: EnvoyConfig,
        addresses: &Addresses,
        workers: u32,
        environment: &[(&str, &str)],
        arguments: &[String],
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
            .args(arguments)
            // Lines of the access log are looked for at once.
            .args(["--file-flush-interval-msec", "100"])
            .args(["--log-level", "warning"])
            .args(["--component-log-level", "wasm:info"])
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        Ok(Self {
            process: Running::start(&mut command, "Envoy")?,
            listen: addresses.listen,
            admin: addresses.admin,
            log,
        })
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
    fn wait_until_ready(&self, epoch: u32) -> Result<()> {
        let began = Instant::now();
        while began.elapsed() < START_DEADLINE {
            if let Some(status) = self.process.ended()? {
                bail!(
                    "Envoy did not start ({status}); the end of {}:\n{}",
                    self.log.display(),
                    self.log_tail()
                );
            }
            // Of the one before, as long as that has the admin page's address.
            let told = Request::new("GET", "/server_info").send(self.admin);
            let told: Value =
                told.ok().and_then(|told| serde_json::from_slice(&told.body).ok()).unwrap_or_default();
            let is_of = told.pointer("/command_line_options/restart_epoch").and_then(Value::as_u64);
            let is_live = told.get("state").and_then(Value::as_str) == Some("LIVE");
            if is_live && is_of.unwrap_or(0) == u64::from(epoch) {
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

/// Envoys of one address that take over from each other: each is started beside the one before, has
/// its sockets passed on, and tells it to drain and then to end.
pub struct HotRestart {
    /// What they know each other by on this machine, once the first has chosen it.
    base_id: Option<String>,
    epoch: u32,
    /// How long connections of the one before are asked to close, with each answer.
    pub drain: Duration,
    /// After which it is ended, whatever is still open.
    pub parent_shutdown: Duration,
}

impl HotRestart {
    /// No Envoy yet.
    pub fn new(drain: Duration, parent_shutdown: Duration) -> Self {
        Self { base_id: None, epoch: 0, drain, parent_shutdown }
    }
}

/// The memory by which they found each other stays behind.
impl Drop for HotRestart {
    fn drop(&mut self) {
        if let Some(base_id) = &self.base_id {
            // Envoy's own name for it, of which the last digit is not the base's.
            let _ = std::fs::remove_file(format!("/dev/shm/envoy_shared_memory_{base_id}0"));
        }
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

/// Compiling the plugin takes V8 about a second; a busy machine may take more than a minute.
const START_DEADLINE: Duration = Duration::from_secs(180);

/// Short beside the second that a start takes, long enough to cost nothing.
const POLL: Duration = Duration::from_millis(20);
