//! The scenarios at a gate without a proxy: in Node, in Deno, and in workerd.

use crate::common;
use crate::deno;
use crate::edge_stand;
use crate::edge_stand::{AUTHORITY, Edge, Runtime, given};
use crate::live_stand;
use portcullis_core::capiscio::sign_request;
use portcullis_core::json::Object;
use portcullis_core::modei::self_issuer_id;
use portcullis_core::{SecretKey, UnixTime, base64, sha256};
use portcullis_tests::scenario::{self, Case, Expected, Gate, Sent, Upstream, play};
use serde::Deserialize;
use serde_json::{Value, json};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};
use xtask::control::Control;
use xtask::envoy_config::GateConfig;
use xtask::live_gate::{self, Enrolled};
use xtask::skipped;

/// Cases that go otherwise at the edge, and how.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    scenario: String,
    /// Left out: all of them.
    cases: Option<Vec<String>>,
    /// Left out: all.
    runtimes: Option<Vec<String>>,
    /// What comes back instead; `{id}` is that of a call over JSON-RPC.
    expect: Expected,
    /// What the handler sees instead; left out, nothing.
    upstream: Option<Upstream>,
    because: String,
}

impl Exception {
    fn all() -> Vec<Exception> {
        #[derive(Deserialize)]
        struct File {
            exception: Vec<Exception>,
        }
        let File { exception } = toml::from_str(include_str!("../edge/exceptions.toml")).expect("exceptions");
        assert!(exception.iter().all(|one| !one.because.is_empty()));
        exception
    }

    fn is_of(&self, scenario: &str, runtime: Runtime) -> bool {
        let is_there = |names: &Vec<String>| names.iter().any(|name| name == runtime.name());
        self.scenario == scenario && self.runtimes.as_ref().is_none_or(is_there)
    }

    fn has(&self, case: &Case) -> bool {
        self.cases.as_ref().is_none_or(|cases| cases.contains(&case.name))
    }

    /// Whether what it says cannot be what the case's own text says.
    fn contradicts(&self, case: &Case) -> bool {
        let body = |upstream: &Option<Upstream>| upstream.as_ref().map(|upstream| upstream.body.clone());
        (self.expect.status, &self.expect.reason) != (case.expect.status, &case.expect.reason)
            || body(&self.upstream) != body(&case.upstream)
    }

    /// The case as it goes here. Nobody is asked, so nobody answers before it.
    fn apply(&self, case: &mut Case) {
        case.person = None;
        case.expect = self.expect.clone();
        case.upstream = self.upstream.clone();
        if let Some((id, ..)) = &mut case.expect.rpc {
            let call: Value = serde_json::from_str(case.request.rpc.as_deref().expect("a call")).unwrap();
            *id = id.replace("{id}", &call["id"].to_string());
        }
    }
}

fn every_scenario_goes_as_it_says(runtime: Runtime) {
    let now = UnixTime::from_rfc3339("2026-06-01T12:00:00Z").unwrap();
    let exceptions = Exception::all();
    let mut faults = Vec::new();
    for (name, mut scenario) in scenario::load() {
        let excepted: Vec<_> = exceptions.iter().filter(|one| one.is_of(&name, runtime)).collect();
        for listed in excepted.iter().filter_map(|one| one.cases.as_ref()).flatten() {
            let is_there = scenario.cases.iter().any(|case| case.name == *listed);
            assert!(is_there, "{name} has no case \"{listed}\"");
        }
        for case in &mut scenario.cases {
            let Some(exception) = excepted.iter().find(|one| one.has(case)) else {
                if case.person.take().is_some() {
                    faults
                        .push(format!("{name}: {}: nobody is asked here: it needs an exception", case.name));
                }
                continue;
            };
            if !exception.contradicts(case) {
                faults.push(format!("{name}: {}: its exception says what its text says", case.name));
            }
            exception.apply(case);
        }
        let configuration = scenario::gate_configuration(&scenario, AUTHORITY);
        let is_live = scenario::is_live(&scenario, &configuration);
        let mut edge = match Edge::start(runtime, &name, &configuration, is_live, now) {
            Ok(edge) => edge,
            Err(said) => {
                faults.push(format!("{name}: the gate does not start: {said}"));
                continue;
            }
        };
        // An exception that is none any more is a fault like another: it goes not as it stands there.
        let found = play(&scenario, now, &mut edge);
        faults.extend(found.iter().map(|fault| format!("{name}: {fault}")));
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn every_scenario_goes_as_it_says_in_node() {
    every_scenario_goes_as_it_says(Runtime::Node);
}

#[test]
fn every_scenario_goes_as_it_says_in_workerd() {
    if edge_stand::workerd().is_none() {
        skipped::tell("every_scenario_goes_as_it_says_in_workerd", "there is no workerd for this machine");
        return;
    }
    every_scenario_goes_as_it_says(Runtime::Workerd);
}

#[test]
fn every_scenario_goes_as_it_says_in_deno() {
    if deno::program().is_none() {
        skipped::tell("every_scenario_goes_as_it_says_in_deno", deno::MISSING);
        return;
    }
    every_scenario_goes_as_it_says(Runtime::Deno);
}

#[test]
fn the_gate_keeps_what_it_promises_beside_the_scenarios() {
    let now = UnixTime::from_rfc3339("2026-06-01T12:00:00Z").unwrap();
    let text = scenario::gate_configuration(&scenario::load()["simpleguard"], AUTHORITY);
    let config: Value = serde_json::from_str(&text).unwrap();
    let agent = SecretKey::from_seed(sha256(b"agent-a"));
    let body: Vec<u8> = (0..3000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let token = |body: &[u8]| {
        let body = Some(body).filter(|body| !body.is_empty());
        sign_request(&agent, "agent-a-key-1", Object::default(), body, now)
    };
    let live = json!({
        "gate": {"id": "gate_live"},
        "service": {
            "cluster": "control", "authority": "control.internal",
            "keys": [{"key_id": "k1", "public_key": portcullis_core::base64::encode(&common::key(9).public_key())}],
        },
    });
    let fixtures = json!({
        "config": config, "now": now.as_millis(), "other": {"live": live},
        "tokens": {"empty": token(b""), "body": token(&body)},
    });
    let folder = edge_stand::folder("promises");
    std::fs::write(folder.join("fixtures.json"), fixtures.to_string()).unwrap();
    let mut command = Command::new(given("PORTCULLIS_NODE"));
    let ran = command.args(["--test", "promises.test.mjs"]).current_dir(folder).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
}

#[test]
fn a_live_gate_at_the_edge_refuses_what_is_revoked_and_then_what_is_too_old() {
    let began = UnixTime::from_rfc3339("2026-06-01T12:00:00Z").unwrap();
    let text = scenario::gate_configuration(&scenario::load()["simpleguard"], AUTHORITY);
    let agent = SecretKey::from_seed(sha256(b"agent-a"));
    let mut edge = Edge::start(Runtime::Node, "live", &text, true, began).unwrap();
    let mut seconds = 0;
    let mut send = |edge: &mut Edge, after: u64| {
        edge.wait(after);
        seconds += i64::try_from(after).unwrap();
        let now = began.plus_millis(seconds * 1000);
        let token = sign_request(&agent, "agent-a-key-1", Object::default(), None, now);
        let sent = Sent {
            method: "GET".into(),
            path: b"/flights".to_vec(),
            authority: None,
            headers: vec![("x-capiscio-jws".into(), token.into_bytes())],
            body: None,
            chunks: None,
            trailers: vec![],
        };
        let answer = edge.send(&sent);
        let problem: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        (answer.status, problem["reason_code"].as_str().map(str::to_owned))
    };
    let refused = |status: u16, reason: &str| (status, Some(reason.to_owned()));

    assert_eq!(send(&mut edge, 0), (200, None));
    edge.change_service(|service| {
        let service = service.as_mut().unwrap();
        service.change(service.key.agent("simpleguard", "agent-a-key-1"), true);
    });
    // Renewed beside this request, and so known to one soon after it.
    send(&mut edge, 2);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(send(&mut edge, 0), refused(403, "agent_disabled"));

    edge.change_service(|service| {
        let service = service.as_mut().unwrap();
        service.change(service.key.agent("simpleguard", "agent-a-key-1"), false);
    });
    // After a while without requests the next one waits for what is new.
    assert_eq!(send(&mut edge, 30), (200, None));

    edge.change_service(|service| *service = None);
    assert_eq!(send(&mut edge, 3500), (200, None));
    assert_eq!(send(&mut edge, 200), refused(503, "trust_material_stale"));
}

/// The stand-in above asks for no signature; the service asks for one with each call.
#[test]
fn a_gate_at_the_edge_that_a_real_service_has_enrolled_takes_its_trust_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let service =
        Control::in_folder(&given("PORTCULLIS_CONTROL"), folder.path(), None).unwrap().start().unwrap();
    let gate = json!({
        "gate": {"id": "gate_edge"}, "profile": "L1", "authorities": [AUTHORITY],
        "routes": [{"path": "/flights", "methods": ["GET"], "action": "flights:search"}],
        "trust": {"self_issued": {"actions": ["flights:*"]}}, "attest": {"policy": "best_effort"},
    });
    let gate = GateConfig::parse(&gate.to_string()).unwrap();
    let enrolled = live_gate::enrol(&service, &given("PORTCULLIS_CLI"), folder.path(), &gate).unwrap();
    let now = || {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        UnixTime::from_millis(i64::try_from(since.as_millis()).unwrap())
    };
    let agent = SecretKey::from_seed([41; 32]);
    let passport = live_stand::passport(&agent, "pp_edge").to_header();
    let answer = |edge: &mut Edge, at: UnixTime| {
        edge.set_clock(at);
        let sent = Sent {
            method: "GET".into(),
            path: b"/flights".to_vec(),
            authority: None,
            headers: vec![("agent-passport".into(), passport.clone().into_bytes())],
            body: None,
            chunks: None,
            trailers: vec![],
        };
        let answer = edge.send(&sent);
        let problem: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        (answer.status, problem["reason_code"].as_str().unwrap_or_default().to_owned())
    };
    let refused = |status: u16, reason: &str| (status, reason.to_owned());

    // With another key nobody is told anything.
    let other = Enrolled { key: base64::encode(&[3; 32]), ..enrolled.clone() };
    let mut stranger =
        Edge::start_enrolled(Runtime::Node, "stranger", &other, &service.url(), now()).unwrap();
    assert_eq!(answer(&mut stranger, now()), refused(503, "trust_material_missing"));

    let mut edge = Edge::start_enrolled(Runtime::Node, "enrolled", &enrolled, &service.url(), now()).unwrap();
    assert_eq!(answer(&mut edge, now()), refused(200, ""));
    let body = json!({"kind": "passport", "issuer": self_issuer_id(&agent.public_key()), "ids": ["pp_edge"]});
    live_gate::call(&service, "POST", "/api/v1/revocations", &body).unwrap();
    let began = Instant::now();
    // It is renewed beside requests.
    while answer(&mut edge, now()) != refused(401, "passport_revoked") {
        assert!(began.elapsed() < Duration::from_secs(60), "the revocation has not come");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The first program of the page in this language that has all of these words.
fn example(language: &str, words: &str) -> String {
    let page = include_str!("../../docs/edge.md");
    let opening = format!("```{language}\n");
    let programs = page.split(&opening).skip(1).filter_map(|rest| rest.split("```").next());
    programs.into_iter().find(|program| program.contains(words)).expect("the example").to_owned()
}

#[test]
fn the_examples_of_the_page_run_as_they_stand() {
    let folder = edge_stand::folder("examples");
    let package = folder.join("node_modules/portcullis-web");
    std::fs::create_dir_all(&package).unwrap();
    for entry in std::fs::read_dir(given("PORTCULLIS_WEB_PACKAGE")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), package.join(entry.file_name())).unwrap();
    }
    let [address] = xtask::net::free().unwrap();
    let node = example("js", "createServer").replace("listen(8080)", &format!("listen({})", address.port()));
    std::fs::write(folder.join("example.mjs"), node).unwrap();
    let mut command = Command::new(given("PORTCULLIS_NODE"));
    let gate = edge_stand::Running::start(command.arg("example.mjs").current_dir(&folder), address).unwrap();
    assert_eq!(gate.get("/health", "api.example.com"), (200, None));
    assert_eq!(gate.get("/flights", "api.example.com"), (401, Some("credential_missing".into())));
    assert_eq!(gate.get("/flights", "example.com"), (400, Some("authority_unknown".into())));

    let Some(workerd) = edge_stand::workerd() else {
        skipped::tell("the_examples_of_the_page_run_as_they_stand", "there is no workerd for this machine");
        return;
    };
    let key = portcullis_core::base64::encode(&common::key(9).public_key());
    std::fs::write(folder.join("worker.js"), example("js", "durableStore").replace('…', &key)).unwrap();
    let served = include_str!("../edge/example.capnp");
    std::fs::write(folder.join("example.capnp"), served).unwrap();
    let [address] = xtask::net::free().unwrap();
    let mut command = Command::new(workerd);
    command.args(["serve", "example.capnp", &format!("--socket-addr=http={address}")]).current_dir(&folder);
    let gate = edge_stand::Running::start(&mut command, address).unwrap();
    // Its control service is nowhere.
    assert_eq!(gate.get("/flights", "api.example.com"), (503, Some("trust_material_missing".into())));
}
