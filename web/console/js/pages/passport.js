// A passport: what it says, what it has used, and limits beside what was signed.

import { get, part, post, put as send } from "../api.js";
import { meter } from "../chart.js";
import { constraints } from "../constraints.js";
import { h, put } from "../dom.js";
import { cents, number } from "../format.js";
import {
  announce,
  badge,
  button,
  copy,
  dialog,
  facts,
  field,
  form,
  id,
  link,
  load,
  since,
  table,
  tellUndone,
  time,
} from "../ui.js";
import { STATUS, revoker } from "./passport-parts.js";

export function one({ place, heading, aside, may, go, signal }, passportId) {
  heading.textContent = "Passport";
  const path = `/api/v1/passports/${part(passportId)}`;
  const state = h("section", { class: "panel", "aria-labelledby": "used" });
  const limits = h("section", { class: "panel", "aria-labelledby": "limits" });
  const about = h("section", { class: "panel", "aria-labelledby": "about" });
  put(
    place,
    h("p", null, link("/console/passports", "All passports")),
    about,
    h("div", { class: "panels" }, state, limits),
  );
  put(aside, id(passportId, 44));
  const again = load(
    about,
    "the passport",
    () => get(path, {}, signal),
    (passport) => {
      const whole = JSON.stringify({ passport_json: passport.passport_json, signature: passport.signature });
      return h(
        "div",
        { class: "page" },
        h(
          "div",
          { class: "panel-head" },
          h("h2", { id: "about" }, passport.agent_name || "The passport"),
          badge(...STATUS[passport.status]),
        ),
        facts(
          ["Agent", id(passport.agent_id, 44)],
          ["May", passport.permissions.join(", ")],
          [
            "Issued by",
            passport.gate_id
              ? link(`/console/gates/${part(passport.gate_id)}`, passport.gate_id)
              : id(passport.issuer_id, 44),
          ],
          ["Catalog", passport.catalog_version ? `version ${passport.catalog_version}` : undefined],
          ["Issued", time(passport.created_at)],
          ["Until", h("span", null, time(passport.expires_at), " · ", since(passport.expires_at))],
          ["Revoked", passport.revoked_at && time(passport.revoked_at)],
          [
            "Agent's key",
            h("span", null, id(passport.agent_public_key, 30), " ", copy(passport.agent_public_key, "the agent's key")),
          ],
        ),
        h(
          "div",
          { class: "form-end" },
          passport.status === "active" && may("passports:write") && revoker(passport, again, { class: "danger" }),
          passport.status === "active" &&
            may("passports:write") &&
            button("Issue again", () => reissue(passport, may, go, signal)),
          copy(whole, "the signed passport", { label: "Copy the signed passport", kind: "" }),
          link(`/console/decisions?period=7d&passport_id=${part(passportId)}`, "Decisions about it"),
        ),
        h(
          "details",
          { class: "more" },
          h("summary", null, "As it was signed"),
          h("pre", { class: "record", tabindex: "0" }, JSON.stringify(JSON.parse(passport.passport_json), null, 2)),
        ),
      );
    },
    { signal },
  );
  usage(state, passportId, may, signal);
  const look = load(
    limits,
    "its limits",
    async () =>
      Promise.all([
        get(`/api/passports/${part(passportId)}/constraints`, {}, signal),
        get("/api/constraints/types", {}, signal),
        get("/api/constraint-templates", {}, signal),
      ]),
    ([set, types, templates]) => {
      const editor = constraints(set, types);
      return h(
        "div",
        { class: "page" },
        h("h2", { id: "limits" }, "Limits beside what was signed"),
        h("p", { class: "fine" }, "They narrow the passport at every gate, and never widen it."),
        may("passports:write")
          ? form("Limits", [editor], {
              submit: "Save limits",
              send: () => send(`/api/passports/${part(passportId)}/constraints`, editor.read()),
              sent: () => {
                announce("The limits are on their way to the gates");
                look();
              },
            })
          : h("pre", null, JSON.stringify(set, null, 2)),
        may("passports:write") &&
          form(
            "Use a template",
            [
              field("template", "Or add those of a template", {
                kind: "select",
                options: templates.map((one) => [one.slug, one.name]),
              }),
            ],
            {
              submit: "Add",
              send: (data) =>
                post(`/api/passports/${part(passportId)}/constraints`, { template_slug: data.get("template") }),
              sent: () => {
                announce("The template's limits are set");
                look();
              },
            },
          ),
      );
    },
    { signal },
  );
}

/** Signs a new passport in place of one: under the terms that it has, or those in force. */
function reissue(passport, may, go, signal) {
  const place = h("div");
  const window = dialog("Issue it again", place);
  const has = passport.catalog_version;
  load(
    place,
    "the terms in force",
    async () => (has && may("gates:read") ? get(`/api/gates/${part(passport.gate_id)}`, {}, signal) : null),
    (gate) => {
      const newest = gate?.current_catalog_version;
      return h(
        "div",
        { class: "page" },
        h("p", null, "The new passport has an id of its own; this one is revoked at every gate."),
        form(
          "Issue it again",
          [
            newest > has &&
              field("terms", "Terms", {
                kind: "select",
                options: [
                  ["", `those that it has, of version ${has}`],
                  [String(newest), `those in force, of version ${newest}`],
                ],
              }),
          ],
          {
            submit: "Issue",
            cancel: () => window.close(),
            send: (data) =>
              post(`/api/passports/${part(passport.passport_id)}/reissue`, {
                accept_catalog_version: data.get("terms") ? Number(data.get("terms")) : null,
              }),
            sent: (made) => {
              window.close();
              announce("It is issued again; the one before is revoked");
              go(`/console/passports/${part(made.passport_id ?? made.id)}`);
            },
          },
        ),
      );
    },
    { signal },
  );
}

const WINDOWS = { daily: "today", rolling: "rolling window", total: "ever" };

/** What a passport has used of its caps. */
function usage(place, passportId, may, signal) {
  const again = load(
    place,
    "what it used",
    () => get(`/api/passports/${part(passportId)}/state`, {}, signal),
    (state) => {
      const counts = Object.entries(state.action_counts ?? {});
      return h(
        "div",
        { class: "page" },
        h(
          "div",
          { class: "panel-head" },
          h("h2", { id: "used" }, "Used"),
          may("passports:write") &&
            state.windows.length > 0 &&
            button(
              "Set back to nothing",
              async () => {
                try {
                  await post(`/api/passports/${part(passportId)}/state/reset`, {});
                  announce("What it has spent counts from nothing");
                  again();
                } catch (error) {
                  tellUndone("It is not set back", error, again);
                }
              },
              { class: "small" },
            ),
        ),
        facts(
          ["Spent today", cents(state.cost_cumulative_cents)],
          [
            "Let through today",
            counts.length === 0 ? "nothing" : counts.map(([action, count]) => `${action} ${number(count)}`).join(", "),
          ],
        ),
        state.windows.map((one) =>
          meter(
            `${one.permission}, ${WINDOWS[one.window_type] ?? one.window_type}`,
            one.cost_cumulative_cents,
            one.held_cents,
            one.cap_cents,
            cents,
          ),
        ),
        state.rates.length > 0 &&
          table(
            "Counted by the service",
            [
              ["Permission", (one) => one.permission],
              ["Gate", (one) => id(one.gate_id)],
              ["Within a", (one) => one.window_type],
              ["Times", (one) => number(one.count), "n"],
            ],
            state.rates,
          ),
        state.windows.length === 0 && h("p", { class: "fine" }, "No cap on spending has been used."),
      );
    },
    { signal, lines: 3 },
  );
}
