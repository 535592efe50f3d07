//! The forms for Istio and Envoy Gateway hold to those projects' own schemas, and the gate
//! starts with what stands in them.

use crate::form_stand::given;
use crate::kubernetes;
use crate::kubernetes::{
    FORMS, Schemas, added_clusters, faults_of_place, faults_of_targets, filter_name, filter_of, gate_text,
    object, objects,
};
use portcullis_core::base64;
use portcullis_harness::{Host, HostProfile, Plugin};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::{Command, Output};
use std::sync::LazyLock;
use xtask::live_gate::KEY_VARIABLE;
use xtask::workspace::Workspace;

static PLUGIN: LazyLock<Plugin> = LazyLock::new(|| {
    let path =
        std::env::var_os("PORTCULLIS_WASM").expect("PORTCULLIS_WASM is not set: run `cargo xtask test`");
    Plugin::from_file(path).expect("the plugin compiles")
});

#[test]
fn every_form_is_what_the_projects_own_schemas_allow() {
    let schemas = Schemas::load();
    for form in FORMS {
        for object in objects(form) {
            assert_eq!(schemas.faults(&object), [""; 0], "{form}, {}", object["kind"]);
        }
    }
}

#[test]
fn a_form_with_anything_wrong_in_it_is_refused() {
    let schemas = Schemas::load();
    for form in FORMS {
        for whole in objects(form) {
            let kind = whole["kind"].as_str().unwrap().to_owned();
            let mut tried = 0;
            for (path, broken) in broken(&whole) {
                assert!(!schemas.faults(&broken).is_empty(), "{form}, {kind}: {path} is not noticed");
                tried += 1;
            }
            assert!(tried > 8, "{form}, {kind}: {tried} ways to break it");
        }
    }
}

/// An object with one thing wrong in it, for each of its places.
fn broken(whole: &Value) -> Vec<(String, Value)> {
    let mut made = Vec::new();
    for path in places(whole, "") {
        // These members are Kubernetes', Envoy's and the gate's, and the last two have tests of
        // their own.
        let is_foreign = ["/pluginConfig", "/value", "/config", "/metadata"]
            .iter()
            .any(|part| path.contains(&format!("{part}/")) || path.ends_with(part));
        if is_foreign {
            continue;
        }
        let mut other = whole.clone();
        let place = other.pointer_mut(&path).unwrap();
        match place {
            Value::Object(members) => {
                // Labels are any names.
                if !path.ends_with("abels") {
                    members.insert("unheardOf".into(), json!("x"));
                    made.push((format!("an unknown member at {path}"), other.clone()));
                }
                *other.pointer_mut(&path).unwrap() = json!([]);
            }
            Value::Array(_) => *place = json!({}),
            Value::String(_) if path == "/spec/connection/bufferLimit" => *place = json!("much"),
            Value::String(_) => *place = json!(7),
            Value::Number(_) | Value::Bool(_) => *place = json!("x"),
            Value::Null => {}
        }
        made.push((format!("another type at {path}"), other));
    }
    made
}

/// The pointers to all that is in a value, but its own version and kind.
fn places(value: &Value, path: &str) -> Vec<String> {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    let inner = inner.into_iter().flat_map(|(name, value)| {
        let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
        let mut found = places(value, &path);
        found.push(path);
        found
    });
    inner.filter(|path| path != "/apiVersion" && path != "/kind").collect()
}

#[test]
fn what_the_schemas_ask_for_cannot_be_left_out() {
    let schemas = Schemas::load();
    for (form, kind, path, member) in [
        ("istio/gateway.yaml", "WasmPlugin", "/spec", "url"),
        ("istio/gateway.yaml", "WasmPlugin", "/spec/vmConfig/env/0", "name"),
        ("istio/control.yaml", "ServiceEntry", "/spec", "hosts"),
        ("istio/control.yaml", "ServiceEntry", "/spec/ports/0", "number"),
        ("istio/control.yaml", "DestinationRule", "/spec", "host"),
        ("envoy-gateway/gate.yaml", "EnvoyExtensionPolicy", "/spec/wasm/0", "code"),
        ("envoy-gateway/gate.yaml", "EnvoyExtensionPolicy", "/spec/wasm/0/code/image", "url"),
        ("envoy-gateway/gate.yaml", "EnvoyExtensionPolicy", "/spec/targetRefs/0", "kind"),
        ("envoy-gateway/patch.yaml", "EnvoyPatchPolicy", "/spec", "targetRef"),
        ("envoy-gateway/patch.yaml", "EnvoyPatchPolicy", "/spec/jsonPatches/0", "operation"),
    ] {
        let mut object = object(form, kind);
        let members = object.pointer_mut(path).and_then(Value::as_object_mut).unwrap();
        assert!(members.remove(member).is_some(), "{form} has no {path}/{member}");
        assert!(!schemas.faults(&object).is_empty(), "{form}: {path}/{member} can be left out");
    }
    let mut plugin = object("istio/gateway.yaml", "WasmPlugin");
    for (path, value) in [
        ("/spec/failStrategy", "FAIL_SOMEHOW"),
        ("/spec/phase", "FIRST"),
        ("/spec/sha256", "ABCDEF"),
        ("/spec/imagePullPolicy", "always"),
        ("/apiVersion", "extensions.istio.io/v1"),
    ] {
        let former = std::mem::replace(plugin.pointer_mut(path).unwrap(), json!(value));
        assert!(!schemas.faults(&plugin).is_empty(), "{path} may be {value}");
        *plugin.pointer_mut(path).unwrap() = former;
    }
}

/// The objects that hold a gate's configuration.
const GATES: [(&str, &str); 5] = [
    ("istio/gateway.yaml", "WasmPlugin"),
    ("istio/sidecar.yaml", "WasmPlugin"),
    ("istio/control.yaml", "WasmPlugin"),
    ("istio/envoyfilter.yaml", "EnvoyFilter"),
    ("envoy-gateway/gate.yaml", "EnvoyExtensionPolicy"),
];

fn start(text: &str) -> Result<(), String> {
    let host = Host::new(&PLUGIN, HostProfile::envoy())
        .configuration(text)
        .environment("PORTCULLIS_GATE_KEY", &base64::encode(&[3; 32]));
    host.start().map(|_| ()).map_err(|error| error.log_text())
}

#[test]
fn the_gate_starts_with_each_forms_configuration_and_with_no_broken_one() {
    for (form, kind) in GATES {
        let text = gate_text(&object(form, kind));
        assert_eq!(start(&text), Ok(()), "{form}: {text}");
        let mut unknown: Value = serde_json::from_str(&text).unwrap();
        unknown["fail_open"] = json!(true);
        let told = start(&unknown.to_string()).expect_err(form);
        let critical = told.lines().filter(|line| line.starts_with("critical: "));
        assert_eq!(critical.count(), 1, "{form}: {told}");
        assert!(told.contains("fail_open: is unknown"), "{form}: {told}");
        let mut nameless: Value = serde_json::from_str(&text).unwrap();
        nameless.as_object_mut().unwrap().remove("gate");
        let told = start(&nameless.to_string()).expect_err(form);
        assert!(told.contains("gate: is missing"), "{form}: {told}");
    }
}

#[test]
fn the_cluster_that_the_gate_calls_is_the_one_that_the_form_makes() {
    let entry = object("istio/control.yaml", "ServiceEntry");
    let (host, port) = (&entry["spec"]["hosts"][0], &entry["spec"]["ports"][0]["number"]);
    let plugin = object("istio/control.yaml", "WasmPlugin");
    let service = &plugin["spec"]["pluginConfig"]["service"];
    assert_eq!(service["cluster"], json!(format!("outbound|{port}||{}", host.as_str().unwrap())));
    assert_eq!(service["authority"], json!(format!("{}:{port}", host.as_str().unwrap())));
    assert_eq!(object("istio/control.yaml", "DestinationRule")["spec"]["host"], *host);

    let patches = object("envoy-gateway/patch.yaml", "EnvoyPatchPolicy");
    let clusters = added_clusters(&patches);
    assert_eq!(clusters.len(), 1);
    // What `portcullis gate enrol` writes unless told otherwise.
    assert_eq!(clusters[0]["name"], "portcullis_control");
    assert_eq!(patches["spec"]["jsonPatches"][3]["name"], clusters[0]["name"]);
}

#[test]
fn the_patch_names_the_filter_of_the_policy_and_grants_what_the_plugin_needs() {
    let text =
        std::fs::read_to_string(Workspace::find().unwrap().root.join("plugin/capabilities.txt")).unwrap();
    let needed: BTreeSet<_> =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let policy = object("envoy-gateway/gate.yaml", "EnvoyExtensionPolicy");
    let patches = object("envoy-gateway/patch.yaml", "EnvoyPatchPolicy");
    let unpatched = kubernetes::filter_of_extension_policy(&policy);
    let by_patch = kubernetes::patched(unpatched, &patches, &filter_name(&policy));
    let by_filter = filter_of(&object("istio/envoyfilter.yaml", "EnvoyFilter"));
    for (form, filter) in [("patch.yaml", by_patch), ("envoyfilter.yaml", by_filter)] {
        let config = &filter["config"];
        assert_eq!(config["allow_on_headers_stop_iteration"], true, "{form}");
        assert_eq!(config["failure_policy"], "FAIL_RELOAD", "{form}");
        let allowed = &config["vm_config"]["capability_restriction_config"]["allowed_capabilities"];
        let allowed: BTreeSet<_> = allowed.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(allowed, needed, "{form} does not allow what plugin/capabilities.txt lists");
    }
}

/// A copy of an object with another value in one place.
fn with(whole: &Value, path: &str, other: Value) -> Value {
    let mut broken = whole.clone();
    let place = broken.pointer_mut(path).unwrap_or_else(|| panic!("there is no {path}"));
    assert_ne!(*place, other, "{path}");
    *place = other;
    broken
}

#[test]
fn the_place_in_envoyfilter_yaml_is_the_gates_and_any_fault_in_it_is_found() {
    let whole = object("istio/envoyfilter.yaml", "EnvoyFilter");
    assert_eq!(faults_of_place(&whole), [""; 0]);
    for (path, other) in [
        ("0/match/context", json!("SIDECAR_INBOUND")),
        ("0/match/listener/filterChain/filter/name", json!("envoy.filters.network.tcp_proxy")),
        ("0/patch/operation", json!("INSERT_BEFORE")),
        ("0/patch/value/name", json!("gate")),
        ("0/patch/value/config_discovery/config_source/ads", Value::Null),
        ("0/patch/value/config_discovery/config_source/resource_api_version", json!("AUTO")),
        ("0/patch/value/config_discovery/config_source/initial_fetch_timeout", json!("15s")),
        ("0/patch/value/config_discovery/type_urls/0", json!("type.googleapis.com/Wasm")),
        ("0/patch/value/config_discovery/type_urls/1", json!("type.googleapis.com/RBAC")),
        ("1/match/context", json!("ANY")),
        ("1/patch/operation", json!("MERGE")),
        ("1/patch/value/name", json!("gate")),
        ("1/patch/value/typed_config/@type", json!("type.googleapis.com/Wasm")),
    ] {
        let broken = with(&whole, &format!("/spec/configPatches/{path}"), other);
        assert_eq!(faults_of_place(&broken).len(), 1, "{path}: {:?}", faults_of_place(&broken));
    }
    for (member, path) in [("default_config", "/config_discovery"), ("typed_config", "")] {
        let mut broken = whole.clone();
        let place = broken.pointer_mut(&format!("/spec/configPatches/0/patch/value{path}")).unwrap();
        place[member] = json!({});
        assert_eq!(faults_of_place(&broken).len(), 1, "{member}");
    }
    for left_out in 0..2 {
        let mut broken = whole.clone();
        broken["spec"]["configPatches"].as_array_mut().unwrap().remove(left_out);
        assert_eq!(faults_of_place(&broken).len(), 1, "{left_out}");
    }
}

#[test]
fn the_objects_for_envoy_gateway_are_for_one_gateway_and_any_that_is_not_is_found() {
    let policy = object("envoy-gateway/gate.yaml", "EnvoyExtensionPolicy");
    let patches = object("envoy-gateway/patch.yaml", "EnvoyPatchPolicy");
    let proxy = objects("envoy-gateway/proxy.yaml");
    assert_eq!(faults_of_targets(&policy, &patches, &proxy), [""; 0]);
    let of_another = "..http_filters[?(@.name=='envoy.filters.http.wasm')].typed_config.config";
    for (path, other) in [
        ("/metadata/namespace", json!("other")),
        ("/spec/targetRef/name", json!("other")),
        ("/spec/targetRef/kind", json!("GatewayClass")),
        ("/spec/jsonPatches", json!([])),
        ("/spec/jsonPatches/0/name", json!("default/other/http")),
        ("/spec/jsonPatches/0/name", json!("default/eg/")),
        // A listener of the Gateway, but then each has a part of the patches.
        ("/spec/jsonPatches/1/name", json!("default/eg/https")),
        ("/spec/jsonPatches/2/name", json!("eg/http")),
        ("/spec/jsonPatches/0/operation/path", json!("/fail_open")),
        ("/spec/jsonPatches/0/operation/jsonPath", json!(of_another)),
    ] {
        let broken = with(&patches, path, other);
        assert!(!faults_of_targets(&policy, &broken, &proxy).is_empty(), "{path}");
    }
    for path in ["/metadata/name", "/metadata/namespace", "/spec/targetRefs/0/name"] {
        let broken = with(&policy, path, json!("other"));
        assert!(!faults_of_targets(&broken, &patches, &proxy).is_empty(), "{path}");
    }
    for (at, path) in [(0, "/metadata/namespace"), (1, "/metadata/namespace"), (1, "/spec/targetRefs/0/name")]
    {
        let mut broken = proxy.clone();
        broken[at] = with(&proxy[at], path, json!("other"));
        assert!(!faults_of_targets(&policy, &patches, &broken).is_empty(), "{at}, {path}");
    }
}

/// A file of the repository.
fn page(path: &str) -> String {
    std::fs::read_to_string(Workspace::find().unwrap().root.join(path)).unwrap()
}

#[test]
fn the_gates_key_has_one_name_from_gate_env_through_the_secret_to_the_plugin() {
    for (form, kind) in GATES {
        let object = object(form, kind);
        let filter = match kind {
            "WasmPlugin" => kubernetes::filter_of_wasm_plugin(&object),
            "EnvoyFilter" => filter_of(&object),
            _ => kubernetes::filter_of_extension_policy(&object),
        };
        let of_host = &filter["config"]["vm_config"]["environment_variables"]["host_env_keys"];
        assert_eq!(*of_host, json!([KEY_VARIABLE]), "{form}");
    }
    let mut read = 0;
    for form in FORMS {
        for object in objects(form) {
            for path in places(&object, "") {
                let Some(variable) = path.strip_suffix("/valueFrom/secretKeyRef") else { continue };
                let name = &object.pointer(variable).unwrap()["name"];
                let key = &object.pointer(&path).unwrap()["key"];
                assert_eq!((name, key), (&json!(KEY_VARIABLE), &json!(KEY_VARIABLE)), "{form}, {path}");
                read += 1;
            }
        }
    }
    assert_eq!(read, 1, "proxy.yaml reads the secret, and no other form");

    for path in ["docs/istio.md", "docs/envoy-gateway.md", "envoy/envoy-gateway/proxy.yaml"] {
        let text = page(path);
        let made: Vec<_> = text.lines().filter(|line| line.contains("create secret generic")).collect();
        let [made] = made[..] else { panic!("{path}: {made:?}") };
        assert!(
            made.ends_with("create secret generic portcullis-gate --from-env-file=gate.env"),
            "{path}: {made}"
        );
        assert!(!text.contains("gate.key"), "{path}");
        let reference = format!("secretKeyRef: {{ name: portcullis-gate, key: {KEY_VARIABLE}");
        for line in text.lines().filter(|line| line.contains("secretKeyRef: {")) {
            assert!(line.contains(&reference), "{path}: {line}");
        }
    }
    assert!(
        page("docs/istio.md").contains("set env deploy/istio-ingressgateway --from=secret/portcullis-gate\n")
    );
    let text = page("docs/envoy.md");
    assert!(text.contains("\nset -a; . ./gate.env; set +a\n") && !text.contains("gate.key"));
}

#[test]
fn an_issuer_made_as_the_page_says_issues_what_a_form_takes_with_its_trust_put_in() {
    let (folder, cli) = (tempfile::tempdir().unwrap(), given("PORTCULLIS_CLI"));
    let programs = format!("{}:{}", cli.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let run = |script: &str| -> Output {
        let mut command = Command::new("sh");
        command.args(["-euc", script]).current_dir(folder.path()).env("PATH", &programs).output().unwrap()
    };
    let text = page("docs/envoy.md");
    let section = text.split("\n## ").find(|section| section.starts_with("An issuer of your own")).unwrap();
    let commands = section.split("```sh\n").nth(1).and_then(|rest| rest.split("\n```").next()).unwrap();
    let output = run(commands);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    let printed = String::from_utf8(output.stdout).unwrap();
    // Behind what is said of the keys.
    let trust: Value = serde_json::from_str(&printed[printed.find('{').unwrap()..]).unwrap();

    let mut tried = 0;
    for (form, kind) in GATES {
        let mut gate: Value = serde_json::from_str(&gate_text(&object(form, kind))).unwrap();
        // What a gate with a control service trusts is there.
        if gate.get("trust").is_none() {
            continue;
        }
        let judged = |gate: &Value| {
            std::fs::write(folder.path().join("gate.json"), gate.to_string()).unwrap();
            run("portcullis verify --trust gate.json passport.header").status.code()
        };
        assert_eq!(judged(&gate), Some(1), "{form} as it stands trusts another issuer");
        gate["trust"] = trust.clone();
        assert_eq!(judged(&gate), Some(0), "{form}");
        tried += 1;
    }
    assert_eq!(tried, 4);
}

#[test]
fn no_form_lets_traffic_through_where_the_gate_fails_or_shows_a_secret() {
    for (form, kind) in GATES {
        let text = object(form, kind).to_string();
        assert!(!text.contains("FAIL_OPEN") && !text.contains("\"failOpen\":true"), "{form}");
        assert!(!text.contains("INLINE"), "{form}");
    }
}
