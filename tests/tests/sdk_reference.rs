//! A plugin made with the official proxy-wasm SDK (`plugin/examples/reference.rs`) on the
//! harness and in real Envoy: the host that our plugin is tested on is the one that others
//! write plugins for.

mod stand;

use portcullis_harness::{Host, HostProfile, Plugin, Request, Response};
use serde_json::Value;
use stand::given;
use std::time::{Duration, Instant};
use xtask::echo::{Answer, Upstream};
use xtask::envoy::Envoy;
use xtask::envoy_config::{Addresses, EnvoyConfig};
use xtask::workspace::Workspace;
use xtask::{http, net};

const WORD: &str = "portcullis";

fn plugin() -> Plugin {
    Plugin::from_file(given("PORTCULLIS_REFERENCE_WASM")).unwrap()
}

#[test]
fn the_harness_gives_an_sdk_plugin_what_it_expects() {
    let host = Host::new(&plugin(), HostProfile::envoy()).configuration(WORD);
    let mut worker = host.start().unwrap();
    assert_eq!(worker.tick_period(), Some(Duration::from_millis(100)));

    let answered = worker.request(Request::get("/word"));
    assert_eq!((answered.status(), answered.admitted()), (418, false));
    assert_eq!(answered.reply_text(), WORD);
    assert_eq!(answered.reply_header("x-word").as_deref(), Some(WORD));

    let passed = worker.request(Request::get("/").header("x-secret", "s"));
    assert!(passed.admitted());
    assert_eq!(passed.upstream_header("x-word").as_deref(), Some(WORD));
    assert_eq!(passed.upstream_header("x-secret"), None);

    let held = worker.request(Request::new("POST", "/").chunk("one").chunk("two").chunk("three"));
    assert!(held.admitted());
    assert_eq!(held.upstream_header("x-body-length").as_deref(), Some("11"));

    worker.tick().unwrap();
    let calls = worker.http_calls();
    let [call] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!(call.upstream, "upstream");
    worker.answer_http_call(call.token, Response::new(200).body("yes")).unwrap();
    assert_eq!(host.shared_data("told").as_deref(), Some(b"1 headers, yes".as_slice()));
    worker.tick().unwrap();
    let token = worker.http_calls()[0].token;
    worker.fail_http_call(token).unwrap();
    assert_eq!(host.shared_data("told").as_deref(), Some(b"0 headers, ".as_slice()));
}

#[test]
fn the_harness_refuses_what_an_sdk_plugin_refuses() {
    assert!(Host::new(&plugin(), HostProfile::envoy()).configuration("").start().is_err());
}

#[test]
fn real_envoy_gives_an_sdk_plugin_the_same() {
    let workspace = Workspace::find().unwrap();
    let [listen, admin, echo] = net::free().unwrap();
    let upstream = Upstream::start(echo, Answer::Echo).unwrap();
    let config = EnvoyConfig::shipped(&workspace)
        .and_then(|shipped| shipped.with_plugin(&given("PORTCULLIS_REFERENCE_WASM")))
        .and_then(EnvoyConfig::without_capability_limits)
        .and_then(|shipped| shipped.with_gate(WORD))
        .unwrap();
    let addresses = Addresses { listen, admin, upstream: upstream.address };
    let envoy =
        Envoy::start(&workspace, &given("PORTCULLIS_ENVOY"), "reference", config, &addresses, 1).unwrap();

    let answered = http::Request::new("GET", "/word").send(envoy.listen).unwrap();
    assert_eq!((answered.status, answered.body.as_slice()), (418, WORD.as_bytes()));
    assert_eq!(answered.header("x-word"), Some(WORD));

    let mut request = http::Request::new("POST", "/");
    request.headers.push(("x-secret".to_owned(), "s".to_owned()));
    request.body = b"onetwothree".to_vec();
    let held = request.send(envoy.listen).unwrap();
    let seen: Value = serde_json::from_slice(&held.body).unwrap();
    let header = |name: &str| {
        let headers = seen["headers"].as_array().unwrap();
        headers.iter().find(|pair| pair[0] == name).map(|pair| pair[1].clone())
    };
    assert_eq!(header("x-word"), Some(WORD.into()));
    assert_eq!(header("x-secret"), None);
    assert_eq!(header("x-body-length"), Some("11".into()));

    // Its calls, ten times a second, reach the upstream.
    let (before, began) = (upstream.served(), Instant::now());
    while upstream.served() == before {
        assert!(began.elapsed() < Duration::from_secs(10), "no call came; {}", envoy.log_tail());
        std::thread::sleep(Duration::from_millis(20));
    }
}
