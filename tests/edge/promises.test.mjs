/* What the gate promises beside the scenarios: how it starts, and what it makes of stores that
   fail, of bodies, and of whoever listens to decisions. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Agent, createServer, request } from "node:http";
import { before, test } from "node:test";
import { gate, init, memoryStore } from "./gate.js";
import { nodeListener } from "./node.js";

const { config, now, other, tokens } = JSON.parse(readFileSync("fixtures.json", "utf8"));
const url = `http://${config.authorities[0]}/flights`;

before(init);

/* As a store that several processes share. */
function sharedStore(used = new Map()) {
  return {
    used,
    async putIfAbsent(key, at, until) {
      await new Promise((resolve) => setTimeout(resolve, 2));
      const first = used.get(key);
      if (first === undefined) used.set(key, { at, until });
      return first?.at ?? null;
    },
  };
}

function gateOf({ of = config, ...options }, handler = async (request) => new Response(await request.bytes())) {
  const heard = { decisions: [], errors: [] };
  const gated = gate(handler, of, {
    now: () => now,
    onDecision: (decision) => heard.decisions.push(decision),
    onError: (error) => heard.errors.push(error),
    store: memoryStore(),
    ...options,
  });
  return Object.assign(gated, { heard });
}

function signed(token, { body = "", path = "", ...more } = {}) {
  return new Request(new URL(path, url), { method: "POST", headers: { "x-capiscio-jws": token }, body, ...more });
}

const told = async (response) => [response.status, (await response.json()).reason_code];

test("a gate says at its start what it cannot keep, and which member asks for it", () => {
  const l1 = { ...config, guardrails: undefined };
  const refused = [
    [l1, { store: undefined }, /store is missing/],
    [l1, { store: {} }, /store is missing/],
    [l1, { stores: memoryStore() }, /no option stores/],
    [l1, { counters: "somewhere" }, /counters must be/],
    [l1, { secrets: { proces: "" } }, /no member proces/],
    [l1, { secrets: { process: "AAAA" } }, /secrets\.process must be 32/],
    [l1, { secrets: { began: "yesterday" } }, /secrets\.began must be a time/],
    [{ ...l1, fail_open: true }, {}, /fail_open: is unknown/],
    [{ ...l1, profile: "L2" }, {}, /profile: must be L1/],
    [{ ...l1, spend: "in_memory" }, {}, /spend/],
    [{ ...l1, attest: { policy: "required" } }, {}, /attest\.policy/],
    [{ ...l1, nonce_authority: true }, {}, /nonce_authority/],
    [{ ...l1, guardrails: { "core:rate:max_per_minute": 5 } }, { store: sharedStore() }, /guardrails: .*counters/],
    [other.live, {}, /secrets\.gateKey is missing/],
    [other.live, { secrets: { gateKey: "AAAA" } }, /secrets\.gateKey must be 32/],
    [other.live, { secrets: { gateKey: new Uint8Array(32) } }, /secrets\.gateKey must be 32/],
  ];
  for (const [config, options, message] of refused) {
    const start = () => gate(() => new Response(), config, { store: memoryStore(), ...options });
    assert.throws(start, message, JSON.stringify(options));
  }
});

test("what was used is refused in the same words, wherever it is remembered", async () => {
  const answers = [];
  for (const store of [memoryStore(), sharedStore()]) {
    const gated = gateOf({ store, counters: "in_memory" });
    assert.equal((await gated(signed(tokens.empty))).status, 200);
    const again = await gated(signed(tokens.empty));
    answers.push([again.status, [...again.headers], await again.text()]);
  }
  assert.match(answers[0][2], /request_replayed.*the signature was used at|the signature was used at.*request_replayed/);
  assert.deepEqual(answers[0], answers[1]);
});

test("of many equal requests at once one passes, at whichever process they arrive", async () => {
  const used = new Map();
  const gates = [1, 2, 3].map(() => gateOf({ store: sharedStore(used) }));
  const answers = await Promise.all(Array.from({ length: 12 }, (_, at) => gates[at % 3](signed(tokens.empty))));
  assert.equal(answers.filter((answer) => answer.status === 200).length, 1);
});

test("a store that fails, is full, is late or says what makes no sense refuses", async () => {
  const failing = {
    host_fault: [
      () => Promise.reject(new Error("away")),
      () => undefined,
      () => true,
      () => Number.NaN,
      () => new Promise(() => {}),
    ],
    replay_memory_full: [() => Promise.reject(Object.assign(new Error("no room"), { code: "FULL" }))],
  };
  for (const [reason, stores] of Object.entries(failing)) {
    for (const putIfAbsent of stores) {
      const handler = () => assert.fail("the handler saw it");
      const gated = gateOf({ store: { putIfAbsent } }, handler);
      assert.deepEqual(await told(await gated(signed(tokens.empty))), [503, reason], `${putIfAbsent}`);
      assert.ok(gated.heard.errors.length > 0);
    }
  }
});

test("what is refused for anything else uses nothing up", async () => {
  const store = sharedStore();
  const gated = gateOf({ store });
  const [status] = await told(await gated(signed(tokens.empty, { body: "another body" })));
  assert.equal(status, 401);
  assert.equal(store.used.size, 0);
  assert.equal((await gated(signed(tokens.empty))).status, 200);
  assert.equal(store.used.size, 1);
  // Nothing of who asks, or with what, can be told by the key.
  assert.match([...store.used.keys()][0], /^[\w-]{43}$/);
});

test("a body goes on as it came, and is read no further than it may be", async () => {
  const gated = gateOf({});
  const body = Uint8Array.from({ length: 3000 }, (_, at) => at % 251);
  const passed = await gated(signed(tokens.body, { body }));
  assert.deepEqual(new Uint8Array(await passed.arrayBuffer()), body);

  let pulled = 0;
  const endless = () => new ReadableStream({ pull: (to) => to.enqueue(new Uint8Array(1000).fill((pulled += 1))) });
  const large = await gated(signed(tokens.body, { body: endless(), duplex: "half" }));
  assert.deepEqual(await told(large), [413, "body_too_large"]);
  assert.ok(pulled < 10, `${pulled} kB were read`);

  // Where refusals are only reported it goes on whole.
  const long = Uint8Array.from({ length: 20_000 }, (_, at) => at % 251);
  const reported = await gated(signed(tokens.body, { body: long, path: "/watched" }));
  assert.deepEqual(new Uint8Array(await reported.arrayBuffer()), long);
  assert.equal(gated.heard.decisions.at(-1).decision, "report");
});

test("what fetch has joined or resolved hides nothing", async () => {
  const gated = gateOf({}, () => assert.fail("the handler saw it"));
  const asked = (path, headers) => gated(new Request(new URL(path, url), { headers }));
  const passport = "Bearer eyJ0eXAiOiJwYXNzcG9ydCtqd3QifQ.e30.AA";
  const ambiguous = [
    [["authorization", "Basic eA=="], ["authorization", passport]],
    [["authorization", passport], ["authorization", "Basic eA=="]],
    [["agent-passport", ":AA==:"], ["agent-passport", ":AA==:"]],
    [["x-capiscio-jws", tokens.empty], ["x-capiscio-jws", tokens.empty]],
    [["host", "elsewhere.example"]],
  ];
  for (const headers of ambiguous) {
    assert.deepEqual(await told(await asked("/flights", headers)), [400, "header_ambiguous"], `${headers}`);
  }
  assert.deepEqual(await told(await asked("/health/../flights", [])), [401, "credential_missing"]);
});

test("a connection outlives an answer to a body that was not read to its end", async () => {
  const server = createServer(nodeListener(gateOf({})));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const at = `http://127.0.0.1:${server.address().port}/flights`;
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ask = (token, body) =>
    new Promise((resolve, reject) => {
      const headers = { host: config.authorities[0], "x-capiscio-jws": token };
      const asked = request(at, { method: "POST", agent, headers }, (answer) => {
        answer.resume().once("end", () => resolve(answer.statusCode));
      });
      asked.once("error", reject).end(body);
    });
  assert.equal(await ask(tokens.body, new Uint8Array(200_000)), 413);
  assert.equal(await ask(tokens.empty, ""), 200);
  assert.equal(await ask("no token", new Uint8Array(200_000)), 401);
  assert.equal(await ask("no token", new Uint8Array(20)), 401);
  agent.destroy();
  server.close();
});

test("decisions are told, and whoever fails to hear them changes nothing", async () => {
  const gated = gateOf({});
  await gated(signed(tokens.empty));
  await gated(new Request(url));
  const [allowed, blocked] = gated.heard.decisions;
  assert.deepEqual(
    [allowed.decision, allowed.action, allowed.agent_id, allowed.reason_code],
    ["allow", "flights:search", "agent-a-key-1", null],
  );
  assert.deepEqual([blocked.decision, blocked.reason_code, blocked.agent_id], ["block", "credential_missing", null]);
  const deaf = [
    () => {
      throw new Error("deaf");
    },
    () => Promise.reject(new Error("deaf")),
  ];
  for (const onDecision of deaf) {
    const gated = gateOf({ onDecision });
    assert.equal((await gated(signed(tokens.empty))).status, 200);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(gated.heard.errors.length, 1);
  }
});

test("after a failure in the midst of a judgement nothing is judged again", async () => {
  let at = now;
  const gated = gateOf({ now: () => at, onDecision: undefined }, () => assert.fail("the handler saw it"));
  assert.deepEqual(await told(await gated(new Request(url))), [401, "credential_missing"]);
  at = 1n;
  assert.deepEqual(await told(await gated(signed(tokens.empty))), [503, "host_fault"]);
  at = now;
  assert.deepEqual(await told(await gated(signed(tokens.empty))), [503, "host_fault"]);
});

test("a handler's own failure is its own", async () => {
  const gated = gateOf({}, () => Promise.reject(new Error("the database is away")));
  await assert.rejects(() => gated(signed(tokens.empty)), /the database is away/);
});

test("a gate whose service is away refuses, and asks it again only after a while", async () => {
  let [calls, at] = [0, now];
  const fetch = async () => {
    calls += 1;
    return new Response("away", { status: 503 });
  };
  const gated = gateOf({ of: other.live, secrets: { gateKey: new Uint8Array(32).fill(1) }, fetch, now: () => at });
  for (let count = 0; count < 20; count += 1) {
    assert.deepEqual(await told(await gated(new Request(url))), [503, "trust_material_missing"]);
  }
  assert.equal(calls, 1);
  at += 20_000;
  await gated(new Request(url));
  assert.equal(calls, 2);
});
