//! The gate behind the doors: who is trusted, and what may be asked.

use super::keys::key;
use portcullis_core::modei::{Issuer, RootKind};
use portcullis_core::{Config, Profile, Snapshot, Trust, TrustConfig, UnixTime, base64};
use std::sync::LazyLock;

/// 2026-06-01T12:00:00.000Z, when the vectors' passports are in the middle of their time.
pub const NOW: UnixTime = UnixTime::from_millis(1_780_315_200_000);

/// The gate as it is, and as it would be if it trusted nobody or had revoked more.
pub(super) struct Gate {
    pub(super) config: Config,
    pub(super) snapshot: Snapshot,
    pub(super) trust: Trust,
    /// The same routes, no trust material at all.
    pub(super) trusting_nobody: Snapshot,
    pub(super) nobody: Trust,
    /// The same, with one passport of each issuer revoked and one agent disabled.
    pub(super) revoking: Snapshot,
    pub(super) revoked: TrustConfig,
}

pub(super) static GATE: LazyLock<Gate> = LazyLock::new(|| {
    let (config, revoking) = (config(""), config(REVOKED));
    let snapshot = |config: &Config| Snapshot::of_static(config).expect("the gate's configuration is good");
    let trust = |config: &TrustConfig| Trust::new(config, Profile::L1).expect("and its trust material");
    Gate {
        snapshot: snapshot(&config),
        trust: trust(&config.trust),
        trusting_nobody: snapshot(&Config { trust: TrustConfig::default(), ..config.clone() }),
        nobody: trust(&TrustConfig::default()),
        revoking: snapshot(&revoking),
        revoked: revoking.trust,
        config,
    }
});

/// The managed issuers that the gate trusts, each with the name of its key.
pub fn issuers() -> [(Issuer, &'static str); 2] {
    let issuer = |kind, name: &str, gate_id: Option<&str>| Issuer {
        kind,
        id: format!("issuer:{name}"),
        key_id: "ik_1".into(),
        gate_id: gate_id.map(Into::into),
    };
    [
        (issuer(RootKind::Platform, "acme", None), "acme"),
        (issuer(RootKind::Gate, "tower", Some("gate_tower")), "tower"),
    ]
}

fn config(revoked: &str) -> Config {
    let public_key = |owner: &str| base64::encode(&key(owner).public_key());
    let text = TEXT
        .replace("{revoked}", revoked)
        .replace("{acme}", &public_key("acme"))
        .replace("{tower}", &public_key("tower"));
    Config::from_json(text.as_bytes()).expect("the gate's configuration is readable")
}

const REVOKED: &str = r#",
    "revoked_passports": [
      {"issuer": "issuer:acme", "passport_id": "pp_root"},
      {"issuer": "issuer:tower", "passport_id": "pp_root"}
    ],
    "disabled_agents": [{"issuer": "issuer:acme", "agent_id": "agent_0"}]"#;

const TEXT: &str = r#"{
  "gate": {"id": "gate_fuzz"},
  "profile": "L1",
  "authorities": ["api.example", "api.example:8443", "[::1]:80"],
  "routes": [
    {"path": "/health", "methods": ["GET", "HEAD"], "public": true},
    {"path": "/flights", "methods": ["GET"], "action": "flights:search"},
    {"path": "/flights", "methods": ["OPTIONS"], "public": true},
    {"path": "/flüge", "methods": ["GET"], "action": "flights:search", "keep_credential": true},
    {"path_prefix": "/bookings/", "methods": ["GET", "POST"], "action": "flights:book"},
    {"path_prefix": "/bookings/open/", "methods": ["GET"], "public": true},
    {"path": "/bookings/open/watch", "methods": ["POST"], "action": "flights:book", "mode": "report"},
    {"path": "/socket", "methods": ["GET"], "action": "flights:search", "allow_upgrade": true}
  ],
  "trust": {
    "issuers": [
      {"id": "issuer:acme", "type": "platform", "tier": 2, "actions": ["flights:*"],
       "keys": [{"key_id": "ik_1", "public_key": "{acme}"}]},
      {"id": "issuer:tower", "type": "gate", "tier": 3, "actions": ["*"],
       "keys": [{"key_id": "ik_1", "public_key": "{tower}", "not_after": "2027-01-01T00:00:00Z"}]}
    ],
    "self_issued": {"actions": ["flights:search"]}{revoked}
  }
}"#;
