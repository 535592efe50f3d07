// Settlements: who owes what, and what became of it.

import { get, part, post } from "../api.js";
import { rows } from "../chart.js";
import { h, put } from "../dom.js";
import { cents, number, plural, share } from "../format.js";
import {
  announce,
  badge,
  button,
  dialog,
  empty,
  facts,
  field,
  form,
  id,
  link,
  load,
  pages,
  table,
  tellUndone,
  time,
} from "../ui.js";

const STATUS = {
  pending: ["wait", "Pending"],
  invoiced: ["wait", "Invoiced"],
  paid: ["good", "Paid"],
  disputed: ["bad", "Disputed"],
  void: ["quiet", "Void"],
};
const NEXT = {
  pending: ["invoiced", "void"],
  invoiced: ["paid", "disputed", "void"],
  disputed: ["invoiced", "void"],
  paid: [],
  void: [],
};
const VERBS = { invoiced: "Mark as invoiced", paid: "Mark as paid", disputed: "Mark as disputed", void: "Void it" };

export function render(page) {
  if (page.rest[0]) one(page, page.rest[0]);
  else all(page);
}

const period = (settlement) =>
  settlement.period_start === settlement.period_end
    ? settlement.period_start
    : `${settlement.period_start} to ${settlement.period_end}`;

function all({ place, aside, may, go, signal }) {
  const make = () => button("Settle a Period", () => settle(go, signal), { class: "primary" });
  if (may("billing:write")) put(aside, make());
  let offset = 0;
  const again = load(
    place,
    "settlements",
    () => get("/api/billing", { limit: 50, offset }, signal),
    (found) =>
      found.total === 0
        ? empty(
            "Nothing is settled yet",
            "Uses of what has a price make receipts; a settlement verifies those of a period anew and adds them up.",
            may("billing:write") && make(),
          )
        : h(
            "div",
            { class: "page" },
            rows(
              "What was owed, by settlement",
              [["owed", "Owed", "accent"]],
              found.settlements.slice(0, 12).map((one) => ({
                name: `${period(one)} · ${one.gate_id}`,
                values: { owed: one.total_cost_cents },
                text: cents(one.total_cost_cents),
              })),
            ),
            table(
              "Settlements",
              [
                ["Period", (one) => link(`/console/settlements/${part(one.id)}`, period(one))],
                ["Gate", (one) => one.gate_id],
                ["Agent", (one) => (one.agent_id ? id(one.agent_id) : "all")],
                ["Status", (one) => badge(...(STATUS[one.status] ?? ["quiet", one.status]))],
                ["Receipts", (one) => number(one.verified_count), "n"],
                ["Left out", (one) => number(one.excluded_count), "n"],
                ["Fee", (one) => cents(one.total_platform_fee_cents), "n"],
                ["Owed", (one) => cents(one.total_cost_cents), "n"],
              ],
              found.settlements,
            ),
            pages(found, (to) => {
              offset = to;
              again();
            }),
          ),
    { signal },
  );
}

function settle(go, signal) {
  const place = h("div");
  const window = dialog("Settle a period", place);
  load(
    place,
    "gates",
    () => get("/api/gates", {}, signal),
    (gates) => {
      const yesterday = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10);
      const progress = h("div", { role: "status" });
      return h(
        "div",
        { class: "page" },
        form(
          "Settle a period",
          [
            field("gate_id", "Gate", { kind: "select", options: gates.map((gate) => [gate.gate_id, gate.name]) }),
            field("period_type", "Period", {
              kind: "select",
              options: [
                ["daily", "A day"],
                ["weekly", "A week"],
                ["monthly", "A month"],
              ],
            }),
            field("period_start", "From", {
              kind: "date",
              required: true,
              value: yesterday,
              hint: "In UTC: of a week a Monday, of a month the first.",
            }),
            field("agent_id", "Of one agent alone", { maxlength: 256, hint: "Left out: of all." }),
          ],
          {
            submit: "Settle",
            cancel: () => window.close(),
            send: async (data) => {
              const [type, start] = [data.get("period_type"), data.get("period_start")];
              const made = await post("/api/billing", {
                gate_id: data.get("gate_id"),
                period_type: type,
                period_start: start,
                period_end: end(type, start),
                agent_id: data.get("agent_id").trim() || null,
              });
              return made.status === "running" ? run(made, progress, window) : made.id;
            },
            sent: (made) => {
              window.close();
              if (made) {
                announce("It is settled");
                go(`/console/settlements/${part(made)}`);
              }
            },
          },
        ),
        progress,
      );
    },
    { signal },
  );
}

function end(type, start) {
  const date = new Date(`${start}T00:00:00Z`);
  if (type === "weekly") date.setUTCDate(date.getUTCDate() + 6);
  if (type === "monthly") date.setUTCMonth(date.getUTCMonth() + 1, 0);
  return date.toISOString().slice(0, 10);
}

/** Waits for a settlement that takes longer, and shows how far it is. */
async function run(made, progress, window) {
  let state = made;
  while (state.status === "running" && window.open) {
    put(
      progress,
      h(
        "p",
        null,
        state.total > 0
          ? `${number(state.verified)} of ${plural(state.total, "receipt")} verified`
          : "Counting receipts…",
      ),
    );
    await new Promise((done) => setTimeout(done, 1000));
    state = await get(`/api/billing/runs/${part(made.settlement_run_id)}`);
  }
  if (state.status === "failed") throw new Error(state.failure ?? "It failed.");
  return window.open ? state.settlement_id : null;
}

function one({ place, heading, aside, may, signal }, settlementId) {
  const path = `/api/billing/${part(settlementId)}`;
  heading.textContent = "Settlement";
  put(aside, id(settlementId, 44));
  const again = load(
    place,
    "the settlement",
    () => get(path, {}, signal),
    (one) => {
      const sla = h("section", { class: "panel", "aria-labelledby": "sla" });
      load(
        sla,
        "promises",
        () =>
          get(
            `/api/gates/${part(one.gate_id)}/sla`,
            { period_start: one.period_start, period_end: one.period_end },
            signal,
          ),
        promises,
        { signal, lines: 2 },
      );
      const left = Object.entries(one.exclusion_breakdown ?? {});
      return h(
        "div",
        { class: "page" },
        h("p", null, link("/console/settlements", "All settlements")),
        h(
          "section",
          { class: "panel", "aria-labelledby": "about" },
          h(
            "div",
            { class: "panel-head" },
            h("h2", { id: "about" }, `${cents(one.total_cost_cents)} for ${period(one)}`),
            badge(...(STATUS[one.status] ?? ["quiet", one.status])),
          ),
          facts(
            ["Gate", link(`/console/gates/${part(one.gate_id)}`, one.gate_id)],
            ["Agent", one.agent_id ? id(one.agent_id, 40) : "all"],
            ["Receipts", number(one.total_transactions)],
            ["Count", number(one.verified_count)],
            ["Left out", number(one.excluded_count)],
            ["Came later", one.late_count ? number(one.late_count) : undefined],
            ["Platform's part", cents(one.total_platform_fee_cents)],
            ["Made", time(one.created_at)],
            ["Hash", id(one.content_hash, 30)],
          ),
          h(
            "div",
            { class: "form-end" },
            may("billing:write") &&
              (NEXT[one.status] ?? []).map((next) =>
                button(
                  VERBS[next],
                  async () => {
                    try {
                      await post(`${path}/status`, { status: next });
                      announce(`The settlement is ${next}`);
                      again();
                    } catch (error) {
                      tellUndone("It is not changed", error, again);
                    }
                  },
                  { class: next === "void" ? "danger" : "" },
                ),
              ),
            h("a", { href: `${path}/records`, download: `${settlementId}.jsonl` }, "Download its records"),
          ),
        ),
        h(
          "div",
          { class: "panels" },
          h(
            "section",
            { class: "panel", "aria-labelledby": "by-action" },
            h("h2", { id: "by-action" }, "By action"),
            parts(one.permission_breakdown),
          ),
          h(
            "section",
            { class: "panel", "aria-labelledby": "by-outcome" },
            h("h2", { id: "by-outcome" }, "By outcome"),
            parts(one.outcome_breakdown),
            left.length > 0 && h("h3", null, "Left out"),
            left.length > 0 &&
              rows(
                "Left out",
                [["count", "Receipts", "hold"]],
                left.map(([name, count]) => ({
                  name: name.replaceAll("_", " "),
                  values: { count },
                  text: number(count),
                })),
              ),
          ),
          sla,
          h(
            "section",
            { class: "panel", "aria-labelledby": "history" },
            h("h2", { id: "history" }, "How it came here"),
            table(
              "Status changes",
              [
                ["When", (change) => time(change.at)],
                ["Became", (change) => badge(...(STATUS[change.status] ?? ["quiet", change.status]))],
                ["By", (change) => id(change.actor, 20)],
              ],
              one.status_history,
            ),
          ),
        ),
        one.agent_breakdown &&
          one.agent_breakdown.length > 0 &&
          h(
            "section",
            { class: "panel", "aria-labelledby": "by-agent" },
            h("h2", { id: "by-agent" }, "By agent"),
            rows(
              "By agent",
              [["owed", "Owed", "accent"]],
              one.agent_breakdown.slice(0, 50).map((agent) => ({
                name: agent.agent_id,
                values: { owed: agent.cost_cents },
                text: cents(agent.cost_cents),
              })),
            ),
          ),
      );
    },
    { signal },
  );
}

function parts(breakdown) {
  const all = Object.entries(breakdown ?? {});
  if (all.length === 0) return h("p", { class: "fine" }, "Nothing.");
  return rows(
    "What was owed",
    [["owed", "Owed", "accent"]],
    all.map(([name, of]) => ({
      name,
      values: { owed: of.cost_cents },
      text: `${cents(of.cost_cents)} · ${plural(of.transactions, "receipt")}`,
    })),
  );
}

function promises(report) {
  return h(
    "div",
    { class: "page" },
    h("h2", { id: "sla" }, "Promises"),
    h(
      "p",
      null,
      report.overall_compliant ? badge("good", "Kept") : badge("bad", "Not kept"),
      ` Uptime ${share(report.overall_uptime_bp)}`,
    ),
    report.metrics.length > 0 &&
      table(
        "Uptime by action",
        [
          ["Action", (one) => one.permission_key],
          ["Promised", (one) => (one.sla_uptime_bp === null ? "nothing" : share(one.sla_uptime_bp))],
          ["Kept", (one) => share(one.uptime_basis_points)],
          ["", (one) => (one.compliant ? badge("good", "Kept") : badge("bad", "Not kept"))],
        ],
        report.metrics,
      ),
  );
}
