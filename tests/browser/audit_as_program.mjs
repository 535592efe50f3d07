// `portcullis audit verify --json --keys FILE EXPORT [--checkpoint FILE]`, judged by the page: what
// stands on it, in the members of the command line's answer.

import { readFileSync } from "node:fs";
import { audit, open } from "./audit_page.mjs";
import { inChromium, scene } from "./browser.mjs";

const [keys, exported, , checkpoint] = process.argv.slice(6);

await inChromium({ offline: true }, async (page) => {
  await open(page, scene.page);
  await page.click("summary:has-text('earlier audit')");
  const older = checkpoint ? readFileSync(checkpoint, "utf8") : "";
  const { title, text, code } = await audit(page, { keys, exported, older });
  const digits = (pattern) => Number(pattern.exec(text)?.[1].replaceAll(",", ""));
  const answer = {
    Valid: () => ({
      valid: true,
      records: digits(/^([\d,]+) records, the whole log/m),
      extends_older: /the older checkpoint’s, grown/.test(text) ? true : null,
    }),
    Broken: () => ({ valid: false, reason_code: code, index: digits(/record ([\d,]+) of the log/) }),
  }[title];
  console.log(JSON.stringify(answer ? answer() : { title, text }));
});
