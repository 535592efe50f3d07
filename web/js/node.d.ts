import type { IncomingMessage, ServerResponse } from "node:http";
import type { Gated } from "./gate.js";

/**
 * A listener for `http.createServer` that lets a gate answer. The request's target and headers
 * are judged as they came. `source` says where a request comes from, where that is not the peer.
 */
export function nodeListener<Env, Ctx>(
  gated: Gated<Env, Ctx>,
  beside?: { env?: Env; ctx?: Ctx; source?: (message: IncomingMessage) => string | undefined },
): (message: IncomingMessage, response: ServerResponse) => Promise<void>;
