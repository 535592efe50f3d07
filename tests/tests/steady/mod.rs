//! Clients that ask a gate without a pause, on connections that they keep for a while, and that
//! know what each answer must be.

use crate::live_records::Seen;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use xtask::http::{Connection, Request, Response};

/// A request, and what must come of it: the status, and the reason of a refusal.
pub struct Ask {
    pub request: Request,
    pub status: u16,
    pub reason: &'static str,
}

/// What clients ask: the n-th request, on this path, which is no other's.
pub type Script<'s> = &'s (dyn Fn(usize, &str) -> Ask + Sync);

/// Where clients ask, and for how long.
pub struct Clients<'c> {
    /// The gate's name for itself.
    pub authority: &'c str,
    pub to: SocketAddr,
    /// With what their paths begin, so that they can be told from those of others.
    pub prefix: &'c str,
    pub stop: &'c AtomicBool,
    /// Answers that make no decision, with 503, are in order while this is set.
    pub may_fail: &'c AtomicBool,
    /// Answers so far.
    pub answered: &'c AtomicUsize,
}

/// What clients were told.
#[derive(Default)]
pub struct Told {
    /// The path of each request that was decided, by its record's id.
    pub paths: BTreeMap<String, String>,
    pub seen: Seen,
    /// How often each status and reason came.
    pub counts: BTreeMap<(u16, String), usize>,
    /// Paths of requests on connections that were closed without a byte of an answer. A client may
    /// take those for not processed if neither the record nor the upstream knows them, which
    /// [`check`](Told::check) looks for.
    pub unanswered: BTreeSet<String>,
    /// Paths of requests that Envoy answered by itself, with 503, as a VM was gone.
    pub undecided: BTreeSet<String>,
    /// What no answer may be.
    pub wrong: Vec<String>,
    /// How long each answer took.
    pub took: Vec<Duration>,
}

/// Clients at once, and requests on one connection.
const CLIENTS: usize = 4;
const KEPT: usize = 40;

/// Between two requests of a client, in milliseconds: the machine's cores have other things to do, too,
/// and a test service must take all records. A test that runs for long sets more.
pub static REST_MS: AtomicU64 = AtomicU64::new(10);

impl Clients<'_> {
    /// Asks until `stop`.
    pub fn run(&self, script: Script<'_>) -> Told {
        std::thread::scope(|scope| {
            let clients: Vec<_> =
                (0..CLIENTS).map(|client| scope.spawn(move || self.one(client, script))).collect();
            let mut all = Told::default();
            for client in clients {
                all.add(client.join().unwrap());
            }
            all
        })
    }

    fn one(&self, client: usize, script: Script<'_>) -> Told {
        let mut told = Told::default();
        let mut kept: Option<(Connection, usize)> = None;
        for number in client.. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            std::thread::sleep(Duration::from_millis(REST_MS.load(Ordering::Relaxed)));
            let path = format!("{}{client}-{number}", self.prefix);
            let ask = script(number, &path);
            let (mut connection, uses) = match kept.take() {
                Some(kept) => kept,
                None => match Connection::open(self.to) {
                    Ok(connection) => (connection, 0),
                    Err(error) => {
                        told.wrong.push(format!("{path}: {error:#}"));
                        continue;
                    }
                },
            };
            let may_fail = self.may_fail.load(Ordering::SeqCst);
            let began = Instant::now();
            match connection.exchange(&ask.request.to_bytes(self.authority, false)) {
                Ok(None) => {
                    told.unanswered.insert(path);
                }
                Ok(Some(answer)) => {
                    told.took.push(began.elapsed());
                    let may_fail = may_fail || self.may_fail.load(Ordering::SeqCst);
                    told.take(path, &ask, &answer, may_fail);
                    self.answered.fetch_add(1, Ordering::Relaxed);
                    if connection.is_open() && uses < KEPT {
                        kept = Some((connection, uses + 1));
                    }
                }
                // In the middle of an answer.
                Err(error) => told.wrong.push(format!("{path}: {error:#}")),
            }
        }
        told
    }
}

impl Told {
    pub fn add(&mut self, other: Told) {
        self.paths.extend(other.paths);
        self.seen.extend(other.seen);
        for (answer, count) in other.counts {
            *self.counts.entry(answer).or_default() += count;
        }
        self.unanswered.extend(other.unanswered);
        self.undecided.extend(other.undecided);
        self.wrong.extend(other.wrong);
        self.took.extend(other.took);
    }

    fn take(&mut self, path: String, ask: &Ask, answer: &Response, may_fail: bool) {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let reason = text(&body["reason_code"]);
        *self.counts.entry((answer.status, reason.clone())).or_default() += 1;
        let is_as_wanted = (answer.status, reason.as_str()) == (ask.status, ask.reason);
        if answer.status == 503 && may_fail && !is_as_wanted {
            // Refused, which is never wrong: by the gate, or by Envoy in its stead.
            let id = text(&body["attestation_id"]);
            if reason.is_empty() {
                self.undecided.insert(path);
            } else if !id.is_empty() {
                // A gate that has just started, and has no trust material yet, keeps no records.
                self.seen.insert(id.clone(), text(&body["decision"]));
                self.paths.insert(id, path);
            }
            return;
        }
        if !is_as_wanted {
            let (wanted, status) = ((ask.status, ask.reason), answer.status);
            self.wrong.push(format!("{path}: wanted {wanted:?}, got {status} {body}"));
            return;
        }
        let (id, decision) = if answer.status == 200 {
            let headers = body["headers"].as_array().cloned().unwrap_or_default();
            let id = headers.iter().find(|pair| pair[0] == "x-gate-attestation-id");
            if text(&body["path"]) != path {
                self.wrong.push(format!("{path}: the upstream saw {}", body["path"]));
            }
            (id.map(|pair| text(&pair[1])).unwrap_or_default(), "allow".to_owned())
        } else {
            (text(&body["attestation_id"]), text(&body["decision"]))
        };
        if id.is_empty() {
            self.wrong.push(format!("{path}: decided without a record: {} {body}", answer.status));
            return;
        }
        self.seen.insert(id.clone(), decision);
        self.paths.insert(id, path);
    }

    /// Answers that let a request through.
    pub fn allowed(&self) -> usize {
        self.seen.values().filter(|decision| *decision == "allow").count()
    }

    /// How often a refusal came with this reason.
    pub fn refused(&self, reason: &str) -> usize {
        self.counts.iter().filter(|((_, code), _)| code == reason).map(|(_, count)| count).sum()
    }

    /// Fails unless each answer was right, each is in the record as it was told, on its path, and
    /// nothing was processed that nobody was told of. `records` are those of the whole log, `prefix`
    /// tells the clients' own, `served` is how many requests of theirs the upstream saw.
    pub fn check(&self, records: &[Value], prefix: &str, served: u64) {
        assert!(self.wrong.is_empty(), "{} wrong: {:#?}", self.wrong.len(), self.wrong.first());
        let mut unknown = BTreeSet::new();
        for record in records {
            let path = record["request"]["path"].as_str().unwrap_or_default();
            if path.starts_with(prefix) {
                match self.paths.get(record["attestation_id"].as_str().unwrap()) {
                    Some(told) => assert_eq!(told, path),
                    None => {
                        unknown.insert(path.to_owned());
                    }
                }
            }
        }
        let retried: Vec<_> = unknown.intersection(&self.unanswered).collect();
        let mut untold = unknown.difference(&self.undecided);
        if self.undecided.is_empty() {
            assert!(retried.is_empty(), "processed, and taken for not processed: {retried:?}");
            assert_eq!(usize::try_from(served).unwrap(), self.allowed(), "what the upstream saw");
        }
        assert!(untold.all(|path| self.unanswered.contains(path)), "{unknown:?}");
    }
}

/// What a test does while clients ask.
pub struct Load<'l> {
    stop: &'l AtomicBool,
    may_fail: &'l AtomicBool,
    answered: &'l AtomicUsize,
}

impl Load<'_> {
    /// Waits for so many more answers.
    pub fn pass(&self, more: usize) {
        let wanted = self.answered.load(Ordering::Relaxed) + more;
        let began = Instant::now();
        while self.answered.load(Ordering::Relaxed) < wanted {
            assert!(began.elapsed() < DEADLINE, "clients have no answers");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether answers that make no decision are in order from here on.
    pub fn may_fail(&self, may_fail: bool) {
        self.may_fail.store(may_fail, Ordering::SeqCst);
    }
}

/// A test that fails must not wait for clients that never end.
impl Drop for Load<'_> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Does something while clients ask, and tells what they were told.
pub fn under_load(
    (authority, to, prefix): (&str, SocketAddr, &str),
    script: Script<'_>,
    act: impl FnOnce(&Load<'_>),
) -> Told {
    let (stop, may_fail, answered) = (AtomicBool::new(false), AtomicBool::new(false), AtomicUsize::new(0));
    let (stop, may_fail, answered) = (&stop, &may_fail, &answered);
    let clients = Clients { authority, to, prefix, stop, may_fail, answered };
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| clients.run(script));
        {
            let load = Load { stop, may_fail, answered };
            act(&load);
        }
        asking.join().unwrap()
    })
}

/// Some hundred times what any of it takes where nothing else is done.
const DEADLINE: Duration = Duration::from_secs(180);
