//! The forms for Istio and Envoy Gateway, their projects' own schemas, and what the two make of
//! them for Envoy.

use serde_json::{Map, Value, json};
use std::path::Path;
use xtask::workspace::Workspace;

/// The files below `envoy/` that are for Kubernetes.
pub const FORMS: [&str; 7] = [
    "istio/gateway.yaml",
    "istio/sidecar.yaml",
    "istio/control.yaml",
    "istio/envoyfilter.yaml",
    "envoy-gateway/gate.yaml",
    "envoy-gateway/patch.yaml",
    "envoy-gateway/proxy.yaml",
];

/// The objects of a form.
pub fn objects(form: &str) -> Vec<Value> {
    let path = Workspace::find().unwrap().root.join("envoy").join(form);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{form}: {error}"))
}

/// The one object of this kind in a form.
pub fn object(form: &str, kind: &str) -> Value {
    let found = objects(form).into_iter().find(|object| object["kind"] == kind);
    found.unwrap_or_else(|| panic!("{form} has no {kind}"))
}

/// The schemas in `tests/schemas`, as `kubectl --validate=strict` reads them.
pub struct Schemas(Vec<(String, Value)>);

impl Schemas {
    pub fn load() -> Self {
        let root = Workspace::find().unwrap().root.join("tests/schemas");
        let schemas = ["istio", "envoy-gateway"].iter().flat_map(|project| {
            let files = std::fs::read_dir(root.join(project)).unwrap();
            files.map(|file| Self::read(&file.unwrap().path()))
        });
        Schemas(schemas.collect())
    }

    fn read(path: &Path) -> (String, Value) {
        let crd: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let (spec, version) = (&crd["spec"], &crd["spec"]["versions"][0]);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let name =
            format!("{}/{} {}", text(&spec["group"]), text(&version["name"]), text(&spec["names"]["kind"]));
        let mut schema = version["schema"]["openAPIV3Schema"].clone();
        strict(&mut schema);
        jsonschema::meta::validate(&schema).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (name, schema)
    }

    /// What is wrong with an object; nothing if it is valid.
    pub fn faults(&self, object: &Value) -> Vec<String> {
        let [version, kind] = ["apiVersion", "kind"].map(|name| object[name].as_str().unwrap_or_default());
        let name = format!("{version} {kind}");
        let Some((_, schema)) = self.0.iter().find(|(known, _)| *known == name) else {
            return vec![format!("no schema is there for {name}")];
        };
        let validator = jsonschema::draft7::new(schema).unwrap();
        validator.iter_errors(object).map(|fault| format!("{}: {fault}", fault.instance_path())).collect()
    }
}

/// Makes a structural schema refuse what it does not name, as the API server does where
/// `x-kubernetes-preserve-unknown-fields` is not set.
fn strict(schema: &mut Value) {
    let Some(members) = schema.as_object_mut() else { return };
    let keeps_unknown = members.get("x-kubernetes-preserve-unknown-fields") == Some(&json!(true));
    if members.contains_key("properties") && !members.contains_key("additionalProperties") && !keeps_unknown {
        members.insert("additionalProperties".into(), json!(false));
    }
    // OpenAPI's own word for what JSON Schema says by a list of types.
    if members.remove("nullable") == Some(json!(true)) {
        let own = members.remove("type").unwrap();
        members.insert("type".into(), json!([own, "null"]));
    }
    // Of Kubernetes, not of JSON Schema: the widths of integers.
    members.remove("format");
    for (name, member) in members.iter_mut() {
        match name.as_str() {
            "properties" => member.as_object_mut().unwrap().values_mut().for_each(strict),
            "items" | "additionalProperties" => strict(member),
            _ => {}
        }
    }
}

/// The gate's configuration in a form's object, as text, as Istio and Envoy Gateway give it on.
pub fn gate_text(object: &Value) -> String {
    match object["kind"].as_str().unwrap() {
        "WasmPlugin" => object["spec"]["pluginConfig"].to_string(),
        "EnvoyExtensionPolicy" => object["spec"]["wasm"][0]["config"].to_string(),
        "EnvoyFilter" => filter_of(object)["config"]["configuration"]["value"].as_str().unwrap().to_owned(),
        kind => panic!("a {kind} has no gate"),
    }
}

/// The Wasm filter that an `EnvoyFilter` adds.
pub fn filter_of(envoy_filter: &Value) -> Value {
    let patches = envoy_filter["spec"]["configPatches"].as_array().unwrap();
    let added = patches.iter().find(|patch| patch["applyTo"] == "EXTENSION_CONFIG").unwrap();
    added["patch"]["value"]["typed_config"].clone()
}

/// The Wasm filter that Istio makes of a `WasmPlugin` (pilot/pkg/model/extensions.go and
/// pkg/wasm/convert.go): it has no `vm_id`, and no way to say what the plugin may call or that it
/// may stop at the headers.
pub fn filter_of_wasm_plugin(plugin: &Value) -> Value {
    let spec = &plugin["spec"];
    let policy = match spec["failStrategy"].as_str() {
        Some("FAIL_RELOAD") => "FAIL_RELOAD",
        Some("FAIL_OPEN") => "FAIL_OPEN",
        _ => "FAIL_CLOSED",
    };
    let variables = spec["vmConfig"]["env"].as_array().cloned().unwrap_or_default();
    let of_host = variables.iter().filter(|variable| variable["valueFrom"] == "HOST");
    let host_env_keys: Vec<_> = of_host.map(|variable| variable["name"].clone()).collect();
    json!({
        "@type": WASM,
        "config": {
            "name": "istio-ingress.portcullis",
            "root_id": spec["pluginName"],
            "failure_policy": policy,
            "configuration": { "@type": STRING, "value": gate_text(plugin) },
            "vm_config": {
                "runtime": "envoy.wasm.runtime.v8",
                "code": { "local": { "filename": "" } },
                "environment_variables": { "host_env_keys": host_env_keys },
            },
        },
    })
}

/// The Wasm filter that Envoy Gateway makes of an `EnvoyExtensionPolicy`
/// (internal/xds/translator/wasm.go), with a local file in the place of its own server's.
pub fn filter_of_extension_policy(policy: &Value) -> Value {
    let wasm = &policy["spec"]["wasm"][0];
    json!({
        "@type": WASM,
        "config": {
            "name": wasm["name"],
            "root_id": wasm["rootID"],
            "fail_open": wasm["failOpen"],
            "configuration": { "@type": STRING, "value": gate_text(policy) },
            "vm_config": {
                "vm_id": filter_name(policy).trim_start_matches("envoy.filters.http.wasm/"),
                "runtime": "envoy.wasm.runtime.v8",
                "code": { "local": { "filename": "" } },
                "environment_variables": { "host_env_keys": wasm["env"]["hostKeys"] },
            },
        },
    })
}

/// How Envoy Gateway calls the filter of a policy's first plugin.
pub fn filter_name(policy: &Value) -> String {
    let [namespace, name] =
        ["namespace", "name"].map(|member| policy["metadata"][member].as_str().unwrap().to_owned());
    format!("envoy.filters.http.wasm/envoyextensionpolicy/{namespace}/{name}/wasm/0")
}

/// Applies to a policy's filter what an `EnvoyPatchPolicy` adds to listeners: its patches name
/// the filter, and where in it they add.
pub fn patched(mut filter: Value, patches: &Value, filter_name: &str) -> Value {
    let start = format!("..http_filters[?(@.name=='{filter_name}')].typed_config.");
    let patches = patches["spec"]["jsonPatches"].as_array().unwrap();
    let of_listeners = patches.iter().filter(|patch| patch["type"].as_str().unwrap().ends_with(".Listener"));
    for patch in of_listeners {
        let operation = &patch["operation"];
        assert_eq!(operation["op"], "add");
        let within =
            operation["jsonPath"].as_str().unwrap().strip_prefix(&start).expect("the policy's filter");
        let place = filter.pointer_mut(&format!("/{}", within.replace('.', "/"))).expect("a place to add at");
        let member = operation["path"].as_str().unwrap().strip_prefix('/').expect("one member");
        let members: &mut Map<String, Value> = place.as_object_mut().unwrap();
        assert!(!members.contains_key(member), "{member} is there already");
        members.insert(member.to_owned(), operation["value"].clone());
    }
    filter
}

/// The clusters that an `EnvoyPatchPolicy` adds.
pub fn added_clusters(patches: &Value) -> Vec<Value> {
    let patches = patches["spec"]["jsonPatches"].as_array().unwrap();
    let of_clusters = patches.iter().filter(|patch| patch["type"].as_str().unwrap().ends_with(".Cluster"));
    of_clusters.map(|patch| patch["operation"]["value"].clone()).collect()
}

const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const STRING: &str = "type.googleapis.com/google.protobuf.StringValue";
