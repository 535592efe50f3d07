// An export of 200 MB whose every record has markup in its strings.

import assert from "node:assert/strict";
import { audit, hasNoStrangers, open, verdict } from "./audit_page.mjs";
import { inChromium, isAccessible, pictures, scene } from "./browser.mjs";

await inChromium({ offline: true }, async (page) => {
  await open(page, scene.page);
  const began = audit(page, { keys: scene.keys, exported: scene.exported, patience: 300_000 });
  await page.waitForSelector("#progress:not([hidden])");
  await page.waitForFunction(() => Number(document.querySelector("#bar").value) > 0.02);

  // Meanwhile the page does what it is asked.
  const delay = await page.evaluate(async () => {
    let longest = 0;
    let last = performance.now();
    for (let frame = 0; frame < 60; frame += 1) {
      await new Promise(requestAnimationFrame);
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }
    return longest;
  });
  // A tenth of it on a machine that does nothing else.
  assert.ok(delay < 1000, `the page stood still for ${delay} ms`);
  await page.click("#tab-credential");
  await page.click("#tab-log");
  await pictures(page, "audit-progress");
  await page.click("#cancel");
  const cancelled = await began;
  assert.equal(cancelled.title, "Cancelled");
  assert.match(cancelled.text, /Nothing is said of the rest/);

  await page.click("#verify");
  await page.waitForSelector("#verdict .verdict", { state: "detached" });
  const whole = await verdict(page, 300_000);
  assert.equal(whole.title, "Valid", whole.text);
  assert.ok(whole.text.includes(`${scene.records} records`), whole.text);

  // What agents wrote is text, also where a record is opened.
  await page.locator("#list summary").first().click();
  await page.waitForSelector("#list .inside");
  const shown = await page.locator("#list > li").first().innerText();
  assert.ok(shown.includes(scene.markup), shown);
  assert.ok(shown.includes("\\u{202e}name"), shown);
  await hasNoStrangers(page);
  await page.fill("#words", scene.markup);
  await page.click("#filters button");
  await page.waitForFunction(() => document.querySelectorAll("#list > li").length === 50);
  await hasNoStrangers(page);
  await page.fill("#words", "nobody wrote this");
  await page.click("#filters button");
  await page.waitForSelector("#found:has-text('No record is so')", { timeout: 120_000 });
  await isAccessible(page, "a large log");
});
