//! The other Envoy forms are `envoy/envoy.yaml` with one thing changed, so what holds there holds
//! in all of them. `PORTCULLIS_WRITE_FORMS=1` writes them anew.

use xtask::workspace::Workspace;

#[test]
fn the_forms_differ_from_envoy_yaml_in_where_the_gate_comes_from_and_in_nothing_else() {
    let root = Workspace::find().unwrap().root.join("envoy");
    let shipped = Shipped::of(&std::fs::read_to_string(root.join("envoy.yaml")).unwrap());
    for (path, made) in [
        ("remote.yaml", shipped.remote()),
        ("ecds/from-file.yaml", shipped.by_file()),
        ("ecds/from-server.yaml", shipped.by_server()),
        ("ecds/gate.yaml", shipped.gate()),
    ] {
        let path = root.join(path);
        if std::env::var_os("PORTCULLIS_WRITE_FORMS").is_some() {
            std::fs::write(&path, &made).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        let path = path.display();
        let hint = "run this test with PORTCULLIS_WRITE_FORMS=1 and read the difference";
        assert!(kept == made, "{path} is not what envoy.yaml makes of it: {hint}");
    }
}

/// `envoy/envoy.yaml`, in the pieces that forms replace.
struct Shipped {
    /// From the end of the opening comment to the gate's filter.
    before: String,
    /// The gate's filter, from its `typed_config:` on.
    filter: String,
    /// What follows it.
    after: String,
}

impl Shipped {
    fn of(text: &str) -> Self {
        let (_, text) = text.split_once("\nadmin:").expect("the opening comment ends at admin");
        let (before, rest) = text.split_once(GATE).expect("the gate's filter");
        let at = rest.find("\n          - name: envoy.filters.http.router").expect("the router");
        let (filter, after) = rest.split_at(at);
        Shipped { before: format!("\nadmin:{before}"), filter: filter.to_owned(), after: after.to_owned() }
    }

    fn remote(&self) -> String {
        let [start, end] =
            ["                  # CHANGE: an absolute path", "filename: target/portcullis.wasm } }\n"];
        let (head, rest) = self.filter.split_once(start).expect("where the plugin's file is");
        let (_, tail) = rest.split_once(end).expect("where the plugin's file is");
        let Self { before, after, .. } = self;
        let cluster = cluster("plugin_source", "where the plugin's file is", 10003);
        format!("{REMOTE}{before}{GATE}{head}{REMOTE_CODE}{tail}{after}{cluster}")
    }

    fn by_file(&self) -> String {
        let Self { before, after, .. } = self;
        format!("{FROM_FILE}{NODE}{before}{DISCOVERED}{FILE_SOURCE}{TYPE_URLS}{after}")
    }

    fn by_server(&self) -> String {
        let Self { before, after, .. } = self;
        let cluster = cluster("discovery", "the server", 10004);
        format!("{FROM_SERVER}{NODE}{before}{DISCOVERED}{SERVER_SOURCE}{TYPE_URLS}{after}{cluster}")
    }

    fn gate(&self) -> String {
        let lines = self.filter.lines().map(|line| line.strip_prefix("          ").unwrap_or(line));
        let filter = lines.collect::<Vec<_>>().join("\n");
        format!("{RESOURCE}{}\n", filter.trim_end())
    }
}

fn cluster(name: &str, what: &str, port: u16) -> String {
    format!(
        "  - name: {name}
    type: STATIC
    connect_timeout: 1s
    load_assignment:
      cluster_name: {name}
      endpoints:
      - lb_endpoints:
        # CHANGE: {what}. For https give the cluster a transport_socket with TLS.
        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }} }}
"
    )
}

/// How the gate's filter begins.
const GATE: &str = "          - name: envoy.filters.http.wasm\n";

const REMOTE: &str = "\
# Envoy with the gate, whose plugin Envoy fetches by HTTP and holds to its SHA-256.
#
#   envoy -c envoy/remote.yaml
#
# As envoy.yaml in all but `code` and the cluster plugin_source. Envoy 1.40 warns that
# fetching plugins \"is unstable and may cause a crash\": where a file can be installed
# beside Envoy, take envoy.yaml. docs/envoy.md says what is seen when the fetch fails.
";

const REMOTE_CODE: &str = "                  code:
                    remote:
                      http_uri:
                        # CHANGE: the plugin's address, and its host below in plugin_source.
                        uri: http://plugins.example/portcullis.wasm
                        cluster: plugin_source
                        timeout: 10s
                      # CHANGE: what `sha256sum portcullis.wasm` says. Another file is not run.
                      sha256: \"0000000000000000000000000000000000000000000000000000000000000000\"
                      # Envoy listens when it has the plugin, or has given up, some minutes
                      # later: from then on it answers 503 until it is started again.
                      retry_policy:
                        num_retries: 20
                        retry_back_off: { base_interval: 1s, max_interval: 10s }
";

const FROM_FILE: &str = "\
# Envoy with the gate from a file of its own, which Envoy takes again whenever it is
# replaced: other routes, other trust, another plugin, without a restart.
#
#   envoy -c envoy/ecds/from-file.yaml    (from the folder that holds envoy/ and target/)
#
# As envoy.yaml in all but the gate's filter, which is in ecds/gate.yaml.
";

const FROM_SERVER: &str = "\
# Envoy with the gate from a server, which Envoy asks once a second: other routes, other
# trust, another plugin, without a restart.
#
#   envoy -c envoy/ecds/from-server.yaml
#
# As envoy.yaml in all but the gate's filter and the cluster discovery. The server answers
# POST /v3/discovery:extension_configs with what ecds/gate.yaml says, as JSON.
";

const NODE: &str = "
# Envoy discovers nothing without a name of its own. A server is told it.
node: { id: gate, cluster: gate }
";

const DISCOVERED: &str = "          - name: portcullis
            # No default_config: without a usable gate, Envoy answers 500.
            config_discovery:
              config_source:
                resource_api_version: V3
";

const FILE_SOURCE: &str = "                path_config_source:
                  # CHANGE: absolute paths. The folder is watched, not the file: replace the
                  # file by renaming another to its name, as `kubectl apply` does with a
                  # ConfigMap that is mounted. What is refused leaves the one before it.
                  path: envoy/ecds/gate.yaml
                  watched_directory: { path: envoy/ecds }
";

const SERVER_SOURCE: &str = "                api_config_source:
                  api_type: REST
                  transport_api_version: V3
                  cluster_names: [discovery]
                  refresh_delay: 1s
                  request_timeout: 5s
                # Without an answer Envoy listens after so long, and answers 500 until one
                # comes. 0s: it waits for the first answer, however long.
                initial_fetch_timeout: 15s
";

const TYPE_URLS: &str =
    "              type_urls: [type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm]
";

const RESOURCE: &str = "\
# The gate, as Envoy discovers it: ecds/from-file.yaml takes this file, and what a server
# answers to ecds/from-server.yaml is this as JSON.
#
# Within typed_config it is what stands in envoy.yaml. A server gives each change another
# version_info.

version_info: \"1\"
resources:
- \"@type\": type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig
  name: portcullis
";
