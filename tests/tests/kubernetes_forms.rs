//! The forms for Istio and Envoy Gateway hold to those projects' own schemas, and the gate
//! starts with what stands in them.

use crate::kubernetes;
use crate::kubernetes::{FORMS, Schemas, added_clusters, filter_name, filter_of, gate_text, object, objects};
use portcullis_core::base64;
use portcullis_harness::{Host, HostProfile, Plugin};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::LazyLock;
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

#[test]
fn no_form_lets_traffic_through_where_the_gate_fails_or_shows_a_secret() {
    for (form, kind) in GATES {
        let text = object(form, kind).to_string();
        assert!(!text.contains("FAIL_OPEN") && !text.contains("\"failOpen\":true"), "{form}");
        assert!(!text.contains("INLINE"), "{form}");
    }
}
