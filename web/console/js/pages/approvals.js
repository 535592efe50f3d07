// Requests that wait for a person.

import { get, part, post } from "../api.js";
import { h, put } from "../dom.js";
import { cents } from "../format.js";
import { announce, badge, button, empty, facts, failing, field, id, loading, since, table, time, undone } from "../ui.js";

const STATUS = {
  pending: ["wait", "Waiting"],
  approved: ["good", "Approved"],
  denied: ["bad", "Denied"],
  expired: ["quiet", "Expired"],
};

export function render({ place, signal, every, late }) {
  const waiting = h("section", { "aria-labelledby": "waiting" }, h("h2", { id: "waiting" }, "Waiting for an answer"));
  const list = h("div", { class: "page" });
  const past = h("div");
  waiting.append(list);
  put(
    place,
    waiting,
    h("section", { "aria-labelledby": "answered" }, h("h2", { id: "answered" }, "Answered and expired"), past),
  );
  put(list, loading("holds", 4));
  put(past, loading("answers", 3));
  const shown = new Map();
  let known = null;
  const look = every(2, async () => {
    try {
      const all = await get("/api/approvals", { limit: 200 }, signal);
      late();
      const pending = all.filter((one) => one.status === "pending");
      if (known !== null && pending.some((one) => !known.has(one.approval_request_id)))
        announce("Another request waits for an answer");
      known = new Set(pending.map((one) => one.approval_request_id));
      refresh(pending);
      answered(all.filter((one) => one.status !== "pending"));
    } catch (error) {
      if (error.name === "AbortError") return;
      if (known !== null) return late(error);
      put(past);
      failing(list, error, look);
    }
  });

  const refresh = (pending) => {
    if (pending.length === 0) {
      shown.clear();
      if (!list.querySelector(":scope > .state:not(.fault)"))
        put(
          list,
          empty(
            "Nobody waits",
            "A request that a guardrail holds stands here until somebody approves or denies it, or its time is over.",
          ),
        );
      return;
    }
    for (const one of list.querySelectorAll(":scope > .state, :scope > .loading")) one.remove();
    // A hold that somebody is answering stays as it is.
    for (const [key, element] of shown) {
      if (!known.has(key)) {
        element.remove();
        shown.delete(key);
      }
    }
    for (const one of pending) {
      if (shown.has(one.approval_request_id)) continue;
      const element = hold(one, look);
      shown.set(one.approval_request_id, element);
      list.append(element);
    }
  };

  let before = "";
  const answered = (all) => {
    const now = JSON.stringify(all);
    if (now === before) return;
    before = now;
    put(
      past,
      all.length === 0
        ? h("p", { class: "fine" }, "None within the last 30 days.")
        : table(
            "Holds that were answered or have expired",
            [
              ["When", (one) => time(one.resolved_at ?? one.expires_at)],
              ["Answer", (one) => badge(...(STATUS[one.status] ?? ["quiet", one.status]))],
              ["Request", (one) => h("code", null, `${one.method} ${one.path}`)],
              ["Agent", (one) => id(one.agent_id)],
              ["Cost", (one) => (one.cost_cents > 0 ? cents(one.cost_cents) : "–"), "n"],
              ["By", (one) => (one.resolved_by ? id(one.resolved_by, 20) : "")],
              ["Note", (one) => one.note ?? ""],
            ],
            all.slice(0, 100),
          ),
    );
  };
}

function hold(one, again) {
  const note = field("note", "Note", { maxlength: 500, hint: "It goes into the record." });
  const fault = h("div");
  const name = `${one.action ?? one.method} by ${one.agent_id ?? "nobody known"}`;
  const answer = async (decision, word) => {
    for (const control of box.querySelectorAll("button")) control.disabled = true;
    put(fault);
    try {
      await post(`/api/approvals/${part(one.approval_request_id)}/resolve`, {
        decision,
        note: note.control.value.trim() || null,
      });
      announce(`${word}: ${name}`);
      box.remove();
    } catch (error) {
      put(fault, undone("It is not answered", error));
      for (const control of box.querySelectorAll("button")) control.disabled = false;
    }
    again();
  };
  const box = h(
    "article",
    { class: "panel", "aria-label": name },
    h(
      "div",
      { class: "panel-head" },
      h("h3", null, one.summary),
      h("span", { class: "fine" }, "can be answered ", since(one.expires_at), " at the latest"),
    ),
    facts(
      ["Action", one.action],
      ["Request", h("code", null, `${one.method} ${one.path}`)],
      ["Target", one.target],
      ["Cost", one.cost_cents > 0 ? cents(one.cost_cents) : undefined],
      ["Agent", one.agent_id && id(one.agent_id, 44)],
      ["Issuer", one.issuer_id && id(one.issuer_id, 44)],
      ["Gate", id(one.gate_id)],
      ["Held", since(one.created_at)],
    ),
    note,
    fault,
    h(
      "div",
      { class: "form-end" },
      button("Approve", () => answer("approve", "Approved"), { class: "primary", "aria-label": `Approve ${name}` }),
      button("Deny", () => answer("deny", "Denied"), { class: "danger", "aria-label": `Deny ${name}` }),
    ),
  );
  return box;
}
