// What was changed by whom.

import { get } from "../api.js";
import { h, put } from "../dom.js";
import { empty, id, load, pages, table, time } from "../ui.js";

/** Lines of a page. */
const SHOWN = 50;

export function render({ place, signal }) {
  let offset = 0;
  let action = "";
  const list = h("div");
  const again = () =>
    load(
      list,
      "what was changed",
      () => get("/api/v1/audit", { action, limit: SHOWN, offset }, signal),
      (found) =>
        found.total === 0
          ? empty("Nothing was changed", "Whatever is made, changed or revoked stands here, with the key that did it.")
          : h(
              "div",
              { class: "page" },
              table(
                "Changes, the newest first",
                [
                  ["When", (line) => time(line.at)],
                  ["What", (line) => h("span", { class: "action" }, line.action)],
                  ["To", (line) => id(line.target, 34)],
                  ["By", (line) => id(line.actor, 22)],
                  ["More", (line) => detail(line.detail)],
                ],
                found.lines,
              ),
              pages({ total: found.total, limit: SHOWN, offset }, (to) => {
                offset = to;
                again();
              }),
            ),
      { signal },
    );
  let timer;
  const filter = h("input", {
    id: "filter-action",
    type: "search",
    autocomplete: "off",
    spellcheck: "false",
    maxlength: 100,
    placeholder: "gate.configure",
    on: {
      input: () => {
        clearTimeout(timer);
        timer = setTimeout(() => {
          [action, offset] = [filter.value.trim(), 0];
          again();
        }, 350);
      },
    },
  });
  put(
    place,
    h(
      "search",
      { class: "filters", "aria-label": "Filter changes" },
      h("div", { class: "filter" }, h("label", { for: "filter-action" }, "What"), filter),
    ),
    list,
  );
  again();
}

function detail(value) {
  const text = JSON.stringify(value ?? {});
  return text === "{}" ? "" : h("code", null, text.length > 200 ? `${text.slice(0, 199)}…` : text);
}
