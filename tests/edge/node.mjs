/* The gate of the scenario tests in Node. Arguments: the settings' file, and the port. */

import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { init } from "./gate.js";
import { nodeListener } from "./node.js";
import { make } from "./played.mjs";

const [, , settings, port] = process.argv;
await init();
const { gated, tell } = make(JSON.parse(readFileSync(settings, "utf8")));
const listener = nodeListener(gated);
createServer((message, response) => {
  tell((name) => message.headers[name]);
  listener(message, response);
}).listen(Number(port), "127.0.0.1");
