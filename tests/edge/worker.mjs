/* The gate of the scenario tests in workerd, where isolates share a Durable Object. */

import { durableStore } from "./durable.js";
import { initSync } from "./gate.js";
import { make } from "./played.mjs";
import settings from "./settings.json";
import module from "./gate_bg.wasm";

initSync({ module });
const { gated, tell } = make(settings, (env) => durableStore(env.USED));

export { UsedOnce } from "./durable.js";

export default {
  fetch(request, env, ctx) {
    tell((name) => request.headers.get(name));
    return gated(request, env, ctx);
  },
};
