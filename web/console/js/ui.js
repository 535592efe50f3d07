// What pages are made of.

import { Refused } from "./api.js";
import { h, put, svg, unique } from "./dom.js";
import { ago, fullTime, moment, number, short } from "./format.js";

/** Says something to those who do not see it appear. */
export function announce(text) {
  const region = document.getElementById("announcements");
  if (!region) return;
  region.textContent = "";
  // A text that is the same again is said again.
  setTimeout(() => (region.textContent = text), 60);
}

const DECISIONS = {
  allow: ["Allowed", "allow", "M3 8.5l3.2 3.2L13 4.8"],
  approved: ["Approved", "allow", "M3 8.5l3.2 3.2L13 4.8"],
  block: ["Blocked", "block", "M4 4l8 8M12 4l-8 8"],
  denied: ["Denied", "block", "M4 4l8 8M12 4l-8 8"],
  request_hold: ["Held", "hold", "M5.5 3.5v9M10.5 3.5v9"],
  gap: ["Gap", "quiet", "M2.5 8h3M10.5 8h3"],
};

/** A decision as a sign and a word: neither colour nor sign alone says it. */
export function verdict(decision) {
  const [word, kind, path] = DECISIONS[decision] ?? [String(decision), "quiet", "M3 8h10"];
  return h("span", { class: `verdict ${kind}` }, sign(path), word);
}

export function sign(path) {
  return svg("svg", { viewBox: "0 0 16 16", class: "sign", "aria-hidden": "true" }, svg("path", { d: path }));
}

const STATES = {
  good: "M3 8.5l3.2 3.2L13 4.8",
  bad: "M4 4l8 8M12 4l-8 8",
  wait: "M8 4v4.5l2.8 1.8",
  quiet: "M3 8h10",
};

/** A state: `good`, `bad`, `wait` or `quiet`, with its word. */
export function badge(kind, word) {
  const colour = { good: "allow", bad: "block", wait: "hold", quiet: "quiet" }[kind];
  return h("span", { class: `verdict ${colour}` }, sign(STATES[kind]), word);
}

export function button(text, listener, attributes = {}) {
  return h("button", { type: "button", ...attributes, on: { click: listener } }, text);
}

export function link(path, ...children) {
  return h("a", { href: path }, ...children);
}

/** A time that says all of it when pointed at. */
export function time(text, form = moment) {
  return text ? h("time", { datetime: text, title: `${fullTime(text)} · ${text}` }, form(text)) : "–";
}

export const since = (text) => time(text, ago);

/** An id, which is copied whole. */
export function id(text, most) {
  return text ? h("code", { class: "id", title: text }, short(text, most)) : h("span", { class: "none" }, "none");
}

/** A button that copies a text. */
export function copy(text, what, { label = "Copy", kind = "small" } = {}) {
  const made = button(
    label,
    async () => {
      try {
        await navigator.clipboard.writeText(text);
        made.textContent = "Copied";
        announce(`${what} copied`);
      } catch {
        made.textContent = "Select and copy by hand";
      }
      setTimeout(() => (made.textContent = label), 2000);
    },
    { class: kind, "aria-label": `Copy ${what}` },
  );
  return made;
}

const DRAWINGS = {
  empty: ["M14 58V30a26 26 0 0 1 52 0v28", "M27 12v26M40 6v26M53 12v26M14 24h52", "M8 58h18M54 58h18"],
  error: [
    "M14 58V30a26 26 0 0 1 52 0v28",
    "M27 12v42M40 6v14l-6 8 10 6-5 8v14M53 12v42M14 30h16M50 30h16M14 44h20M46 44h20",
  ],
  done: ["M14 58V30a26 26 0 0 1 52 0v28", "M28 36l9 9 16-18"],
};

function drawing(name) {
  const paths = DRAWINGS[name].map((d) => svg("path", { d }));
  return svg("svg", { viewBox: "0 0 80 64", class: "drawing", "aria-hidden": "true" }, paths);
}

/** That there is nothing, and what to do about it. */
export function empty(title, text, ...actions) {
  return h(
    "div",
    { class: "state" },
    drawing("empty"),
    h("p", { class: "state-title" }, title),
    text && h("p", null, text),
    actions.length > 0 && h("p", { class: "actions" }, actions),
  );
}

/** That something failed: what, why, and what can be done. `retries` where it is asked for again by itself. */
export function failed(error, again, { retries = false } = {}) {
  const refused = error instanceof Refused;
  return h(
    "div",
    { class: "state fault", role: "alert", "data-said": error.message },
    drawing("error"),
    h("p", { class: "state-title" }, refused ? titleOf(error.status) : "This page failed"),
    h("p", null, error.message),
    retries && h("p", null, "It is asked for again by itself."),
    !retries && refused && error.retryAfter && h("p", null, `Try again in ${error.retryAfter} s.`),
    refused && error.requestId && h("p", { class: "fine" }, "In the service's log: ", h("code", null, error.requestId)),
    again && h("p", { class: "actions" }, button("Try again", () => again())),
  );
}

/**
 * What became of a deed that did not go well. What the service refused is `not` done; where it failed or did not
 * answer, nobody here can know, and `look` is where it is seen.
 */
export function undone(not, error, look) {
  const { isRefusal, retryAfter, requestId } = error;
  return h(
    "div",
    { class: "state fault", role: "alert" },
    drawing("error"),
    h("p", { class: "state-title" }, isRefusal ? not : "Whether it was done cannot be known"),
    h("p", null, error.message),
    !isRefusal && h("p", null, "The service may have done it all the same: look before you do it again."),
    isRefusal && retryAfter && h("p", null, `Try again in ${retryAfter} s.`),
    requestId && h("p", { class: "fine" }, "In the service's log: ", h("code", null, requestId)),
    !isRefusal && look && h("p", { class: "actions" }, look),
  );
}

/** The same in a window over the page; `again` shows anew what is on the page. */
export function tellUndone(not, error, again) {
  const look = button("Look again", () => {
    window.close();
    again();
  });
  const window = dialog("What became of it", undone(not, error, look));
}

function titleOf(status) {
  if (status === 0) return "No answer";
  if (status === 403) return "Your key may not see this";
  if (status === 404) return "It is not there";
  if (status === 429) return "Too many requests";
  if (status >= 500) return "The service failed";
  return "This could not be loaded";
}

/** The same for what a page asks for now and again: once for each thing that it says, so that nobody is told twice. */
export function failing(place, error, again) {
  if (place.querySelector(":scope > .fault")?.dataset.said === error.message) return;
  put(place, failed(error, again, { retries: true }));
}

/** That what stands on the page is from `since`, as it cannot be had anew. */
export function stale(error, since) {
  return h("p", { class: "stale" }, `${error.message} What stands here is from ${moment(since)}; it is asked for again by itself.`);
}

/** Lines in place of what is on its way. */
export function loading(what, lines = 5) {
  const bars = Array.from({ length: lines }, (_, index) => h("div", { class: `bar bar-${index % 4}` }));
  return h(
    "div",
    { class: "loading", role: "status" },
    h("span", { class: "unseen" }, `Loading ${what}…`),
    h("div", { "aria-hidden": "true" }, bars),
  );
}

/** What was asked for last, by the place that is to show it: an answer that comes late is not shown. */
const asked = new WeakMap();

/** Shows what is loaded, or that it is loading, or why not. Answers what loads it again. */
export function load(place, what, fetched, show, { signal, lines } = {}) {
  const ask = async (quietly) => {
    const turn = {};
    asked.set(place, turn);
    const isOver = () => signal?.aborted || asked.get(place) !== turn;
    const held = heldIn(place);
    if (!quietly) put(place, loading(what, lines));
    try {
      const value = await fetched();
      if (isOver()) return;
      const kept = heldIn(place) ?? held;
      put(place, show(value, again));
      if (kept) hold(place, kept);
    } catch (error) {
      if (error.name === "AbortError" || isOver()) return;
      if (!error.isPassing) return put(place, failed(error, again));
      failing(place, error, again);
      setTimeout(() => isOver() || !place.isConnected || ask(true), error.wait * 1000);
    }
  };
  const again = () => ask(false);
  again();
  return again;
}

/** The name of what has the focus in there. */
function heldIn(place) {
  const active = document.activeElement;
  return place.contains(active) && active !== place ? nameOf(active) : null;
}

/** Gives the focus back to what has that name now, or to the place itself. */
function hold(place, name) {
  if (document.activeElement && document.activeElement !== document.body) return;
  const same = [...place.querySelectorAll("a, button, input, select, summary")].find(
    (element) => nameOf(element) === name,
  );
  if (!same) place.tabIndex = -1;
  (same ?? place).focus({ preventScroll: true });
}

const nameOf = (element) => element.getAttribute("aria-label") || element.name || element.textContent;

/** A table. Columns: `[title, row => cell, class]`; the first names the row. */
export function table(caption, columns, rows, attributes = {}) {
  const head = columns.map(([title, , kind]) =>
    h("th", { scope: "col", role: "columnheader", class: kind }, title || h("span", { class: "unseen" }, "Actions")),
  );
  return h(
    "div",
    { class: "table-wrap" },
    h(
      "table",
      { role: "table", ...attributes },
      h("caption", { class: "unseen" }, caption),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head)),
      h(
        "tbody",
        { role: "rowgroup" },
        rows.map((one) => row(columns, one)),
      ),
    ),
  );
}

export function row(columns, one, attributes = {}) {
  return h(
    "tr",
    { role: "row", ...attributes },
    columns.map(([title, cell, kind], index) =>
      index === 0
        ? h("th", { scope: "row", role: "rowheader", class: kind, "data-label": title }, cell(one))
        : h("td", { role: "cell", class: kind, "data-label": title }, cell(one)),
    ),
  );
}

/** Terms with what they are. What is nothing is left out. */
export function facts(...pairs) {
  const shown = pairs.filter(([, value]) => value !== undefined && value !== null && value !== "");
  return h(
    "dl",
    { class: "facts" },
    shown.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))),
  );
}

/** A field of a form: `kind` is an input's type, `select`, `textarea` or `check`. */
export function field(name, label, { kind = "text", hint, options, value, ...rest } = {}) {
  const own = unique(name);
  const described = `${own}-hint ${own}-fault`;
  const common = { id: own, name, "aria-describedby": described, ...rest };
  let control;
  if (kind === "select") {
    control = h(
      "select",
      common,
      options.map(([given, text]) => h("option", { value: given, selected: given === value }, text)),
    );
  } else if (kind === "textarea") {
    control = h("textarea", { rows: 4, spellcheck: "false", ...common });
    control.value = value ?? "";
  } else if (kind === "check") {
    control = h("input", { type: "checkbox", checked: Boolean(value), ...common });
  } else {
    control = h("input", { type: kind, autocomplete: "off", spellcheck: "false", ...common });
    control.value = value ?? "";
  }
  const title = h(
    "label",
    { for: own },
    label,
    rest.required && h("span", { class: "must", "aria-hidden": "true" }, " *"),
  );
  const parts = kind === "check" ? [h("div", { class: "check" }, control, title)] : [title, control];
  const place = h(
    "div",
    { class: "field", "data-field": name },
    parts,
    hint && h("p", { class: "hint", id: `${own}-hint` }, hint),
    h("p", { class: "fault-text", id: `${own}-fault` }),
  );
  place.control = control;
  return place;
}

/** A form that sends once, says what was wrong beside the field, and keeps what was typed. */
export function form(label, fields, { submit, send, cancel, sent }) {
  const fault = h("div", { class: "form-fault", role: "alert" });
  const go = h("button", { type: "submit", class: "primary" }, submit);
  const made = h(
    "form",
    {
      "aria-label": label,
      novalidate: true,
      on: {
        submit: async (event) => {
          event.preventDefault();
          if (go.disabled) return;
          for (const place of made.querySelectorAll(".field[data-field]")) mark(place, "");
          put(fault);
          const missing = [...made.querySelectorAll("[required]")].find((control) => control.value.trim() === "");
          if (missing) {
            mark(missing.closest(".field"), "This is needed.");
            missing.focus();
            return;
          }
          go.disabled = true;
          try {
            const answer = await send(new FormData(made));
            sent?.(answer);
          } catch (error) {
            show(made, fault, error);
          } finally {
            go.disabled = false;
          }
        },
      },
    },
    fields,
    fault,
    h("div", { class: "form-end" }, go, cancel && button("Cancel", cancel)),
  );
  return made;
}

function mark(place, text) {
  place.querySelector(".fault-text").textContent = text;
  const control = place.querySelector("input, select, textarea");
  if (text) control.setAttribute("aria-invalid", "true");
  else control.removeAttribute("aria-invalid");
}

function show(made, fault, error) {
  const name = String(error.field ?? "").split(/[.[]/)[0];
  const place = name && made.querySelector(`.field[data-field="${CSS.escape(name)}"]`);
  if (place) {
    mark(place, error.message);
    place.querySelector("input, select, textarea").focus();
    return;
  }
  const advice =
    error.status === 0
      ? "Whether it was done, nobody can say here: look before you send it again. What you typed is still here."
      : error.retryAfter
        ? `Try again in ${error.retryAfter} s.`
        : "";
  put(
    fault,
    h("p", null, error.message),
    advice && h("p", null, advice),
    error.requestId && error.status >= 500 && h("p", { class: "fine" }, "In the service's log: ", h("code", null, error.requestId)),
  );
}

/** A window over the page. Answers it, so that it can be closed. */
export function dialog(title, ...children) {
  const own = unique("dialog");
  const made = h(
    "dialog",
    { "aria-labelledby": own },
    h(
      "div",
      { class: "dialog-head" },
      h("h2", { id: own }, title),
      button("Close", () => made.close(), { class: "quiet-button" }),
    ),
    children,
  );
  made.addEventListener("close", () => made.remove());
  document.body.append(made);
  made.showModal();
  return made;
}

/** Buttons for the part of a list before and after this. */
export function pages(page, turn) {
  if (page.total <= page.limit && page.offset === 0) return null;
  const end = Math.min(page.offset + page.limit, page.total);
  return h(
    "nav",
    { class: "pages", "aria-label": "Pages of this list" },
    button("Newer", () => turn(Math.max(0, page.offset - page.limit)), { disabled: page.offset === 0 }),
    h("span", null, `${number(page.offset + 1)} to ${number(end)} of ${number(page.total)}`),
    button("Older", () => turn(page.offset + page.limit), { disabled: end >= page.total }),
  );
}
