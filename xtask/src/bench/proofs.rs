//! What proofs of requests cost: gates of the profiles L2 and L3, beside Envoy's own JWT
//! filter, and beside Envoy's external authorization by a native service with the same
//! checks.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Options;
use super::agent::Agent;
use super::authz;
use super::credentials::Signer;
use super::envoys::jwt_authn;
use super::load::{CONNECTIONS, Steady};
use super::managed::{BUFFER, Managed, gate_config};
use super::report::{Report, Row};
use super::side_by_side::{SideBySide, Stage, Traffic, Variant, fresh, request, same, same_request};
use super::statistics::Spread;
use crate::envoy_config::EnvoyConfig;
use crate::test;
use crate::workspace::Workspace;

/// Measures all of it, prints the tables and adds their rows to `report`.
pub(crate) fn measure(
    workspace: &Workspace,
    wasm: &Path,
    options: &Options,
    report: &mut Report,
) -> Result<()> {
    let stage = Stage::new(workspace, wasm)?;
    let managed = Managed::start(&stage, "proofs")?;
    let mut authz = Vec::new();
    let mut variants = SideBySide::new("proofs", BARS);
    without_proofs(&stage, &mut variants)?;
    gates(&stage, &managed, &mut variants)?;
    let native = test::release_program(workspace, "xtask", "build the native service, optimised")?;
    for body in BODIES {
        let service = authz::Running::start(workspace, &native, &l2_config("gate_authz"))?;
        let config = stage
            .shipped
            .clone()
            .with_filter(ext_authz(service.address))?
            .with_cluster(AUTHZ_CLUSTER, service.address)?
            .with_buffer(BUFFER)?;
        let envoy = stage.envoy(body.authz, config, 1, &[])?;
        let variant = Variant::new(body.authz, body.about_authz, envoy, 200, proved(body)?)?;
        variants.add(variant.beside(service.pid()).one_in(body.one_in));
        authz.push(service);
    }
    variants.run(options)?;
    variants.report(report)?;
    digest_speed(&variants, report)?;
    latencies(&mut variants, options, report)
}

/// A size of bodies, the variants that have it, and what they are.
#[derive(Clone, Copy)]
struct Body {
    length: usize,
    one_in: usize,
    bare: &'static str,
    gate: &'static str,
    authz: &'static str,
    about_bare: &'static str,
    about_gate: &'static str,
    about_authz: &'static str,
}

const BODIES: [Body; 3] = [
    Body {
        length: 0,
        one_in: 1,
        bare: "bare",
        gate: "gate_l2",
        authz: "authz_l2",
        about_bare: "no filter, no credential",
        about_gate: "the gate at L2, no body",
        about_authz: "ext_authz to a native service, no body",
    },
    Body {
        length: 4 << 10,
        one_in: 1,
        bare: "bare_4k",
        gate: "gate_l2_4k",
        authz: "authz_l2_4k",
        about_bare: "no filter, a body of 4 KiB",
        about_gate: "the gate at L2, 4 KiB",
        about_authz: "ext_authz to a native service, 4 KiB",
    },
    Body {
        length: MIB,
        // One takes as long as some forty without a body.
        one_in: 40,
        bare: "bare_1m",
        gate: "gate_l2_1m",
        authz: "authz_l2_1m",
        about_bare: "no filter, a body of 1 MiB",
        about_gate: "the gate at L2, 1 MiB",
        about_authz: "ext_authz to a native service, 1 MiB",
    },
];

const MIB: usize = 1 << 20;

/// The bars on Envoy's CPU time for a new proof on a known credential.
const BARS: &[(&str, f64)] = &[("proofs.gate_l2/jwt_uncached", 1.7), ("proofs.gate_l3/jwt_uncached", 1.7)];

/// Agents whose turn it is in turn. One alone may have a quarter of what a gate remembers of
/// nonces, which a run of the usual length, within the 360 s for which it must, could use up.
const AGENTS: u8 = 8;

/// All that others are compared with.
fn without_proofs(stage: &Stage<'_>, variants: &mut SideBySide) -> Result<()> {
    let bare = stage.shipped.clone().without_gate()?.with_buffer(BUFFER)?;
    for body in BODIES {
        let envoy = stage.envoy(body.bare, bare.clone(), 1, &[])?;
        let variant = if body.length == 0 {
            Variant::new(body.bare, body.about_bare, envoy, 200, same(&[]))?
        } else {
            let request = request("POST", &[], &vec![b'x'; body.length]);
            Variant::new(body.bare, body.about_bare, envoy, 200, same_request(request))?
        };
        variants.add(variant.one_in(body.one_in));
    }
    let mut issuer = Signer::new(1);
    let uncached: EnvoyConfig = bare.with_filter(jwt_authn(&issuer, None))?;
    let envoy = stage.envoy("jwt_uncached", uncached, 1, &[])?;
    let about = "native jwt_authn, EdDSA, every token new";
    let traffic = fresh("authorization", move || Ok(format!("Bearer {}", issuer.jwt()?)));
    variants.add(Variant::new("jwt_uncached", about, envoy, 200, traffic)?);
    Ok(())
}

fn gates(stage: &Stage<'_>, managed: &Managed, variants: &mut SideBySide) -> Result<()> {
    for body in BODIES {
        let envoy = managed.gate(stage, body.gate, &l2_config(body.gate), 1)?;
        let variant = Variant::new(body.gate, body.about_gate, envoy, 200, proved(body)?)?;
        variants.add(variant.one_in(body.one_in));
    }
    let mut issuer = issuer();
    // The passports here live for a day.
    let windows = json!({ "trust_age_seconds": 3600, "credential_seconds": 86_400 });
    let config = gate_config("gate_l3", "L3", &issuer, &windows);
    let envoy = managed.gate(stage, "gate_l3", &config, 1)?;
    let agents = (1..).take(CONNECTIONS).map(|number| Agent::new(number, &mut issuer).map(Steady::new));
    let agents = agents.collect::<Result<_>>()?;
    let about = "the gate at L3, no body";
    variants.add(Variant::new("gate_l3", about, envoy, 200, |_| Traffic::Steady(agents))?);
    Ok(())
}

/// Whose passports the agents have.
fn issuer() -> Signer {
    Signer::new(2)
}

fn l2_config(id: &str) -> Value {
    gate_config(id, "L2", &issuer(), &json!({ "trust_age_seconds": 3600 }))
}

/// New proofs on known credentials.
fn proved(body: Body) -> Result<impl FnOnce(SocketAddr) -> Traffic> {
    let mut issuer = issuer();
    let mut agents =
        (1..=AGENTS).map(|number| Agent::new(number, &mut issuer)).collect::<Result<Vec<_>>>()?;
    let body = vec![b'x'; body.length];
    Ok(move |_| {
        Traffic::Fresh(Box::new(move || {
            agents.rotate_left(1);
            agents.first_mut().context("there is no agent")?.fresh(&body)
        }))
    })
}

/// How fast the gate digests a body: by all that a body of 1 MiB costs Envoy with the gate,
/// and by what of it the body does not cost Envoy alone.
fn digest_speed(variants: &SideBySide, report: &mut Report) -> Result<()> {
    // Bytes in a microsecond are megabytes in a second.
    let speed = |times: Vec<f64>| Spread::of(times.iter().map(|time| MIB as f64 / time)).median;
    let of_body = |large: &str, small: &str| -> Result<Vec<f64>> {
        let rounds = variants.rounds(large)?.iter().zip(variants.rounds(small)?);
        Ok(rounds.map(|(large, small)| large - small).collect())
    };
    let (gate, bare) = (of_body("gate_l2_1m", "gate_l2")?, of_body("bare_1m", "bare")?);
    let digest = gate.iter().zip(&bare).map(|(gate, bare)| gate - bare).collect();
    report.add(Row::new("proofs.body.all", speed(gate), "MB/s").at_least(100.0));
    report.add(Row::new("proofs.body.digest", speed(digest), "MB/s"));
    Ok(())
}

/// How long a request takes when it is the only one.
fn latencies(variants: &mut SideBySide, options: &Options, report: &mut Report) -> Result<()> {
    let names = ["bare", "jwt_uncached", "gate_l2", "authz_l2"];
    let times = variants.one_at_a_time(&names, usize::try_from(options.requests)?)?;
    println!("\n{:<44}{:>8}{:>8}  µs, one request at a time", "", "p50", "p99");
    for (name, mut times) in names.into_iter().zip(times) {
        times.sort_by(f64::total_cmp);
        let at = |share: usize| {
            let rank = times.len().saturating_mul(share).div_euclid(100);
            times.get(rank).copied().unwrap_or(f64::NAN)
        };
        let (p50, p99) = (at(50), at(99));
        println!("{name:<44}{p50:>8.0}{p99:>8.0}");
        report.add(Row::new(format!("proofs.latency.{name}.p50"), p50, "us"));
        report.add(Row::new(format!("proofs.latency.{name}.p99"), p99, "us"));
    }
    Ok(())
}

const AUTHZ_CLUSTER: &str = "authz";

/// Envoy's external authorization, as its documents set it up for an HTTP service that needs
/// the body.
fn ext_authz(service: SocketAddr) -> Value {
    let headers = ["agent-passport", "content-digest", "signature", "signature-input"];
    let patterns = headers.map(|name| json!({ "exact": name }));
    json!({
        "name": "envoy.filters.http.ext_authz",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
            "transport_api_version": "V3",
            "http_service": {
                "server_uri": { "uri": format!("http://{service}"), "cluster": AUTHZ_CLUSTER, "timeout": "10s" },
            },
            "allowed_headers": { "patterns": patterns },
            "with_request_body": { "max_request_bytes": BUFFER, "allow_partial_message": false },
        },
    })
}
