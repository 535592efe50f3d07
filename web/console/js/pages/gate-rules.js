// What a gate does beside its routes: callers without a credential, and how long records stay.

import { get, part, put as send } from "../api.js";
import { h } from "../dom.js";
import { number } from "../format.js";
import { announce, badge, button, dialog, facts, field, form, load } from "../ui.js";

/** Panels for a gate, of whose paths one is `/api/gates/…` and one `/api/v1/gates/…`. */
export function rules(gate, own, path, may, signal) {
  const anybody = h("section", { class: "panel", "aria-labelledby": "anybody" });
  const kept = h("section", { class: "panel", "aria-labelledby": "kept" });
  load(
    anybody,
    "what is open to anybody",
    () => get(`${own}/anonymous-policy`, {}, signal),
    (policy, again) =>
      h(
        "div",
        { class: "page" },
        h(
          "div",
          { class: "panel-head" },
          h("h2", { id: "anybody" }, "Without a credential"),
          may("gates:write") &&
            button("Change", () => open(`${own}/anonymous-policy`, policy, again), {
              "aria-label": "Change what is open without a credential",
            }),
        ),
        h(
          "p",
          null,
          policy.enabled ? badge("wait", "Something is open") : badge("quiet", "Nothing is open"),
          " beside public routes",
        ),
        policy.enabled &&
          facts(
            ["Actions", (policy.allowed_actions ?? []).join(", ") || "none"],
            ["Never", (policy.blocked_actions ?? []).join(", ")],
            ["Reading only", policy.read_only ? "yes" : "no"],
            [
              "From one address",
              `${number(policy.rate_limit_per_minute)} a minute, ${number(policy.rate_limit_per_hour)} an hour`,
            ],
          ),
      ),
    { signal, lines: 2 },
  );
  load(
    kept,
    "how long records stay",
    () => get(`${path}/retention`, {}, signal),
    (retention, again) =>
      h(
        "div",
        { class: "page" },
        h("h2", { id: "kept" }, "Records"),
        h(
          "p",
          null,
          retention.retention_days
            ? `Kept for ${number(retention.retention_days)} days.`
            : "Kept as long as the service's settings say.",
        ),
        may("audit") &&
          h(
            "p",
            { class: "form-end" },
            h(
              "a",
              { href: `/api/v1/attestations/export?format=jsonl&gate_id=${part(gate)}`, download: `${gate}.jsonl` },
              "Export for an audit",
            ),
            h("a", { href: `${own}/attestation-keys`, download: `${gate}-keys.json` }, "The keys for it"),
            h("a", { href: "/console/audit/", "data-whole": true }, "Audit"),
          ),
        may("gates:write") &&
          form(
            "How long records are kept",
            [
              field("retention_days", "Days", {
                kind: "number",
                min: 1,
                max: 36500,
                value: retention.retention_days ?? "",
                hint: "Left out: as the service's settings say. What is older is removed within a minute, for good; the log's hashes stay.",
              }),
            ],
            {
              submit: "Save",
              send: (data) =>
                send(`${path}/retention`, {
                  retention_days: data.get("retention_days") === "" ? null : Number(data.get("retention_days")),
                }),
              sent: () => {
                announce("It is saved");
                again();
              },
            },
          ),
      ),
    { signal, lines: 2 },
  );
  return h("div", { class: "panels" }, anybody, kept);
}

function open(path, policy, again) {
  const words = (name, label, hint) => field(name, label, { value: (policy[name] ?? []).join(" "), hint });
  const window = dialog(
    "Without a credential",
    form(
      "Without a credential",
      [
        field("enabled", "Callers without a credential may do something", { kind: "check", value: policy.enabled }),
        words(
          "allowed_actions",
          "Actions that they may ask for",
          "Each one that a route of the gate has; with spaces between.",
        ),
        words("blocked_actions", "Actions that they never may"),
        field("read_only", "Only what reads", { kind: "check", value: policy.read_only ?? true }),
        h(
          "div",
          { class: "side" },
          field("rate_limit_per_minute", "A minute, from one address", {
            kind: "number",
            min: 1,
            value: policy.rate_limit_per_minute ?? 5,
          }),
          field("rate_limit_per_hour", "An hour, from one address", {
            kind: "number",
            min: 1,
            value: policy.rate_limit_per_hour ?? 50,
          }),
        ),
        field("upgrade_message", "What a refusal says of how to get a credential", {
          value: policy.upgrade_message ?? "",
          maxlength: 500,
        }),
        field("upgrade_url", "And where", { value: policy.upgrade_url ?? "", maxlength: 500 }),
      ],
      {
        submit: "Save and send to the gate",
        cancel: () => window.close(),
        send: (data) => {
          const list = (name) =>
            data
              .get(name)
              .split(/[\s,]+/)
              .filter(Boolean);
          return send(path, {
            enabled: data.has("enabled"),
            read_only: data.has("read_only"),
            allowed_actions: list("allowed_actions"),
            blocked_actions: list("blocked_actions"),
            rate_limit_per_minute: Number(data.get("rate_limit_per_minute")),
            rate_limit_per_hour: Number(data.get("rate_limit_per_hour")),
            upgrade_message: data.get("upgrade_message").trim() || null,
            upgrade_url: data.get("upgrade_url").trim() || null,
          });
        },
        sent: () => {
          window.close();
          announce("It is on its way to the gate");
          again();
        },
      },
    ),
  );
}
