//! A million nonces through one Envoy: none is accepted twice, however close the second one
//! comes behind the first, and what is remembered of them takes no more room than it may.

use std::collections::HashMap;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::Options;
use super::agent::Agent;
use super::credentials::Signer;
use super::live::resident;
use super::load::answer;
use super::managed::{Managed, gate_config};
use super::report::{Report, Row};
use super::side_by_side::Stage;
use crate::envoy::Envoy;
use crate::http::Request;
use crate::workspace::Workspace;

/// Measures it, on a service and an Envoy of its own.
pub(crate) fn measure(
    workspace: &Workspace,
    wasm: &Path,
    options: &Options,
    report: &mut Report,
) -> Result<()> {
    let stage = Stage::new(workspace, wasm)?;
    let managed = Managed::start(&stage, "nonces")?;
    let mut issuer = Signer::new(2);
    let config = gate_config("gate_nonces", "L2", &issuer, &json!({ "proof_seconds": PROOF_SECONDS }));
    let envoy = managed.gate(&stage, "nonces", &config, WORKERS)?;
    let mut clients = Vec::with_capacity(CLIENTS);
    for client in 0..CLIENTS {
        clients.push(Client::new(client, envoy.listen, &mut issuer)?);
    }
    check_workers(&envoy)?;

    let run = Run::new(u64::from(options.nonces));
    let few = FEW.min(run.total.div_euclid(10));
    let bar = ProgressBar::new(run.total).with_style(
        ProgressStyle::with_template("{bar:30} {pos}/{len} nonces {elapsed}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let mut after_few = None;
    let counts = std::thread::scope(|scope| {
        let (run, envoy) = (&run, &envoy);
        let clients: Vec<_> = clients.iter_mut().map(|client| scope.spawn(move || client.run(run))).collect();
        while !clients.iter().all(|client| client.is_finished()) {
            let answered = run.answered.load(Ordering::Relaxed);
            bar.set_position(answered);
            if after_few.is_none() && answered >= few {
                after_few = Some(resident(envoy.pid()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut all = Counts::default();
        for client in clients {
            match client.join() {
                Ok(counts) => all.add(&counts?),
                Err(_) => bail!("a client of the load generator panicked"),
            }
        }
        Ok(all)
    })
    .with_context(|| envoy.log_tail())?;
    bar.finish_and_clear();
    let seconds = run.began.elapsed().as_secs_f64();
    let after_few = after_few.context("the run was over at once")??;
    let at_end = resident(envoy.pid())?;

    println!("\nrefused, by reason: {:?}; repeats of {} nonces", counts.refused, counts.repeats);
    let twice = run.times_accepted(|times| times > 1);
    let never = run.times_accepted(|times| times == 0);
    let full = counts.refused.get("replay_memory_full").copied().unwrap_or(0);
    report.add(Row::new("nonces.sent", run.total as f64, "nonces"));
    report.add(Row::new("nonces.repeated", counts.repeats as f64, "nonces"));
    report.add(Row::new("nonces.repeated_at_once", counts.at_once as f64, "nonces"));
    report.add(Row::new("nonces.accepted_twice", twice as f64, "nonces").at_most(0.0));
    report.add(Row::new("nonces.never_accepted", never as f64, "nonces").at_most(0.0));
    report.add(Row::new("nonces.refused_for_full_memory", full as f64, "requests").at_most(0.0));
    let requests = run.total.saturating_add(counts.repeats);
    report.add(Row::new("nonces.speed", requests as f64 / seconds, "requests/s"));
    report.add(Row::new("nonces.resident_after_few", after_few / MIB, "MiB"));
    report.add(Row::new("nonces.resident_at_end", at_end / MIB, "MiB"));
    report.add(Row::new("nonces.resident_growth", (at_end - after_few) / MIB, "MiB").at_most(GROWTH_MIB));
    ensure!(twice == 0, "{twice} of {} nonces were accepted twice", run.total);
    ensure!(full == 0, "{full} requests were refused because the memory of nonces was full");
    Ok(())
}

/// As short as clients need that sign while they send.
const PROOF_SECONDS: u32 = 30;

/// How many nonces come in a second at most.
///
/// One is remembered for `PROOF_SECONDS` and the 60 s by which clocks may differ, and up to
/// one more, as times count in whole seconds: 91 s. The memory has 1,024 pages of 512, so that
/// 4,300 a second make 391,300 live ones, 75 % of it. A page then has 382 on average with a
/// spread of 20, so that none gets full. Of its quota, 128 on each page, each of the 16 agents
/// has 24.
const PER_SECOND: u64 = 4_300;

/// Requests after which no more memory should be needed but for what is remembered.
const FEW: u64 = 10_000;

/// By how much the proxy may grow, in MiB: 12 for all the pages there are, full, and as many
/// for those that were written anew while others were read. V8's heaps grow a little too.
const GROWTH_MIB: f64 = 32.0;

const WORKERS: u32 = 2;
const CLIENTS: usize = 4;

/// Of each client, with an agent each.
const CONNECTIONS: usize = 4;

/// Of so many requests one is a repeat: a million nonces have some 52,600.
const REPEATED_ONE_IN: u64 = 20;

/// Requests that a client keeps to send them again, at random some seconds old.
const KEPT: usize = 2048;

const MIB: f64 = 1024.0 * 1024.0;

/// What all clients share.
struct Run {
    total: u64,
    began: Instant,
    /// The number of the next nonce.
    next: AtomicU64,
    answered: AtomicU64,
    /// By the nonces' numbers, how often each was accepted.
    accepted: Vec<AtomicU8>,
    failed: AtomicBool,
}

impl Run {
    fn new(total: u64) -> Self {
        Self {
            total,
            began: Instant::now(),
            next: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            accepted: (0..total).map(|_| AtomicU8::new(0)).collect(),
            failed: AtomicBool::new(false),
        }
    }

    /// The number of a nonce that is due now; none when all are used up, or a client failed.
    fn due(&self) -> Option<u64> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >= self.total || self.failed.load(Ordering::Relaxed) {
            return None;
        }
        let due = Duration::from_micros(number.saturating_mul(1_000_000) / PER_SECOND);
        std::thread::sleep(due.saturating_sub(self.began.elapsed()));
        Some(number)
    }

    fn accept(&self, number: u64) {
        if let Some(times) = usize::try_from(number).ok().and_then(|number| self.accepted.get(number)) {
            times.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn times_accepted(&self, is_counted: impl Fn(u8) -> bool) -> usize {
        self.accepted.iter().filter(|times| is_counted(times.load(Ordering::Relaxed))).count()
    }
}

/// What became of requests.
#[derive(Default)]
struct Counts {
    repeats: u64,
    /// Of these, those that were sent before the first was answered.
    at_once: u64,
    refused: HashMap<String, u64>,
}

impl Counts {
    fn add(&mut self, other: &Counts) {
        self.repeats = self.repeats.saturating_add(other.repeats);
        self.at_once = self.at_once.saturating_add(other.at_once);
        for (reason, count) in &other.refused {
            let all = self.refused.entry(reason.clone()).or_default();
            *all = all.saturating_add(*count);
        }
    }
}

/// A request, and where it went.
#[derive(Clone)]
struct Sent {
    number: u64,
    connection: usize,
    bytes: Vec<u8>,
}

/// Agents that send their requests at the same time, one on each connection.
struct Client {
    agents: Vec<Agent>,
    connections: Vec<TcpStream>,
    kept: Vec<Sent>,
    random: Random,
}

impl Client {
    fn new(client: usize, to: SocketAddr, issuer: &mut Signer) -> Result<Self> {
        let mut agents = Vec::with_capacity(CONNECTIONS);
        let mut connections = Vec::with_capacity(CONNECTIONS);
        for index in 0..CONNECTIONS {
            let number = client.saturating_mul(CONNECTIONS).saturating_add(index).saturating_add(1);
            agents.push(Agent::new(u8::try_from(number)?, issuer)?);
            let stream = TcpStream::connect(to)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            connections.push(stream);
        }
        let random = Random(u64::try_from(client)?.saturating_add(1));
        Ok(Self { agents, connections, kept: Vec::with_capacity(KEPT), random })
    }

    fn run(&mut self, run: &Run) -> Result<Counts> {
        let mut counts = Counts::default();
        // Ends when all nonces are used up.
        loop {
            let turn = self.turn(run, &mut counts);
            // The others need not go on.
            let turn = turn.inspect_err(|_| run.failed.store(true, Ordering::Relaxed))?;
            if turn == 0 {
                return Ok(counts);
            }
        }
    }

    /// Sends one request on each connection, some of them repeats, before it reads any
    /// answer; gives how many there were.
    fn turn(&mut self, run: &Run, counts: &mut Counts) -> Result<usize> {
        let mut turn: Vec<Sent> = Vec::with_capacity(CONNECTIONS);
        for connection in 0..CONNECTIONS {
            let repeated = self.repeated(&turn, connection, counts);
            let sent = match (repeated, self.agents.get(connection)) {
                (Some(sent), _) => sent,
                (None, Some(agent)) => {
                    let Some(number) = run.due() else { break };
                    let bytes = agent.get(&format!("{number:032x}"))?;
                    let sent = Sent { number, connection, bytes };
                    self.keep(&sent);
                    sent
                }
                (None, None) => break,
            };
            turn.push(sent);
        }
        for (sent, connection) in turn.iter().zip(&mut self.connections) {
            connection.write_all(&sent.bytes)?;
        }
        for (index, (sent, connection)) in turn.iter().zip(&mut self.connections).enumerate() {
            let mut buffer = Vec::new();
            let status = answer(connection, &mut buffer)?;
            if status == 200 {
                run.accept(sent.number);
            } else {
                let reason = reason(&String::from_utf8_lossy(&buffer));
                let count = counts.refused.entry(reason).or_default();
                *count = count.saturating_add(1);
            }
            if sent.connection == index {
                run.answered.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(turn.len())
    }

    /// Now and then a request to send again, that went on another connection: one of this
    /// turn, which is not even sent yet, or one of those kept.
    fn repeated(&mut self, turn: &[Sent], connection: usize, counts: &mut Counts) -> Option<Sent> {
        if self.random.below(REPEATED_ONE_IN) != 0 {
            return None;
        }
        let is_at_once = self.random.below(2) == 0 && !turn.is_empty();
        let from = if is_at_once { turn } else { &self.kept };
        let start = usize::try_from(self.random.below(u64::try_from(from.len()).ok()?)).ok()?;
        // From there on the first that went elsewhere: most did.
        let mut rest = from.iter().cycle().skip(start).take(from.len());
        let sent = rest.find(|sent| sent.connection != connection)?;
        counts.repeats = counts.repeats.saturating_add(1);
        counts.at_once = counts.at_once.saturating_add(u64::from(is_at_once));
        Some(sent.clone())
    }

    /// Keeps a request to be sent again later, in a place at random once all are taken.
    fn keep(&mut self, sent: &Sent) {
        if self.kept.len() < KEPT {
            self.kept.push(sent.clone());
            return;
        }
        let at = self.random.below(KEPT as u64);
        if let Some(kept) = usize::try_from(at).ok().and_then(|at| self.kept.get_mut(at)) {
            kept.clone_from(sent);
        }
    }
}

/// The code in an answer that refuses (RFC 9457).
fn reason(answer: &str) -> String {
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let problem: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    problem.get("reason_code").and_then(serde_json::Value::as_str).unwrap_or("unreadable").to_owned()
}

/// The connections must not all be with one worker: what workers share is what is at stake.
fn check_workers(envoy: &Envoy) -> Result<()> {
    let stats = Request::new("GET", "/stats?filter=worker_.*downstream_cx_active").send(envoy.admin)?;
    let text = String::from_utf8_lossy(&stats.body).into_owned();
    let counts = text.lines().filter_map(|line| line.rsplit_once(": ")?.1.parse::<u32>().ok());
    let busy = counts.filter(|count| *count > 0).count();
    ensure!(busy >= usize::try_from(WORKERS)?, "all connections went to one worker: try again");
    Ok(())
}

/// Numbers that look random and come in the same order in every run: xorshift64 by
/// Marsaglia.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.checked_rem(bound).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_that_were_accepted_twice_are_counted() {
        let run = Run::new(4);
        for number in [0, 1, 1, 3, 3, 3] {
            run.accept(number);
        }
        assert_eq!(run.times_accepted(|times| times > 1), 2);
        assert_eq!(run.times_accepted(|times| times == 0), 1);
    }

    #[test]
    fn nonces_come_no_faster_than_they_should() {
        let run = Run::new(200);
        let began = Instant::now();
        while run.due().is_some() {}
        assert!(began.elapsed() >= Duration::from_micros(199 * 1_000_000 / PER_SECOND));
    }

    #[test]
    fn the_reason_of_a_refusal_is_read() {
        let answer = "HTTP/1.1 401 Unauthorized\r\n\r\n{\"status\":401,\"reason_code\":\"request_replayed\"}";
        assert_eq!(reason(answer), "request_replayed");
        assert_eq!(reason("HTTP/1.1 200 OK\r\n\r\nok"), "unreadable");
    }
}
