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
  return call("canonicalize", bytes(text));
}

function bytes(text) {
  if (typeof text === "string") return utf8.encode(text);
  if (text instanceof Uint8Array) return text;
  throw new PortcullisError("INVALID_ARGUMENT", "text must be a string or a Uint8Array");
}

function call(name, ...given) {
  if (!isReady) throw new PortcullisError("NOT_READY", "await init() first");
  try {
    return wasm_bindgen[name](...given);
  } catch (thrown) {
    if (typeof thrown !== "string") throw thrown;
    const { code, detail } = JSON.parse(thrown);
    throw new PortcullisError(code, detail);
  }
}
