// What each page says where there is nothing, where an answer is late, broken, refused or none, where
// the session is over, and while what it follows is cut off; and that it goes on afterwards.

import assert from "node:assert/strict";
import { inChromium, isAccessible, pictures, scene, signIn } from "./browser.mjs";
import { lineTo } from "./line.mjs";

// Chromium writes down each answer that is no good one; that is what is tried here.
const expected = [/Failed to load resource/];

/** Each page: where it is, what it shows, and whether it asks by itself. */
const PAGES = [
  ["decisions", "table:has-text('flights:search')", true],
  ["approvals", "text=Nobody waits", true],
  ["gates", "table a:has-text('gate_a')", true],
  ["gates/gate_a", "h2:has-text('Keys that call for it')", true],
  ["issuers", "table a:has-text('Acme Corp')"],
  [`issuers/${scene.issuer}`, "h2:has-text('Domain check')"],
  ["passports", "table:has-text('agent-7')"],
  [`passports/${scene.passport}`, "h2:has-text('Limits beside')"],
  ["catalogs", "table a:has-text('gate_a')"],
  ["catalogs/gate_a", "table:has-text('per month')"],
  ["guardrails", "section[aria-labelledby=used] table, section[aria-labelledby=used] .state-title"],
  ["settlements", "table:has-text('$9.16')"],
  [`settlements/${scene.settlement}`, "section[aria-labelledby=sla] table"],
  ["activity", "table:has-text('gate.create')"],
];

/** What an empty service says on each page, and what to do. */
const EMPTY = [
  ["decisions", "No decisions in this time", "Once a gate that is enrolled here"],
  ["approvals", "Nobody waits", "stands here until somebody approves"],
  ["gates", "No gates yet", "Create Gate"],
  ["issuers", "No issuers yet", "Create Issuer"],
  ["passports", "No passports", "Issue Passport"],
  ["catalogs", "No gates yet", "make a gate first"],
  ["guardrails", "No passport was shown", "As soon as agents come"],
  ["settlements", "Nothing is settled yet", "Settle a Period"],
  // Making the key that this is seen with was the first change.
  ["activity", "What", "By"],
];

const refusal = (code, message) => JSON.stringify({ error: code, code, message, request_id: "req-of-the-test" });
const json = { "content-type": "application/json" };

/** How calls go wrong, what the page says then, and whether it asks again by itself. */
const FAULTS = {
  500: [{ status: 500, headers: json, body: refusal("internal", "something failed in the service") }, /The service failed[^]*something failed[^]*req-of-the-test/, false],
  503: [{ status: 503, headers: { "content-type": "text/html", "retry-after": "1" }, body: "<h1>Back soon</h1>" }, /The service failed[^]*answered 503[^]*asked for again by itself/, true],
  429: [{ status: 429, headers: { ...json, "retry-after": "1" }, body: refusal("too_many_requests", "too many requests") }, /Too many requests[^]*asked for again by itself/, true],
  stopped: [{ cut: true }, /No answer[^]*cannot be reached[^]*asked for again by itself/, true],
};

const isData = (path) => path.startsWith("/api/") && path !== "/api/v1/session";
const on = (fault) => (_, path) => (isData(path) ? fault : null);

/** Waits until the page shows what it is for, and nothing of a failure. */
async function isWell(page, name, shown) {
  await page.waitForSelector(shown);
  await page.waitForFunction(() => !document.querySelector("main .fault, main .loading, main .stale"));
}

/** Presses each button that says so, until there is none. */
async function tryAgain(page) {
  const buttons = page.locator("main button:has-text('Try again')");
  while ((await buttons.count()) > 0) {
    // One that asks again by itself may be gone by now.
    await buttons.first().click({ timeout: 2000 }).catch(() => {});
    await page.waitForFunction(() => !document.querySelector("main .loading"));
  }
}

// Nothing at all.
await inChromium({ origins: [scene.empty.origin], expected }, async (page) => {
  await signIn(page, scene.empty.origin, scene.empty.key);
  for (const [name, says, todo] of EMPTY) {
    await page.goto(`${scene.empty.origin}/console/${name}`);
    await page.waitForFunction(() => document.querySelector("h1") && !document.querySelector("main .loading"));
    const text = await page.locator("#main").innerText();
    assert.ok(text.includes(says) && text.includes(todo), `${name}: ${text}`);
    assert.equal(await page.locator("main .fault").count(), 0, name);
    await isAccessible(page, `${name}, of an empty service`);
    await pictures(page, `console-empty-${name}`);
  }
  // What is not there is said to be not there.
  for (const name of ["gates/gate_none", "issuers/none", "passports/none", "settlements/none", "nothing"]) {
    await page.goto(`${scene.empty.origin}/console/${name}`);
    await page.waitForFunction(() => /not there|no such|no gate|nothing is shown/i.test(document.querySelector("#main")?.innerText ?? ""));
    await page.waitForSelector("#nav-gates");
  }
});

const line = await lineTo(scene.full.origin);
await enforce("flights:search");
const address = (name) => `${line.origin}/console/${name}`;

await inChromium({ origins: [line.origin], expected }, async (page, context) => {
  // Signing in, while the service fails: what was typed stays, and is sent again.
  await page.goto(address(""));
  await page.waitForSelector("h1:has-text('Sign in')");
  await page.fill("input[name=key]", scene.full.key);
  line.fault = (method, path) => (method === "POST" && path === "/api/v1/session" ? FAULTS[503][0] : null);
  await page.keyboard.press("Enter");
  await page.waitForSelector("form .form-fault:has-text('503'):has-text('Try again in 1 s')");
  line.fault = () => null;
  await page.keyboard.press("Enter");
  await page.waitForSelector("#nav-decisions");

  for (const [name, shown] of PAGES) {
    // Late: that it loads is seen, and said to those who do not see it.
    let release;
    const until = new Promise((resolve) => (release = resolve));
    line.fault = on({ until });
    await page.goto(address(name));
    await page.waitForSelector("main .loading[role=status]");
    assert.match(await page.locator("main .loading").first().innerText(), /Loading .+…/, name);
    if (name === "gates/gate_a") await isAccessible(page, `${name}, while it loads`);
    release();
    line.fault = () => null;
    await isWell(page, name, shown);

    // Broken, in each way; the rest of the console stays as it is.
    for (const [kind, [fault, says, retries]] of Object.entries(FAULTS)) {
      line.fault = on(fault);
      await page.goto(address(name));
      await page.waitForSelector("main .fault");
      await page.waitForFunction(() => !document.querySelector("main .loading"));
      const text = await page.locator("main .fault").first().innerText();
      assert.match(text, says, `${name}, ${kind}`);
      assert.equal(await page.locator("main .fault[role=alert]").count(), await page.locator("main .fault").count());
      assert.ok(await page.locator("#nav-gates").isVisible(), name);
      if (kind === "500") {
        await isAccessible(page, `${name}, where the service fails`);
        await pictures(page, `console-failed-${name.split("/").length > 1 ? `${name.split("/")[0]}-one` : name}`);
      }
      line.fault = () => null;
      // Those that pass are asked again by themselves; a person may be quicker.
      if (!retries || kind === "stopped") await tryAgain(page);
      await isWell(page, `${name}, after ${kind}`, shown);
    }
  }

  // An answer that breaks off, and one that is somebody else's.
  for (const fault of [{ half: true }, { status: 200, headers: { "content-type": "text/html" }, body: "<p>Log in to the net" }]) {
    line.fault = on(fault);
    await page.goto(address("issuers"));
    await page.waitForSelector("main .fault :text-matches('cannot be reached|something between')");
    line.fault = () => null;
    await tryAgain(page);
    await isWell(page, "issuers", "table a:has-text('Acme Corp')");
  }

  // What is followed live: cut, the page says so and keeps what it has; then it has what came meanwhile.
  for (const [name, shown, isLive] of PAGES.filter(([, , isLive]) => isLive)) {
    assert.ok(isLive);
    await page.goto(address(name));
    await isWell(page, name, shown);
    line.fault = on({ cut: true });
    await page.waitForSelector("main .stale:has-text('cannot be reached'):has-text('from')");
    assert.ok(await page.locator(shown).first().isVisible(), `${name} keeps what it has`);
    assert.equal(await page.locator("main .fault").count(), 0, name);
    if (name === "decisions") {
      await page.waitForSelector(".live:has-text('No answer; trying again')");
      await isAccessible(page, "what was cut off");
      await pictures(page, "console-cut-off");
      await enforce("flights:search");
    }
    line.fault = () => null;
    await isWell(page, name, shown);
    if (name === "decisions") {
      await page.waitForSelector("tr.fresh:has-text('agent-7')");
      await page.waitForSelector(".live:has-text('Live')");
    }
  }

  // A page that was not looked at before, while nobody answers: its module is asked for again.
  await page.goto(address("decisions"));
  await isWell(page, "decisions", "table");
  line.fault = () => ({ cut: true });
  await page.click("#nav-activity");
  await page.waitForSelector("main .fault:has-text('cannot be reached')");
  line.fault = () => null;
  await page.click("main button:has-text('Try again')");
  await page.waitForSelector("main .fault:has-text('Load it anew')");
  await page.click("main button:has-text('Try again')");
  await isWell(page, "activity", "table:has-text('gate.create')");

  // What is sent and not answered stays typed, and it is said that nobody knows what became of it.
  await page.goto(address("gates"));
  await page.click("button:has-text('Create Gate')");
  await page.fill("dialog input[name=gate_id]", "late");
  await page.fill("dialog input[name=name]", "Late");
  line.fault = (method) => (method === "POST" ? { cut: true } : null);
  await page.click("dialog button[type=submit]");
  await page.waitForSelector("dialog .form-fault:has-text('look before you send it again')");
  assert.equal(await page.inputValue("dialog input[name=name]"), "Late");
  await isAccessible(page, "what was sent and not answered");
  line.fault = () => null;

  // The session ends in the midst of that: whoever is here is asked to sign in, and comes back here.
  const [cookie] = await context.cookies();
  const headers = { cookie: `${cookie.name}=${cookie.value}`, origin: line.origin, "x-portcullis-console": "active" };
  const ended = await fetch(`${line.origin}/api/v1/session`, { method: "DELETE", headers });
  assert.equal(ended.status, 200, await ended.text());
  await page.waitForSelector("h1:has-text('Sign in')");
  assert.equal(await page.locator("dialog").count(), 0, "nothing stands over it");
  assert.match(await page.locator(".said").innerText(), /the session is over/);
  await isAccessible(page, "a session that is over");
  await page.fill("input[name=key]", scene.full.key);
  await page.keyboard.press("Enter");
  await page.waitForSelector("h1:has-text('Gates')");
  assert.equal(new URL(page.url()).pathname, "/console/gates");

  // The console itself, opened while nobody answers, comes as soon as somebody does.
  line.fault = (_, path) => (path.startsWith("/api/") ? FAULTS[503][0] : null);
  await page.goto(address("gates"));
  await page.waitForSelector(".fault:has-text('asked for again by itself')");
  await isAccessible(page, "the console without its service");
  line.fault = () => null;
  await page.waitForSelector("h1:has-text('Gates')");
});
line.close();

/** Has the service decide on something, as a program would. */
async function enforce(action) {
  const headers = { authorization: `Bearer ${scene.full.key}`, "content-type": "application/json" };
  const body = JSON.stringify({ passport_id: scene.passport, action, gate_id: "gate_a", cost_cents: 1 });
  const answer = await fetch(`${scene.full.origin}/api/enforce`, { method: "POST", headers, body });
  assert.equal(answer.status, 200, await answer.text());
}
