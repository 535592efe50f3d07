//! A plugin by the official SDK (`plugin/examples/reference.rs`) on the harness and in real
//! Envoy: what the SDK expects of a host is what both do, and our edge is the SDK's.

use portcullis_harness::{Host, HostProfile, Plugin, Request, Response, Vm};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use wasmparser::{ExternalKind, FuncType, Parser, Payload, TypeRef};
use xtask::echo::{self, Upstream};
use xtask::envoy::Envoy;
use xtask::envoy_config::{Addresses, EnvoyConfig};
use xtask::workspace::Workspace;
use xtask::{http, net};

static REFERENCE: LazyLock<Plugin> =
    LazyLock::new(|| Plugin::from_file(given("PORTCULLIS_SDK_WASM")).expect("the reference compiles"));

/// What `cargo xtask test` provides.
fn given(variable: &str) -> PathBuf {
    let value = std::env::var_os(variable);
    PathBuf::from(value.unwrap_or_else(|| panic!("{variable} is not set: run `cargo xtask test`")))
}

/// Path, chunks of the body, and what must become of it.
const CASES: [(&str, &[&str], Expected); 5] = [
    ("/", &[], Expected::Passed { body: "", size: None }),
    ("/refused", &[], Expected::Answered(403, "refused by its path")),
    ("/", &["wind", "ow", " seat"], Expected::Passed { body: "window seat", size: Some("11") }),
    ("/", &["ref", "use", " me"], Expected::Answered(422, "refused by its 9 bytes")),
    ("/stale", &[], Expected::Answered(409, "Err(CasMismatch)")),
];

#[derive(Debug, PartialEq)]
enum Expected {
    /// It arrived, with a header set and one removed, and its body's size where it had one.
    Passed { body: &'static str, size: Option<&'static str> },
    /// The plugin answered it, with a header of its own.
    Answered(u16, &'static str),
}

fn on_harness(profile: HostProfile, cluster: &str) -> (Host, Vm) {
    let host = Host::new(&REFERENCE, profile).configuration(cluster).clusters(&["upstream"]);
    let vm = host.start().unwrap();
    (host, vm)
}

fn ask(vm: &mut Vm, path: &str) -> String {
    let outcome = vm.request(Request::get(path));
    assert!(outcome.trap.is_none(), "{:?}", outcome.trap);
    outcome.reply_text().into_owned()
}

#[test]
fn on_the_harness_the_sdks_plugin_reads_holds_answers_and_changes_requests() {
    let (host, mut vm) = on_harness(HostProfile::envoy(), "");
    for (path, chunks, expected) in CASES {
        let mut request =
            if chunks.is_empty() { Request::get(path) } else { Request::post(path, "").chunked() };
        request = request.header("x-removed", "1");
        for chunk in chunks {
            request = request.chunk(*chunk);
        }
        let outcome = vm.request(request);
        assert!(outcome.trap.is_none(), "{path}: {:?}", outcome.trap);
        match expected {
            Expected::Passed { body, size } => {
                let arrived = outcome.upstream.as_ref().expect("it arrived");
                assert!(arrived.complete);
                assert_eq!(arrived.body, body.as_bytes());
                assert_eq!(outcome.upstream_header("x-set").as_deref(), Some("by the reference"));
                assert_eq!(outcome.upstream_header("x-removed"), None);
                assert_eq!(outcome.upstream_header("x-body-size").as_deref(), size);
            }
            Expected::Answered(status, body) => {
                assert!(outcome.upstream.is_none(), "{path} arrived");
                assert_eq!((outcome.status(), &*outcome.reply_text()), (status, body));
                assert_eq!(outcome.reply_header("x-reference").as_deref(), Some("answered"));
            }
        }
    }
    assert_eq!(host.metric("reference.requests"), Some(5));
}

#[test]
fn on_the_harness_a_late_cas_writes_nothing_by_the_rules_of_both_hosts() {
    assert_ne!(HostProfile::envoy().cas_rules, HostProfile::nginx().cas_rules);
    for profile in [HostProfile::envoy(), HostProfile::nginx()] {
        let (host, mut vm) = on_harness(profile, "");
        assert_eq!(ask(&mut vm, "/stale"), "Err(CasMismatch)");
        let counted = host.shared_data("reference.counted");
        assert_eq!(counted, Some(2_u32.to_le_bytes().to_vec()), "the late write was taken");
    }
}

#[test]
fn on_the_harness_the_sdks_plugin_gets_the_answer_to_its_call_and_hears_of_a_failure() {
    let (_host, mut vm) = on_harness(HostProfile::envoy(), "upstream");
    assert_eq!(vm.tick_period(), Some(Duration::from_millis(100)));
    vm.tick().unwrap();
    let [call] = vm.http_calls().try_into().expect("one call");
    assert_eq!((call.upstream.as_str(), call.timeout), ("upstream", Duration::from_secs(1)));
    assert_eq!(call.headers.get(":path").as_deref(), Some("/called"));
    vm.answer_http_call(call.token, Response::new(207).body("some text")).unwrap();
    assert_eq!(ask(&mut vm, "/called"), "207 some text");

    vm.tick().unwrap();
    let [call] = vm.http_calls().try_into().expect("one call");
    vm.fail_http_call(call.token).unwrap();
    assert_eq!(ask(&mut vm, "/called"), "failed");
}

#[test]
fn in_envoy_the_sdks_plugin_does_what_it_does_on_the_harness() {
    let workspace = Workspace::find().unwrap();
    let [listen, admin, echo] = net::free().unwrap();
    let upstream = Upstream::start(echo, echo::Answer::Echo).unwrap();
    let config = EnvoyConfig::shipped(&workspace)
        .and_then(|config| config.with_plugin(&given("PORTCULLIS_SDK_WASM")))
        .and_then(|config| config.with_gate("upstream"))
        // It calls what the gate does not.
        .and_then(EnvoyConfig::without_capability_limits)
        .unwrap();
    let addresses = Addresses { listen, admin, upstream: upstream.address };
    let program = given("PORTCULLIS_ENVOY");
    let envoy = Envoy::start(&workspace, &program, "sdk-plugin", config, &addresses, 1).unwrap();
    for (path, chunks, expected) in CASES {
        let method = if chunks.is_empty() { "GET" } else { "POST" };
        let mut text =
            format!("{method} {path} HTTP/1.1\r\nhost: {listen}\r\nconnection: close\r\nx-removed: 1\r\n");
        if chunks.is_empty() {
            text.push_str("\r\n");
        } else {
            text.push_str("transfer-encoding: chunked\r\n\r\n");
            for chunk in chunks {
                text.push_str(&format!("{:x}\r\n{chunk}\r\n", chunk.len()));
            }
            text.push_str("0\r\n\r\n");
        }
        let response = http::exchange(envoy.listen, text.as_bytes()).unwrap();
        let told = String::from_utf8_lossy(&response.body).into_owned();
        match expected {
            Expected::Passed { body, size } => {
                let seen: serde_json::Value = serde_json::from_str(&told).unwrap();
                let headers: BTreeMap<String, String> =
                    serde_json::from_value::<Vec<_>>(seen["headers"].clone()).unwrap().into_iter().collect();
                assert_eq!(seen["body"]["text"], body);
                assert_eq!(headers.get("x-set").map(String::as_str), Some("by the reference"));
                assert_eq!(headers.get("x-removed"), None);
                assert_eq!(headers.get("x-body-size").map(String::as_str), size);
            }
            Expected::Answered(status, body) => {
                assert_eq!((response.status, told.as_str()), (status, body));
                let own = response.headers.iter().find(|(name, _)| name == "x-reference");
                assert_eq!(own.map(|(_, value)| value.as_str()), Some("answered"));
            }
        }
    }
    // Called with each tick, and answered by the upstream.
    let began = Instant::now();
    loop {
        let request = format!("GET /called HTTP/1.1\r\nhost: {listen}\r\nconnection: close\r\n\r\n");
        let response = http::exchange(envoy.listen, request.as_bytes()).unwrap();
        let told = String::from_utf8_lossy(&response.body).into_owned();
        if told.starts_with("200 {") && told.contains("\"path\": \"/called\"") {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "no answer to a call: {told}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The exported functions and their types.
fn exports(wasm: &std::path::Path) -> BTreeMap<String, FuncType> {
    let bytes = std::fs::read(wasm).unwrap();
    let (mut types, mut functions, mut exports) = (Vec::new(), Vec::new(), BTreeMap::new());
    for payload in Parser::new(0).parse_all(&bytes) {
        match payload.unwrap() {
            Payload::TypeSection(section) => {
                types.extend(section.into_iter_err_on_gc_types().map(Result::unwrap));
            }
            Payload::ImportSection(section) => {
                functions.extend(section.into_imports().filter_map(|import| match import.unwrap().ty {
                    TypeRef::Func(kind) => Some(kind),
                    _ => None,
                }));
            }
            Payload::FunctionSection(section) => functions.extend(section.into_iter().map(Result::unwrap)),
            Payload::ExportSection(section) => {
                for export in section.into_iter().map(Result::unwrap) {
                    if export.kind == ExternalKind::Func {
                        let kind = functions[export.index as usize] as usize;
                        exports.insert(export.name.to_owned(), types[kind].clone());
                    }
                }
            }
            _ => {}
        }
    }
    exports
}

#[test]
fn every_export_of_the_gate_has_the_name_and_the_type_that_the_sdk_gives_it() {
    let ours = exports(&given("PORTCULLIS_WASM"));
    let theirs = exports(&given("PORTCULLIS_SDK_WASM"));
    for (name, kind) in &ours {
        let theirs = theirs.get(name);
        assert_eq!(theirs, Some(kind), "{name}");
    }
    for served in ["proxy_on_context_create", "proxy_on_request_headers", "proxy_on_delete"] {
        assert!(ours.contains_key(served), "{served} is not exported");
    }
}
