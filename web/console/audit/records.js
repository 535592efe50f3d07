// Records of the export that was judged: filters, and what each says.

import { facts, make, number, shown } from "./text.js";

/** Records shown at a time. */
const PAGE = 50;

const by = (id) => document.getElementById(id);

/** `ask` sends a question to the worker; what comes back is given to `show`. */
export function startRecords(ask) {
  let filter = null;
  let next = 0;
  let shownSoFar = 0;
  const more = () => {
    by("more").disabled = true;
    ask({ filter, from: next, most: PAGE });
  };
  const search = () => {
    filter = { decision: by("decision").value, words: by("words").value, marked: by("marked").checked };
    [next, shownSoFar] = [0, 0];
    by("found").textContent = "Looking …";
    by("list").replaceChildren();
    more();
  };
  by("filters").addEventListener("submit", (event) => {
    event.preventDefault();
    search();
  });
  by("more").addEventListener("click", more);
  return {
    hide: () => {
      by("records").hidden = true;
    },
    begin: ({ marked }) => {
      by("filters").reset();
      // What is wrong is what one came for.
      by("marked").checked = marked > 0;
      by("records").hidden = false;
      search();
    },
    show: ({ found, next: after }) => {
      shownSoFar += found.length;
      next = after;
      by("list").append(...found.map(item));
      by("more").hidden = after === null;
      by("more").disabled = false;
      by("found").textContent = shownSoFar === 0 ? "No record is so." : `${number(shownSoFar)} shown${after === null ? ", all there are" : ""}.`;
    },
  };
}

/** One record: a line, and all that it says inside. */
function item({ record, line, text, mark }) {
  const said = read(text);
  const decision = shown(said?.decision ?? "unreadable");
  const summary = make(
    "summary",
    {},
    make("span", { class: "number" }, `#${number(record)}`),
    make("span", { class: "time" }, shown(said?.timestamp ?? "")),
    make("span", { class: classOf(decision) }, decision),
    make("span", { class: "what" }, what(said)),
    mark ? make("span", { class: "why" }, `${shown(mark.reason_code)}: ${shown(mark.detail)}`) : null,
  );
  const details = make("details", {}, summary);
  // Made when it is opened: fifty times some thirty elements otherwise.
  details.addEventListener("toggle", () => {
    if (details.open && !details.querySelector(".inside")) details.append(inside(said, text, line, mark));
  });
  return make("li", mark ? { class: "marked" } : {}, details);
}

const KNOWN = new Set(["allow", "block", "request_hold", "approved", "denied", "consumption", "gap"]);

function classOf(decision) {
  return `decision ${KNOWN.has(decision) ? decision : "gap"}`;
}

/** The record, of either form of export; null where its line is no JSON any more. */
function read(text) {
  try {
    const value = JSON.parse(text.startsWith('"') ? JSON.parse(text.replace(/,$/, "")) : text);
    return value !== null && typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}

function what(said) {
  if (!said) return "This line cannot be read any more.";
  const { agent, request, reason_code: reason } = said;
  const asked = request ? `${request.method} ${request.target_domain ?? ""}${request.path}` : "no request";
  const who = agent ? named(agent.agent_id, agent.agent_name) : "nobody verified";
  return shown([who, asked, reason].filter(Boolean).join(" · "));
}

function inside(said, text, line, mark) {
  const box = make("div", { class: "inside" });
  if (mark) box.append(make("p", { class: "why" }, `Line ${number(line)}, at byte ${number(mark.offset)}: ${shown(mark.detail)}.`));
  if (said) box.append(facts(pairs(said, line)));
  box.append(make("p", {}, "As it stands in the file:"), make("pre", { tabindex: 0, "aria-label": "The record’s text" }, shown(text)));
  return box;
}

function pairs(said, line) {
  const { agent, request, hold, dropped, receipt, gate, signature } = said;
  const list = [
    ["Decision", said.mode === "report" ? `${said.decision} (report mode: nothing was stopped)` : said.decision],
    ["Decided", said.timestamp],
    ["Gate", gate && named(gate.gate_id, gate.gate_name)],
    ["Agent", agent ? named(agent.agent_id, agent.agent_name) : `none verified (access: ${said.access_mode})`],
    ["Credential", agent?.passport_id],
    ["Issuer", agent && `${agent.issuer_id}, tier ${agent.trust_tier}`],
    ["Request", request && `${request.method} ${request.target_domain ?? ""}${request.path}`],
    ["Action", request && (request.action ?? "none")],
    ["Cost", request?.cost_cents > 0 ? `${number(request.cost_cents)} ${request.cost_cents === 1 ? "cent" : "cents"}` : null],
    ["Reason", said.reason_code],
    ["Detail", said.detail],
  ];
  for (const { name, result, detail } of Array.isArray(said.guardrails_evaluated) ? said.guardrails_evaluated : []) {
    list.push(["Guardrail", `${name}: ${result} (${detail})`]);
  }
  list.push(
    ["Held for", hold && `${hold.summary} (until ${hold.expires_at})`],
    ["Approval", said.approval_request_id],
    ["Unrecorded", dropped && `${dropped.count} decisions, ${dropped.first_at} to ${dropped.last_at}`],
    ["Receipt", receipt?.receipt_id],
    ["Record", said.attestation_id],
    ["Lane", `${said.lane}, number ${said.sequence_number}`],
    ["Signed by", signature?.key_id],
    ["Line", number(line)],
  );
  return list;
}

function named(id, name) {
  return name ? `${id} (named “${name}”)` : id;
}
