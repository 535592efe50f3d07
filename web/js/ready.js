/* Getting ready, and what all functions share: the first part of both modules of the package. The
   parts of a module follow the glue in one file, in the order that xtask/src/web.rs gives: they
   need no imports of each other. The glue defines `wasm_bindgen`, of which nothing leaves. */

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

/** Makes the module ready. `module` is its WebAssembly; without it, the file beside this one. */
export async function init({ module } = {}) {
  if (isReady) return;
  // xtask/src/web.rs writes the file's name here, where bundlers look for it.
  let source = await (module ?? new URL("WASM_FILE", import.meta.url));
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

function invalid(detail) {
  return new PortcullisError("INVALID_ARGUMENT", detail);
}
