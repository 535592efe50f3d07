//! Requests whose bodies are signed, on the harness: what is held, on a host whose calls
//! fail in every way and in orders that no good host uses.

use portcullis_core::capiscio::sign_request;
use portcullis_core::json::Object;
use portcullis_core::{SecretKey, UnixTime, base64};
use portcullis_harness::{
    Fault, Headers, Host, HostProfile, Outcome, Plugin, Request, Status, Step, StreamId, Vm,
};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

static PLUGIN: LazyLock<Plugin> = LazyLock::new(|| {
    let path =
        std::env::var_os("PORTCULLIS_WASM").expect("PORTCULLIS_WASM is not set: run `cargo xtask test`");
    Plugin::from_file(path).expect("the plugin compiles")
});

const NOW: UnixTime = UnixTime::from_millis(1_780_315_200_000);
const BODY: &[u8] = b"window seat";

fn key() -> SecretKey {
    SecretKey::from_seed([7; 32])
}

fn host() -> Host {
    let configuration = format!(
        r#"{{"gate":{{"id":"gate_bodies"}},"profile":"L1","authorities":["127.0.0.1:10000"],
        "routes":[{{"path":"/bookings","methods":["POST"],"action":"a"}}],
        "trust":{{"simpleguard_agents":[{{"key_id":"k","public_key":"{}","actions":["a"]}}]}}}}"#,
        base64::encode(&key().public_key())
    );
    let host = Host::new(&PLUGIN, HostProfile::envoy()).configuration(configuration);
    host.set_now(Duration::from_millis(u64::try_from(NOW.as_millis()).unwrap()));
    host
}

/// A signature that was never made before.
fn signature(body: &[u8]) -> String {
    static NUMBER: AtomicI32 = AtomicI32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    sign_request(&key(), "k", Object::from([("n", number.into())]), Some(body), NOW)
}

fn request(signature: &str, chunks: [&[u8]; 3]) -> Request {
    let request = Request::post("/bookings", "").chunked().header("x-capiscio-jws", signature);
    let request = request.header("x-gate-agent-id", "root").trailer("x-gate-agent-id", "root");
    chunks.into_iter().fold(request, |request, chunk| request.chunk(chunk))
}

fn saw_whole(outcome: &Outcome) -> bool {
    outcome.upstream.as_ref().is_some_and(|arrived| arrived.complete)
}

/// What must hold on any host.
fn check(vm: &mut Vm, fault: &str) {
    let signed = signature(BODY);
    let tampered = vm.request(request(&signed, [b"window", b" seat", b"!"]));
    assert!(tampered.trap.is_none(), "{fault}: {:?}", tampered.trap);
    assert!(tampered.upstream.is_none(), "{fault}: the upstream saw a body that was not signed");

    let good = vm.request(request(&signed, [b"window", b"", b" seat"]));
    assert!(good.trap.is_none(), "{fault}: {:?}", good.trap);
    if saw_whole(&good) {
        let arrived = good.upstream.as_ref().unwrap();
        assert_eq!(arrived.body, BODY, "{fault}");
        let is_spoofed = |headers: &Headers| headers.iter().any(|(_, value)| value == b"root");
        assert!(!is_spoofed(&arrived.headers) && !is_spoofed(&arrived.trailers), "{fault}");
        assert!(!arrived.headers.has("x-capiscio-jws"), "{fault}");
        let again = vm.request(request(&signed, [b"window", b"", b" seat"]));
        // What a host only says to have kept is lost, and nobody can tell.
        let is_lie = fault.contains("Status(0)") || fault.contains("rubbish");
        assert!(again.upstream.is_none() || is_lie && fault.contains("shared_data"), "{fault}: replayed");
    } else {
        assert!(good.upstream.is_none(), "{fault}: the upstream saw a part");
    }
}

fn calls() -> Vec<String> {
    let name = |import: String| import.rsplit('.').next().unwrap_or_default().to_owned();
    PLUGIN.imports().into_iter().map(name).filter(|name| name != "proc_exit").collect()
}

#[test]
fn on_a_host_that_works_a_signed_body_passes_once() {
    let mut vm = host().start().unwrap();
    check(&mut vm, "no fault");
    assert_eq!(vm.request(request(&signature(BODY), [b"window", b" ", b"seat"])).status(), 200);
}

#[test]
fn any_call_may_answer_any_status_while_a_body_is_held() {
    for call in calls() {
        for status in Status::ALL.into_iter().chain([Status(13), Status(u32::MAX)]) {
            let host = host();
            let mut vm = host.start().unwrap();
            host.inject(Fault::status(&call, status));
            check(&mut vm, &format!("{call} answers {status:?}"));
            host.clear_faults();
            check(&mut vm, &format!("after {call} answered {status:?}"));
        }
    }
}

#[test]
fn each_single_call_may_fail_while_a_body_is_held() {
    for call in calls() {
        for occurrence in 1..=16 {
            let host = host();
            let mut vm = host.start().unwrap();
            host.inject(Fault::status(&call, Status::INTERNAL_FAILURE).nth(occurrence));
            check(&mut vm, &format!("call {occurrence} of {call} fails"));
        }
    }
}

#[test]
fn any_call_may_return_rubbish_while_a_body_is_held() {
    for call in calls() {
        let rubbish = [
            Fault::data(&call, vec![]),
            Fault::data(&call, vec![0; 4]),
            Fault::data(&call, BODY.to_vec()),
            Fault::data(&call, vec![0xff; 64]),
            Fault::number(&call, 0),
            Fault::number(&call, u64::MAX),
            Fault::pointer(&call, 0, 5),
            Fault::pointer(&call, u32::MAX, u32::MAX),
        ];
        for (index, fault) in rubbish.into_iter().enumerate() {
            let host = host();
            let mut vm = host.start().unwrap();
            host.inject(fault);
            let name = format!("{call} returns rubbish {index}");
            // A host that shows the gate what was signed, and the upstream something else,
            // cannot be found out.
            if (call.as_str(), index) != ("proxy_get_buffer_bytes", 2) {
                check(&mut vm, &name);
            }
        }
    }
}

fn head(more: &[(&str, &str)]) -> Headers {
    let mut headers = Headers::default();
    let own =
        [(":method", "POST"), (":authority", "127.0.0.1:10000"), (":path", "/bookings"), (":scheme", "http")];
    for (name, value) in own.iter().chain(more) {
        headers.add(*name, *value);
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

fn held(vm: &mut Vm) -> StreamId {
    let stream = vm.open().unwrap();
    let step = vm.request_headers(stream, head(&[("x-capiscio-jws", &signature(BODY))]), false);
    assert!(stopped(&step) && step.reply.is_none());
    stream
}

#[test]
fn nothing_goes_on_before_the_whole_body_has_come() {
    let mut vm = host().start().unwrap();
    let stream = held(&mut vm);
    for chunk in ["window", " ", "sea"] {
        let step = vm.request_body(stream, chunk, false);
        assert!(stopped(&step) && step.reply.is_none());
    }
    let step = vm.request_body(stream, "t", true);
    assert!(!stopped(&step));
    assert_eq!(step.passed.body, BODY);
}

#[test]
fn the_headers_of_a_held_request_do_not_come_again() {
    let mut vm = host().start().unwrap();
    let stream = held(&mut vm);
    let step = vm.request_headers(stream, head(&[]), false);
    assert!(stopped(&step));
    assert_eq!(status(&step), Some(503));
    assert!(stopped(&vm.request_body(stream, "window seat", true)));
}

#[test]
fn a_host_that_forgets_an_announced_body_is_not_believed() {
    for announced in [("content-length", "11"), ("transfer-encoding", "chunked"), ("content-length", "x")] {
        let mut vm = host().start().unwrap();
        let stream = vm.open().unwrap();
        let none = sign_request(&key(), "k", Object::default(), None, NOW);
        let step = vm.request_headers(stream, head(&[("x-capiscio-jws", &none), announced]), true);
        assert!(stopped(&step), "{announced:?}");
        assert_eq!(status(&step), Some(503), "{announced:?}");
    }
    let mut vm = host().start().unwrap();
    let stream = vm.open().unwrap();
    let none = sign_request(&key(), "k", Object::default(), None, NOW);
    let step = vm.request_headers(stream, head(&[("x-capiscio-jws", &none), ("content-length", "0")]), true);
    assert!(!stopped(&step));
}

#[test]
fn a_signature_that_expires_while_its_body_comes_is_refused() {
    let host = host();
    let mut vm = host.start().unwrap();
    let stream = held(&mut vm);
    host.set_now(Duration::from_millis(u64::try_from(NOW.as_millis() + 120_000).unwrap()));
    let step = vm.request_body(stream, "window seat", true);
    assert!(stopped(&step));
    assert_eq!(status(&step), Some(401));
}
