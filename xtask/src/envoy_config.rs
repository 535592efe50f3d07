//! Variants of `envoy/envoy.yaml`: the file that users take is the file that is
//! shown, tested and measured, with other ports, paths and filters.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::ecds::Discovered;
use crate::workspace::Workspace;

/// An Envoy configuration as data. Envoy reads JSON as well as YAML, so a
/// variant needs no YAML writer.
#[derive(Clone)]
pub struct EnvoyConfig(Value);

impl EnvoyConfig {
    /// Reads the shipped `envoy/envoy.yaml`.
    pub fn shipped(workspace: &Workspace) -> Result<Self> {
        Self::form(workspace, "envoy.yaml", &[])
    }

    /// Reads the shipped `envoy/affinity.yaml`: an Envoy without a gate, before two that
    /// have one. The first is [`Addresses::upstream`].
    pub fn shipped_affinity(workspace: &Workspace) -> Result<Self> {
        Self::form(workspace, "affinity.yaml", &[])
    }

    /// Reads another of the files below `envoy/`, with each of these texts in it replaced.
    pub fn form(workspace: &Workspace, name: &str, changes: &[(&str, &str)]) -> Result<Self> {
        let path = workspace.root.join("envoy").join(name);
        let mut text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        for (from, to) in changes {
            ensure!(text.contains(from), "{} has no {from}", path.display());
            text = text.replace(from, to);
        }
        serde_saphyr::from_str(&text).map(Self).with_context(|| format!("{} is not YAML", path.display()))
    }

    /// The same with the cluster of this name elsewhere.
    pub fn with_cluster_at(mut self, name: &str, address: SocketAddr) -> Result<Self> {
        let clusters = self.0.pointer_mut("/static_resources/clusters").and_then(Value::as_array_mut);
        let mut clusters = clusters.context("the form has no clusters")?.iter_mut();
        let cluster = clusters.find(|cluster| cluster.get("name") == Some(&json!(name)));
        let path = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address";
        put(cluster.with_context(|| format!("there is no cluster {name}"))?, path, socket_address(address))?;
        Ok(self)
    }

    /// The same with one value that the plugin's `config` has, by its JSON pointer, changed or added.
    pub fn with_setting(mut self, path: &str, value: Value) -> Result<Self> {
        let (place, name) = path.rsplit_once('/').context("a pointer begins with a slash")?;
        let place = self.0.pointer_mut(&format!("{PLUGIN}{place}")).and_then(Value::as_object_mut);
        place.with_context(|| format!("nothing at {path}"))?.insert(name.to_owned(), value);
        Ok(self)
    }

    /// The same without one of the capabilities.
    pub fn without_capability(mut self, name: &str) -> Result<Self> {
        let path = format!("{PLUGIN}/vm_config/capability_restriction_config/allowed_capabilities");
        let allowed = self.0.pointer_mut(&path).and_then(Value::as_object_mut);
        let allowed = allowed.context("envoy.yaml restricts no capabilities")?.remove(name);
        allowed.with_context(|| format!("{name} is not among the capabilities"))?;
        Ok(self)
    }

    /// The same with trailers of HTTP/1.1 read.
    pub fn with_trailers(mut self) -> Result<Self> {
        let manager = self.0.pointer_mut(MANAGER).and_then(Value::as_object_mut);
        let manager = manager.context("envoy.yaml has no connection manager")?;
        manager.insert("http_protocol_options".into(), json!({ "enable_trailers": true }));
        Ok(self)
    }

    /// The same with other addresses. Where the gate, if it is there, names the address
    /// that Envoy listened on, as in its `authorities`, it names the new one.
    pub fn at(mut self, addresses: &Addresses) -> Result<Self> {
        let former = self.listen_authority()?;
        let authority = addresses.listen.to_string();
        self.put("/admin/address/socket_address", socket_address(addresses.admin))?;
        self.put("/static_resources/listeners/0/address/socket_address", socket_address(addresses.listen))?;
        self.put(
            "/static_resources/clusters/0/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address",
            socket_address(addresses.upstream),
        )?;
        // As text, so that a gate configuration that is none gets as far as Envoy.
        match self.gate_text().map(|text| text.replace(&format!("\"{former}\""), &format!("\"{authority}\"")))
        {
            Some(text) => self.with_gate(&text),
            None => Ok(self),
        }
    }

    /// `host:port` of the listener.
    pub fn listen_authority(&self) -> Result<String> {
        let address = self.0.pointer("/static_resources/listeners/0/address/socket_address");
        let host = address.and_then(|address| address.get("address")?.as_str());
        let port = address.and_then(|address| address.get("port_value")?.as_u64());
        let (host, port) = host.zip(port).context("envoy.yaml has no listener with an address")?;
        Ok(format!("{host}:{port}"))
    }

    /// The same with another gate configuration, as JSON text, whether it is valid or not.
    pub fn with_gate(mut self, text: &str) -> Result<Self> {
        self.put(&format!("{PLUGIN}/configuration/value"), json!(text))?;
        Ok(self)
    }

    /// `envoy/affinity.yaml` with its second gate elsewhere.
    pub fn with_second_gate(mut self, gate: SocketAddr) -> Result<Self> {
        let path = "/static_resources/clusters/0/load_assignment/endpoints/0/lb_endpoints/1/endpoint/address/socket_address";
        self.put(path, socket_address(gate))?;
        Ok(self)
    }

    /// `envoy/affinity.yaml` without affinity: its gates are asked in turn.
    pub fn without_affinity(mut self) -> Result<Self> {
        self.put("/static_resources/clusters/0/lb_policy", json!("ROUND_ROBIN"))?;
        let cluster = self.0.pointer_mut("/static_resources/clusters/0").and_then(Value::as_object_mut);
        cluster.context("affinity.yaml has no cluster")?.remove("ring_hash_lb_config");
        Ok(self)
    }

    /// The same with the control service elsewhere.
    pub fn with_control(self, control: SocketAddr) -> Result<Self> {
        self.with_cluster_at("portcullis_control", control)
    }

    /// The same with a further cluster of one address.
    pub fn with_cluster(mut self, name: &str, address: SocketAddr) -> Result<Self> {
        let clusters = self.0.pointer_mut("/static_resources/clusters").and_then(Value::as_array_mut);
        clusters.context("envoy.yaml has no clusters")?.push(json!({
            "name": name, "type": "STATIC", "connect_timeout": "1s",
            "load_assignment": {
                "cluster_name": name,
                "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": { "socket_address": socket_address(address) } } }] }],
            },
        }));
        Ok(self)
    }

    /// The same with so many bytes that a connection may buffer.
    pub fn with_buffer(mut self, bytes: u32) -> Result<Self> {
        self.put("/static_resources/listeners/0/per_connection_buffer_limit_bytes", json!(bytes))?;
        Ok(self)
    }

    /// The same with so long for a whole request, its body included: `60s`.
    pub fn with_request_timeout(mut self, time: &str) -> Result<Self> {
        let path = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/request_timeout";
        self.put(path, json!(time))?;
        Ok(self)
    }

    /// The same with so long for an upstream's whole answer.
    pub fn with_route_timeout(mut self, time: &str) -> Result<Self> {
        let path = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/route_config\
                    /virtual_hosts/0/routes/0/route/timeout";
        self.put(path, json!(time))?;
        Ok(self)
    }

    /// The same with another plugin file.
    pub fn with_plugin(mut self, wasm: &Path) -> Result<Self> {
        let path = format!("{PLUGIN}/vm_config/code/local/filename");
        let wasm = wasm.to_str().context("the plugin's path is not UTF-8")?;
        self.put(&path, json!(wasm))?;
        Ok(self)
    }

    /// The same with a second listener like the first, elsewhere, whose gate runs another plugin file
    /// under the same `vm_id`.
    pub fn with_second_plugin(mut self, listen: SocketAddr, wasm: &Path) -> Result<Self> {
        let first = self.0.pointer("/static_resources/listeners/0").context("envoy.yaml has no listener")?;
        let mut second = Self(json!({ "static_resources": { "listeners": [first] } })).with_plugin(wasm)?;
        second.put("/static_resources/listeners/0/address/socket_address", socket_address(listen))?;
        second.put("/static_resources/listeners/0/name", json!("second"))?;
        let second = second.0.pointer_mut("/static_resources/listeners/0").map(Value::take);
        let listeners = self.0.pointer_mut("/static_resources/listeners").and_then(Value::as_array_mut);
        listeners.context("envoy.yaml has no listeners")?.extend(second);
        Ok(self)
    }

    /// The same without its access log, which costs the same whatever is measured beside it.
    pub fn without_access_log(mut self) -> Result<Self> {
        let manager = FILTERS.rsplit_once('/').map_or(FILTERS, |(manager, _)| manager);
        let manager = self.0.pointer_mut(manager).and_then(Value::as_object_mut);
        manager.context("envoy.yaml has no connection manager")?.remove("access_log");
        Ok(self)
    }

    /// The same with every capability that the plugin asks for.
    pub fn without_capability_limits(mut self) -> Result<Self> {
        let path = format!("{PLUGIN}/vm_config");
        let vm = self.0.pointer_mut(&path).and_then(Value::as_object_mut);
        vm.context("envoy.yaml has no vm_config")?.remove("capability_restriction_config");
        Ok(self)
    }

    /// The same without the gate.
    pub fn without_gate(mut self) -> Result<Self> {
        let filters = self.0.pointer_mut(FILTERS).and_then(Value::as_array_mut);
        let filters = filters.context("envoy.yaml has no http_filters")?;
        filters.retain(|filter| filter.get("name") != Some(&json!(WASM_FILTER)));
        ensure!(filters.len() == 1, "envoy.yaml is expected to hold the gate and the router, in this order");
        Ok(self)
    }

    /// The same with `filter` where the gate stands.
    pub fn with_filter(self, filter: Value) -> Result<Self> {
        let mut bare = self.without_gate()?;
        let filters = bare.0.pointer_mut(FILTERS).and_then(Value::as_array_mut);
        filters.context("envoy.yaml has no http_filters")?.insert(0, filter);
        Ok(bare)
    }

    /// The same with the gate in a file of its own in `folder`, from which Envoy takes it
    /// again whenever that file is replaced; and the gate for that file.
    pub fn with_discovered_gate(self, folder: &Path) -> Result<(Self, Discovered)> {
        let filter = self.0.pointer(&format!("{FILTERS}/0/typed_config"));
        let gate = Discovered::new(filter.context("envoy.yaml has no http_filters")?.clone(), folder);
        let mut config = self.with_filter(gate.place()?)?;
        let root = config.0.as_object_mut().context("envoy.yaml is no object")?;
        // Envoy discovers nothing without a name of its own, though nobody is told it.
        root.entry("node").or_insert_with(|| json!({ "id": "gate", "cluster": "gate" }));
        Ok((config, gate))
    }

    /// The gate's own configuration, parsed out of its StringValue.
    pub fn gate(&self) -> Result<GateConfig> {
        let text = self.gate_text().context("envoy.yaml holds no gate configuration")?;
        GateConfig::parse(text)
    }

    /// The same with a changed gate configuration.
    pub fn change_gate(mut self, change: impl FnOnce(&mut GateConfig) -> Result<()>) -> Result<Self> {
        let mut gate = self.gate()?;
        change(&mut gate)?;
        let text = gate.0.to_string();
        self.put(&format!("{PLUGIN}/configuration/value"), json!(text))?;
        Ok(self)
    }

    /// The names under `allowed_capabilities`.
    pub fn capabilities(&self) -> Result<Vec<&str>> {
        let path = format!("{PLUGIN}/vm_config/capability_restriction_config/allowed_capabilities");
        let allowed = self.0.pointer(&path).and_then(Value::as_object);
        let allowed = allowed.context("envoy.yaml restricts no capabilities")?;
        Ok(allowed.keys().map(String::as_str).collect())
    }

    /// The configuration as JSON text.
    pub fn to_text(&self) -> String {
        self.0.to_string()
    }

    fn gate_text(&self) -> Option<&str> {
        self.0.pointer(&format!("{PLUGIN}/configuration/value"))?.as_str()
    }

    fn put(&mut self, path: &str, value: Value) -> Result<()> {
        put(&mut self.0, path, value).context("envoy.yaml has another shape than xtask expects")
    }
}

/// The plugin's configuration as data.
pub struct GateConfig(Value);

impl GateConfig {
    /// Reads a configuration's text.
    pub fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text).map(Self).context("the gate configuration is not JSON")
    }

    /// Sets one kind of trust material, whether there was any or not.
    pub fn put_trust(&mut self, member: &str, value: Value) -> Result<()> {
        let trust = self.0.as_object_mut().context("the gate configuration is no object")?;
        let trust = trust.entry("trust").or_insert_with(|| json!({}));
        trust.as_object_mut().context("its trust is no object")?.insert(member.to_owned(), value);
        Ok(())
    }

    /// Replaces what stands at a JSON pointer (RFC 6901).
    pub fn put(&mut self, path: &str, value: Value) -> Result<()> {
        put(&mut self.0, path, value).context("the gate configuration has another shape")
    }

    /// The configuration as indented JSON text.
    pub fn to_text(&self) -> String {
        format!("{:#}\n", self.0)
    }
}

/// Where one Envoy listens, and where it forwards to.
#[derive(Clone, Copy)]
pub struct Addresses {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Envoy's own pages.
    pub admin: SocketAddr,
    /// What stands behind.
    pub upstream: SocketAddr,
}

/// Refuses to invent a member: a path that is not there is a mistake here.
fn put(tree: &mut Value, path: &str, value: Value) -> Result<()> {
    *tree.pointer_mut(path).with_context(|| format!("nothing at {path}"))? = value;
    Ok(())
}

fn socket_address(address: SocketAddr) -> Value {
    json!({ "address": address.ip().to_string(), "port_value": address.port() })
}

const WASM_FILTER: &str = "envoy.filters.http.wasm";
const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
const FILTERS: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters";
const PLUGIN: &str =
    "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0/typed_config/config";
