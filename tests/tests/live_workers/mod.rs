//! Workers on the harness whose gate takes its trust material from a service, as all gates of
//! the profiles L2 and L3 do.

mod approve;
mod keeper;

use crate::common::key;
use crate::service;
use keeper::Keeper;
use portcullis_core::{SecretKey, UnixTime, base64};
use portcullis_harness::{Host, HostProfile, HttpCall, Outcome, Plugin, Request, Response, Vm};
use serde_json::{Value, json};
pub use service::Service;
use std::time::Duration;

/// Workers of one proxy, which take requests in turn, and the service that they ask.
pub struct LiveWorkers {
    pub host: Host,
    pub vms: Vec<Vm>,
    pub service: Service,
    pub keeper: Keeper,
    /// Whether the keeper of records answers, and whether its answers arrive.
    pub keeps: Keeps,
    /// Calls that nobody answers: workers, and the calls' tokens.
    forgotten: Vec<(usize, u32)>,
    next: usize,
}

/// How the keeper of records does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    Well,
    /// It takes what comes, and its answers get lost.
    Unheard,
    /// It is away.
    Not,
    /// The host forgets calls to it, and tells the worker nothing.
    Forgotten,
}

const TICK: Duration = Duration::from_millis(200);

impl LiveWorkers {
    /// Starts `workers` for this configuration at `now`, and lets them take it up.
    pub fn start(plugin: &Plugin, configuration: &str, now: UnixTime, workers: usize) -> Self {
        let gate: Value = serde_json::from_str(configuration).expect("a configuration");
        let id = gate["gate"]["id"].as_str().expect("a gate's id").to_owned();
        let pinned = json!([{"key_id": "k1", "public_key": base64::encode(&key(9).public_key())}]);
        let own = json!({
            "gate": {"id": id},
            "service": {"cluster": "control", "authority": "control.internal", "keys": pinned},
        });
        // As Envoy is where upgrades are configured; where not, it answers them itself.
        let profile = HostProfile { hop_headers_removed: false, ..HostProfile::envoy() };
        let host = Host::new(plugin, profile)
            .configuration(own.to_string())
            .environment("PORTCULLIS_GATE_KEY", &base64::encode(&[3; 32]))
            .clusters(&["control"]);
        host.set_now(Duration::from_millis(u64::try_from(now.as_millis()).expect("after 1970")));
        let mut service = Service::new(configuration.to_owned());
        service.gate = id;
        let vms = (0..workers).map(|_| host.start().expect("a worker starts")).collect();
        let keeper = Keeper::new(&service.gate, &SecretKey::from_seed([3; 32]));
        let mut all =
            LiveWorkers { host, vms, service, keeper, keeps: Keeps::Well, forgotten: vec![], next: 0 };
        all.take_up();
        all
    }

    /// Lets all workers take up what there is, while the clock stands.
    pub fn take_up(&mut self) {
        for _ in 0..4 {
            self.tick();
        }
    }

    /// Lets time go by, while the service answers.
    pub fn run(&mut self, time: Duration) {
        for _ in 0..time.as_millis() / TICK.as_millis() {
            self.host.advance(TICK);
            self.tick();
        }
    }

    /// Sends a request to the next worker.
    pub fn request(&mut self, request: Request) -> Outcome {
        self.next = (self.next + 1) % self.vms.len();
        self.vms[self.next].request(request)
    }

    fn tick(&mut self) {
        for at in 0..self.vms.len() {
            self.vms[at].tick().expect("a tick");
            self.answer_calls(at);
        }
    }

    /// Answers the calls of a worker, unless it dies of that.
    pub fn answer_calls(&mut self, at: usize) {
        // Pages follow on each other at once; no set here has as many.
        for _ in 0..100 {
            let calls = self.vms[at].http_calls();
            let waits = |call: &HttpCall| !self.forgotten.contains(&(at, call.token));
            let Some(call) = calls.into_iter().find(waits) else { break };
            let is_of_records = !call.headers.get(":path").expect("a path").contains('?');
            if is_of_records && self.keeps == Keeps::Forgotten {
                self.forgotten.push((at, call.token));
                continue;
            }
            let answer = self.answer(&call);
            if self.vms[at].answer_http_call(call.token, answer).is_err() {
                break;
            }
        }
    }

    fn answer(&mut self, call: &HttpCall) -> Response {
        let target = call.headers.get(":path").expect("a path").into_owned();
        if !target.contains('?') {
            return self.keep(&target, &call.body);
        }
        let (_, query) = target.split_once('?').expect("a query");
        let member = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(one, _)| *one == name).map(|(_, value)| value.to_owned())
        };
        if let Some(from) = member("from") {
            let from = u64::from_str_radix(&from, 16).expect("a fingerprint");
            return Response::new(200).body(self.service.page(from).sign(&key(9), "k1"));
        }
        let number = |name| member(name).map_or(0, |text| text.parse().expect("a number"));
        let now = i64::try_from(self.host.now().as_millis()).expect("a time");
        let now = UnixTime::from_millis(now);
        let mut response = self.service.answer(number("snapshot"), number("revocations"), now);
        let mut head = self.service.head(now);
        head.echo = member("random").unwrap_or_default();
        response.head = head.sign(&key(9), "k1");
        Response::new(200).header("content-type", "application/json").body(response.to_json())
    }

    fn keep(&mut self, target: &str, body: &[u8]) -> Response {
        let now = UnixTime::from_millis(i64::try_from(self.host.now().as_millis()).expect("a time"));
        if self.keeps == Keeps::Not {
            return Response::new(503);
        }
        let answer = match target.rsplit('/').next() {
            Some("lanes") => self.keeper.open(body, now),
            Some("attestations") => self.keeper.take(body, now),
            _ => Response::new(404),
        };
        if self.keeps == Keeps::Unheard { Response::new(504) } else { answer }
    }
}
