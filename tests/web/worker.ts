/* A program for a runtime without Node's types: what it imports must not ask for them. */

import { type TrustMaterial, initSync, verifyProof } from "portcullis-web";
import { gate, memoryStore } from "portcullis-web/gate";
import { durableStore } from "portcullis-web/durable";

export function judge(module: WebAssembly.Module, request: Request, trust: TrustMaterial): boolean {
  initSync({ module });
  return verifyProof({ url: request.url, method: request.method, headers: request.headers }, { trust }).valid;
}

export default gate((request: Request) => fetch(request), {}, { store: memoryStore() });
export const store = durableStore({});
