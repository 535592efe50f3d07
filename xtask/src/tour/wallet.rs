//! The tour's keys and credentials, made afresh by the CLI and, where there is
//! a Python, by the public Modei client; kept in `target/demo/`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use crate::envoy_config::GateConfig;
use crate::progress;
use crate::tools::Python;
use crate::workspace::Workspace;

/// Credentials by name, each also as a header file for curl.
pub(crate) struct Wallet {
    folder: PathBuf,
    headers: BTreeMap<&'static str, String>,
    /// The demonstration issuer's public key, standard base64.
    issuer_key: String,
}

impl Wallet {
    /// Makes keys and credentials; what an earlier run left is replaced.
    pub(crate) fn fill(workspace: &Workspace, cli: &Path, python: Option<&Python>) -> Result<Self> {
        let folder = workspace.target_folder("demo")?;
        std::fs::remove_dir_all(&folder)?;
        std::fs::create_dir_all(&folder)?;
        let cli = Cli { program: cli, folder: &folder };
        let issuer_key = cli.keygen("issuer")?;
        cli.keygen("agent")?;
        cli.keygen("helper")?;

        let good = cli.self_issue("agent", "good")?;
        let expired = cli.expired("agent", "expired")?;
        let issued = cli.issue("issuer", "agent", "issued")?;
        let delegated = cli.delegate("good", "agent", "helper", "delegated")?;
        let mut credentials = BTreeMap::from([
            ("forged", forge(&good)?),
            ("good", good),
            ("expired", expired),
            ("issued", issued),
            ("delegated", delegated),
        ]);
        if let Some(python) = python {
            let mut made = from_modei_client(python)?;
            let mut take =
                |name: &str| made.remove(name).with_context(|| format!("the Modei client made no `{name}`"));
            let modei = take("modei")?;
            credentials.insert("modei-forged", forge(&modei)?);
            credentials.insert("modei", modei);
            credentials.insert("modei-delegated", take("modei-delegated")?);
        }

        let mut wallet = Self { folder, headers: BTreeMap::new(), issuer_key };
        for (name, text) in credentials {
            let value = format!(":{}:", Base64::encode_string(text.as_bytes()));
            std::fs::write(wallet.file(name), format!("Agent-Passport: {value}\n"))?;
            wallet.headers.insert(name, value);
        }
        Ok(wallet)
    }

    /// The header value of a credential; none if it was not made here.
    pub(crate) fn credential(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The file that holds a credential as a header line.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.header"))
    }

    /// Lets the gate trust the demonstration issuer's fresh key, in place of
    /// the shipped one, with which nobody can issue.
    pub(crate) fn trust(&self, gate: &mut GateConfig) -> Result<()> {
        let path = "/trust/issuers/0/keys/0/public_key";
        gate.put(path, json!(self.issuer_key))
    }
}

/// The portcullis program, writing into one folder.
struct Cli<'a> {
    program: &'a Path,
    folder: &'a Path,
}

impl Cli<'_> {
    /// Makes a credential file (Modei credential file v1); gives its public key.
    fn keygen(&self, name: &str) -> Result<String> {
        let file = self.key(name);
        self.run(&["keygen", "--out", path(&file)?])?;
        let text = std::fs::read(&file)
            .with_context(|| format!("`portcullis keygen` wrote no {}", file.display()))?;
        let key: Value = serde_json::from_slice(&text)?;
        key.get("public_key_base64")
            .and_then(Value::as_str)
            .map(str::to_owned)
            .with_context(|| format!("{} holds no public key", file.display()))
    }

    fn self_issue(&self, agent: &str, name: &str) -> Result<String> {
        let key = self.key(agent);
        self.make(
            name,
            "issue",
            &["--key", path(&key)?, "--permission", "flights:search", "--expires-in", "1h", "--delegable"],
        )
    }

    fn expired(&self, agent: &str, name: &str) -> Result<String> {
        let key = self.key(agent);
        self.make(
            name,
            "issue",
            &[
                "--key",
                path(&key)?,
                "--permission",
                "flights:search",
                "--at",
                "2026-01-01T00:00:00Z",
                "--expires-in",
                "1h",
            ],
        )
    }

    fn issue(&self, issuer: &str, agent: &str, name: &str) -> Result<String> {
        let (issuer, agent) = (self.key(issuer), self.key(agent));
        self.make(
            name,
            "issue",
            &[
                "--key",
                path(&issuer)?,
                "--as",
                "platform",
                "--issuer",
                "issuer:acme-demo",
                "--key-id",
                "ik_1",
                "--agent-key",
                path(&agent)?,
                "--permission",
                "flights:book",
                "--expires-in",
                "1h",
            ],
        )
    }

    fn delegate(&self, parent: &str, from: &str, to: &str, name: &str) -> Result<String> {
        let parent = self.folder.join(format!("{parent}.json"));
        let (from, to) = (self.key(from), self.key(to));
        self.make(
            name,
            "delegate",
            &[
                "--parent",
                path(&parent)?,
                "--key",
                path(&from)?,
                "--to",
                path(&to)?,
                "--permission",
                "flights:search",
                "--expires-in",
                "30m",
            ],
        )
    }

    /// Runs a command that writes a signed passport to `<name>.json`; gives it.
    fn make(&self, name: &str, command: &str, arguments: &[&str]) -> Result<String> {
        let file = self.folder.join(format!("{name}.json"));
        let out = ["--out", path(&file)?];
        self.run(&[&[command], arguments, &out].concat())?;
        std::fs::read_to_string(&file)
            .with_context(|| format!("`portcullis {command}` wrote no {}", file.display()))
    }

    fn key(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.key.json"))
    }

    fn run(&self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new(self.program);
        let output = command.args(arguments).output().context("cannot run the portcullis program")?;
        if !output.status.success() {
            bail!(
                "`{}` failed ({}):\n{}",
                progress::shown(&command),
                output.status,
                String::from_utf8_lossy(&output.stderr).trim_end()
            );
        }
        Ok(())
    }
}

/// Runs the script beside this file in the private Python.
fn from_modei_client(python: &Python) -> Result<BTreeMap<String, String>> {
    let output = Command::new(&python.python)
        .args(["-c", include_str!("modei_client.py")])
        .output()
        .context("cannot run the private Python")?;
    ensure!(output.status.success(), "the Modei client failed:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// A signed passport with one byte of its signature changed: still 64 bytes,
/// still base64, and wrong.
fn forge(credential: &str) -> Result<String> {
    let mut whole: Value = serde_json::from_str(credential)?;
    let signature = whole.get_mut("signature").context("no signature")?;
    let text = signature.as_str().context("the signature is no text")?;
    let mut bytes =
        Base64::decode_vec(text).map_err(|error| anyhow::anyhow!("the signature is not base64: {error}"))?;
    // In its first half, R: the second, S, would be refused as malformed when
    // no longer below the group's order (RFC 8032, 5.1.7).
    let byte = bytes.get_mut(5).context("the signature is too short")?;
    *byte ^= 1;
    *signature = json!(Base64::encode_string(&bytes));
    Ok(whole.to_string())
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("the target folder's path is not UTF-8")
}
