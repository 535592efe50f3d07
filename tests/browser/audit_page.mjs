// What the tests of the audit page share.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

/** Opens the page, from a file or an address, and waits until it can be used. */
export async function open(page, address) {
  await page.goto(address.startsWith("http") ? address : pathToFileURL(address).href);
  await page.waitForSelector("html[data-ready=yes]");
}

/** Gives it keys and an export, and waits for its verdict: what stands in the box. */
export async function audit(page, { keys, older = "", exported, patience = 120_000 }) {
  await page.fill("#keys", "");
  await page.fill("#older", older, { force: true });
  await page.setInputFiles("#export", exported);
  await page.fill("#keys", readFileSync(keys, "utf8"));
  await page.click("#verify");
  return verdict(page, patience);
}

/** Waits for the verdict. */
export async function verdict(page, patience = 120_000) {
  await page.waitForSelector("#verdict .verdict", { timeout: patience });
  const box = page.locator("#verdict .verdict");
  return {
    title: await box.locator("h2").first().textContent(),
    text: await box.innerText(),
    code: (await box.locator(".code").count()) > 0 ? await box.locator(".code").first().textContent() : null,
  };
}

/** Pastes a credential, and trust material beside it; what stands in the box that answers. */
export async function judge(page, credential, trust = "") {
  await page.click("#tab-credential");
  await page.locator("#judgement").evaluate((box) => box.replaceChildren());
  await page.fill("#text", credential);
  if (trust) await page.locator("details:has(#trust)").evaluate((details) => (details.open = true));
  await page.fill("#trust", trust, { force: true });
  await page.click("#judge button[type=submit]");
  await page.waitForSelector("#judgement .verdict");
  return page.locator("#judgement").innerText();
}

/** Nothing of what strangers wrote has become an element; the pages make none of these themselves. */
export async function hasNoStrangers(page) {
  const strange = await page.evaluate(() => {
    const added = document.querySelectorAll("img, iframe, object, embed, [onerror], [onload]");
    return [...added].map((element) => element.outerHTML.slice(0, 200));
  });
  assert.deepEqual(strange, []);
  assert.equal(await page.evaluate(() => globalThis.pwned), undefined);
}
