// A period is settled, looked at, invoiced and paid; what cannot be done is said.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { inChromium, isAccessible, pictures, scene, signIn } from "./browser.mjs";

const expected = [/401 \(Unauthorized\)/, /409 \(Conflict\)/, /422 \(/];

await inChromium({ origins: [scene.console], expected }, async (page) => {
  await signIn(page, scene.console, scene.key);
  await page.click("#nav-settlements");
  await page.waitForSelector("text=Nothing is settled yet");
  const settle = async (type, start) => {
    await page.locator("button:has-text('Settle a Period')").first().click();
    await page.waitForSelector("dialog select[name=gate_id]");
    await page.selectOption("dialog select[name=period_type]", type);
    await page.fill("dialog input[name=period_start]", start);
    await page.click("dialog button[type=submit]");
  };
  // A month begins with its first day.
  await settle("monthly", "2025-03-04");
  await page.waitForSelector("dialog .fault-text:not(:empty), dialog .form-fault p");
  await isAccessible(page, "a period that is none");
  await page.fill("dialog input[name=period_start]", "2025-03-01");
  await page.click("dialog button[type=submit]");
  await page.waitForSelector(`h2:has-text('${scene.owed}')`);
  await page.waitForSelector("section[aria-labelledby=sla] table");
  const text = await page.locator("main").innerText();
  assert.match(text, /Left out\s+1/);
  assert.match(text, /proof invalid/);
  assert.match(text, /flights:search/);
  await isAccessible(page, "a settlement");
  await pictures(page, "console-settlement");

  // The file is what whoever is to pay verifies.
  const download = page.waitForEvent("download");
  await page.click("a:has-text('Download its records')");
  const records = readFileSync(await (await download).path(), "utf8");
  assert.equal(records.trim().split("\n").length, 10, records);

  for (const [verb, word] of [["Mark as invoiced", "Invoiced"], ["Mark as paid", "Paid"]]) {
    await page.click(`button:has-text('${verb}')`);
    await page.waitForSelector(`section[aria-labelledby=about] .panel-head :text('${word}')`);
  }
  assert.equal(await page.locator("section[aria-labelledby=about] button").count(), 0, "what is paid stays so");
  assert.equal(await page.locator("section[aria-labelledby=history] tbody tr").count(), 3);

  // The list, and that nothing is settled twice.
  await page.click("#nav-settlements");
  await page.waitForSelector(`tr:has-text('${scene.owed}')`);
  await isAccessible(page, "settlements");
  await settle("daily", "2025-03-04");
  await page.waitForSelector("dialog [data-field=period_start] .fault-text:has-text('overlaps')");
});
