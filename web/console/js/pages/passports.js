// Passports: issued, changed and revoked.

import { get, part, post, put as send } from "../api.js";
import { meter } from "../chart.js";
import { constraints } from "../constraints.js";
import { h, put } from "../dom.js";
import { cents, number } from "../format.js";
import { revokePassport } from "../tracker.js";
import { announce, badge, button, copy, dialog, empty, facts, failed, field, form, id, link, load, loading, pages, since, table, time } from "../ui.js";

const STATUS = { active: ["good", "Active"], expired: ["quiet", "Expired"], revoked: ["bad", "Revoked"] };
const LIVES = [["1h", "1 hour"], ["8h", "8 hours"], ["24h", "1 day"], ["7d", "7 days"], ["30d", "30 days"], ["90d", "90 days"]];

export function render(page) {
  if (page.rest[0]) one(page, page.rest[0]);
  else all(page);
}

function all({ place, aside, may, go, signal }) {
  const wanted = { status: "active", ...Object.fromEntries(new URLSearchParams(location.search)) };
  const make = () => button("Issue Passport", () => issue(go, signal), { class: "primary" });
  if (may("passports:write")) put(aside, make());
  const list = h("div");
  let offset = 0;
  const again = () => load(list, "passports", () => get("/api/v1/passports", { ...wanted, limit: 50, offset }, signal), (page) => page.total === 0
    ? empty(Object.entries(wanted).some(([name, value]) => value && name !== "status") || wanted.status === "revoked" || wanted.status === "expired" ? "Nothing matches" : "No passports",
      "A passport says what an agent may do, for how long and within which limits. Those that agents sign for themselves stand here once they are registered.", may("passports:write") && make())
    : h("div", { class: "page" }, table("Passports", [
      ["Passport", (one) => h("a", { href: `/console/passports/${part(one.passport_id)}`, title: one.passport_id }, h("code", { class: "id" }, one.passport_id.length > 24 ? `${one.passport_id.slice(0, 13)}…${one.passport_id.slice(-6)}` : one.passport_id))],
      ["Agent", (one) => h("span", null, one.agent_name ? `${one.agent_name} ` : "", id(one.agent_id, 24))],
      ["May", (one) => h("span", { class: "action" }, one.permissions.join(", "))],
      ["Status", (one) => badge(...STATUS[one.status])],
      ["Issued by", (one) => one.gate_id ? link(`/console/gates/${part(one.gate_id)}`, one.gate_id) : id(one.issuer_id, 22)],
      ["Until", (one) => since(one.expires_at)],
      ["", (one) => one.status === "active" && may("passports:write") && revoker(one, again), "end"],
    ], page.items), pages(page, (to) => {
      offset = to;
      again();
    })), { signal });
  const control = (name, label, made) => {
    const own = `filter-${name}`;
    made.id = own;
    let timer;
    made.addEventListener(made.tagName === "SELECT" ? "change" : "input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        wanted[name] = made.value.trim();
        offset = 0;
        history.replaceState(null, "", `/console/passports?${new URLSearchParams(Object.entries(wanted).filter(([, value]) => value))}`);
        again();
      }, made.tagName === "SELECT" ? 0 : 350);
    });
    return h("div", { class: "filter" }, h("label", { for: own }, label), made);
  };
  const text = (name) => h("input", { type: "search", autocomplete: "off", spellcheck: "false", maxlength: 256, value: wanted[name] ?? "" });
  put(place, h("search", { class: "filters", "aria-label": "Filter passports" },
    control("status", "Status", h("select", null, [["active", "Active"], ["expired", "Expired"], ["revoked", "Revoked"], ["", "Any"]].map(([value, name]) => h("option", { value, selected: value === wanted.status }, name)))),
    control("agent_id", "Agent", text("agent_id")), control("gate_id", "Gate", text("gate_id")), control("issuer_id", "Issuer", text("issuer_id"))), list);
  again();
}

/** A button that revokes at once, and says where it failed. */
function revoker(one, again, attributes = { class: "small danger" }) {
  const made = button("Revoke", async () => {
    made.disabled = true;
    try {
      await revokePassport(one.passport_id, one.issuer_id);
      again();
    } catch (error) {
      made.disabled = false;
      dialog("It is not revoked", failed(error));
    }
  }, { "aria-label": `Revoke ${one.passport_id}`, ...attributes });
  return made;
}

async function issue(go, signal) {
  const window = dialog("Issue a passport", loading("issuers and gates", 4));
  try {
    const none = () => ({ items: [] });
    const [issuers, gates, types] = await Promise.all([
      get("/api/v1/issuers", { limit: 200 }, signal).catch(none), get("/api/v1/gates", { limit: 200 }, signal).catch(none), get("/api/constraints/types", {}, signal)]);
    const by = [...issuers.items.map((one) => [`issuer ${one.issuer_id}`, `${one.name} – issuer, for all gates that trust it`]), ...gates.items.map((one) => [`gate ${one.gate_id}`, `${one.name} – gate, for itself alone`])];
    const head = window.querySelector(".dialog-head");
    if (by.length === 0) return put(window, head, empty("Nobody can issue one yet", "Create an issuer or a gate first.", link("/console/issuers", "Issuers")));
    const limits = constraints({}, types);
    put(window, head, form("Issue a passport", [
      field("by", "Issued by", { kind: "select", options: by }),
      h("div", { class: "side" }, field("agent_id", "Agent id", { required: true, maxlength: 256, placeholder: "agent_travel" }), field("agent_name", "Name, for people", { maxlength: 200 })),
      field("agent_public_key", "The agent's public key", { class: "code", maxlength: 100, hint: "Ed25519, standard base64 of 32 bytes. Only the agent has the private half. Left out for an agent that has registered a passport of its own." }),
      field("permissions", "What it may do", { kind: "textarea", rows: 3, required: true, placeholder: "flights:search\nflights:book", hint: "One action on each line." }),
      field("expires_in", "For how long", { kind: "select", options: LIVES, value: "24h" }),
      limits,
      field("delegation_authority", "The agent may delegate it", { kind: "check" }),
    ], {
      submit: "Issue", cancel: () => window.close(),
      send: (data) => {
        const text = (name) => data.get(name).trim() || null;
        const [kind, ...rest] = data.get("by").split(" ");
        const asked = { agent_id: text("agent_id"), agent_name: text("agent_name"), agent_public_key: text("agent_public_key"), permissions: data.get("permissions").split(/\s+/).filter(Boolean),
          expires_in: data.get("expires_in"), delegation_authority: data.has("delegation_authority"), constraints: limits.read() };
        return kind === "issuer" ? post("/api/v1/passports", { issuer_id: rest.join(" "), ...asked }) : post(`/api/gates/${part(rest.join(" "))}/passports`, asked);
      },
      sent: (made) => {
        window.close();
        announce("The passport is issued");
        go(`/console/passports/${part(made.passport_id ?? made.id)}`);
      },
    }));
  } catch (error) {
    put(window, window.querySelector(".dialog-head"), failed(error));
  }
}

function one({ place, heading, aside, may, go, signal }, passportId) {
  heading.textContent = "Passport";
  const path = `/api/v1/passports/${part(passportId)}`;
  const state = h("section", { class: "panel", "aria-labelledby": "used" });
  const limits = h("section", { class: "panel", "aria-labelledby": "limits" });
  const about = h("section", { class: "panel", "aria-labelledby": "about" });
  put(place, h("p", null, link("/console/passports", "All passports")), about, h("div", { class: "panels" }, state, limits));
  put(aside, id(passportId, 44));
  const again = load(about, "the passport", () => get(path, {}, signal), (passport) => {
    const whole = JSON.stringify({ passport_json: passport.passport_json, signature: passport.signature });
    return h("div", { class: "page" }, h("div", { class: "panel-head" }, h("h2", { id: "about" }, passport.agent_name || "The passport"), badge(...STATUS[passport.status])),
      facts(["Agent", id(passport.agent_id, 44)], ["May", passport.permissions.join(", ")], ["Issued by", passport.gate_id ? link(`/console/gates/${part(passport.gate_id)}`, passport.gate_id) : id(passport.issuer_id, 44)],
        ["Catalog", passport.catalog_version ? `version ${passport.catalog_version}` : undefined], ["Issued", time(passport.created_at)], ["Until", h("span", null, time(passport.expires_at), " · ", since(passport.expires_at))],
        ["Revoked", passport.revoked_at && time(passport.revoked_at)], ["Agent's key", h("span", null, id(passport.agent_public_key, 30), " ", copy(passport.agent_public_key, "the agent's key"))]),
      h("div", { class: "form-end" }, passport.status === "active" && may("passports:write") && revoker(passport, again, { class: "danger" }),
        passport.status === "active" && may("passports:write") && button("Issue again", async () => {
          try {
            const made = await post(`/api/passports/${part(passportId)}/reissue`, {});
            announce("It is issued again; this one is revoked");
            go(`/console/passports/${part(made.passport_id ?? made.id)}`);
          } catch (error) {
            dialog("It is not issued again", failed(error));
          }
        }), copy(whole, "the signed passport", { label: "Copy the signed passport", kind: "" }), link(`/console/decisions?period=7d&passport_id=${part(passportId)}`, "Decisions about it")),
      h("details", { class: "more" }, h("summary", null, "As it was signed"), h("pre", { class: "record", tabindex: "0" }, JSON.stringify(JSON.parse(passport.passport_json), null, 2))));
  }, { signal });
  usage(state, passportId, may, signal);
  const look = load(limits, "its limits", async () => Promise.all([get(`/api/passports/${part(passportId)}/constraints`, {}, signal), get("/api/constraints/types", {}, signal), get("/api/constraint-templates", {}, signal)]), ([set, types, templates]) => {
    const editor = constraints(set, types);
    return h("div", { class: "page" }, h("h2", { id: "limits" }, "Limits beside what was signed"),
      h("p", { class: "fine" }, "They narrow the passport at every gate, and never widen it."),
      may("passports:write") ? form("Limits", [editor], { submit: "Save limits", send: () => send(`/api/passports/${part(passportId)}/constraints`, editor.read()), sent: () => {
        announce("The limits are on their way to the gates");
        look();
      } }) : h("pre", null, JSON.stringify(set, null, 2)),
      may("passports:write") && form("Use a template", [field("template", "Or add those of a template", { kind: "select", options: templates.map((one) => [one.slug, one.name]) })], {
        submit: "Add", send: (data) => post(`/api/passports/${part(passportId)}/constraints`, { template_slug: data.get("template") }), sent: () => {
          announce("The template's limits are set");
          look();
        } }));
  }, { signal });
}

const WINDOWS = { daily: "today", rolling: "rolling window", total: "ever" };

/** What a passport has used of its caps. */
export function usage(place, passportId, may, signal) {
  const again = load(place, "what it used", () => get(`/api/passports/${part(passportId)}/state`, {}, signal), (state) => {
    const counts = Object.entries(state.action_counts ?? {});
    return h("div", { class: "page" }, h("div", { class: "panel-head" }, h("h2", { id: "used" }, "Used"), may("passports:write") && state.windows.length > 0 && button("Set back to nothing", async () => {
      try {
        await post(`/api/passports/${part(passportId)}/state/reset`, {});
        announce("What it has spent counts from nothing");
        again();
      } catch (error) {
        dialog("It is not set back", failed(error));
      }
    }, { class: "small" })),
      facts(["Spent today", cents(state.cost_cumulative_cents)], ["Let through today", counts.length === 0 ? "nothing" : counts.map(([action, count]) => `${action} ${number(count)}`).join(", ")]),
      state.windows.map((one) => meter(`${one.permission}, ${WINDOWS[one.window_type] ?? one.window_type}`, one.cost_cumulative_cents, one.held_cents, one.cap_cents, cents)),
      state.rates.length > 0 && table("Counted by the service", [["Permission", (one) => one.permission], ["Gate", (one) => id(one.gate_id)], ["Within a", (one) => one.window_type], ["Times", (one) => number(one.count), "n"]], state.rates),
      state.windows.length === 0 && h("p", { class: "fine" }, "No cap on spending has been used."));
  }, { signal, lines: 3 });
}
