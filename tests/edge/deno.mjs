/* The gate of the scenario tests in Deno. Arguments: the settings' file, and the port. */

import { init } from "./gate.js";
import { make } from "./played.mjs";

const [settings, port] = Deno.args;
await init();
const { gated, tell } = make(JSON.parse(await Deno.readTextFile(settings)));
Deno.serve({ hostname: "127.0.0.1", port: Number(port) }, (request, info) => {
  tell((name) => request.headers.get(name));
  return gated(request, info);
});
