/* The installed package as a process: a JSON object a line in, one out. `call` is what it
   exports; bytes are {"$bytes": base64}. `audit` runs a LogAudit over pieces of a file, `keys`
   makes a key pair of WebCrypto's that calls can name by {"$key": number}. */

import { Buffer } from "node:buffer";
import process from "node:process";
import { createInterface } from "node:readline";
import * as portcullis from "portcullis-web";

await portcullis.init();

const kept = [];

function revive(value) {
  if (Array.isArray(value)) return value.map(revive);
  if (value === null || typeof value !== "object") return value;
  if ("$bytes" in value) return new Uint8Array(Buffer.from(value.$bytes, "base64"));
  if ("$key" in value) return kept[value.$key];
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, revive(inner)]));
}

const operations = {
  async call(name, given) {
    const { key, ...answer } = await portcullis[name](...given);
    return key === undefined ? answer : { ...answer, key: kept.push(key) - 1 };
  },
  audit(options, pieces) {
    const audit = new portcullis.LogAudit(options);
    const found = pieces.flatMap((piece) => audit.write(piece));
    const { lines, records } = audit.progress;
    return { found, lines, records, verdict: audit.finish() };
  },
  lines(options, lines) {
    const audit = new portcullis.LogAudit(options);
    const found = lines.map((line) => audit.push(line));
    return { found, verdict: audit.finish() };
  },
  text(text) {
    return { text: portcullis.canonicalize(text) };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { operation, given } = JSON.parse(line);
  let said;
  try {
    said = { answer: await operations[operation](...revive(given)) };
  } catch (thrown) {
    if (!(thrown instanceof portcullis.PortcullisError)) throw thrown;
    said = { thrown: { code: thrown.code, detail: thrown.detail } };
  }
  console.log(JSON.stringify(said));
}
