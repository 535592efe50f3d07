using Workerd = import "/workerd/workerd.capnp";

# What wrangler makes of the page's example.
const config :Workerd.Config = (
  services = [(name = "gate", worker = .gate)],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "gate")],
);

const gate :Workerd.Worker = (
  modules = [
    (name = "worker.js", esModule = embed "worker.js"),
    (name = "portcullis-web/durable", esModule = embed "node_modules/portcullis-web/durable.js"),
    (name = "portcullis-web/gate", esModule = embed "node_modules/portcullis-web/gate.js"),
    (name = "portcullis-web/gate_bg.wasm", wasm = embed "node_modules/portcullis-web/gate_bg.wasm"),
  ],
  compatibilityDate = "2026-11-01",
  bindings = [
    (name = "USED", durableObjectNamespace = "UsedOnce"),
    (name = "PROCESS_SECRET", text = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="),
    (name = "GATE_KEY", text = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="),
    (name = "BEGAN", text = "2026-11-01T00:00:00Z"),
    (name = "ORIGIN", text = "https://origin.example.com"),
  ],
  durableObjectNamespaces = [(className = "UsedOnce", uniqueKey = "used-once")],
  durableObjectStorage = (inMemory = void),
);
