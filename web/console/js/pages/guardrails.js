// What guardrails did, and what passports have used of their limits.

import { get, part } from "../api.js";
import { meter, rows } from "../chart.js";
import { h, put } from "../dom.js";
import { cents, number, plural } from "../format.js";
import { empty, id, link, load, table } from "../ui.js";

const PERIODS = { "1h": ["Last hour", 3600], "24h": ["Last 24 hours", 86_400], "7d": ["Last 7 days", 604_800] };
const SERIES = [
  ["block", "Blocked", "block"],
  ["hold", "Held", "hold"],
  ["pass", "Passed", "allow"],
  ["recorded", "Recorded", "quiet"],
];

/** Records that one look reads: the most that the service answers at once. */
const READ = 1000;

/** Passports whose use is shown: those that were seen last. */
const PASSPORTS = 12;

export function render({ place, may, signal }) {
  const wanted = { period: "24h", ...Object.fromEntries(new URLSearchParams(location.search)) };
  const done = h("section", { class: "panel", "aria-labelledby": "done" });
  const why = h("section", { class: "panel", "aria-labelledby": "why" });
  const used = h("section", { class: "panel", "aria-labelledby": "used" });
  const period = h(
    "select",
    { id: "filter-period" },
    Object.entries(PERIODS).map(([key, [name]]) => h("option", { value: key, selected: key === wanted.period }, name)),
  );
  const gate = h("select", { id: "filter-gate" }, h("option", { value: "" }, "All gates"));
  if (may("gates:read"))
    get("/api/gates", {}, signal).then(
      (all) =>
        gate.append(
          ...all.map((one) => h("option", { value: one.gate_id, selected: one.gate_id === wanted.gate_id }, one.name)),
        ),
      () => {},
    );
  for (const control of [period, gate]) {
    control.addEventListener("change", () => {
      [wanted.period, wanted.gate_id] = [period.value, gate.value];
      history.replaceState(
        null,
        "",
        `/console/guardrails?${new URLSearchParams(Object.entries(wanted).filter(([, value]) => value))}`,
      );
      look();
    });
  }
  put(
    place,
    h(
      "search",
      { class: "filters", "aria-label": "Filter guardrails" },
      h("div", { class: "filter" }, h("label", { for: "filter-period" }, "Time"), period),
      h("div", { class: "filter" }, h("label", { for: "filter-gate" }, "Gate"), gate),
    ),
    h("div", { class: "panels" }, done, why),
    used,
  );

  const look = () => {
    const [, length] = PERIODS[wanted.period] ?? PERIODS["24h"];
    const after = new Date(Date.now() - length * 1000).toISOString();
    // Once for all three; what failed is asked for anew.
    let underWay = null;
    const read = () =>
      (underWay ??= get("/api/v1/attestations", { after, gate_id: wanted.gate_id, limit: READ }, signal).catch(
        (error) => {
          underWay = null;
          throw error;
        },
      ));
    load(
      done,
      "guardrails",
      read,
      (page) => {
        const by = new Map();
        for (const record of page.items) {
          for (const guard of record.guardrails_evaluated ?? []) {
            const values = by.get(guard.name) ?? {};
            values[guard.result] = (values[guard.result] ?? 0) + 1;
            by.set(guard.name, values);
          }
        }
        const all = [...by]
          .map(([name, values]) => ({ name, values }))
          .sort((a, b) => (b.values.block ?? 0) - (a.values.block ?? 0) || a.name.localeCompare(b.name));
        return h(
          "div",
          { class: "page" },
          h("h2", { id: "done" }, "What guardrails did"),
          read_of(page),
          all.length === 0
            ? h("p", null, "No guardrail was looked at: no passport and no gate has asked for one on these requests.")
            : rows("Guardrails", SERIES, all),
        );
      },
      { signal },
    );
    load(
      why,
      "reasons",
      read,
      (page) => {
        const by = new Map();
        for (const record of page.items)
          if (record.reason_code) by.set(record.reason_code, (by.get(record.reason_code) ?? 0) + 1);
        const all = [...by]
          .sort(([, a], [, b]) => b - a)
          .slice(0, 15)
          .map(([name, block]) => ({ name, values: { block }, text: number(block) }));
        return h(
          "div",
          { class: "page" },
          h("h2", { id: "why" }, "Why requests were refused"),
          read_of(page),
          all.length === 0 ? h("p", null, "None was refused.") : rows("Reasons", [["block", "Refused", "block"]], all),
        );
      },
      { signal },
    );
    if (!may("passports:read")) return put(used, h("p", null, "Your key may not see what passports have used."));
    load(
      used,
      "what passports used",
      async () => {
        const page = await read();
        const seen = [...new Set(page.items.map((record) => record.passport_id).filter(Boolean))].slice(0, PASSPORTS);
        return Promise.all(
          seen.map(async (passport) => [
            passport,
            await get(`/api/passports/${part(passport)}/state`, {}, signal).catch(unknown),
          ]),
        );
      },
      (all) => {
        const shown = all.filter(([, state]) => state);
        return h(
          "div",
          { class: "page" },
          h("h2", { id: "used" }, "What passports have used"),
          h(
            "p",
            { class: "fine" },
            "Of the passports that were shown last. What gates hold is granted to them, and not reported as spent yet.",
          ),
          shown.length === 0
            ? empty(
                all.length === 0 ? "No passport was shown" : "Nothing is known of their use",
                all.length === 0
                  ? "As soon as agents come with passports, what they use of their limits stands here."
                  : "The passports that were shown were issued elsewhere, and have spent nothing under a cap.",
              )
            : table(
                "Use of passports",
                [
                  ["Passport", ([passport]) => link(`/console/passports/${part(passport)}`, id(passport, 22))],
                  [
                    "Let through today",
                    ([, state]) =>
                      Object.entries(state.action_counts ?? {})
                        .map(([action, count]) => `${action} ${number(count)}`)
                        .join(", ") || "nothing",
                  ],
                  ["Spent today", ([, state]) => cents(state.cost_cumulative_cents), "n"],
                  [
                    "Caps",
                    ([, state]) =>
                      state.windows.length === 0
                        ? h("span", { class: "none" }, "none used")
                        : h(
                            "div",
                            { class: "page tight" },
                            state.windows.map((one) =>
                              meter(
                                `${one.permission}, ${one.window_type}`,
                                one.cost_cumulative_cents,
                                one.held_cents,
                                one.cap_cents,
                                cents,
                              ),
                            ),
                          ),
                    "caps",
                  ],
                ],
                shown,
              ),
        );
      },
      { signal },
    );
  };
  look();
}

/** One that was issued elsewhere. */
function unknown(error) {
  if (error.status === 404) return null;
  throw error;
}

function read_of(page) {
  return h(
    "p",
    { class: "fine" },
    page.total > page.items.length
      ? `By the newest ${number(page.items.length)} of ${plural(page.total, "record")}.`
      : `By ${plural(page.total, "record")}.`,
  );
}
