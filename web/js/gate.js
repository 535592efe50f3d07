/* The gate where there is no proxy: a wrapper of a `fetch` handler. The core decides; what is
   here reads requests, asks the store, and does what it is told. */

/* The body, and one for each thing that a request may use up: signature, nonce, approvals. */
const MAX_ROUNDS = 8;

/* A store that has not answered by then is as good as none. */
const STORE_MS = 1000;

/* How old live trust material may be before it is renewed beside requests, and before a request
   waits for that. What is too old to judge by, the core says. */
const RENEW_MS = 1000;
const AWAIT_MS = 10_000;

/* After failures: from a quarter of a second, doubled each time. */
const FIRST_BACKOFF_MS = 250;
const LONGEST_BACKOFF_MS = 15_000;

/* A call to the control service, and as many as bring all that is revoked: 4 Mi entries are
   512 pages, and the documents beside them. */
const CALL_MS = 5000;
const MAX_CALLS = 600;

const OPTIONS = ["counters", "fetch", "now", "onDecision", "onError", "secrets", "service", "source", "store"];

const inMemory = Object.freeze({ kind: "memory" });

/** Remembers what was used in this process alone: where one process answers all requests. */
export function memoryStore() {
  return inMemory;
}

/**
 * Wraps a `fetch` handler: it sees only what may pass. `config` is the plugin's configuration.
 * The answer is a handler too, with `fetch` (itself), `refresh` and `answer`.
 */
export function gate(handler, config, options = {}) {
  ready();
  if (typeof handler !== "function") throw invalid("handler must be a function");
  const edge = new Edge(handler, config, options);
  const gated = (request, env, ctx) => edge.fetch(request, env, ctx);
  gated.fetch = gated;
  gated.refresh = (env, ctx) => edge.refresh(env, ctx);
  gated.answer = (incoming, env, ctx) => edge.answer(incoming, env, ctx);
  return gated;
}

class Edge {
  #handler;
  #options;
  #gate;
  #fault = JSON.parse(wasm_bindgen.EdgeGate.faultReply());
  #hasBegun = false;
  #isBroken = false;
  #renewal = null;
  #renewedAt = -Infinity;
  #notBefore = -Infinity;
  #failures = 0;

  constructor(handler, config, options) {
    const unknown = Object.keys(options).find((name) => !OPTIONS.includes(name));
    if (unknown !== undefined) throw invalid(`there is no option ${unknown}`);
    const { store, counters, secrets } = options;
    const isStore = typeof store === "function" || store === inMemory || typeof store?.putIfAbsent === "function";
    if (!isStore) {
      throw invalid("store is missing: memoryStore() where one process answers all requests, or one that all share");
    }
    if (counters !== undefined && counters !== "in_memory") throw invalid('counters must be "in_memory"');
    const remembers = store === inMemory;
    this.#handler = handler;
    this.#options = options;
    this.#gate = caught(
      () => new wasm_bindgen.EdgeGate(json(config), remembers, remembers || counters === "in_memory"),
    );
    if (typeof secrets !== "function") this.#keys(secrets ?? {});
  }

  async fetch(request, env, ctx) {
    return this.answer(new Fetched(request, this.#options.source?.(request, env, ctx)), env, ctx);
  }

  /* Judges a request, and lets the handler answer it or answers itself. */
  async answer(incoming, env, ctx) {
    let outcome;
    try {
      outcome = await this.#judge(incoming, env, ctx);
    } catch (error) {
      this.#wrong(error);
      outcome = this.#fault;
    }
    const { reason_code: reason, detail } = outcome.decision;
    // The client is not told what failed.
    if (reason === "host_fault" && detail !== "") this.#wrong(new Error(`${reason}: ${detail}`));
    this.#tell(outcome.decision, env, ctx);
    if (outcome.step !== "forward") {
      const body = incoming.method === "HEAD" ? null : outcome.body;
      return new Response(body, { status: outcome.status, headers: outcome.headers });
    }
    const response = await this.#handler(incoming.forward(outcome.strip, outcome.set), env, ctx);
    const asks = outcome.accept_signature;
    // A response that switches protocols cannot be made again.
    if (asks === null || response.status === 101) return response;
    const asking = new Response(response.body, response);
    asking.headers.append("accept-signature", asks);
    return asking;
  }

  /* Takes up what the control service has that is new. One call at a time, whoever asks. */
  refresh(env, ctx) {
    this.#renewal ??= this.#renew(env, ctx).finally(() => {
      this.#renewal = null;
    });
    return this.#renewal;
  }

  async #judge(incoming, env, ctx) {
    if (this.#isBroken) return this.#fault;
    this.#begin(env);
    await this.#stayFresh(env, ctx);
    const { method, authority, target, source, headers } = incoming;
    const head = latin1([method, authority, target, source ?? "", ...headers.flat()].join("\0"));
    let body;
    let known = "";
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      const outcome = JSON.parse(this.#call("judge", head, body, incoming.ends, known, this.#now(), random(16)));
      if (outcome.step === "body") body = await incoming.read(outcome.limit);
      else if (outcome.step === "ask") known += `${outcome.key} ${await this.#ask(outcome, env, ctx)}\n`;
      else return outcome;
    }
    throw new Error("the gate does not come to a decision");
  }

  /* What the store knows of a key, as the core reads it. */
  async #ask({ key, until }, env, ctx) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error("the store did not answer in time")), STORE_MS);
    });
    try {
      const { store } = this.#options;
      const { putIfAbsent } = typeof store === "function" ? bound(store(env, ctx)) : bound(store);
      const first = await Promise.race([putIfAbsent(key, this.#now(), until), late]);
      if (first === null) return "new";
      if (Number.isSafeInteger(first)) return `${first}`;
      throw new Error("the store's putIfAbsent answered neither null nor a time in milliseconds");
    } catch (error) {
      this.#wrong(error);
      return error?.code === "FULL" ? "full" : "failed";
    } finally {
      clearTimeout(timer);
    }
  }

  async #stayFresh(env, ctx) {
    if (!this.#gate.isLive) return;
    const now = this.#now();
    const age = now - this.#renewedAt;
    if (age < RENEW_MS || now < this.#notBefore) return;
    const renewed = this.refresh(env, ctx).catch((error) => this.#wrong(error));
    if (age > AWAIT_MS) await renewed;
    else ctx?.waitUntil?.(renewed);
  }

  async #renew(env, ctx) {
    if (!this.#gate.isLive) return;
    this.#begin(env);
    const call = this.#options.fetch ?? ((url, init) => fetch(url, init));
    try {
      for (let calls = 0; calls < MAX_CALLS; calls += 1) {
        const question = JSON.parse(this.#call("question", this.#now(), random(32)));
        const base = this.#options.service ?? `https://${question.authority}`;
        const init = { headers: question.headers, redirect: "manual", signal: AbortSignal.timeout(CALL_MS) };
        const response = await call(new URL(question.target, base), init, env, ctx);
        const text = new Uint8Array(await response.arrayBuffer());
        if (response.status !== 200) throw new Error(`the control service answers ${response.status}`);
        if (!this.#call("accept", text, this.#now())) {
          this.#renewedAt = this.#now();
          this.#failures = 0;
          return;
        }
      }
      throw new Error("the control service has no end of pages");
    } catch (error) {
      const wait = Math.min(FIRST_BACKOFF_MS * 2 ** Math.min(this.#failures, 10), LONGEST_BACKOFF_MS);
      this.#failures += 1;
      this.#notBefore = this.#now() + wait / 2 + (Math.random() * wait) / 2;
      throw error;
    }
  }

  /* At the first request, as workers have neither randomness nor a clock before. */
  #begin(env) {
    if (this.#hasBegun) return;
    const { secrets } = this.#options;
    const { process, began, gateKey } = this.#keys((typeof secrets === "function" ? secrets(env) : secrets) ?? {});
    caught(() => this.#gate.begin(process ?? random(32), began ?? this.#now(), gateKey));
    this.#hasBegun = true;
  }

  #keys(secrets) {
    const unknown = Object.keys(secrets).find((name) => !["began", "gateKey", "process"].includes(name));
    if (unknown !== undefined) throw invalid(`secrets has no member ${unknown}`);
    const began = secrets.began === undefined ? undefined : Number(new Date(secrets.began));
    if (Number.isNaN(began)) throw invalid("secrets.began must be a time");
    const gateKey = key("secrets.gateKey", secrets.gateKey);
    if (this.#gate.isLive && gateKey === undefined) {
      throw invalid("secrets.gateKey is missing: the gate's own key signs its calls to the control service");
    }
    return { process: key("secrets.process", secrets.process), began, gateKey };
  }

  #now() {
    return this.#options.now?.() ?? Date.now();
  }

  /* A trap leaves the memory as it was in the midst of something: nothing is judged by it again. */
  #call(name, ...given) {
    try {
      return caught(() => this.#gate[name](...given));
    } catch (error) {
      if (!(error instanceof PortcullisError)) this.#isBroken = true;
      throw error;
    }
  }

  /* Tells who follows decisions. What fails there changes nothing. */
  #tell(decision, env, ctx) {
    const { onDecision } = this.#options;
    if (onDecision === undefined) return;
    try {
      const told = onDecision({ time: new Date(this.#now()).toISOString(), ...decision }, env, ctx);
      if (typeof told?.then === "function") {
        const heard = Promise.resolve(told).catch((error) => this.#wrong(error));
        ctx?.waitUntil?.(heard);
      }
    } catch (error) {
      this.#wrong(error);
    }
  }

  #wrong(error) {
    const { onError } = this.#options;
    try {
      if (onError === undefined) console.error(`portcullis: ${error}`);
      else onError(error);
    } catch {
      // Whoever is told of errors has one: there is nobody left to tell.
    }
  }
}

/* A request as `fetch` handlers get it. */
class Fetched {
  #request;
  #body = null;

  constructor(request, source) {
    const url = new URL(request.url);
    this.#request = request;
    this.method = request.method;
    this.authority = url.host;
    this.target = url.pathname + url.search;
    this.source = source;
    this.ends = request.body === null;
    // A host that says the same, with the scheme's own port, is the same.
    const isSame = (name, value) => name === "host" && URL.parse?.(`${url.protocol}//${value}`)?.host === url.host;
    this.headers = [...request.headers].filter(([name, value]) => !isSame(name, value)).flatMap(apart);
  }

  async read(limit) {
    this.#body = await Bounded.read(this.#request.body, limit);
    return this.#body.bytes();
  }

  forward(strip, set) {
    const headers = new Headers(this.#request.headers);
    for (const name of strip) headers.delete(name);
    for (const [name, value] of set) headers.set(name, value);
    if (!this.ends && (this.method === "GET" || this.method === "HEAD")) {
      // `fetch` knows no body of these methods, although HTTP does.
      const { url, method, redirect, signal, cf } = this.#request;
      return new Request(url, { method, headers, redirect, signal, cf });
    }
    if (this.#body === null) return new Request(this.#request, { headers });
    return new Request(this.#request, { headers, body: this.#body.again(), duplex: "half" });
  }
}

/** A body, of which no more was read than the gate may hold; and it can be sent on whole. */
export class Bounded {
  #chunks = [];
  #reader;
  isWhole = false;

  static async read(stream, limit) {
    const body = new Bounded();
    body.#reader = stream.getReader();
    for (let length = 0; length <= limit; ) {
      const { done, value } = await body.#reader.read();
      body.isWhole = done;
      if (done) break;
      body.#chunks.push(value);
      length += value.length;
    }
    return body;
  }

  /* What was read, in one piece. */
  bytes() {
    const all = new Uint8Array(this.#chunks.reduce((length, chunk) => length + chunk.length, 0));
    let at = 0;
    for (const chunk of this.#chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    return all;
  }

  /* The body from its beginning. */
  again() {
    if (this.isWhole) return this.bytes();
    const [chunks, reader] = [this.#chunks, this.#reader];
    return new ReadableStream({
      async pull(controller) {
        const chunk = chunks.shift();
        if (chunk !== undefined) return controller.enqueue(chunk);
        const { done, value } = await reader.read();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    });
  }
}

function bound(store) {
  if (typeof store?.putIfAbsent !== "function") throw new Error("the store has no function putIfAbsent");
  return { putIfAbsent: store.putIfAbsent.bind(store) };
}

/* A key of 32 bytes, as bytes or in base64. */
function key(name, given) {
  if (given === undefined) return undefined;
  let found = given;
  try {
    if (typeof given === "string") found = Uint8Array.from(atob(given), (letter) => letter.charCodeAt(0));
  } catch {
    found = null;
  }
  // One of nothing but zeros was never made.
  if (found instanceof Uint8Array && found.length === 32 && found.some((byte) => byte !== 0)) return found;
  throw invalid(`${name} must be 32 random bytes, or base64 of them`);
}

/* `fetch` joins headers of one name (RFC 9110 section 5.3). Where two are one too many they are
   told apart again: no passport has a comma, and no other scheme a token of ours. */
function apart([name, value]) {
  if (name === "agent-passport") return value.split(",").map((one) => [name, one.trim()]);
  if (name === "authorization") return value.split(/,\s*(?=bearer\s)/i).map((one) => [name, one]);
  return [[name, value]];
}

/* Header values are bytes. Runtimes show each as a character; some read them as UTF-8. */
function latin1(text) {
  const coded = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code > 0xff) return utf8.encode(text);
    coded[at] = code;
  }
  return coded;
}

/* A configuration: its text, or the object that it is. */
function json(config) {
  return config instanceof Uint8Array ? config : utf8.encode(typeof config === "string" ? config : JSON.stringify(config));
}

function random(length) {
  return crypto.getRandomValues(new Uint8Array(length));
}
