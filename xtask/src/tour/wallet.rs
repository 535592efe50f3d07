//! The tour's keys and credentials, made afresh by the CLI and, where there is
//! a Python, by the public Modei client; kept in `target/demo/`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail, ensure};
use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use crate::envoy_config::GateConfig;
use crate::progress;
use crate::tools::Python;
use crate::workspace::Workspace;

/// Credentials by name, each also as a header file for curl.
pub(crate) struct Wallet {
    folder: PathBuf,
    /// By name, the header and its value.
    headers: BTreeMap<&'static str, (&'static str, String)>,
    /// The demonstration issuer's public key, standard base64.
    issuer_key: String,
    /// The demonstration registry's.
    registry_key: String,
    /// The agent whose requests CapiscIO's client signs, as `trust.simpleguard_agents` has it.
    signer: Option<Value>,
}

impl Wallet {
    /// Makes keys and credentials; what an earlier run left is replaced.
    pub(crate) fn fill(workspace: &Workspace, cli: &Path, python: Option<&Python>) -> Result<Self> {
        let folder = workspace.target_folder("demo")?;
        std::fs::remove_dir_all(&folder)?;
        std::fs::create_dir_all(&folder)?;
        let cli = Cli { program: cli, folder: &folder };
        let issuer_key = cli.keygen("issuer")?;
        let registry_key = cli.keygen("registry")?;
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

        let badges = [("badge", cli.badge()?), ("own-badge", cli.own_badge()?)];
        let signed = python.map(|python| from_capiscio_client(python, &folder)).transpose()?;
        let signer = signed.as_ref().map(|signed| signed.agent.clone());
        let headers = BTreeMap::new();
        let mut wallet = Self { folder, headers, issuer_key, registry_key, signer };
        for (name, text) in credentials {
            wallet.keep(name, "agent-passport", format!(":{}:", Base64::encode_string(text.as_bytes())))?;
        }
        for (name, token) in badges {
            wallet.keep(name, "x-capiscio-badge", token)?;
        }
        if let Some(signed) = signed {
            wallet.keep("signature", "x-capiscio-jws", signed.jws)?;
        }
        Ok(wallet)
    }

    fn keep(&mut self, name: &'static str, header: &'static str, value: String) -> Result<()> {
        std::fs::write(self.file(name), format!("{header}: {value}\n"))?;
        self.headers.insert(name, (header, value));
        Ok(())
    }

    /// Leaves the signature out, where somebody else says whose are trusted.
    pub(crate) fn without_signature(mut self) -> Self {
        self.headers.remove("signature");
        self.signer = None;
        self
    }

    /// The header of a credential and its value; none if it was not made here.
    pub(crate) fn credential(&self, name: &str) -> Option<(&'static str, &str)> {
        self.headers.get(name).map(|(header, value)| (*header, value.as_str()))
    }

    /// The issuer and the id of a passport.
    pub(crate) fn passport(&self, name: &str) -> Result<(String, String)> {
        let (_, header) = self.credential(name).with_context(|| format!("there is no passport {name}"))?;
        let json = Base64::decode_vec(header.trim_matches(':')).map_err(|error| anyhow!("{error}"))?;
        let passport: Value = serde_json::from_slice(&json)?;
        let text = |pointer| passport.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        text("/passport_json/provenance/issuer/id")
            .zip(text("/passport_json/passport_id"))
            .with_context(|| format!("{name} is no passport"))
    }

    /// The file that holds a credential as a header line.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.header"))
    }

    /// Lets the gate trust the demonstration issuer's fresh key, in place of
    /// the shipped one, with which nobody can issue.
    pub(crate) fn trust(&self, gate: &mut GateConfig) -> Result<()> {
        gate.put("/trust/issuers/0/keys/0/public_key", json!(self.issuer_key))?;
        let registry = json!({
            "id": REGISTRY, "tier": 2, "actions": ["flights:search"],
            "keys": [{ "key_id": "registry-1", "public_key": self.registry_key }],
        });
        gate.put_trust("badge_issuers", json!([registry]))?;
        match &self.signer {
            Some(agent) => gate.put_trust("simpleguard_agents", json!([agent])),
            None => Ok(()),
        }
    }
}

const REGISTRY: &str = "https://registry.acme-demo.example";

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

    /// A badge of level 2 by the demonstration registry.
    fn badge(&self) -> Result<String> {
        let (registry, agent) = (self.key("registry"), self.key("agent"));
        let by = ["issue", "--key", path(&registry)?, "--kid", "registry-1", "--issuer", REGISTRY];
        let about = ["--agent-key", path(&agent)?, "--subject", "did:web:agents.acme-demo.example:bot"];
        let rest = ["--level", "2", "--domain", "acme-demo.example", "--expires-in", "1h"];
        self.make("badge", "badge", &[by.as_slice(), &about, &rest].concat())
    }

    /// A badge that the agent signed itself.
    fn own_badge(&self) -> Result<String> {
        let agent = self.key("agent");
        self.make(
            "own-badge",
            "badge",
            &["issue", "--key", path(&agent)?, "--self-sign", "--expires-in", "1h"],
        )
    }

    /// Runs a command that writes a credential to `<name>.json`; gives it.
    fn make(&self, name: &str, command: &str, arguments: &[&str]) -> Result<String> {
        let file = self.folder.join(format!("{name}.json"));
        let out = ["--out", path(&file)?];
        self.run(&[&[command], arguments, &out].concat())?;
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("`portcullis {command}` wrote no {}", file.display()))?;
        Ok(text.trim_end().to_owned())
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

/// What CapiscIO's client has signed.
struct SignedRequest {
    jws: String,
    agent: Value,
}

fn from_capiscio_client(python: &Python, folder: &Path) -> Result<SignedRequest> {
    let folder = folder.join("capiscio");
    std::fs::create_dir_all(&folder)?;
    let output = Command::new(&python.python)
        .args(["-c", include_str!("capiscio_client.py")])
        .arg(&folder)
        .output()
        .context("cannot run the private Python")?;
    ensure!(
        output.status.success(),
        "CapiscIO's client failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let made: Value = serde_json::from_slice(&output.stdout)?;
    let text =
        |name: &str| made.get(name).and_then(Value::as_str).context("CapiscIO's client left something out");
    let agent = json!({
        "key_id": text("kid")?, "public_key": text("public_key")?, "actions": ["flights:search"],
    });
    Ok(SignedRequest { jws: text("jws")?.to_owned(), agent })
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
