//! The plugin on nginx with ngx_wasm_module, as the harness models it by what was measured there:
//! the scenarios, and what differs from Envoy so that it would be unsafe.

use crate::scenario_workers::{AUTHORITY, Workers, host};
use portcullis_core::capiscio::sign_request;
use portcullis_core::json::Object;
use portcullis_core::modei::{Draft, self_issue};
use portcullis_core::{SecretKey, UnixTime, base64};
use portcullis_harness::{HostProfile, Outcome, Request, StartError, Vm};
use portcullis_tests::scenario::{self, Exceptions, play};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI32, Ordering};

const NOW: UnixTime = UnixTime::from_millis(1_780_315_200_000);

#[test]
fn every_scenario_goes_as_it_says_but_for_the_exceptions() {
    let exceptions = Exceptions::read(include_str!("../nginx/exceptions.toml"));
    let mut faults = Vec::new();
    for (name, mut scenario) in scenario::load() {
        let excepted = exceptions.of(&name, &scenario, "");
        // Nobody is asked by a gate without a service: these cannot even be played.
        scenario.cases.retain(|case| {
            if case.person.is_some() && !excepted.has(&case.name) {
                faults
                    .push(format!("{name}: {}: there is nobody to ask, and no exception says so", case.name));
            }
            case.person.is_none()
        });
        let mut configuration: Value =
            serde_json::from_str(&scenario::gate_configuration(&scenario, AUTHORITY)).unwrap();
        configuration["host"] = "nginx".into();
        let host = host(HostProfile::nginx_as_documented(), &configuration.to_string(), NOW);
        let mut workers = match Workers::start(host, "127.0.0.1") {
            Ok(workers) => workers,
            Err(error) => {
                if !excepted.is_whole() {
                    faults.push(format!("{name}: the gate does not start: {error}"));
                }
                continue;
            }
        };
        let played: BTreeSet<_> = scenario.cases.iter().map(|case| case.name.clone()).collect();
        faults.extend(excepted.judge(&played, &play(&scenario, NOW, &mut workers)));
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

/// A gate with a public route, one that asks for a passport, one whose bodies are signed, and `more`
/// members.
fn configuration(more: &Value) -> String {
    let mut configuration = json!({
        "gate": {"id": "gate_nginx"}, "host": "nginx", "profile": "L1", "authorities": [AUTHORITY],
        "routes": [
            {"path_prefix": "/public/", "methods": ["GET", "POST"], "public": true},
            {"path_prefix": "/flights/", "methods": ["GET", "POST"], "action": "a"},
            {"path": "/bookings", "methods": ["POST"], "action": "a"},
            {"path": "/watched", "methods": ["POST"], "action": "a", "mode": "report"},
        ],
        "trust": {
            "self_issued": {"actions": ["a"]},
            "simpleguard_agents":
                [{"key_id": "k", "public_key": base64::encode(&key().public_key()), "actions": ["a"]}],
        },
    });
    let members = configuration.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    configuration.to_string()
}

fn worker_on(profile: HostProfile) -> Vm {
    host(profile, &configuration(&json!({})), NOW).start().unwrap()
}

fn worker() -> Vm {
    worker_on(HostProfile::nginx_as_documented())
}

fn key() -> SecretKey {
    SecretKey::from_seed([7; 32])
}

fn passport() -> String {
    let draft = Draft {
        passport_id: "pp_1".into(),
        agent_name: None,
        permissions: vec![("a".into(), Default::default())],
        issued_at: NOW.plus_millis(-1000),
        expires_at: NOW.plus_millis(3_600_000),
        delegation_authority: false,
    };
    self_issue(&key(), &draft).to_header()
}

/// A signature that was never made before; of no body, it says nothing of any.
fn signature(body: Option<&[u8]>) -> String {
    static NUMBER: AtomicI32 = AtomicI32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    sign_request(&key(), "k", Object::from([("n", number.into())]), body, NOW)
}

fn signed(body: Option<&[u8]>) -> Request {
    Request::new("POST", "/bookings").header("X-Capiscio-JWS", signature(body))
}

fn refused(outcome: &Outcome) -> (u16, String) {
    assert!(outcome.trap.is_none(), "{:?}", outcome.trap);
    assert!(outcome.upstream.is_none(), "it reached the upstream: {:?}", outcome.upstream);
    let problem: Value = serde_json::from_str(&outcome.reply_text()).unwrap();
    (outcome.status(), problem["reason_code"].as_str().unwrap().to_owned())
}

fn because(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[test]
fn a_claimed_identity_is_refused_on_every_route_and_in_any_spelling() {
    // As with `underscores_in_headers on`, which nobody should set.
    let mut vm =
        worker_on(HostProfile { drops_underscore_names: false, ..HostProfile::nginx_as_documented() });
    for name in
        ["x-gate-agent-id", "X-Gate-Agent-Id", "x_gate_agent_id", "X-Gate_New", "x-http-method-override"]
    {
        for path in ["/public/", "/flights/", "/nowhere"] {
            let request = Request::get(path).header(name, "root").header("agent-passport", passport());
            assert_eq!(refused(&vm.request(request)), because(400, "header_reserved"), "{name} {path}");
        }
    }
    let misspelt = Request::get("/public/").header("agent_passport", passport());
    assert_eq!(refused(&vm.request(misspelt)), because(400, "header_reserved"));
    let misspelt = Request::get("/public/").header("x_capiscio-jws", "x");
    assert_eq!(refused(&vm.request(misspelt)), because(400, "header_reserved"));
    assert_eq!(vm.request(Request::get("/public/").header("x_other", "1")).status(), 200);
}

#[test]
fn the_upstream_is_told_who_asks_once_and_sees_no_credential() {
    let mut vm = worker();
    let outcome = vm.request(Request::get("/flights/").header("Agent-Passport", passport()));
    assert_eq!(outcome.status(), 200, "{}", outcome.reply_text());
    let arrived = outcome.upstream.unwrap().headers;
    for name in ["x-gate-agent-id", "x-gate-credential-id", "x-gate-issuer", "x-gate-tier", "x-gate-action"] {
        assert_eq!(arrived.all(name).len(), 1, "{name}");
    }
    // The module's removal would hide it from `proxy_set_header`, which takes it out in truth.
    assert!(!arrived.has("agent-passport"));
    let removed = vm.trace().calls_of("proxy_remove_header_map_value");
    assert!(removed.iter().all(|call| call.contains("ResponseHeaders")), "{removed:?}");

    // So it is once a body has come, too.
    let outcome = vm.request(signed(Some(b"seat")).body("seat"));
    assert_eq!(outcome.status(), 200, "{}", outcome.reply_text());
    let arrived = outcome.upstream.unwrap();
    assert_eq!(arrived.headers.all("x-capiscio-agent-id"), ["k"]);
    assert_eq!((arrived.headers.has("x-capiscio-jws"), arrived.body), (false, b"seat".to_vec()));

    // And where nothing takes it out, it is seen.
    let outcome = worker_on(HostProfile::nginx())
        .request(Request::get("/flights/").header("agent-passport", passport()));
    assert!(outcome.upstream.unwrap().headers.has("agent-passport"));
}

#[test]
fn a_body_that_may_turn_out_empty_passes_nowhere_unjudged() {
    let mut vm = worker();
    // nginx tells of no empty body, so whatever is decided must be decided without one.
    assert_eq!(refused(&vm.request(signed(Some(b"seat")))), because(401, "body_digest_mismatch"));
    let empty = signed(Some(b"seat")).header("Content-Length", "0");
    assert_eq!(refused(&vm.request(empty)), because(401, "body_digest_mismatch"));
    for request in [signed(Some(b"seat")).chunked(), signed(Some(b"seat")).chunk("seat").chunked()] {
        assert_eq!(refused(&vm.request(request)), because(411, "body_length_missing"));
    }
    // HTTP/2 has bodies that say neither that they come nor how long they are.
    let unsaid = signed(None).property("request.protocol", "HTTP/2.0");
    assert_eq!(refused(&vm.request(unsaid)), because(411, "body_length_missing"));

    let once = signed(None);
    assert_eq!(vm.request(once.clone()).status(), 200);
    assert_eq!(refused(&vm.request(once)), because(401, "request_replayed"));
    // What is judged by its head may have any body.
    let passed = Request::post("/flights/", "").chunked().chunk("x").header("agent-passport", passport());
    assert_eq!(vm.request(passed).upstream.unwrap().body, b"x");
    // Where refusals are only reported it goes on.
    let watched =
        Request::new("POST", "/watched").header("x-capiscio-jws", signature(Some(b"seat"))).chunked();
    let outcome = vm.request(watched);
    assert_eq!((outcome.status(), outcome.upstream_header("x-gate-agent-id")), (200, None));
}

#[test]
fn a_body_is_judged_before_the_upstream_sees_anything() {
    let mut vm = worker();
    let tampered = signed(Some(b"window seat")).body("window seat!");
    assert_eq!(refused(&vm.request(tampered)), because(401, "body_digest_mismatch"));
    let good = signed(Some(b"window seat")).body("window seat");
    assert_eq!(vm.request(good.clone()).upstream.unwrap().body, b"window seat");
    assert_eq!(refused(&vm.request(good.clone())), because(401, "request_replayed"));
}

#[test]
fn an_answer_to_a_request_whose_body_was_never_shown_is_logged() {
    // A host that tells of no body although one is announced, which nginx was not seen to do.
    let mut vm = worker();
    let outcome = vm.request(signed(Some(b"seat")).header("Content-Length", "4"));
    assert_eq!(outcome.upstream_header("x-gate-agent-id"), None);
    assert!(vm.logs().any(|(_, line)| line.contains("before its body was shown to the gate")));
}

#[test]
fn a_body_that_lies_on_disk_is_refused() {
    let body = vec![b'x'; 20_000];
    let spools = || {
        worker_on(HostProfile { spools_bodies_above: Some(16 * 1024), ..HostProfile::nginx_as_documented() })
    };
    // A signature that says nothing of a body, and one that nobody can read.
    for signature in [None, Some(body.as_slice())] {
        let outcome = spools().request(signed(signature).body(body.clone()));
        assert_eq!(refused(&outcome), because(503, "host_fault"));
    }
    assert_eq!(worker().request(signed(Some(&body)).body(body.clone())).status(), 200);
    assert_eq!(refused(&worker().request(signed(None).body(body))), because(401, "body_not_signed"));
}

#[test]
fn a_route_is_chosen_by_the_path_that_the_upstream_gets() {
    let mut vm = worker();
    // Each is shown as a path below /public/.
    for path in
        ["/flights/..%2fpublic/", "/flights/%2e%2e/public/", "/flights/../public/", "//public/", "/./public/"]
    {
        assert_eq!(refused(&vm.request(Request::get(path))), because(400, "path_ambiguous"), "{path}");
    }
    assert_eq!(refused(&vm.request(Request::get("/%66lights/"))), because(401, "credential_missing"));
    for path in ["/%70ublic/", "/public/?q=%2e%2e/", "/public/?", "/public/a%3Fb?c"] {
        assert_eq!(vm.request(Request::get(path)).upstream.unwrap().path, path);
    }
    // As after a `rewrite`: the property keeps what the client has sent.
    let rewritten = Request::get("/public/").property("request.path", "/flights/");
    assert_eq!(refused(&vm.request(rewritten)), because(400, "path_ambiguous"));
}

#[test]
fn the_authority_is_what_the_client_has_sent() {
    let mut vm = worker();
    assert_eq!(vm.request(Request::get("/public/")).status(), 200);
    for authority in ["gate.internal:10000", "elsewhere.example"] {
        let outcome = vm.request(Request::get("/public/").authority(authority));
        assert_eq!(refused(&outcome), because(400, "authority_unknown"), "{authority}");
    }
    let doubled = Request::get("/public/").header("Host", "elsewhere.example");
    assert_eq!(refused(&vm.request(doubled)), because(400, "header_ambiguous"));
}

#[test]
fn a_gate_finds_out_that_it_runs_on_another_host_than_its_configuration_says() {
    for (profile, kind) in [(HostProfile::nginx_as_documented(), "envoy"), (HostProfile::envoy(), "nginx")] {
        // nginx names itself for the authority, which the client may name too.
        let more = json!({"host": kind, "authorities": [AUTHORITY, "gate.internal:10000"]});
        let mut vm = host(profile, &configuration(&more), NOW).start().unwrap();
        for _ in 0..2 {
            let request = Request::get("/public/").authority("gate.internal:10000");
            assert_eq!(refused(&vm.request(request)), because(503, "host_fault"), "{kind}");
        }
        assert!(
            vm.logs().any(|(_, line)| line.contains("another proxy than the configuration's `host` says"))
        );
    }
}

#[test]
fn an_address_of_ipv6_is_told_whole() {
    let anonymous = json!({"anonymous": {
        "enabled": true, "allowed_actions": ["a"], "rate_limit_per_minute": 1,
    }});
    let mut vm = host(HostProfile::nginx_as_documented(), &configuration(&anonymous), NOW).start().unwrap();
    let mut ask =
        |address: &str| vm.request(Request::get("/flights/").property("source.address", address)).status();
    assert_eq!([ask("2001:db8::1"), ask("2001:db8::2"), ask("2001:db8::1")], [200, 200, 429]);
    assert_eq!([ask("127.0.0.1"), ask("127.0.0.2"), ask("127.0.0.1")], [200, 200, 429]);
}

#[test]
fn a_refusal_keeps_all_that_it_says() {
    let outcome = worker().request(Request::get("/flights/"));
    assert_eq!(outcome.status(), 401);
    assert_eq!(outcome.reply_header("www-authenticate").as_deref(), Some(r#"AgentPassport profile="L1""#));
}

#[test]
fn a_gate_with_a_service_does_not_start() {
    let live = |host_kind: &str| {
        json!({
            "gate": {"id": "g"}, "host": host_kind,
            "service": {
                "cluster": "127.0.0.1:8080", "authority": "control.internal",
                "keys": [{"key_id": "k1", "public_key": base64::encode(&key().public_key())}],
            },
        })
    };
    let start = |profile: HostProfile, configuration: &Value| {
        let host = host(profile, &configuration.to_string(), NOW);
        host.environment("PORTCULLIS_GATE_KEY", &base64::encode(&[3; 32])).start().err()
    };
    let said = |error: Option<StartError>| match error {
        Some(error @ StartError::Refused { .. }) => error.log_text(),
        other => panic!("{other:?}"),
    };
    let nginx = said(start(HostProfile::nginx_as_documented(), &live("nginx")));
    assert!(nginx.contains("host: must be envoy for a gate with a service"), "{nginx}");
    // Nor where it says that it is another: there is no key.
    let mistaken = said(start(HostProfile::nginx_as_documented(), &live("envoy")));
    assert!(mistaken.contains("PORTCULLIS_GATE_KEY"), "{mistaken}");
    assert!(start(HostProfile::envoy(), &live("envoy")).is_none());
}

#[test]
fn a_memory_that_is_evicted_is_missed_where_it_can_be() {
    let host = host(HostProfile::nginx_as_documented(), &configuration(&json!({})), NOW);
    let mut vm = host.start().unwrap();
    // Of the layout in use: an earlier one's is there too, ended.
    let process = host.shared_keys().into_iter().filter(|name| name.ends_with("process")).max().unwrap();
    assert_eq!(vm.request(signed(None)).status(), 200);
    host.evict_shared_data(&process);
    assert_eq!(refused(&vm.request(signed(None))).0, 503);
}
