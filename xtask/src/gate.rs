//! The gate as a running thing: the same plugin in real Envoy or in the
//! embedded host, with one face for both.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::children::Running;
use crate::envoy::{self, Envoy};
use crate::envoy_config::EnvoyConfig;
use crate::workspace::Workspace;

/// A gate that serves.
pub(crate) enum Gate {
    /// The plugin in Envoy.
    Envoy(Envoy),
    /// The plugin in the embedded gate.
    Embedded(Embedded),
}

impl Gate {
    /// Where clients connect.
    pub(crate) fn listen(&self) -> SocketAddr {
        match self {
            Self::Envoy(envoy) => envoy.listen,
            Self::Embedded(embedded) => embedded.listen,
        }
    }

    /// Where it logs.
    pub(crate) fn log(&self) -> &PathBuf {
        match self {
            Self::Envoy(envoy) => &envoy.log,
            Self::Embedded(embedded) => &embedded.log,
        }
    }

    /// Whether it still runs.
    pub(crate) fn runs(&self) -> Result<bool> {
        match self {
            Self::Envoy(envoy) => envoy.runs(),
            Self::Embedded(embedded) => Ok(embedded.process.ended()?.is_none()),
        }
    }
}

/// `portcullis-gate`, the small reverse proxy that hosts the plugin on wasmtime.
pub(crate) struct Embedded {
    process: Running,
    listen: SocketAddr,
    log: PathBuf,
}

impl Embedded {
    /// Starts it with the gate configuration of `config` and waits until it
    /// takes connections, which it does only after the plugin has accepted
    /// its configuration.
    pub(crate) fn start(
        workspace: &Workspace,
        program: &PathBuf,
        wasm: &PathBuf,
        config: &EnvoyConfig,
        listen: SocketAddr,
        upstream: SocketAddr,
    ) -> Result<Self> {
        let folder = workspace.target_folder("demo")?;
        let file = folder.join("gate.json");
        let log = folder.join("gate.log");
        std::fs::write(&file, config.gate()?.to_text())?;
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(program);
        command
            .arg("--wasm")
            .arg(wasm)
            .arg("--config")
            .arg(&file)
            .args(["--listen", &listen.to_string()])
            .args(["--upstream", &upstream.to_string()])
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let embedded = Self { process: Running::start(&mut command, "the embedded gate")?, listen, log };
        embedded.wait_until_ready()?;
        Ok(embedded)
    }

    fn wait_until_ready(&self) -> Result<()> {
        let began = Instant::now();
        while began.elapsed() < START_DEADLINE {
            if let Some(status) = self.process.ended()? {
                bail!(
                    "the embedded gate did not start ({status}); the end of {}:\n{}",
                    self.log.display(),
                    envoy::tail(&self.log)
                );
            }
            if TcpStream::connect_timeout(&self.listen, POLL).is_ok() {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        bail!(
            "the embedded gate took no connections within {} s; the end of {}:\n{}",
            START_DEADLINE.as_secs(),
            self.log.display(),
            envoy::tail(&self.log)
        )
    }
}

/// Cranelift compiles the plugin in a few seconds, a debug build in more.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// Short beside the time that a start takes.
const POLL: Duration = Duration::from_millis(20);
