// Issuing a passport.

import { get, part, post } from "../api.js";
import { constraints } from "../constraints.js";
import { h, put } from "../dom.js";
import { announce, dialog, empty, failed, field, form, link, loading } from "../ui.js";

const LIVES = [
  ["1h", "1 hour"],
  ["8h", "8 hours"],
  ["24h", "1 day"],
  ["7d", "7 days"],
  ["30d", "30 days"],
  ["90d", "90 days"],
];

export async function issue(go, signal) {
  const window = dialog("Issue a passport", loading("issuers and gates", 4));
  try {
    // What the key may not see, it may not issue by.
    const none = (error) => {
      if (error.status === 403) return { items: [] };
      throw error;
    };
    const [issuers, gates, types] = await Promise.all([
      get("/api/v1/issuers", { limit: 200 }, signal).catch(none),
      get("/api/v1/gates", { limit: 200 }, signal).catch(none),
      get("/api/constraints/types", {}, signal),
    ]);
    const by = [
      ...issuers.items.map((one) => [`issuer ${one.issuer_id}`, `${one.name} – issuer, for all gates that trust it`]),
      ...gates.items.map((one) => [`gate ${one.gate_id}`, `${one.name} – gate, for itself alone`]),
    ];
    const head = window.querySelector(".dialog-head");
    if (by.length === 0)
      return put(
        window,
        head,
        empty("Nobody can issue one yet", "Create an issuer or a gate first.", link("/console/issuers", "Issuers")),
      );
    const limits = constraints({}, types);
    put(
      window,
      head,
      form(
        "Issue a passport",
        [
          field("by", "Issued by", { kind: "select", options: by }),
          h(
            "div",
            { class: "side" },
            field("agent_id", "Agent id", { required: true, maxlength: 256, placeholder: "agent_travel" }),
            field("agent_name", "Name, for people", { maxlength: 200 }),
          ),
          field("agent_public_key", "The agent's public key", {
            class: "code",
            maxlength: 100,
            hint: "Ed25519, standard base64 of 32 bytes. Only the agent has the private half. Left out for an agent that has registered a passport of its own.",
          }),
          field("permissions", "What it may do", {
            kind: "textarea",
            rows: 3,
            required: true,
            placeholder: "flights:search\nflights:book",
            hint: "One action on each line.",
          }),
          field("expires_in", "For how long", { kind: "select", options: LIVES, value: "24h" }),
          limits,
          field("delegation_authority", "The agent may delegate it", { kind: "check" }),
        ],
        {
          submit: "Issue",
          cancel: () => window.close(),
          send: (data) => {
            const text = (name) => data.get(name).trim() || null;
            const [kind, ...rest] = data.get("by").split(" ");
            const asked = {
              agent_id: text("agent_id"),
              agent_name: text("agent_name"),
              agent_public_key: text("agent_public_key"),
              permissions: data.get("permissions").split(/\s+/).filter(Boolean),
              expires_in: data.get("expires_in"),
              delegation_authority: data.has("delegation_authority"),
              constraints: limits.read(),
            };
            return kind === "issuer"
              ? post("/api/v1/passports", { issuer_id: rest.join(" "), ...asked })
              : post(`/api/gates/${part(rest.join(" "))}/passports`, asked);
          },
          sent: (made) => {
            window.close();
            announce("The passport is issued");
            go(`/console/passports/${part(made.passport_id ?? made.id)}`);
          },
        },
      ),
    );
  } catch (error) {
    put(window, window.querySelector(".dialog-head"), failed(error));
  }
}
