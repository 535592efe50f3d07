//! Live trust material: how soon what is revoked is refused, and what a million of it costs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use base64ct::{Base64, Encoding};
use portcullis_core::live::Call;
use portcullis_core::modei::{Draft, self_issue, self_issuer_id};
use portcullis_core::{SecretKey, UnixTime};
use serde_json::{Value, json};

use super::load;
use super::report::{Report, Row};
use crate::echo::{Answer, Upstream};
use crate::envoy::Envoy;
use crate::envoy_config::{Addresses, EnvoyConfig};
use crate::http::Request;
use crate::workspace::Workspace;
use crate::{net, test, tools};
use xtask::control::{Control, Service};
use xtask::envoy_config::GateConfig;
use xtask::live_gate::{self, KEY_VARIABLE};

/// Revocations that are timed.
const REVOCATIONS: usize = 200;

/// Ids that are revoked at once: what the service takes in one call.
const BATCH: usize = 10_000;

/// Measures all of it, on a service and an Envoy of its own.
pub(crate) fn measure(workspace: &Workspace, wasm: &Path, report: &mut Report) -> Result<()> {
    let python = tools::python(workspace)?;
    let cli = test::build_program(workspace, "portcullis", "build the CLI")?;
    // Optimised: it signs for thousands of gates.
    let control = test::release_control(workspace)?;
    let folder = workspace.target_folder("bench/live")?;
    std::fs::remove_dir_all(&folder)?;
    std::fs::create_dir(&folder)?;
    let service = Control::in_folder(&control, &folder, None)?.start()?;
    let [listen, admin, upstream] = net::free()?;
    let upstream = Upstream::start(upstream, Answer::Fixed)?;
    let gate = json!({
        "gate": {"id": "gate_bench"}, "profile": "L1", "authorities": [listen.to_string()],
        "routes": [{"path": "/flights", "methods": ["GET"], "action": "flights:search"}],
        "trust": {"self_issued": {"actions": ["flights:*"]}},
    });
    let enrolled = live_gate::enrol(&service, &cli, &folder, &GateConfig::parse(&gate.to_string())?)?;
    let config = EnvoyConfig::shipped(workspace)?
        .with_plugin(wasm)?
        .without_access_log()?
        .with_gate(&enrolled.config)?
        .with_control(service.address)?;
    let addresses = Addresses { listen, admin, upstream: upstream.address };
    let start = |name: &str| {
        let environment = [(KEY_VARIABLE, enrolled.key.as_str())];
        let envoy = Envoy::start_with(
            workspace,
            &python.envoy,
            name,
            config.clone(),
            &addresses,
            WORKERS,
            &environment,
        )?;
        live_gate::wait_until_open(&envoy)?;
        anyhow::Ok(envoy)
    };
    let envoy = start("bench-live")?;
    pushes(&service, &envoy, report)?;
    let small = resident(envoy.pid())?;
    drop(envoy);

    let began = Instant::now();
    for batch in 0..1_000_000_usize.div_ceil(BATCH) {
        let ids: Vec<_> = (0..BATCH).map(|index| format!("pp_{batch}_{index}")).collect();
        revoke(&service, "issuer:bench", &ids)?;
    }
    report.add(Row::new("live.million.taken_by_the_service", began.elapsed().as_secs_f64(), "s"));
    let began = Instant::now();
    let envoy = start("bench-live-million")?;
    report.add(Row::new("live.million.gate_open_after", began.elapsed().as_secs_f64(), "s"));
    let received = stat(&envoy, "cluster.portcullis_control.upstream_cx_rx_bytes_total")?;
    report.add(Row::new("live.million.bytes_of_a_full_load", received, "bytes"));
    let large = resident(envoy.pid())?;
    // All of the proxy's growth, so that what it keeps for its workers to share counts too.
    let of_each = (large - small) / MIB / f64::from(WORKERS);
    report.add(Row::new("live.million.resident_more_per_worker", of_each, "MiB").at_most(16.0));
    // What one more moves: the answers between two counts, of which each wait has one.
    let before = stat(&envoy, "cluster.portcullis_control.upstream_cx_rx_bytes_total")?;
    let heads = stat(&envoy, "cluster.portcullis_control.upstream_rq_completed")?;
    revoke(&service, "issuer:bench", &["pp_one_more".to_owned()])?;
    std::thread::sleep(Duration::from_millis(500));
    let moved = stat(&envoy, "cluster.portcullis_control.upstream_cx_rx_bytes_total")? - before;
    let answers = stat(&envoy, "cluster.portcullis_control.upstream_rq_completed")? - heads;
    ensure!(answers >= 1.0, "the gate was not told of one more revocation within half a second");
    report.add(Row::new("live.million.bytes_of_one_more", moved / answers, "bytes").at_most(4096.0));
    drop(envoy);
    waiting_gates(&service, report)
}

/// From the return of the call that revokes to the refusal by every worker.
fn pushes(service: &Service, envoy: &Envoy, report: &mut Report) -> Result<()> {
    let agent = SecretKey::from_seed([7; 32]);
    let issuer = self_issuer_id(&agent.public_key());
    let mut lines = Connection::to_both_workers(envoy)?;
    let mut times = Vec::with_capacity(REVOCATIONS);
    for index in 0..REVOCATIONS {
        let id = format!("pp_self_{index:032}");
        let passport = passport(&agent, &id)?;
        for line in &mut lines {
            ensure!(line.status(&passport)? == 200, "a passport that is not revoked is refused");
        }
        revoke(service, &issuer, &[id])?;
        let returned = Instant::now();
        for line in &mut lines {
            while line.status(&passport)? != 401 {
                ensure!(returned.elapsed() < Duration::from_secs(10), "a worker goes on to let it through");
            }
        }
        times.push(returned.elapsed().as_secs_f64());
        // Not in step with the ticks of the workers.
        std::thread::sleep(Duration::from_millis(u64::try_from(index % 37)?));
    }
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times.get(times.len().saturating_mul(share).div_euclid(100)).copied();
    report.add(Row::new("live.push.p50", at(50).context("no times")?, "s"));
    report.add(Row::new("live.push.p99", at(99).context("no times")?, "s").at_most(1.0));
    Ok(())
}

/// Gates that wait on one instance.
const GATES: usize = 5000;

/// How many of them are enrolled by one another's side: what one thread keeps up with.
fn waiting_gates(service: &Service, report: &mut Report) -> Result<()> {
    let limit = rlimit()?;
    let gates = GATES.min(limit.saturating_sub(500));
    if gates < GATES {
        eprintln!("ONLY {gates} waiting gates instead of {GATES}: this process may open {limit} files");
    }
    let before = resident(service.pid())?;
    let mut keys = Vec::with_capacity(gates);
    for index in 0..gates {
        let id = format!("gate_{index}");
        live_gate::call(service, "POST", "/api/gates", &json!({"gate_id": id, "name": id, "profile": "L1"}))?;
        let config = json!({"authorities": ["gate.test"], "routes": [{"path": "/", "methods": ["GET"], "action": "a"}]});
        live_gate::call(service, "PUT", &format!("/api/v1/gates/{id}/config"), &config)?;
        let token =
            live_gate::call(service, "POST", &format!("/api/v1/gates/{id}/enrolment-tokens"), &json!({}))?;
        let token = token.get("token").and_then(Value::as_str).context("no token")?;
        let mut seed = [0; 32];
        seed.first_chunk_mut::<8>()
            .context("a seed is shorter")?
            .copy_from_slice(&u64::try_from(index)?.to_be_bytes());
        let key = SecretKey::from_seed(seed);
        let body = json!({"token": token, "public_key": Base64::encode_string(&key.public_key()),
                "attestation_key": Base64::encode_string(&key.attestation_key().public_key())})
        .to_string();
        let request = signed(service.address, &key, "POST", "/gate/v1/enrol", "", body.as_bytes())?;
        let answer = request.send(service.address)?;
        ensure!(answer.status == 201, "{}", String::from_utf8_lossy(&answer.body));
        keys.push((id, key));
    }
    let number = live_gate::call(
        service,
        "POST",
        "/api/v1/revocations",
        &json!({"kind": "agent", "issuer": "b", "ids": ["first"]}),
    )?;
    let number = number.get("number").and_then(Value::as_u64).context("no number")?;
    std::thread::sleep(Duration::from_millis(500));
    let mut waiting = Vec::with_capacity(gates);
    for (id, key) in &keys {
        // The snapshot's number is not known here: the first answer comes at once, and is
        // what a gate would take up.
        let path = format!("/gate/v1/gates/{id}/trust");
        let first = format!("snapshot=0&revocations={number}&wait=0&random=AAAAAAAAAAAAAAAAAAAAAA");
        let answer = signed(service.address, key, "GET", &path, &first, b"")?.send(service.address)?;
        ensure!(answer.status == 200, "{}", String::from_utf8_lossy(&answer.body));
        let snapshot = snapshot_number(&answer.body)?;
        let query = format!("snapshot={snapshot}&revocations={number}&wait=30&random=AAAAAAAAAAAAAAAAAAAAAA");
        let request = signed(service.address, key, "GET", &path, &query, b"")?;
        let mut stream = TcpStream::connect(service.address)?;
        stream.write_all(&request.to_bytes(&service.address.to_string(), true))?;
        waiting.push(stream);
        // They came one by one within 30 s, or the first are answered before the last wait.
    }
    let connected = resident(service.pid())?;
    revoke(service, "issuer:bench", &["pp_for_all".to_owned()])?;
    let told = Instant::now();
    let mut slowest = Duration::ZERO;
    for stream in &mut waiting {
        stream.set_read_timeout(Some(Duration::from_secs(40)))?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        ensure!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        slowest = slowest.max(told.elapsed());
    }
    report.add(Row::new("live.waiting.gates", gates as f64, "gates"));
    report.add(Row::new("live.waiting.service_resident_more", (connected - before) / MIB, "MiB"));
    report.add(Row::new("live.waiting.one_push_to_all", slowest.as_secs_f64(), "s"));
    Ok(())
}

fn snapshot_number(body: &[u8]) -> Result<u64> {
    let answer: Value = serde_json::from_slice(body)?;
    let head = answer.get("head").and_then(Value::as_str).context("no head")?;
    let payload = head.split('.').nth(1).context("a head is no JWS")?;
    let payload = portcullis_core::base64::decode_url(payload).context("a head is not base64url")?;
    let head: Value = serde_json::from_slice(&payload)?;
    head.pointer("/snapshot/number").and_then(Value::as_u64).context("a head names no snapshot")
}

fn signed(
    to: SocketAddr,
    key: &SecretKey,
    method: &str,
    path: &str,
    query: &str,
    body: &[u8],
) -> Result<Request> {
    let authority = to.to_string();
    let call = Call { method, authority: &authority, path, query, body };
    let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    let mut request = Request::new(method, &target);
    // Nothing here is secret, and no request is made twice.
    let headers = call.sign(key, now()?, &[1; 16]);
    request.headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    request.body = body.to_vec();
    Ok(request)
}

fn revoke(service: &Service, issuer: &str, ids: &[String]) -> Result<()> {
    let body = json!({"kind": "passport", "issuer": issuer, "ids": ids});
    live_gate::call(service, "POST", "/api/v1/revocations", &body).map(|_| ())
}

fn passport(agent: &SecretKey, id: &str) -> Result<String> {
    let now = now()?;
    let draft = Draft {
        passport_id: id.to_owned(),
        agent_name: None,
        permissions: vec![("flights:search".to_owned(), portcullis_core::json::Object::default())],
        issued_at: now,
        expires_at: now.plus_millis(3_600_000),
        delegation_authority: false,
    };
    Ok(self_issue(agent, &draft).to_header())
}

fn now() -> Result<UnixTime> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(UnixTime::from_millis(i64::try_from(since.as_millis())?))
}

/// A connection that stays open, and so with one worker.
struct Connection {
    stream: TcpStream,
    authority: String,
}

impl Connection {
    /// Connections until each worker has some: Envoy counts them by worker.
    fn to_both_workers(envoy: &Envoy) -> Result<Vec<Self>> {
        let mut lines = Vec::new();
        // Which worker takes a connection is the kernel's choice; so many leave none out.
        while lines.len() < 64 {
            let stream = TcpStream::connect(envoy.listen)?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            lines.push(Connection { stream, authority: envoy.listen.to_string() });
            if lines.len() >= 8 {
                let path = "/stats?filter=worker_.*downstream_cx_active";
                let stats = Request::new("GET", path).send(envoy.admin)?;
                let text = String::from_utf8_lossy(&stats.body).into_owned();
                let of_workers =
                    text.lines().filter_map(|line| line.rsplit_once(": ")?.1.parse::<u32>().ok());
                let of_workers: Vec<_> = of_workers.collect();
                if of_workers.len() >= usize::try_from(WORKERS)? && of_workers.iter().all(|count| *count > 0)
                {
                    return Ok(lines);
                }
            }
        }
        bail!("of 64 connections none went to one of the workers")
    }

    fn status(&mut self, passport: &str) -> Result<u16> {
        let mut request = Request::new("GET", "/flights");
        request.headers.push(("agent-passport".to_owned(), passport.to_owned()));
        self.stream.write_all(&request.to_bytes(&self.authority, false))?;
        load::answer(&mut self.stream, &mut Vec::new())
    }
}

/// A number of this name from an Envoy.
pub(super) fn stat(envoy: &Envoy, name: &str) -> Result<f64> {
    let stats = Request::new("GET", &format!("/stats?filter=^{name}$")).send(envoy.admin)?;
    let text = String::from_utf8_lossy(&stats.body).into_owned();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.parse().ok());
    value.with_context(|| format!("Envoy has no {name}"))
}

/// Bytes of a process's memory that are in RAM.
pub(super) fn resident(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("there is no /proc")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kib * 1024.0)
}

/// How many files this process may open.
fn rlimit() -> Result<usize> {
    let output = Command::new("sh").args(["-c", "ulimit -n"]).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.trim().parse().unwrap_or(usize::MAX))
}

const WORKERS: u32 = 2;
const MIB: f64 = 1024.0 * 1024.0;
