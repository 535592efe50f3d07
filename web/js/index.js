/* The package's public functions. The glue above defines `wasm_bindgen`; nothing of it leaves. */

const utf8 = new TextEncoder();

let isReady = false;

/** What cannot be done with what was given; `code` is what programs compare. */
export class PortcullisError extends Error {
  constructor(code, detail) {
    super(`${code}: ${detail}`);
    this.name = "PortcullisError";
    this.code = code;
    this.detail = detail;
  }
}

/** Makes the package ready. `module` is where its WebAssembly is; without it, beside this file. */
export async function init({ module } = {}) {
  if (isReady) return;
  let source = module ?? new URL("portcullis_bg.wasm", import.meta.url);
  if (source instanceof URL && source.protocol === "file:" && globalThis.process?.versions?.node) {
    const { readFile } = await import("node:fs/promises");
    source = await readFile(source);
  }
  await wasm_bindgen({ module_or_path: source });
  isReady = true;
}

/** As `init`, at once: `module` is a `WebAssembly.Module` or its bytes. */
export function initSync({ module }) {
  if (isReady) return;
  wasm_bindgen.initSync({ module });
  isReady = true;
}

/** The canonical text (RFC 8785) of a JSON text. */
export function canonicalize(text) {
  return call("canonicalize", bytes("text", text));
}

/** The judgement of an export of a gate's records, while it is read. */
export class LogAudit {
  #audit;
  #ended = false;

  /** `keys` are the auditor's own; `checkpoint` is one kept from an earlier audit. */
  constructor({ keys, checkpoint }) {
    ready();
    this.#audit = caught(() => new wasm_bindgen.LogAudit(json("keys", keys), checkpoint));
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

  /** How far it is. */
  get progress() {
    return { lines: this.#audit.lines, records: this.#audit.records };
  }

  /** Ends the audit; gives the verdict on the whole. */
  finish() {
    const verdict = this.#call("finish");
    this.#ended = true;
    return JSON.parse(verdict);
  }

  #call(name, ...given) {
    if (this.#ended) throw new PortcullisError("ALREADY_FINISHED", "this audit has ended");
    return caught(() => this.#audit[name](...given));
  }
}

function bytes(name, text) {
  if (typeof text === "string") return utf8.encode(text);
  if (text instanceof Uint8Array) return text;
  throw new PortcullisError("INVALID_ARGUMENT", `${name} must be a string or a Uint8Array`);
}

/* A document: its text, or the object that it is. */
function json(name, document) {
  const isText = typeof document === "string" || document instanceof Uint8Array;
  return bytes(name, isText ? document : JSON.stringify(document));
}

function call(name, ...given) {
  ready();
  return caught(() => wasm_bindgen[name](...given));
}

function ready() {
  if (!isReady) throw new PortcullisError("NOT_READY", "await init() first");
}

function caught(work) {
  try {
    return work();
  } catch (thrown) {
    if (typeof thrown !== "string") throw thrown;
    const { code, detail } = JSON.parse(thrown);
    throw new PortcullisError(code, detail);
  }
}
