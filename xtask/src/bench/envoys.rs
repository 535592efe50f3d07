//! Envoy's CPU time per request, with the gate, without it, and with Envoy's own filters.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Options;
use super::credentials::{BADGE_ISSUER, JWT_ISSUER, JWT_KEY_ID, Signer};
use super::report::Report;
use super::side_by_side::{
    PATH, SideBySide, Stage, Traffic, Variant, fresh, fresh_request, request, same, same_request,
};
use crate::envoy_config::EnvoyConfig;
use crate::workspace::Workspace;

/// Measures all variants, prints the table and adds its rows to `report`.
pub(crate) fn measure(
    workspace: &Workspace,
    wasm: &Path,
    options: &Options,
    report: &mut Report,
) -> Result<()> {
    let mut bench = Bench { stage: Stage::new(workspace, wasm)?, variants: SideBySide::new("envoy", BARS) };
    bench.start_all()?;
    bench.variants.run(options)?;
    bench.variants.report(report)
}

struct Bench<'w> {
    stage: Stage<'w>,
    variants: SideBySide,
}

impl Bench<'_> {
    fn start_all(&mut self) -> Result<()> {
        let bare = self.stage.shipped.clone().without_gate()?;
        let noop = self.stage.workspace.target_folder("bench")?.join("noop.wasm");
        std::fs::write(&noop, wat::parse_str(include_str!("noop.wat"))?)?;
        let noop = self.stage.shipped.clone().without_capability_limits()?.with_plugin(&noop)?;
        let mut issuer = Signer::new(1);
        let uncached = bare.clone().with_filter(jwt_authn(&issuer, None))?;
        let cached = bare.clone().with_filter(jwt_authn(&issuer, Some(100)))?;
        let known_jwt = format!("Bearer {}", issuer.jwt()?);
        let known_passport = Signer::new(2).self_issued();
        let mut newcomer = Signer::new(3);
        let mut forger = Signer::new(4);
        let gate = self.stage.shipped.clone();

        self.start("bare", "no filter, no credential", bare.clone(), 200, same(&[]))?;
        self.start(
            "bare_passport",
            "no filter, the credential forwarded",
            bare.clone(),
            200,
            same(&[("agent-passport", &known_passport)]),
        )?;
        self.start("noop", "a do-nothing wasm filter", noop, 200, same(&[]))?;
        self.start(
            "jwt_uncached",
            "native jwt_authn, EdDSA, every token new",
            uncached,
            200,
            fresh("authorization", move || Ok(format!("Bearer {}", issuer.jwt()?))),
        )?;
        self.start(
            "jwt_cached",
            "native jwt_authn, EdDSA, one token, cached",
            cached,
            200,
            same(&[("authorization", &known_jwt)]),
        )?;
        self.start(
            "gate_known",
            "the gate, one credential",
            gate.clone(),
            200,
            same(&[("agent-passport", &known_passport)]),
        )?;
        self.start(
            "gate_new",
            "the gate, every credential new",
            gate.clone(),
            200,
            fresh("agent-passport", move || Ok(newcomer.self_issued())),
        )?;
        self.start(
            "gate_forged",
            "the gate, forged, unknown issuer",
            gate,
            401,
            fresh("agent-passport", move || Ok(forger.forged())),
        )?;
        self.start_capiscio(bare)
    }

    /// CapiscIO's credentials, and a body of 4 KiB with a signature and without a gate.
    fn start_capiscio(&mut self, bare: EnvoyConfig) -> Result<()> {
        let mut registry = Signer::new(5);
        // Several, as one alone may not fill the gate's memory of what was used.
        let mut agents: Vec<_> =
            (10..18).map(|number| (format!("agent-{number}"), Signer::new(number))).collect();
        let listed = |(key_id, agent): &(String, Signer)| json!({ "key_id": key_id, "public_key": agent.public_key(), "actions": ["flights:search"] });
        let listed: Vec<_> = agents.iter().map(listed).collect();
        let gate = self.stage.shipped.clone().change_gate(|gate| {
            let issuer = json!({
                "id": BADGE_ISSUER, "tier": 2, "actions": ["flights:search"],
                "keys": [{ "key_id": JWT_KEY_ID, "public_key": registry.public_key() }],
            });
            gate.put("/trust", json!({ "badge_issuers": [issuer], "simpleguard_agents": listed }))?;
            let route = json!({ "path": PATH, "methods": ["GET", "POST"], "action": "flights:search" });
            gate.put("/routes", json!([route]))
        })?;
        let body = [b'x'; 4096];
        let signed = move || {
            agents.rotate_left(1);
            let (key_id, agent) = agents.first_mut().context("no agent")?;
            let token = agent.simpleguard(key_id, &body)?;
            Ok(request("POST", &[("x-capiscio-jws", &token)], &body))
        };
        let known_badge = registry.badge()?;
        self.start(
            "badge_known",
            "the gate, one Trust Badge",
            gate.clone(),
            200,
            same(&[("x-capiscio-badge", &known_badge)]),
        )?;
        self.start(
            "badge_new",
            "the gate, every Trust Badge new",
            gate.clone(),
            200,
            fresh("x-capiscio-badge", move || registry.badge()),
        )?;
        self.start(
            "bare_body",
            "no filter, a body of 4 KiB",
            bare,
            200,
            same_request(request("POST", &[], &body)),
        )?;
        self.start(
            "simpleguard_body",
            "the gate, SimpleGuard with a body of 4 KiB",
            gate,
            200,
            fresh_request(signed),
        )
    }

    fn start(
        &mut self,
        name: &'static str,
        about: &'static str,
        config: EnvoyConfig,
        status: u16,
        traffic: impl FnOnce(SocketAddr) -> Traffic,
    ) -> Result<()> {
        let envoy = self.stage.envoy(name, config, 1, &[])?;
        self.variants.add(Variant::new(name, about, envoy, status, traffic)?);
        Ok(())
    }
}

/// The bars on Envoy's CPU time for profile L1 without records.
const BARS: &[(&str, f64)] =
    &[("envoy.gate_known/bare", 1.3), ("envoy.gate_new/jwt_uncached", 1.5), ("envoy.gate_forged/bare", 1.5)];

/// Envoy's own JWT filter, as its documents set it up; with `cache`, it
/// remembers that many verified tokens.
pub(super) fn jwt_authn(issuer: &Signer, cache: Option<u32>) -> Value {
    let mut provider = json!({
        "issuer": JWT_ISSUER,
        "local_jwks": { "inline_string": issuer.jwks().to_string() },
    });
    if let (Some(size), Some(members)) = (cache, provider.as_object_mut()) {
        members.insert("jwt_cache_config".to_owned(), json!({ "jwt_cache_size": size }));
    }
    json!({
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": { "bench": provider },
            "rules": [{ "match": { "prefix": "/" }, "requires": { "provider_name": "bench" } }],
        },
    })
}
