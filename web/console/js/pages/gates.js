// Gates: what they have taken up.

import { get, part, post } from "../api.js";
import { h, put } from "../dom.js";
import { number, plural } from "../format.js";
import { announce, button, dialog, empty, failing, field, form, link, loading, since, table } from "../ui.js";
import { one } from "./gate.js";
import { age, health, read, settings } from "./gate-parts.js";

export function render(page) {
  const [gate] = page.rest;
  if (gate) one(page, gate);
  else all(page);
}

function all({ place, aside, may, go, signal, every, late }) {
  if (may("gates:write"))
    put(
      aside,
      button("Create Gate", () => create(go), { class: "primary" }),
    );
  put(place, loading("gates"));
  let before = "";
  const look = every(2, async () => {
    try {
      const found = await get("/api/v1/propagation", {}, signal);
      late();
      const text = JSON.stringify([
        found.newest,
        found.gates.map((gate) => [
          gate.gate_id,
          gate.name,
          gate.profile,
          gate.state,
          gate.snapshot_number,
          gate.dropped_records,
          gate.proxies.map((proxy) => [
            proxy.address,
            proxy.snapshot_number,
            proxy.revocations_number,
            proxy.connected,
            Math.floor((proxy.material_age_seconds ?? -1) / 5),
          ]),
        ]),
      ]);
      if (text === before) return;
      before = text;
      if (found.gates.length === 0) {
        put(
          place,
          empty(
            "No gates yet",
            "A gate is what stands before a service of yours. Make one, say what it decides by, and enrol its proxy.",
            may("gates:write") && button("Create Gate", () => create(go), { class: "primary" }),
          ),
        );
        return;
      }
      const held = place.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
      put(
        place,
        h(
          "p",
          { class: "fine" },
          `The newest change is number ${number(found.newest)}. A gate is up to date when each of its proxies has it.`,
        ),
        table(
          "Gates",
          [
            ["Gate", (gate) => link(`/console/gates/${part(gate.gate_id)}`, gate.name)],
            ["Health", health],
            ["Profile", (gate) => gate.profile],
            [
              "Proxies",
              (gate) => plural(gate.proxies.filter((proxy) => proxy.connected).length, "connected", "connected"),
            ],
            [
              "Snapshot",
              (gate) =>
                h(
                  "span",
                  null,
                  number(gate.snapshot_number),
                  " ",
                  h("span", { class: "fine" }, since(gate.snapshot_at)),
                ),
            ],
            ["Material is", age],
            ["Lost records", (gate) => number(gate.dropped_records), "n"],
          ],
          found.gates,
        ),
      );
      if (held) place.querySelector(`a[href="${CSS.escape(held)}"]`)?.focus();
    } catch (error) {
      if (error.name === "AbortError") return;
      if (before === "") failing(place, error, look);
      else late(error);
    }
  });
}

function create(go) {
  const window = dialog(
    "Create a gate",
    form(
      "Create a gate",
      [
        field("gate_id", "Gate id", {
          required: true,
          maxlength: 100,
          placeholder: "gate_flights",
          hint: "Letters, digits, hyphens and underscores; it is never changed. gate_ is put before it where that is missing.",
        }),
        ...settings(),
      ],
      {
        submit: "Create",
        cancel: () => window.close(),
        send: (data) => post("/api/gates", { gate_id: data.get("gate_id").trim(), ...read(data) }),
        sent: (made) => {
          window.close();
          announce(`The gate ${made.name} is made`);
          go(`/console/gates/${part(made.gate_id)}`);
        },
      },
    ),
  );
}
