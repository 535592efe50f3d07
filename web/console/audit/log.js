// The first tab: a log of decisions.

import { beginning } from "./files.js";
import { fill, fillFromFile } from "./given.js";
import { startRecords } from "./records.js";
import { number, shown, size } from "./text.js";
import { showSummary, verdictOf } from "./verdict.js";

const by = (id) => document.getElementById(id);

export function startLog(bench) {
  const page = new Log(bench);
  const say = (text, isBad) => page.sayKeys(text, isBad);
  fillFromFile(by("keys"), by("keys-file"), () => page.keysChanged(), (why) => say(why, true));
  fillFromFile(by("older"), by("older-file"), () => {}, (why) => say(why, true));
  by("export").addEventListener("change", () => page.choose(by("export").files[0]));
  by("verify").addEventListener("click", () => page.verify());
  by("cancel").addEventListener("click", () => page.cancel());
  startDrop((files) => page.dropped(files));
}

class Log {
  #bench;
  #worker = null;
  #file = null;
  #records;

  constructor(bench) {
    this.#bench = bench;
    this.#records = startRecords((question) => this.#worker?.postMessage({ asks: "list", ...question }));
  }

  sayKeys(text, isBad = false) {
    by("keys-state").textContent = text;
    by("keys-state").classList.toggle("bad", isBad);
  }

  keysChanged() {
    const text = by("keys").value;
    if (text.trim() === "") return this.sayKeys("");
    try {
      const { keys, service_keys: service } = JSON.parse(text);
      this.sayKeys(`${count(keys.length, "key")} of records, ${count(service.length, "key")} of the service.`);
    } catch {
      // The audit says exactly what is wrong with them.
      this.sayKeys('These are no keys: {"keys":[…],"service_keys":[…]} is what is wanted.', true);
    }
  }

  choose(file) {
    if (!file) return;
    this.#file = file;
    by("chosen").textContent = `${shown(file.name)}, ${size(file.size)}`;
    if (by("keys").value.trim() !== "") this.verify();
    else this.sayKeys("Give the keys, then verify.", true);
  }

  /** Files of each kind can be dropped together; what they are is seen by how they begin. */
  async dropped(files) {
    let chosen = null;
    const failed = (why) => this.sayKeys(why, true);
    for (const file of files) {
      const begins = await beginning(file).catch(() => "");
      if (/^\s*\{\s*"(keys|service_keys)"/.test(begins)) await fill(by("keys"), file, () => this.keysChanged(), failed);
      else if (/^[^\n]{1,512}\n\d+\n[^\n]{44}\ntime /.test(begins)) await fill(by("older"), file, () => {}, failed);
      else chosen = file;
    }
    this.choose(chosen);
  }

  verify() {
    if (!this.#file) {
      by("chosen").textContent = "Choose an export first.";
      return by("export").focus();
    }
    if (by("keys").value.trim() === "") {
      this.sayKeys("Without keys there is nothing to believe: give them first.", true);
      return by("keys").focus();
    }
    // An audit that is under way ends with its worker.
    this.#worker?.terminate();
    this.#busy(true);
    this.#records.hide();
    by("verdict").replaceChildren();
    by("summary").hidden = true;
    const file = this.#file;
    this.#worker = this.#bench.worker((said) => this.#hear(said, file));
    this.#worker.postMessage({ asks: "audit", file, keys: by("keys").value, older: by("older").value });
  }

  cancel() {
    this.#worker?.postMessage({ asks: "cancel" });
  }

  #hear(said, file) {
    if (said.says === "progress") this.#pace(said);
    else if (said.says === "list") this.#records.show(said);
    else if (said.says === "end") this.#end(said, file);
    else if (said.says === "trap") {
      this.#worker.terminate();
      this.#worker = null;
      this.#end({ outcome: "trap", detail: said.detail, records: 0 }, file);
    }
  }

  #end(said, file) {
    this.#busy(false);
    by("verdict").replaceChildren(verdictOf(said, file));
    if (said.verdict?.valid) showSummary(said);
    if (said.records > 0) this.#records.begin(said);
    by("verdict").focus();
  }

  #busy(isBusy) {
    by("progress").hidden = !isBusy;
    by("cancel").hidden = !isBusy;
    by("verify").disabled = isBusy;
    by("bar").removeAttribute("value");
    by("pace").textContent = isBusy ? "Beginning …" : "";
  }

  #pace({ records, bytes, size: all, seconds, marked }) {
    by("bar").value = bytes / all;
    const left = (all - bytes) / (bytes / seconds);
    const wrong = marked > 0 ? `, ${number(marked)} wrong` : "";
    by("pace").textContent =
      `${number(records)} records${wrong}; ${size(bytes)} of ${size(all)}; ` +
      `${number(Math.round(records / seconds))} records a second, ${Math.ceil(left)} s left`;
  }
}

function count(of, what) {
  return `${of} ${what}${of === 1 ? "" : "s"}`;
}

/** Files may be dropped anywhere: beside the field the browser would leave the page for them. */
function startDrop(dropped) {
  const isFile = (event) => event.dataTransfer?.types.includes("Files");
  const mark = (isOver) => by("drop").classList.toggle("over", isOver);
  addEventListener("dragover", (event) => {
    if (!isFile(event)) return;
    event.preventDefault();
    mark(true);
  });
  addEventListener("dragleave", (event) => mark(event.relatedTarget !== null));
  addEventListener("drop", (event) => {
    mark(false);
    if (!isFile(event)) return;
    event.preventDefault();
    by("tab-log").click();
    dropped([...event.dataTransfer.files]);
  });
}
