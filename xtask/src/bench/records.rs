//! What records cost: requests whose decisions are recorded, beside others; how fast records
//! reach the log; and what counting the requests of many agents takes of memory.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Options;
use super::agent::AUTHORITY;
use super::credentials::Signer;
use super::envoys::jwt_authn;
use super::live::resident;
use super::load::Load;
use super::managed::{Managed, gate_config};
use super::report::{Report, Row};
use super::side_by_side::{SideBySide, Stage, Traffic, Variant, fresh, request, same};
use crate::workspace::Workspace;

/// Measures all of it, prints the table and adds its rows to `report`.
pub(crate) fn measure(
    workspace: &Workspace,
    wasm: &Path,
    options: &Options,
    report: &mut Report,
) -> Result<()> {
    let stage = Stage::new(workspace, wasm)?;
    let managed = Managed::start(&stage, "records")?;
    let mut variants = SideBySide::new("records", BARS);
    side_by_side(&stage, &managed, &mut variants)?;
    variants.run(options)?;
    variants.report(report)?;
    drop(variants);
    speed(&stage, &managed, report)?;
    memory(&stage, &managed, report)
}

/// The bar on Envoy's CPU time for a known credential at L1, with a signed record of each request.
const BARS: &[(&str, f64)] = &[("records.gate_recorded/jwt_uncached", 1.0)];

fn side_by_side(stage: &Stage<'_>, managed: &Managed, variants: &mut SideBySide) -> Result<()> {
    let bare = stage.shipped.clone().without_gate()?;
    let envoy = stage.envoy("bare", bare.clone(), 1, &[])?;
    variants.add(Variant::new("bare", "no filter, no credential", envoy, 200, same(&[]))?);
    let mut issuer = Signer::new(1);
    let envoy = stage.envoy("jwt_uncached", bare.with_filter(jwt_authn(&issuer, None))?, 1, &[])?;
    let about = "native jwt_authn, EdDSA, every token new";
    let traffic = fresh("authorization", move || Ok(format!("Bearer {}", issuer.jwt()?)));
    variants.add(Variant::new("jwt_uncached", about, envoy, 200, traffic)?);
    let credential = issued(1)?;
    for (name, about, policy) in [
        ("gate_unrecorded", "the gate, one credential, no records", "off"),
        ("gate_recorded", "the gate, one credential, a record each", "required"),
    ] {
        let envoy = managed.gate(stage, name, &config(name, policy), 1)?;
        let sent = presenting(&credential);
        variants.add(Variant::new(name, about, envoy, 200, |_| Traffic::Same(sent))?);
    }
    let envoy = managed.gate(stage, "gate_forged", &config("gate_forged", "best_effort"), 1)?;
    let mut forger = Signer::new(4);
    let about = "the gate, forged credentials, a record each";
    let traffic = |_| Traffic::Fresh(Box::new(move || Ok(presenting(&forger.forged()))));
    variants.add(Variant::new("gate_forged", about, envoy, 401, traffic)?);
    Ok(())
}

/// A gate whose records are kept by this policy.
pub(super) fn config(id: &str, policy: &str) -> Value {
    let mut config = gate_config(id, "L1", &Signer::new(2), &json!({}));
    if let Some(members) = config.as_object_mut() {
        members.insert("attest".to_owned(), json!({ "policy": policy }));
    }
    config
}

/// A passport of the agent with this number.
pub(super) fn issued(agent: u32) -> Result<String> {
    Signer::new(2).issued(&format!("agent:{agent}"), &Signer::new(3))
}

/// A request with this passport.
pub(super) fn presenting(passport: &str) -> Vec<u8> {
    request("GET", &[("agent-passport", passport)], b"").to_bytes(AUTHORITY, false)
}

/// Requests whose records wait at a time, fewer than the gate has room for.
pub(super) const BURST: usize = 8_000;

/// How many records a second one Envoy brings into the log of a service on SQLite.
fn speed(stage: &Stage<'_>, managed: &Managed, report: &mut Report) -> Result<()> {
    let envoy = managed.gate(stage, "records_speed", &config("gate_speed", "required"), 1)?;
    let mut load = Load::connect(envoy.listen)?;
    let sent =
        request("GET", &[("agent-passport", &issued(1)?)], b"").to_bytes(super::agent::AUTHORITY, false);
    let before = managed.log_size("gate_speed")?;
    let began = Instant::now();
    load.drive(&vec![sent.as_slice(); BURST], 200)?;
    let wanted = before.saturating_add(BURST as u64);
    while managed.log_size("gate_speed")? < wanted {
        ensure!(began.elapsed() < DEADLINE, "not all records arrive: {}", envoy.log_tail());
        std::thread::sleep(Duration::from_millis(20));
    }
    let seconds = began.elapsed().as_secs_f64();
    report.add(Row::new("records.speed", BURST as f64 / seconds, "records/s"));
    Ok(())
}

const DEADLINE: Duration = Duration::from_secs(120);

/// Agents whose requests are counted.
const AGENTS: u32 = 100_000;

/// How much larger an Envoy is that keeps a limit of rates for each of many agents than one that
/// answers the same requests and keeps none.
fn memory(stage: &Stage<'_>, managed: &Managed, report: &mut Report) -> Result<()> {
    let unlimited = size_after(stage, managed, "gate_no_rates", &json!({}))?;
    let limits = json!({ "rate_limits": { "requests_per_hour": 1 } });
    let limited = size_after(stage, managed, "gate_rates", &limits)?;
    let row = "records.rates_of_100000_agents";
    report.add(Row::new(row, (limited - unlimited) / (1024.0 * 1024.0), "MiB"));
    Ok(())
}

/// The size in bytes of an Envoy whose gate has such guardrails, after one request of each agent.
fn size_after(stage: &Stage<'_>, managed: &Managed, name: &str, guardrails: &Value) -> Result<f64> {
    let mut config = config(name, "off");
    let is_limited = guardrails.get("rate_limits").is_some();
    let members = config.as_object_mut().context("a configuration is an object")?;
    members.insert("guardrails".to_owned(), guardrails.clone());
    let envoy = managed.gate(stage, name, &config, 1)?;
    let mut load = Load::connect(envoy.listen)?;
    let mut drive = |agents: std::ops::Range<u32>, status: u16| -> Result<()> {
        let requests: Result<Vec<_>> = agents.map(|agent| Ok(presenting(&issued(agent)?))).collect();
        let requests = requests?;
        load.drive(&requests.iter().map(Vec::as_slice).collect::<Vec<_>>(), status)
    };
    for from in (0..AGENTS).step_by(10_000) {
        drive(from..from.saturating_add(10_000).min(AGENTS), 200)?;
    }
    // Of the first and the last it is known that they have had their one request.
    let status = if is_limited { 429 } else { 200 };
    drive(0..100, status)?;
    drive(AGENTS.saturating_sub(100)..AGENTS, status)?;
    resident(envoy.pid())
}
