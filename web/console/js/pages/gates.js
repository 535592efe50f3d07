// Gates: what they have taken up, and what they decide by.

import { get, part, patch, post, put as send, remove } from "../api.js";
import { h, put } from "../dom.js";
import { duration, number, plural } from "../format.js";
import { announce, badge, button, copy, dialog, empty, facts, failed, field, form, id, link, load, loading, since, table, time } from "../ui.js";
import { constraints } from "../constraints.js";
import { routes } from "../routes.js";
import { rules } from "./gate-rules.js";

export const PROFILES = [["L1", "L1 – baseline: the credential itself"], ["L2", "L2 – with a proof of each request, and fresh trust material"], ["L3", "L3 – with a challenge, and material of seconds"]];
const STATES = { reached: ["good", "Up to date"], under_way: ["wait", "Catching up"], silent: ["quiet", "Not connected"], not_configured: ["quiet", "Not configured"] };

/** At which age of its material a profile refuses, unless the gate says otherwise. */
const AGE = { L2: 300, L3: 10 };

export function render(page) {
  const [gate] = page.rest;
  if (gate) one(page, gate);
  else all(page);
}

function health(gate) {
  return badge(...(STATES[gate.state] ?? ["quiet", gate.state]));
}

function age(gate) {
  const connected = gate.proxies.filter((proxy) => proxy.connected && proxy.material_age_seconds !== null);
  if (connected.length === 0) return "–";
  const oldest = Math.max(...connected.map((proxy) => proxy.material_age_seconds));
  return h("span", { class: AGE[gate.profile] && oldest > AGE[gate.profile] + 45 ? "old" : undefined }, duration(oldest));
}

function all({ place, aside, may, go, signal, every }) {
  if (may("gates:write")) put(aside, button("Create Gate", () => create(go), { class: "primary" }));
  put(place, loading("gates"));
  let before = "";
  const look = every(2, async () => {
    try {
      const found = await get("/api/v1/propagation", {}, signal);
      const text = JSON.stringify([found.newest, found.gates.map((gate) => [gate.gate_id, gate.name, gate.profile, gate.state, gate.snapshot_number, gate.dropped_records, gate.proxies.map((proxy) => [proxy.address, proxy.snapshot_number, proxy.revocations_number, proxy.connected, Math.floor((proxy.material_age_seconds ?? -1) / 5)])])]);
      if (text === before) return;
      before = text;
      if (found.gates.length === 0) {
        put(place, empty("No gates yet", "A gate is what stands before a service of yours. Make one, say what it decides by, and enrol its proxy.", may("gates:write") && button("Create Gate", () => create(go), { class: "primary" })));
        return;
      }
      const held = place.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
      put(place, h("p", { class: "fine" }, `The newest change is number ${number(found.newest)}. A gate is up to date when each of its proxies has it.`),
        table("Gates", [
          ["Gate", (gate) => link(`/console/gates/${part(gate.gate_id)}`, gate.name)],
          ["Health", health],
          ["Profile", (gate) => gate.profile],
          ["Proxies", (gate) => plural(gate.proxies.filter((proxy) => proxy.connected).length, "connected", "connected")],
          ["Snapshot", (gate) => h("span", null, number(gate.snapshot_number), " ", h("span", { class: "fine" }, since(gate.snapshot_at)))],
          ["Material is", age],
          ["Lost records", (gate) => number(gate.dropped_records), "n"],
        ], found.gates));
      if (held) place.querySelector(`a[href="${CSS.escape(held)}"]`)?.focus();
    } catch (error) {
      if (error.name !== "AbortError" && before === "") put(place, failed(error, () => look()));
    }
  });
}

function settings(gate) {
  return [
    field("name", "Name", { value: gate?.name, required: true, maxlength: 200 }),
    field("description", "What it is for", { value: gate?.description ?? "", maxlength: 2000 }),
    field("profile", "Profile", { kind: "select", options: PROFILES, value: gate?.profile ?? "L1" }),
    field("allow_self_issued", "Agents may come with passports that they signed for themselves", { kind: "check", value: gate?.allow_self_issued }),
    field("is_discoverable", "It is found by what its catalog offers", { kind: "check", value: gate?.is_discoverable }),
  ];
}

function read(data) {
  return {
    name: data.get("name").trim(), description: data.get("description").trim() || null, profile: data.get("profile"),
    allow_self_issued: data.has("allow_self_issued"), is_discoverable: data.has("is_discoverable"),
  };
}

function create(go) {
  const window = dialog("Create a gate", form("Create a gate", [
    field("gate_id", "Gate id", { required: true, maxlength: 100, placeholder: "gate_flights", hint: "Letters, digits, hyphens and underscores; it is never changed. gate_ is put before it where that is missing." }),
    ...settings(),
  ], {
    submit: "Create", cancel: () => window.close(),
    send: (data) => post("/api/gates", { gate_id: data.get("gate_id").trim(), ...read(data) }),
    sent: (made) => {
      window.close();
      announce(`The gate ${made.name} is made`);
      go(`/console/gates/${part(made.gate_id)}`);
    },
  }));
}

function one({ place, heading, aside, may, go, signal, every }, gateId) {
  const path = `/api/v1/gates/${part(gateId)}`;
  const own = `/api/gates/${part(gateId)}`;
  const health_ = h("section", { class: "panel", "aria-labelledby": "health" });
  const about = h("section", { class: "panel", "aria-labelledby": "about" });
  const config = h("section", { class: "panel", "aria-labelledby": "config" });
  const enrol = h("section", { class: "panel", "aria-labelledby": "enrol" });
  const keys = h("section", { class: "panel", "aria-labelledby": "keys" });
  put(place, h("p", null, link("/console/gates", "All gates")), health_, about, config, rules(own, path, may, signal), h("div", { class: "panels" }, enrol, keys));

  load(about, "the gate", () => get(own, {}, signal), (gate, again) => {
    heading.textContent = gate.name;
    document.title = `${gate.name} · Portcullis console`;
    put(aside, h("code", { class: "id" }, gate.gate_id));
    const shown = [h("div", { class: "panel-head" }, h("h2", { id: "about" }, "The gate"),
      may("gates:write") && h("div", { class: "form-end" },
        button("Change", () => change(own, gate, again), { "aria-label": "Change the gate" }),
        button("Delete", () => drop(own, gate, go), { class: "danger", "aria-label": "Delete the gate" }))),
      facts(["Profile", gate.profile], ["What for", gate.description], ["Self-issued passports", gate.allow_self_issued ? "are taken" : "are refused"],
        ["Discovery", gate.is_discoverable ? "found by its catalog" : "not found"],
        ["Catalog", gate.current_catalog_version > 0 ? link(`/console/catalogs/${part(gate.gate_id)}`, `version ${gate.current_catalog_version}`) : link(`/console/catalogs/${part(gate.gate_id)}`, "none yet")],
        ["Made", time(gate.created_at)])];
    return h("div", { class: "page" }, shown);
  }, { signal });

  put(health_, loading("its health", 3));
  let was = "";
  const look = every(2, async () => {
    try {
      const found = await get("/api/v1/propagation", {}, signal);
      const gate = found.gates.find((gate) => gate.gate_id === gateId);
      if (!gate) return put(health_, h("h2", { id: "health" }, "Health"), h("p", null, "The service knows no such gate any more."));
      const text = JSON.stringify([found.newest, gate]);
      if (text === was) return;
      was = text;
      put(health_, h("div", { class: "panel-head" }, h("h2", { id: "health" }, "Health"), health(gate)),
        facts(["Newest change", number(found.newest)], ["Its snapshot", h("span", null, number(gate.snapshot_number), " ", h("span", { class: "fine" }, since(gate.snapshot_at)))],
          ["Material is", age(gate)], ["Lost records", number(gate.dropped_records)]),
        gate.proxies.length === 0
          ? h("p", { class: "fine" }, gate.is_configured ? "No proxy of this gate has asked within a day: enrol one below." : "It has no configuration yet: say below what it decides by.")
          : table("Proxies of this gate, with what they have", [
            ["Proxy", (proxy) => h("code", null, proxy.address)],
            ["State", (proxy) => proxy.connected ? (proxy.reached ? badge("good", "Up to date") : badge("wait", "Catching up")) : badge("quiet", "Not connected")],
            ["Snapshot", (proxy) => number(proxy.snapshot_number), "n"],
            ["Revocations", (proxy) => number(proxy.revocations_number), "n"],
            ["Material is", (proxy) => proxy.material_age_seconds === null ? "–" : duration(proxy.material_age_seconds)],
            ["Last asked", (proxy) => since(proxy.seen_at)],
            ["Key", (proxy) => id(proxy.key_id, 18)],
          ], gate.proxies),
        h("p", { class: "fine" }, "The workers of a proxy share what one of them fetched, within a fifth of a second."));
    } catch (error) {
      if (error.name !== "AbortError" && was === "") put(health_, h("h2", { id: "health" }, "Health"), failed(error, () => look()));
    }
  });

  load(config, "what it decides by", () => get(`${path}/config`, {}, signal), (value, again) => h("div", { class: "page" },
    h("div", { class: "panel-head" }, h("h2", { id: "config" }, "What it decides by"), may("gates:write") && button(value ? "Change" : "Configure", () => configure(`${path}/config`, value, may, again), { "aria-label": "Change what it decides by" })),
    value ? summary(value) : h("p", null, "Nothing yet. A gate without routes refuses everything; say which requests are which actions.")), { signal });

  put(enrol, h("h2", { id: "enrol" }, "Enrol a proxy"), may("gates:write") ? token(path) : h("p", null, "Your key may not enrol proxies."));
  load(keys, "its keys", () => get(`${path}/keys`, {}, signal), (all, again) => h("div", { class: "page" }, h("h2", { id: "keys" }, "Keys that call for it"),
    all.length === 0 ? h("p", { class: "fine" }, "None: no proxy has enrolled.") : table("Keys", [
      ["Key", (key) => id(key.key_id, 20)], ["Since", (key) => time(key.created_at)], ["Until", (key) => key.not_after ? time(key.not_after) : "for good"],
      ["", (key) => may("gates:write") && (!key.not_after || new Date(key.not_after) > new Date()) && button("End", async () => {
        await remove(`${path}/keys/${part(key.key_id)}`);
        announce("The key is ended");
        again();
      }, { class: "small danger", "aria-label": `End the key ${key.key_id}` }), "end"],
    ], all)), { signal, lines: 2 });
}

function change(own, gate, again) {
  const window = dialog(`Change ${gate.name}`, form("Change the gate", settings(gate), {
    submit: "Save", cancel: () => window.close(), send: (data) => patch(own, read(data)),
    sent: () => {
      window.close();
      announce("The gate is changed");
      again();
    },
  }));
}

function drop(own, gate, go) {
  const window = dialog(`Delete ${gate.name}?`, h("p", null, "Its passports are revoked, its keys end, and its id is not used again. Its records stay."),
    form("Delete the gate", [], { submit: "Delete for good", cancel: () => window.close(), send: () => remove(own), sent: () => {
      window.close();
      announce("The gate is deleted");
      go("/console/gates");
    } }));
}

function summary(value) {
  const trust = value.trust ?? {};
  return h("div", { class: "page" },
    facts(["Hosts", (value.authorities ?? []).join(", ")], ["Mode", value.mode === "report" ? "report: decides and counts, and lets through" : "enforce"],
      ["Trusted beside", Object.keys(trust).length > 0 ? Object.keys(trust).map((name) => name.replaceAll("_", " ")).join(", ") : undefined],
      ["Guardrails", value.guardrails && Object.keys(value.guardrails).join(", ")]),
    table("Routes", [
      ["Path", (route) => h("code", null, route.path ?? `${route.path_prefix ?? ""}…`)],
      ["Methods", (route) => (route.methods ?? []).join(", ")],
      ["Action", (route) => route.public ? badge("quiet", "Public") : h("span", { class: "action" }, route.action ?? "–")],
      ["Cost", (route) => route.cost_cents ? `${route.cost_cents} ¢` : ""],
      ["Target", (route) => route.target_domain ?? ""],
    ], value.routes ?? []),
    h("details", { class: "more" }, h("summary", null, "As JSON"), h("pre", { class: "record", tabindex: "0" }, JSON.stringify(value, null, 2))));
}

async function configure(path, value, may, again) {
  const types = may("passports:read") ? await get("/api/constraints/types").catch(() => []) : [];
  const limits = constraints(value?.guardrails ?? {}, types);
  const editor = routes(value?.routes ?? [{ path: "/", methods: ["GET"], action: "" }]);
  const whole = field("whole", "The whole configuration, as JSON", { kind: "textarea", rows: 14, value: JSON.stringify(value ?? {}, null, 2), hint: "It is taken instead of the fields above when the box is ticked: for what they have no place for." });
  const use = field("use", "Use this JSON instead", { kind: "check" });
  const window = dialog("What the gate decides by", form("What the gate decides by", [
    field("authorities", "Hosts that it stands before", { kind: "textarea", rows: 2, value: (value?.authorities ?? []).join("\n"), placeholder: "api.example", hint: "One on each line, as clients write them in Host." }),
    field("mode", "Mode", { kind: "select", options: [["enforce", "Enforce"], ["report", "Report: decide and count, and let everything through"]], value: value?.mode ?? "enforce" }),
    editor, types.length > 0 && limits, h("details", { class: "more" }, h("summary", null, "More than that"), whole, use),
  ], {
    submit: "Save and send to the gate", cancel: () => window.close(),
    send: (data) => {
      if (data.has("use")) return send(path, parse(data.get("whole")));
      const made = { ...value, authorities: data.get("authorities").split(/\s+/).filter(Boolean), routes: editor.read() };
      if (data.get("mode") === "report") made.mode = "report";
      else delete made.mode;
      if (types.length > 0) made.guardrails = limits.read();
      if (made.guardrails && Object.keys(made.guardrails).length === 0) delete made.guardrails;
      return send(path, made);
    },
    sent: (done) => {
      window.close();
      announce(`It is on its way to the gate, as change ${done.number}`);
      again();
    },
  }));
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw Object.assign(new Error(`This is no JSON: ${error.message}`), { field: "whole" });
  }
}

function token(path) {
  const place = h("div", { class: "page" });
  return h("div", { class: "page" }, h("p", null, "A token enrols one proxy, within an hour. It is shown once."),
    h("p", null, button("Make a token", async () => {
      try {
        const made = await post(`${path}/enrolment-tokens`, {});
        put(place, h("pre", { tabindex: "0" }, made.token), h("p", null, copy(made.token, "the token")),
          h("p", { class: "fine" }, "On the proxy's machine: ", h("code", null, "portcullis gate enrol"), ", see its --help. Until ", time(made.expires_at), "."));
        announce("The token is made");
      } catch (error) {
        put(place, failed(error));
      }
    })), place);
}
