// A decision: what was asked, why it fell so, and what to do about it.

import { part, post } from "../api.js";
import { h, put } from "../dom.js";
import { cents } from "../format.js";
import { revoke, revokePassport } from "../tracker.js";
import { badge, button, dialog, facts, id, link, load, loading, since, time, undone, verdict } from "../ui.js";

const GUARDS = {
  pass: ["good", "passed"],
  block: ["bad", "blocked"],
  hold: ["wait", "held"],
  recorded: ["quiet", "recorded"],
};

export function details(one, may) {
  const request = one.request ?? {};
  const place = h("div", { class: "checked" });
  const guards = one.guardrails_evaluated ?? [];
  const changes = () => may("audit:read") && link("/console/activity", "See what was changed");
  const window = dialog(
    "A decision",
    h("p", { class: "lead" }, verdict(one.decision), " ", h("span", { class: "action" }, one.action ?? "")),
    facts(
      ["When", h("span", null, time(one.created_at), " · ", since(one.created_at))],
      ["Why", one.reason_code && h("code", null, one.reason_code)],
      ["Request", request.path && h("code", null, `${request.method ?? ""} ${request.path}`)],
      ["Target", one.target],
      ["Cost", request.cost_cents > 0 ? cents(request.cost_cents) : undefined],
      ["Agent", one.agent_id && id(one.agent_id, 60)],
      ["Issuer", one.issuer_id && id(one.issuer_id, 60)],
      ["Passport", one.passport_id && id(one.passport_id, 60)],
      ["Gate", id(one.gate_id, 60)],
      ["Mode", one.mode ?? one.enforcement_mode],
      ["Access", one.access_mode],
      ["Place in the log", String(one.log_index)],
      ["Record", id(one.attestation_id, 60)],
      ["Reached the service", time(one.received_at)],
    ),
    guards.length > 0 &&
      h(
        "section",
        null,
        h("h3", null, "Guardrails"),
        h(
          "ul",
          { class: "plain" },
          guards.map((guard) => {
            const [kind, word] = GUARDS[guard.result] ?? ["quiet", guard.result];
            return h(
              "li",
              null,
              badge(kind, word),
              " ",
              h("code", null, guard.name),
              " ",
              h("span", { class: "fine" }, guard.detail),
            );
          }),
        ),
      ),
    place,
    h(
      "div",
      { class: "form-end" },
      button("Check signature and log", () =>
        load(
          place,
          "the check",
          () => post(`/api/enforcement/${part(one.attestation_id)}/verify?gate_id=${part(one.gate_id)}`, {}),
          (found) =>
            found.valid
              ? h("p", null, badge("good", "Signed by the gate, and in its log"))
              : h("p", null, badge("bad", "Not what was signed"), " ", h("code", null, found.reason)),
          { lines: 1 },
        ),
      ),
      one.passport_id &&
        may("passports:write") &&
        button(
          "Revoke this passport",
          () =>
            doing(place, window, () => revokePassport(one.passport_id, one.issuer_id), "It is not revoked", changes),
          { class: "danger" },
        ),
      one.agent_id &&
        one.issuer_id &&
        may("revocations") &&
        button(
          "Disable this agent",
          () =>
            doing(
              place,
              window,
              () =>
                revoke(`Agent ${one.agent_id}`, () =>
                  post("/api/v1/revocations", { kind: "agent", issuer: one.issuer_id, ids: [one.agent_id] }),
                ),
              "It is not disabled",
              changes,
            ),
          { class: "danger" },
        ),
    ),
    h(
      "details",
      { class: "more" },
      h("summary", null, "The record as it was signed"),
      h("pre", { class: "record", tabindex: "0" }, pretty(one.attestation_json)),
    ),
  );
}

async function doing(place, window, work, not, look) {
  put(place, loading("what becomes of it", 1));
  try {
    await work();
  } catch (error) {
    put(place, undone(not, error, look()));
    return;
  }
  window.close();
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text ?? "It cannot be read.";
  }
}
