//! CPU time per request, side by side: every variant has an Envoy of its own, all in one
//! run, measured in turn, round after round.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};

use super::Options;
use super::cpu;
use super::load::{Load, Steady};
use super::report::{Report, Row};
use super::statistics::Spread;
use crate::echo::{Answer, Upstream};
use crate::envoy::Envoy;
use crate::envoy_config::{Addresses, EnvoyConfig};
use crate::http::Request;
use crate::workspace::Workspace;
use crate::{net, tools};

/// What every Envoy of a part has in common.
pub(super) struct Stage<'w> {
    pub(super) workspace: &'w Workspace,
    /// Envoy's program.
    program: PathBuf,
    /// What stands behind every Envoy.
    upstream: Upstream,
    /// The shipped configuration, with the plugin to measure.
    pub(super) shipped: EnvoyConfig,
}

impl<'w> Stage<'w> {
    /// Starts the upstream.
    pub(super) fn new(workspace: &'w Workspace, wasm: &Path) -> Result<Self> {
        let [address] = net::free()?;
        Ok(Self {
            workspace,
            program: tools::python(workspace)?.envoy,
            upstream: Upstream::start(address, Answer::Fixed)?,
            shipped: EnvoyConfig::shipped(workspace)?.with_plugin(wasm)?.without_access_log()?,
        })
    }

    /// Starts an Envoy.
    pub(super) fn envoy(
        &self,
        name: &str,
        config: EnvoyConfig,
        workers: u32,
        environment: &[(&str, &str)],
    ) -> Result<Envoy> {
        let [listen, admin] = net::free()?;
        let addresses = Addresses { listen, admin, upstream: self.upstream.address };
        let (name, program) = (format!("bench-{name}"), &self.program);
        Envoy::start_with(self.workspace, program, &name, config, &addresses, workers, environment)
            .with_context(|| format!("the Envoy {name}"))
    }
}

/// One thing to measure, and what came out so far.
pub(super) struct Variant {
    /// Its line in the table.
    place: usize,
    name: &'static str,
    about: &'static str,
    envoy: Envoy,
    /// Processes whose CPU time counts beside Envoy's.
    beside: Vec<u32>,
    load: Load,
    traffic: Traffic,
    /// The status of every answer.
    status: u16,
    /// It gets one of so many requests: for requests that cost as much as many.
    one_in: usize,
    /// Microseconds per request, one for each round.
    rounds: Vec<f64>,
}

/// What the clients of a variant send.
pub(super) enum Traffic {
    /// The same request again and again.
    Same(Vec<u8>),
    /// A request that was never sent before.
    Fresh(Box<dyn FnMut() -> Result<Vec<u8>>>),
    /// Of each connection's agent, a request that the answer to its last one asks for.
    Steady(Vec<Steady>),
}

impl Variant {
    /// A variant whose every answer has this status.
    pub(super) fn new(
        name: &'static str,
        about: &'static str,
        envoy: Envoy,
        status: u16,
        traffic: impl FnOnce(SocketAddr) -> Traffic,
    ) -> Result<Self> {
        Ok(Self {
            place: 0,
            name,
            about,
            load: Load::connect(envoy.listen)?,
            traffic: traffic(envoy.listen),
            envoy,
            beside: Vec::new(),
            status,
            one_in: 1,
            rounds: Vec::new(),
        })
    }

    /// The same, with another process's CPU time counted too.
    pub(super) fn beside(mut self, pid: u32) -> Self {
        self.beside.push(pid);
        self
    }

    /// The same with so many times fewer requests.
    pub(super) fn one_in(mut self, times: usize) -> Self {
        self.one_in = times.max(1);
        self
    }

    /// Sends `count` requests; gives the CPU time for each, in microseconds.
    fn round(&mut self, count: usize) -> Result<f64> {
        let count = count.div_euclid(self.one_in).max(1);
        let (mut sent, mut used) = (0, 0.0);
        while sent < count {
            let left = count.saturating_sub(sent);
            let made = self.made(left)?;
            let batch: Vec<&[u8]> = match &self.traffic {
                Traffic::Same(_) => made.iter().map(Vec::as_slice).cycle().take(left).collect(),
                _ => made.iter().map(Vec::as_slice).collect(),
            };
            // The first challenge is not what is measured.
            if let Traffic::Steady(agents) = &mut self.traffic {
                self.load.challenge(agents)?;
            }
            let before = self.used()?;
            let answered = match &mut self.traffic {
                Traffic::Steady(agents) => self.load.converse(agents, left, self.status),
                _ => self.load.drive(&batch, self.status).map(|()| batch.len()),
            };
            let answered =
                answered.with_context(|| format!("the variant {}\n{}", self.name, self.envoy.log_tail()))?;
            used += self.used()? - before;
            sent = sent.saturating_add(answered.max(1));
        }
        Ok(used * 1e6 / sent as f64)
    }

    /// Makes requests ahead of their sending, as many as there is room for.
    fn made(&mut self, count: usize) -> Result<Vec<Vec<u8>>> {
        let mut made = Vec::new();
        match &mut self.traffic {
            Traffic::Same(request) => made.push(request.clone()),
            Traffic::Fresh(make) => {
                let mut bytes = 0_usize;
                while made.len() < count && bytes < AHEAD {
                    let request = make()?;
                    bytes = bytes.saturating_add(request.len());
                    made.push(request);
                }
            }
            Traffic::Steady(_) => {}
        }
        Ok(made)
    }

    /// CPU time so far, in seconds.
    fn used(&self) -> Result<f64> {
        let others = self.beside.iter().map(|pid| cpu::used(*pid));
        let all = std::iter::once(cpu::used(self.envoy.pid())).chain(others);
        all.map(|used| Ok(used?.as_secs_f64())).sum()
    }
}

/// All variants of one part.
pub(super) struct SideBySide {
    /// Its name, with which its rows begin.
    part: &'static str,
    /// The largest ratios that are good enough, by the names of their rows.
    bars: &'static [(&'static str, f64)],
    variants: Vec<Variant>,
}

impl SideBySide {
    /// No variants yet. There must be one named `bare` and one named `jwt_uncached`.
    pub(super) fn new(part: &'static str, bars: &'static [(&'static str, f64)]) -> Self {
        Self { part, bars, variants: Vec::new() }
    }

    /// Adds one.
    pub(super) fn add(&mut self, mut variant: Variant) {
        variant.place = self.variants.len();
        self.variants.push(variant);
    }

    /// Warms every variant, then measures each once per round. The order is
    /// reversed and turned from round to round, so that no variant always
    /// follows the same other, or always comes first.
    pub(super) fn run(&mut self, options: &Options) -> Result<()> {
        let count = usize::try_from(options.requests)?;
        let steps = u64::from(options.rounds).saturating_mul(self.variants.len() as u64);
        let bar = ProgressBar::new(steps).with_style(
            ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        let warm_up = WARM_UP.min(count.saturating_mul(25));
        for variant in &mut self.variants {
            bar.set_message(format!("warming {}", variant.name));
            variant.round(warm_up)?;
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
        self.variants.sort_by_key(|variant| variant.place);
        Ok(())
    }

    /// Prints the table and adds its rows.
    pub(super) fn report(&self, report: &mut Report) -> Result<()> {
        println!("\nCPU time per request, one worker, HTTP/1.1 keep-alive; medians and quartiles\n");
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
            let name = format!("{}.{}", self.part, variant.name);
            report.add(Row::new(name.clone(), time.median, "us"));
            report.add(Row::new(format!("{name}.low"), time.low, "us"));
            report.add(Row::new(format!("{name}.high"), time.high, "us"));
            report.add(self.limited(format!("{name}/bare"), to_bare.median));
            report.add(self.limited(format!("{name}/jwt_uncached"), to_jwt.median));
        }
        Ok(())
    }

    /// What the rounds of a variant took, in microseconds per request.
    pub(super) fn rounds(&self, name: &str) -> Result<&[f64]> {
        let variant = self.variants.iter().find(|variant| variant.name == name);
        variant.map(|variant| variant.rounds.as_slice()).with_context(|| format!("no variant {name}"))
    }

    /// How long each of `count` requests takes, one at a time, in microseconds: of the
    /// variants of these names, in turn.
    pub(super) fn one_at_a_time(&mut self, names: &[&'static str], count: usize) -> Result<Vec<Vec<f64>>> {
        let mut times = vec![Vec::with_capacity(count); names.len()];
        while times.first().is_some_and(|times| times.len() < count) {
            for (name, times) in names.iter().zip(&mut times) {
                let variant = self.variants.iter_mut().find(|variant| variant.name == *name);
                let variant = variant.with_context(|| format!("no variant {name}"))?;
                let made = variant.made(TURN)?;
                let requests: Vec<&[u8]> = made.iter().map(Vec::as_slice).cycle().take(TURN).collect();
                times.extend(variant.load.time_each(&requests, variant.status)?);
            }
        }
        Ok(times)
    }

    fn limited(&self, name: String, ratio: f64) -> Row {
        let bar = self.bars.iter().find(|(known, _)| *known == name);
        let row = Row::new(name, ratio, "ratio");
        match bar {
            Some((_, bar)) => row.at_most(*bar),
            None => row,
        }
    }
}

/// Enough for V8 to have compiled the hot functions a second time, optimised, which it
/// does in the background on Envoy's account: by 20,000 requests some are not yet. A run of
/// fewer requests than usual, which only shows that all works, has fewer of these too.
const WARM_UP: usize = 50_000;

/// Bytes of requests that are made ahead at most: some thousand of the usual ones.
const AHEAD: usize = 32 << 20;

/// Requests of one variant before the next one's turn, one at a time.
const TURN: usize = 50;

/// The same request, without a credential or with one.
pub(super) fn same(headers: &[(&str, &str)]) -> impl FnOnce(SocketAddr) -> Traffic {
    same_request(request("GET", headers, &[]))
}

/// The same request.
pub(super) fn same_request(request: Request) -> impl FnOnce(SocketAddr) -> Traffic {
    move |to| Traffic::Same(request.to_bytes(&to.to_string(), false))
}

/// Requests with a new value of a header each.
pub(super) fn fresh(
    header: &'static str,
    mut make: impl FnMut() -> Result<String> + 'static,
) -> impl FnOnce(SocketAddr) -> Traffic {
    fresh_request(move || Ok(request("GET", &[(header, &make()?)], &[])))
}

/// New requests.
pub(super) fn fresh_request(
    mut make: impl FnMut() -> Result<Request> + 'static,
) -> impl FnOnce(SocketAddr) -> Traffic {
    move |to| {
        let to = to.to_string();
        Traffic::Fresh(Box::new(move || Ok(make()?.to_bytes(&to, false))))
    }
}

/// A request to the route of every gate here.
pub(super) fn request(method: &str, headers: &[(&str, &str)], body: &[u8]) -> Request {
    let mut request = Request::new(method, PATH);
    request.headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    request.body = body.to_vec();
    request
}

/// The route that the shipped configuration gives to self-issued passports.
pub(super) const PATH: &str = "/flights";
