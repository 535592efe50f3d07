// How an audit came out, in words.

import { facts, make, number, shown, size, verdict } from "./text.js";

/** The box that says so. */
export function verdictOf(said, file) {
  const outcome = { judged, cancelled, unusable, trap }[said.outcome];
  return outcome(said, file);
}

function judged(said, file) {
  return said.verdict.valid ? whole(said) : broken(said, file);
}

function whole({ verdict: found, seconds, note }) {
  const log = found.complete ? "the whole log" : "a PART of the log: what is left out is unknown";
  const older = found.extends_older
    ? "This log is the older checkpoint’s, grown."
    : found.complete
      ? "No older checkpoint was given: keep this one for the next audit."
      : "It was compared with no older checkpoint.";
  const box = verdict(
    "good",
    "Valid",
    make("p", {}, `${number(found.records)} records, ${log}. Every signature, chain and checkpoint holds.`),
    make("p", {}, older, ` Judged in ${seconds.toFixed(1)} s.`),
  );
  if (note) box.append(make("p", {}, keepIt(note, found.gate)));
  return box;
}

/** A link that writes the checkpoint down, as `portcullis audit checkpoint` does. */
function keepIt(note, gate) {
  const address = URL.createObjectURL(new Blob([note], { type: "text/plain" }));
  return make("a", { href: address, download: `${gate.replace(/[^A-Za-z0-9_-]/g, "_")}.note` }, "Keep this log’s checkpoint");
}

function broken({ verdict: found, marked, marks, size: all }) {
  const first = marks.find((mark) => mark.line === found.line) ?? null;
  const where = found.line === null ? `the end of the file, at byte ${number(all)}` : `line ${number(found.line)}`;
  const byte = first ? `, at byte ${number(first.offset)}` : "";
  const box = verdict(
    "bad",
    "Broken",
    make("p", {}, sentence(found.detail)),
    facts([
      ["What", make("span", { class: "code" }, shown(found.reason_code))],
      ["Where", `${where}${byte}; record ${number(found.index)} of the log (from 0)`],
      ["Record", found.record && shown(found.record.attestation_id)],
      ["Lane", found.record && `${shown(found.record.lane)}, number ${number(found.record.sequence_number)}`],
      ["Gate", found.gate],
    ]),
    make("p", {}, "All before it is as it should be. What comes after it was judged line by line, and not in its order."),
  );
  if (marked > 1) box.append(make("p", {}, `${number(marked)} lines are wrong. The first of them:`), list(marks));
  return box;
}

function list(marks) {
  const items = marks.map(({ line, reason_code: code, detail }) =>
    make("li", {}, `line ${number(line)}: `, make("span", { class: "code" }, shown(code)), `, ${shown(detail)}`),
  );
  return make("ul", {}, ...items);
}

function cancelled({ records, bytes, size: all, marked }) {
  const so = marked > 0 ? `${number(marked)} lines of it are wrong` : "nothing was wrong up to there";
  return verdict(
    "odd",
    "Cancelled",
    make("p", {}, `${size(bytes)} of ${size(all)} were read, ${number(records)} records: ${so}. Nothing is said of the rest.`),
  );
}

const ADVICE = {
  NOT_AN_EXPORT: "Choose the JSON Lines, or the JSON, that the control service exports; do not reformat the file.",
  INVALID_KEYS: "Look at the trusted keys again.",
  INVALID_JSON: "Look at the trusted keys again.",
  CHECKPOINT_INVALID: "Look at the older checkpoint again.",
  CHECKPOINT_NOT_COMPARABLE: "Audit an export of the whole log, or leave the older checkpoint out.",
};

function unusable({ code, detail, line, offset }, file) {
  const where = code === "NOT_AN_EXPORT" || code === "document_malformed" ? `line ${number(line)}, at byte ${number(offset)}` : null;
  return verdict(
    "odd",
    "Nothing could be judged",
    make("p", {}, sentence(detail)),
    facts([
      ["File", file.name],
      ["What", make("span", { class: "code" }, shown(code))],
      ["Where", where],
    ]),
    ADVICE[code] ? make("p", {}, ADVICE[code]) : null,
  );
}

function trap({ detail }) {
  return verdict(
    "odd",
    "Nothing could be judged",
    make("p", {}, `The verifier stopped: ${shown(detail)}.`),
    make("p", {}, "Try again; the file may need more memory than this browser has."),
  );
}

/** What an audit says begins small. */
function sentence(detail) {
  const text = shown(detail);
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}.`;
}

/** The facts of a log that is whole, and its decisions as bars. */
export function showSummary({ verdict: found }) {
  const { checkpoint } = found;
  const pairs = facts([
    ["Gate", found.gate],
    ["Decided", found.first_at && `${found.first_at} to ${found.last_at}`],
    ["Lanes", number(found.lanes)],
    ["Unrecorded", found.dropped > 0 ? `${number(found.dropped)} decisions, by the gate’s own word` : null],
    ["Removed", found.pruned > 0 ? `${number(found.pruned)} records by retention: their hashes stand in the tree` : null],
    ["Checkpoint", `${number(checkpoint.size)} records at ${checkpoint.time}`],
    ["Root", make("span", { class: "code" }, shown(checkpoint.root))],
    ["Log", checkpoint.origin],
  ]);
  const bars = make("div", { class: "bars" });
  for (const [name, decided] of Object.entries(found.decisions)) {
    const label = `${name}: ${number(decided)} of ${number(found.records)}`;
    bars.append(
      make("span", {}, name),
      make("meter", { min: 0, max: Math.max(found.records, 1), value: decided, "aria-label": label }),
      make("span", { class: "number" }, number(decided)),
    );
  }
  document.getElementById("facts").replaceChildren(pairs, bars);
  document.getElementById("summary").hidden = false;
}
