// What gates decide, as it is recorded.

import { get } from "../api.js";
import { bars } from "../chart.js";
import { h, put } from "../dom.js";
import { moment, plural } from "../format.js";
import { announce, button, empty, failing, id, loading, row, table, time, verdict } from "../ui.js";
import { details } from "./decision.js";

const PERIODS = {
  "15m": ["Last 15 minutes", 900, 15],
  "1h": ["Last hour", 3600, 60],
  "24h": ["Last 24 hours", 86_400, 1800],
  "7d": ["Last 7 days", 604_800, 10_800],
};

const DECISIONS = [
  ["", "Any decision"],
  ["allow", "Allowed"],
  ["block", "Blocked"],
  ["request_hold", "Held"],
  ["approved", "Approved"],
  ["denied", "Denied"],
  ["gap", "Gap"],
];

const SERIES = [
  ["block", "Blocked", "block"],
  ["held", "Held", "hold"],
  ["allow", "Allowed", "allow"],
];

/** Rows at first, and at most: what is older is found by the filters. */
const [SHOWN, MOST_SHOWN] = [50, 400];

/** Gates choose the ids of their records: two may have the same. */
const key = (one) => `${one.gate_id} ${one.attestation_id}`;

export function render({ place, aside, signal, may, every, late }) {
  const wanted = Object.fromEntries(new URLSearchParams(location.search));
  let paused = false;
  let loaded = null;
  let shown = SHOWN;
  let body = null;
  let known = new Map();
  // What was counted when the list was last read.
  let counted = "";
  const live = h("span", { class: "live" });
  const pause = button("Pause", () => {
    paused = !paused;
    pause.textContent = paused ? "Go on" : "Pause";
    announce(paused ? "Paused" : "Going on");
    if (!paused) look();
    tell();
  });
  put(aside, live, pause);
  const tell = (error) =>
    put(
      live,
      h("i", { class: paused || error ? "pulse still" : "pulse" }),
      error ? "No answer; trying again" : paused ? "Paused" : "Live",
    );

  const chart = h("div", { class: "chart-place" });
  const list = h("div");
  const controls = filters(wanted, may, signal, () => {
    const query = new URLSearchParams(Object.entries(wanted).filter(([, value]) => value));
    history.replaceState(null, "", `/console/decisions${query.size > 0 ? `?${query}` : ""}`);
    [loaded, body, known, shown, counted] = [null, null, new Map(), SHOWN, ""];
    put(list, loading("decisions", 8));
    look();
  });
  put(place, controls, chart, list);
  put(list, loading("decisions", 8));

  const columns = [
    ["When", (one) => time(one.created_at)],
    ["Decision", (one) => verdict(one.decision)],
    ["Action", (one) => h("span", { class: "action" }, one.action ?? "–")],
    ["Agent", (one) => id(one.agent_id, 30)],
    ["Why", (one) => (one.reason_code ? h("code", null, one.reason_code) : "")],
    ["Gate", (one) => id(one.gate_id, 22), "wide-only"],
    [
      "",
      (one) =>
        button("Details", () => details(one, may), {
          class: "small",
          "aria-label": `Details of ${one.action ?? one.decision} at ${moment(one.created_at)}`,
        }),
      "end",
    ],
  ];

  const refresh = (page) => {
    if (page.items.length === 0) {
      [body, known] = [null, new Map()];
      const narrowed = Object.entries(wanted).some(([name, value]) => name !== "period" && value);
      put(
        list,
        narrowed
          ? empty("Nothing matches", "No decision of this time fits the filters. Take one away, or look further back.")
          : empty(
              "No decisions in this time",
              "Once a gate that is enrolled here lets a request through or refuses one, it stands here within a second. Older ones are found by a longer time.",
            ),
      );
      return;
    }
    if (!body) {
      const made = table("Decisions, the newest first", columns, []);
      body = made.querySelector("tbody");
      known = new Map();
      put(list, made, h("div", { class: "pages" }, h("span", { class: "fine", id: "decisions-total" }), more));
    }
    const fresh = page.items.filter((one) => !known.has(key(one)));
    const kept = new Set(page.items.map(key));
    for (const [shown, element] of known) {
      if (!kept.has(shown)) {
        element.remove();
        known.delete(shown);
      }
    }
    // Rows that stay are not touched, so that what has the focus keeps it.
    let before = body.firstChild;
    for (const one of page.items) {
      const element = known.get(key(one)) ?? row(columns, one, { class: loaded ? "fresh" : undefined });
      known.set(key(one), element);
      if (element === before) before = before.nextSibling;
      else body.insertBefore(element, before);
    }
    list.querySelector("#decisions-total").textContent =
      page.total > page.items.length
        ? `The newest ${page.items.length} of ${plural(page.total, "decision")}.`
        : plural(page.total, "decision");
    more.hidden = page.total <= page.items.length || shown >= MOST_SHOWN;
    if (loaded && fresh.length > 0) say(fresh.length);
  };
  const more = button(
    "Show more",
    () => {
      shown = Math.min(shown * 2, MOST_SHOWN);
      counted = "";
      look();
    },
    { class: "small" },
  );

  // Once in ten seconds, so that a reader is not talked over.
  let unsaid = 0;
  let saidAt = 0;
  const say = (count) => {
    unsaid += count;
    if (Date.now() - saidAt < 10_000) return;
    announce(`${plural(unsaid, "new decision")}`);
    [unsaid, saidAt] = [0, Date.now()];
  };

  const look = every(2, async () => {
    if (paused && loaded) return;
    const [, length, step] = PERIODS[wanted.period] ?? PERIODS["1h"];
    const after = new Date(Math.floor((Date.now() / 1000 - length) / step) * step * 1000).toISOString();
    const query = { ...wanted, period: undefined };
    const asked = JSON.stringify(wanted);
    try {
      const counts = await get("/api/v1/decisions/counts", { ...query, after, step_seconds: step }, signal);
      const now = JSON.stringify(counts);
      // Where nothing was decided, there is nothing to read.
      const page =
        loaded && now === counted ? null : await get("/api/v1/attestations", { ...query, after, limit: shown }, signal);
      if (asked !== JSON.stringify(wanted)) return;
      draw(chart, counts, after, step);
      if (page) {
        refresh(page);
        [loaded, counted] = [page, now];
      }
      late();
      tell();
    } catch (error) {
      if (error.name === "AbortError") return;
      if (loaded) late(error);
      else failing(list, error, look);
      tell(error);
    }
  });
  tell();
}

function draw(place, counts, after, step) {
  const steps = new Map();
  for (let at = new Date(after).getTime(); at <= Date.now(); at += step * 1000) steps.set(at, {});
  for (const { at, decisions } of counts.steps) {
    steps.set(new Date(at).getTime(), {
      allow: (decisions.allow ?? 0) + (decisions.approved ?? 0),
      block: (decisions.block ?? 0) + (decisions.denied ?? 0),
      held: decisions.request_hold ?? 0,
    });
  }
  const all = [...steps]
    .sort(([a], [b]) => a - b)
    .map(([at, values]) => ({ label: moment(new Date(at).toISOString()), values }));
  const open = place.querySelector("details")?.open;
  put(place, bars("Decisions over time", SERIES, all));
  const details = place.querySelector("details");
  if (details && open) details.open = true;
}

function filters(wanted, may, signal, changed) {
  const select = (name, label, options) => {
    const own = `filter-${name}`;
    const control = h(
      "select",
      {
        id: own,
        name,
        on: {
          change: () => {
            wanted[name] = control.value;
            changed();
          },
        },
      },
      options.map(([value, text]) => h("option", { value, selected: value === (wanted[name] ?? "") }, text)),
    );
    return h("div", { class: "filter" }, h("label", { for: own }, label), control);
  };
  const text = (name, label) => {
    const own = `filter-${name}`;
    let timer;
    const control = h("input", {
      id: own,
      name,
      type: "search",
      autocomplete: "off",
      spellcheck: "false",
      maxlength: 256,
      value: wanted[name] ?? "",
      on: {
        input: () => {
          clearTimeout(timer);
          timer = setTimeout(() => {
            wanted[name] = control.value.trim();
            changed();
          }, 350);
        },
      },
    });
    return h("div", { class: "filter" }, h("label", { for: own }, label), control);
  };
  wanted.period ??= "1h";
  const gate = select("gate_id", "Gate", [["", "All gates"]]);
  if (may("gates:read")) {
    get("/api/gates", {}, signal).then(
      (gates) => {
        const control = gate.querySelector("select");
        put(
          control,
          h("option", { value: "" }, "All gates"),
          gates.map((one) => h("option", { value: one.gate_id, selected: one.gate_id === wanted.gate_id }, one.name)),
        );
      },
      () => {},
    );
  }
  return h(
    "search",
    { class: "filters", "aria-label": "Filter decisions" },
    select("decision", "Decision", DECISIONS),
    gate,
    select(
      "period",
      "Time",
      Object.entries(PERIODS).map(([key, [name]]) => [key, name]),
    ),
    text("action", "Action"),
    text("agent_id", "Agent"),
    text("issuer_id", "Issuer"),
    text("passport_id", "Passport"),
  );
}
