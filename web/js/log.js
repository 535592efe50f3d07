/* The judgement of a gate's log: exports, checkpoints, proofs. */

/** The judgement of an export of a gate's records, while it is read. */
export class LogAudit {
  #audit;

  /** `keys` are the auditor's own; `checkpoint` is one kept from an earlier audit. */
  constructor({ keys, checkpoint }) {
    ready();
    this.#audit = caught(() => new wasm_bindgen.LogAudit(json("keys", keys), checkpoint ?? undefined));
  }

  /** Takes the next line; gives what is wrong with it, or null. */
  push(line) {
    const found = this.#call("push", bytes("line", line));
    return found === undefined ? null : JSON.parse(found);
  }

  /** Takes the next bytes of the file, wherever they end; gives what is wrong in them. */
  write(chunk) {
    return JSON.parse(this.#call("write", bytes("chunk", chunk)));
  }

  /** How far it is: lines of the file, and records up to the first thing that was wrong. */
  get progress() {
    this.#underWay();
    return { lines: this.#audit.lines, records: this.#audit.records };
  }

  /** Ends the audit; gives the verdict on the whole: the answer of `portcullis audit verify`. */
  finish() {
    this.#underWay();
    const audit = this.#audit;
    this.#audit = undefined;
    return JSON.parse(caught(() => audit.finish()));
  }

  #call(name, ...given) {
    this.#underWay();
    return caught(() => this.#audit[name](...given));
  }

  #underWay() {
    if (this.#audit === undefined) throw new PortcullisError("ALREADY_FINISHED", "this audit has ended");
  }
}

/** Judges a whole export at once: `LogAudit` over all of it. */
export function verifyChain(exported, { keys, checkpoint }) {
  const audit = new LogAudit({ keys, checkpoint });
  audit.write(bytes("exported", exported));
  return audit.finish();
}

/** Reads a checkpoint of a gate's log: a note that a key of its control service has signed. */
export function verifyCheckpoint(note, { gate, serviceKeys }) {
  return ask("verifyCheckpoint", json("options", { note, gate, service_keys: serviceKeys }));
}

/** Whether a record is in the log: `proof` is what the service answers to `log/proof`. */
export function verifyInclusion(proof, { record, leaf, gate, serviceKeys }) {
  const { index, size, hashes, checkpoint } = proof;
  const given = { index, size, hashes, checkpoint, leaf: leaf ?? proof.leaf, record, gate };
  return ask("verifyInclusion", json("options", { ...given, service_keys: serviceKeys }));
}

/** Whether the log of the note `newer` is that of the note `older`, grown. */
export function verifyConsistency({ older, newer, hashes }, { gate, serviceKeys }) {
  return ask("verifyConsistency", json("options", { older, newer, hashes, gate, service_keys: serviceKeys }));
}
