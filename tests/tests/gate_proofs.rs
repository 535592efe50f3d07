//! Proofs of requests on the harness, where hosts fail and workers come and go.

use crate::common::{NOW, key};
use crate::live_workers::LiveWorkers;
use portcullis_core::json::Object;
use portcullis_core::modei::{Draft, Issuer, RootKind, issue, self_agent_id};
use portcullis_core::{ProofDraft, SecretKey, UnixTime, base64, nonce_wanted};
use portcullis_harness::{Fault, Headers, Outcome, Plugin, Request, Status};
use serde_json::json;
use std::sync::LazyLock;
use std::time::Duration;

const AUTHORITY: &str = "127.0.0.1:10000";

static PLUGIN: LazyLock<Plugin> = LazyLock::new(|| {
    let path = std::env::var_os("PORTCULLIS_WASM")
        .expect("PORTCULLIS_WASM names the plugin: run `cargo xtask test`");
    Plugin::from_file(path).expect("the plugin compiles")
});

fn gate(profile: &str) -> LiveWorkers {
    let configuration = json!({
        "gate": {"id": "gate_proofs"}, "profile": profile, "authorities": [AUTHORITY],
        "routes": [{"path": "/flights", "methods": ["GET", "POST"], "action": "flights:search"}],
        "trust": {"issuers": [{
            "id": "issuer:acme", "type": "platform", "tier": 3, "domain_verified": true,
            "actions": ["flights:*"],
            "keys": [{"key_id": "ik_1", "public_key": base64::encode(&key(8).public_key())}],
        }]},
    });
    LiveWorkers::start(&PLUGIN, &configuration.to_string(), NOW, 2)
}

fn passport(holder: &SecretKey) -> String {
    let by =
        Issuer { kind: RootKind::Platform, id: "issuer:acme".into(), key_id: "ik_1".into(), gate_id: None };
    let draft = Draft {
        passport_id: "pp_1".into(),
        agent_name: None,
        permissions: vec![("flights:search".into(), Object::default())],
        issued_at: NOW,
        expires_at: NOW.plus_millis(3_000_000),
        delegation_authority: false,
    };
    let public_key = holder.public_key();
    issue(&key(8), &by, &self_agent_id(&public_key), &public_key, &draft).to_header()
}

const BODY: &[u8] = b"window seat";

/// The head of a request with a body, but for its proof.
fn head() -> Headers {
    let mut headers = Headers::default();
    for (name, value) in [
        (":method", "POST"),
        (":authority", AUTHORITY),
        (":path", "/flights"),
        ("agent-passport", &passport(&key(1))),
    ] {
        headers.add(name, value);
    }
    headers
}

/// The headers that sign a request.
fn proof(nonce: &str, body: Option<&[u8]>, now: UnixTime) -> Vec<(&'static str, String)> {
    let holder = key(1);
    let draft = ProofDraft {
        method: if body.is_some() { "POST" } else { "GET" },
        authority: AUTHORITY,
        path: "/flights",
        query: None,
        credential: ("agent-passport", &passport(&holder)),
        body,
        key_id: &self_agent_id(&holder.public_key()),
        created: now,
        expires: None,
        nonce,
    };
    draft.sign(&holder)
}

/// A request, signed now.
fn signed(nonce: &str, body: Option<&[u8]>, now: UnixTime) -> Request {
    let method = if body.is_some() { "POST" } else { "GET" };
    let mut request = Request::new(method, "/flights").header("agent-passport", passport(&key(1)));
    for (name, value) in proof(nonce, body, now) {
        request = request.header(name, value);
    }
    match body {
        Some(body) => request.body(body),
        None => request,
    }
}

fn nonce(number: usize) -> String {
    base64::encode_url(format!("nonce number {number:010}").as_bytes())
}

fn code(outcome: &Outcome) -> String {
    let problem: serde_json::Value = serde_json::from_str(&outcome.reply_text()).unwrap_or_default();
    problem["reason_code"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_worker_that_is_started_anew_forgets_no_nonce_and_keeps_what_was_signed_before_it() {
    let mut gate = gate("L2");
    assert_eq!(gate.request(signed(&nonce(1), None, NOW)).status(), 200);
    gate.run(Duration::from_secs(5));
    // As a proxy does after a trap: the worker is another one, the process is not.
    gate.vms = vec![gate.host.start().unwrap()];
    gate.run(Duration::from_secs(2));
    let again = gate.request(signed(&nonce(1), None, NOW));
    assert_eq!((again.status(), code(&again).as_str()), (401, "request_replayed"));
    assert!(again.untouched());
    // The process began before it was signed, whenever this worker did.
    assert_eq!(gate.request(signed(&nonce(2), None, NOW)).status(), 200);
}

#[test]
fn another_process_takes_nothing_that_was_signed_before_it_began() {
    let mut first = gate("L2");
    assert_eq!(first.request(signed(&nonce(1), None, NOW)).status(), 200);
    let mut gate = gate("L2");
    gate.run(Duration::from_secs(2));
    // A gate whose shared data was made two seconds later.
    for shared in gate.host.shared_keys() {
        gate.host.evict_shared_data(&shared);
    }
    gate.vms = vec![gate.host.start().unwrap()];
    gate.run(Duration::from_secs(2));
    let old = gate.request(signed(&nonce(1), None, NOW));
    assert_eq!((old.status(), code(&old).as_str()), (401, "proof_predates_gate"));
    let fresh = NOW.plus_millis(3000);
    assert_eq!(gate.request(signed(&nonce(1), None, fresh)).status(), 200);
}

/// The challenge that an answer asks for, as an agent reads it.
fn challenge(outcome: &Outcome) -> String {
    let wanted = outcome.reply.as_ref().unwrap().headers.get("accept-signature").unwrap().into_owned();
    nonce_wanted(&wanted).unwrap().to_owned()
}

#[test]
fn a_body_that_comes_after_its_challenge_is_over_is_refused() {
    let mut gate = gate("L3");
    for (seconds, expected) in [(59, None), (61, Some("challenge_expired"))] {
        let now = i64::try_from(gate.host.now().as_millis()).unwrap();
        let now = UnixTime::from_millis(now);
        let asked = challenge(&gate.request(signed(&nonce(1), None, now)));
        let mut headers = head();
        for (name, value) in proof(&asked, Some(BODY), now) {
            headers.add(name, value);
        }
        let stream = gate.vms[0].open().unwrap();
        let step = gate.vms[0].request_headers(stream, headers, false);
        assert!(step.reply.is_none());
        // Its head was good; trust material stays fresh while it waits.
        gate.run(Duration::from_secs(seconds));
        let step = gate.vms[0].request_body(stream, BODY, true);
        let told = step.reply.map(|reply| String::from_utf8_lossy(&reply.body).into_owned());
        assert_eq!(told.is_some(), expected.is_some(), "{seconds} s: {told:?}");
        assert!(told.unwrap_or_default().contains(expected.unwrap_or_default()));
    }
}

#[test]
fn a_host_that_fails_in_any_way_lets_no_proved_request_through_twice() {
    let calls = [
        "proxy_add_header_map_value",
        "proxy_get_buffer_bytes",
        "proxy_get_current_time_nanoseconds",
        "proxy_get_header_map_pairs",
        "proxy_get_shared_data",
        "proxy_remove_header_map_value",
        "proxy_replace_header_map_value",
        "proxy_send_local_response",
        "proxy_set_shared_data",
        "random_get",
    ];
    for profile in ["L2", "L3"] {
        let mut gate = gate(profile);
        let mut number = 0;
        for call in calls {
            for status in [0, 1, 2, 3, 4, 7, 8, 10, 12, 999] {
                for body in [None, Some(BODY)] {
                    number += 1;
                    let nonce = if profile == "L3" {
                        challenge(&gate.request(signed(&nonce(number), None, NOW)))
                    } else {
                        nonce(number)
                    };
                    let request = signed(&nonce, body, NOW);
                    gate.host.inject(Fault::status(call, Status(status)));
                    let first = gate.request(request.clone());
                    gate.host.clear_faults();
                    assert!(first.trap.is_none(), "{call} {status}: {:?}", first.trap);
                    let (second, third) = (gate.request(request.clone()), gate.request(request));
                    let passed = [&first, &second, &third].iter().filter(|one| one.admitted()).count();
                    assert!(passed <= 1, "{profile} {call} {status}: passed {passed} times");
                    assert!(!third.admitted(), "{profile} {call} {status}");
                    for outcome in [&first, &second, &third] {
                        assert!(outcome.admitted() || outcome.untouched(), "{profile} {call} {status}");
                    }
                    // What can fail at the challenge of the answer is no matter of the request.
                    if call == "proxy_add_header_map_value" {
                        assert!(first.admitted(), "{profile} {status}");
                    }
                }
            }
        }
    }
}
