/* The judgement of credentials, and of what agents sign with their keys. */

/* What a TrustMaterial keeps to itself; set below, as the class alone can. */
let readOnce;

/** Trust material that is read once, for many judgements. */
export class TrustMaterial {
  #read;

  /** `trust` is what `portcullis bundle` writes, or a gate's whole configuration. */
  constructor(trust) {
    ready();
    this.#read = readTrust(json("trust", trust));
  }

  static {
    readOnce = (trust) => trust.#read;
  }
}

/** Judges a credential of any kind: the answer of `portcullis verify --json`. */
export function verifyCredential(credential, options = {}) {
  return judge(undefined, credential, options, ["trust", "at", "audiences", "body"]);
}

/** Judges a passport: as JSON, as a header, or as a JWT. */
export function verifyPassport(passport, options = {}) {
  return judge("passport", passport, options, ["trust", "at"]);
}

/** Judges a Trust Badge. */
export function verifyBadge(badge, options = {}) {
  return judge("badge", badge, options, ["trust", "at", "audiences"]);
}

/** Judges a SimpleGuard signature, and the body that came with it. */
export function verifySimpleGuard(signature, options = {}) {
  return judge("simpleguard", signature, options, ["trust", "at", "body"]);
}

/** Judges a signed request: its credential, and the proof by the credential's key. */
export function verifyProof(request, options = {}) {
  ready();
  known(options, ["trust", "at", "audiences", "lifeMs", "skewMs"]);
  const { authority, path, query } = target(request);
  const head = {
    method: request.method ?? "GET",
    authority,
    path: query === undefined ? path : `${path}?${query}`,
    headers: headersOf(request.headers ?? []),
  };
  const given = {
    at: time("at", options.at),
    audiences: options.audiences,
    life_ms: options.lifeMs,
    skew_ms: options.skewMs,
  };
  const body = optional("body", request.body);
  return within(options.trust, (trust) => ask("verifyProof", json("request", head), json("options", given), trust, body));
}

/** Verifies a published catalog, or the answer of discovery; `key` is the gate's, in base64. */
export function verifyCatalog(catalog, options = {}) {
  const { key } = known(options, ["key"]);
  return ask("verifyCatalog", json("catalog", catalog), key);
}

function judge(kind, credential, options, names) {
  ready();
  const { trust, at, audiences, body } = known(options, names);
  const given = json("options", { kind, at: time("at", at), audiences });
  const token = bytes("credential", credential);
  return within(trust, (trust) => ask("verify", token, given, trust, optional("body", body)));
}

function readTrust(text) {
  return caught(() => new wasm_bindgen.TrustMaterial(text));
}

/* Trust material that was given as a document lives as long as one judgement. */
function within(trust, work) {
  if (trust instanceof TrustMaterial) return work(readOnce(trust));
  const read = readTrust(trust === undefined || trust === null ? undefined : json("trust", trust));
  try {
    return work(read);
  } finally {
    read.free();
  }
}

/* Where a request goes, as it is sent. `URL` encodes as `fetch` does. */
function target(request) {
  let url;
  try {
    url = new URL(request.url);
  } catch {
    throw invalid("url must be absolute, with https:// or http://");
  }
  if (!["https:", "http:"].includes(url.protocol) || url.username !== "" || url.password !== "") {
    throw invalid("url must begin with https:// or http://, and name no user");
  }
  url.hash = "";
  const [, rest] = url.href.split(/^[a-z]+:\/\/[^/]*/);
  const at = rest.indexOf("?");
  return {
    authority: url.host,
    path: at < 0 ? rest : rest.slice(0, at),
    query: at < 0 ? undefined : rest.slice(at + 1),
  };
}

/* Headers as pairs, from a `Headers`, pairs, or an object. */
function headersOf(headers) {
  const pairs = typeof headers[Symbol.iterator] === "function" ? [...headers] : Object.entries(headers);
  return pairs.map(([name, value]) => [String(name), String(value)]);
}
