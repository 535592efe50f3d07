// Passports: found, issued and revoked.

import { get, part } from "../api.js";
import { h, put } from "../dom.js";
import { badge, button, empty, id, link, load, pages, since, table } from "../ui.js";
import { one } from "./passport.js";
import { issue } from "./passport-issue.js";
import { STATUS, revoker } from "./passport-parts.js";

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
  const again = () =>
    load(
      list,
      "passports",
      () => get("/api/v1/passports", { ...wanted, limit: 50, offset }, signal),
      (page) =>
        page.total === 0
          ? empty(
              Object.entries(wanted).some(([name, value]) => value && name !== "status") ||
                wanted.status === "revoked" ||
                wanted.status === "expired"
                ? "Nothing matches"
                : "No passports",
              "A passport says what an agent may do, for how long and within which limits. Those that agents sign for themselves stand here once they are registered.",
              may("passports:write") && make(),
            )
          : h(
              "div",
              { class: "page" },
              table(
                "Passports",
                [
                  [
                    "Passport",
                    (one) =>
                      h(
                        "a",
                        { href: `/console/passports/${part(one.passport_id)}`, title: one.passport_id },
                        h(
                          "code",
                          { class: "id" },
                          one.passport_id.length > 24
                            ? `${one.passport_id.slice(0, 13)}…${one.passport_id.slice(-6)}`
                            : one.passport_id,
                        ),
                      ),
                  ],
                  ["Agent", (one) => h("span", null, one.agent_name ? `${one.agent_name} ` : "", id(one.agent_id, 24))],
                  ["May", (one) => h("span", { class: "action" }, one.permissions.join(", "))],
                  ["Status", (one) => badge(...STATUS[one.status])],
                  [
                    "Issued by",
                    (one) =>
                      one.gate_id ? link(`/console/gates/${part(one.gate_id)}`, one.gate_id) : id(one.issuer_id, 22),
                  ],
                  ["Until", (one) => since(one.expires_at)],
                  ["", (one) => one.status === "active" && may("passports:write") && revoker(one, again), "end"],
                ],
                page.items,
              ),
              pages(page, (to) => {
                offset = to;
                again();
              }),
            ),
      { signal },
    );
  const control = (name, label, made) => {
    const own = `filter-${name}`;
    made.id = own;
    let timer;
    made.addEventListener(made.tagName === "SELECT" ? "change" : "input", () => {
      clearTimeout(timer);
      timer = setTimeout(
        () => {
          wanted[name] = made.value.trim();
          offset = 0;
          history.replaceState(
            null,
            "",
            `/console/passports?${new URLSearchParams(Object.entries(wanted).filter(([, value]) => value))}`,
          );
          again();
        },
        made.tagName === "SELECT" ? 0 : 350,
      );
    });
    return h("div", { class: "filter" }, h("label", { for: own }, label), made);
  };
  const text = (name) =>
    h("input", { type: "search", autocomplete: "off", spellcheck: "false", maxlength: 256, value: wanted[name] ?? "" });
  put(
    place,
    h(
      "search",
      { class: "filters", "aria-label": "Filter passports" },
      control(
        "status",
        "Status",
        h(
          "select",
          null,
          [
            ["active", "Active"],
            ["expired", "Expired"],
            ["revoked", "Revoked"],
            ["", "Any"],
          ].map(([value, name]) => h("option", { value, selected: value === wanted.status }, name)),
        ),
      ),
      control("agent_id", "Agent", text("agent_id")),
      control("gate_id", "Gate", text("gate_id")),
      control("issuer_id", "Issuer", text("issuer_id")),
    ),
    list,
  );
  again();
}
