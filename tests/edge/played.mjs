/* The gate of the scenario tests: what passes it is told back whole. Its clock is what each
   request says, so that a scenario can let time go by. */

import { gate, memoryStore } from "./gate.js";

const CLOCK = "x-test-now";

let clock = 0;

/** A gate, and a way to set its clock. `settings` is what the test has written. */
export function make(settings) {
  const gated = gate(upstream, settings.config, {
    store: settings.store === "memory" ? memoryStore() : sharedStore(),
    counters: "in_memory",
    now: () => clock,
    secrets: { gateKey: settings.gateKey },
    service: settings.service,
    source: () => "127.0.0.1",
    onError: (error) => console.error(`${error}`),
  });
  const tell = (headers) => {
    clock = Number(headers(CLOCK));
  };
  return { gated, tell };
}

async function upstream(request) {
  const { pathname, search } = new URL(request.url);
  const headers = [...request.headers].filter(([name]) => name !== CLOCK);
  const body = await request.text();
  const status = Number(request.headers.get("x-echo-status") ?? 200);
  const seen = JSON.stringify({ path: pathname + search, headers, body });
  return new Response(seen, { status, headers: { "x-arrived": "1" } });
}

/* As one that many processes share: asked over a wait, and answered in one step. */
function sharedStore() {
  const used = new Map();
  return {
    async putIfAbsent(key, now, until) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      const first = used.get(key);
      if (first !== undefined && first.until >= now) return first.now;
      used.set(key, { now, until });
      return null;
    },
  };
}
