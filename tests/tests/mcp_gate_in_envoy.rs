//! A gate in real Envoy before a real MCP server, called by the official client as
//! docs/mcp-gate.md says.

use crate::live_stand::{LiveStand, Wishes, agent, given};
use crate::metered;
use portcullis_core::json::{self, Limits};
use portcullis_core::modei::{CatalogPin, Draft, Issuer, RootKind, issue_pinned, self_agent_id};
use portcullis_core::{UnixTime, base64};
use serde_json::{Value, json};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;
use xtask::http::Request;
use xtask::net;
use xtask::workspace::Workspace;

const GATE: &str = "gate_mcp";
/// Of the key of the issuer, and of the gate as one.
const ISSUER: u8 = 8;
/// Of the agent's key, as `agent` has it.
const AGENT: u8 = 1;

fn gate(profile: &str, authority: &str) -> String {
    let public_key = base64::encode(&agent(ISSUER).public_key());
    json!({
        "gate": {"id": GATE}, "profile": profile, "authorities": [authority],
        "routes": [{"path": "/mcp", "methods": ["POST", "GET", "DELETE"], "action": "mcp:connect", "mcp": {"tools": {
            "search_flights": {"action": "flights:search"},
            "book_flight": {"action": "flights:book", "cost_cents": 500},
            "cancel_flight": {"action": "flights:cancel"},
        }}}],
        "guardrails": {"flights:cancel": {"core:approval:required": true}},
        "trust": {"issuers": [{
            "id": "issuer:acme", "type": "platform", "tier": 3, "domain_verified": true,
            "actions": ["flights:*", "mcp:connect"], "keys": [{"key_id": "ik_1", "public_key": public_key}],
        }, {
            "id": GATE, "type": "gate", "tier": 3, "domain_verified": true,
            "actions": ["*"], "keys": [{"key_id": "ik_1", "public_key": public_key}],
        }]},
    })
    .to_string()
}

/// A server of the package `mcp`; ended when it is dropped.
struct Server {
    address: SocketAddr,
    calls: PathBuf,
    process: Child,
    _folder: TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let calls = folder.path().join("calls");
        let [address] = net::free().unwrap();
        let script = Workspace::find().unwrap().root.join("tests/python/mcp_gate_server.py");
        let mut command = Command::new(given("PORTCULLIS_PYTHON"));
        command.arg(script).arg(address.port().to_string()).arg(&calls);
        let process = command.spawn().unwrap();
        let server = Server { address, calls, process, _folder: folder };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(began.elapsed() < Duration::from_secs(60), "the MCP server does not come up");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    /// The calls that arrived.
    fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.calls).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    UnixTime::from_millis(i64::try_from(since.as_millis()).unwrap())
}

/// A folder with what an agent of this passport has: its key, its passport, and the page's code.
fn outfit(id: &str, permissions: &[(&str, Value)]) -> TempDir {
    outfit_of(id, permissions, None)
}

/// The same with a passport of the gate itself, pinned to the first version of its catalog.
fn outfit_of(id: &str, permissions: &[(&str, Value)], pin: Option<&str>) -> TempDir {
    let holder = agent(AGENT);
    let (kind, issuer) =
        if pin.is_some() { (RootKind::Gate, GATE) } else { (RootKind::Platform, "issuer:acme") };
    let by = Issuer { kind, id: issuer.into(), key_id: "ik_1".into(), gate_id: None };
    let pin = pin.map(|hash| CatalogPin { version: 1, content_hash: hash.into() });
    let permission = |(name, constraints): &(&str, Value)| {
        let text = constraints.to_string();
        let value = json::parse(text.as_bytes(), Limits { bytes: 4096, depth: 8, values: 100 }).unwrap();
        ((*name).to_owned(), value.as_object().unwrap().clone().into_owned())
    };
    let draft = Draft {
        passport_id: id.into(),
        agent_name: None,
        permissions: permissions.iter().map(permission).collect(),
        issued_at: now(),
        expires_at: now().plus_millis(3_000_000),
        delegation_authority: false,
    };
    let public_key = holder.public_key();
    let agent_id = self_agent_id(&public_key);
    let passport = issue_pinned(&agent(ISSUER), &by, &agent_id, &public_key, &draft, pin.as_ref());
    let key = json!({"agent_id": agent_id, "private_key_base64": base64::encode(&[AGENT; 32])});
    let page = std::fs::read_to_string(Workspace::find().unwrap().root.join("docs/mcp-gate.md")).unwrap();
    let (_, code) = page.split_once("```python\n").expect("a block of code");
    let (code, _) = code.split_once("\n```").expect("its end");
    let folder = tempfile::tempdir().unwrap();
    let texts = [
        ("agent.json", key.to_string()),
        ("passport.json", passport.to_json()),
        ("agent.py", code.to_owned()),
    ];
    for (name, text) in texts {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// One session of the official client: what came of each call.
fn session(stand: &LiveStand, outfit: &TempDir, mode: &str, calls: &Value) -> Value {
    let script = Workspace::find().unwrap().root.join("tests/python/mcp_gate_client.py");
    let mut child = Command::new(given("PORTCULLIS_PYTHON"))
        .current_dir(outfit)
        .arg(script)
        .args([&format!("http://{}/mcp", stand.envoy.listen), mode])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(calls.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}; {}", String::from_utf8_lossy(&output.stdout), stand.envoy.log_tail())
    })
}

/// Posts these bytes with the agent's passport, which L1 is content with.
fn post(stand: &LiveStand, outfit: &TempDir, body: &[u8]) -> (u16, Value) {
    let passport = std::fs::read(outfit.path().join("passport.json")).unwrap();
    let mut request = Request::new("POST", "/mcp");
    for (name, value) in [
        ("agent-passport", format!(":{}:", base64::encode(&passport))),
        ("content-type", "application/json".into()),
        ("accept", "application/json, text/event-stream".into()),
    ] {
        request.headers.push((name.to_owned(), value));
    }
    request.body = body.to_vec();
    let answer = request.send(stand.envoy.listen).unwrap();
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
}

fn approve(stand: &LiveStand, approval: &str) {
    let path = format!("/api/approvals/{approval}");
    let service = stand.service.as_ref().unwrap();
    let began = Instant::now();
    while service.call("GET", &path, None).unwrap().status != 200 {
        assert!(began.elapsed() < Duration::from_secs(60), "nobody was asked about {approval}");
        std::thread::sleep(Duration::from_millis(50));
    }
    stand.call("POST", &format!("{path}/resolve"), &json!({"decision": "approve"}));
}

const MODERN: &str = "2026-07-28";
const EVERY: [&str; 3] = ["mcp:connect", "flights:search", "flights:cancel"];

#[test]
fn the_official_client_gets_at_the_tools_it_may_call_and_learns_why_not_at_the_others() {
    let server = Server::start();
    let gate = |authority: &str| gate("L1", authority);
    let wishes = Wishes { gate: Some(&gate), behind: Some(server.address), ..Wishes::default() };
    let stand = LiveStand::start("mcp_gate", &wishes);
    let permissions = EVERY.map(|action| match action {
        "flights:search" => (action, json!({"core:rate:max_per_day": 3})),
        _ => (action, json!({})),
    });
    let outfit = outfit("pp_mcp", &permissions);
    let search = json!({"tool": "search_flights", "arguments": {"to": "Lisboa"}});
    let calls = json!([
        {"list": true},
        search,
        {"tool": "drop_tables"},
        {"tool": "book_flight", "arguments": {"flight": "TP123"}},
        {"tool": "search_flights", "arguments": {"to": "Porto"}, "headers": {"mcp-name": "cancel_flight"}},
        {"tool": "cancel_flight", "arguments": {"flight": "TP123"}},
    ]);
    let told = session(&stand, &outfit, "auto", &calls);
    assert_eq!(told["version"], MODERN);
    let answers = told["answers"].as_array().unwrap();
    assert_eq!(answers[0]["text"], "book_flight,cancel_flight,drop_tables,search_flights");
    assert_eq!(answers[1]["text"], "TP123 to Lisboa");
    for (answer, code, reason) in [
        (&answers[2], -32010, "mcp_tool_unknown"),
        (&answers[3], -32010, "permission_denied"),
        (&answers[4], -32020, "mcp_header_mismatch"),
        (&answers[5], -32011, "approval_required"),
    ] {
        assert_eq!((&answer["code"], &answer["data"]["reason_code"]), (&json!(code), &json!(reason)));
        assert!(answer["data"]["attestation_id"].as_str().unwrap().starts_with("att_"), "{answer}");
    }
    assert_eq!(answers[5]["data"]["decision"], "request_hold");
    assert_eq!(server.calls(), ["search_flights Lisboa"]);

    // What was approved is called once, in another session under another id.
    approve(&stand, answers[5]["data"]["approval_request_id"].as_str().unwrap());
    let cancel =
        json!([{"list": true}, {"list": true}, {"tool": "cancel_flight", "arguments": {"flight": "TP123"}}]);
    let began = Instant::now();
    let cancelled = loop {
        let told = session(&stand, &outfit, "auto", &cancel);
        if told["answers"][2].get("text").is_some() || began.elapsed() > Duration::from_secs(60) {
            break told;
        }
    };
    assert_eq!(cancelled["answers"][2]["text"], "cancelled TP123", "{cancelled}");

    // Older clients begin a session; its stream and its end go through the gate too.
    let told = session(&stand, &outfit, "legacy", &json!([{"list": true}, search]));
    assert_eq!(
        (&told["version"], &told["answers"][1]["text"]),
        (&json!("2025-11-25"), &json!("TP123 to Lisboa"))
    );
    let seen: Vec<_> = told["seen"].as_array().unwrap().iter().map(|one| (&one[0], &one[1])).collect();
    assert!(seen.contains(&(&json!("GET"), &json!(200))), "{seen:?}");
    assert!(seen.contains(&(&json!("DELETE"), &json!(200))), "{seen:?}");

    // One tool's limit is no other's.
    let again = session(&stand, &outfit, "auto", &json!([search, search, {"tool": "cancel_flight"}]));
    let limited = &again["answers"][1];
    assert_eq!(
        (&limited["code"], &limited["data"]["reason_code"]),
        (&json!(-32012), &json!("rate_limit_exceeded"))
    );
    assert!((1..=86_400).contains(&limited["data"]["retry_after_s"].as_i64().unwrap()));
    assert_eq!(again["answers"][2]["data"]["reason_code"], "approval_required");

    // What the server's own parser would take.
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search_flights","arguments":{"to":"x"}}}"#;
    let two_ids = call.replace("\"id\":1", "\"id\":1,\"id\":2");
    let two_names =
        call.replace("\"name\":\"search_flights\"", "\"name\":\"search_flights\",\"name\":\"drop_tables\"");
    let huge = call.replace("\"x\"", &format!("\"{}\"", "x".repeat(1 << 20)));
    for (body, status, reason) in [
        (format!("[{call}]"), 400, "mcp_message_malformed"),
        (two_ids, 400, "mcp_message_malformed"),
        (two_names, 400, "mcp_message_malformed"),
    ] {
        let (answered, told) = post(&stand, &outfit, body.as_bytes());
        assert_eq!((answered, &told["error"]["data"]["reason_code"]), (status, &json!(reason)));
        assert_eq!(told["id"], Value::Null);
    }
    // Beyond what Envoy holds, it answers itself.
    assert_eq!(post(&stand, &outfit, huge.as_bytes()).0, 413);
    let notified = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    assert_ne!(post(&stand, &outfit, notified.as_bytes()).0, 403);
    assert!(!server.calls().iter().any(|call| call.starts_with("drop") || call.starts_with("book")));
    assert_eq!(server.calls().iter().filter(|call| call.starts_with("cancel")).count(), 1);
}

#[test]
fn without_the_permission_to_connect_the_official_client_says_so() {
    let server = Server::start();
    let gate = |authority: &str| gate("L1", authority);
    let wishes = Wishes { gate: Some(&gate), behind: Some(server.address), ..Wishes::default() };
    let stand = LiveStand::start("mcp_gate_refused", &wishes);
    let outfit = outfit("pp_search", &[("flights:search", json!({}))]);
    for mode in ["auto", "legacy"] {
        let told = session(&stand, &outfit, mode, &json!([]));
        assert_eq!(told["refused"]["data"]["reason_code"], "permission_denied", "{told}");
        assert_eq!(
            told["refused"]["message"],
            "the gate answers permission_denied: the passport does not grant mcp:connect"
        );
    }
}

#[test]
fn at_l3_each_call_answers_a_challenge_and_a_copy_of_one_is_refused() {
    let server = Server::start();
    let gate = |authority: &str| gate("L3", authority);
    let wishes = Wishes { gate: Some(&gate), behind: Some(server.address), ..Wishes::default() };
    let stand = LiveStand::start("mcp_gate_l3", &wishes);
    // Proofs tell whole seconds, and the one in which the gate began is partly before it.
    std::thread::sleep(Duration::from_secs(1));
    let outfit = outfit("pp_l3", &EVERY.map(|action| (action, json!({}))));
    let search = json!({"tool": "search_flights", "arguments": {"to": "Lisboa"}});
    let told = session(&stand, &outfit, "auto", &json!([search, search, {"tool": "drop_tables"}]));
    let answers = told["answers"].as_array().unwrap();
    assert_eq!(
        (&answers[0]["text"], &answers[1]["text"]),
        (&json!("TP123 to Lisboa"), &json!("TP123 to Lisboa"))
    );
    assert_eq!(answers[2]["data"]["reason_code"], "mcp_tool_unknown");
    // One challenge was asked for, and each answer brought the next.
    let seen = told["seen"].as_array().unwrap();
    assert_eq!(seen.iter().filter(|one| one[1] == 401).count(), 1, "{seen:?}");
    let (status, told) = post(&stand, &outfit, br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
    assert_eq!((status, &told["error"]["data"]["reason_code"]), (401, &json!("proof_missing")));
    assert_eq!(server.calls().len(), 2);
}

#[test]
fn a_tool_with_a_price_is_charged_for_each_call_and_for_no_other() {
    let server = Server::start();
    let gate = |authority: &str| gate("L3", authority);
    let wishes = Wishes { gate: Some(&gate), behind: Some(server.address), ..Wishes::default() };
    let stand = LiveStand::start("mcp_gate_priced", &wishes);
    let call = |method: &str, path: &str, body: &Value| stand.call(method, path, body);
    let price =
        json!({"flights:search": [{"since": 1, "model": "per_call", "cents": 5, "fee_basis_points": 0}]});
    let hashes = metered::publish(GATE, &price, &call);
    let permissions = EVERY.map(|action| (action, json!({})));
    let outfit = outfit_of("pp_priced", &permissions, Some(&hashes[0]));
    let search = json!({"tool": "search_flights", "arguments": {"to": "Lisboa"}});
    let calls = json!([{"list": true}, search, {"tool": "drop_tables"}, search]);
    let began = Instant::now();
    // Until the catalog is at both workers, the passport is pinned to one that they do not know.
    let told = loop {
        let told = session(&stand, &outfit, "auto", &calls);
        if !told.to_string().contains("catalog_pin_mismatch") {
            break told;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{told}");
    };
    for at in [1, 3] {
        assert_eq!(told["answers"][at]["text"], "TP123 to Lisboa", "{told}");
    }
    let arrived = server.calls().len();
    let uses = loop {
        let export = std::fs::read_to_string(stand.export_of(GATE)).unwrap();
        let records = export.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let uses: Vec<Value> = records.filter(|record| record["decision"] == "consumption").collect();
        if uses.len() >= arrived {
            break uses;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{} of {arrived} uses", uses.len());
        std::thread::sleep(Duration::from_millis(200));
    };
    assert_eq!(uses.len(), arrived);
    for used in uses {
        assert_eq!(
            json!([used["request"]["action"], used["request"]["cost_cents"]]),
            json!(["flights:search", 5])
        );
    }

    // Who has agreed to no price is not let through.
    let unpinned = self::outfit("pp_unpinned", &permissions);
    let told = session(&stand, &unpinned, "auto", &json!([search]));
    assert_eq!(told["answers"][0]["data"]["reason_code"], "catalog_pin_missing", "{told}");
}
