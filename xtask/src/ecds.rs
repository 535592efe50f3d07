//! The gate given to Envoy from a file beside its configuration, which Envoy reads again
//! whenever it is replaced: extension configuration discovery (ECDS) without a server.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::envoy::Envoy;
use crate::envoy_config::GateConfig;
use crate::http::Request;

/// The name by which Envoy asks for the gate, and counts what became of it.
pub const NAME: &str = "portcullis";

/// The gate's filter in a file of its own.
pub struct Discovered {
    /// What stood as `typed_config` in the filter chain.
    filter: Value,
    folder: PathBuf,
}

/// What Envoy made of a file that it was given.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It runs.
    Taken,
    /// It was refused, and the one before it goes on.
    Refused,
}

impl Discovered {
    pub(crate) fn new(filter: Value, folder: &Path) -> Self {
        Self { filter, folder: folder.to_owned() }
    }

    /// What stands in the filter chain in the gate's place. There is no default: without
    /// a usable gate nothing is let through.
    pub(crate) fn place(&self) -> Result<Value> {
        let folder = self.folder.to_str().context("the folder's path is not UTF-8")?;
        let file = self.file();
        let file = file.to_str().context("the file's path is not UTF-8")?;
        Ok(json!({
            "name": NAME,
            "config_discovery": {
                "config_source": {
                    "resource_api_version": "V3",
                    "path_config_source": { "path": file, "watched_directory": { "path": folder } },
                },
                "type_urls": ["type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"],
            },
        }))
    }

    /// The file that Envoy reads.
    pub fn file(&self) -> PathBuf {
        self.folder.join("gate.json")
    }

    /// The gate's own configuration.
    pub fn gate(&self) -> Result<GateConfig> {
        let text = self.filter.pointer(VALUE).and_then(Value::as_str);
        GateConfig::parse(text.context("the filter holds no gate configuration")?)
    }

    /// The plugin's file from the next publication on.
    pub fn set_plugin(&mut self, wasm: &Path) -> Result<()> {
        let wasm = wasm.to_str().context("the plugin's path is not UTF-8")?;
        *self.filter.pointer_mut(FILE).context("the filter holds no plugin's file")? = json!(wasm);
        Ok(())
    }

    /// Writes the file with this gate configuration, valid or not: whole, under another
    /// name, and then renamed, which is what Envoy watches for. Gives its version.
    pub fn publish(&mut self, gate: &str) -> Result<String> {
        *self.filter.pointer_mut(VALUE).context("the filter holds no gate configuration")? = json!(gate);
        // The same content has the same version, whoever writes it.
        let digest = Sha256::digest(self.filter.to_string());
        let version = Base64UrlUnpadded::encode_string(&digest);
        let response = json!({
            "version_info": version,
            "resources": [{
                "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
                "name": NAME,
                "typed_config": self.filter,
            }],
        });
        std::fs::create_dir_all(&self.folder)?;
        let unfinished = self.folder.join(".gate.json");
        std::fs::write(&unfinished, response.to_string())
            .and_then(|()| std::fs::rename(&unfinished, self.file()))
            .with_context(|| format!("cannot write {}", self.file().display()))?;
        Ok(version)
    }

    /// The same, and waits until `envoy` has taken or refused it.
    pub fn publish_to(&mut self, envoy: &Envoy, gate: &str) -> Result<Outcome> {
        let refused = Progress::read(envoy)?.refused;
        let version = self.publish(gate)?;
        let began = Instant::now();
        while began.elapsed() < DEADLINE {
            let now = Progress::read(envoy)?;
            if now.version.as_ref() == Some(&version) {
                return Ok(Outcome::Taken);
            }
            if now.refused > refused {
                return Ok(Outcome::Refused);
            }
            std::thread::sleep(POLL);
        }
        bail!("Envoy has neither taken nor refused {} within {} s", self.file().display(), DEADLINE.as_secs())
    }
}

/// How far Envoy is. Its counter `config_reload` does not tell: it counts refused ones too.
struct Progress {
    /// Of the configuration that runs.
    version: Option<String>,
    refused: u64,
}

impl Progress {
    fn read(envoy: &Envoy) -> Result<Self> {
        let prefix = format!("extension_config_discovery.http_filter.{NAME}.");
        let stats =
            Request::new("GET", &format!("/stats?filter=^{prefix}")).send_within(envoy.admin, DEADLINE)?;
        let text = String::from_utf8(stats.body)?;
        let value = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(&prefix)?.strip_prefix(name)?.strip_prefix(": "))
        };
        Ok(Self {
            version: value("version_text").map(|version| version.trim_matches('"').to_owned()),
            refused: value("update_rejected").and_then(|count| count.parse().ok()).unwrap_or(0),
        })
    }
}

/// The gate's configuration within the filter's.
const VALUE: &str = "/config/configuration/value";

/// The plugin's file within it.
const FILE: &str = "/config/vm_config/code/local/filename";

/// Compiling a plugin takes V8 about a second, on the thread of the admin page; a busy machine may take
/// a minute.
const DEADLINE: Duration = Duration::from_secs(180);

/// Envoy's admin page answers in less than a millisecond.
const POLL: Duration = Duration::from_millis(5);
