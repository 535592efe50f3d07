// What an empty service has to show on each page, and what to do about it; and what is not there.

import assert from "node:assert/strict";
import { inChromium, isAccessible, pictures, scene, signIn } from "./browser.mjs";
import { expected } from "./troubles.mjs";

/** What an empty service says on each page, and what to do. */
const EMPTY = [
  ["decisions", "No decisions in this time", "Once a gate that is enrolled here"],
  ["approvals", "Nobody waits", "stands here until somebody approves"],
  ["gates", "No gates yet", "Create Gate"],
  ["issuers", "No issuers yet", "Create Issuer"],
  ["passports", "No passports", "Issue Passport"],
  ["catalogs", "No gates yet", "make a gate first"],
  ["guardrails", "No passport was shown", "As soon as agents come"],
  ["settlements", "Nothing is settled yet", "Settle a Period"],
  // To have signed in was the first change.
  ["activity", "What", "By"],
];

await inChromium({ origins: [scene.origin], expected }, async (page) => {
  await signIn(page, scene.origin, scene.key);
  for (const [name, says, todo] of EMPTY) {
    await page.goto(`${scene.origin}/console/${name}`);
    await page.waitForFunction(() => document.querySelector("h1") && !document.querySelector("main .loading"));
    const text = await page.locator("#main").innerText();
    assert.ok(text.includes(says) && text.includes(todo), `${name}: ${text}`);
    assert.equal(await page.locator("main .fault").count(), 0, name);
    await isAccessible(page, `${name}, of an empty service`);
    await pictures(page, `console-empty-${name}`);
  }
  // What is not there is said to be not there.
  for (const name of ["gates/gate_none", "issuers/none", "passports/none", "settlements/none", "nothing"]) {
    await page.goto(`${scene.origin}/console/${name}`);
    await page.waitForFunction(() => /not there|no such|no gate|nothing is shown/i.test(document.querySelector("#main")?.innerText ?? ""));
    await page.waitForSelector("#nav-gates");
  }
});
