// The same EdDSA token verified by the package, by jose and by WebCrypto, in turn; the last line is
// JSON for whoever measures: microseconds for each verification, by round.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const { PACKAGE, PACKAGES, TOKEN, KEY, ROUNDS, TIMES } = process.env;
const portcullis = await import(pathToFileURL(`${PACKAGE}/index.js`));
const jose = createRequire(`${PACKAGES}/`)("jose");
await portcullis.init();

const raw = Buffer.from(KEY, "base64");
const key = await crypto.subtle.importKey("raw", raw, "Ed25519", false, ["verify"]);
const utf8 = new TextEncoder();

const VARIANTS = {
  portcullis: () => portcullis.verifyPassport(TOKEN).valid,
  jose: async () => (await jose.compactVerify(TOKEN, key, { algorithms: ["EdDSA"] })).payload.length > 0,
  webcrypto: () => {
    const at = TOKEN.lastIndexOf(".");
    const signature = Buffer.from(TOKEN.slice(at + 1), "base64url");
    return crypto.subtle.verify("Ed25519", key, signature, utf8.encode(TOKEN.slice(0, at)));
  },
};

const found = Object.fromEntries(Object.keys(VARIANTS).map((name) => [name, []]));
// The first round warms up.
for (let round = 0; round <= Number(ROUNDS); round += 1) {
  for (const [name, verify] of Object.entries(VARIANTS)) {
    const began = performance.now();
    for (let time = 0; time < Number(TIMES); time += 1) {
      if ((await verify()) !== true) throw new Error(`${name} refuses the token`);
    }
    if (round > 0) found[name].push(((performance.now() - began) * 1000) / Number(TIMES));
  }
}
console.log(JSON.stringify(found));
