// The second tab: a credential, with the verdict that a gate's verifier gives.

import { fillFromFile } from "./given.js";
import { facts, make, shown, shownLines, verdict } from "./text.js";

/** Levels of an answer that are shown: it has fewer, whatever a credential holds. */
const DEPTH = 8;

const by = (id) => document.getElementById(id);

export function startCredential(bench) {
  const show = (...boxes) => {
    by("judgement").replaceChildren(...boxes);
    by("judgement").focus();
  };
  const failed = (why) => show(verdict("odd", "Nothing could be judged", make("p", {}, why)));
  fillFromFile(by("text"), by("text-file"), () => {}, failed);
  fillFromFile(by("trust"), by("trust-file"), () => {}, failed);
  by("judge").addEventListener("submit", (event) => {
    event.preventDefault();
    // A worker for each: what one credential does to the verifier, no other one meets.
    const worker = bench.worker((said) => {
      if (said.says === "ready") return;
      worker.terminate();
      if (said.says === "trap") failed(`The verifier stopped: ${shown(said.detail)}.`);
      else show(...boxes(said));
    });
    worker.postMessage({ asks: "judge", text: by("text").value, trust: by("trust").value.trim() });
  });
}

function boxes({ answer, error }) {
  if (error) {
    const said = make("p", {}, `${shown(error.detail)}.`);
    return [verdict("odd", "Nothing could be judged", said, code(error.code))];
  }
  const { valid, reason_code: reason, detail, explanation, ...rest } = answer;
  const box = valid
    ? verdict("good", "Valid", make("p", {}, `It holds, ${judgedBy(rest)}.`))
    : verdict("bad", "Refused", detail ? make("p", {}, `${shown(detail)}.`) : null, code(reason));
  if (explanation) box.append(tree(explanation));
  return [box, make("div", { class: "panel" }, make("h2", {}, "What it says"), tree(rest))];
}

/**
 * By what a valid credential was judged. Badges and SimpleGuard signatures, whose answers do not say it, hold by
 * trust material alone.
 */
function judgedBy({ judged_by: by = "bundle" }) {
  return by === "itself"
    ? "judged by itself: whether anybody should believe its issuer, only trust material says"
    : "judged by the trust material";
}

function code(text) {
  return make("p", { class: "code" }, shown(text));
}

/** A value of JSON as lists of terms. */
function tree(value, depth = 0) {
  if (value === null) return make("span", {}, "none");
  if (typeof value !== "object") return make("span", {}, shownLines(value));
  if (depth === DEPTH) return make("span", { class: "code" }, shown(JSON.stringify(value)));
  if (Array.isArray(value)) {
    if (value.length === 0) return make("span", {}, "none");
    return make("ol", {}, ...value.map((element) => make("li", {}, tree(element, depth + 1))));
  }
  const members = Object.entries(value);
  if (members.length === 0) return make("span", {}, "none");
  return facts(members.map(([name, member]) => [shown(name.replaceAll("_", " ")), tree(member, depth + 1)]));
}
