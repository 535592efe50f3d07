// The page: what a person does here becomes messages to a worker, and its answers become elements.

import { startCredential } from "./credential.js";
import { startLog } from "./log.js";
import { startTabs } from "./tabs.js";

/**
 * Starts the page. `makeWorker` makes a worker of `worker.js`; `wasm` gives the package's
 * WebAssembly, or null where it lies beside the package.
 */
export function begin(form) {
  const bench = { worker: (hear) => worker(form, hear) };
  startTabs();
  startLog(bench);
  startCredential(bench);
  document.documentElement.dataset.ready = "yes";
}

/** A worker that has begun. `hear` takes what it says; what it dies of is said as a `trap` too. */
function worker({ makeWorker, wasm }, hear) {
  const made = makeWorker();
  made.addEventListener("message", ({ data }) => hear(data));
  made.addEventListener("error", (event) => {
    event.preventDefault();
    hear({ says: "trap", detail: event.message || "the worker cannot be started" });
  });
  made.postMessage({ asks: "begin", wasm: wasm() });
  return made;
}
