// What each page says where an answer is late, broken, refused or none, and what becomes of deeds then; and
// that it goes on afterwards.

import assert from "node:assert/strict";
import { inChromium, isAccessible, pictures, scene, signIn } from "./browser.mjs";
import { lineTo } from "./line.mjs";
import { FAULTS, PAGES, enforce, expected, isWell, on, tryAgain } from "./troubles.mjs";

// What a fault says is made in one place for all pages, by what asks: a list, one thing, a form.
const THOROUGH = ["decisions", "gates/gate_a", "settlements"];

const line = await lineTo(scene.origin);
await enforce("flights:search");
const address = (name) => `${line.origin}/console/${name}`;

/** What goes wrong with this method at this address, and below it. */
const at = (wanted, path, fault) => (method, asked) => (method === wanted && asked.startsWith(path) ? fault : null);

await inChromium({ origins: [line.origin], expected }, async (page) => {
  // Nobody waits here as long as the page does.
  await page.addInitScript(() => {
    const now = performance.now.bind(performance);
    globalThis.ahead = 0;
    performance.now = () => now() + globalThis.ahead;
  });
  await signIn(page, line.origin, scene.key);
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
    await isWell(page, shown);

    // Broken, in each way; the rest of the console stays as it is.
    for (const [kind, [fault, says, retries]] of Object.entries(FAULTS)) {
      if (kind !== "500" && !THOROUGH.includes(name)) continue;
      line.fault = on(fault);
      await page.goto(address(name));
      await page.waitForSelector("main .fault");
      await page.waitForFunction(() => !document.querySelector("main .loading"));
      const text = await page.locator("main .fault").first().innerText();
      assert.match(text, says, `${name}, ${kind}`);
      assert.equal(await page.locator("main .fault[role=alert]").count(), await page.locator("main .fault").count());
      assert.ok(await page.locator("#nav-gates").isVisible(), name);
      if (kind === "500") {
        if (THOROUGH.includes(name)) await isAccessible(page, `${name}, where the service fails`);
        await pictures(page, `console-failed-${name.split("/").length > 1 ? `${name.split("/")[0]}-one` : name}`);
      }
      line.fault = () => null;
      // Those that pass are asked again by themselves; a person may be quicker.
      if (!retries || kind === "stopped") await tryAgain(page);
      await isWell(page, shown);
    }
  }

  // An answer that breaks off, and one that is somebody else's.
  for (const fault of [{ half: true }, { status: 200, headers: { "content-type": "text/html" }, body: "<p>Log in to the net" }]) {
    line.fault = on(fault);
    await page.goto(address("issuers"));
    await page.waitForSelector("main .fault :text-matches('cannot be reached|something between')");
    line.fault = () => null;
    await tryAgain(page);
    await isWell(page, "table a:has-text('Acme Corp')");
  }

  // What is revoked and refused is not revoked, and it is said why.
  const row = (agent) => page.locator(`tr:has-text('${agent}')`);
  const tracked = page.locator(".tracked");
  await page.goto(address("passports"));
  await isWell(page, "table:has-text('agent-7')");
  line.fault = at("DELETE", "/api/v1/passports/", FAULTS[429][0]);
  await row("agent-7").locator("button:has-text('Revoke')").click();
  await page.waitForSelector("dialog .fault:has-text('It is not revoked'):has-text('too many requests')");
  assert.equal(await tracked.count(), 0, "nothing is said to be revoked");
  await isAccessible(page, "a revocation that is refused");
  await page.keyboard.press("Escape");
  await page.waitForSelector("dialog", { state: "detached" });

  // Where no answer came, nobody can know: it was done, and another look shows it.
  line.fault = at("DELETE", "/api/v1/passports/", { lost: true });
  await row("agent-7").locator("button:has-text('Revoke')").click();
  await page.waitForSelector("dialog .fault:has-text('cannot be known'):has-text('cannot be reached')");
  assert.equal(await tracked.count(), 0, "nor here");
  await isAccessible(page, "a revocation that nobody answered");
  await pictures(page, "console-revocation-unknown");
  line.fault = () => null;
  await page.click("dialog button:has-text('Look again')");
  await row("agent-7").waitFor({ state: "detached" });
  assert.equal(await page.locator("dialog").count(), 0);

  // What is revoked, and cannot be followed, is revoked all the same.
  line.fault = at("GET", "/api/v1/propagation", FAULTS[500][0]);
  await row("agent-1").locator("button:has-text('Revoke')").click();
  await row("agent-1").waitFor({ state: "detached" });
  const cannot = "'Where it has arrived cannot be told: something failed in the service.'";
  await page.waitForSelector(`.tracked:has-text('is revoked'):has-text(${cannot})`);
  assert.equal(await page.locator("dialog").count(), 0, "it is not said to have failed");
  await isAccessible(page, "a revocation that cannot be followed");
  await pictures(page, "console-revocation-lost");
  line.fault = () => null;
  await tracked.locator("button:has-text('Look again')").click();
  // No proxy of its gate runs here.
  await page.waitForSelector(".tracked:has-text('The only gate is not connected: it gets it when it comes back.')");
  assert.ok(await page.locator(".tracked li:has-text('gate_a'):has-text('not connected')").isVisible());

  // After five minutes the page looks no longer, and says so.
  await page.evaluate(() => (globalThis.ahead += 300_000));
  await page.waitForSelector(".tracked:has-text('looks no longer')");
  await isAccessible(page, "a revocation that is followed no longer");
  await tracked.locator("button:has-text('Look again')").click();
  await page.waitForFunction(() => !document.querySelector(".tracked").innerText.includes("looks no longer"));
  await tracked.locator("button:has-text('Dismiss')").click();
  assert.equal(await tracked.count(), 0);

  // The same from a decision: not answered, and done while nobody can say how far it is.
  await page.goto(address("decisions"));
  await isWell(page, "table:has-text('flights:search')");
  await page.locator("tr:has-text('agent-7') button:has-text('Details')").first().click();
  line.fault = at("DELETE", "/api/v1/passports/", { cut: true });
  await page.click("dialog button:has-text('Revoke this passport')");
  await page.waitForSelector("dialog .fault:has-text('cannot be known') a:has-text('See what was changed')");
  line.fault = at("GET", "/api/v1/propagation", FAULTS[503][0]);
  await page.click("dialog button:has-text('Revoke this passport')");
  await page.waitForSelector("dialog", { state: "detached" });
  await page.waitForSelector(".tracked:has-text('is revoked'):has-text('cannot be told'):has-text('asked for again by itself')");
  line.fault = () => null;
  await page.waitForSelector(".tracked:has-text('The only gate is not connected')");
});
line.close();
