//! The forms for Istio and Envoy Gateway, their projects' own schemas, and what the two make of
//! them for Envoy.

use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
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

/// What is wrong with the place that an `EnvoyFilter` gives the gate; nothing if Envoy asks Istio's
/// agent for this gate, by its name and its type, before it serves anybody.
pub fn faults_of_place(envoy_filter: &Value) -> Vec<&'static str> {
    let patches = envoy_filter["spec"]["configPatches"].as_array().unwrap();
    let all_to = |kind: &str| patches.iter().filter(|patch| patch["applyTo"] == kind).collect::<Vec<_>>();
    let (places, gates) = (all_to("HTTP_FILTER"), all_to("EXTENSION_CONFIG"));
    let ([place], [gate]) = (&places[..], &gates[..]) else {
        return vec!["there is not one place and one gate"];
    };
    let (filter, resource) = (&place["patch"]["value"], &gate["patch"]["value"]);
    let discovery = &filter["config_discovery"];
    let source = &discovery["config_source"];
    let types = discovery["type_urls"].as_array().cloned().unwrap_or_default();
    let chain = &place["match"]["listener"]["filterChain"]["filter"]["name"];
    let rules = [
        (filter["name"] == resource["name"], "Envoy asks for another name than the gate's"),
        (source["ads"] == json!({}), "Envoy does not ask Istio's agent"),
        (source["resource_api_version"] == "V3", "Envoy asks for another version of resources"),
        (source["initial_fetch_timeout"] == "0s", "Envoy serves before the gate has come"),
        (types.contains(&resource["typed_config"]["@type"]), "Envoy takes no filter of the gate's type"),
        (types.contains(&json!(RBAC)), "Envoy does not take what denies where the image cannot be had"),
        (discovery.get("default_config").is_none(), "another filter stands there until the gate has come"),
        (filter.get("typed_config").is_none(), "another filter stands there"),
        (place["patch"]["operation"] == "INSERT_FIRST", "other filters come before the gate"),
        (gate["patch"]["operation"] == "ADD", "the gate is not added"),
        (*chain == "envoy.filters.network.http_connection_manager", "the chain is none of HTTP"),
        (place["match"]["context"] == gate["match"]["context"], "place and gate are at different proxies"),
    ];
    rules.into_iter().filter(|(holds, _)| !holds).map(|(_, fault)| fault).collect()
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
    let [namespace, name] =
        ["namespace", "name"].map(|member| plugin["metadata"][member].as_str().unwrap().to_owned());
    json!({
        "@type": WASM,
        "config": {
            "name": format!("{namespace}.{name}"),
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
    for patch in patches_of(patches, ".Listener") {
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
    let of_clusters = patches_of(patches, ".Cluster").into_iter();
    of_clusters.map(|patch| patch["operation"]["value"].clone()).collect()
}

/// The patches of an `EnvoyPatchPolicy` of resources whose type ends so.
fn patches_of<'p>(patches: &'p Value, resource: &str) -> Vec<&'p Value> {
    let patches = patches["spec"]["jsonPatches"].as_array().unwrap();
    patches.iter().filter(|patch| patch["type"].as_str().unwrap().ends_with(resource)).collect()
}

/// What is wrong with how the objects for Envoy Gateway name each other; nothing if all are for one
/// Gateway, in its namespace, and the patches for the policy's filter, all three at each of the
/// listeners that they name. `proxy` are those of `proxy.yaml`.
pub fn faults_of_targets(policy: &Value, patches: &Value, proxy: &[Value]) -> Vec<String> {
    let (target, namespace) = (&patches["spec"]["targetRef"], &patches["metadata"]["namespace"]);
    let mut faults = Vec::new();
    for object in proxy.iter().chain([policy]) {
        let kind = &object["kind"];
        if object["metadata"]["namespace"] != *namespace {
            faults.push(format!("the {kind} is in another namespace than the patches"));
        }
        if *kind != "EnvoyProxy" && object["spec"]["targetRefs"] != json!([target]) {
            faults.push(format!("the {kind} is for something else than the patches"));
        }
    }
    if target["kind"] != "Gateway" {
        faults.push("the patches are for no Gateway".to_owned());
    }
    let gateway = format!(
        "{}/{}/",
        namespace.as_str().unwrap_or_default(),
        target["name"].as_str().unwrap_or_default()
    );
    let filter = format!("@.name=='{}'", filter_name(policy));
    let mut added: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for patch in patches_of(patches, ".Listener") {
        let name = patch["name"].as_str().unwrap_or_default();
        let listener = name.strip_prefix(&gateway).unwrap_or_default();
        if listener.is_empty() || listener.contains('/') {
            faults.push(format!("{name} is no listener of the Gateway"));
        }
        if !patch["operation"]["jsonPath"].as_str().unwrap_or_default().contains(&filter) {
            faults.push(format!("a patch of {name} is for another filter than the policy's"));
        }
        added.entry(name).or_default().insert(patch["operation"]["path"].as_str().unwrap_or_default());
    }
    if added.is_empty() {
        faults.push("no listener is patched".to_owned());
    }
    let wanted = ["/allow_on_headers_stop_iteration", "/capability_restriction_config", "/failure_policy"];
    let partly = added.iter().filter(|(_, added)| **added != BTreeSet::from(wanted));
    faults.extend(partly.map(|(name, added)| format!("of the patches {name} has {added:?}")));
    faults
}

const RBAC: &str = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC";
const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const STRING: &str = "type.googleapis.com/google.protobuf.StringValue";
