// The console with what a real gate decides: signing in, each page, a revocation, an approval.

import assert from "node:assert/strict";
import { hasNoStrangers } from "./audit_page.mjs";
import { inChromium, isAccessible, pictures, scene } from "./browser.mjs";

/** Each page, and what it has of what the gate did: rows, or that there is nothing. */
const PAGES = [
  ["decisions", "tr:has-text('Allowed'):has-text('flights:search')", "tr:has-text('credential_missing')"],
  ["approvals", ".state-title:text-is('Nobody waits')"],
  ["gates", "tr:has-text('Flights'):has-text('Up to date'):has-text('L1'):has-text('1 connected')"],
  ["issuers", ".state-title:text-is('No issuers yet')"],
  ["passports", ".state-title:text-is('No passports')"],
  ["catalogs", "tr:has-text('Flights'):has-text('none')"],
  ["guardrails", "section[aria-labelledby=why] [role=listitem]:has-text('credential_missing')", "section[aria-labelledby=used] :is(table, .state-title)"],
  ["settlements", ".state-title:text-is('Nothing is settled yet')"],
  ["activity", `tr:has-text('gate.create'):has-text('${scene.gate_id}')`],
];

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

/** How many decisions the service has counted in the last hour: blocked, held, allowed. */
async function counted() {
  const headers = { authorization: `Bearer ${scene.key}` };
  const answer = await fetch(`${scene.console}/api/v1/decisions/counts`, { headers });
  assert.equal(answer.status, 200, await answer.clone().text());
  const { steps } = await answer.json();
  const sum = (...names) => steps.flatMap(({ decisions }) => names.map((name) => decisions[name] ?? 0)).reduce((a, b) => a + b, 0);
  return [sum("block", "denied"), sum("request_hold"), sum("allow", "approved")];
}

/** The chart on the page: what it says of each step, drawn and in its table. */
function chart(page) {
  return page.locator("figure.chart").evaluate((figure) => {
    const all = (selector, within = figure) => [...within.querySelectorAll(selector)];
    const [, ...names] = all("thead th").map((title) => title.textContent.toLowerCase());
    const table = all("tbody tr").map((row) => [row.querySelector("th").textContent, all("td", row).map((cell) => cell.textContent)]);
    return {
      drawn: all("rect").map((bar) => bar.textContent).sort(),
      heights: all("rect").map((bar) => Number(bar.getAttribute("height"))),
      written: table.flatMap(([step, cells]) => cells.map((count, at) => ({ step, count, name: names[at] }))),
      rows: table.map(([step]) => step),
    };
  });
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
  for (const [name, ...shown] of PAGES) {
    await page.goto(`${scene.console}/console/${name}`);
    await page.waitForSelector("h1");
    await page.waitForFunction(() => !document.querySelector(".loading"));
    for (const what of shown) await page.waitForSelector(`main ${what}`);
    assert.equal(await page.locator("main .fault").count(), 0, name);
    await isAccessible(page, name);
    await pictures(page, `console-${name}`);
  }

  // The gate's own page: its profile, and its proxy, which is connected and has what is newest.
  await page.goto(`${scene.console}/console/gates/${scene.gate_id}`);
  await page.waitForSelector("h1:text-is('Flights')");
  await page.waitForSelector("section[aria-labelledby=about] dt:text-is('Profile') + dd:text-is('L1')");
  await page.waitForSelector("section[aria-labelledby=health] .panel-head :text-is('Up to date')");
  const proxies = page.locator("section[aria-labelledby=health] tbody tr");
  assert.equal(await proxies.count(), 1, "workers of one proxy are one line");
  const cell = (title) => proxies.locator(`[data-label="${title}"]`).innerText();
  assert.match(await cell("Proxy"), /127\.0\.0\.1/);
  assert.match(await cell("State"), /Up to date/);
  assert.match(await cell("Material is"), /^(under 1|\d+) s$/);
  assert.match(await cell("Last asked"), /ago$/);
  assert.ok(Number(await cell("Snapshot")) > 0, "it has a snapshot");
  await page.waitForSelector("section[aria-labelledby=keys] tbody tr");
  await isAccessible(page, "a gate that runs");
  await pictures(page, "console-gate-live");

  // A decision as it falls, within two seconds and the time to look.
  await page.goto(`${scene.console}/console/decisions`);
  const decisions = page.locator("tr:has(button:has-text('Details'))");
  await decisions.first().waitFor();

  // The chart has a bar for each number that is not nothing, and the same numbers in its table.
  const sums = (await counted()).join();
  await page.waitForFunction((sums) => [...document.querySelectorAll(".legend b")].map((sum) => sum.textContent).join() === sums, sums);
  const { written, drawn, heights, rows } = await chart(page);
  const some = written.filter(({ count }) => count !== "0");
  assert.deepEqual(drawn, some.map(({ step, count, name }) => `${step}: ${count} ${name}`).sort());
  assert.ok(some.length > 1 && heights.every((height) => height > 0), `${heights}`);
  assert.deepEqual(rows, [...new Set(some.map(({ step }) => step))], "a row for each step in which there was anything");
  const total = (of) => written.filter(({ name }) => name === of).reduce((sum, { count }) => sum + Number(count), 0);
  assert.equal(["blocked", "held", "allowed"].map(total).join(), sums);

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
