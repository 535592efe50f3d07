// The audit page as the control service serves it, with what that service exports.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { audit, open } from "./audit_page.mjs";
import { inChromium, isAccessible, pictures, scene } from "./browser.mjs";

await inChromium({ origins: [scene.origin] }, async (page) => {
  await open(page, scene.page);
  const whole = await audit(page, { keys: scene.keys, exported: scene.exported });
  assert.equal(whole.title, "Valid", whole.text);
  // And what was asked to see whether the gate is open.
  assert.match(whole.text, /1\d\d records, the whole log/);
  assert.equal(await page.locator(".bars meter").count(), 2, "allowed and blocked");
  await isAccessible(page, "the served page");
  await pictures(page, "audit-served");
  const text = readFileSync(scene.exported, "utf8");
  const tampered = `${scene.exported}.tampered.jsonl`;
  writeFileSync(tampered, text.replace('"decision":"block"', '"decision":"allow"'));
  const broken = await audit(page, { keys: scene.keys, exported: tampered });
  assert.equal(broken.title, "Broken", broken.text);
});
