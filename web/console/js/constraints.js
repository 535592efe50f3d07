// The editor of limits: a line for each, of the types that gates know.

import { h, put, unique } from "./dom.js";
import { button } from "./ui.js";

// Terms belong into catalogs, and what no gate can judge only refuses.
const OFFERED = ["temporal", "scope", "rate", "cost", "approval", "data"];

/** Lines of type and value; `read` answers them as an object. What is of no type that is offered stays as it is. */
export function constraints(set, types) {
  const offered = types.filter((one) => OFFERED.includes(one.category) && one.is_enforced);
  const known = new Map(offered.map((one) => [one.constraint_key, one]));
  const kept = Object.fromEntries(Object.entries(set ?? {}).filter(([key]) => !known.has(key)));
  const lines = h("div", { class: "page" });
  const add = (key, value) => {
    const own = unique("limit");
    const kind = h(
      "select",
      { id: own },
      offered.map((one) => h("option", { value: one.constraint_key, selected: one.constraint_key === key }, one.name)),
    );
    const place = h("div", { class: "field" });
    const about = h("p", { class: "hint" });
    let control;
    const shape = (given) => {
      const type = known.get(kind.value);
      const label = unique("value");
      about.textContent = `${type.description}.`;
      control = input(type, label, given);
      put(place, h("label", { for: label }, type.unit ? `Value, in ${type.unit}` : "Value"), control);
    };
    kind.addEventListener("change", () => shape(undefined));
    shape(value);
    const line = h(
      "div",
      { class: "line", role: "group", "aria-label": "Limit" },
      h("div", { class: "field" }, h("label", { for: own }, "Limit"), kind),
      place,
      button("Remove", () => line.remove(), { class: "small danger" }),
      about,
    );
    line.read = () => [kind.value, control.read()];
    lines.append(line);
    return kind;
  };
  for (const [key, value] of Object.entries(set ?? {})) if (known.has(key)) add(key, value);
  const others = Object.keys(kept).length;
  const made = h(
    "fieldset",
    { "data-field": "constraints" },
    h("legend", null, "Limits"),
    lines,
    h(
      "p",
      null,
      button("Add a limit", () => add("core:rate:max_per_minute").focus(), { class: "small" }),
    ),
    others > 0 &&
      h(
        "p",
        { class: "hint" },
        `${others} more ${others === 1 ? "stays as it is: it has" : "stay as they are: they have"} a form of their own.`,
      ),
  );
  made.read = () => {
    const all = { ...kept };
    for (const line of lines.children) {
      const [key, value] = line.read();
      if (value !== undefined) all[key] = value;
    }
    return all;
  };
  return made;
}

function input(type, own, given) {
  if (type.value_type === "boolean") {
    const made = h(
      "select",
      { id: own },
      h("option", { value: "true" }, "yes"),
      h("option", { value: "false", selected: given === false }, "no"),
    );
    made.read = () => made.value === "true";
    return made;
  }
  if (type.value_type === "integer") {
    const made = h("input", { id: own, type: "number", min: 0, step: 1, value: given ?? "" });
    made.read = () => (made.value === "" ? undefined : Number(made.value));
    return made;
  }
  if (type.value_type === "list") {
    const made = h("input", {
      id: own,
      type: "text",
      autocomplete: "off",
      spellcheck: "false",
      placeholder: "with spaces between",
      value: Array.isArray(given) ? given.join(" ") : "",
    });
    made.read = () => {
      const all = made.value.split(/[\s,]+/).filter(Boolean);
      return all.length > 0 ? all : undefined;
    };
    return made;
  }
  if (type.value_type === "object") {
    const made = h("input", {
      id: own,
      type: "text",
      class: "code",
      placeholder: '{"start": "09:00", "end": "17:00"}',
      autocomplete: "off",
      spellcheck: "false",
      value: given === undefined ? "" : JSON.stringify(given),
    });
    made.read = () => {
      if (made.value.trim() === "") return undefined;
      try {
        return JSON.parse(made.value);
      } catch {
        throw Object.assign(new Error(`${type.name}: must be as ${made.placeholder}`), { field: "" });
      }
    };
    return made;
  }
  const made = h("input", { id: own, type: "text", autocomplete: "off", spellcheck: "false", value: given ?? "" });
  made.read = () => made.value.trim() || undefined;
  return made;
}
