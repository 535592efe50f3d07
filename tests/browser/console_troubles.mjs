// What each page says where an answer is late, broken, refused or none; and that it goes on afterwards.

import assert from "node:assert/strict";
import { inChromium, isAccessible, pictures, scene, signIn } from "./browser.mjs";
import { lineTo } from "./line.mjs";
import { FAULTS, PAGES, enforce, expected, isWell, on, tryAgain } from "./troubles.mjs";

// What a fault says is made in one place for all pages, by what asks: a list, one thing, a form.
const THOROUGH = ["decisions", "gates/gate_a", "settlements"];

const line = await lineTo(scene.origin);
await enforce("flights:search");
const address = (name) => `${line.origin}/console/${name}`;

await inChromium({ origins: [line.origin], expected }, async (page) => {
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
});
line.close();
