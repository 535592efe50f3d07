/** What cannot be done with what was given; `code` is what programs compare. */
export class PortcullisError extends Error {
  readonly code: string;
  readonly detail: string;
}

/** A `WebAssembly.Module`: an object of no members, which Node's own types do not have. */
export type WasmModule = object;

/** Bytes of a WebAssembly file. */
export type WasmBytes = ArrayBuffer | ArrayBufferView;

/** Where the WebAssembly is: an address, a response, its bytes, or the compiled module. */
export type WasmSource = URL | string | Response | Promise<Response> | WasmBytes | WasmModule;

/** Makes the gate ready; without `module`, from `gate_bg.wasm` beside this file. */
export function init(options?: { module?: WasmSource }): Promise<void>;

/** As `init`, at once. */
export function initSync(options: { module: WasmBytes | WasmModule }): void;

/** What is remembered of what may be used once. */
export interface Store {
  /**
   * Remembers `key` until `expiresAtMs`, unless it is there already; in one step, whoever else
   * asks. Answers null where it was not there, and else the `nowMs` that came with it first.
   * Whatever fails, or takes more than a second, refuses the request; an error whose `code` is
   * `FULL` says that there is no room.
   */
  putIfAbsent(key: string, nowMs: number, expiresAtMs: number): Promise<number | null> | number | null;
}

/** Remembers in this process alone: where one process answers all requests. */
export function memoryStore(): Store;

/** A key: 32 bytes, or standard base64 of them. */
export type Key = Uint8Array | string;

export interface Secrets {
  /** What challenges are made and known by. Where several processes answer, all have the same. */
  process?: Key;
  /** Since when the store holds whatever was used; proofs from before are refused. */
  began?: Date | string | number;
  /** The gate's own key, by which its calls to the control service are signed. */
  gateKey?: Key;
}

/** What was decided about one request. */
export interface Decision {
  time: string;
  decision: "allow" | "block" | "report";
  /** Why not: a code from a closed set. */
  reason_code: string | null;
  detail: string | null;
  access_mode: string;
  action: string | null;
  agent_id: string | null;
  credential_id: string | null;
  issuer: string | null;
  guardrails: { name: string; result: string; detail: string }[];
}

/** A `fetch` handler, as workers and Deno have them. */
export type Handler<Env = unknown, Ctx = unknown> = (request: Request, env: Env, ctx: Ctx) => Response | Promise<Response>;

export interface Options<Env = unknown, Ctx = unknown> {
  /** What may be used once: there is no default, as a wrong one lets things pass twice. */
  store: Store | ((env: Env, ctx: Ctx) => Store);
  /** Whether it is enough that each process counts for itself. Implied by `memoryStore()`. */
  counters?: "in_memory";
  secrets?: Secrets | ((env: Env) => Secrets);
  /** Where a request comes from: for policies that admit those without a credential. */
  source?: (request: Request, env: Env, ctx: Ctx) => string | null | undefined;
  /** Where the control service is, if not at `https://` and its authority. */
  service?: string;
  /** How the control service is called; else `fetch`. */
  fetch?: (url: URL, init: RequestInit, env?: Env, ctx?: Ctx) => Promise<Response>;
  /** Told of each decision, after it was made; nothing that fails there changes it. */
  onDecision?: (decision: Decision, env: Env, ctx: Ctx) => unknown;
  /** Told of what fails beside requests; else the console. */
  onError?: (error: unknown) => void;
  /** The time, in milliseconds since 1970; else `Date.now`. */
  now?: () => number;
}

/** A handler behind a gate. */
export interface Gated<Env = unknown, Ctx = unknown> extends Handler<Env, Ctx> {
  (request: Request, env?: Env, ctx?: Ctx): Promise<Response>;
  fetch: Gated<Env, Ctx>;
  /** Takes up what the control service has that is new. */
  refresh(env?: Env, ctx?: Ctx): Promise<void>;
}

/**
 * Wraps a handler: it sees only what may pass. `config` is the plugin's configuration, as an
 * object or as JSON.
 *
 * @throws PortcullisError `INVALID_CONFIGURATION`, with the member's path, also for what a gate at
 * the edge cannot keep; `INVALID_ARGUMENT`; `NOT_READY`.
 */
export function gate<Env = unknown, Ctx = unknown>(
  handler: Handler<Env, Ctx>,
  config: object | string | Uint8Array,
  options: Options<Env, Ctx>,
): Gated<Env, Ctx>;
