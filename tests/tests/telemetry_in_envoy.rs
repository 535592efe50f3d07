//! What operators see of a gate in real Envoy: its access log, its statistics, what the dashboard and
//! the alerts make of them, and the traces of its control service.

use crate::live_stand::{GATE, LiveStand, Wishes, agent, given, passport, passport_with};
use crate::measured;
use crate::measured::Scrape;
use portcullis_core::capiscio::sign_request;
use portcullis_core::json::Object;
use portcullis_core::modei::{Draft, Issuer, RootKind, issue, self_agent_id, self_issuer_id};
use portcullis_core::{Reason, UnixTime, base64};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, SystemTime};
use xtask::children::Running;
use xtask::http::Request;
use xtask::system_packages::PROMTOOL;
use xtask::workspace::Workspace;

/// An agent's id that would end a JSON text, and a member of it.
const HOSTILE: &str = r#"agent:x\","decision":"allow","x":"%00"#;

fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    UnixTime::from_millis(i64::try_from(since.as_millis()).unwrap())
}

fn stand(name: &str, environment: &[(&str, &str)]) -> LiveStand {
    let key = |name: u8| base64::encode(&agent(name).public_key());
    let gate = |authority: &str| {
        json!({
            "gate": {"id": GATE}, "profile": "L1", "authorities": [authority], "nonce_authority": true,
            "routes": [
                {"path_prefix": "/flights/", "methods": ["GET"], "action": "flights:search"},
                {"path_prefix": "/watched/", "methods": ["GET"], "action": "flights:search", "mode": "report"},
                {"path": "/health", "methods": ["GET"], "public": true},
            ],
            "trust": {
                "issuers": [{
                    "id": "issuer:acme", "type": "platform", "tier": 2, "actions": ["flights:*"],
                    "keys": [{"key_id": "ik_1", "public_key": key(20)}],
                }],
                "self_issued": {"actions": ["flights:*"]},
                "simpleguard_agents": [{"key_id": "k", "public_key": key(7), "actions": ["flights:search"]}],
            },
        })
        .to_string()
    };
    LiveStand::start(name, &Wishes { gate: Some(&gate), environment, ..Wishes::default() })
}

/// A signature that passes once, and so is asked about at the control service.
fn signature(number: i32) -> (&'static str, String) {
    let payload = Object::from([("n", number.into())]);
    ("x-capiscio-jws", sign_request(&agent(7), "k", payload, None, now()))
}

/// A passport of an issuer, for an agent of any name.
fn issued(agent_id: &str) -> String {
    let by =
        Issuer { kind: RootKind::Platform, id: "issuer:acme".into(), key_id: "ik_1".into(), gate_id: None };
    let draft = Draft {
        passport_id: "pp_issued".into(),
        agent_name: None,
        permissions: vec![("flights:search".into(), Object::default())],
        issued_at: now(),
        expires_at: now().plus_millis(3_600_000),
        delegation_authority: false,
    };
    issue(&agent(20), &by, agent_id, &agent(21).public_key(), &draft).to_header()
}

/// A request, and what the access log must say of it: status, decision, reason, agent and issuer.
struct Case {
    path: &'static str,
    header: Option<(&'static str, String)>,
    status: u16,
    words: [&'static str; 2],
    who: Option<(String, String)>,
}

fn cases() -> Vec<Case> {
    let case = |path, header, status, words, who| Case { path, header, status, words, who };
    let of_self = |name: u8| {
        let key = agent(name).public_key();
        Some((self_agent_id(&key), self_issuer_id(&key)))
    };
    let good = passport(&agent(1), "pp_good");
    let held = passport_with(&agent(2), "pp_held", &json!({"core:approval:required": true}));
    let stranger = base64::encode(b"{}");
    let once = signature(1);
    let guarded = Some(("k".to_owned(), "simpleguard".to_owned()));
    let shown = HOSTILE.replace(['"', '\\'], "?");
    vec![
        case("/flights/good", Some(("agent-passport", good.to_header())), 200, ["allow", "ok"], of_self(1)),
        case("/flights/none", None, 401, ["block", "credential_missing"], None),
        case("/watched/none", None, 200, ["report", "credential_missing"], None),
        case("/health", None, 200, ["allow", "ok"], None),
        case(
            "/flights/held",
            Some(("agent-passport", held.to_header())),
            202,
            ["request_hold", "approval_required"],
            of_self(2),
        ),
        case(
            "/watched/held",
            Some(("agent-passport", held.to_header())),
            200,
            ["report", "approval_required"],
            of_self(2),
        ),
        case("/flights/once", Some(once.clone()), 200, ["allow", "ok"], guarded.clone()),
        case("/flights/twice", Some(once), 401, ["block", "request_replayed"], guarded),
        case(
            "/flights/hostile",
            Some(("agent-passport", issued(HOSTILE))),
            200,
            ["allow", "ok"],
            Some((shown, "issuer:acme".to_owned())),
        ),
        case(
            "/flights/bad",
            Some(("agent-passport", format!(":{stranger}:"))),
            401,
            ["block", "invalid_envelope_shape"],
            None,
        ),
    ]
}

/// Sends a request; the id of its record, as its client or its upstream was told.
fn send(stand: &LiveStand, case: &Case) -> Option<String> {
    let mut request = Request::new("GET", &format!("{}?secret=1", case.path));
    request.headers.extend(case.header.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    let answer = request.send(stand.envoy.listen).unwrap();
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    assert_eq!(answer.status, case.status, "{}: {body}", case.path);
    let told = body["headers"].as_array().into_iter().flatten();
    let told = told.filter(|pair| pair[0] == "x-gate-attestation-id").map(|pair| &pair[1]).next();
    told.unwrap_or(&body["attestation_id"]).as_str().map(str::to_owned)
}

/// The lines of an Envoy's access log, by path; each must be JSON.
fn access_log(stand: &LiveStand) -> BTreeMap<String, Value> {
    let log = std::fs::read_to_string(&stand.envoy.log).unwrap();
    let lines = log.lines().filter(|line| line.starts_with('{'));
    let lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{line}")));
    lines.map(|line| (line["path"].as_str().unwrap_or_default().to_owned(), line)).collect()
}

/// Waits for what takes a moment.
fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{what} does not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn telemetry_in_the_access_log_says_each_decision_and_no_id_breaks_a_line() {
    let stand = stand("telemetry-log", &[]);
    let sent: Vec<_> = cases().into_iter().map(|case| (send(&stand, &case), case)).collect();
    for (record, case) in sent {
        let path = case.path;
        let line = eventually(path, || access_log(&stand).remove(path));
        assert_eq!([&line["decision"], &line["reason"]], case.words, "{path}: {line}");
        assert_eq!(line["status"], case.status, "{line}");
        let (agent, issuer) = case.who.unzip();
        assert_eq!((&line["agent"], &line["issuer"]), (&json!(agent), &json!(issuer)), "{path}");
        let id = line["attestation"].as_str();
        match (case.words[0], path) {
            (_, "/health") => assert_eq!(line["attestation"], Value::Null),
            // Nobody is told that it would be refused.
            ("report", _) => assert_eq!((record, id.map(str::len)), (None, Some(36)), "{path}: {line}"),
            _ => assert_eq!(id, Some(record.expect("a record").as_str()), "{path}"),
        }
    }
    let log = std::fs::read_to_string(&stand.envoy.log).unwrap();
    assert!(!log.contains("secret"), "a query is in the log");
}

#[test]
fn telemetry_in_statistics_has_the_documented_names_and_labels_and_all_that_is_made_of_them() {
    let stand = stand("telemetry-statistics", &[]);
    for case in cases() {
        send(&stand, &case);
    }
    let scrape = || {
        let filter = "/stats/prometheus?filter=portcullis|downstream_rq_time";
        Scrape::read(&Request::new("GET", filter).send(stand.envoy.admin).unwrap().body)
    };
    // Each decision has a record, but those on the public route and those from before the gate had
    // anything to decide by.
    let gate = eventually("the last record", || {
        let gate = scrape();
        let waited = [("decision", "block"), ("reason", "trust_material_missing")];
        let without = 1.0 + gate.value("portcullis_decisions", &waited)?;
        let recorded = gate.sum("portcullis_decisions") - without;
        let is_done = gate.value("portcullis_records", &[("event", "delivered")]) == Some(recorded)
            && gate.value("portcullis_queue_records", &[]) == Some(0.0)
            // Envoy adds up histograms every five seconds.
            && gate.names().any(|name| name == "envoy_http_downstream_rq_time_bucket");
        is_done.then_some(gate)
    });

    // Every outcome that there can be, and no other, by its labels.
    let mut wanted = BTreeSet::from([("allow", "ok"), ("request_hold", "approval_required")]);
    wanted.extend(
        ["block", "report"].into_iter().flat_map(|decision| Reason::ALL.map(|r| (decision, r.code()))),
    );
    let found: BTreeSet<_> = gate.labels("portcullis_decisions", ["decision", "reason"]);
    let wanted: BTreeSet<_> =
        wanted.into_iter().map(|(one, other)| [one.to_owned(), other.to_owned()]).collect();
    assert_eq!(found, wanted);
    let mut counts = BTreeMap::new();
    for case in cases() {
        *counts.entry(case.words).or_insert(0.0) += 1.0;
    }
    for ([decision, reason], count) in counts {
        let found = gate.value("portcullis_decisions", &[("decision", decision), ("reason", reason)]);
        assert_eq!(found, Some(count), "{decision} {reason}");
    }
    let head = gate.value("portcullis_trust_head_timestamp_seconds", &[]).unwrap();
    let age = f64::from(u32::try_from(now().as_millis() / 1000).unwrap()) - head;
    assert!((-1.0..30.0).contains(&age), "the head is {age} s old");
    // One signature among 512 that there is room for is less than a percent.
    assert_eq!(gate.value("portcullis_replay_fill_percent", &[]), Some(0.0));

    // The table in the documentation, row by row.
    let workspace = Workspace::find().unwrap();
    let read = |path: &str| std::fs::read_to_string(workspace.root.join(path)).unwrap();
    let own = |scrape: &Scrape| {
        let mut own = scrape.metrics("portcullis_");
        // The build's is another page's.
        own.remove("portcullis_build");
        own
    };
    assert_eq!(measured::documented(&read("docs/telemetry.md")), own(&gate));

    // What the dashboard and the alerts look for.
    let service = stand.service.as_ref().unwrap().call("GET", "/metrics", None).unwrap();
    let service = Scrape::read(&service.body);
    let names: BTreeSet<_> = gate.names().chain(service.names()).collect();
    let (dashboard, alerts) = (read("envoy/grafana.json"), read("envoy/alerts.yaml"));
    let queries = measured::panels(&dashboard).into_iter().chain(measured::alerts(&alerts));
    let mut used = BTreeSet::new();
    for (title, query) in queries {
        let named = measured::names_in(&query);
        assert!(!named.is_empty(), "{title}: {query}");
        for name in named {
            assert!(names.contains(&name), "{title}: nothing is called {name}");
            used.insert(name);
        }
    }
    for name in own(&gate).into_keys() {
        assert!(used.contains(&name), "the dashboard leaves out {name}");
    }
}

/// What a receiver of OTLP was sent.
struct Collector {
    _process: Running,
    port: String,
    spans: Receiver<Value>,
}

impl Collector {
    fn start() -> Self {
        let workspace = Workspace::find().unwrap();
        let mut command = Command::new(given("PORTCULLIS_PYTHON"));
        command.arg(workspace.root.join("tests/python/otlp_receiver.py")).stdout(Stdio::piped());
        let process = Running::start(&mut command, "the receiver of traces").unwrap();
        let output = process.with(|child| child.stdout.take()).unwrap();
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let port = lines.next().expect("the receiver tells its port");
        let (sender, spans) = channel();
        std::thread::spawn(move || {
            for line in lines {
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        Collector { _process: process, port, spans }
    }

    /// The next spans of requests to this route, so many of them.
    fn next_of(&self, route: &str, count: usize) -> Vec<Value> {
        let mut found = Vec::new();
        while found.len() < count {
            let span = self.spans.recv_timeout(Duration::from_secs(20)).expect("a span comes");
            if span["attributes"]["http.route"] == route {
                found.push(span);
            }
        }
        found
    }
}

#[test]
fn telemetry_of_a_trace_goes_from_the_client_through_the_gate_to_the_service() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";
    let collector = Collector::start();
    let endpoint = format!("http://127.0.0.1:{}", collector.port);
    let environment =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "100")];
    let stand = stand("telemetry-traces", &environment);
    let good = format!("00-{TRACE}-{PARENT}-01");
    // Of version 00 it has one part too many.
    let bad = format!("{good}-00");
    for (number, traceparent) in [(1, &good), (2, &bad)] {
        let mut request = Request::new("GET", "/flights/once");
        let (name, value) = signature(number);
        request.headers.push((name.to_owned(), value));
        request.headers.push(("traceparent".to_owned(), traceparent.clone()));
        let answer = request.send(stand.envoy.listen).unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer.status, 200, "{body}");
        let headers = body["headers"].as_array().unwrap();
        assert!(headers.contains(&json!(["traceparent", traceparent])), "the upstream has it: {body}");
    }
    let spans = collector.next_of("/gate/v1/gates/{gate}/nonces", 2);
    let [first, second] = spans.try_into().unwrap();
    assert_eq!((&first["trace_id"], &first["parent_span_id"]), (&json!(TRACE), &json!(PARENT)), "{first}");
    assert_eq!(first["name"], "POST /gate/v1/gates/{gate}/nonces");
    assert_eq!(first["kind"], "SPAN_KIND_SERVER");
    assert_eq!(first["attributes"]["http.request.method"], "POST");
    assert_eq!(first["attributes"]["http.response.status_code"].to_string().trim_matches('"'), "200");
    assert_eq!(first["resource"]["service.name"], "portcullis-control");
    assert_eq!(first["events"], 0, "{first}");
    assert_eq!(second["parent_span_id"], "", "{second}");
    assert_ne!(second["trace_id"], TRACE);
    // Records of many requests have no place in one's trace.
    for span in collector.next_of("/gate/v1/gates/{gate}/attestations", 1) {
        assert_eq!(span["parent_span_id"], "", "{span}");
        assert_ne!(span["trace_id"], TRACE);
    }
}

#[test]
fn telemetry_in_queries_and_alerts_is_what_prometheus_itself_can_read() {
    let test = "telemetry_in_queries_and_alerts_is_what_prometheus_itself_can_read";
    let Some(promtool) = PROMTOOL.for_test(test) else { return };
    let root = Workspace::find().unwrap().root;
    let dashboard = std::fs::read_to_string(root.join("envoy/grafana.json")).unwrap();
    let rules: Vec<_> = measured::panels(&dashboard)
        .into_iter()
        .map(|(_, query)| json!({"record": "a:b:c", "labels": {"query": query}, "expr": query}))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("panels.yaml");
    std::fs::write(&made, json!({"groups": [{"name": "panels", "rules": rules}]}).to_string()).unwrap();
    for file in [made, root.join("envoy/alerts.yaml")] {
        let output = Command::new(&promtool).args(["check", "rules"]).arg(&file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
