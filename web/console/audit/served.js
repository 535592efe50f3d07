// The page as the control service serves it.

import { begin } from "./page.js";

begin({ makeWorker: () => new Worker(new URL("worker.js", import.meta.url), { type: "module" }), wasm: () => null });
