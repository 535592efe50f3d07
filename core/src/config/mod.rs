//! A gate's configuration as it is written: JSON, every member known, every error
//! naming its place. What it means is [`Snapshot`](crate::Snapshot)'s business.

mod guardrails;
mod mcp;
mod prices;
mod read;
mod read_trust;
mod service;
mod spot;
mod trust;
mod windows;

pub use guardrails::{
    AnonymousConfig, ApprovalConfig, AttestConfig, AttestPolicy, GuardrailsConfig, PassportConstraintsConfig,
    SpendConfig,
};
pub use mcp::{McpConfig, McpTargetConfig};
pub use prices::{CatalogPricesConfig, PriceSince};
pub(crate) use read::{Place, within};
pub use service::{GateConfiguration, Service, ServiceConfig};
pub(crate) use spot::{Spot, checked};
pub use trust::{
    AcceptSelfSigned, BadgeIssuerConfig, Compatibility, DidDocumentConfig, DisabledAgent, IssuerConfig,
    IssuerKind, KeyConfig, RevokedBadge, RevokedPassport, SelfIssuedConfig, SimpleGuardAgent, TrustConfig,
};
pub use windows::{Windows, WindowsConfig};

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::Serialize;

/// The configuration of one gate.
#[derive(Clone, Debug, Serialize)]
pub struct Config {
    /// Which gate this is.
    pub gate: GateConfig,
    /// The proxy that the gate runs in. Left out: `envoy`.
    #[serde(skip_serializing_if = "HostKind::is_envoy")]
    pub host: HostKind,
    /// How strictly it checks.
    pub profile: Profile,
    /// Whether it blocks. Left out: `enforce`.
    pub mode: Mode,
    /// The gate's own hosts, `host` or `host:port` in lower case, as requests name them.
    pub authorities: Vec<String>,
    /// What may be asked, and the action each request amounts to.
    pub routes: Vec<RouteConfig>,
    /// Whom the gate trusts. Left out: nobody.
    pub trust: TrustConfig,
    /// What becomes of reserved headers that a client sent. Left out: `strip`.
    pub reserved_headers: ReservedHeaders,
    /// Memory for verified credentials in each VM, in bytes. Left out: 4 MiB.
    pub cache_bytes: u32,
    /// The SHA-256 of each catalog that the gate has published, in lower-case hexadecimal,
    /// that of version 1 first; at most 1,000. A passport that is pinned to another is
    /// refused. Left out: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub catalog_hashes: Vec<String>,
    /// What each action costs by these catalogs, at most 10,000 actions. Left out: nothing. The
    /// control service alone sets it, as nobody else takes what is metered.
    #[serde(skip_serializing_if = "CatalogPricesConfig::is_empty")]
    pub catalog_prices: CatalogPricesConfig,
    /// The names by which badges may call this gate in `aud`. Left out: the origin
    /// `https://AUTHORITY` of each of the gate's hosts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audiences: Option<Vec<String>>,
    /// The longest body that is read where a signature covers it, in bytes. Left out:
    /// 1 MiB. The proxy's own limit for buffered bodies must be no lower.
    pub max_body_bytes: u32,
    /// How long things are good for. Left out: as the profile has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub windows: Option<WindowsConfig>,
    /// Whether the control service must say, of each request that would pass, that what
    /// may be used once was not used at another proxy of this gate. Left out: false. Only
    /// for gates with live trust material. Nothing passes twice then, whatever routes say of
    /// repeats.
    #[serde(skip_serializing_if = "is_false")]
    pub nonce_authority: bool,
    /// What the gate asks of requests beyond who makes them, in any of the three vocabularies
    /// (see [`guardrails`](crate::guardrails)), and by action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guardrails: Option<GuardrailsConfig>,
    /// What may be asked without a credential. Left out: only what is public.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anonymous: Option<AnonymousConfig>,
    /// What becomes of requests whose decision cannot be recorded. Left out: `required` at L2
    /// and L3, `best_effort` at L1, `off` without a control service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attest: Option<AttestConfig>,
    /// Requests that a person has approved, at most 1,000. The control service alone sets
    /// them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<ApprovalConfig>,
    /// What is asked of passports beyond what was signed with them, of at most 1,000. The
    /// control service alone sets it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub passport_constraints: Vec<PassportConstraintsConfig>,
    /// Where it is kept what was spent. Left out: at the control service; a gate without one
    /// refuses whatever has caps on that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spend: Option<SpendConfig>,
}

/// `gate`.
#[derive(Clone, Debug, Serialize)]
pub struct GateConfig {
    /// The gate's id, 1 to 256 printable ASCII characters.
    pub id: String,
    /// Its name, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// How strictly a gate checks.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Profile {
    /// Baseline: the credential alone.
    L1,
    /// Trusted: a proof with each request, fresh revocation.
    L2,
    /// Verified: a proof over the gate's own challenge.
    L3,
}

impl Profile {
    /// `L1`, `L2` or `L3`.
    pub const fn name(self) -> &'static str {
        match self {
            Profile::L1 => "L1",
            Profile::L2 => "L2",
            Profile::L3 => "L3",
        }
    }
}

/// What a refusal does.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It stops the request.
    #[default]
    Enforce,
    /// It is recorded, and the request goes on without an identity.
    Report,
}

/// The proxy that a gate runs in. What differs between them follows from this alone.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HostKind {
    /// Envoy, and whatever does as it does.
    #[default]
    Envoy,
    /// nginx with ngx_wasm_module, which takes no header out of a request and shows a body only
    /// to those who let its head go on.
    Nginx,
}

impl HostKind {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_envoy(&self) -> bool {
        *self == HostKind::Envoy
    }
}

/// What becomes of headers that a client sent and only a gate may set, or that would
/// show the upstream another method or path than the gate has judged.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
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
#[derive(Clone, Debug, Default, Serialize)]
pub struct RouteConfig {
    /// This path and no other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Every path that begins with this; ends with `/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_prefix: Option<String>,
    /// The methods, in capitals.
    pub methods: Vec<String>,
    /// The action that a request on this route amounts to, as permissions name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Whether no credential is asked for.
    #[serde(skip_serializing_if = "is_false")]
    pub public: bool,
    /// Whether refusals block on this route. Left out: as the gate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Whether the credential's header stays for the upstream.
    #[serde(skip_serializing_if = "is_false")]
    pub keep_credential: bool,
    /// Whether a request may switch protocols (WebSocket), after which the gate sees
    /// nothing more of it.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_upgrade: bool,
    /// What becomes of a SimpleGuard signature that comes again. Left out: `refuse`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simpleguard_repeats: Option<Repeats>,
    /// What a request costs, in cents. Left out: nothing.
    #[serde(skip_serializing_if = "is_zero")]
    pub cost_cents: u64,
    /// The host that a request is for in the end, in lower case. Left out: the request's
    /// authority, without its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_domain: Option<String>,
    /// The model that a request leads to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What the messages amount to that are sent to an MCP server here with POST. Left out: no
    /// request's body is read for what it asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mcp: Option<McpConfig>,
}

/// What becomes of a signature that comes again. Such a signature has times in whole
/// seconds and nothing random, so an agent that asks the same twice within a second sends
/// the same signature twice.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeats {
    /// It is refused: whoever has seen it could have sent it.
    #[default]
    Refuse,
    /// It passes within a second of its first use: for routes where doing the same twice
    /// does no harm.
    SameSecond,
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
    pub fn new(path: impl AsRef<str>, problem: impl AsRef<str>) -> Self {
        Self::at(path.as_ref(), problem.as_ref())
    }

    // Apart, as there are some sixty places that make one and none that does it twice.
    #[cold]
    #[inline(never)]
    fn at(path: &str, problem: &str) -> Self {
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference; no lint where that is smaller"
)]
fn is_zero(value: &u64) -> bool {
    *value == 0
}
