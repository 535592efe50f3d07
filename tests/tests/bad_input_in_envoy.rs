//! What goes wrong around the gate in real Envoy: one line says what it is, and no request is
//! answered by the upstream unchecked.

use crate::form_stand::{DEMO_KEY, FormStand, Places, Served, given, issuer, signed};
use portcullis_core::base64;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use tempfile::TempDir;
use xtask::envoy_config::EnvoyConfig;
use xtask::http::{Request, exchange};
use xtask::workspace::Workspace;

/// `envoy/envoy.yaml` with a plugin that is there.
fn shipped() -> EnvoyConfig {
    let shipped = EnvoyConfig::shipped(&Workspace::find().unwrap()).unwrap();
    shipped.with_plugin(&given("PORTCULLIS_WASM")).unwrap()
}

/// What Envoy says that does not start.
fn refused(name: &str, config: EnvoyConfig, environment: &[(&str, &str)]) -> String {
    match Places::choose().start_with(name, config, 1, environment) {
        Ok(_) => panic!("{name} starts"),
        Err(error) => format!("{error:#}"),
    }
}

/// How many lines of a text have this in them.
fn lines_with(text: &str, part: &str) -> usize {
    text.lines().filter(|line| line.contains(part)).count()
}

#[test]
fn a_configuration_of_another_version_keeps_envoy_from_starting_and_one_line_names_the_member() {
    // Of a newer version, and of an older one that had what is gone.
    for member in ["hints", "trusted_issuers"] {
        let gate = shipped().gate().unwrap().to_text();
        let mut gate: Value = serde_json::from_str(&gate).unwrap();
        gate[member] = json!({});
        let told = refused("bad-version", shipped().with_gate(&gate.to_string()).unwrap(), &[]);
        assert_eq!(lines_with(&told, &format!("the gate does not start: {member}: is unknown")), 1, "{told}");
    }
}

/// The plugin's first half.
fn truncated(folder: &TempDir) -> std::path::PathBuf {
    let whole = std::fs::read(given("PORTCULLIS_WASM")).unwrap();
    let path = folder.path().join("truncated.wasm");
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    path
}

#[test]
fn a_truncated_plugin_or_none_keeps_envoy_from_starting() {
    let folder = TempDir::new().unwrap();
    let told = refused("bad-truncated", shipped().with_plugin(&truncated(&folder)).unwrap(), &[]);
    assert_eq!(lines_with(&told, "Failed to load Wasm code"), 1, "{told}");
    let told = refused("bad-absent", shipped().with_plugin(Path::new("/nowhere.wasm")).unwrap(), &[]);
    assert!(told.contains("Invalid path: /nowhere.wasm"), "{told}");
}

/// `envoy/remote.yaml`, for a plugin of this hash from this source, asked for twice.
fn remote(sha256: &str) -> EnvoyConfig {
    const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";
    let changes = [(NO_HASH, sha256), ("num_retries: 20", "num_retries: 1")];
    EnvoyConfig::form(&Workspace::find().unwrap(), "remote.yaml", &changes).unwrap()
}

#[test]
fn a_plugin_that_cannot_be_fetched_or_is_another_answers_503_and_a_line_says_so() {
    let plugin = std::fs::read(given("PORTCULLIS_WASM")).unwrap();
    let source = Served::new(plugin);
    let wrong = "1".repeat(64);
    // What Envoy says of each only when it is asked to (`--component-log-level config:debug`).
    for (name, config) in [
        ("bad-sha256", remote(&wrong).with_cluster_at("plugin_source", source.address).unwrap()),
        (
            "bad-source",
            remote(&wrong).with_setting("/vm_config/code/remote/http_uri/cluster", json!("nobody")).unwrap(),
        ),
    ] {
        let stand = Places::choose().start(name, config).unwrap();
        stand.is_closed(503);
        stand.logs("Retry limit exceeded for fetching data from remote data source");
        stand.logs("Plugin portcullis failed to load");
    }
    assert!(source.asked() > 0);
}

#[test]
fn a_truncated_plugin_from_a_source_answers_503_although_its_hash_is_right() {
    use sha2::{Digest, Sha256};
    let folder = TempDir::new().unwrap();
    let half = std::fs::read(truncated(&folder)).unwrap();
    let hash: String = Sha256::digest(&half).iter().map(|byte| format!("{byte:02x}")).collect();
    let source = Served::new(half);
    let config = remote(&hash).with_cluster_at("plugin_source", source.address).unwrap();
    let stand = Places::choose().start("bad-half", config).unwrap();
    stand.is_closed(503);
    stand.logs("Failed to parse corrupted Wasm module");
}

/// A gate that takes its trust material from a service by this cluster.
fn live(cluster: &str) -> String {
    json!({
        "gate": {"id": "gate_live"},
        "service": {
            "cluster": cluster, "authority": "control.example:8700",
            "keys": [{"key_id": "trust-1", "public_key": DEMO_KEY}],
        },
    })
    .to_string()
}

fn key() -> String {
    base64::encode(&[3; 32])
}

#[test]
fn a_control_cluster_that_is_not_there_is_named_and_all_is_refused() {
    // Istio's way of naming clusters.
    let cluster = "outbound|8700||control.example";
    let config = shipped().with_gate(&live(cluster)).unwrap();
    let environment = [("PORTCULLIS_GATE_KEY", &*key())];
    let stand = Places::choose().start_with("bad-cluster", config, 2, &environment).unwrap();
    stand.is_closed(503);
    let line = format!("trust material is not renewed: call_failed: the proxy has no cluster {cluster}");
    stand.logs(&line);
    // One worker asks for all, and says it once.
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(lines_with(&stand.log(), &line), 1, "{}", stand.log());
}

#[test]
fn a_control_cluster_by_istios_name_is_called() {
    let cluster = "outbound|8700||control.example";
    let service = Served::new(b"{}".to_vec());
    let config = shipped().with_gate(&live(cluster)).unwrap().with_cluster(cluster, service.address).unwrap();
    let environment = [("PORTCULLIS_GATE_KEY", &*key())];
    let stand = Places::choose().start_with("istio-cluster", config, 1, &environment).unwrap();
    stand.logs("trust material is not renewed: ");
    assert!(service.asked() > 0);
    assert!(!stand.log().contains("has no cluster"), "{}", stand.log());
    stand.is_closed(503);
}

#[test]
fn a_live_gate_without_its_key_does_not_start_and_says_where_it_belongs() {
    let told = refused("bad-key", shipped().with_gate(&live("portcullis_control")).unwrap(), &[]);
    assert_eq!(
        lines_with(&told, "its environment has no PORTCULLIS_GATE_KEY; see host_env_keys"),
        1,
        "{told}"
    );
}

/// What becomes of Envoy without one of the capabilities.
enum Without {
    /// It does not start, and says this.
    Start(&'static str),
    /// Every request is refused, with this in the log.
    Any(&'static str),
    /// What the gate would admit is refused, with this in the log; so is the rest.
    Admission(&'static str),
    /// Refusals have no answer, and do not arrive; this is in the log.
    Answers(&'static str),
    /// Requests reach the upstream past the gate. What the upstream answers is kept back, and
    /// this is in the log.
    Check(&'static str),
    /// What is decided is the same.
    Nothing,
}

/// One line for each capability: a gate with static trust material.
const TABLE: [(&str, Without); 31] = {
    use Without::*;
    [
        ("proxy_on_configure", Any("proxy_on_configure gave no usable configuration")),
        ("proxy_on_context_create", Start("the gate does not start: proxy_on_context_create was left out")),
        ("proxy_on_delete", Nothing),
        ("proxy_on_http_call_response", Nothing),
        ("proxy_on_request_body", Check("proxy_on_request_body was left out, and the upstream was asked")),
        (
            "proxy_on_request_headers",
            Check("proxy_on_request_headers was left out, and the upstream was asked"),
        ),
        (
            "proxy_on_request_trailers",
            Check("proxy_on_request_trailers was left out, and the upstream was asked"),
        ),
        ("proxy_on_response_headers", Nothing),
        ("proxy_on_tick", Nothing),
        ("proxy_add_header_map_value", Nothing),
        ("proxy_continue_stream", Nothing),
        ("proxy_define_metric", Nothing),
        ("proxy_get_buffer_bytes", Start("it its configuration: proxy_get_buffer_bytes answered status 10")),
        (
            "proxy_get_current_time_nanoseconds",
            Start("it a clock: proxy_get_current_time_nanoseconds answered"),
        ),
        ("proxy_get_header_map_pairs", Any("host_fault: proxy_get_header_map_pairs answered status 10")),
        ("proxy_get_property", Nothing),
        ("proxy_get_shared_data", Start("it data shared between workers: proxy_get_shared_data answered")),
        ("proxy_http_call", Nothing),
        ("proxy_increment_metric", Nothing),
        ("proxy_log", Nothing),
        ("proxy_record_metric", Nothing),
        ("proxy_remove_header_map_value", Admission("proxy_remove_header_map_value answered status 10")),
        ("proxy_replace_header_map_value", Admission("proxy_replace_header_map_value answered status 10")),
        (
            "proxy_send_local_response",
            Answers("a refused request stays unanswered: proxy_send_local_response"),
        ),
        ("proxy_set_effective_context", Nothing),
        ("proxy_set_property", Nothing),
        ("proxy_set_shared_data", Start("it data shared between workers: proxy_set_shared_data answered")),
        ("proxy_set_tick_period_milliseconds", Nothing),
        ("environ_get", Nothing),
        ("environ_sizes_get", Start("it environment variables: environ_sizes_get answered")),
        ("random_get", Start("it randomness: random_get answered")),
    ]
};

#[test]
fn without_any_one_capability_no_answer_comes_from_an_upstream_unchecked() {
    let shipped = shipped().with_trailers().unwrap();
    let listed: BTreeSet<_> = shipped.capabilities().unwrap().into_iter().collect();
    assert_eq!(listed, TABLE.iter().map(|(name, _)| *name).collect(), "the table is not whole");
    // Those that change nothing are left out all together: each start of Envoy compiles the plugin.
    let (needless, needed): (Vec<_>, Vec<_>) =
        TABLE.iter().partition(|(_, without)| matches!(without, Without::Nothing));
    let needless: Vec<_> = needless.iter().map(|(name, _)| *name).collect();
    let cases = needed.iter().map(|(name, without)| (vec![*name], without));
    for (names, without) in cases.chain([(needless, &Without::Nothing)]) {
        let name = &names.join(", ");
        let places = Places::choose();
        let gate = json!({
            "gate": {"id": "gate_capable"}, "profile": "L1", "authorities": [places.listen()],
            "routes": [
                {"path": "/health", "methods": ["GET"], "public": true},
                {"path": "/flights", "methods": ["GET", "POST"], "action": "flights:search"},
            ],
            "trust": {
                "issuers": [{
                    "id": "issuer:acme-demo", "type": "platform", "tier": 2, "actions": ["flights:search"],
                    "keys": [{"key_id": "ik_1", "public_key": base64::encode(&issuer().public_key())}],
                }],
            },
        });
        let config = shipped.clone().with_gate(&gate.to_string()).unwrap();
        let config = names.iter().fold(config, |config, name| config.without_capability(name).unwrap());
        if let Without::Start(line) = without {
            let told = refused("bad-capability", config, &[]);
            assert_eq!(lines_with(&told, line), 1, "{name}: {told}");
            continue;
        }
        let stand = places.start("bad-capability", config).unwrap();
        holds(name, without, &stand);
    }
}

#[test]
fn without_what_live_trust_material_needs_all_is_refused() {
    let environment = [("PORTCULLIS_GATE_KEY", &*key())];
    let live = shipped().with_gate(&live("portcullis_control")).unwrap();
    for (name, line) in [
        ("proxy_set_tick_period_milliseconds", "proxy_set_tick_period_milliseconds answered status 10"),
        ("environ_get", "environ_get answered status 76"),
    ] {
        let told = refused("bad-live", live.clone().without_capability(name).unwrap(), &environment);
        let line = format!("it what live trust material needs: {line}");
        assert_eq!(lines_with(&told, &line), 1, "{name}: {told}");
    }
    for (name, line) in [
        ("proxy_http_call", "call_failed: proxy_http_call answered status 10"),
        ("proxy_on_tick", "block trust_material_missing"),
        ("proxy_on_http_call_response", "block trust_material_missing"),
    ] {
        let config = live.clone().without_capability(name).unwrap();
        let stand = Places::choose().start_with("bad-live", config, 1, &environment).unwrap();
        stand.is_closed(503);
        stand.logs(line);
    }
}

/// That nothing comes of what is not to be admitted, and the line is in the log.
fn holds(name: &str, without: &Without, stand: &FormStand) {
    let authority = stand.envoy.listen.to_string();
    let forged = [
        Request::new("GET", "/flights"),
        signed(&authority, b"seat", b"sofa"),
        with_trailers(signed(&authority, b"seat", b"sofa")),
    ];
    let (mut arrived, mut unanswered) = (false, 0);
    for request in &forged {
        let served = stand.upstream.served();
        match exchange(stand.envoy.listen, &bytes(request, &authority)) {
            Ok(answer) => {
                assert!((400..600).contains(&answer.status), "{name}: {} {request:?}", answer.status);
                let body = String::from_utf8_lossy(&answer.body).into_owned();
                assert!(!body.contains("\"headers\""), "{name}: the upstream's answer came: {body}");
            }
            Err(_) => unanswered += 1,
        }
        arrived |= stand.upstream.served() > served;
    }
    let good = signed(&authority, b"seat", b"seat");
    let answer = exchange(stand.envoy.listen, &bytes(&good, &authority));
    let admitted = answer.is_ok_and(|answer| answer.status == 200);
    let (line, passes, past, without_answer) = match without {
        Without::Any(line) | Without::Admission(line) => (*line, false, false, 0),
        Without::Answers(line) => (*line, true, false, forged.len()),
        // What has no trailers is still judged where they alone are left out.
        Without::Check(line) => (*line, name.ends_with("trailers"), true, 0),
        Without::Nothing => ("", true, false, 0),
        Without::Start(_) => unreachable!("it does not start"),
    };
    assert_eq!(admitted, passes, "{name}: {}", stand.envoy.log_tail());
    assert_eq!(arrived, past, "{name}: {}", stand.envoy.log_tail());
    assert_eq!(unanswered, without_answer, "{name}");
    stand.logs(line);
}

/// Marks a request to be sent in a chunk, with a trailer behind it.
fn with_trailers(mut request: Request) -> Request {
    request.headers.push(("transfer-encoding".into(), "chunked".into()));
    request
}

fn bytes(request: &Request, authority: &str) -> Vec<u8> {
    if !request.headers.iter().any(|(name, _)| name == "transfer-encoding") {
        return request.to_bytes(authority, true);
    }
    let head = Request { body: Vec::new(), ..request.clone() };
    let mut bytes = head.to_bytes(authority, true);
    bytes.extend(format!("{:x}\r\n", request.body.len()).into_bytes());
    bytes.extend(&request.body);
    bytes.extend(b"\r\n0\r\nx-behind: 1\r\n\r\n");
    bytes
}
