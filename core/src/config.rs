//! A gate's configuration as it is written: JSON, every member known, every error
//! naming its place. What it means is [`Snapshot`](crate::Snapshot)'s business.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// The configuration of one gate.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Which gate this is.
    pub gate: GateConfig,
    /// How strictly it checks.
    pub profile: Profile,
    /// Whether it blocks. Left out: `enforce`.
    #[serde(default)]
    pub mode: Mode,
    /// The gate's own hosts, `host` or `host:port` in lower case, as requests name them.
    pub authorities: Vec<String>,
    /// What may be asked, and the action each request amounts to.
    pub routes: Vec<RouteConfig>,
    /// Whom the gate trusts. Left out: nobody.
    #[serde(default)]
    pub trust: TrustConfig,
    /// What becomes of reserved headers that a client sent. Left out: `strip`.
    #[serde(default)]
    pub reserved_headers: ReservedHeaders,
    /// Memory for verified credentials in each VM, in bytes. Left out: 4 MiB.
    #[serde(default = "default_cache_bytes")]
    pub cache_bytes: u32,
}

/// `gate`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GateConfig {
    /// The gate's id, 1 to 256 printable ASCII characters.
    pub id: String,
    /// Its name, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// How strictly a gate checks.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Profile {
    /// Baseline: the credential alone.
    L1,
    /// Trusted: a proof with each request, fresh revocation.
    L2,
    /// Verified: a proof over the gate's own challenge.
    L3,
}

/// What a refusal does.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It stops the request.
    #[default]
    Enforce,
    /// It is recorded, and the request goes on without an identity.
    Report,
}

/// What becomes of headers that a client sent and only a gate may set, or that would
/// show the upstream another method or path than the gate has judged.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReservedHeaders {
    /// They are taken out.
    #[default]
    Strip,
    /// The request is refused, whatever the mode: for proxies that let a plugin take
    /// headers out, and then send them all the same.
    Refuse,
}

/// One entry of `routes`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// This path and no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Every path that begins with this; ends with `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_prefix: Option<String>,
    /// The methods, in capitals.
    pub methods: Vec<String>,
    /// The action that a request on this route amounts to, as permissions name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Whether no credential is asked for.
    #[serde(default, skip_serializing_if = "is_false")]
    pub public: bool,
    /// Whether refusals block on this route. Left out: as the gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Whether the credential's header stays for the upstream.
    #[serde(default, skip_serializing_if = "is_false")]
    pub keep_credential: bool,
    /// Whether a request may switch protocols (WebSocket), after which the gate sees
    /// nothing more of it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_upgrade: bool,
}

/// `trust`: static trust material, as `portcullis bundle` writes it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TrustConfig {
    /// The issuers whose passports are admitted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issuers: Vec<IssuerConfig>,
    /// What passports may do that agents sign for themselves. Left out: refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_issued: Option<SelfIssuedConfig>,
    /// Passports that are no longer good, however long they would be valid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked_passports: Vec<RevokedPassport>,
    /// Agents that may not act here, whatever they present.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disabled_agents: Vec<DisabledAgent>,
}

/// One entry of `trust.issuers`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// The issuer's id, as its passports name it.
    pub id: String,
    /// What kind of issuer it is.
    #[serde(rename = "type")]
    pub kind: IssuerKind,
    /// Who vouches for it: 1 (nobody but itself), 2 (its domain is verified), 3 (certified).
    pub tier: u8,
    /// The actions that it may grant here: names, `namespace:*`, or `*`.
    pub actions: Vec<String>,
    /// Its keys.
    pub keys: Vec<KeyConfig>,
}

/// The types of issuer that sign for others.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IssuerKind {
    /// A gate.
    Gate,
    /// A platform's managed issuer.
    Platform,
}

/// One key of an issuer.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// The key's id, as passports name it.
    pub key_id: String,
    /// Standard base64 of the 32 bytes of the Ed25519 key.
    pub public_key: String,
    /// The first moment at which the gate uses it, as RFC 3339 in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// The moment from which the gate no longer uses it, as RFC 3339 in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
}

/// `trust.self_issued`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SelfIssuedConfig {
    /// The actions that such passports may grant: names, `namespace:*`, or `*`.
    pub actions: Vec<String>,
}

/// One entry of `trust.revoked_passports`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RevokedPassport {
    /// The issuer at the root of the passport: passport ids are unique within it.
    pub issuer: String,
    /// The passport's id. Whatever was delegated from it is revoked too.
    pub passport_id: String,
}

/// One entry of `trust.disabled_agents`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DisabledAgent {
    /// The issuer at the root of the agent's passports: agent ids are unique within it.
    pub issuer: String,
    /// The agent's id. Whatever it delegated is refused too.
    pub agent_id: String,
}

impl Config {
    /// Reads a configuration. Members that are unknown, missing, doubled or of the
    /// wrong type are errors.
    ///
    /// # Errors
    /// [`ConfigError`] names the member.
    pub fn from_json(json: &[u8]) -> Result<Self, ConfigError> {
        // 64 MiB hold some 300,000 issuers; more would be a mistake, and every worker
        // of the proxy parses its own copy.
        const MAX_BYTES: usize = 64 * 1024 * 1024;
        if json.is_empty() {
            return Err(ConfigError::new("", "is missing: give the gate its configuration as JSON text"));
        }
        if json.len() > MAX_BYTES {
            return Err(ConfigError::new("", "is larger than 64 MiB"));
        }
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let config = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let path = error.path().to_string();
            let path = if path == "." { String::new() } else { path };
            ConfigError::new(path, error.into_inner().to_string())
        })?;
        deserializer.end().map_err(|error| ConfigError::new("", error.to_string()))?;
        Ok(config)
    }
}

/// What is wrong with a configuration, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The member, as in `routes[2].action`; empty for the whole.
    pub path: String,
    /// What is wrong with it.
    pub problem: String,
}

impl ConfigError {
    /// An error at `path`.
    pub fn new(path: impl Into<String>, problem: impl Into<String>) -> Self {
        ConfigError { path: path.into(), problem: problem.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "the configuration" } else { &self.path };
        write!(formatter, "{path}: {}", self.problem)
    }
}

impl core::error::Error for ConfigError {}

fn default_cache_bytes() -> u32 {
    // Some 3,000 passports of usual size, in each worker.
    4 * 1024 * 1024
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}
