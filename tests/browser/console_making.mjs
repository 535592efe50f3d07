// An operator makes an issuer, by the keyboard alone, a gate, a catalog and passports, changes them,
// and answers what waits: without a line of code.

import assert from "node:assert/strict";
import { inChromium, isAccessible, pictures, scene, signIn, tabTo } from "./browser.mjs";

// Who is not signed in is asked to; a gate without a catalog has none.
const expected = [/401 \(Unauthorized\)/, /404 \(Not Found\)/, /422 \(/];

/** A field of the dialog that is open, or of the page, by its label. */
const field = (page, label) => page.getByLabel(label, { exact: false }).first();

/** Has the service decide, as a program would: the answer. */
async function enforce(asked) {
  const headers = { authorization: `Bearer ${scene.key}`, "content-type": "application/json" };
  const answer = await fetch(`${scene.console}/api/enforce`, { method: "POST", headers, body: JSON.stringify(asked) });
  assert.equal(answer.status, 200, await answer.clone().text());
  return answer.json();
}

await inChromium({ origins: [scene.console], expected }, async (page) => {
  await signIn(page, scene.console, scene.key);
  const { keyboard } = page;

  // An issuer in six steps: the page, Create Issuer, its name, its domain, its tier, Create. No mouse.
  await tabTo(page, "Issuers");
  await keyboard.press("Enter");
  await page.waitForSelector("text=No issuers yet");
  await tabTo(page, "Create Issuer");
  await keyboard.press("Enter");
  await page.waitForSelector("dialog[open]");
  await isAccessible(page, "making an issuer");
  await pictures(page, "console-make-issuer");
  // What is needed and missing is said beside its field, which has the focus then.
  await tabTo(page, "Create");
  await keyboard.press("Enter");
  await page.waitForSelector("dialog[open] :text('This is needed.')");
  await tabTo(page, "Name", { most: 0 });
  await keyboard.type("Acme");
  await tabTo(page, "Domain");
  await keyboard.type("acme.test");
  await tabTo(page, "Trust tier");
  await keyboard.type("L2");
  await tabTo(page, "Actions that it may grant");
  await keyboard.press("Control+A");
  await keyboard.type("flights:*");
  await tabTo(page, "Create");
  await keyboard.press("Enter");
  await page.waitForSelector("h1:has-text('Acme')");
  await page.waitForSelector("dialog", { state: "detached" });

  // Its domain: not found before it is shown, by either way, and then by the record.
  await tabTo(page, "Begin the domain check");
  await keyboard.press("Enter");
  await page.waitForSelector("[aria-label='TXT record'] dd");
  const [name, value] = await page.locator("[aria-label='TXT record'] dd").allInnerTexts();
  await tabTo(page, "Check the TXT record");
  await keyboard.press("Enter");
  await page.waitForSelector("text=Not found");
  await tabTo(page, "Check the file");
  await keyboard.press("Enter");
  await page.waitForSelector("text=/Not found.*https:.*acme.test/");
  await isAccessible(page, "a domain that is not shown yet");
  const put = await fetch(`${scene.zone}/${name}`, { method: "PUT", body: value });
  assert.equal(put.status, 200);
  await tabTo(page, "Check the TXT record", { key: "Shift+Tab" });
  await keyboard.press("Enter");
  await page.waitForSelector("dd :text-is('Verified')");
  assert.match(await page.locator("dl.facts").first().innerText(), /Tier that counts\s+L2/);

  // Changed and certified, by the keyboard still.
  await tabTo(page, "Change the issuer");
  await keyboard.press("Enter");
  await tabTo(page, "Name");
  await keyboard.press("Control+A");
  await keyboard.type("Acme Corp");
  await tabTo(page, "Trust tier");
  await keyboard.type("L3");
  await tabTo(page, "Save");
  await keyboard.press("Enter");
  await page.waitForSelector("h1:has-text('Acme Corp')");
  await tabTo(page, "Certify for L3");
  await keyboard.press("Enter");
  await page.waitForSelector("dd :text-is('Certified')");
  assert.match(await page.locator("dl.facts").first().innerText(), /Tier that counts\s+L3/);
  await isAccessible(page, "an issuer");
  await pictures(page, "console-issuer");

  // A gate, what it decides by, and a token for its proxy.
  await page.click("#nav-gates");
  await page.click("button:has-text('Create Gate')");
  await isAccessible(page, "making a gate");
  await page.fill("dialog input[name=gate_id]", "shop");
  await page.fill("dialog input[name=name]", "Shop");
  await page.click("dialog button:has-text('Create')");
  await page.waitForSelector("h1:has-text('Shop')");
  await page.click("button:has-text('Configure')");
  await page.waitForSelector("dialog textarea[name=authorities]");
  await isAccessible(page, "what a gate decides by");
  await pictures(page, "console-gate-config");
  await page.fill("dialog textarea[name=authorities]", "shop.test");
  const route = page.locator("dialog [role=group]").first();
  await route.getByLabel("Path").fill("/flights");
  await route.getByLabel("Action").fill("flights search");
  await page.click("dialog button:has-text('Save and send')");
  // What the service does not take is said, and what was typed stays.
  await page.waitForSelector("dialog .form-fault p, dialog .fault-text:not(:empty)");
  await route.getByLabel("Action").fill("flights:search");
  await page.click("dialog button:has-text('Add a route')");
  const second = page.locator("dialog [role=group][aria-label^='Route']").nth(1);
  await second.getByLabel("Path").fill("/book");
  await second.getByLabel("Action").fill("flights:book");
  await page.click("dialog button:has-text('Save and send')");
  await page.waitForSelector("table:has-text('flights:book')");
  await page.click("button:has-text('Make a token')");
  await page.waitForSelector("pre:has-text('enrol_')");
  await page.click("button[aria-label='Change the gate']");
  await page.fill("dialog input[name=description]", "Flights, and seats on them");
  await page.check("dialog input[name=is_discoverable]");
  await page.click("dialog button:has-text('Save')");
  await page.waitForSelector("dd:has-text('Flights, and seats')");
  await page.click("button[aria-label='Change what is open without a credential']");
  await isAccessible(page, "what is open to anybody");
  await page.check("dialog input[name=enabled]");
  await page.fill("dialog input[name=allowed_actions]", "flights:search");
  await page.click("dialog button:has-text('Save and send')");
  await page.waitForSelector("text=Something is open");
  await page.fill("input[name=retention_days]", "400");
  await page.click("form[aria-label='How long records are kept'] button");
  await page.waitForSelector("text=Kept for 400 days");
  await isAccessible(page, "a gate");
  await pictures(page, "console-gate");

  // A catalog: drafted, published, and nobody loses by it.
  const catalog = `${scene.console}/console/catalogs/gate_shop`;
  await page.goto(catalog);
  await page.click("button:has-text('Write a draft')");
  await isAccessible(page, "a draft");
  await pictures(page, "console-draft");
  const offer = (at) => page.locator("dialog [role=group][aria-label^='Offer']").nth(at);
  await offer(0).getByLabel("Action").fill("flights:search");
  await offer(0).getByLabel("Charged").selectOption("per_call");
  await offer(0).getByLabel("Price in cents").fill("5");
  await page.click("dialog button:has-text('Add an offer')");
  await offer(1).getByLabel("Action").fill("flights:book");
  await page.click("dialog button:has-text('Save draft')");
  await page.click("button:has-text('Publish')");
  await page.waitForSelector("dialog :text('No worse for agents')");
  await isAccessible(page, "publishing");
  await page.fill("dialog input[name=change_summary]", "the first");
  await page.click("dialog button:has-text('Sign and publish')");
  await page.waitForSelector("table:has-text('the first')");

  // A passport by the gate: pinned to that version, with a cap and what waits for a person.
  await page.click("#nav-passports");
  await page.click("button:has-text('Issue Passport')");
  await page.waitForSelector("dialog select[name=by]");
  await isAccessible(page, "issuing a passport");
  await page.selectOption("dialog select[name=by]", "gate gate_shop");
  await page.fill("dialog input[name=agent_id]", "agent_travel");
  await page.fill("dialog input[name=agent_public_key]", scene.agent);
  await page.fill("dialog textarea[name=permissions]", "flights:search\nflights:book");
  const limit = async (kind, given) => {
    await page.click("dialog button:has-text('Add a limit')");
    const line = page.locator("dialog [role=group][aria-label='Limit']").last();
    await line.getByLabel("Limit", { exact: true }).selectOption(kind);
    const control = line.locator("input, select").last();
    if (await control.evaluate((one) => one.tagName === "SELECT")) await control.selectOption(given);
    else await control.fill(given);
  };
  await limit("core:cost:max_cumulative", "5000");
  await limit("core:cost:cumulative_window", "daily");
  await limit("core:cost:approval_threshold", "1000");
  await pictures(page, "console-issue-passport");
  await page.click("dialog button:has-text('Issue')");
  await page.waitForSelector("dt:has-text('Catalog') + dd:has-text('version 1')");
  const first = page.url().split("/").at(-1);
  await page.waitForSelector("[aria-label='Limit']");
  await isAccessible(page, "a passport");
  await pictures(page, "console-passport");

  // What it uses stands on its page, and with the guardrails.
  const use = (passport, cost_cents, target) =>
    enforce({ passport_id: passport, action: "flights:book", cost_cents, target });
  assert.equal((await use(first, 120, "shop.test/book/1")).decision, "allow");
  const beyond = await use(first, 900_000, "shop.test/book/2");
  assert.equal(beyond.decision, "block", JSON.stringify(beyond));
  await page.reload();
  await page.waitForSelector("dd:has-text('$1.20')");
  await page.waitForSelector("text=/\\$50\\.00/");
  await page.goto(`${scene.console}/console/guardrails`);
  await page.waitForSelector("table:has-text('$1.20')");
  const done = page.locator("section[aria-labelledby=done]");
  assert.match(await done.innerText(), /core:cost:max_cumulative/);
  // Of each window there is a bar, as long as what is used of its cap, and its numbers beside it.
  const headers = { authorization: `Bearer ${scene.key}` };
  const { windows } = await (await fetch(`${scene.console}/api/passports/${first}/state`, { headers })).json();
  const meters = await page.locator("section[aria-labelledby=used] .meter").evaluateAll((all) =>
    all.map((meter) => {
      const [label, numbers] = [...meter.querySelectorAll("span")].map((text) => text.textContent);
      const [, used] = [...meter.querySelectorAll("rect")].map((bar) => bar.getAttribute("width"));
      return { label, numbers, used, said: meter.querySelector("svg").getAttribute("aria-label") };
    }),
  );
  assert.deepEqual(meters.map(({ label }) => label), windows.map((one) => `${one.permission}, ${one.window_type}`));
  for (const { label, numbers, said } of meters) assert.equal(said, `${label}: ${numbers}`);
  const daily = meters.find(({ label }) => label.endsWith(", daily"));
  assert.deepEqual([daily?.numbers, daily?.used], ["$1.20 of $50.00", "2.40"], JSON.stringify(meters));
  await isAccessible(page, "guardrails");
  await pictures(page, "console-guardrails-used");

  // What waits for a person is approved, or denied, and is then what was said of it.
  for (const [target, word, note] of [
    ["shop.test/book/3", "Approve", "called the customer"],
    ["shop.test/book/4", "Deny", "nobody knows them"],
  ]) {
    const held = await use(first, 2000, target);
    assert.equal(held.decision, "request_hold", JSON.stringify(held));
    await page.goto(`${scene.console}/console/approvals`);
    await page.waitForSelector(`article button:has-text('${word}')`);
    await isAccessible(page, "what waits");
    await page.fill("article input", note);
    await page.click(`article button:has-text('${word}')`);
    await page.waitForSelector(`tr:has-text('${note}')`);
    const again = await use(first, 2000, target);
    assert.equal(again.decision, word === "Approve" ? "allow" : "request_hold", JSON.stringify(again));
    // Of the denied one another waits now: it is denied too, so that nothing is left.
    if (again.decision === "request_hold") {
      await page.waitForSelector("article button:has-text('Deny')");
      await page.fill("article input", note);
      await page.click("article button:has-text('Deny')");
      await page.waitForSelector("text=Nobody waits");
    }
  }

  // A dearer catalog: it is said that this is worse for agents, and for how many passports.
  await page.goto(catalog);
  await page.click("button:has-text('Change the draft')");
  await offer(0).getByLabel("Price in cents").fill("9");
  await page.click("dialog button:has-text('Save draft')");
  await page.click("button:has-text('Publish')");
  await page.waitForSelector("dialog :text('Worse for agents in part')");
  const impact = await page.locator("dialog").innerText();
  assert.match(impact, /1 valid passport keeps other terms until issued again; for 1 some of the new ones are worse/);
  assert.match(await page.locator("dialog tr:has-text('flights:search')").innerText(), /yes/);
  await isAccessible(page, "a change that is worse");
  await pictures(page, "console-breaking");
  await page.fill("dialog input[name=change_summary]", "dearer searches");
  await page.click("dialog button:has-text('Sign and publish')");
  const versions = page.locator("section[aria-labelledby=versions] tbody tr");
  await versions.filter({ hasText: "dearer searches" }).filter({ hasText: "Worse in part" }).waitFor();
  await page.click("button[aria-label='Show version 1']");
  await page.waitForSelector("dialog :text('$0.05')");
  await page.keyboard.press("Escape");
  await isAccessible(page, "a catalog");

  // Issued again it has the new terms, where they are accepted; the old one is revoked.
  await page.goto(`${scene.console}/console/passports/${first}`);
  await page.click("button:has-text('Issue again')");
  await page.waitForSelector("dialog select[name=terms]");
  await isAccessible(page, "issuing again");
  assert.match(await page.locator("dialog select").innerText(), /those that it has, of version 1/);
  await page.selectOption("dialog select[name=terms]", "2");
  await page.click("dialog button[type=submit]");
  await page.waitForSelector("dt:has-text('Catalog') + dd:has-text('version 2')");
  assert.ok(!page.url().endsWith(first), page.url());
  // Its limits are narrowed: at once, and for what was signed before.
  const again = page.url().split("/").at(-1);
  await page.waitForSelector("form[aria-label='Limits']");
  await page.click("form[aria-label='Limits'] button:has-text('Add a limit')");
  const line = page.locator("form[aria-label='Limits'] [aria-label='Limit']").last();
  await line.locator("input").fill("0");
  await page.click("button:has-text('Save limits')");
  await page.waitForSelector("#announcements:has-text('The limits are on their way')", { state: "attached" });
  const narrowed = await use(again, 1, "shop.test/book/5");
  assert.equal(narrowed.decision, "block", JSON.stringify(narrowed));
  await page.selectOption("select[name=template]", { index: 0 });
  await page.click("form[aria-label='Use a template'] button");
  await page.waitForSelector("#announcements:has-text(\"The template's limits are set\")", { state: "attached" });

  // An issuer's passport, and one that is taken back from the list.
  await page.click("#nav-passports");
  await page.click("button:has-text('Issue Passport')");
  await page.waitForSelector("dialog select[name=by]");
  await page.selectOption("dialog select[name=by]", { index: 0 });
  await page.fill("dialog input[name=agent_id]", "agent_other");
  await page.fill("dialog input[name=agent_public_key]", "not a key");
  await page.fill("dialog textarea[name=permissions]", "flights:search");
  await page.click("dialog button:has-text('Issue')");
  await page.waitForSelector("dialog [data-field=agent_public_key] .fault-text:not(:empty)");
  await page.fill("dialog input[name=agent_public_key]", scene.other);
  await page.click("dialog button:has-text('Issue')");
  await page.waitForSelector("dt:has-text('Issued by')");
  await page.click("#nav-passports");
  const of_other = page.locator("tr:has-text('agent_other')");
  await of_other.locator("button:has-text('Revoke')").click();
  await of_other.waitFor({ state: "detached" });
  // No proxy of the gate runs: nothing is on its way to any.
  await page.waitForSelector(".tracked:has-text('The only gate is not connected: it gets it when it comes back.')");
  assert.equal(await page.locator(".tracked :text('On its way')").count(), 0);
  await isAccessible(page, "a revocation");

  // All of it stands in the record of what was changed.
  await page.click("#nav-activity");
  await page.waitForSelector("table");
  const changed = await page.locator("table").innerText();
  for (const action of ["issuer.create", "issuer.domain_verify", "gate.create", "catalog.publish", "passport"]) {
    assert.ok(changed.includes(action), `${action}: ${changed}`);
  }
});
