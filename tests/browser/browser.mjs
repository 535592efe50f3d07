// What the tests of pages share: Chromium, what a page did beside what it was asked, screenshots
// in light and dark and at a phone's width, and what axe finds. A test is a script: it gets its
// scene as JSON in PORTCULLIS_SCENE, and fails by throwing.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const packages = createRequire(`${process.env.PORTCULLIS_NODE_PACKAGES}/`);
const { chromium } = packages("playwright-core");
const axe = readFileSync(packages.resolve("axe-core/axe.min.js"), "utf8");

/** What the Rust side says: addresses, files, credentials. */
export const scene = JSON.parse(process.env.PORTCULLIS_SCENE);

/** A desk's screen and a phone's. */
export const DESK = { width: 1280, height: 900 };
export const PHONE = { width: 360, height: 740 };

// Four times what the slowest wait takes on a machine that does nothing else.
const PATIENCE = 30_000;

/**
 * Opens Chromium, gives `test` a page, and closes it. A page that throws, that breaks its own
 * policy, or that asks anybody but `origins` for anything, fails the test.
 */
export async function inChromium({ origins = [], offline = false, expected = [] }, test) {
  const browser = await chromium.launch({
    executablePath: process.env.PORTCULLIS_CHROMIUM,
    headless: true,
    // As root there is no sandbox; pages under test are our own.
    chromiumSandbox: false,
    args: ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  try {
    const context = await browser.newContext({ viewport: DESK, offline, acceptDownloads: true });
    context.setDefaultTimeout(PATIENCE);
    const page = await context.newPage();
    const faults = watch(page, origins, expected);
    await test(page, context);
    assert.deepEqual(faults, [], "the page did what it must not");
  } finally {
    await browser.close();
  }
}

function watch(page, origins, expected) {
  const faults = [];
  const isExpected = (text) => expected.some((pattern) => pattern.test(text));
  page.on("pageerror", (error) => faults.push(`thrown: ${error.stack ?? error}`));
  page.on("dialog", (dialog) => {
    faults.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type()) && !isExpected(message.text())) faults.push(`console: ${message.text()}`);
  });
  page.on("request", (request) => {
    const { protocol, origin } = new URL(request.url());
    if (["data:", "blob:", "file:"].includes(protocol) || origins.includes(origin)) return;
    faults.push(`request: ${request.url()}`);
  });
  return faults;
}

/** Keeps pictures of the page: light, dark, and at a phone's width in both. */
export async function pictures(page, name) {
  const folder = process.env.PORTCULLIS_SCREENSHOTS;
  mkdirSync(folder, { recursive: true });
  for (const [width, viewport] of [["desk", DESK], ["phone", PHONE]]) {
    await page.setViewportSize(viewport);
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      // Long pages go on as they began.
      const height = Math.min(await page.evaluate(() => document.documentElement.scrollHeight), 3 * viewport.height);
      const clip = { x: 0, y: 0, width: viewport.width, height };
      await page.screenshot({ path: join(folder, `${name}-${width}-${colorScheme}.png`), fullPage: true, clip });
    }
  }
  await page.setViewportSize(DESK);
  await page.emulateMedia({ colorScheme: "light" });
}

/** Fails where axe finds a serious issue, or where the page is wider than a phone. */
export async function isAccessible(page, name) {
  const session = await page.context().newCDPSession(page);
  // Not by the page itself, whose policy lets nobody add scripts.
  await session.send("Runtime.evaluate", { expression: axe });
  for (const viewport of [DESK, PHONE]) {
    await page.setViewportSize(viewport);
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      const { result, exceptionDetails } = await session.send("Runtime.evaluate", {
        expression: "axe.run({ resultTypes: ['violations'] }).then(({ violations }) => JSON.stringify(violations))",
        awaitPromise: true,
        returnByValue: true,
      });
      assert.equal(exceptionDetails, undefined, "axe could not run");
      const serious = JSON.parse(result.value)
        .filter(({ impact }) => ["serious", "critical"].includes(impact))
        .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.slice(0, 3).map(({ html, failureSummary }) => `${html} ${failureSummary}`).join(" | ")}`);
      assert.deepEqual(serious, [], `${name}, ${viewport.width} wide, ${colorScheme}`);
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= viewport.width, `${name} is ${width} wide where there are ${viewport.width}`);
    }
  }
  await page.setViewportSize(DESK);
  await page.emulateMedia({ colorScheme: "light" });
  await session.detach();
}

/**
 * Goes on by the keyboard alone until what has this name has the focus: a button's or a link's text,
 * a field's label. Fails where it is not reached.
 */
export async function tabTo(page, name, { key = "Tab", most = 80 } = {}) {
  const seen = [];
  for (let pressed = 0; pressed <= most; pressed += 1) {
    const now = await page.evaluate(() => {
      const active = document.activeElement;
      const named = active?.getAttribute("aria-label") ?? active?.labels?.[0]?.textContent ?? active?.textContent ?? "";
      return active === document.body ? "" : named.replace(" *", "").trim();
    });
    if (now === name) return;
    seen.push(now.slice(0, 40));
    await page.keyboard.press(key);
  }
  assert.fail(`the keyboard does not reach ${name}: ${seen.join(" | ")}`);
}

/** Signs in at the console with an API key. */
export async function signIn(page, origin, key) {
  await page.goto(`${origin}/console/`);
  await page.waitForSelector("h1:has-text('Sign in')");
  await page.fill("input[name=key]", key);
  await page.keyboard.press("Enter");
  await page.waitForSelector("#nav-decisions");
}

/** The element that has the focus, as a person at a keyboard would name it. */
export function focused(page) {
  return page.evaluate(() => document.activeElement?.id || document.activeElement?.textContent?.trim() || "");
}
