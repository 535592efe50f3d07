//! Envoy's CPU time per request: every variant has an Envoy of its own, all in
//! one run, measured in turn, round after round.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::Options;
use super::cpu;
use super::credentials::{BADGE_ISSUER, JWT_ISSUER, JWT_KEY_ID, Signer};
use super::load::Load;
use super::report::{Report, Row};
use super::statistics::Spread;
use crate::echo::{Answer, Upstream};
use crate::envoy::Envoy;
use crate::envoy_config::{Addresses, EnvoyConfig};
use crate::http::Request;
use crate::workspace::Workspace;
use crate::{net, tools};

/// Measures all variants, prints the table and adds its rows to `report`.
pub(crate) fn measure(
    workspace: &Workspace,
    wasm: &Path,
    options: &Options,
    report: &mut Report,
) -> Result<()> {
    let [address] = net::free()?;
    let upstream = Upstream::start(address, Answer::Fixed)?;
    let mut bench = Bench {
        workspace,
        envoy: tools::python(workspace)?.envoy,
        upstream: upstream.address,
        shipped: EnvoyConfig::shipped(workspace)?.with_plugin(wasm)?,
        variants: Vec::new(),
    };
    bench.start_all()?;
    bench.run(options)?;
    bench.report(report)
}

struct Bench<'w> {
    workspace: &'w Workspace,
    envoy: std::path::PathBuf,
    upstream: SocketAddr,
    shipped: EnvoyConfig,
    variants: Vec<Variant>,
}

/// One thing to measure, and what came out so far.
struct Variant {
    /// Its line in the table.
    place: usize,
    name: &'static str,
    about: &'static str,
    envoy: Envoy,
    load: Load,
    traffic: Traffic,
    /// The status of every answer.
    status: u16,
    /// Microseconds per request, one for each round.
    rounds: Vec<f64>,
}

/// What the clients of a variant send.
enum Traffic {
    /// The same request again and again.
    Same(Vec<u8>),
    /// A request that was never sent before.
    Fresh(Box<dyn FnMut() -> Result<Request>>),
}

impl Bench<'_> {
    fn start_all(&mut self) -> Result<()> {
        let bare = self.shipped.clone().without_gate()?;
        let noop = self.workspace.target_folder("bench")?.join("noop.wasm");
        std::fs::write(&noop, wat::parse_str(include_str!("noop.wat"))?)?;
        let noop = self.shipped.clone().without_capability_limits()?.with_plugin(&noop)?;
        let mut issuer = Signer::new(1);
        let uncached = bare.clone().with_filter(jwt_authn(&issuer, None))?;
        let cached = bare.clone().with_filter(jwt_authn(&issuer, Some(100)))?;
        let known_jwt = format!("Bearer {}", issuer.jwt()?);
        let known_passport = Signer::new(2).self_issued();
        let mut newcomer = Signer::new(3);
        let mut forger = Signer::new(4);
        let gate = self.shipped.clone();

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
        let gate = self.shipped.clone().change_gate(|gate| {
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
        let [listen, admin] = net::free()?;
        let addresses = Addresses { listen, admin, upstream: self.upstream };
        let file = format!("bench-{name}");
        let envoy = Envoy::start(self.workspace, &self.envoy, &file, config, &addresses, 1)
            .with_context(|| format!("the variant {name}"))?;
        self.variants.push(Variant {
            place: self.variants.len(),
            name,
            about,
            load: Load::connect(listen)?,
            envoy,
            traffic: traffic(listen),
            status,
            rounds: Vec::new(),
        });
        Ok(())
    }

    /// Warms every variant, then measures each once per round. The order is
    /// reversed and turned from round to round, so that no variant always
    /// follows the same other, or always comes first.
    fn run(&mut self, options: &Options) -> Result<()> {
        let count = usize::try_from(options.requests)?;
        let steps = u64::from(options.rounds).saturating_mul(self.variants.len() as u64);
        let bar = ProgressBar::new(steps).with_style(
            ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        for variant in &mut self.variants {
            bar.set_message(format!("warming {}", variant.name));
            variant.round(WARM_UP)?;
        }
        for _ in 0..options.rounds {
            for variant in &mut self.variants {
                bar.set_message(variant.name);
                let time = variant.round(count)?;
                variant.rounds.push(time);
                bar.inc(1);
            }
            self.variants.reverse();
            self.variants.rotate_left(1);
        }
        bar.finish_and_clear();
        Ok(())
    }

    fn report(&mut self, report: &mut Report) -> Result<()> {
        self.variants.sort_by_key(|variant| variant.place);

        println!(
            "\nEnvoy's own CPU time per request, one worker, HTTP/1.1 keep-alive; medians and quartiles\n"
        );
        println!("{:<44}{:>8}{:>16}{:>10}{:>16}", "", "µs", "quartiles", "× bare", "× jwt uncached");
        let bare = self.rounds("bare")?;
        let jwt = self.rounds("jwt_uncached")?;
        for variant in &self.variants {
            let time = Spread::of(variant.rounds.iter().copied());
            let to_bare = Spread::of_ratios(&variant.rounds, bare);
            let to_jwt = Spread::of_ratios(&variant.rounds, jwt);
            println!(
                "{:<44}{:>8.1}{:>16}{:>10.2}{:>16.2}",
                variant.about,
                time.median,
                format!("{:.1}–{:.1}", time.low, time.high),
                to_bare.median,
                to_jwt.median
            );
            let name = variant.name;
            report.add(Row::new(format!("envoy.{name}"), time.median, "us"));
            report.add(Row::new(format!("envoy.{name}.low"), time.low, "us"));
            report.add(Row::new(format!("envoy.{name}.high"), time.high, "us"));
            report.add(limited(format!("envoy.{name}/bare"), to_bare.median));
            report.add(limited(format!("envoy.{name}/jwt_uncached"), to_jwt.median));
        }
        Ok(())
    }

    fn rounds(&self, name: &str) -> Result<&[f64]> {
        self.variants
            .iter()
            .find(|variant| variant.name == name)
            .map(|variant| variant.rounds.as_slice())
            .with_context(|| format!("no variant {name}"))
    }
}

impl Variant {
    /// Sends `count` requests; gives Envoy's CPU time for each, in microseconds.
    fn round(&mut self, count: usize) -> Result<f64> {
        let made: Vec<Vec<u8>> = match &mut self.traffic {
            Traffic::Same(request) => vec![request.clone()],
            Traffic::Fresh(make) => {
                let to = self.envoy.listen.to_string();
                (0..count).map(|_| Ok(make()?.to_bytes(&to, false))).collect::<Result<_>>()?
            }
        };
        let requests: Vec<&[u8]> = made.iter().map(Vec::as_slice).cycle().take(count).collect();
        let before = cpu::used(self.envoy.pid())?;
        self.load
            .drive(&requests, self.status)
            .with_context(|| format!("the variant {}\n{}", self.name, self.envoy.log_tail()))?;
        let used = cpu::used(self.envoy.pid())?.saturating_sub(before);
        Ok(used.as_secs_f64() * 1e6 / count as f64)
    }
}

/// The bars on Envoy's CPU time for profile L1 without records.
const BARS: &[(&str, f64)] =
    &[("envoy.gate_known/bare", 1.3), ("envoy.gate_new/jwt_uncached", 1.5), ("envoy.gate_forged/bare", 1.5)];

/// Enough for V8 to have compiled the hot functions a second time, optimised, which it
/// does in the background on Envoy's account: by 20,000 requests some are not yet.
const WARM_UP: usize = 50_000;

fn limited(name: String, ratio: f64) -> Row {
    let bar = BARS.iter().find(|(known, _)| *known == name);
    let row = Row::new(name, ratio, "ratio");
    match bar {
        Some((_, bar)) => row.at_most(*bar),
        None => row,
    }
}

fn same(headers: &[(&str, &str)]) -> impl FnOnce(SocketAddr) -> Traffic {
    same_request(request("GET", headers, &[]))
}

fn same_request(request: Request) -> impl FnOnce(SocketAddr) -> Traffic {
    move |to| Traffic::Same(request.to_bytes(&to.to_string(), false))
}

fn fresh(
    header: &'static str,
    mut make: impl FnMut() -> Result<String> + 'static,
) -> impl FnOnce(SocketAddr) -> Traffic {
    fresh_request(move || Ok(request("GET", &[(header, &make()?)], &[])))
}

fn fresh_request(make: impl FnMut() -> Result<Request> + 'static) -> impl FnOnce(SocketAddr) -> Traffic {
    move |_| Traffic::Fresh(Box::new(make))
}

fn request(method: &str, headers: &[(&str, &str)], body: &[u8]) -> Request {
    let mut request = Request::new(method, PATH);
    request.headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    request.body = body.to_vec();
    request
}

/// The route that the shipped configuration gives to self-issued passports.
const PATH: &str = "/flights";

/// Envoy's own JWT filter, as its documents set it up; with `cache`, it
/// remembers that many verified tokens.
fn jwt_authn(issuer: &Signer, cache: Option<u32>) -> Value {
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
