//! What is charged at a gate, on the harness: a receipt for each use that passed, one and no
//! more, whatever upstream, client and host do.

use crate::common::{NOW, key};
use crate::live_workers::{Keeps, LiveWorkers};
use crate::metered;
use crate::metered::{Agent, receipt, receipt_id, with_prices};
use portcullis_core::receipt::{Outcome, SignedReceipt};
use portcullis_core::{PublicKey, SecretKey, UnixTime};
use portcullis_harness::{Fault, Headers, Outcome as Played, Plugin, Request, Response, Status};
use serde_json::{Value, json};
use std::sync::LazyLock;
use std::time::Duration;

const AUTHORITY: &str = "127.0.0.1:10000";

static PLUGIN: LazyLock<Plugin> = LazyLock::new(|| {
    let path = std::env::var_os("PORTCULLIS_WASM")
        .expect("PORTCULLIS_WASM names the plugin: run `cargo xtask test`");
    Plugin::from_file(path).expect("the plugin compiles")
});

const PATHS: [(&str, &str); 4] =
    [("/call", "paid:call"), ("/minute", "paid:minute"), ("/month", "paid:month"), ("/unit", "paid:unit")];

fn configuration(policy: &str, mode: &str) -> Value {
    let mut routes: Vec<Value> = PATHS
        .iter()
        .map(|(path, action)| json!({"path": path, "methods": ["GET"], "action": action}))
        .collect();
    routes.push(json!({"path": "/free", "methods": ["GET"], "action": "free"}));
    routes.push(json!({"path": "/public", "methods": ["GET"], "public": true}));
    routes.push(json!({"path": "/socket", "methods": ["GET"], "action": "paid:call", "allow_upgrade": true}));
    let mut configuration = json!({
        "gate": {"id": "gate_metering"}, "profile": "L1", "mode": mode, "authorities": [AUTHORITY],
        "routes": routes, "trust": {}, "attest": {"policy": policy},
    });
    with_prices(&mut configuration, &key(8));
    configuration
}

fn gate(policy: &str, workers: usize) -> LiveWorkers {
    LiveWorkers::start(&PLUGIN, &configuration(policy, "enforce").to_string(), NOW, workers)
}

fn agent() -> Agent {
    let actions = ["paid:call", "paid:minute", "paid:month", "paid:unit", "free"];
    Agent::of_issuer("gate_metering", &key(8), 1, &actions, Some(metered::HASH), NOW)
}

impl LiveWorkers {
    fn time(&self) -> UnixTime {
        UnixTime::from_millis(i64::try_from(self.host.now().as_millis()).unwrap())
    }

    fn signed(&self, path: &str) -> Request {
        let headers = agent().sign(AUTHORITY, path, self.time());
        headers
            .into_iter()
            .fold(Request::new("GET", path), |request, (name, value)| request.header(name, value))
    }

    fn answered(&mut self, path: &str, response: Response) -> Played {
        let request = self.signed(path).answered_with(response);
        let played = self.request(request);
        assert!(played.trap.is_none());
        played
    }

    /// All receipts that the keeper has, once it has had the time to take them; that each of them
    /// stands there once.
    fn receipts(&mut self) -> Vec<SignedReceipt> {
        self.run(Duration::from_secs(2));
        let receipts: Vec<_> = self.keeper.receipts.iter().map(|(receipt, _)| receipt.clone()).collect();
        let mut ids: Vec<_> = receipts.iter().map(|receipt| receipt.receipt.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), receipts.len());
        let mut allowed: Vec<_> =
            receipts.iter().map(|receipt| receipt.receipt.attestation_id.clone()).collect();
        allowed.sort_unstable();
        allowed.dedup();
        assert_eq!(allowed.len(), receipts.len(), "a use has two receipts");
        receipts
    }
}

fn attestation_key() -> PublicKey {
    PublicKey::from_bytes(&SecretKey::from_seed([3; 32]).attestation_key().public_key()).unwrap()
}

/// What it costs, the platform's part, and how much was used.
fn sums(receipt: &SignedReceipt) -> (u64, u64, u64) {
    let charge = &receipt.receipt.charge;
    (charge.total_cents(), charge.fee_cents(), charge.quantity())
}

#[test]
fn a_paid_call_brings_its_agent_a_receipt_that_the_log_has_too() {
    let mut gate = gate("required", 2);
    let played = gate.answered("/call", Response::new(200));
    assert_eq!(played.status(), 200);
    let id = played.upstream_header("x-gate-attestation-id").unwrap().into_owned();
    let got = receipt(&played.reply_header("agent-receipt").unwrap());
    got.verify(&attestation_key()).unwrap();
    let said = &got.receipt;
    assert_eq!((said.action.as_str(), said.outcome, said.status), ("paid:call", Outcome::Success, Some(200)));
    assert_eq!((said.agent.agent_id.as_str(), said.agent.passport_id.as_str()), ("agent_1", "pp_1"));
    assert_eq!((said.gate_id.as_str(), said.attestation_id.as_deref()), ("gate_metering", Some(id.as_str())));
    assert_eq!((said.catalog.version, said.catalog.content_hash.as_str()), (1, metered::HASH));
    assert_eq!((sums(&got), said.duration_ms), ((5, 1, 1), None));
    let receipts = gate.receipts();
    assert_eq!(receipts.len(), 1);
    assert_eq!(receipts[0].text(), got.text());
    // What is kept with it is what the agent has signed.
    got.receipt.verify_proof(&gate.keeper.receipts[0].1).unwrap();
}

#[test]
fn the_outcome_is_what_the_upstream_says_or_else_what_its_status_says() {
    let mut gate = gate("best_effort", 2);
    let cases: [(u16, Option<&str>, &str, u64); 12] = [
        (200, None, "success", 5),
        (302, None, "success", 5),
        (500, None, "error", 0),
        (404, None, "error", 0),
        (408, None, "timeout", 0),
        (504, None, "timeout", 0),
        (200, Some("partial"), "partial", 5),
        (200, Some("error"), "error", 0),
        (200, Some("timeout"), "timeout", 0),
        (500, Some("success"), "success", 5),
        (200, Some("Partial"), "success", 5),
        (500, Some(""), "error", 0),
    ];
    for (status, says, outcome, cents) in cases {
        let response = Response::new(status);
        let response =
            says.into_iter().fold(response, |response, says| response.header("x-gate-outcome", says));
        let played = gate.answered("/call", response);
        assert_eq!(played.status(), status);
        assert_eq!(played.reply_header("x-gate-outcome"), None);
        let got = receipt(&played.reply_header("agent-receipt").unwrap());
        assert_eq!((got.receipt.outcome.name(), sums(&got).0), (outcome, cents), "{status} {says:?}");
        assert_eq!(got.receipt.status, Some(status));
    }
    assert_eq!(gate.receipts().len(), cases.len());
}

#[test]
fn what_is_charged_by_use_is_what_the_upstream_counted_and_one_where_it_counted_nothing() {
    let mut gate = gate("required", 1);
    let cases: [(&[&str], u64); 9] = [
        (&["12"], 12),
        (&["1000000000"], 1_000_000_000),
        (&["1000000001"], 1),
        (&["0"], 1),
        (&["-3"], 1),
        (&["1.5"], 1),
        (&["many"], 1),
        (&["3", "4"], 1),
        (&[], 1),
    ];
    for (says, quantity) in cases {
        let response =
            says.iter().fold(Response::new(200), |response, says| response.header("x-gate-quantity", *says));
        let played = gate.answered("/unit", response);
        assert_eq!(played.reply_header("x-gate-quantity"), None);
        let told = played.reply_header("agent-receipt").unwrap().into_owned();
        let receipts = gate.receipts();
        let got = receipts.last().unwrap();
        assert_eq!(receipt_id(&told), got.receipt.receipt_id());
        assert_eq!((sums(got).0, sums(got).2), (7 * quantity, quantity), "{says:?}");
    }
    assert_eq!(gate.keeper.receipts.len(), cases.len());
}

#[test]
fn a_subscription_costs_nothing_for_each_use_and_each_has_its_receipt() {
    let mut gate = gate("required", 1);
    let played = gate.answered("/month", Response::new(200));
    let got = receipt(&played.reply_header("agent-receipt").unwrap());
    assert_eq!((sums(&got), got.receipt.charge.rate().price.cents), ((0, 0, 1), 900));
    assert_eq!(gate.receipts().len(), 1);
}

#[test]
fn minutes_are_counted_from_admission_to_the_streams_end() {
    let mut gate = gate("required", 1);
    for (seconds, minutes) in [(0, 1), (59, 1), (60, 1), (61, 2), (600, 10)] {
        let vm = &mut gate.vms[0];
        let stream = vm.open().unwrap();
        let now = UnixTime::from_millis(i64::try_from(gate.host.now().as_millis()).unwrap());
        let step = vm.request_headers(stream, head("/minute", now), true);
        assert!(step.passed.headers.is_some(), "{:?}", step.reply);
        let step = vm.response_headers(stream, answer(200), false);
        let told = step.passed.headers.unwrap().get("agent-receipt").unwrap().into_owned();
        gate.host.advance(Duration::from_secs(seconds));
        gate.vms[0].close(stream).unwrap();
        let receipts = gate.receipts();
        let got = &receipts.last().unwrap();
        assert_eq!(receipt_id(&told), got.receipt.receipt_id());
        assert_eq!((sums(got).0, sums(got).2), (30 * minutes, minutes), "{seconds}");
        assert_eq!(got.receipt.duration_ms, Some(seconds * 1000));
    }
}

/// The head of a signed request, as a host has it.
fn head(path: &str, now: UnixTime) -> Headers {
    let mut headers = Headers::default();
    for (name, value) in [(":method", "GET"), (":authority", AUTHORITY), (":path", path), (":scheme", "http")]
    {
        headers.add(name, value);
    }
    for (name, value) in agent().sign(AUTHORITY, path, now) {
        headers.add(name, value);
    }
    headers
}

fn answer(status: u16) -> Headers {
    let mut headers = Headers::default();
    headers.add(":status", status.to_string());
    headers
}

#[test]
fn who_leaves_before_the_answer_owes_what_was_begun() {
    let mut gate = gate("required", 1);
    for (path, _) in PATHS {
        let now = gate.time();
        let vm = &mut gate.vms[0];
        let stream = vm.open().unwrap();
        assert!(vm.request_headers(stream, head(path, now), true).passed.headers.is_some());
        vm.close(stream).unwrap();
        let receipts = gate.receipts();
        let got = receipts.last().unwrap();
        assert_eq!((got.receipt.outcome, got.receipt.status), (Outcome::Partial, None), "{path}");
    }
    let totals: Vec<_> = gate.keeper.receipts.iter().map(|(receipt, _)| sums(receipt).0).collect();
    assert_eq!(totals, [5, 30, 0, 7]);
}

#[test]
fn a_use_has_one_receipt_in_whatever_order_the_host_calls() {
    let mut gate = gate("required", 1);
    let mut admitted = 0;
    for (path, _) in PATHS {
        for order in 0..6 {
            let now = gate.time();
            let vm = &mut gate.vms[0];
            let stream = vm.open().unwrap();
            if order == 0 {
                // An answer before the request is none of it.
                vm.response_headers(stream, answer(200), true);
            }
            assert!(vm.request_headers(stream, head(path, now), true).passed.headers.is_some());
            admitted += 1;
            match order {
                1 => drop(vm.response_headers(stream, answer(200), true)),
                2 => {
                    vm.response_headers(stream, answer(200), false);
                    vm.response_headers(stream, answer(500), true);
                }
                3 => {
                    // Another request in its place, which costs nothing.
                    assert!(vm.request_headers(stream, head("/free", now), true).trap.is_none());
                    vm.response_headers(stream, answer(200), true);
                }
                4 => {
                    vm.response_headers(stream, answer(200), false);
                    assert!(vm.request_headers(stream, head(path, now), true).reply.is_none());
                    admitted += 1;
                }
                5 => drop(vm.request_trailers(stream, Headers::default())),
                _ => {}
            }
            vm.close(stream).unwrap();
            assert_eq!(gate.receipts().len(), admitted, "{path} {order}");
        }
    }
}

/// An agent with a long passport.
fn verbose_agent() -> Agent {
    let more: Vec<_> = (0..110).map(|number| format!("{number:0>100}:{number:0>100}")).collect();
    let actions: Vec<_> = more.iter().map(String::as_str).chain(["paid:call"]).collect();
    Agent::of_issuer("gate_metering", &key(8), 3, &actions, Some(metered::HASH), NOW)
}

/// A request that takes all the room which there is beside a passport.
fn long_request(agent: &Agent, now: UnixTime) -> Request {
    let path = format!("/call?{}", "q".repeat(7 * 1024));
    let headers = agent.sign(AUTHORITY, &path, now);
    headers
        .into_iter()
        .fold(Request::new("GET", path.as_str()), |request, (name, value)| request.header(name, value))
}

#[test]
fn receipts_with_the_longest_proofs_go_in_batches_that_the_service_takes() {
    let (mut gate, agent) = (gate("required", 1), verbose_agent());
    gate.keeps = Keeps::Not;
    for _ in 0..30 {
        let request = long_request(&agent, gate.time());
        assert_eq!(gate.request(request).status(), 200);
    }
    gate.keeps = Keeps::Well;
    gate.run(Duration::from_secs(40));
    assert_eq!(gate.receipts().len(), 30);
    assert!(gate.keeper.receipts.iter().all(|(_, base)| base.len() > 40 * 1024));
}

#[test]
fn what_was_delivered_leaves_little_behind_and_nothing_is_lost_by_that() {
    let (mut gate, agent) = (gate("best_effort", 2), verbose_agent());
    let held = |gate: &LiveWorkers| -> usize {
        let keys = gate.host.shared_keys().into_iter().filter(|key| key.contains(".records."));
        keys.filter_map(|key| gate.host.shared_data(&key)).map(|value| value.len()).sum()
    };
    for round in 1..4 {
        for keeps in [Keeps::Well, Keeps::Unheard, Keeps::Not] {
            gate.keeps = keeps;
            for _ in 0..20 {
                let request = long_request(&agent, gate.time());
                assert_eq!(gate.request(request).status(), 200);
            }
            gate.run(Duration::from_secs(1));
        }
        assert!(held(&gate) > 20 * 40 * 1024);
        gate.keeps = Keeps::Well;
        gate.run(Duration::from_secs(60));
        assert_eq!(gate.receipts().len(), round * 60);
        // Permits stay: they are short, and no agent makes them longer.
        assert!(held(&gate) < 2 * round * 60 * 1024, "{}", held(&gate));
    }
}

#[test]
fn an_answer_that_cannot_be_read_is_not_charged() {
    let mut gate = gate("required", 1);
    for (path, _) in PATHS {
        let now = gate.time();
        let vm = &mut gate.vms[0];
        let stream = vm.open().unwrap();
        assert!(vm.request_headers(stream, head(path, now), true).passed.headers.is_some());
        gate.host.inject(Fault::status("proxy_get_header_map_pairs", Status(10)));
        let step = gate.vms[0].response_headers(stream, answer(500), true);
        assert_eq!(step.passed.headers.unwrap().get(":status").as_deref(), Some("500"));
        gate.host.clear_faults();
        gate.vms[0].close(stream).unwrap();
        let receipts = gate.receipts();
        let got = receipts.last().unwrap();
        assert_eq!((got.receipt.outcome, got.receipt.status), (Outcome::Error, None), "{path}");
        assert_eq!(sums(got).0, 0, "{path}");
    }
    assert_eq!(gate.keeper.receipts.len(), PATHS.len());
}

#[test]
fn an_answer_with_a_status_that_is_none_is_an_error_and_the_log_goes_on() {
    let mut gate = gate("required", 1);
    for status in [0, 99, 1000, 65_535] {
        let now = gate.time();
        let vm = &mut gate.vms[0];
        let stream = vm.open().unwrap();
        assert!(vm.request_headers(stream, head("/call", now), true).passed.headers.is_some());
        let step = vm.response_headers(stream, answer(status), true);
        let got = receipt(&step.passed.headers.unwrap().get("agent-receipt").unwrap());
        assert_eq!((got.receipt.outcome, got.receipt.status), (Outcome::Error, None), "{status}");
        gate.vms[0].close(stream).unwrap();
    }
    assert_eq!(gate.answered("/call", Response::new(200)).status(), 200);
    assert_eq!(gate.receipts().len(), 5);
}

#[test]
fn an_answer_of_grpc_counts_by_the_status_that_its_headers_have() {
    let mut gate = gate("required", 1);
    let cases = [("0", "success", 5), ("4", "timeout", 0), ("7", "error", 0), ("", "error", 0)];
    for (status, outcome, cents) in cases {
        let played = gate.answered("/call", Response::new(200).header("grpc-status", status));
        let got = receipt(&played.reply_header("agent-receipt").unwrap());
        assert_eq!((got.receipt.outcome.name(), sums(&got).0), (outcome, cents), "{status}");
        assert_eq!(played.reply_header("grpc-status").as_deref(), Some(status));
    }
    let response = Response::new(504).header("grpc-status", "0");
    let played = gate.answered("/call", response);
    assert_eq!(receipt(&played.reply_header("agent-receipt").unwrap()).receipt.outcome, Outcome::Timeout);
}

#[test]
fn trailers_that_are_refused_use_and_record_nothing() {
    let mut configuration = configuration("required", "enforce");
    configuration["reserved_headers"] = json!("refuse");
    let mut gate = LiveWorkers::start(&PLUGIN, &configuration.to_string(), NOW, 1);
    let now = gate.time();
    let head = head("/call", now);
    for (name, status) in [("x-gate-agent-id", Some(400)), ("x-other", None)] {
        let vm = &mut gate.vms[0];
        let stream = vm.open().unwrap();
        assert!(vm.request_headers(stream, head.clone(), false).passed.headers.is_none());
        let mut trailers = Headers::default();
        trailers.add(name, "1");
        let step = vm.request_trailers(stream, trailers);
        assert_eq!(step.reply.map(|reply| reply.status), status, "{name}");
        vm.close(stream).unwrap();
        let receipts = gate.receipts();
        assert_eq!(receipts.len(), usize::from(status.is_none()), "{name}");
        assert_eq!(allowed(&gate), receipts.len());
    }
}

/// How many records there are of requests that went on.
fn allowed(gate: &LiveWorkers) -> usize {
    gate.keeper.records.iter().filter(|record| record.contains("\"decision\":\"allow\"")).count()
}

#[test]
fn a_host_call_that_fails_at_admission_leaves_no_permit_without_a_receipt() {
    let mut gate = gate("required", 1);
    for call in ["random_get", "proxy_get_current_time_nanoseconds"] {
        for nth in 1..8 {
            let now = gate.time();
            gate.host.inject(Fault::status(call, Status(10)).nth(nth));
            let vm = &mut gate.vms[0];
            let stream = vm.open().unwrap();
            vm.request_headers(stream, head("/call", now), true);
            gate.host.clear_faults();
            gate.vms[0].close(stream).unwrap();
            let receipts = gate.receipts();
            assert_eq!(allowed(&gate), receipts.len(), "{call} {nth}");
        }
    }
    assert!(allowed(&gate) > 2);
}

#[test]
fn an_upgrade_that_has_a_price_is_judged_by_its_head_and_one_with_a_body_waits_for_that() {
    let mut gate = gate("required", 1);
    let now = gate.time();
    let upgrade = |length: Option<&str>| {
        let mut headers = head("/socket", now);
        headers.add("connection", "upgrade");
        headers.add("upgrade", "websocket");
        length.into_iter().for_each(|length| headers.add("content-length", length));
        headers
    };
    let vm = &mut gate.vms[0];
    let stream = vm.open().unwrap();
    assert!(vm.request_headers(stream, upgrade(None), false).passed.headers.is_some());
    let step = vm.response_headers(stream, answer(101), false);
    receipt(&step.passed.headers.unwrap().get("agent-receipt").unwrap());
    // What is sent then is not the request's.
    assert!(vm.request_body(stream, "ping", false).reply.is_none());
    vm.close(stream).unwrap();
    assert_eq!(gate.receipts().len(), 1);

    let vm = &mut gate.vms[0];
    let stream = vm.open().unwrap();
    assert!(vm.request_headers(stream, upgrade(Some("4")), false).passed.headers.is_none());
    let step = vm.request_body(stream, "ping", true);
    assert!(step.reply.is_some(), "its proof covers no body");
    vm.close(stream).unwrap();
    assert_eq!(gate.receipts().len(), 1);
}

#[test]
fn what_is_refused_or_only_reported_or_free_is_not_charged_and_the_upstream_says_nothing_there() {
    let mut gate = gate("required", 1);
    let repeated = gate.signed("/call");
    assert_eq!(gate.request(repeated.clone()).status(), 200);
    assert_eq!(gate.request(repeated).status(), 401);
    let unsigned = Request::new("GET", "/call").header("agent-passport", agent().header);
    let refused = gate.request(unsigned.clone());
    assert_eq!(refused.status(), 401);
    assert!(refused.reply_text().contains("proof_missing"));
    assert!(refused.reply_header("accept-signature").unwrap().contains("keyid=\"agent_1\""));
    let unpinned = Agent::of_issuer("gate_metering", &key(8), 2, &["paid:call"], None, NOW);
    let headers = unpinned.sign(AUTHORITY, "/call", gate.time());
    let request = headers
        .into_iter()
        .fold(Request::new("GET", "/call"), |request, (name, value)| request.header(name, value));
    let refused = gate.request(request);
    assert_eq!(refused.status(), 403);
    assert!(refused.reply_text().contains("catalog_pin_missing"));
    for path in ["/free", "/public"] {
        let response = Response::new(200)
            .header("x-gate-quantity", "3")
            .header("x-gate-outcome", "error")
            .header("agent-receipt", "its own");
        let played = gate.answered(path, response);
        assert_eq!(played.status(), 200, "{path}");
        for name in ["x-gate-quantity", "x-gate-outcome"] {
            assert_eq!(played.reply_header(name), None, "{path}");
        }
        assert_eq!(played.reply_header("agent-receipt").as_deref(), Some("its own"));
    }
    assert_eq!(gate.receipts().len(), 1);

    let reporting = configuration("required", "report").to_string();
    let mut gate = LiveWorkers::start(&PLUGIN, &reporting, NOW, 1);
    assert_eq!(gate.request(unsigned).status(), 200);
    assert_eq!(gate.receipts().len(), 0);
    assert_eq!(gate.answered("/call", Response::new(200)).status(), 200);
    assert_eq!(gate.receipts().len(), 1);
}

#[test]
fn nobody_else_speaks_for_the_gate() {
    let mut gate = gate("required", 1);
    for path in ["/call", "/unit"] {
        let forged = Response::new(200).header("agent-receipt", "forged").header("agent-receipt", "twice");
        let request = gate.signed(path).header("x-gate-quantity", "9").header("x-gate-outcome", "error");
        let played = gate.request(request.answered_with(forged));
        let upstream = played.upstream.as_ref().unwrap();
        assert!(!upstream.headers.has("x-gate-quantity") && !upstream.headers.has("x-gate-outcome"));
        let told: Vec<_> = played
            .reply
            .as_ref()
            .unwrap()
            .headers
            .iter()
            .filter(|(name, _)| *name == b"agent-receipt")
            .collect();
        assert_eq!(told.len(), 1, "{path}");
        assert_ne!(told[0].1, b"forged");
    }
    let receipts = gate.receipts();
    assert!(
        receipts.iter().all(|receipt| sums(receipt).2 == 1 && receipt.receipt.outcome == Outcome::Success)
    );
}

#[test]
fn what_cannot_be_recorded_is_not_used_whatever_the_policy_and_what_has_passed_is_charged() {
    for policy in ["best_effort", "before_allow"] {
        let mut gate = gate(policy, 1);
        gate.keeps = Keeps::Not;
        // Under way when the queue fills.
        let now = gate.time();
        let (vm, mut streams) = (&mut gate.vms[0], Vec::new());
        if policy != "before_allow" {
            for _ in 0..1024 {
                let stream = vm.open().unwrap();
                assert!(vm.request_headers(stream, head("/call", now), true).passed.headers.is_some());
                streams.push(stream);
            }
        }
        for _ in 0..16_384 / 4 * 3 - streams.len() {
            gate.request(Request::new("GET", "/call"));
        }
        let refused = gate.answered("/call", Response::new(200));
        assert_eq!(refused.status(), 503, "{policy}");
        assert!(refused.reply_text().contains("record_queue_full"), "{}", refused.reply_text());
        assert!(refused.upstream.is_none());
        if policy == "before_allow" {
            continue;
        }
        // What costs nothing may take the rest, and leaves the place of receipts.
        for _ in 0..16_384 / 4 {
            gate.request(gate.signed("/free"));
        }
        for stream in streams.drain(..) {
            assert!(gate.vms[0].response_headers(stream, answer(200), true).trap.is_none());
            gate.vms[0].close(stream).unwrap();
        }
        gate.keeps = Keeps::Well;
        gate.run(Duration::from_secs(120));
        assert_eq!(gate.receipts().len(), 1024, "{policy}");
        assert_eq!(gate.answered("/call", Response::new(200)).status(), 200);
    }
}

#[test]
fn before_allow_a_use_is_charged_once_its_permit_was_taken() {
    let mut gate = gate("before_allow", 1);
    let held = gate.request(gate.signed("/call"));
    assert!(held.held);
    gate.run(Duration::from_secs(1));
    let played = gate.vms[0].resume(held.stream);
    assert_eq!(played.status(), 200);
    receipt(&played.reply_header("agent-receipt").unwrap());
    assert_eq!(gate.receipts().len(), 1);

    gate.keeps = Keeps::Not;
    let held = gate.request(gate.signed("/call"));
    gate.run(Duration::from_secs(4));
    assert_eq!(gate.vms[0].resume(held.stream).status(), 503);
    gate.keeps = Keeps::Well;
    gate.run(Duration::from_secs(60));
    assert_eq!(gate.receipts().len(), 1);
}

#[test]
fn a_host_call_that_fails_at_the_answer_changes_nothing_for_the_client_and_the_receipt_comes_at_the_end() {
    let calls = [
        "proxy_get_header_map_pairs",
        "proxy_remove_header_map_value",
        "proxy_add_header_map_value",
        "proxy_get_shared_data",
        "proxy_set_shared_data",
        "proxy_get_current_time_nanoseconds",
        "random_get",
    ];
    let mut gate = gate("required", 1);
    let mut made = 0;
    for (path, _) in PATHS {
        for call in calls {
            for status in [Status::NOT_FOUND, Status::BAD_ARGUMENT, Status::CAS_MISMATCH, Status(10)] {
                for nth in 1..4 {
                    let now = gate.time();
                    let vm = &mut gate.vms[0];
                    let stream = vm.open().unwrap();
                    assert!(vm.request_headers(stream, head(path, now), true).passed.headers.is_some());
                    gate.host.inject(Fault::status(call, status).nth(nth));
                    let step = gate.vms[0].response_headers(stream, answer(200), false);
                    assert!(step.trap.is_none());
                    let passed = step.passed.headers.expect("the answer goes on");
                    assert_eq!(passed.get(":status").as_deref(), Some("200"));
                    gate.host.clear_faults();
                    gate.vms[0].close(stream).unwrap();
                    made += 1;
                }
            }
        }
        assert_eq!(gate.receipts().len(), made, "{path}");
    }
    // What fails to the end is lost, and counted.
    let now = gate.time();
    let vm = &mut gate.vms[0];
    let stream = vm.open().unwrap();
    assert!(vm.request_headers(stream, head("/call", now), true).passed.headers.is_some());
    gate.host.inject(Fault::status("random_get", Status(10)));
    gate.vms[0].response_headers(stream, answer(200), false);
    gate.vms[0].close(stream).unwrap();
    gate.host.clear_faults();
    assert_eq!(gate.receipts().len(), made);
    assert_eq!(gate.host.metric("portcullis_receipts.lost"), Some(1));
    assert_eq!(gate.host.metric("portcullis_receipts.made"), Some(made as u64));
}

#[test]
fn a_worker_that_traps_at_an_answer_makes_one_receipt_or_none_and_the_others_go_on() {
    let mut gate = gate("required", 2);
    let (mut told, mut used) = (Vec::new(), 0);
    for call in
        ["proxy_set_shared_data", "proxy_add_header_map_value", "random_get", "proxy_remove_header_map_value"]
    {
        for nth in 1..5 {
            let now = gate.time();
            let stream = gate.vms[0].open().unwrap();
            assert!(gate.vms[0].request_headers(stream, head("/call", now), true).passed.headers.is_some());
            gate.host.inject(Fault::trap(call).nth(nth));
            let step = gate.vms[0].response_headers(stream, answer(200), true);
            gate.host.clear_faults();
            used += 1;
            if step.trap.is_some() {
                gate.vms[0] = gate.host.start().unwrap();
                gate.take_up();
            } else {
                let passed = step.passed.headers.unwrap();
                told.push(receipt(&passed.get("agent-receipt").unwrap()).receipt.id);
                gate.vms[0].close(stream).unwrap();
            }
            let played = gate.answered("/call", Response::new(200));
            told.push(receipt(&played.reply_header("agent-receipt").unwrap()).receipt.id);
            used += 1;
        }
    }
    gate.run(Duration::from_secs(10));
    let kept: Vec<_> = gate.receipts().iter().map(|receipt| receipt.receipt.id).collect();
    assert!(told.iter().all(|id| kept.contains(id)));
    assert!(kept.len() >= told.len() && kept.len() <= used);
}
