// What was revoked from here, on its way to the gates: shown above every page until each gate
// has it, and until a person puts it away.

import { call, part, post, remove } from "./api.js";
import { h, put } from "./dom.js";
import { plural } from "./format.js";
import { announce, badge, button } from "./ui.js";

let region = null;
const shown = [];

export const tracker = {
  /** Where it is shown. What was followed while somebody else was signed in, or nobody, is looked for anew. */
  place(element) {
    region = element;
    put(
      region,
      shown.map(({ box }) => box),
    );
    for (const { look } of shown) look();
  },
  revokePassport,
  revoke,
};

/** Revokes a passport of this issuer, or whoever issued it where none is given, and follows it to the gates. */
export async function revokePassport(passport, issuer) {
  return revoke(`Passport ${passport}`, async () => {
    try {
      // Another issuer, which may be an agent, may have given the same id.
      const of = issuer ? `?issuer_id=${part(issuer)}` : "";
      await remove(`/api/v1/passports/${part(passport)}${of}`);
    } catch (error) {
      // One that the service does not know is revoked by its issuer's name for it.
      if (error.status !== 404 || !issuer) throw error;
      await post("/api/v1/revocations", { kind: "passport", issuer, ids: [passport] });
    }
  });
}

/**
 * Revokes something by `work`, and follows it to the gates. Throws what `work` throws, and nothing after it: what was
 * revoked is shown as such, wherever it has arrived.
 */
export async function revoke(what, work) {
  const began = performance.now();
  await work();
  follow(what, began);
}

const WORDS = {
  reached: ["good", "has it"],
  under_way: ["wait", "on its way"],
  silent: ["quiet", "not connected"],
};

// A gate that waits is told at once; one that is away may take long. After five minutes nobody
// looks on, unless a person asks for it.
const LONGEST_MS = 300_000;

// Looks are a second apart at most. Where two are further apart than this, as in a tab that sleeps, nobody knows
// when a gate had it.
const CLOSE_MS = 5000;

function follow(what, began) {
  const list = h("ul", { class: "reach" });
  const line = h("p", { class: "reach-line" }, "Telling the gates…");
  const end = h("p", { hidden: true });
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
          shown.splice(shown.indexOf(one), 1);
        },
        { class: "quiet-button" },
      ),
    ),
    line,
    list,
    end,
  );
  // The number of the change, as the first answer says it.
  let number;
  // How long it took to each gate; null where that is not known.
  const reached = new Map();
  // When the last answer came.
  let seen = 0;
  let until;
  let timer;
  // The look that counts: an answer to one before it is not shown.
  let last;

  const look = () => {
    clearTimeout(timer);
    until = performance.now() + LONGEST_MS;
    // The button that was clicked goes.
    if (end.contains(document.activeElement)) box.focus();
    put(end).hidden = true;
    turn();
  };
  const turn = async () => {
    const own = {};
    last = own;
    let found;
    let error;
    try {
      found = await call("GET", "/api/v1/propagation", { query: { number } });
    } catch (refused) {
      error = refused;
    }
    // It was dismissed, nobody is signed in any more, or it is looked for anew.
    if (!box.isConnected || last !== own) return;
    const isLate = performance.now() >= until;
    if (error) {
      const retries = error.isPassing && !isLate;
      const later = retries ? " It is asked for again by itself." : "";
      tell(`Where it has arrived cannot be told: ${error.message.replace(/[.]?$/, ".")}${later}`);
      if (retries) timer = setTimeout(turn, error.wait * 1000);
      else stop("");
      return;
    }
    number ??= found.number;
    const took = performance.now() - began;
    const gates = found.gates.filter((gate) => gate.state !== "not_configured");
    for (const gate of gates) {
      if (gate.state === "reached" && !reached.has(gate.gate_id))
        reached.set(gate.gate_id, took - seen < CLOSE_MS ? took : null);
    }
    seen = took;
    put(
      list,
      gates.map((gate) => {
        const [kind, word] = WORDS[gate.state];
        const after = gate.state === "reached" ? reached.get(gate.gate_id) : null;
        return h(
          "li",
          null,
          h("span", null, gate.name),
          badge(kind, after === null ? word : `${word}, after ${written(after)}`),
        );
      }),
    );
    const [text, isOver] = summary(gates, reached);
    tell(text);
    if (isOver) return;
    if (isLate) stop("This page has looked for five minutes, and looks no longer.");
    else timer = setTimeout(turn, took < 5000 ? 150 : 1000);
  };
  const tell = (text) => {
    if (line.textContent === text) return;
    line.textContent = text;
    announce(text);
  };
  const stop = (text) => {
    put(end, text, " ", button("Look again", look, { class: "small" })).hidden = false;
    if (text) announce(text);
  };

  const one = { box, look };
  shown.unshift(one);
  region?.prepend(box);
  // What was clicked is likely gone with its row.
  box.focus();
  announce(`${what} is revoked. Telling the gates.`);
  look();
}

const written = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

const AWAY = "What is away goes on by what it has, and at L2 and L3 refuses once that is too old.";

/** How far it is, in words, and whether there is nothing more to look for. */
function summary(gates, reached) {
  if (gates.length === 0) return ["No gate takes its trust from this service yet.", true];
  const connected = gates.filter((gate) => gate.state !== "silent");
  const silent = gates.length - connected.length;
  if (connected.length === 0) {
    const none =
      silent === 1
        ? "The only gate is not connected: it gets it when it comes back."
        : `None of ${silent} gates is connected: each gets it when it comes back.`;
    return [`${none} ${AWAY}`, false];
  }
  const away =
    silent === 0 ? "" : ` ${plural(silent, "gate")} ${silent === 1 ? "is" : "are"} not connected. ${AWAY}`;
  const waiting = connected.filter((gate) => gate.state !== "reached").length;
  if (waiting > 0) return [`On its way to ${waiting} of ${plural(gates.length, "gate")}.${away}`, false];
  const times = connected.map((gate) => reached.get(gate.gate_id));
  const after = times.includes(null) ? "" : `, after ${written(Math.max(...times))}`;
  return [`Every gate that is connected has it${after}.${away}`, silent === 0];
}
