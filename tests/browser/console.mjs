// The console with what a real gate decides: signing in, each page, a revocation, an approval.

import assert from "node:assert/strict";
import { hasNoStrangers } from "./audit_page.mjs";
import { inChromium, isAccessible, pictures, scene } from "./browser.mjs";

const PAGES = ["decisions", "approvals", "gates", "issuers", "passports", "catalogs", "guardrails", "settlements", "activity"];

/** What the gate in Envoy answers. */
async function ask(passport) {
  const answer = await fetch(scene.gate, { headers: { "agent-passport": passport } });
  const body = await answer.json();
  return { status: answer.status, reason: body.reason_code ?? null };
}

/** Asks until the gate answers so; milliseconds that took. */
async function until(passport, status, what) {
  const began = performance.now();
  for (;;) {
    const answer = await ask(passport);
    if (answer.status === status) return performance.now() - began;
    // Twenty times what a revocation takes.
    assert.ok(performance.now() - began < 20_000, `${what}: ${JSON.stringify(answer)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

// Who is not signed in is asked to: the one 401 is what the console is for then.
const expected = [/401 \(Unauthorized\)/, /404 \(Not Found\)/];

await inChromium({ origins: [scene.console], expected }, async (page) => {
  await page.goto(`${scene.console}/console/`);
  await page.waitForSelector("h1:has-text('Sign in')");
  await isAccessible(page, "signing in");
  await pictures(page, "console-sign-in");
  await page.fill("input[name=key]", "mod_live_wrong");
  await page.click("button:has-text('Sign in')");
  await page.waitForSelector("main :text-matches('key', 'i')");
  await page.fill("input[name=key]", scene.key);
  await page.keyboard.press("Enter");
  await page.waitForSelector("#nav-decisions");

  // Each page, with what the gate has decided.
  for (const name of PAGES) {
    await page.goto(`${scene.console}/console/${name}`);
    await page.waitForSelector("h1");
    await page.waitForFunction(() => !document.querySelector(".loading"));
    await isAccessible(page, name);
    await pictures(page, `console-${name}`);
  }

  // A decision as it falls, within two seconds and the time to look.
  await page.goto(`${scene.console}/console/decisions`);
  const decisions = page.locator("tr:has(button:has-text('Details'))");
  await decisions.first().waitFor();
  assert.equal((await ask(scene.revoked)).status, 200);
  await page.waitForSelector("tr.fresh:has-text('Allowed')", { timeout: 10_000 });

  // What a credential says is text.
  assert.equal((await ask(scene.marked)).status, 200);
  await page.waitForFunction(() => document.querySelectorAll("tr.fresh").length >= 2);
  await decisions.first().locator("button").last().click();
  await page.waitForSelector("dialog[open]");
  await page.click("dialog[open] summary");
  const record = JSON.parse(await page.locator("dialog[open] pre").innerText());
  assert.equal(record.agent.agent_name, scene.markup);
  await hasNoStrangers(page);
  await page.keyboard.press("Escape");
  await page.waitForSelector("dialog[open]", { state: "detached" });

  // One click revokes, and the gate in Envoy refuses.
  await page.fill("input[name=passport_id]", scene.passport);
  await page.waitForFunction(() => location.search.includes("passport_id"));
  await decisions.first().waitFor();
  await decisions.first().locator("button").last().click();
  await page.waitForSelector("dialog[open]");
  await isAccessible(page, "a decision");
  await page.click("dialog[open] button:has-text('Check signature and log')");
  await page.waitForSelector("dialog[open] :text('Signed by the gate')");
  await page.click("dialog[open] button:has-text('Revoke this passport')");
  await page.waitForSelector(".tracked:has-text('has it')");
  await pictures(page, "console-revoked");
  await until(scene.revoked, 401, "the revoked passport is refused");
  assert.match((await ask(scene.revoked)).reason, /revoked/i);

  // A request that waits is approved, and passes once.
  const waiting = await ask(scene.held);
  assert.equal(waiting.status, 202, JSON.stringify(waiting));
  await page.click("#nav-approvals");
  await page.waitForSelector("article button:has-text('Approve')");
  await isAccessible(page, "a request that waits");
  await pictures(page, "console-waiting");
  await page.fill("article input, article textarea", "called the customer");
  await page.click("article button:has-text('Approve')");
  await page.waitForSelector("table :text('Approved')");
  await until(scene.held, 200, "the approved request passes");
  assert.equal((await ask(scene.held)).status, 202, "once");

  // By the keyboard alone: to another page, and on.
  await page.goto(`${scene.console}/console/decisions`);
  await page.waitForSelector("#nav-gates");
  await page.focus("#nav-gates");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/console/gates");
  await page.waitForSelector("h1:has-text('Gates')");
});

// A link signs in once.
await inChromium({ origins: [scene.console], expected }, async (page, context) => {
  await page.goto(scene.link);
  await page.waitForSelector("#nav-decisions");
  assert.ok(!page.url().includes("link="), page.url());
  const [cookie] = await context.cookies();
  assert.ok(cookie.httpOnly && cookie.sameSite === "Strict", JSON.stringify(cookie));
});
await inChromium({ origins: [scene.console], expected }, async (page) => {
  await page.goto(scene.link);
  await page.waitForSelector("h1:has-text('Sign in')");
  assert.equal(await page.locator("#nav-decisions").count(), 0);
});
