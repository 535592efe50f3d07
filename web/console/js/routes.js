// The editor of a gate's routes: what each request is called.

import { h } from "./dom.js";
import { button, field } from "./ui.js";

/** Lines of fields, one for each route; `read` answers the routes, with what the fields do not show left as it was. */
export function routes(all) {
  const lines = h("div", { class: "page" });
  const add = (route) => {
    const isPrefix = route.path_prefix !== undefined;
    const kind = field("kind", "Compares", {
      kind: "select",
      options: [
        ["path", "Exact path"],
        ["path_prefix", "All below"],
      ],
      value: isPrefix ? "path_prefix" : "path",
    });
    const path = field("path", "Path", { value: route.path ?? route.path_prefix ?? "" });
    const methods = field("methods", "Methods", { value: (route.methods ?? []).join(" ") });
    const action = field("action", "Action", {
      value: route.public ? "" : (route.action ?? ""),
      placeholder: "flights:search",
    });
    const cost = field("cost", "Cost in cents", { kind: "number", min: 0, value: route.cost_cents ?? "" });
    const open = field("public", "Public: no credential", { kind: "check", value: route.public });
    const line = h(
      "div",
      { class: "line", role: "group", "aria-label": `Route ${route.path ?? route.path_prefix ?? "new"}` },
      kind,
      path,
      methods,
      action,
      cost,
      open,
      button("Remove", () => line.remove(), { class: "small danger" }),
    );
    line.read = () => {
      const made = { ...route };
      for (const name of ["path", "path_prefix", "action", "public", "cost_cents"]) delete made[name];
      made[kind.control.value] = path.control.value.trim();
      made.methods = methods.control.value
        .toUpperCase()
        .split(/[\s,]+/)
        .filter(Boolean);
      if (open.control.checked) made.public = true;
      else made.action = action.control.value.trim();
      if (cost.control.value !== "" && Number(cost.control.value) > 0) made.cost_cents = Number(cost.control.value);
      return made;
    };
    // Their names mean nothing to the form around.
    for (const control of line.querySelectorAll("[name]")) control.removeAttribute("name");
    lines.append(line);
    return path.control;
  };
  all.forEach(add);
  const place = h(
    "fieldset",
    { "data-field": "routes" },
    h("legend", null, "Routes"),
    h("p", { class: "hint" }, "The most specific path decides. What no route names is refused."),
    lines,
    h(
      "p",
      null,
      button("Add a route", () => add({ path: "", methods: ["GET"], action: "" }).focus(), { class: "small" }),
    ),
  );
  place.read = () => [...lines.children].map((line) => line.read());
  return place;
}
