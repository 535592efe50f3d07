// An audit under way, in a worker: the package judges, and this counts, marks and reports.

import { LogAudit, PortcullisError } from "../package/index.js";
import { Index } from "./index-of-records.js";
import { BadFile, lines } from "./lines.js";

/** Marks that are kept; of further ones there is the number. */
const MOST_MARKS = 10_000;

/** Milliseconds between two reports to the page. */
const PACE = 100;

/** What a line of either form begins with that is a record: canonical text has that member first. */
const RECORD = /^"?\{\\?"access_mode/;
const DECISION = /,\\?"decision\\?":\\?"([a-z_]{1,16})/;

const latin1 = new TextDecoder("latin1");
const utf8 = new TextDecoder();

export class Auditor {
  #tell;
  #isCancelled = false;
  #question = 0;
  #index = null;

  /** `tell` sends a message to the page. */
  constructor(tell) {
    this.#tell = tell;
  }

  cancel() {
    this.#isCancelled = true;
  }

  /** Judges a file, and tells how that came out. */
  async audit(file, keys, older) {
    this.#isCancelled = false;
    const run = new Run(file, this.#tell);
    this.#index = run.index;
    try {
      this.#tell({ says: "end", ...(await run.through(keys, older, () => this.#isCancelled)) });
    } catch (error) {
      if (!(error instanceof PortcullisError || error instanceof BadFile)) throw error;
      const { code = "document_malformed", detail, line = run.line, offset = run.offset } = error;
      this.#tell({ says: "end", ...run.counts(), outcome: "unusable", code, detail, line, offset });
    }
  }

  /** Finds records of the file that was judged last. */
  async list({ filter, from, most }) {
    this.#question += 1;
    const question = this.#question;
    const list = await this.#index.find(filter, from, most, () => question !== this.#question);
    if (list) this.#tell({ says: "list", from, ...list });
  }
}

class Run {
  constructor(file, tell) {
    Object.assign(this, { file, tell, index: new Index(file), line: 1, offset: 0, marked: 0, last: "" });
    this.began = performance.now();
  }

  async through(keys, older, isCancelled) {
    const audit = new LogAudit({ keys, checkpoint: older || undefined });
    let told = this.began;
    for await (const list of lines(this.file)) {
      for (const line of list) {
        this.#take(audit, line);
        const now = performance.now();
        if (now - told > PACE) {
          told = now;
          this.tell({ says: "progress", ...this.counts() });
          // What the page has said meanwhile is heard now.
          await new Promise((resolve) => setTimeout(resolve));
          if (isCancelled()) return { ...this.counts(), outcome: "cancelled" };
        }
      }
      this.last = utf8.decode(list.at(-1).bytes);
    }
    this.offset = this.file.size;
    const verdict = audit.finish();
    return { ...this.counts(), outcome: "judged", verdict, note: verdict.valid ? noteOf(this.last) : null };
  }

  #take(audit, line) {
    this.line = line.line;
    this.offset = line.offset;
    const found = audit.push(line.bytes);
    const text = latin1.decode(line.bytes);
    if (RECORD.test(text)) this.index.add(line, DECISION.exec(text)?.[1]);
    if (found) this.#mark(found, line);
  }

  #mark(found, { line, offset }) {
    this.marked += 1;
    if (this.marked > MOST_MARKS) return;
    this.index.marks.set(line, { ...found, line, offset, isFirst: this.marked === 1 });
  }

  counts() {
    const { index, line, offset, marked, file } = this;
    const seconds = (performance.now() - this.began) / 1000;
    // The first of what is wrong, for the page: the rest is asked for with its records.
    const marks = [...index.marks.values()].slice(0, 20);
    return { records: index.count, lines: line, bytes: offset, size: file.size, seconds, marked, marks };
  }
}

/** The checkpoint in a trailer of either form; the audit has read it before. */
function noteOf(trailer) {
  try {
    return JSON.parse(trailer.replace(/^\],"trailer":(.*)\}$/s, "$1")).checkpoint;
  } catch {
    return null;
  }
}
