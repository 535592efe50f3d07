//! Scenarios: texts that say what is asked of a gate, what it answers, and what the
//! upstream sees. One set of texts runs on the harness and on real Envoy.

mod capiscio;
mod credential;
mod exceptions;
mod play;
mod proof;
mod wire;

pub use capiscio::{BadgeRecipe, SignatureRecipe};
pub use exceptions::{Excepted, Exceptions};
pub use play::{Answer, Arrived, Gate, Sent, play};
pub use proof::ProofRecipe;

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One file: cases for one gate.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What the file shows.
    pub about: String,
    /// The gate's configuration, a file below `tests/scenarios/`.
    pub gate: String,
    /// Whether the gate takes its trust material from a control service, as those of L2 and L3
    /// always do.
    #[serde(default)]
    pub live: bool,
    /// Credentials by name.
    #[serde(default)]
    pub credentials: BTreeMap<String, Recipe>,
    /// Trust Badges by name.
    #[serde(default)]
    pub badges: BTreeMap<String, BadgeRecipe>,
    /// SimpleGuard signatures by name.
    #[serde(default)]
    pub signatures: BTreeMap<String, SignatureRecipe>,
    /// What is asked, in this order, of one running gate.
    #[serde(rename = "case")]
    pub cases: Vec<Case>,
}

/// How a credential is made. Times are relative to the moment of the run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Whose it is; the name is the seed of the key.
    pub agent: String,
    /// What it grants.
    #[serde(default)]
    pub permissions: Vec<String>,
    /// JSON objects, by permission.
    #[serde(default)]
    pub constraints: BTreeMap<String, String>,
    /// The issuer that signs it: `platform:NAME` or `gate:NAME`; the name is the seed of
    /// its key, `issuer:NAME` its id, `ik_1` its key's id. Left out: the agent itself.
    pub issuer: Option<String>,
    /// The catalog that its issuer pins it to: version and hash. Where the gate has published its
    /// catalogs at a service, the hash is that of the version there.
    pub pin: Option<(i64, String)>,
    /// The credential that it is delegated from.
    pub parent: Option<String>,
    /// Seconds from now.
    #[serde(default = "an_hour_ago")]
    pub issued: i64,
    /// Seconds from now.
    #[serde(default = "in_an_hour")]
    pub expires: i64,
    /// Replacements in the signed JSON, which nobody signs again.
    #[serde(default)]
    pub forge: Vec<(String, String)>,
}

/// One request and what comes of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// A sentence.
    pub name: String,
    /// What a person does, before anything is sent, about the request that was held last.
    pub person: Option<Person>,
    /// What is sent.
    pub request: RequestText,
    /// What comes back.
    pub expect: Expected,
    /// What comes back from Envoy, where it answers before it asks the gate; says why.
    pub on_envoy: Option<OnEnvoy>,
    /// What the upstream sees; left out, it must see nothing.
    pub upstream: Option<Upstream>,
}

/// What a person answers who is asked for an approval.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Person {
    Approves,
    Denies,
}

/// A request. In `path`, header values and body, `{NAME}` is the value of the
/// `Agent-Passport` header for that credential, `{NAME.jwt}` a JWT, `{NAME.id}`,
/// `{NAME.agent_id}`, `{NAME.issuer}` its parts; for a badge or a signature `{NAME}` is the
/// token. A brace that JSON goes on after stands for itself. `{fill:N}` is N letters, `{sha256:TEXT}` and `{sha512:TEXT}` are digests in base64. Characters up to U+00FF are sent as one byte each.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestText {
    #[serde(default = "get")]
    pub method: String,
    pub path: String,
    /// Left out: the gate's own.
    pub authority: Option<String>,
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    pub body: Option<String>,
    /// A JSON-RPC message that is posted, as `application/json`.
    pub rpc: Option<String>,
    /// The body in these chunks (RFC 9112 section 7.1), instead of whole.
    pub chunks: Option<Vec<String>>,
    /// After the chunks.
    #[serde(default)]
    pub trailers: Vec<(String, String)>,
    /// How it is signed. Left out: not at all.
    pub proof: Option<ProofRecipe>,
    /// Seconds that go by before it is sent, where the clock can be moved.
    #[serde(default)]
    pub after: u64,
    /// Seconds that must be left of the minute in UTC, for this case and those that count with
    /// it; where there are fewer, the next minute is waited for.
    #[serde(default)]
    pub minute_left: u64,
}

/// An answer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    pub status: u16,
    /// The reason code of a refusal.
    pub reason: Option<String>,
    /// What the refusal says was found.
    pub detail: Option<String>,
    /// The most seconds that the answer may ask to wait; without it, it asks for none.
    pub retry_after: Option<u64>,
    /// The refusal as a JSON-RPC error: the id as JSON text, the code, and the status that the
    /// data tell. Left out: it is none.
    pub rpc: Option<(String, i64, u16)>,
    /// Headers that the answer has.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The receipt that the answer brings, whole; without it, it brings none.
    pub receipt: Option<ReceiptText>,
    /// Whether the answer brings the name of a receipt that is not made yet.
    #[serde(default)]
    pub names_receipt: bool,
    /// Whether the answer asks for a proof that answers a challenge (RFC 9421 section 5.1).
    pub asks: Option<bool>,
}

/// What a receipt says of a use.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct ReceiptText {
    pub action: String,
    pub outcome: String,
    pub status: u16,
    pub total_cents: u64,
    pub fee_cents: u64,
}

/// Another answer on Envoy.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnEnvoy {
    pub status: u16,
    pub reason: Option<String>,
    pub upstream: Option<Upstream>,
    /// Why Envoy answers so.
    pub because: String,
}

/// What arrives at the upstream.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// Left out: as sent.
    pub path: Option<String>,
    /// Headers that are there, once.
    #[serde(default)]
    pub has: Vec<(String, String)>,
    /// Headers that are not there, under this name or with `_` for `-`.
    #[serde(default)]
    pub lacks: Vec<String>,
    pub body: Option<String>,
}

/// The folder of the texts.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

/// All texts, by file name.
///
/// # Panics
/// Where one is unreadable: it would otherwise be skipped in silence.
pub fn load() -> BTreeMap<String, Scenario> {
    let mut scenarios = BTreeMap::new();
    for entry in std::fs::read_dir(folder()).expect("tests/scenarios") {
        let path = entry.expect("an entry of tests/scenarios").path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = std::fs::read_to_string(&path).expect("a scenario is readable");
            let scenario =
                toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            scenarios.insert(name, scenario);
        }
    }
    assert!(!scenarios.is_empty(), "there are no scenarios");
    scenarios
}

/// A scenario's gate configuration, for a gate at `authority`: `{authority}`, `{key:NAME}`,
/// `{did:NAME}` and `{uuid:NAME}` are filled in.
///
/// # Panics
/// Where the file is missing.
pub fn gate_configuration(scenario: &Scenario, authority: &str) -> String {
    let path = folder().join(&scenario.gate);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    credential::fill_keys(&text.replace("{authority}", authority))
}

/// Whether a scenario's gate, of this configuration, takes its trust material from a control
/// service: where the text says so, or the profile asks for material that is fresh.
///
/// # Panics
/// Where it is no JSON.
pub fn is_live(scenario: &Scenario, configuration: &str) -> bool {
    let gate: serde_json::Value = serde_json::from_str(configuration).expect("a configuration");
    scenario.live || gate["profile"] != "L1"
}

fn get() -> String {
    "GET".into()
}

fn an_hour_ago() -> i64 {
    -3600
}

fn in_an_hour() -> i64 {
    3600
}
