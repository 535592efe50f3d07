/* A user's program: it compiles as it stands. Below, what must not: a line whose error does not
   come any more is an error itself. */

import { createServer } from "node:http";
import * as portcullis from "portcullis-web";
import { type Decision, type Store, gate, init, memoryStore } from "portcullis-web/gate";
import { UsedOnce, durableStore } from "portcullis-web/durable";
import { nodeListener } from "portcullis-web/node";

await portcullis.init();
await portcullis.init({ module: new URL("https://agents.example/portcullis_bg.wasm") });

const trust = new portcullis.TrustMaterial({ self_issued: { actions: ["flights:search"] } });
const answer = portcullis.verifyCredential("Agent-Passport: :AA==:", { trust, at: new Date() });
if (answer.valid && (answer.kind === "passport" || answer.kind === "passport_jwt")) {
  const agent: string | undefined = answer.passport?.agent_id;
  console.log(agent, answer.tier?.toFixed(), answer.passport?.permissions.map((one) => one.permission_key));
} else if (answer.kind === "badge" || answer.kind === "simpleguard") {
  console.log(answer.badge?.key.x, answer.signature?.kid);
} else {
  console.log(answer.reason_code, answer.explanation?.remedy);
}

const audit = new portcullis.LogAudit({ keys: { keys: [], service_keys: [] }, checkpoint: null });
for (const found of audit.write(new Uint8Array())) console.log(found.line, found.record?.attestation_id);
const verdict = audit.finish();
console.log(verdict.valid ? verdict.checkpoint.root : verdict.reason_code, audit.progress.records);

const mine = await portcullis.generateCredentials({ webCrypto: true });
const passport = await portcullis.selfIssue({ key: mine.key, permissions: ["flights:search"], expiresIn: 60 });
const child = await portcullis.delegate(passport.credential, {
  key: mine.key,
  to: mine.public_key,
  permissions: [{ permission_key: "flights:search", constraints: { max_daily_cost: 5 } }],
});
const signed = await portcullis.signRequest(
  { url: "https://api.example/flights", method: "POST", body: "{}" },
  { key: mine.key, credential: child.credential },
);
await fetch("https://api.example/flights", { method: "POST", headers: signed.headers, body: "{}" });
const proof = portcullis.verifyProof({ url: "https://api.example/flights", headers: new Headers(signed.headers) });
console.log(proof.proof?.nonce, proof.credential?.kind);

try {
  console.log(portcullis.canonicalize("{"));
} catch (error) {
  if (error instanceof portcullis.PortcullisError) console.log(error.code, error.detail);
}

interface Env {
  USED: object;
  SECRET: string;
}

await init();
const heard: Decision[] = [];
const gated = gate(
  async (request: Request, env: Env) => new Response(`${request.url} ${env.SECRET}`),
  { gate: { id: "gate_flights" } },
  {
    store: (env) => durableStore(env.USED),
    secrets: (env) => ({ process: env.SECRET }),
    onDecision: (decision) => heard.push(decision),
  },
);
export { UsedOnce };
export default { fetch: gated };

const shared: Store = { putIfAbsent: async (key, now, until) => (key === "" ? now : until > now ? null : now) };
const plain = gate(() => new Response(), "{}", { store: shared, counters: "in_memory" });
createServer(nodeListener(plain, { source: (message) => message.socket.remoteAddress })).listen(8080);
const response: Promise<Response> = plain(new Request("https://api.example/"));
await Promise.all([response, plain.refresh()]);

/* What must not compile. */

// @ts-expect-error: a number is no WebAssembly, and no place of one.
await init({ module: 5 });
// @ts-expect-error: the store has no default, as a wrong one lets things pass twice.
gate(() => new Response(), {}, {});
// @ts-expect-error: a store answers null or a time, and not whether it was there.
gate(() => new Response(), {}, { store: { putIfAbsent: () => true } });
// @ts-expect-error: a handler answers with a response.
gate(() => "hello", {}, { store: memoryStore() });
// @ts-expect-error: an option that does not exist would be refused when it runs.
gate(() => new Response(), {}, { store: memoryStore(), failOpen: true });
// @ts-expect-error: counting has one form that a gate at the edge knows.
gate(() => new Response(), {}, { store: memoryStore(), counters: "shared" });
// @ts-expect-error: a misspelt option would not be heeded.
portcullis.verifyCredential("", { audience: ["https://api.example"] });
// @ts-expect-error: audiences are of badges.
portcullis.verifyPassport("", { audiences: [] });
// @ts-expect-error: a credential is text, or its bytes.
portcullis.verifyPassport({ passport_json: {} });
// @ts-expect-error: what a passport says is null until its signatures hold.
console.log(portcullis.verifyPassport("").passport.agent_id);
// @ts-expect-error: a verdict that may be either has no member of one alone.
console.log(portcullis.verifyCredential("").badge);
// @ts-expect-error: an audit needs keys from elsewhere.
new portcullis.LogAudit({});
// @ts-expect-error: one that is broken has no checkpoint to keep.
if (!verdict.valid) console.log(verdict.checkpoint);
// @ts-expect-error: whom a passport is delegated to must be said.
await portcullis.delegate(passport.credential, { key: mine.key, permissions: [] });
// @ts-expect-error: signing is asynchronous, as the key may be WebCrypto's.
console.log(portcullis.signRequest({ url: "" }, { key: mine.key, credential: "" }).headers);
