// The REST surface, as everybody has it. The session's cookie goes along by itself.

/** What the service answered when it refused, or that it did not answer. */
export class Refused extends Error {
  constructor(status, body) {
    super(body?.message ?? "The service did not answer.");
    this.status = status;
    this.code = body?.code ?? "no_answer";
    this.field = body?.field;
    this.requestId = body?.request_id;
  }

  /** Whether it is likely over in a while: nobody answered, too many ask, or the service restarts. */
  get isPassing() {
    return [0, 429, 502, 503, 504].includes(this.status);
  }

  /** Whether the service said no, so that nothing was done. Where it failed or did not answer, that is not known. */
  get isRefusal() {
    return this.status >= 400 && this.status < 500;
  }

  /** In how many seconds to ask again. */
  get wait() {
    return this.retryAfter ?? 5;
  }
}

const listeners = new Set();

/** Calls back whenever nobody is signed in any more. */
export function onSignedOut(listener) {
  listeners.add(listener);
}

// A session lasts while a person does something, not while a page asks by itself.
let touched = performance.now();
for (const event of ["keydown", "pointerdown"]) {
  addEventListener(event, () => (touched = performance.now()), { capture: true, passive: true });
}
const state = () => (performance.now() - touched < 60_000 ? "active" : "waiting");

/** A request; the answer's JSON. `signal` ends it. */
export async function call(method, path, { body, query, signal, headers, text } = {}) {
  const address = new URL(path, location.origin);
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== null && value !== "") address.searchParams.set(name, value);
  }
  const all = { "x-portcullis-console": state(), accept: "application/json", ...headers };
  if (body !== undefined) all["content-type"] = "application/json";
  let answer;
  let read;
  try {
    answer = await fetch(address, {
      method,
      signal,
      headers: all,
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    read = await answer.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, { message: "The service cannot be reached. It may be restarting." });
  }
  if (answer.ok) {
    const value = text ? read : parsed(read);
    if (value === undefined && read !== "") {
      throw new Refused(502, { message: "What was answered is not this service's: something between has answered." });
    }
    return value;
  }
  const refused = new Refused(answer.status, parsed(read) ?? { message: `The service answered ${answer.status}.` });
  const retry = Number(answer.headers.get("retry-after"));
  if (retry > 0) refused.retryAfter = retry;
  if (answer.status === 401 && path !== "/api/v1/session") for (const tell of listeners) tell(refused);
  throw refused;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export const get = (path, query, signal) => call("GET", path, { query, signal });
export const post = (path, body, query) => call("POST", path, { body, query });
export const put = (path, body) => call("PUT", path, { body });
export const patch = (path, body) => call("PATCH", path, { body });
export const remove = (path, body) => call("DELETE", path, { body });

/** A part of a path. */
export const part = (text) => encodeURIComponent(text);
