//! A long run of mixed requests through a gate in real Envoy, with live trust material and records,
//! whose memory must not grow once it is warm.

mod requests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use portcullis_core::attestation::MAX_BATCH_BYTES;
use serde_json::{Value, json};

use crate::control::Control;
use crate::echo::{Answer, Upstream};
use crate::envoy::Envoy;
use crate::envoy_config::{Addresses, EnvoyConfig, GateConfig};
use crate::http::{Connection, Request};
use crate::live_gate::{self, KEY_VARIABLE};
use crate::net;
use crate::workspace::Workspace;
use requests::{Client, Scene};

/// What a run needs.
pub struct Programs<'p> {
    /// Envoy.
    pub envoy: &'p Path,
    /// The control service.
    pub control: &'p Path,
    /// The command line, which enrols the gate.
    pub cli: &'p Path,
    /// The plugin.
    pub plugin: &'p Path,
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// How often each answer came, by status and reason.
    pub answers: BTreeMap<String, u64>,
    /// How many answers were others than they should be, and the first of them.
    pub wrong: u64,
    /// The first of these.
    pub first_wrong: Option<String>,
    /// Once the gate was warm, and at the end.
    pub warm: Memory,
    /// At the end.
    pub end: Memory,
    /// How long it took.
    pub time: Duration,
}

/// What is taken of memory, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// By all VMs of the gate, as WebAssembly counts it.
    pub machines: u64,
    /// By the whole process, its shared data included.
    pub resident: u64,
}

impl Outcome {
    /// By how many bytes the VMs have grown since they were warm.
    pub fn grown(&self) -> u64 {
        self.end.machines.saturating_sub(self.warm.machines)
    }

    /// Whether the run is as it should be.
    ///
    /// # Errors
    /// What is not.
    pub fn check(&self) -> Result<()> {
        ensure!(
            self.wrong == 0,
            "{} answers are wrong; the first: {}",
            self.wrong,
            self.first_wrong.as_deref().unwrap_or_default()
        );
        let grown = self.grown();
        ensure!(grown <= SLACK, "the gate's VMs have grown by {grown} bytes since they were warm: a leak");
        Ok(())
    }
}

/// Workers of Envoy, each with a VM.
const WORKERS: u32 = 2;

/// Clients at once.
const CLIENTS: usize = 4;

/// After so many requests a gate is warm: each worker has met each kind two hundred times, and its cache
/// of credentials is full.
const WARM: u64 = 10_000;

/// Memory for verified credentials: one in twelve requests brings a new one, of some 2 KB.
const CACHE_BYTES: u32 = 256 << 10;

/// How much more VMs may take than when they were warm, in bytes: each a batch of records, which is
/// larger the longer the service keeps it waiting, and twice what it grows by at a time, for holes that
/// grow into others. A leak of two bytes in each request is more after a million.
const SLACK: u64 = WORKERS as u64 * (MAX_BATCH_BYTES as u64 + 2 * 65_536);

/// Sends so many requests of all kinds through a gate of its own, whose files are in `folder`; `name`
/// names Envoy's. `progress` is told how many were answered.
///
/// # Errors
/// What does not start, and what does not answer.
pub fn run(
    workspace: &Workspace,
    programs: &Programs<'_>,
    (name, folder): (&str, &Path),
    requests: u64,
    progress: &dyn Fn(u64),
) -> Result<Outcome> {
    ensure!(requests >= WARM.saturating_mul(2), "a run has {} requests or more", WARM.saturating_mul(2));
    let control = Control::in_folder(programs.control, folder, None)?;
    let service = control.start()?;
    let [listen, admin, upstream] = net::free()?;
    let upstream = Upstream::start(upstream, Answer::Echo)?;
    let scene = Scene::new(&listen.to_string());
    let gate = GateConfig::parse(&scene.gate().to_string())?;
    let enrolled = live_gate::enrol(&service, programs.cli, folder, &gate)?;
    let mut gate: Value = serde_json::from_str(&enrolled.config)?;
    gate.as_object_mut()
        .context("the gate's configuration is no object")?
        .insert("cache_bytes".to_owned(), json!(CACHE_BYTES));
    let config = EnvoyConfig::shipped(workspace)?
        .with_plugin(programs.plugin)?
        .with_gate(&gate.to_string())?
        .with_control(service.address)?;
    let addresses = Addresses { listen, admin, upstream: upstream.address };
    let environment = [(KEY_VARIABLE, enrolled.key.as_str())];
    let envoy =
        Envoy::start_with(workspace, programs.envoy, name, config, &addresses, WORKERS, &environment)?;
    live_gate::wait_until_open(&envoy)?;
    live_gate::call(&service, "POST", "/api/v1/revocations", &scene.revocation())?;
    scene.wait_until_revoked(listen)?;

    let began = Instant::now();
    let (next, answered) = (AtomicU64::new(0), AtomicU64::new(0));
    let (told, warm) = std::thread::scope(|scope| {
        let (scene, next, answered) = (&scene, &next, &answered);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| scope.spawn(move || one(scene, client, (next, requests), answered, listen)))
            .collect();
        let mut warm = None;
        while !clients.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            let count = answered.load(Ordering::Relaxed);
            progress(count);
            if warm.is_none() && count >= WARM {
                warm = Some(memory(&envoy));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut told = Told::default();
        for client in clients {
            match client.join() {
                Ok(one) => told.add(one?),
                Err(_) => bail!("a client panicked"),
            }
        }
        Ok((told, warm.context("the run was over at once")??))
    })
    .with_context(|| envoy.log_tail())?;
    ensure!(envoy.runs()?, "Envoy has ended:\n{}", envoy.log_tail());
    Ok(Outcome {
        answers: told.answers,
        wrong: told.wrong,
        first_wrong: told.first_wrong,
        warm,
        end: memory(&envoy)?,
        time: began.elapsed(),
    })
}

#[derive(Default)]
struct Told {
    answers: BTreeMap<String, u64>,
    wrong: u64,
    first_wrong: Option<String>,
}

impl Told {
    fn add(&mut self, other: Told) {
        for (answer, count) in other.answers {
            let all = self.answers.entry(answer).or_default();
            *all = all.saturating_add(count);
        }
        self.wrong = self.wrong.saturating_add(other.wrong);
        self.first_wrong = self.first_wrong.take().or(other.first_wrong);
    }
}

/// What one client is told, until all requests are sent.
fn one(
    scene: &Scene,
    client: usize,
    (next, requests): (&AtomicU64, u64),
    answered: &AtomicU64,
    to: SocketAddr,
) -> Result<Told> {
    let (mut client, mut told, mut kept) = (Client::new(scene, client), Told::default(), None);
    while next.fetch_add(1, Ordering::Relaxed) < requests {
        let (sent, wanted) = client.next();
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => Connection::open(to)?,
        };
        let answer = connection.exchange(&sent.to_bytes(client.authority(), false))?;
        let answer = answer.context("Envoy closed a connection without an answer")?;
        if connection.is_open() {
            kept = Some(connection);
        }
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let problem = body.pointer("/error/data").unwrap_or(&body);
        let reason = problem.get("reason_code").and_then(Value::as_str).unwrap_or("ok");
        if !wanted.contains(&reason) {
            told.wrong = told.wrong.saturating_add(1);
            let status = answer.status;
            told.first_wrong
                .get_or_insert_with(|| format!("{sent:?}: wanted {wanted:?}, got {status} {body}"));
        }
        let count = told.answers.entry(format!("{} {reason}", answer.status)).or_default();
        *count = count.saturating_add(1);
        answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(told)
}

/// What an Envoy takes.
fn memory(envoy: &Envoy) -> Result<Memory> {
    let stats = Request::new("GET", "/stats?filter=portcullis_memory").send(envoy.admin)?;
    let text = String::from_utf8_lossy(&stats.body).into_owned();
    let counts = text.lines().filter_map(|line| line.rsplit_once(": ")?.1.parse::<u64>().ok());
    let machines = counts.fold(0_u64, u64::saturating_add);
    ensure!(machines > 0, "the gate does not count the memory of its VMs: {text}");
    let status = std::fs::read_to_string(format!("/proc/{}/status", envoy.pid())).context("no /proc")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(Memory { machines, resident: kib.saturating_mul(1024) })
}
