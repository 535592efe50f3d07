//! `portcullis bundle`.

use crate::bundle_badges::{BadgeArgs, read_jwks};
use crate::files::{self, Existing, Readers};
use crate::keyfile;
use crate::output::{Answer, Lines, Verdict};
use crate::trust::{self, MAX_BYTES};
use crate::trust_store::{Folder, Trusted};
use anyhow::{Context, Result, bail};
use portcullis_core::json::{self, Limits, Object, Value, canonical_text};
use portcullis_core::{
    Config, ConfigError, DisabledAgent, IssuerConfig, KeyConfig, Profile, RevokedPassport, SelfIssuedConfig,
    SimpleGuardAgent, Snapshot, Trust, TrustConfig, base64,
};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Make a gate's trust material from files, or check a gate's configuration
///
/// Written is the trust material, or with --config the whole configuration with that
/// material in it: the JSON text that goes into the proxy's StringValue. Nothing is
/// written that a gate would refuse.
///
/// An issuer's file: {"id": "issuer:org_1", "type": "platform", "tier": 2,
/// "actions": ["flights:*"], "keys": [{"key_id": "ik_1", "public_key_file": "ik_1.pem"}]}.
/// Beside key_id a key has public_key (base64) or public_key_file (PEM, JWK or base64;
/// relative to the issuer's file), and optionally not_before and not_after.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("source").required(true).multiple(true)
    .args(["issuers", "self_issued", "trust_store", "badge_issuers", "accept_self_signed", "config"])))]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// An issuer to trust; repeatable
    #[arg(long = "issuer", value_name = "FILE")]
    issuers: Vec<PathBuf>,
    /// Admit self-issued passports, for these actions
    #[arg(long, value_name = "ACTION,…", value_delimiter = ',')]
    self_issued: Vec<String>,
    /// Admit SimpleGuard signatures by the keys in this folder's capiscio_keys/trusted;
    /// see `portcullis trust`
    #[arg(long, value_name = "DIR", requires = "trust_store_actions")]
    trust_store: Option<PathBuf>,
    /// What the agents of the trust store may do; `*` is everything, as in CapiscIO's SDK
    #[arg(long, value_name = "ACTION,…", value_delimiter = ',', requires = "trust_store")]
    trust_store_actions: Vec<String>,
    /// Leave out files of the trust store that cannot be used, and say so, so that they do
    /// not keep the removal of another key from taking effect
    #[arg(long, requires = "trust_store")]
    skip_unusable: bool,
    #[command(flatten)]
    badges: BadgeArgs,
    /// Revoke a passport and whatever was delegated from it; repeatable
    #[arg(long = "revoke", value_name = "ISSUER/PASSPORT_ID", value_parser = scoped)]
    revoked: Vec<Scoped>,
    /// Refuse an agent, whatever it presents; repeatable
    #[arg(long = "disable", value_name = "ISSUER/AGENT_ID", value_parser = scoped)]
    disabled: Vec<Scoped>,
    /// Put the material into this gate's configuration and check the whole
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// To this file; `-` is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
}

/// An id and the issuer within which it is unique.
#[derive(Clone)]
struct Scoped {
    issuer: String,
    id: String,
}

/// Makes trust material, checks it as a gate would, and writes it.
pub(crate) fn run(args: &Args) -> Result<Answer> {
    let store = args.store()?;
    let material = args.material(&store)?;
    let (text, json, material) = match &args.config {
        None => {
            args.check(&material, Profile::L1, &store)?;
            (serde_json::to_string_pretty(&material)?, serde_json::to_value(&material)?, material)
        }
        Some(path) => {
            let config = args.merged(path, material, &store)?;
            (serde_json::to_string_pretty(&config)?, serde_json::to_value(&config)?, config.trust)
        }
    };
    let is_printed = files::is_standard(&args.out);
    if !is_printed {
        keyfile::keep(&args.out)?;
        files::write(&args.out, &format!("{text}\n"), Readers::Umask, Existing::Replace)?;
    }
    let made = Made {
        file: (!is_printed).then(|| args.out.display().to_string()),
        issuers: material.issuers.len(),
        keys: material.issuers.iter().map(|issuer| issuer.keys.len()).sum(),
        badge_issuers: material.badge_issuers.len(),
        accept_self_signed: material.accept_self_signed.map(|accepted| accepted.actions),
        revoked_badges: material.revoked_badges.len(),
        self_issued: material.self_issued.map(|self_issued| self_issued.actions),
        simpleguard_agents: material.simpleguard_agents.len(),
        revoked_passports: material.revoked_passports.len(),
        disabled_agents: material.disabled_agents.len(),
        bundle: is_printed.then_some(json),
    };
    let human = if is_printed { text } else { made.to_text(&args.out, args.config.is_some()) };
    Ok(Answer::new(Verdict::Done, human, &made)?.noting(store.warnings))
}

impl Args {
    /// The trust store, all of it usable or, where that was asked for, warned of.
    fn store(&self) -> Result<Folder> {
        let Some(path) = &self.trust_store else { return Ok(Folder::default()) };
        let mut folder = Folder::read(path)?;
        for fault in std::mem::take(&mut folder.faults) {
            if !self.skip_unusable {
                bail!("{}", fault.to_text());
            }
            folder.warnings.push(format!("{}; its kid is not trusted", fault.to_text()));
        }
        Ok(folder)
    }

    fn material(&self, store: &Folder) -> Result<TrustConfig> {
        let self_issued =
            (!self.self_issued.is_empty()).then(|| SelfIssuedConfig { actions: self.self_issued.clone() });
        let revoked = self.revoked.iter().cloned();
        let disabled = self.disabled.iter().cloned();
        let mut material = TrustConfig {
            issuers: self.issuers.iter().map(|path| read_issuer(path)).collect::<Result<_>>()?,
            self_issued,
            simpleguard_agents: store.keys.iter().map(|trusted| self.simpleguard_agent(trusted)).collect(),
            revoked_passports: revoked
                .map(|entry| RevokedPassport { issuer: entry.issuer, passport_id: entry.id })
                .collect(),
            disabled_agents: disabled
                .map(|entry| DisabledAgent { issuer: entry.issuer, agent_id: entry.id })
                .collect(),
            ..TrustConfig::default()
        };
        self.badges.add_to(&mut material)?;
        Ok(material)
    }

    fn simpleguard_agent(&self, trusted: &Trusted) -> SimpleGuardAgent {
        let key = KeyConfig {
            key_id: trusted.kid().to_owned(),
            public_key: base64::encode(&trusted.key),
            not_before: None,
            not_after: None,
        };
        SimpleGuardAgent { key, actions: self.trust_store_actions.clone() }
    }

    /// The configuration at `path` with `material` in it, checked whole.
    fn merged(&self, path: &Path, material: TrustConfig, store: &Folder) -> Result<Config> {
        let bytes = files::read(path, MAX_BYTES)?.bytes;
        let mut config = Config::from_json(&bytes).map_err(|error| trust::at(path, &error))?;
        if !is_empty(&material) {
            if !is_empty(&config.trust) {
                bail!(
                    "{}: trust: is there already; take it out, or leave out what would be put in its place",
                    path.display()
                );
            }
            self.check(&material, config.profile, store)?;
            config.trust = material;
        }
        Snapshot::of_static(&config).map_err(|error| trust::at(path, &error))?;
        Ok(config)
    }

    /// Checks material as a gate would; an error names the file or the argument that the
    /// member came from.
    fn check(&self, material: &TrustConfig, profile: Profile, store: &Folder) -> Result<()> {
        let Err(error) = Trust::new(material, profile) else { return Ok(()) };
        let (list, member) = error.path.split_once(']').unwrap_or((&error.path, ""));
        let (list, index) = list.split_once('[').unwrap_or((list, ""));
        let index: Option<usize> = index.parse().ok();
        let member = member.trim_start_matches('.');
        let source = match (list, index.unwrap_or_default()) {
            ("trust.issuers", index) => self.issuers.get(index).map(|path| path.display().to_string()),
            // What stands there beside a key that was read are the actions.
            ("trust.simpleguard_agents", _) if member.starts_with("actions") => {
                Some("--trust-store-actions".to_owned())
            }
            ("trust.simpleguard_agents", index) => {
                store.keys.get(index).map(|trusted| trusted.file.display().to_string())
            }
            ("trust.badge_issuers", index) => {
                self.badges.badge_issuers.get(index).map(|path| path.display().to_string())
            }
            ("trust.accept_self_signed.actions", _) => Some("--accept-self-signed".to_owned()),
            ("trust.revoked_passports", index) => {
                self.revoked.get(index).map(|entry| entry.named("--revoke"))
            }
            ("trust.disabled_agents", index) => {
                self.disabled.get(index).map(|entry| entry.named("--disable"))
            }
            ("trust.self_issued.actions", index) => {
                self.self_issued.get(index).map(|action| format!("--self-issued {action}"))
            }
            _ => None,
        };
        let source = source.unwrap_or_else(|| error.path.clone());
        Err(trust::at(Path::new(&source), &ConfigError::new(member, error.problem.clone())))
    }
}

impl Scoped {
    /// The argument that it came from.
    fn named(&self, argument: &str) -> String {
        format!("{argument} {}/{}", self.issuer, self.id)
    }
}

#[derive(Serialize)]
struct Made {
    file: Option<String>,
    issuers: usize,
    keys: usize,
    self_issued: Option<Vec<String>>,
    simpleguard_agents: usize,
    badge_issuers: usize,
    accept_self_signed: Option<Vec<String>>,
    revoked_badges: usize,
    revoked_passports: usize,
    disabled_agents: usize,
    /// What was made, where no file was asked for.
    bundle: Option<serde_json::Value>,
}

impl Made {
    fn to_text(&self, path: &Path, is_whole: bool) -> String {
        let what = if is_whole { "Gate configuration, checked whole," } else { "Trust material" };
        let mut lines = Lines::headed(format!("{what} in {}", path.display()));
        lines.add("issuers", self.issuers.to_string());
        lines.add("keys", self.keys.to_string());
        let self_issued = self.self_issued.as_ref().map(|actions| actions.join(", "));
        lines.add("self-issued", self_issued.as_deref().unwrap_or("refused"));
        lines.add("simpleguard", self.simpleguard_agents.to_string());
        lines.add("badge issuers", self.badge_issuers.to_string());
        let self_signed = self.accept_self_signed.as_ref().map(|actions| actions.join(", "));
        lines.add("self-signed", self_signed.as_deref().unwrap_or("refused"));
        lines.add("revoked", self.revoked_passports.saturating_add(self.revoked_badges).to_string());
        lines.add("disabled", self.disabled_agents.to_string());
        lines.into_text()
    }
}

/// Reads an issuer as a person writes it down: as in a configuration, but a key may be
/// in a file of its own.
fn read_issuer(path: &Path) -> Result<IssuerConfig> {
    let read = read_listed(path, "issuers")?;
    read.issuers.into_iter().next().with_context(|| format!("{}: holds no issuer", path.display()))
}

/// Reads one entry of a list of issuers of either kind.
pub(crate) fn read_listed(path: &Path, list: &'static str) -> Result<TrustConfig> {
    // A thousand keys have some 200 KiB; within a configuration the issuer is nested
    // deeper by two.
    const LIMITS: Limits = Limits { bytes: 1 << 20, depth: 14, values: 65_536 };
    let here = |error: ConfigError| trust::at(path, &error);
    let bytes = files::read(path, LIMITS.bytes)?.bytes;
    let issuer =
        json::parse(&bytes, LIMITS).map_err(|error| here(ConfigError::new("", error.to_string())))?;
    let issuer = with_keys_from_files(&issuer, path)?;
    let material = Object::from([(list, Value::Array(vec![issuer]))]);
    TrustConfig::from_json(canonical_text(&material.into()).as_bytes()).map_err(|error| {
        let member = error.path.strip_prefix(&format!("{list}[0]")).unwrap_or(&error.path);
        here(ConfigError::new(member.trim_start_matches('.'), error.problem))
    })
}

/// The issuer with `public_key` in the place of each `public_key_file`.
fn with_keys_from_files<'v>(issuer: &Value<'v>, path: &Path) -> Result<Value<'v>> {
    let Some(object) = issuer.as_object() else { return Ok(issuer.clone()) };
    let folder = path.parent().unwrap_or(Path::new(""));
    if let Some(file) = object.get(JWKS_FILE) {
        let file =
            file.as_str().with_context(|| format!("{}: {JWKS_FILE}: must be a string", path.display()))?;
        return with_jwks(object, &folder.join(file));
    }
    let Some(keys) = object.get("keys").and_then(Value::as_array) else { return Ok(issuer.clone()) };
    let keys = keys.iter().enumerate().map(|(index, key)| {
        with_key_from_file(key, folder).with_context(|| format!("{}: keys[{index}]", path.display()))
    });
    let keys = keys.collect::<Result<_>>()?;
    let mut object = object.clone();
    object.set("keys", Value::Array(keys));
    Ok(object.into())
}

const JWKS_FILE: &str = "jwks_file";

/// The issuer with the keys of its JWK set.
fn with_jwks(issuer: &Object<'_>, file: &Path) -> Result<Value<'static>> {
    if issuer.get("keys").is_some() {
        bail!("{}: has both keys and {JWKS_FILE}; keep one", file.display());
    }
    let text = |text: &str| Value::from(text).into_owned();
    let keys = read_jwks(file)?.into_iter().map(|key| {
        Object::from([("key_id", text(&key.key_id)), ("public_key", text(&key.public_key))]).into()
    });
    let mut read = Object::default();
    for (name, value) in issuer.iter().filter(|(name, _)| *name != JWKS_FILE) {
        read.set(name, value.clone().into_owned());
    }
    read.set("keys", Value::Array(keys.collect()));
    Ok(read.into())
}

fn with_key_from_file<'v>(key: &Value<'v>, folder: &Path) -> Result<Value<'v>> {
    const FILE: &str = "public_key_file";
    let Some((object, file)) = key.as_object().and_then(|object| Some((object, object.get(FILE)?))) else {
        return Ok(key.clone());
    };
    if object.get("public_key").is_some() {
        bail!("has both public_key and public_key_file; keep one");
    }
    let file = file.as_str().context("public_key_file: must be a string")?;
    let bytes = keyfile::load_public(&folder.join(file)).context(FILE)?;
    let mut read = Object::default();
    for (name, value) in object.iter().filter(|(name, _)| *name != FILE) {
        read.set(name, value.clone());
    }
    read.set("public_key", Value::String(base64::encode(&bytes).into()));
    Ok(read.into())
}

fn is_empty(material: &TrustConfig) -> bool {
    // What is empty is not written.
    serde_json::to_value(material).is_ok_and(|written| written == serde_json::json!({}))
}

/// Ids of passports and agents have no slash in practice; issuers' may.
fn scoped(text: &str) -> Result<Scoped, String> {
    match text.rsplit_once('/') {
        Some((issuer, id)) if !issuer.is_empty() && !id.is_empty() => {
            Ok(Scoped { issuer: issuer.into(), id: id.into() })
        }
        _ => Err("expected is the issuer at the root, a slash, and the id".into()),
    }
}
