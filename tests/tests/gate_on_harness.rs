//! The plugin on the harness: scenarios, vectors, and a host that fails.

use crate::live_workers::LiveWorkers;
use crate::scenario_workers::{AUTHORITY, PLUGIN, Workers, answer_of, host, request};
use portcullis_core::{PublicKey, SecretKey, UnixTime};
use portcullis_harness::{HostProfile, Request};
use portcullis_tests::scenario::{self, Answer, Gate, Person, Sent, play};
use portcullis_tests::vectors::{Expect, Family, Vector};
use std::time::Duration;

/// With its port, as Envoy tells it.
const PEER: &str = "127.0.0.1:40000";

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
        answer_of(sent, &self.request(request(sent).property("source.address", PEER)))
    }
}

/// As Envoy is where upgrades are configured; where not, it answers them itself.
fn envoy() -> HostProfile {
    HostProfile { hop_headers_removed: false, ..HostProfile::envoy() }
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
            let host = host(envoy(), &configuration, now);
            play(&scenario, now, &mut Workers::start(host, PEER).unwrap())
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
    let now = UnixTime::from_iso(&vector.now).unwrap();
    let host = host(envoy(), &configuration.to_string(), now);
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
