//! A real registry for images on loopback, from the system's packages, for the tests: it keeps
//! what it is sent in a folder of its own, is ended by its own pid, and is gone afterwards.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tempfile::TempDir;

use crate::children::Running;
use crate::http::Request;
use crate::net;
use crate::system_packages::Unpacked;

/// CNCF's distribution, once Docker's, by Debian's name. To install it would start a registry that
/// everybody can reach.
pub const PROGRAM: Unpacked =
    Unpacked { package: "docker-registry", name: "docker-registry", variable: "PORTCULLIS_REGISTRY" };

/// A running registry.
pub struct Registry {
    process: Running,
    folder: TempDir,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Registry {
    /// Starts a registry and waits until it answers. With `users`, lines of an htpasswd file with
    /// bcrypt, it lets in nobody else.
    ///
    /// # Errors
    /// What failed, and what the registry said.
    pub fn start(program: &Path, users: Option<&str>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let [address] = net::free()?;
        let at = |name: &str| folder.path().join(name);
        // YAML takes JSON's strings.
        let path = |name: &str| serde_json::to_string(&at(name));
        let mut config = format!(
            "version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: \"{address}\"}}\n",
            path("kept")?
        );
        if let Some(users) = users {
            fs::write(at("users"), users)?;
            config.push_str(&format!("auth: {{htpasswd: {{realm: tests, path: {}}}}}\n", path("users")?));
        }
        fs::write(at("config.yml"), config)?;
        let log = File::create(at("log"))?;
        let mut command = Command::new(program);
        command.arg("serve").arg(at("config.yml"));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let process = Running::start(&mut command, "the registry")?;
        let registry = Self { process, folder, address };
        registry.wait_until_ready()?;
        Ok(registry)
    }

    /// The file in which it keeps what has this digest.
    pub fn file_of(&self, digest: &str) -> PathBuf {
        let hex = digest.trim_start_matches("sha256:");
        let blobs = self.folder.path().join("kept/docker/registry/v2/blobs/sha256");
        blobs.join(hex.get(..2).unwrap_or_default()).join(hex).join("data")
    }

    fn wait_until_ready(&self) -> Result<()> {
        let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let began = Instant::now();
        while began.elapsed() < START_DEADLINE {
            if let Some(status) = self.process.ended()? {
                bail!("the registry did not start ({status}):\n{}", log());
            }
            let answer = Request::new("GET", "/v2/").send(self.address);
            // 401 from one with users.
            if answer.is_ok_and(|answer| answer.status == 200 || answer.status == 401) {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        bail!("the registry did not answer within {} s:\n{}", START_DEADLINE.as_secs(), log())
    }
}

/// A start takes a fraction of a second; a busy machine gets thirty.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// Short beside the time that a start takes.
const POLL: Duration = Duration::from_millis(20);
