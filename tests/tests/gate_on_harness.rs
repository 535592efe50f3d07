//! The plugin on the harness: scenarios, vectors, and a host that fails.

#[path = "live_workers/common.rs"]
mod common;
mod live_workers;

use live_workers::LiveWorkers;
use portcullis_core::{PublicKey, SecretKey, UnixTime};
use portcullis_harness::{Host, HostProfile, Outcome, Plugin, Request, Response, Vm};
use portcullis_tests::scenario::{self, Answer, Arrived, Gate, Person, Sent, play};
use portcullis_tests::vectors::{Expect, Family, Vector};
use std::sync::LazyLock;
use std::time::Duration;

const AUTHORITY: &str = "127.0.0.1:10000";

static PLUGIN: LazyLock<Plugin> = LazyLock::new(|| {
    let path = std::env::var_os("PORTCULLIS_WASM")
        .expect("PORTCULLIS_WASM names the plugin: run `cargo xtask test`");
    Plugin::from_file(path).expect("the plugin compiles")
});

/// Two workers that take requests in turn.
struct Workers {
    host: Host,
    vms: [Vm; 2],
    next: usize,
}

impl Workers {
    fn start(configuration: &str, now: UnixTime) -> Self {
        let host = host(configuration, now);
        let vms = [host.start().unwrap(), host.start().unwrap()];
        Workers { host, vms, next: 0 }
    }
}

impl Gate for LiveWorkers {
    const IS_ENVOY: bool = false;

    fn authority(&self) -> String {
        AUTHORITY.into()
    }

    fn wait(&mut self, seconds: u64) -> bool {
        self.run(Duration::from_secs(seconds));
        true
    }

    fn answer(&mut self, approval: &str, person: Person) -> bool {
        // In which the record comes to its keeper, and what was approved to the gate.
        self.run(Duration::from_secs(1));
        self.resolve(approval, person == Person::Approves);
        self.run(Duration::from_secs(1));
        true
    }

    fn attestation_key(&self) -> Option<PublicKey> {
        PublicKey::from_bytes(&SecretKey::from_seed([3; 32]).attestation_key().public_key())
    }

    fn send(&mut self, sent: &Sent) -> Answer {
        answer_of(sent, &self.request(request(sent)))
    }
}

impl Gate for Workers {
    const IS_ENVOY: bool = false;

    fn authority(&self) -> String {
        AUTHORITY.into()
    }

    fn wait(&mut self, seconds: u64) -> bool {
        self.host.advance(Duration::from_secs(seconds));
        true
    }

    fn answer(&mut self, _: &str, _: Person) -> bool {
        false
    }

    fn send(&mut self, sent: &Sent) -> Answer {
        self.next = (self.next + 1) % self.vms.len();
        answer_of(sent, &self.vms[self.next].request(request(sent)))
    }
}

fn request(sent: &Sent) -> Request {
    let mut request =
        Request::new(&sent.method, sent.path.clone()).property("source.address", "127.0.0.1:40000");
    if let Some(authority) = &sent.authority {
        request = request.authority(authority.as_bytes());
    }
    for (name, value) in &sent.headers {
        request = request.header(name.as_bytes(), value.clone());
    }
    if let Some(body) = &sent.body {
        request = request.body(body.clone());
    }
    if let Some(chunks) = &sent.chunks {
        request = chunks.iter().fold(request.chunked(), |request, chunk| request.chunk(chunk.clone()));
    }
    for (name, value) in &sent.trailers {
        request = request.trailer(name.as_bytes(), value.clone());
    }
    request.answered_with(asked_for(sent))
}

/// What the upstream answers, where a request asks it for something.
fn asked_for(sent: &Sent) -> Response {
    let asked = |wanted: &'static str| {
        let values = sent.headers.iter().filter(move |(name, _)| name == wanted);
        values.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    };
    let status = asked("x-echo-status").next().map_or(200, |status| status.parse().expect("a status"));
    asked("x-echo-header").fold(Response::new(status).body("ok"), |response, header| {
        let (name, value) = header.split_once('=').expect("NAME=VALUE");
        response.header(name, value)
    })
}

fn answer_of(sent: &Sent, outcome: &Outcome) -> Answer {
    assert!(outcome.trap.is_none(), "{sent:?} trapped: {:?}", outcome.trap);
    assert!(!outcome.held, "{sent:?} hangs");
    answer(outcome)
}

fn answer(outcome: &Outcome) -> Answer {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let pairs = |headers: &portcullis_harness::Headers| {
        headers.iter().map(|(name, value)| (text(name), text(value))).collect()
    };
    Answer {
        status: outcome.status(),
        headers: outcome.reply.as_ref().map(|reply| pairs(&reply.headers)).unwrap_or_default(),
        body: outcome.reply_text().to_string(),
        upstream: outcome.upstream.as_ref().map(|arrived| Arrived {
            path: arrived.path.clone(),
            headers: pairs(&arrived.headers),
            body: text(&arrived.body),
        }),
    }
}

fn host(configuration: &str, now: UnixTime) -> Host {
    // As Envoy is where upgrades are configured; where not, it answers them itself.
    let profile = HostProfile { hop_headers_removed: false, ..HostProfile::envoy() };
    let host = Host::new(&PLUGIN, profile).configuration(configuration);
    host.set_now(Duration::from_millis(u64::try_from(now.as_millis()).expect("after 1970")));
    host
}

#[test]
fn every_scenario_goes_as_it_says() {
    let now = UnixTime::from_rfc3339("2026-06-01T12:00:00Z").unwrap();
    let mut faults = Vec::new();
    for (name, scenario) in scenario::load() {
        let configuration = scenario::gate_configuration(&scenario, AUTHORITY);
        let found = if scenario::is_live(&scenario, &configuration) {
            play(&scenario, now, &mut LiveWorkers::start(&PLUGIN, &configuration, now, 2))
        } else {
            play(&scenario, now, &mut Workers::start(&configuration, now))
        };
        faults.extend(found.into_iter().map(|fault| format!("{name}: {fault}")));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_vector_gets_its_verdict_in_webassembly() {
    let all =
        Family::ALL.into_iter().flat_map(|family| family.load().into_iter().map(move |file| (family, file)));
    for (family, (name, text)) in all {
        let vector: Vector = serde_json::from_str(&text).unwrap();
        let (status, code) = judged_at_a_gate(family, &vector);
        let expected = match &vector.expect {
            Expect::Refused(code) => Some(code.clone()),
            // Whether the gate can keep the constraints of what is otherwise valid, and whether
            // the request keeps to them, is for the vectors of guardrails to say.
            Expect::Valid(_) if family == Family::Passport && has_constraints(&vector) => {
                code.clone().filter(|code| code.starts_with("constraint_"))
            }
            Expect::Valid(_) => None,
        };
        assert_eq!(code, expected, "{name}: {}", vector.why);
        assert_eq!(status == 200, expected.is_none(), "{name}");
    }
}

fn has_constraints(vector: &Vector) -> bool {
    let signed = vector.credential.as_bytes();
    let signed = if portcullis_core::modei::is_jwt(signed) {
        portcullis_core::modei::from_jwt(signed).unwrap()
    } else {
        portcullis_core::modei::from_json(signed.to_vec())
    };
    let trust =
        vector.trust.clone().unwrap_or_else(|| serde_json::json!({"self_issued": {"actions": ["*"]}}));
    let config = portcullis_core::TrustConfig::from_json(trust.to_string().as_bytes()).unwrap();
    let trust = portcullis_core::Trust::new(&config, portcullis_core::Profile::L1).unwrap();
    let now = UnixTime::from_iso(&vector.now).unwrap();
    let passport = portcullis_core::modei::verify(&signed, &trust.roots_at(now)).unwrap();
    passport.permissions().iter().any(|(_, constraints)| !constraints.is_empty())
}

/// The status and the reason code of a gate that the vector's trust material is given to.
fn judged_at_a_gate(family: Family, vector: &Vector) -> (u16, Option<String>) {
    // Judged by itself, a passport has nobody but its agent to vouch for it.
    let trust =
        vector.trust.clone().unwrap_or_else(|| serde_json::json!({"self_issued": {"actions": ["*"]}}));
    let configuration = serde_json::json!({
        "gate": {"id": "gate_vectors"}, "profile": "L1", "authorities": [AUTHORITY],
        "routes": [{"path": "/flights", "methods": ["GET", "POST"], "action": "flights:search"}],
        "audiences": vector.audiences.clone().unwrap_or_else(|| vec!["https://api.example".into()]),
        "trust": trust,
    });
    let host = host(&configuration.to_string(), UnixTime::from_iso(&vector.now).unwrap());
    let request = match vector.body.as_deref() {
        None | Some("") => Request::get("/flights"),
        Some(body) => Request::post("/flights", body),
    };
    let request = if family == Family::Badge {
        request.header("x-capiscio-badge", vector.credential.clone())
    } else if family == Family::SimpleGuard {
        request.header("x-capiscio-jws", vector.credential.clone())
    } else if portcullis_core::modei::is_jwt(vector.credential.as_bytes()) {
        request.header("authorization", format!("Bearer {}", vector.credential))
    } else {
        let encoded = portcullis_core::base64::encode(vector.credential.as_bytes());
        request.header("agent-passport", format!(":{encoded}:"))
    };
    let outcome = host.start().unwrap().request(request);
    assert!(outcome.trap.is_none(), "{:?}", outcome.trap);
    let problem: serde_json::Value = serde_json::from_str(&outcome.reply_text()).unwrap_or_default();
    (outcome.status(), problem["reason_code"].as_str().map(ToOwned::to_owned))
}
