// What is followed live, sent, or begun while nobody answers, and a session that ends in the midst: what
// is said of it, and that it goes on afterwards.

import assert from "node:assert/strict";
import { inChromium, isAccessible, pictures, scene } from "./browser.mjs";
import { lineTo } from "./line.mjs";
import { FAULTS, PAGES, enforce, expected, isWell, on } from "./troubles.mjs";

const line = await lineTo(scene.origin);
await enforce("flights:search");
const address = (name) => `${line.origin}/console/${name}`;

await inChromium({ origins: [line.origin], expected }, async (page, context) => {
  // Signing in, while the service fails: what was typed stays, and is sent again.
  await page.goto(address(""));
  await page.waitForSelector("h1:has-text('Sign in')");
  await page.fill("input[name=key]", scene.key);
  line.fault = (method, path) => (method === "POST" && path === "/api/v1/session" ? FAULTS[503][0] : null);
  await page.keyboard.press("Enter");
  await page.waitForSelector("form .form-fault:has-text('503'):has-text('Try again in 1 s')");
  line.fault = () => null;
  await page.keyboard.press("Enter");
  await page.waitForSelector("#nav-decisions");

  // What is followed live: cut, the page says so and keeps what it has; then it has what came meanwhile.
  for (const [name, shown, isLive] of PAGES.filter(([, , isLive]) => isLive)) {
    assert.ok(isLive);
    await page.goto(address(name));
    await isWell(page, shown);
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
    await isWell(page, shown);
    if (name === "decisions") {
      await page.waitForSelector("tr.fresh:has-text('agent-7')");
      await page.waitForSelector(".live:has-text('Live')");
    }
  }

  // A page that was not looked at before, while nobody answers: its module is asked for again.
  await page.goto(address("decisions"));
  await isWell(page, "table:has-text('flights:search')");
  line.fault = () => ({ cut: true });
  await page.click("#nav-activity");
  await page.waitForSelector("main .fault:has-text('cannot be reached')");
  line.fault = () => null;
  await page.click("main button:has-text('Try again')");
  await page.waitForSelector("main .fault:has-text('Load it anew')");
  await page.click("main button:has-text('Try again')");
  await isWell(page, "table:has-text('gate.create')");

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
  assert.equal(await page.locator("dialog[open]").count(), 0, "nothing stands over it");
  assert.match(await page.locator(".said").innerText(), /the session is over/);
  await isAccessible(page, "a session that is over");
  await page.fill("input[name=key]", scene.key);
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
