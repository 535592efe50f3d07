// A gate: its health, its settings, its proxies and their keys.

import { get, part, patch, post, remove } from "../api.js";
import { h, put } from "../dom.js";
import { duration, number } from "../format.js";
import {
  announce,
  badge,
  button,
  copy,
  dialog,
  facts,
  failed,
  failing,
  form,
  id,
  link,
  load,
  loading,
  since,
  table,
  tellUndone,
  time,
} from "../ui.js";
import { configure, summary } from "./gate-config.js";
import { age, health, read, settings } from "./gate-parts.js";
import { rules } from "./gate-rules.js";

export function one({ place, heading, aside, may, go, signal, every, late }, gateId) {
  const path = `/api/v1/gates/${part(gateId)}`;
  const own = `/api/gates/${part(gateId)}`;
  const health_ = h("section", { class: "panel", "aria-labelledby": "health" });
  const about = h("section", { class: "panel", "aria-labelledby": "about" });
  const config = h("section", { class: "panel", "aria-labelledby": "config" });
  const enrol = h("section", { class: "panel", "aria-labelledby": "enrol" });
  const keys = h("section", { class: "panel", "aria-labelledby": "keys" });
  put(
    place,
    h("p", null, link("/console/gates", "All gates")),
    health_,
    about,
    config,
    rules(gateId, own, path, may, signal),
    h("div", { class: "panels" }, enrol, keys),
  );

  load(
    about,
    "the gate",
    () => get(own, {}, signal),
    (gate, again) => {
      heading.textContent = gate.name;
      document.title = `${gate.name} · Portcullis console`;
      put(aside, h("code", { class: "id" }, gate.gate_id));
      const shown = [
        h(
          "div",
          { class: "panel-head" },
          h("h2", { id: "about" }, "The gate"),
          may("gates:write") &&
            h(
              "div",
              { class: "form-end" },
              button("Change", () => change(own, gate, again), { "aria-label": "Change the gate" }),
              button("Delete", () => drop(own, gate, go), { class: "danger", "aria-label": "Delete the gate" }),
            ),
        ),
        facts(
          ["Profile", gate.profile],
          ["What for", gate.description],
          ["Self-issued passports", gate.allow_self_issued ? "are taken" : "are refused"],
          ["Discovery", gate.is_discoverable ? "found by its catalog" : "not found"],
          [
            "Catalog",
            gate.current_catalog_version > 0
              ? link(`/console/catalogs/${part(gate.gate_id)}`, `version ${gate.current_catalog_version}`)
              : link(`/console/catalogs/${part(gate.gate_id)}`, "none yet"),
          ],
          ["Made", time(gate.created_at)],
        ),
      ];
      return h("div", { class: "page" }, shown);
    },
    { signal },
  );

  put(health_, loading("its health", 3));
  let was = "";
  const trouble = h("div");
  const look = every(2, async () => {
    try {
      const found = await get("/api/v1/propagation", {}, signal);
      late();
      const gate = found.gates.find((gate) => gate.gate_id === gateId);
      if (!gate)
        return put(
          health_,
          h("h2", { id: "health" }, "Health"),
          h("p", null, "The service knows no such gate any more."),
        );
      const text = JSON.stringify([found.newest, gate]);
      if (text === was) return;
      was = text;
      put(
        health_,
        h("div", { class: "panel-head" }, h("h2", { id: "health" }, "Health"), health(gate)),
        facts(
          ["Newest change", number(found.newest)],
          [
            "Its snapshot",
            h("span", null, number(gate.snapshot_number), " ", h("span", { class: "fine" }, since(gate.snapshot_at))),
          ],
          ["Material is", age(gate)],
          ["Lost records", number(gate.dropped_records)],
        ),
        gate.proxies.length === 0
          ? h(
              "p",
              { class: "fine" },
              gate.is_configured
                ? "No proxy of this gate has asked within a day: enrol one below."
                : "It has no configuration yet: say below what it decides by.",
            )
          : table(
              "Proxies of this gate, with what they have",
              [
                ["Proxy", (proxy) => h("code", null, proxy.address)],
                [
                  "State",
                  (proxy) =>
                    proxy.connected
                      ? proxy.reached
                        ? badge("good", "Up to date")
                        : badge("wait", "Catching up")
                      : badge("quiet", "Not connected"),
                ],
                ["Snapshot", (proxy) => number(proxy.snapshot_number), "n"],
                ["Revocations", (proxy) => number(proxy.revocations_number), "n"],
                [
                  "Material is",
                  (proxy) => (proxy.material_age_seconds === null ? "–" : duration(proxy.material_age_seconds)),
                ],
                ["Last asked", (proxy) => since(proxy.seen_at)],
                ["Key", (proxy) => id(proxy.key_id, 18)],
              ],
              gate.proxies,
            ),
        h("p", { class: "fine" }, "The workers of a proxy share what one of them fetched, within a fifth of a second."),
      );
    } catch (error) {
      if (error.name === "AbortError") return;
      if (was !== "") return late(error);
      if (!trouble.isConnected) put(health_, h("h2", { id: "health" }, "Health"), trouble);
      failing(trouble, error, look);
    }
  });

  load(
    config,
    "what it decides by",
    () => get(`${path}/config`, {}, signal),
    (value, again) =>
      h(
        "div",
        { class: "page" },
        h(
          "div",
          { class: "panel-head" },
          h("h2", { id: "config" }, "What it decides by"),
          may("gates:write") &&
            button(value ? "Change" : "Configure", () => configure(`${path}/config`, value, may, again), {
              "aria-label": "Change what it decides by",
            }),
        ),
        value
          ? summary(value)
          : h(
              "p",
              null,
              "Nothing yet. A gate without routes refuses everything; say which requests are which actions.",
            ),
      ),
    { signal },
  );

  put(
    enrol,
    h("h2", { id: "enrol" }, "Enrol a proxy"),
    may("gates:write") ? token(path) : h("p", null, "Your key may not enrol proxies."),
  );
  load(
    keys,
    "its keys",
    () => get(`${path}/keys`, {}, signal),
    (all, again) =>
      h(
        "div",
        { class: "page" },
        h("h2", { id: "keys" }, "Keys that call for it"),
        all.length === 0
          ? h("p", { class: "fine" }, "None: no proxy has enrolled.")
          : table(
              "Keys",
              [
                ["Key", (key) => id(key.key_id, 20)],
                ["Since", (key) => time(key.created_at)],
                ["Until", (key) => (key.not_after ? time(key.not_after) : "for good")],
                [
                  "",
                  (key) =>
                    may("gates:write") &&
                    (!key.not_after || new Date(key.not_after) > new Date()) &&
                    button(
                      "End",
                      async () => {
                        try {
                          await remove(`${path}/keys/${part(key.key_id)}`);
                          announce("The key is ended");
                          again();
                        } catch (error) {
                          tellUndone("The key is not ended", error, again);
                        }
                      },
                      { class: "small danger", "aria-label": `End the key ${key.key_id}` },
                    ),
                  "end",
                ],
              ],
              all,
            ),
      ),
    { signal, lines: 2 },
  );
}

function change(own, gate, again) {
  const window = dialog(
    `Change ${gate.name}`,
    form("Change the gate", settings(gate), {
      submit: "Save",
      cancel: () => window.close(),
      send: (data) => patch(own, read(data)),
      sent: () => {
        window.close();
        announce("The gate is changed");
        again();
      },
    }),
  );
}

function drop(own, gate, go) {
  const window = dialog(
    `Delete ${gate.name}?`,
    h("p", null, "Its passports are revoked, its keys end, and its id is not used again. Its records stay."),
    form("Delete the gate", [], {
      submit: "Delete for good",
      cancel: () => window.close(),
      send: () => remove(own),
      sent: () => {
        window.close();
        announce("The gate is deleted");
        go("/console/gates");
      },
    }),
  );
}

function token(path) {
  const place = h("div", { class: "page" });
  return h(
    "div",
    { class: "page" },
    h("p", null, "A token enrols one proxy, within an hour. It is shown once."),
    h(
      "p",
      null,
      button("Make a token", async () => {
        try {
          const made = await post(`${path}/enrolment-tokens`, {});
          put(
            place,
            h("pre", { tabindex: "0" }, made.token),
            h("p", null, copy(made.token, "the token")),
            h(
              "p",
              { class: "fine" },
              "On the proxy's machine: ",
              h("code", null, "portcullis gate enrol"),
              ", see its --help. Until ",
              time(made.expires_at),
              ".",
            ),
          );
          announce("The token is made");
        } catch (error) {
          put(place, failed(error));
        }
      }),
    ),
    place,
  );
}
