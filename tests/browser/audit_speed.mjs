// How many records a second the audit page verifies; the last line is JSON for whoever measures.

import assert from "node:assert/strict";
import { audit, open } from "./audit_page.mjs";
import { inChromium, scene } from "./browser.mjs";

await inChromium({ offline: true }, async (page) => {
  await open(page, scene.page);
  const rates = [];
  for (let round = 0; round < scene.rounds; round += 1) {
    const { title, text } = await audit(page, { keys: scene.keys, exported: scene.exported, patience: 300_000 });
    assert.equal(title, "Valid", text);
    rates.push(scene.records / Number(/Judged in ([\d.]+) s/.exec(text)[1]));
  }
  console.log(JSON.stringify(rates));
});
