// What a gate decides by: hosts, routes, limits.

import { get, put as send } from "../api.js";
import { constraints } from "../constraints.js";
import { h } from "../dom.js";
import { routes } from "../routes.js";
import { announce, badge, dialog, facts, field, form, table } from "../ui.js";

export function summary(value) {
  const trust = value.trust ?? {};
  return h(
    "div",
    { class: "page" },
    facts(
      ["Hosts", (value.authorities ?? []).join(", ")],
      ["Mode", value.mode === "report" ? "report: decides and counts, and lets through" : "enforce"],
      [
        "Trusted beside",
        Object.keys(trust).length > 0
          ? Object.keys(trust)
              .map((name) => name.replaceAll("_", " "))
              .join(", ")
          : undefined,
      ],
      ["Guardrails", value.guardrails && Object.keys(value.guardrails).join(", ")],
    ),
    table(
      "Routes",
      [
        ["Path", (route) => h("code", null, route.path ?? `${route.path_prefix ?? ""}…`)],
        ["Methods", (route) => (route.methods ?? []).join(", ")],
        [
          "Action",
          (route) => (route.public ? badge("quiet", "Public") : h("span", { class: "action" }, route.action ?? "–")),
        ],
        ["Cost", (route) => (route.cost_cents ? `${route.cost_cents} ¢` : "")],
        ["Target", (route) => route.target_domain ?? ""],
      ],
      value.routes ?? [],
    ),
    h(
      "details",
      { class: "more" },
      h("summary", null, "As JSON"),
      h("pre", { class: "record", tabindex: "0" }, JSON.stringify(value, null, 2)),
    ),
  );
}

export async function configure(path, value, may, again) {
  const types = may("passports:read") ? await get("/api/constraints/types").catch(() => []) : [];
  const limits = constraints(value?.guardrails ?? {}, types);
  const editor = routes(value?.routes ?? [{ path: "/", methods: ["GET"], action: "" }]);
  const whole = field("whole", "The whole configuration, as JSON", {
    kind: "textarea",
    rows: 14,
    value: JSON.stringify(value ?? {}, null, 2),
    hint: "It is taken instead of the fields above when the box is ticked: for what they have no place for.",
  });
  const use = field("use", "Use this JSON instead", { kind: "check" });
  const window = dialog(
    "What the gate decides by",
    form(
      "What the gate decides by",
      [
        field("authorities", "Hosts that it stands before", {
          kind: "textarea",
          rows: 2,
          value: (value?.authorities ?? []).join("\n"),
          placeholder: "api.example",
          hint: "One on each line, as clients write them in Host.",
        }),
        field("mode", "Mode", {
          kind: "select",
          options: [
            ["enforce", "Enforce"],
            ["report", "Report: decide and count, and let everything through"],
          ],
          value: value?.mode ?? "enforce",
        }),
        editor,
        types.length > 0 && limits,
        h("details", { class: "more" }, h("summary", null, "More than that"), whole, use),
      ],
      {
        submit: "Save and send to the gate",
        cancel: () => window.close(),
        send: (data) => {
          if (data.has("use")) return send(path, parse(data.get("whole")));
          const made = {
            ...value,
            authorities: data.get("authorities").split(/\s+/).filter(Boolean),
            routes: editor.read(),
          };
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
      },
    ),
  );
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw Object.assign(new Error(`This is no JSON: ${error.message}`), { field: "whole" });
  }
}
