//! What is charged at a gate in real Envoy with two workers, of a real service: each use has one
//! receipt in the log, and what the agent got is what stands there; whatever upstreams, clients
//! and workers do.

use crate::live_stand;
use crate::live_stand::{GATE, LiveStand, Wishes, given};
use crate::metered;
use crate::metered::{Agent, receipt, receipt_id};
use crate::trapping::{Moment, Trap, trapping};
use portcullis_core::receipt::{Attachment, SignedReceipt};
use portcullis_core::{PublicKey, SecretKey, UnixTime, base64};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant, SystemTime};
use xtask::http::{Request, Response, exchange};

const DEADLINE: Duration = Duration::from_secs(60);

/// A stand whose gate has prices.
struct Metered {
    stand: LiveStand,
    agent: Agent,
}

fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    UnixTime::from_millis(i64::try_from(since.as_millis()).unwrap())
}

fn issuer() -> SecretKey {
    SecretKey::from_seed([8; 32])
}

fn start(name: &str) -> Metered {
    let gate = |authority: &str| {
        let route = |path: &str, action: &str| json!({"path": path, "methods": ["GET"], "action": action});
        json!({
            "gate": {"id": GATE}, "profile": "L1", "authorities": [authority],
            "routes": [
                route("/flights", "flights:search"), route("/call", "paid:call"), route("/unit", "paid:unit"),
                route("/minute", "paid:minute"),
            ],
            "trust": {
                "self_issued": {"actions": ["flights:*"]},
                "issuers": [{
                    "id": GATE, "type": "gate", "tier": 3, "actions": ["*"],
                    "keys": [{"key_id": "k1", "public_key": base64::encode(&issuer().public_key())}],
                }],
            },
        })
        .to_string()
    };
    let stand = LiveStand::start(name, &Wishes { gate: Some(&gate), ..Wishes::default() });
    let mut configuration = json!({"gate": {"id": GATE}, "trust": {}});
    metered::with_prices(&mut configuration, &issuer());
    let call = |method: &str, path: &str, body: &Value| stand.call(method, path, body);
    let hashes = metered::publish(GATE, &configuration["catalog_prices"], &call);
    // Changes arrive in their order: who knows of a later one knows of this.
    let key = live_stand::agent(200);
    let probe = live_stand::passport(&key, "pp_probe");
    stand.wait_for(&probe, (200, ""));
    stand.revoke(&key, &probe);
    stand.wait_for(&probe, (401, "passport_revoked"));
    let actions = ["paid:call", "paid:unit", "paid:minute"];
    let agent = Agent::of_issuer(GATE, &issuer(), 1, &actions, Some(&hashes[0]), now());
    Metered { stand, agent }
}

impl Metered {
    fn signed(&self, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
        let authority = self.stand.envoy.listen.to_string();
        let mut request = Request::new("GET", path);
        let headers = self.agent.sign(&authority, path, now());
        request.headers.extend(headers.into_iter().map(|(name, value)| (name.to_owned(), value)));
        request.headers.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        request.to_bytes(&authority, true)
    }

    fn ask_at(&self, envoy: SocketAddr, path: &str, more: &[(&str, &str)]) -> Option<Response> {
        exchange(envoy, &self.signed(path, more)).ok()
    }

    fn ask(&self, path: &str, more: &[(&str, &str)]) -> Response {
        self.ask_at(self.stand.envoy.listen, path, more).expect("an answer")
    }

    /// The records of uses in the log, by the receipts' ids, once there are so many.
    fn wait_for(&self, count: usize) -> BTreeMap<String, Value> {
        let began = Instant::now();
        loop {
            let uses = self.uses();
            if uses.len() >= count {
                return uses;
            }
            let late = began.elapsed() > DEADLINE;
            assert!(!late, "{} of {count} uses are recorded; {}", uses.len(), self.stand.envoy.log_tail());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn uses(&self) -> BTreeMap<String, Value> {
        let export = std::fs::read_to_string(self.stand.export()).unwrap();
        let lines = export.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut uses = BTreeMap::new();
        for record in lines.filter(|line| line["decision"] == "consumption") {
            let id = record["receipt"]["receipt_id"].as_str().unwrap().to_owned();
            assert!(uses.insert(id, record).is_none(), "a use is recorded twice");
        }
        uses
    }

    /// The decisions that the service's receipts name, each as often as one does.
    fn permits_of_receipts(&self) -> Vec<String> {
        let file = self.stand.folder.path().join("receipts.jsonl");
        self.stand.service().fetch(&format!("/api/gates/{GATE}/receipts"), &file).unwrap();
        let lines = std::fs::read_to_string(&file).unwrap();
        let named = lines.lines().map(|line| {
            let receipt = Attachment::read(line.as_bytes()).unwrap().receipt;
            SignedReceipt::read(receipt.as_bytes()).unwrap().receipt.attestation_id.unwrap()
        });
        named.collect()
    }

    /// How many requests for an action went on.
    fn allowed(&self, action: &str) -> usize {
        let export = std::fs::read_to_string(self.stand.export()).unwrap();
        let lines = export.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["decision"] == "allow" && line["request"]["action"] == action).count()
    }

    fn attestation_key(&self) -> PublicKey {
        let seed = base64::decode_array(&self.stand.enrolled.key).unwrap();
        PublicKey::from_bytes(&SecretKey::from_seed(seed).attestation_key().public_key()).unwrap()
    }

    fn audit(&self) {
        let (code, words) = self.stand.audit(&self.stand.export());
        assert_eq!(code, Some(0), "{words}");
    }
}

fn header<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    response.headers.iter().find(|(one, _)| one.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

#[test]
fn what_agents_get_is_what_the_log_has_and_the_sums_are_equal() {
    let metered = start("metering");
    let (mut told, mut cents) = (Vec::new(), 0);
    for number in 0..40 {
        let status = ["200", "200", "200", "500"][number % 4];
        let answer = metered.ask("/call", &[("x-echo-status", status)]);
        assert_eq!(answer.status.to_string(), status);
        let got = receipt(header(&answer, "agent-receipt").expect("a receipt"));
        got.verify(&metered.attestation_key()).unwrap();
        cents += got.receipt.charge.total_cents();
        told.push(got.receipt.receipt_id());
    }
    assert_eq!(cents, 30 * 5);
    let uses = metered.wait_for(told.len());
    assert_eq!(uses.len(), told.len());
    assert!(told.iter().all(|id| uses.contains_key(id)));
    let recorded: u64 = uses.values().map(|record| record["request"]["cost_cents"].as_u64().unwrap()).sum();
    assert_eq!(recorded, cents);
    metered.audit();
}

#[test]
fn what_is_counted_at_the_end_is_counted_whatever_the_end_is() {
    let metered = start("metering_ends");
    let listen = metered.stand.envoy.listen;
    let cost = |answer: &Response, count| {
        let id = receipt_id(header(answer, "agent-receipt").unwrap()).to_owned();
        metered.wait_for(count)[&id]["request"]["cost_cents"].as_u64().unwrap()
    };
    let answer = metered.ask("/unit", &[("x-echo-header", "x-gate-quantity=12")]);
    assert_eq!(header(&answer, "x-gate-quantity"), None);
    assert_eq!(cost(&answer, 1), 84);
    // A begun minute is charged, and the answer ends before it is told.
    let answer = metered.ask("/minute", &[("x-echo-pause", "300")]);
    assert_eq!(cost(&answer, 2), 30);

    // An upstream that closes the connection without an answer: Envoy's own says 503.
    let answer = metered.ask("/call", &[("x-echo-reset", "1")]);
    assert_eq!(answer.status, 503);
    let got = receipt(header(&answer, "agent-receipt").unwrap());
    assert_eq!((got.receipt.outcome.name(), got.receipt.charge.total_cents()), ("error", 0));
    metered.wait_for(3);

    // A client that leaves after half of the answer, and one that leaves before any of it.
    for (path, pause, waits) in [("/minute", "30000", true), ("/unit", "0", false), ("/call", "0", false)] {
        let known = metered.uses().len();
        let mut stream = TcpStream::connect(listen).unwrap();
        let more: &[(&str, &str)] =
            if waits { &[("x-echo-pause", pause)] } else { &[("x-echo-hang", "30000")] };
        stream.write_all(&metered.signed(path, more)).unwrap();
        if waits {
            assert!(stream.read(&mut [0; 64]).unwrap() > 0);
        } else {
            std::thread::sleep(Duration::from_millis(500));
        }
        drop(stream);
        let uses = metered.wait_for(known + 1);
        assert_eq!(uses.len(), known + 1, "{path}");
    }
    let costs: u64 =
        metered.uses().values().map(|record| record["request"]["cost_cents"].as_u64().unwrap()).sum();
    // 12 units, two begun minutes, nothing for what failed, one unit and one call in part.
    assert_eq!(costs, 84 + 2 * 30 + 7 + 5);
    metered.audit();
}

#[test]
fn no_client_turns_its_use_into_a_timeout() {
    let metered = start("metering_timeouts");
    let mut stream = TcpStream::connect(metered.stand.envoy.listen).unwrap();
    let more = [
        ("x-echo-hang", "1"),
        ("x-envoy-upstream-rq-timeout-ms", "100"),
        ("x-envoy-upstream-rq-per-try-timeout-ms", "100"),
    ];
    stream.write_all(&metered.signed("/call", &more)).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
    let mut answer = [0; 2048];
    if let Ok(length) = stream.read(&mut answer) {
        panic!("an answer came: {}", String::from_utf8_lossy(&answer[..length]));
    }
    drop(stream);
    let uses = metered.wait_for(1);
    let costs: Vec<_> =
        uses.values().map(|record| record["request"]["cost_cents"].as_u64().unwrap()).collect();
    assert_eq!(costs, [5]);
}

#[test]
fn an_upstream_that_does_not_answer_in_time_is_charged_for_nothing() {
    let metered = start("metering_late");
    let plugin = given("PORTCULLIS_WASM");
    let envoy = metered.stand.closed_envoy_by("metering_late_b", &metered.stand.enrolled, |shipped| {
        shipped.with_plugin(&plugin)?.with_route_timeout("0.5s")
    });
    let began = Instant::now();
    // A gate that has just started refuses until it has its trust material.
    while metered.ask_at(envoy.listen, "/call", &[]).is_none_or(|answer| answer.status != 200) {
        assert!(began.elapsed() < DEADLINE, "{}", envoy.log_tail());
        std::thread::sleep(Duration::from_millis(20));
    }
    let before = metered.wait_for(1).len();
    let late = metered.ask_at(envoy.listen, "/call", &[("x-echo-hang", "1")]).expect("an answer");
    assert_eq!(late.status, 504);
    let got = receipt(header(&late, "agent-receipt").expect("a receipt")).receipt;
    assert_eq!((got.outcome.name(), got.charge.total_cents()), ("timeout", 0));
    let uses = metered.wait_for(before + 1);
    assert_eq!(uses[&got.receipt_id()]["request"]["cost_cents"], 0);
}

#[test]
fn workers_that_trap_charge_nothing_twice_and_lose_no_receipt_that_an_agent_saw() {
    let metered = start("metering_trapped");
    let plugin = std::fs::read(given("PORTCULLIS_WASM")).unwrap();
    let (mut told, mut traps) = (Vec::new(), 0);
    let functions = [
        ("proxy_on_response_headers", Moment::Before, 9),
        ("proxy_on_response_headers", Moment::After, 9),
        ("proxy_add_header_map_value", Moment::After, 9),
        ("proxy_on_delete", Moment::Before, 9),
        ("proxy_set_shared_data", Moment::After, 60),
    ];
    for (number, (function, moment, nth)) in functions.into_iter().enumerate() {
        let name = format!("metering_trapped_{number}");
        let file = metered.stand.folder.path().join(format!("{name}.wasm"));
        std::fs::write(&file, trapping(&plugin, Trap { function, moment, nth })).unwrap();
        let envoy = metered.stand.closed_envoy_with(&name, &metered.stand.enrolled, &file);
        let began = Instant::now();
        let mut passed = 0;
        while passed < 60 && began.elapsed() < DEADLINE {
            // A gate that has just started refuses until it has its trust material.
            let Some(answer) = metered.ask_at(envoy.listen, "/call", &[]) else { continue };
            if let Some(text) = header(&answer, "agent-receipt") {
                told.push(receipt(text).receipt.receipt_id());
                passed += 1;
            } else {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        assert_eq!(passed, 60, "{function}: {}", envoy.log_tail());
        let log = std::fs::read_to_string(&envoy.log).unwrap();
        traps +=
            log.lines().filter(|line| line.contains("failed: Uncaught RuntimeError: unreachable")).count();
        let uses = metered.wait_for(told.len());
        let wait = Instant::now();
        let mut missing = told.iter().filter(|id| !uses.contains_key(*id)).count();
        while missing > 0 && wait.elapsed() < DEADLINE {
            // Envoy starts a worker's gate anew when the worker has a request.
            let _ = metered.ask_at(envoy.listen, "/flights", &[]);
            std::thread::sleep(Duration::from_millis(100));
            let uses = metered.uses();
            missing = told.iter().filter(|id| !uses.contains_key(*id)).count();
        }
        assert_eq!(missing, 0, "{function}");
    }
    assert!(traps > 10, "{traps}");
    let uses = metered.uses();
    let allowed = metered.allowed("paid:call");
    assert!(uses.len() <= allowed, "{} uses of {allowed} permits", uses.len());
    let (permits, receipts) = (metered.permits_of_receipts(), metered.uses().len());
    let distinct: BTreeSet<_> = permits.iter().collect();
    assert_eq!((permits.len(), distinct.len()), (receipts, receipts), "a permit has two receipts");
    println!("{} receipts were seen, {} are recorded; {traps} traps", told.len(), uses.len());
    metered.audit();
}
