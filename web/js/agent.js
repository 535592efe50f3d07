/* What an agent does: a key, passports of its own and delegated ones, signed requests. */

/** Makes a key and what it is called. With `webCrypto`, a key that never leaves the runtime. */
export async function generateCredentials(options = {}) {
  const { webCrypto = false } = known(options, ["webCrypto"]);
  ready();
  if (webCrypto) {
    const key = await crypto.subtle.generateKey("Ed25519", false, ["sign", "verify"]);
    return { ...ask("names", await publicOf(key)), key };
  }
  const seed = random(32);
  const names = ask("names", call("publicKey", seed));
  const d = base64(seed).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return { ...names, private_key: base64(seed), private_key_jwk: { ...names.public_key_jwk, d } };
}

/** Issues a passport that the key's agent signs for itself. */
export async function selfIssue(options) {
  return issue(known(options, ["key", ...PASSPORT]), {});
}

/** Delegates `parent`, whose holder's key is `key`, to the agent with the public key `to`. */
export async function delegate(parent, options) {
  const { to } = known(options, ["key", "to", ...PASSPORT]);
  return issue(options, { parent: new TextDecoder().decode(bytes("parent", parent)), to });
}

/** Signs a request (RFC 9421) for gates of profile L2 and L3: the headers to send with it. */
export async function signRequest(request, options) {
  const { key, credential, nonce, challenge, at, expiresIn } = known(options, [
    "key", "credential", "nonce", "challenge", "at", "expiresIn",
  ]);
  ready();
  const signer = await signerOf(key);
  const created = millis("at", at);
  const given = {
    ...target(request),
    method: (request.method ?? "GET").toUpperCase(),
    credential: new TextDecoder().decode(bytes("credential", credential)),
    public_key: base64(signer.publicKey),
    nonce: nonce ?? base64(random(16)),
    challenge: challenge ?? undefined,
    created,
    expires_at: expiresIn === undefined ? undefined : created + seconds("expiresIn", expiresIn),
  };
  const [text, body] = [json("options", given), optional("body", request.body)];
  const { to_sign } = ask("proof", text, body, undefined);
  return ask("proof", text, body, await signer.sign(utf8.encode(to_sign)));
}

const PASSPORT = ["permissions", "name", "delegable", "form", "at", "expiresIn"];

/* In seconds. */
const DAY = 86_400;
const CENTURY = 36_525 * DAY;

async function issue(options, more) {
  ready();
  const signer = await signerOf(options.key);
  const { permissions, name, delegable, form = "json", at, expiresIn } = options;
  if (!["json", "jwt"].includes(form)) throw invalid("form must be json or jwt");
  const issued_at = millis("at", at);
  // A delegated passport lives as long as its parent, unless it is said: the core cuts it.
  const life = expiresIn ?? (more.parent === undefined ? DAY : CENTURY);
  const given = json("options", {
    ...more,
    public_key: base64(signer.publicKey),
    id: hex(random(16)),
    issued_at,
    expires_at: issued_at + seconds("expiresIn", life),
    permissions,
    name,
    delegable,
    form,
  });
  const { to_sign } = ask("passport", given, undefined);
  return ask("passport", given, await signer.sign(utf8.encode(to_sign)));
}

/* Who signs: a seed in base64 or as bytes, a private JWK, or a pair of WebCrypto's keys. */
async function signerOf(key) {
  if (key?.privateKey !== undefined && key.publicKey !== undefined) {
    const sign = async (text) => new Uint8Array(await crypto.subtle.sign("Ed25519", key.privateKey, text));
    return { publicKey: await publicOf(key), sign };
  }
  const seed = seedOf(key);
  return { publicKey: call("publicKey", seed), sign: async (text) => call("sign", seed, text) };
}

async function publicOf({ publicKey }) {
  return new Uint8Array(await crypto.subtle.exportKey("raw", publicKey));
}

function seedOf(key) {
  if (key instanceof Uint8Array) return key;
  try {
    const text = typeof key === "string" ? key : key.d.replaceAll("-", "+").replaceAll("_", "/");
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    throw invalid("key must be a 32-byte seed (base64, bytes, a private JWK) or WebCrypto's key pair");
  }
}

function millis(name, at) {
  const when = time(name, at);
  const read = typeof when === "string" ? Date.parse(when) : when;
  if (!Number.isSafeInteger(read)) throw invalid(`${name} must be a time`);
  return read;
}

function seconds(name, number) {
  if (!Number.isSafeInteger(number) || number <= 0) throw invalid(`${name} must be whole seconds`);
  return number * 1000;
}

function random(length) {
  return crypto.getRandomValues(new Uint8Array(length));
}

function base64(given) {
  return btoa(String.fromCharCode(...given));
}

function hex(given) {
  return Array.from(given, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
