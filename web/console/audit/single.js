// The page as one file: worker and WebAssembly are inside it, and nothing is fetched. The names in
// the import lines are those that `cargo xtask audit-page` gives what it has made.

import { begin } from "./page.js";
import wasm from "./portcullis_bg.wasm";
import worker from "./worker.bundle.txt";

// There is no console beside it.
document.getElementById("home").removeAttribute("href");
const address = URL.createObjectURL(new Blob([worker], { type: "text/javascript" }));
begin({ makeWorker: () => new Worker(address), wasm: () => wasm });
