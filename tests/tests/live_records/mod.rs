//! What clients of a gate in real Envoy were told, and what the record says of it.

use crate::live_stand::{GATE, LiveStand, Wishes, given};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use xtask::control::Service;
use xtask::http::{Request, exchange};

/// A gate whose records are kept by this policy.
fn gate(authority: &str, policy: &str) -> String {
    json!({
        "gate": {"id": GATE, "name": "Flights"}, "profile": "L1", "authorities": [authority],
        "routes": [{
            "path": "/flights", "methods": ["GET", "POST"], "action": "flights:search", "cost_cents": 250,
        }],
        "trust": {"self_issued": {"actions": ["flights:*"]}}, "attest": {"policy": policy},
    })
    .to_string()
}

pub fn stand(name: &str, policy: &str) -> LiveStand {
    let gate = |authority: &str| gate(authority, policy);
    LiveStand::start(name, &Wishes { gate: Some(&gate), ..Wishes::default() })
}

/// What clients were told: attestation ids, with what was decided.
pub type Seen = BTreeMap<String, String>;

/// A request, with this passport or without a credential.
pub fn request(credential: Option<&str>) -> Request {
    let mut request = Request::new("GET", "/flights");
    request.headers.extend(credential.map(|header| ("agent-passport".to_owned(), header.to_owned())));
    request
}

/// Sends one request; what the client, or the upstream, was told. Of a request that the gate
/// did not answer nobody saw a decision.
pub fn ask(authority: &str, to: SocketAddr, request: &Request) -> Option<(String, String)> {
    let answer = exchange(to, &request.to_bytes(authority, true)).ok()?;
    let body: Value = serde_json::from_slice(&answer.body).ok()?;
    if answer.status == 200 {
        let headers = body["headers"].as_array()?;
        let id = headers.iter().find(|pair| pair[0] == "x-gate-attestation-id")?[1].as_str()?;
        return Some((id.to_owned(), "allow".to_owned()));
    }
    Some((body["attestation_id"].as_str()?.to_owned(), body["decision"].as_str()?.to_owned()))
}

/// Asks from four threads at once until `stop`, or so often each: every fifth request has no
/// credential.
pub fn load(to: SocketAddr, credential: &str, each: usize, stop: &AtomicBool) -> Seen {
    load_for(&to.to_string(), to, credential, each, stop)
}

/// From one Envoy, in the name of the gate at another.
pub fn load_for(authority: &str, to: SocketAddr, credential: &str, each: usize, stop: &AtomicBool) -> Seen {
    let good = request(Some(credential));
    let requests = [request(None), good.clone(), good.clone(), good.clone(), good];
    load_of((authority, to), &requests, each, Duration::ZERO, stop)
}

/// Asks for each of `requests` in turn, so often from each of four threads, unless `stop` is
/// set; each rests after a request.
pub fn load_of(
    (authority, to): (&str, SocketAddr),
    requests: &[Request],
    each: usize,
    rest: Duration,
    stop: &AtomicBool,
) -> Seen {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                scope.spawn(move || {
                    (0..each)
                        .take_while(|_| !stop.load(Ordering::Relaxed))
                        .filter_map(|number| {
                            std::thread::sleep(rest);
                            ask(authority, to, &requests[(number + thread) % requests.len()])
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

impl LiveStand {
    pub fn service(&self) -> &Service {
        self.service.as_ref().expect("the service runs")
    }

    /// An export of the gate's whole log, as a file.
    pub fn export(&self) -> PathBuf {
        self.export_of(GATE)
    }

    /// The same of a gate that the test has named itself.
    pub fn export_of(&self, gate: &str) -> PathBuf {
        let file = self.folder.path().join("export.jsonl");
        let path = format!("/api/v1/attestations/export?format=jsonl&gate_id={gate}");
        self.service().fetch(&path, &file).unwrap();
        file
    }

    /// The keys by which the log is audited, as a file.
    pub fn keys(&self) -> PathBuf {
        let file = self.folder.path().join("keys.json");
        self.service().fetch(&format!("/api/gates/{GATE}/attestation-keys"), &file).unwrap();
        file
    }

    /// The log's checkpoint; nothing before the first record.
    pub fn checkpoint(&self) -> String {
        let path = format!("/api/gates/{GATE}/log/checkpoint");
        let answer = self.service().call("GET", &path, None).unwrap();
        String::from_utf8(answer.body).unwrap()
    }

    /// How many records the log has: the second line of its checkpoint.
    pub fn log_size(&self) -> usize {
        self.checkpoint().lines().nth(1).and_then(|line| line.parse().ok()).unwrap_or(0)
    }

    /// Waits until the record has all that clients saw, and that each stands there once.
    pub fn wait_for_records(&self, seen: &Seen) -> Vec<Value> {
        self.wait_for_records_and(seen, Duration::from_secs(30), || ())
    }

    /// The same so long, and does something meanwhile, ten times a second at most.
    pub fn wait_for_records_and(
        &self,
        seen: &Seen,
        deadline: Duration,
        mut meanwhile: impl FnMut(),
    ) -> Vec<Value> {
        let (mut began, mut least) = (Instant::now(), usize::MAX);
        loop {
            let export = std::fs::read_to_string(self.export()).unwrap();
            let lines = export.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let records: Vec<Value> = lines.filter(|line| line["attestation_id"].is_string()).collect();
            let mut kept: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for record in &records {
                let decision = record["decision"].as_str().unwrap();
                kept.entry(record["attestation_id"].as_str().unwrap()).or_default().push(decision);
            }
            let missing = seen.iter().filter(|(id, _)| !kept.contains_key(id.as_str())).count();
            if missing == 0 {
                for (id, decision) in seen {
                    assert_eq!(kept[id.as_str()], [decision.as_str()], "{id}");
                }
                return records;
            }
            // While more arrive it is only slow.
            if missing < least {
                (began, least) = (Instant::now(), missing);
            }
            let late = began.elapsed() > deadline;
            assert!(!late, "{missing} of {} are missing; {}", seen.len(), self.envoy.log_tail());
            meanwhile();
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What the audit says of the export: whether it holds, and its words.
    pub fn audit(&self, export: &Path) -> (Option<i32>, String) {
        self.audit_since(export, None)
    }

    /// The same by an auditor who has kept this checkpoint.
    pub fn audit_since(&self, export: &Path, checkpoint: Option<&str>) -> (Option<i32>, String) {
        let mut command = Command::new(given("PORTCULLIS_CLI"));
        command.args(["audit", "verify"]).arg(export).arg("--keys").arg(self.keys());
        if let Some(checkpoint) = checkpoint {
            let file = self.folder.path().join("kept.note");
            std::fs::write(&file, checkpoint).unwrap();
            command.arg("--checkpoint").arg(file);
        }
        let output = command.output().unwrap();
        let words = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&words).into_owned())
    }
}
