//! Each form below `envoy/` in real Envoy, as it stands there but for addresses, ports and
//! paths. The forms for Kubernetes run as what Istio and Envoy Gateway make of them for Envoy.

use crate::form_stand::{DEMO_KEY, FormStand, Places, Served, given, issuer, signed};
use crate::kubernetes::{
    filter_name, filter_of, filter_of_extension_policy, filter_of_wasm_plugin, object, patched,
};
use portcullis_core::base64;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs::{read, read_to_string, rename, write};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use xtask::envoy_config::EnvoyConfig;
use xtask::http::Request;
use xtask::live_gate::KEY_VARIABLE;
use xtask::workspace::Workspace;

/// What stands in `envoy/remote.yaml` until somebody changes it.
const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

#[test]
fn the_gate_whose_plugin_lies_beside_envoy_admits_and_refuses() {
    let shipped = EnvoyConfig::shipped(&Workspace::find().unwrap()).unwrap();
    let config = shipped.with_plugin(&given("PORTCULLIS_WASM")).unwrap();
    Places::choose().start("form-beside", config).unwrap().gates();
}

#[test]
fn the_gate_whose_plugin_comes_by_http_admits_and_refuses() {
    let plugin = read(given("PORTCULLIS_WASM")).unwrap();
    let hash: String = Sha256::digest(&plugin).iter().map(|byte| format!("{byte:02x}")).collect();
    let source = Served::new(plugin);
    let workspace = Workspace::find().unwrap();
    let config = EnvoyConfig::form(&workspace, "remote.yaml", &[(NO_HASH, &hash)]).unwrap();
    let config = config.with_cluster_at("plugin_source", source.address).unwrap();
    Places::choose().start("form-remote", config).unwrap().gates();
}

/// `envoy/ecds/gate.yaml` for an Envoy that listens there.
fn gate_file(listen: &str) -> String {
    let path = Workspace::find().unwrap().root.join("envoy/ecds/gate.yaml");
    let text = read_to_string(path).unwrap();
    let wasm = given("PORTCULLIS_WASM");
    text.replace("target/portcullis.wasm", wasm.to_str().unwrap()).replace("127.0.0.1:10000", listen)
}

/// The same with another action for `/flights`, which nobody is granted, as its next version.
fn next(gate: &str) -> String {
    let changed = gate.replace("\"action\": \"flights:search\"", "\"action\": \"flights:audit\"");
    assert_ne!(changed, gate);
    changed.replace("version_info: \"1\"", "version_info: \"2\"")
}

/// Waits until `/flights` is refused to those that could have it before.
fn is_narrowed(stand: &FormStand) {
    let narrowed = || {
        let mut request = signed(&stand.envoy.listen.to_string(), b"", b"");
        request.method = "GET".into();
        request.headers.retain(|(name, _)| name == "agent-passport");
        std::str::from_utf8(&stand.send(&request).body).unwrap().contains("permission_denied")
    };
    let began = Instant::now();
    while !narrowed() {
        assert!(began.elapsed() < Duration::from_secs(60), "{}", stand.envoy.log_tail());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_gate_from_a_file_of_its_own_admits_and_refuses_and_follows_the_file() {
    let folder = TempDir::new().unwrap();
    let places = Places::choose();
    let gate = gate_file(&places.listen()).replace(DEMO_KEY, &base64::encode(&issuer().public_key()));
    write(folder.path().join("gate.yaml"), &gate).unwrap();
    let workspace = Workspace::find().unwrap();
    let changes = [("envoy/ecds", folder.path().to_str().unwrap())];
    let config = EnvoyConfig::form(&workspace, "ecds/from-file.yaml", &changes[..]).unwrap();
    let stand = places.start("form-from-file", config).unwrap();
    stand.gates();
    write(folder.path().join("next.yaml"), next(&gate)).unwrap();
    rename(folder.path().join("next.yaml"), folder.path().join("gate.yaml")).unwrap();
    is_narrowed(&stand);
}

/// The file as a server answers it.
fn as_json(gate: &str) -> Vec<u8> {
    let gate: Value = serde_saphyr::from_str(gate).unwrap();
    gate.to_string().into_bytes()
}

#[test]
fn the_gate_from_a_server_admits_and_refuses_and_follows_the_server() {
    let places = Places::choose();
    let gate = gate_file(&places.listen()).replace(DEMO_KEY, &base64::encode(&issuer().public_key()));
    let server = Served::new(as_json(&gate));
    let config = EnvoyConfig::form(&Workspace::find().unwrap(), "ecds/from-server.yaml", &[]).unwrap();
    let config = config.with_cluster_at("discovery", server.address).unwrap();
    let stand = places.start("form-from-server", config).unwrap();
    stand.gates();
    assert!(server.asked() > 0);
    // What cannot be used leaves what is there.
    server.change(b"{}".to_vec());
    let asked = server.asked();
    while server.asked() < asked + 2 {
        std::thread::sleep(Duration::from_millis(20));
    }
    stand.gates();
    server.change(as_json(&next(&gate)));
    is_narrowed(&stand);
}

/// Envoy with a filter that Istio or Envoy Gateway would give it.
fn with_filter(name: &str, mut filter: Value) -> FormStand {
    let places = Places::choose();
    let gate = filter.pointer_mut("/config/configuration/value").unwrap();
    let text = gate.as_str().unwrap().replace(DEMO_KEY, &base64::encode(&issuer().public_key()));
    let mut changed: Value = serde_json::from_str(&text).unwrap();
    changed["authorities"] = json!([places.listen()]);
    // Something to send bodies to.
    let routes = changed["routes"].as_array_mut().unwrap();
    routes.iter_mut().find(|route| route["path"] == "/flights").unwrap()["methods"] = json!(["GET", "POST"]);
    *gate = json!(changed.to_string());
    places.start(name, envoy_with(filter)).unwrap()
}

/// `envoy/envoy.yaml` with this filter in the gate's place.
fn envoy_with(mut filter: Value) -> EnvoyConfig {
    let code = filter.pointer_mut("/config/vm_config/code").unwrap();
    // As Istio's agent and Envoy Gateway's own server bring it.
    *code = json!({ "local": { "filename": given("PORTCULLIS_WASM").to_str().unwrap() } });
    let config = EnvoyConfig::shipped(&Workspace::find().unwrap()).unwrap();
    config.with_filter(json!({ "name": "portcullis", "typed_config": filter })).unwrap()
}

/// A request of this agent without a proof and without a body.
fn unsigned(stand: &FormStand) -> Request {
    let mut request = signed(&stand.envoy.listen.to_string(), b"", b"");
    request.method = "GET".into();
    request.headers.retain(|(name, _)| name == "agent-passport");
    request
}

#[test]
fn what_envoyfilter_and_patch_make_holds_bodies_until_they_are_judged() {
    let policy = object("envoy-gateway/gate.yaml", "EnvoyExtensionPolicy");
    let patches = object("envoy-gateway/patch.yaml", "EnvoyPatchPolicy");
    for (name, filter) in [
        ("form-envoyfilter", filter_of(&object("istio/envoyfilter.yaml", "EnvoyFilter"))),
        ("form-patched", patched(filter_of_extension_policy(&policy), &patches, &filter_name(&policy))),
    ] {
        let stand = with_filter(name, filter);
        let authority = stand.envoy.listen.to_string();
        assert_eq!(stand.send(&unsigned(&stand)).status, 200, "{name}");
        assert_eq!(stand.get("/flights", &[]), 401, "{name}");
        assert_eq!(stand.send(&signed(&authority, b"seat", b"seat")).status, 200, "{name}");
        let served = stand.upstream.served();
        assert_eq!(stand.send(&signed(&authority, b"seat", b"sofa")).status, 401, "{name}");
        assert_eq!(stand.upstream.served(), served, "{name}");
    }
}

#[test]
fn without_them_what_is_decided_at_the_headers_is_and_a_signed_body_reaches_nobody() {
    for (name, filter) in [
        ("form-wasmplugin", filter_of_wasm_plugin(&object("istio/gateway.yaml", "WasmPlugin"))),
        ("form-sidecar", filter_of_wasm_plugin(&object("istio/sidecar.yaml", "WasmPlugin"))),
        (
            "form-policy",
            filter_of_extension_policy(&object("envoy-gateway/gate.yaml", "EnvoyExtensionPolicy")),
        ),
    ] {
        let stand = with_filter(name, filter);
        let authority = stand.envoy.listen.to_string();
        assert_eq!(stand.send(&unsigned(&stand)).status, 200, "{name}");
        assert_eq!(stand.get("/flights", &[]), 401, "{name}");
        let served = stand.upstream.served();
        for sent in [b"seat", b"sofa"] {
            let waited = signed(&authority, b"seat", sent).send_within(stand.envoy.listen, PATIENCE);
            assert!(waited.is_err(), "{name}: {waited:?}");
        }
        assert_eq!(stand.upstream.served(), served, "{name}");
        stand.logs("without allow_on_headers_stop_iteration");
    }
}

#[test]
fn what_control_yaml_makes_calls_the_service_by_istios_name_for_it_and_is_closed_until_it_answers() {
    let plugin = object("istio/control.yaml", "WasmPlugin");
    let cluster = plugin["spec"]["pluginConfig"]["service"]["cluster"].as_str().unwrap();
    // One that says nothing that a gate believes.
    let service = Served::new(b"{}".to_vec());
    let config = envoy_with(filter_of_wasm_plugin(&plugin)).with_cluster(cluster, service.address).unwrap();
    let key = base64::encode(&[3; 32]);
    let environment = [(KEY_VARIABLE, key.as_str())];
    let stand = Places::choose().start_with("form-control", config, 1, &environment).unwrap();
    stand.logs("trust material is not renewed: ");
    assert!(service.asked() > 0);
    assert!(!stand.log().contains("has no cluster"), "{}", stand.log());
    stand.is_closed(503);
}

/// How long a client waits for what never comes: a hundred times what an answer takes.
const PATIENCE: Duration = Duration::from_secs(1);
