// What the list of gates and the page of one have in common.

import { h } from "../dom.js";
import { duration } from "../format.js";
import { badge, field } from "../ui.js";

const PROFILES = [
  ["L1", "L1 – baseline: the credential itself"],
  ["L2", "L2 – with a proof of each request, and fresh trust material"],
  ["L3", "L3 – with a challenge, and material of seconds"],
];

const STATES = {
  reached: ["good", "Up to date"],
  under_way: ["wait", "Catching up"],
  silent: ["quiet", "Not connected"],
  not_configured: ["quiet", "Not configured"],
};

/** At which age of its material a profile refuses, unless the gate says otherwise. */
const AGE = { L2: 300, L3: 10 };

export function health(gate) {
  return badge(...(STATES[gate.state] ?? ["quiet", gate.state]));
}

export function age(gate) {
  const connected = gate.proxies.filter((proxy) => proxy.connected && proxy.material_age_seconds !== null);
  if (connected.length === 0) return "–";
  const oldest = Math.max(...connected.map((proxy) => proxy.material_age_seconds));
  return h(
    "span",
    { class: AGE[gate.profile] && oldest > AGE[gate.profile] + 45 ? "old" : undefined },
    duration(oldest),
  );
}

export function settings(gate) {
  return [
    field("name", "Name", { value: gate?.name, required: true, maxlength: 200 }),
    field("description", "What it is for", { value: gate?.description ?? "", maxlength: 2000 }),
    field("profile", "Profile", { kind: "select", options: PROFILES, value: gate?.profile ?? "L1" }),
    field("allow_self_issued", "Agents may come with passports that they signed for themselves", {
      kind: "check",
      value: gate?.allow_self_issued,
    }),
    field("is_discoverable", "It is found by what its catalog offers", { kind: "check", value: gate?.is_discoverable }),
  ];
}

export function read(data) {
  return {
    name: data.get("name").trim(),
    description: data.get("description").trim() || null,
    profile: data.get("profile"),
    allow_self_issued: data.has("allow_self_issued"),
    is_discoverable: data.has("is_discoverable"),
  };
}
