// Catalogs: what gates offer, at which price and with which promises.

import { get, part, post } from "../api.js";
import { h, put } from "../dom.js";
import { cents, number, plural, share } from "../format.js";
import { announce, badge, button, dialog, empty, facts, field, form, id, link, load, table, time } from "../ui.js";

const MODELS = [
  ["", "free of charge"],
  ["per_call", "per call"],
  ["usage", "per unit used"],
  ["per_minute", "per minute"],
  ["subscription", "per month"],
];
const PRICE = {
  per_call: "per_call_cents",
  usage: "per_call_cents",
  per_minute: "per_minute_cents",
  subscription: "subscription_cents",
};
const RISKS = [
  ["low", "low"],
  ["medium", "medium"],
  ["high", "high"],
  ["critical", "critical"],
];

export function render(page) {
  if (page.rest[0]) one(page, page.rest[0]);
  else all(page);
}

function all({ place, signal }) {
  load(
    place,
    "catalogs",
    () => get("/api/gates", {}, signal),
    (gates) =>
      gates.length === 0
        ? empty("No gates yet", "A catalog is what a gate offers; make a gate first.", link("/console/gates", "Gates"))
        : table(
            "Catalogs of gates",
            [
              ["Gate", (gate) => link(`/console/catalogs/${part(gate.gate_id)}`, gate.name)],
              [
                "In force",
                (gate) =>
                  gate.current_catalog_version > 0
                    ? `version ${gate.current_catalog_version}`
                    : h("span", { class: "none" }, "none"),
              ],
              ["Discovery", (gate) => (gate.is_discoverable ? badge("good", "Found") : badge("quiet", "Not found"))],
            ],
            gates,
          ),
    { signal },
  );
}

function price(terms = {}) {
  const model =
    terms["core:pricing:model"] ??
    Object.keys(PRICE).find((name) => terms[`core:pricing:${PRICE[name]}`] !== undefined);
  const amount = model && terms[`core:pricing:${PRICE[model]}`];
  return amount === undefined
    ? "free of charge"
    : `${cents(amount)} ${MODELS.find(([name]) => name === model)?.[1] ?? model}`;
}

const offered = (permissions) =>
  table(
    "What is offered",
    [
      ["Action", (one) => h("span", { class: "action" }, one.permission_key)],
      ["Name", (one) => one.display_name],
      ["Price", (one) => price(one.constraints)],
      [
        "Free calls",
        (one) =>
          one.constraints?.["core:pricing:free_tier_calls"] === undefined
            ? ""
            : number(one.constraints["core:pricing:free_tier_calls"]),
        "n",
      ],
      [
        "Uptime",
        (one) =>
          one.constraints?.["core:sla:uptime_basis_points"] === undefined
            ? ""
            : share(one.constraints["core:sla:uptime_basis_points"]),
      ],
      ["Risk", (one) => one.risk_level ?? "low"],
    ],
    permissions,
  );

function one({ place, heading, aside, may, signal }, gateId) {
  const path = `/api/gates/${part(gateId)}/catalog`;
  heading.textContent = "Catalog";
  put(aside, link(`/console/gates/${part(gateId)}`, gateId));
  const draft = h("section", { class: "panel", "aria-labelledby": "draft" });
  const versions = h("section", { class: "panel", "aria-labelledby": "versions" });
  put(place, h("p", null, link("/console/catalogs", "All catalogs")), draft, versions);
  const missing = (error) => {
    if (error.status === 404 && error.code !== "forbidden") return null;
    throw error;
  };
  const again = load(
    draft,
    "the draft",
    () => get(path, {}, signal).catch(missing),
    (value) =>
      h(
        "div",
        { class: "page" },
        h(
          "div",
          { class: "panel-head" },
          h("h2", { id: "draft" }, "Draft"),
          may("gates:write") &&
            h(
              "div",
              { class: "form-end" },
              button(value ? "Change the draft" : "Write a draft", () => edit(path, value, again)),
              value && button("Publish", () => publish(path, look, again), { class: "primary" }),
            ),
        ),
        value
          ? h(
              "div",
              { class: "page" },
              facts(["Name", value.catalog_name], ["About", value.description], ["Changed", time(value.updated_at)]),
              offered(value.permissions),
            )
          : h(
              "p",
              null,
              "There is no draft. What is drafted changes nothing until it is published; what is published is signed, and for good.",
            ),
      ),
    { signal },
  );
  const look = load(
    versions,
    "versions",
    () => get(`${path}/versions`, {}, signal),
    (found) => {
      return h(
        "div",
        { class: "page" },
        h("h2", { id: "versions" }, "Published"),
        found.length === 0
          ? h("p", { class: "fine" }, "Nothing is published yet.")
          : table(
              "Published versions",
              [
                ["Version", (version) => number(version.version)],
                ["In force from", (version) => time(version.effective_at)],
                [
                  "For agents",
                  (version) =>
                    version.has_breaking_changes ? badge("wait", "Worse in part") : badge("good", "No worse"),
                ],
                ["What changed", (version) => version.change_summary ?? ""],
                ["Hash", (version) => id(version.content_hash, 18)],
                [
                  "",
                  (version) =>
                    button(
                      "Show",
                      async () => {
                        const window = dialog(`Version ${version.version}`, h("div"));
                        load(
                          window.lastElementChild,
                          "the version",
                          () => get(`${path}/${version.version}`, {}, signal),
                          (whole) => offered(whole.catalog_snapshot.permissions),
                          { signal },
                        );
                      },
                      { class: "small", "aria-label": `Show version ${version.version}` },
                    ),
                  "end",
                ],
              ],
              [...found].reverse(),
            ),
      );
    },
    { signal },
  );
}

function edit(path, value, again) {
  const lines = h("div", { class: "page" });
  const add = (given) => {
    const terms = given?.constraints ?? {};
    const model =
      terms["core:pricing:model"] ??
      Object.keys(PRICE).find((name) => terms[`core:pricing:${PRICE[name]}`] !== undefined) ??
      "";
    const fields = {
      key: field("key", "Action", {
        value: given?.permission_key ?? "",
        maxlength: 256,
        placeholder: "flights:search",
      }),
      name: field("name", "Name", { value: given?.display_name ?? "", maxlength: 200 }),
      about: field("about", "What it is", { value: given?.description ?? "", maxlength: 2000 }),
      model: field("model", "Charged", { kind: "select", options: MODELS, value: model }),
      cents: field("cents", "Price in cents", {
        kind: "number",
        min: 0,
        value: model ? (terms[`core:pricing:${PRICE[model]}`] ?? "") : "",
      }),
      free: field("free", "Free calls", { kind: "number", min: 0, value: terms["core:pricing:free_tier_calls"] ?? "" }),
      uptime: field("uptime", "Uptime in basis points", {
        kind: "number",
        min: 0,
        max: 10000,
        placeholder: "9990 is 99.9 %",
        value: terms["core:sla:uptime_basis_points"] ?? "",
      }),
      response: field("response", "Response time in ms", {
        kind: "number",
        min: 1,
        value: terms["core:sla:response_time_ms"] ?? "",
      }),
      risk: field("risk", "Risk", { kind: "select", options: RISKS, value: given?.risk_level ?? "low" }),
    };
    const line = h(
      "div",
      { class: "line", role: "group", "aria-label": `Offer ${given?.permission_key ?? "new"}` },
      Object.values(fields),
      button("Remove", () => line.remove(), { class: "small danger" }),
    );
    for (const control of line.querySelectorAll("[name]")) control.removeAttribute("name");
    line.read = () => {
      const of = (name) => fields[name].control.value.trim();
      const made = { ...terms };
      for (const name of [
        "core:pricing:model",
        ...new Set(Object.values(PRICE).map((price) => `core:pricing:${price}`)),
        "core:pricing:free_tier_calls",
        "core:sla:uptime_basis_points",
        "core:sla:response_time_ms",
      ])
        delete made[name];
      if (of("model")) {
        made["core:pricing:model"] = of("model");
        if (of("cents") !== "") made[`core:pricing:${PRICE[of("model")]}`] = Number(of("cents"));
      }
      for (const [name, key] of [
        ["free", "core:pricing:free_tier_calls"],
        ["uptime", "core:sla:uptime_basis_points"],
        ["response", "core:sla:response_time_ms"],
      ])
        if (of(name) !== "") made[key] = Number(of(name));
      return {
        ...given,
        permission_key: of("key"),
        display_name: of("name") || of("key"),
        description: of("about") || of("name") || of("key"),
        risk_level: of("risk"),
        constraints: made,
      };
    };
    lines.append(line);
    return fields.key.control;
  };
  for (const permission of value?.permissions ?? []) add(permission);
  if (!value) add();
  const window = dialog(
    "The draft of a catalog",
    form(
      "Draft of a catalog",
      [
        h(
          "div",
          { class: "side" },
          field("catalog_name", "Name", { value: value?.catalog_name ?? "", maxlength: 200 }),
          field("description", "What it is", { value: value?.description ?? "", maxlength: 2000 }),
        ),
        h(
          "fieldset",
          { "data-field": "permissions" },
          h("legend", null, "What is offered"),
          lines,
          h(
            "p",
            null,
            button("Add an offer", () => add().focus(), { class: "small" }),
          ),
        ),
      ],
      {
        submit: "Save draft",
        cancel: () => window.close(),
        send: (data) =>
          post(path, {
            catalog_name: data.get("catalog_name").trim() || null,
            description: data.get("description").trim() || null,
            version: value?.version ?? null,
            is_active: true,
            permissions: [...lines.children].map((line) => line.read()),
          }),
        sent: () => {
          window.close();
          announce("The draft is saved");
          again();
        },
      },
    ),
  );
}

function publish(path, look, again) {
  const place = h("div");
  const window = dialog("Publish the draft", place);
  load(
    place,
    "what it would change",
    () => get(`${path}/impact`),
    (impact) =>
      h(
        "div",
        { class: "page" },
        h(
          "p",
          null,
          impact.has_breaking_changes
            ? badge("wait", "Worse for agents in part")
            : badge("good", "No worse for agents"),
        ),
        h(
          "p",
          null,
          impact.affected_passports === 0
            ? "No valid passport is pinned to other terms."
            : `${plural(impact.affected_passports, "valid passport")} keep${impact.affected_passports === 1 ? "s" : ""} other terms until issued again; for ${number(impact.breaking_passports)} some of the new ones are worse.`,
        ),
        impact.changes.length > 0 &&
          table(
            "Changes",
            [
              ["Action", (change) => change.permission_key],
              ["Change", (change) => change.type.replaceAll("_", " ")],
              ["Worse", (change) => (change.breaking ? badge("wait", "yes") : "no")],
            ],
            impact.changes,
          ),
        form("Publish", [field("change_summary", "What has changed, in your words", { maxlength: 2000 })], {
          submit: "Sign and publish",
          cancel: () => window.close(),
          send: (data) => post(`${path}/publish`, { change_summary: data.get("change_summary").trim() || null }),
          sent: (made) => {
            window.close();
            announce(`Version ${made.version} is published`);
            look();
            again();
          },
        }),
      ),
  );
}
