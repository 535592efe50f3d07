/* What the functions of the package share: how arguments are read, and the core is asked. */

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
