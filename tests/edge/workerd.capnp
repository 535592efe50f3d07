using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "gate", worker = .gate),
    (name = "internet", network = (allow = ["private", "public", "local"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "gate")],
);

const gate :Workerd.Worker = (
  modules = [
    (name = "worker.mjs", esModule = embed "worker.mjs"),
    (name = "played.mjs", esModule = embed "played.mjs"),
    (name = "durable.js", esModule = embed "durable.js"),
    (name = "gate.js", esModule = embed "gate.js"),
    (name = "gate_bg.wasm", wasm = embed "gate_bg.wasm"),
    (name = "settings.json", json = embed "settings.json"),
  ],
  compatibilityDate = "2026-11-01",
  bindings = [(name = "USED", durableObjectNamespace = "UsedOnce")],
  durableObjectNamespaces = [(className = "UsedOnce", uniqueKey = "used-once")],
  durableObjectStorage = (inMemory = void),
);
