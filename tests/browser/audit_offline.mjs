// The audit page as one file, from the disk, with the network cut.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { audit, hasNoStrangers, judge, open, verdict } from "./audit_page.mjs";
import { inChromium, isAccessible, focused, pictures, scene } from "./browser.mjs";

const text = readFileSync(scene.exported, "utf8");
const lines = text.split("\n");
const write = (name, content) => {
  const file = join(scene.folder, name);
  writeFileSync(file, content);
  return file;
};

await inChromium({ offline: true }, async (page) => {
  await open(page, scene.page);
  await isAccessible(page, "the empty page");
  await pictures(page, "audit-empty");

  const keys = scene.keys;
  const whole = await audit(page, { keys, exported: scene.exported });
  assert.equal(whole.title, "Valid");
  assert.match(whole.text, new RegExp(`${scene.records} records, the whole log`));
  await page.locator("#list summary").first().click();
  await isAccessible(page, "a log that is whole");
  await pictures(page, "audit-valid");

  // The checkpoint that it offers is the one of the trailer, and the next audit takes it.
  const download = page.waitForEvent("download");
  await page.click("#verdict a[download]");
  const kept = await (await download).path();
  const note = readFileSync(kept, "utf8");
  assert.equal(note, JSON.parse(lines.at(-2)).checkpoint);
  await page.click("summary:has-text('earlier audit')");
  const grown = await audit(page, { keys, exported: scene.exported, older: note });
  assert.match(grown.text, /the older checkpoint’s, grown/);

  // Filters.
  await page.selectOption("#decision", "a");
  await page.fill("#words", "PP_00000000000000000000000007");
  await page.click("#filters button");
  await page.waitForFunction(() => document.querySelector("#found").textContent.includes("all there are"));
  assert.equal(await page.locator("#list > li").count(), 1);

  // A record that is changed, dropped, and a file that is cut off: where and why.
  const at = lines.findIndex((line, index) => index > lines.length / 2 && line.startsWith('{"access_mode"'));
  const changed = write("changed.jsonl", text.replace(lines[at], lines[at].replace('"method":"GET"', '"method":"PUT"')));
  const broken = await audit(page, { keys, exported: changed });
  assert.equal(broken.title, "Broken");
  assert.equal(broken.code, "signature_invalid");
  const byte = Buffer.byteLength(lines.slice(0, at).join("\n")) + 1;
  assert.ok(broken.text.includes(`line ${(at + 1).toLocaleString("en")}, at byte ${byte.toLocaleString("en")}`), broken.text);
  assert.ok(await page.isChecked("#marked"));
  await page.waitForSelector("#list > li.marked");
  assert.equal(await page.locator("#list > li").count(), 1);
  await page.locator("#list summary").first().click();
  assert.match(await page.locator("#list > li").innerText(), /signature_invalid/);
  await isAccessible(page, "a log that is broken");
  await pictures(page, "audit-broken");

  const truncated = write("truncated.jsonl", text.slice(0, text.length / 2));
  const cut = await audit(page, { keys, exported: truncated });
  assert.equal(cut.title, "Broken");
  assert.match(cut.text, /line|end of the file/);

  // What is no export at all.
  for (const [name, content] of Object.entries({
    empty: "",
    blank: "\n\n\n",
    page: "<!doctype html><p>Sign in</p>",
    bytes: Buffer.from(Array.from({ length: 70_000 }, (_, index) => (index * 7919) % 256)),
    "header-only": `${lines[0]}\n`,
    markup: `${lines[0]}\n<img src=x onerror="globalThis.pwned = 1">\n`,
    "long-line": Buffer.alloc(3 * 1024 * 1024, 65),
    "carriage-returns": text.slice(0, 20_000).replaceAll("\n", "\r\n"),
  })) {
    const said = await audit(page, { keys, exported: write(`${name}.jsonl`, content) });
    assert.notEqual(said.title, "Valid", name);
    assert.match(said.text, /line \d|end of the file/i, `${name}: ${said.text}`);
    await hasNoStrangers(page);
  }
  await pictures(page, "audit-unusable");

  // Keys that are none, and those of somebody else.
  const strangers = write("strangers.json", JSON.stringify({ keys: [], service_keys: [] }));
  assert.notEqual((await audit(page, { keys: strangers, exported: scene.exported })).title, "Valid");
  const noKeys = write("no-keys.json", '{"keys": "<b>none</b>"}');
  assert.equal((await audit(page, { keys: noKeys, exported: scene.exported })).title, "Nothing could be judged");
  await hasNoStrangers(page);

  // Credentials with any bytes.
  assert.match(await judge(page, scene.passport), /^Valid/);
  await isAccessible(page, "a credential that is valid");
  await pictures(page, "audit-credential");

  // It says by what it has judged: the credential itself, or the trust material that it is given.
  const { trust } = scene;
  assert.match(await judge(page, scene.passport), /^Valid\s+It holds, judged by itself: whether anybody should believe its issuer/);
  assert.match(await judge(page, scene.passport, JSON.stringify(trust)), /^Valid\s+It holds, judged by the trust material\.\n/);
  await isAccessible(page, "a credential, by trust material");
  await pictures(page, "audit-credential-trust");
  const { self_issued: _, ...others } = trust;
  assert.match(await judge(page, scene.passport, JSON.stringify(others)), /^Refused[^]*self_issued_not_allowed/);
  const revoked = { ...trust, revoked_passports: [{ issuer: scene.issuer, passport_id: "pp_shown" }] };
  assert.match(await judge(page, scene.passport, JSON.stringify(revoked)), /^Refused[^]*passport_revoked/);
  // The answer on a badge does not say by what: it holds by trust material alone.
  assert.match(await judge(page, scene.badge, JSON.stringify(trust)), /^Valid\s+It holds, judged by the trust material\.\n/);
  assert.match(await judge(page, scene.badge), /^Refused[^]*BADGE_ISSUER_UNTRUSTED/);
  assert.match(await judge(page, scene.passport, "{"), /^Nothing could be judged[^]*INVALID_TRUST/);

  const forged = scene.passport.replace("flights:search", "flights:delete");
  assert.notEqual(forged, scene.passport);
  assert.match(await judge(page, forged), /^Refused[^]*SIGNATURE/i);
  for (const credential of [
    "", " ", "{", "null", "[]", "{}", "a.b.c", "\u0000", "\ud800", "<img src=x onerror='globalThis.pwned = 1'>",
    '{"passport_id":"<img src=x onerror=globalThis.pwned=1>"}', `{"a":${"[".repeat(5000)}`, "é".repeat(100_000), scene.passport.slice(0, -9),
    scene.passport.replaceAll('"', "'"), "x".repeat(3_000_000),
  ]) {
    const said = await judge(page, credential);
    assert.match(said, /^(Refused|Nothing could be judged)\n+.{10}/, `${credential.slice(0, 50)}: ${said}`);
    await hasNoStrangers(page);
  }
  const binary = write("binary.bin", Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x00]));
  await page.setInputFiles("#text-file", binary);
  await page.waitForSelector("#judgement :text('at byte 2')");
  assert.match(await judge(page, scene.passport), /^Valid/);

  // After all that it still works, by the keyboard alone and with files that are dropped.
  await page.reload();
  await page.waitForSelector("html[data-ready=yes]");
  await page.keyboard.press("Tab");
  assert.equal(await focused(page), "Skip to the page");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  assert.equal(await focused(page), "tab-log");
  await page.keyboard.press("ArrowRight");
  assert.equal(await focused(page), "tab-credential");
  assert.ok(await page.isVisible("#text"));
  await page.keyboard.press("Home");
  await page.keyboard.press("Tab");
  assert.equal(await focused(page), "keys");
  await dropFiles(page, [keys, scene.exported]);
  assert.equal((await verdict(page)).title, "Valid");
});

/** Drops files on the page, as a person would drag them there. */
async function dropFiles(page, files) {
  const given = files.map((file) => ({ name: file.split("/").at(-1), content: readFileSync(file, "base64") }));
  const transfer = await page.evaluateHandle((files) => {
    const transfer = new DataTransfer();
    for (const { name, content } of files) {
      const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
      transfer.items.add(new File([bytes], name));
    }
    return transfer;
  }, given);
  await page.dispatchEvent("#main", "dragover", { dataTransfer: transfer });
  await page.dispatchEvent("#main", "drop", { dataTransfer: transfer });
}
