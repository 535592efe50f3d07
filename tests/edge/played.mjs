/* The gate of the scenario tests: what passes it is told back whole. Its clock is what each
   request says, so that a scenario can let time go by. */

import { gate, memoryStore } from "./gate.js";

const CLOCK = "x-test-now";

let clock = 0;

/** A gate, and a way to set its clock. `settings` is what the test has written; where
    isolates are to share a store, it is given. */
export function make(settings, store = memoryStore()) {
  // As many as there are isolates, of which any may get the next request.
  const gates = Array.from({ length: settings.isolates }, () =>
    gate(upstream, settings.config, {
      store,
      counters: "in_memory",
      now: () => clock,
      secrets: { gateKey: settings.gateKey, process: settings.process },
      service: settings.service,
      source: () => "127.0.0.1",
      onError: (error) => console.error(`${error}`),
    }),
  );
  let turn = 0;
  const next = () => gates[(turn += 1) % gates.length];
  const gated = (request, env, ctx) => next().fetch(request, env, ctx);
  gated.answer = (incoming, env, ctx) => next().answer(incoming, env, ctx);
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
