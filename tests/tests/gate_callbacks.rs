//! The plugin called in orders, and with headers, that no good host uses.

use portcullis_core::modei::{Draft, self_issue};
use portcullis_core::{SecretKey, UnixTime};
use portcullis_harness::{Headers, Host, HostProfile, Plugin, Request, Step, Vm};
use std::sync::LazyLock;
use std::time::Duration;

static PLUGIN: LazyLock<Plugin> = LazyLock::new(|| {
    let path =
        std::env::var_os("PORTCULLIS_WASM").expect("PORTCULLIS_WASM is not set: run `cargo xtask test`");
    Plugin::from_file(path).expect("the plugin compiles")
});

const NOW: UnixTime = UnixTime::from_millis(1_780_315_200_000);

/// A worker whose gate has a public route, one that keeps credentials, and `more` members.
fn worker(more: &str) -> Vm {
    let configuration = format!(
        r#"{{"gate":{{"id":"gate_orders"}},"profile":"L1","authorities":["127.0.0.1:10000"],{more}
        "routes":[{{"path":"/public","methods":["GET","POST"],"public":true}},
                  {{"path":"/kept","methods":["GET","POST"],"action":"a","keep_credential":true}}],
        "trust":{{"self_issued":{{"actions":["a"]}}}}}}"#
    );
    let host = Host::new(&PLUGIN, HostProfile::envoy()).configuration(configuration);
    host.set_now(Duration::from_millis(u64::try_from(NOW.as_millis()).unwrap()));
    host.start().unwrap()
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
    self_issue(&SecretKey::from_seed([7; 32]), &draft).to_header()
}

fn head(path: &str) -> Headers {
    let mut headers = Headers::default();
    for (name, value) in
        [(":method", "POST"), (":authority", "127.0.0.1:10000"), (":path", path), (":scheme", "http")]
    {
        headers.add(name, value);
    }
    headers
}

fn stopped(step: &Step) -> bool {
    assert!(step.trap.is_none(), "{:?}", step.trap);
    let passed = &step.passed;
    passed.headers.is_none() && passed.body.is_empty() && passed.trailers.is_none() && !passed.ended
}

fn status(step: &Step) -> Option<u16> {
    step.reply.as_ref().map(|reply| reply.status)
}

#[test]
fn a_body_or_trailers_before_the_headers_are_refused() {
    let mut vm = worker("");
    let stream = vm.open().unwrap();
    let step = vm.request_body(stream, "x", true);
    assert!(stopped(&step));
    assert_eq!(status(&step), Some(503));
    let stream = vm.open().unwrap();
    let step = vm.request_trailers(stream, Headers::default());
    assert!(stopped(&step));
    assert_eq!(status(&step), Some(503));
}

#[test]
fn nothing_of_a_refused_request_goes_on_and_it_is_answered_once() {
    let mut vm = worker("");
    let stream = vm.open().unwrap();
    let step = vm.request_headers(stream, head("/nowhere"), false);
    assert!(stopped(&step));
    assert_eq!(status(&step), Some(403));
    for _ in 0..2 {
        assert!(stopped(&vm.request_body(stream, "x", false)));
    }
    // The same stream with better headers is still the refused one.
    assert!(stopped(&vm.request_headers(stream, head("/public"), false)));
    assert!(stopped(&vm.request_trailers(stream, Headers::default())));
    assert_eq!(vm.trace().calls_of("proxy_send_local_response").len(), 1);
}

#[test]
fn headers_that_come_again_are_judged_again() {
    let mut vm = worker("");
    let stream = vm.open().unwrap();
    assert!(!stopped(&vm.request_headers(stream, head("/public"), false)));
    let step = vm.request_headers(stream, head("/nowhere"), false);
    assert!(stopped(&step));
    assert!(stopped(&vm.request_body(stream, "x", true)));
}

#[test]
fn no_route_keeps_a_credential_in_a_trailer() {
    let mut vm = worker("");
    let request = Request::post("/kept", "x").header("agent-passport", passport());
    let outcome = vm.request(request.trailer("agent-passport", passport()).trailer("grpc-status", "0"));
    assert_eq!(outcome.status(), 200, "{}", outcome.reply_text());
    let arrived = outcome.upstream.unwrap();
    assert!(arrived.headers.has("agent-passport"));
    assert!(!arrived.trailers.has("agent-passport"));
    assert!(arrived.trailers.has("grpc-status"));
}

#[test]
fn where_reserved_headers_are_refused_they_are_refused_in_headers_and_in_trailers() {
    let mut vm = worker(r#""reserved_headers":"refuse","#);
    assert_eq!(vm.request(Request::get("/public")).status(), 200);
    for name in ["x-gate-tier", "X_Gate_Tier", "x-http-method-override", "x-capiscio-subject"] {
        let outcome = vm.request(Request::get("/public").header(name, "3"));
        assert_eq!(outcome.status(), 400, "{name}");
        assert!(outcome.reply_text().contains("header_reserved"), "{name}");
        assert!(outcome.untouched(), "{name}");
        let outcome = vm.request(Request::post("/public", "x").trailer(name, "3"));
        assert_eq!(outcome.status(), 400, "{name} in a trailer");
        assert!(!outcome.admitted(), "{name} in a trailer");
    }
}
