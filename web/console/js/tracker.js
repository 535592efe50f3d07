// What was revoked from here, on its way to the gates: shown above every page until each gate
// has it, and until a person puts it away.

import { call, get, part, post, remove } from "./api.js";
import { h, put } from "./dom.js";
import { announce, badge, button } from "./ui.js";

let region = null;
const shown = [];

export const tracker = {
  /** Where it is shown. */
  place(element) {
    region = element;
    put(region, shown);
  },
  revokePassport,
  revoke,
};

/** Revokes a passport, whoever issued it, and follows it to the gates. */
export async function revokePassport(passport, issuer) {
  return revoke(`Passport ${passport}`, async () => {
    try {
      await remove(`/api/v1/passports/${part(passport)}`);
    } catch (error) {
      // One that the service does not know is revoked by its issuer's name for it.
      if (error.status !== 404 || !issuer) throw error;
      await post("/api/v1/revocations", { kind: "passport", issuer, ids: [passport] });
    }
  });
}

/** Revokes something by `work`, and follows it to the gates. */
export async function revoke(what, work) {
  const began = performance.now();
  await work();
  const { newest } = await get("/api/v1/propagation");
  follow(what, newest, began);
}

const WORDS = {
  reached: ["good", "has it"],
  under_way: ["wait", "on its way"],
  silent: ["quiet", "not connected"],
};

// A gate that waits is told at once; one that is away may take long. After five minutes nobody
// looks on.
const LONGEST_MS = 300_000;

function follow(what, number, began) {
  const list = h("ul", { class: "reach" });
  const line = h("p", { class: "reach-line" }, "Telling the gates…");
  const box = h(
    "article",
    { class: "tracked", tabindex: "-1", "aria-label": `${what}: revoked` },
    h(
      "div",
      { class: "tracked-head" },
      h("h2", null, `${what} is revoked`),
      button(
        "Dismiss",
        () => {
          box.remove();
          shown.splice(shown.indexOf(box), 1);
        },
        { class: "quiet-button" },
      ),
    ),
    line,
    list,
  );
  shown.unshift(box);
  region?.prepend(box);
  // What was clicked is likely gone with its row.
  box.focus();
  announce(`${what} is revoked. Telling the gates.`);
  const reachedAt = new Map();
  const turn = async () => {
    if (!box.isConnected) return;
    const took = performance.now() - began;
    let pause = took < 5000 ? 150 : 1000;
    try {
      const { gates } = await call("GET", "/api/v1/propagation", { query: { number } });
      const asked = gates.filter((gate) => gate.state !== "not_configured");
      for (const gate of asked) {
        if (gate.state === "reached" && !reachedAt.has(gate.gate_id)) reachedAt.set(gate.gate_id, took);
      }
      put(
        list,
        asked.map((gate) => {
          const [kind, word] = WORDS[gate.state];
          const after = reachedAt.get(gate.gate_id);
          return h(
            "li",
            null,
            h("span", null, gate.name),
            badge(kind, after === undefined ? word : `${word}, after ${written(after)}`),
          );
        }),
      );
      if (sum(line, asked, took)) return;
    } catch (error) {
      line.textContent = error.message;
      pause = 2000;
    }
    if (took < LONGEST_MS) setTimeout(turn, pause);
  };
  turn();
}

const written = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

function sum(line, gates, took) {
  const connected = gates.filter((gate) => gate.state !== "silent");
  const silent = gates.length - connected.length;
  const away =
    silent === 0
      ? ""
      : ` ${silent === 1 ? "One gate is" : `${silent} gates are`} not connected: what is away goes on by what it has, and at L2 and L3 refuses once that is too old.`;
  if (gates.length === 0) {
    line.textContent = "No gate takes its trust from this service yet.";
    return true;
  }
  if (connected.every((gate) => gate.state === "reached") && connected.length > 0) {
    const text = `Every gate that is connected has it, after ${written(took)}.${away}`;
    if (line.textContent !== text) {
      line.textContent = text;
      announce(text);
    }
    return silent === 0;
  }
  line.textContent = `On its way to ${connected.filter((gate) => gate.state !== "reached").length} of ${gates.length} gates.${away}`;
  return false;
}
