/* Getting ready, and what all functions share. The files of this folder follow the glue in one
   module, in the order that xtask/src/web.rs gives: they need no imports of each other. The glue
   defines `wasm_bindgen`, of which nothing leaves this module. */

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

/** Makes the package ready. `module` is its WebAssembly; without it, the file beside this one. */
export async function init({ module } = {}) {
  if (isReady) return;
  let source = await (module ?? new URL("portcullis_bg.wasm", import.meta.url));
  if (source instanceof URL && source.protocol === "file:" && globalThis.process?.versions?.node) {
    // Node's fetch reads no files.
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

function bytes(name, text) {
  if (typeof text === "string") return utf8.encode(text);
  if (text instanceof Uint8Array) return text;
  if (text instanceof ArrayBuffer) return new Uint8Array(text);
  throw invalid(`${name} must be a string, a Uint8Array or an ArrayBuffer`);
}

/* A document: its text, or the object that it is. */
function json(name, document) {
  const isText = typeof document === "string" || document instanceof Uint8Array;
  if (!isText && (document === null || typeof document !== "object")) {
    throw invalid(`${name} must be an object, or its JSON`);
  }
  return bytes(name, isText ? document : JSON.stringify(document));
}

function optional(name, text) {
  return text === undefined || text === null ? undefined : bytes(name, text);
}

/* A time as the core reads it. */
function time(name, value) {
  const when = value ?? Date.now();
  const millis = when instanceof Date ? when.getTime() : when;
  if (typeof millis !== "string" && !Number.isSafeInteger(millis)) {
    throw invalid(`${name} must be a Date, RFC 3339 in UTC, or whole milliseconds since 1970`);
  }
  return millis;
}

function invalid(detail) {
  return new PortcullisError("INVALID_ARGUMENT", detail);
}

/* What the caller meant to say must not be lost for a slip of the pen. */
function known(options, names) {
  const unknown = Object.keys(options).find((name) => !names.includes(name));
  if (unknown !== undefined) throw invalid(`there is no option ${unknown}`);
  return options;
}

function call(name, ...given) {
  ready();
  return caught(() => wasm_bindgen[name](...given));
}

function ask(name, ...given) {
  return JSON.parse(call(name, ...given));
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
