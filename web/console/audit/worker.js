// What is verified is verified here, away from the page: it stays usable whatever is judged.

import { PortcullisError, init, initSync, verifyCredential } from "../package/index.js";
import { Auditor } from "./audit.js";

const auditor = new Auditor(postMessage.bind(globalThis));

// Messages are taken in their order; those that come before the package is ready wait for it.
let ready = null;

addEventListener("message", ({ data }) => {
  if (data.asks === "begin") {
    ready = begin(data.wasm);
    ready.catch((error) => setTimeout(() => { throw error; }));
    return;
  }
  if (data.asks === "cancel") auditor.cancel();
  else ready.then(() => answer(data));
});

/** `wasm` is the package's WebAssembly, or null where it lies beside the package. */
async function begin(wasm) {
  if (wasm) initSync({ module: wasm });
  else await init();
  postMessage({ says: "ready" });
}

async function answer(data) {
  try {
    if (data.asks === "audit") await auditor.audit(data.file, data.keys, data.older);
    else if (data.asks === "list") await auditor.list(data);
    else judge(data);
  } catch (error) {
    // A trap leaves the package in no known state: the page makes a new worker.
    postMessage({ says: "trap", detail: String(error?.message ?? error) });
  }
}

function judge({ text, trust }) {
  try {
    const answer = verifyCredential(text, trust ? { trust } : {});
    postMessage({ says: "judgement", answer });
  } catch (error) {
    if (!(error instanceof PortcullisError)) throw error;
    postMessage({ says: "judgement", error: { code: error.code, detail: error.detail } });
  }
}
