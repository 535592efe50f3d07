// What the scripts share that break the console's service under it: each page, each way in which a
// call goes wrong, and how a page is mended.

import assert from "node:assert/strict";
import { scene } from "./browser.mjs";

// Chromium writes down each answer that is no good one; that is what is tried here.
export const expected = [/Failed to load resource/];

/** Each page: where it is, what it shows, and whether it asks by itself. */
export const PAGES = [
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
  [`settlements/${scene.settlement}`, "section[aria-labelledby=sla]:has-text('Uptime')"],
  ["activity", "table:has-text('gate.create')"],
];

const refusal = (code, message) => JSON.stringify({ error: code, code, message, request_id: "req-of-the-test" });
const json = { "content-type": "application/json" };

/** How calls go wrong, what the page says then, and whether it asks again by itself. */
export const FAULTS = {
  500: [{ status: 500, headers: json, body: refusal("internal", "something failed in the service") }, /The service failed[^]*something failed[^]*req-of-the-test/, false],
  503: [{ status: 503, headers: { "content-type": "text/html", "retry-after": "1" }, body: "<h1>Back soon</h1>" }, /The service failed[^]*answered 503[^]*asked for again by itself/, true],
  429: [{ status: 429, headers: { ...json, "retry-after": "1" }, body: refusal("too_many_requests", "too many requests") }, /Too many requests[^]*asked for again by itself/, true],
  stopped: [{ cut: true }, /No answer[^]*cannot be reached[^]*asked for again by itself/, true],
};

const isData = (path) => path.startsWith("/api/") && path !== "/api/v1/session";
export const on = (fault) => (_, path) => (isData(path) ? fault : null);

/** Waits until the page shows what it is for, and nothing of a failure. */
export async function isWell(page, shown) {
  try {
    await page.waitForSelector(shown);
    await page.waitForFunction(() => !document.querySelector("main .fault, main .loading, main .stale"));
  } catch (error) {
    assert.fail(`${error.message}\n${page.url()} says: ${await page.locator("body").innerText()}`);
  }
}

/** Presses each button that says so, until there is none. */
export async function tryAgain(page) {
  const buttons = page.locator("main button:has-text('Try again')");
  while ((await buttons.count()) > 0) {
    // One that asks again by itself may be gone by now.
    await buttons.first().click({ timeout: 2000 }).catch(() => {});
    await page.waitForFunction(() => !document.querySelector("main .loading"));
  }
}

/** Has the service decide on something, as a program would. */
export async function enforce(action) {
  const headers = { authorization: `Bearer ${scene.key}`, "content-type": "application/json" };
  const body = JSON.stringify({ passport_id: scene.passport, action, gate_id: "gate_a", cost_cents: 1 });
  const answer = await fetch(`${scene.origin}/api/enforce`, { method: "POST", headers, body });
  assert.equal(answer.status, 200, await answer.text());
}
