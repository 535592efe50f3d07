// Issuers: who may vouch for agents, and the domains that show who they are.

import { get, part, patch, post, remove } from "../api.js";
import { h, put } from "../dom.js";
import { plural } from "../format.js";
import {
  announce,
  badge,
  button,
  copy,
  dialog,
  empty,
  facts,
  failed,
  field,
  form,
  id,
  link,
  load,
  pages,
  table,
  tellUndone,
  time,
} from "../ui.js";

const TIERS = [
  ["L1", "L1 – baseline: nobody vouches for it"],
  ["L2", "L2 – trusted: its domain is verified"],
  ["L3", "L3 – verified: certified, beside that"],
];

export function render(page) {
  if (page.rest[0]) one(page, page.rest[0]);
  else all(page);
}

function domain(issuer) {
  if (!issuer.domain) return h("span", { class: "none" }, "none");
  return h(
    "span",
    null,
    issuer.domain,
    " ",
    issuer.domain_verified ? badge("good", "Verified") : badge("wait", "Not verified"),
  );
}

function tier(issuer) {
  return issuer.effective_tier === issuer.trust_tier
    ? issuer.effective_tier
    : h("span", null, issuer.effective_tier, " ", h("span", { class: "fine" }, `asks for ${issuer.trust_tier}`));
}

function all({ place, aside, may, go, signal }) {
  const make = () => button("Create Issuer", () => create(go), { class: "primary" });
  if (may("issuers:write")) put(aside, make());
  let offset = 0;
  const again = load(
    place,
    "issuers",
    () => get("/api/v1/issuers", { limit: 50, offset }, signal),
    (page) =>
      page.total === 0
        ? empty(
            "No issuers yet",
            "An issuer is a signing identity: gates take the passports of those that they trust.",
            may("issuers:write") && make(),
          )
        : h(
            "div",
            { class: "page" },
            table(
              "Issuers",
              [
                ["Name", (issuer) => link(`/console/issuers/${part(issuer.issuer_id)}`, issuer.name)],
                ["Domain", domain],
                ["Tier", tier],
                ["May grant", (issuer) => issuer.actions.join(", ")],
                ["Passports", (issuer) => String(issuer.passport_count), "n"],
                ["Made", (issuer) => time(issuer.created_at)],
              ],
              page.items,
            ),
            pages(page, (to) => {
              offset = to;
              again();
            }),
          ),
    { signal },
  );
}

function inputs(issuer) {
  return [
    field("name", "Name", { value: issuer?.name, required: true, maxlength: 200, placeholder: "Acme Corp" }),
    field("domain", "Domain", {
      value: issuer?.domain ?? "",
      maxlength: 253,
      placeholder: "acmecorp.com",
      hint: "Needed for L2 and L3. It is checked once the issuer is made.",
    }),
    field("trust_tier", "Trust tier", { kind: "select", options: TIERS, value: issuer?.trust_tier ?? "L1" }),
    field("actions", "Actions that it may grant", {
      value: (issuer?.actions ?? ["*"]).join(" "),
      hint: "Names, namespaces as flights:*, or * for all; with spaces between.",
    }),
  ];
}

function read(data) {
  return {
    name: data.get("name").trim(),
    domain: data.get("domain").trim() || null,
    trust_tier: data.get("trust_tier"),
    actions: data
      .get("actions")
      .split(/[\s,]+/)
      .filter(Boolean),
  };
}

function create(go) {
  const window = dialog(
    "Create an issuer",
    form("Create an issuer", inputs(), {
      submit: "Create",
      cancel: () => window.close(),
      send: (data) => post("/api/v1/issuers", read(data)),
      sent: (made) => {
        window.close();
        announce(`The issuer ${made.name} is made`);
        go(`/console/issuers/${part(made.issuer_id)}`);
      },
    }),
  );
}

function one({ place, heading, aside, may, go, signal }, issuerId) {
  const path = `/api/v1/issuers/${part(issuerId)}`;
  const again = load(
    place,
    "the issuer",
    () => get(path, {}, signal),
    (issuer) => {
      heading.textContent = issuer.name;
      document.title = `${issuer.name} · Portcullis console`;
      put(aside, h("code", { class: "id" }, issuer.issuer_id));
      return h(
        "div",
        { class: "page" },
        h("p", null, link("/console/issuers", "All issuers")),
        h(
          "section",
          { class: "panel", "aria-labelledby": "about" },
          h(
            "div",
            { class: "panel-head" },
            h("h2", { id: "about" }, "The issuer"),
            may("issuers:write") &&
              h(
                "div",
                { class: "form-end" },
                button("Change", () => change(path, issuer, again), { "aria-label": "Change the issuer" }),
                button("Delete", () => drop(path, issuer, go), { class: "danger", "aria-label": "Delete the issuer" }),
              ),
          ),
          facts(
            ["Domain", domain(issuer)],
            ["Tier that counts", issuer.effective_tier],
            ["Tier asked for", issuer.trust_tier],
            [
              "Certified",
              issuer.certified
                ? badge("good", "Certified")
                : may("issuers:certify") && issuer.domain_verified
                  ? button(
                      "Certify for L3",
                      async () => {
                        try {
                          await post(`${path}/certify`, {});
                          announce("The issuer is certified");
                          again();
                        } catch (error) {
                          tellUndone("It is not certified", error, again);
                        }
                      },
                      { class: "small" },
                    )
                  : "no",
            ],
            ["May grant", issuer.actions.join(", ")],
            ["Public key", h("span", null, id(issuer.public_key, 40), " ", copy(issuer.public_key, "the public key"))],
            [
              "Passports",
              may("passports:read")
                ? link(
                    `/console/passports?issuer_id=${part(issuer.issuer_id)}`,
                    plural(issuer.passport_count, "passport"),
                  )
                : String(issuer.passport_count),
            ],
            ["Made", time(issuer.created_at)],
          ),
        ),
        issuer.domain && may("issuers:write") && check(path, issuer, again),
      );
    },
    { signal },
  );
}

function check(path, issuer, again) {
  const place = h("div", { class: "page" });
  const begin = async () => {
    try {
      const asked = await post(`${path}/domain/challenge`, {});
      const found = h("div", { role: "status" });
      const look = (method, where) =>
        button(`Check ${where}`, async () => {
          put(found, h("p", { class: "fine" }, "Looking…"));
          try {
            const answer = await post(`${path}/domain/verify`, { method });
            if (answer.verified) {
              announce("The domain is verified");
              again();
            } else put(found, h("p", null, badge("bad", "Not found"), " ", answer.detail));
          } catch (error) {
            put(found, failed(error));
          }
        });
      put(
        place,
        h("p", null, "Show one of these, then have it checked. The token is good for this challenge only."),
        h(
          "div",
          { class: "panels" },
          h(
            "section",
            { class: "page", "aria-label": "TXT record" },
            h("h3", null, "A TXT record"),
            facts(["Name", h("code", null, asked.dns_txt.name)], ["Value", h("code", null, asked.dns_txt.value)]),
            h(
              "p",
              { class: "form-end" },
              copy(asked.dns_txt.value, "the record's value"),
              look("dns-txt", "the TXT record"),
            ),
          ),
          h(
            "section",
            { class: "page", "aria-label": "File" },
            h("h3", null, "A file"),
            facts(
              ["Address", h("code", null, asked.http_file.url)],
              ["Content", h("code", null, asked.http_file.content)],
            ),
            h(
              "p",
              { class: "form-end" },
              copy(asked.http_file.content, "the file's content"),
              look("http-file", "the file"),
            ),
          ),
        ),
        found,
      );
    } catch (error) {
      put(place, failed(error, begin));
    }
  };
  return h(
    "section",
    { class: "panel", "aria-labelledby": "check" },
    h(
      "div",
      { class: "panel-head" },
      h("h2", { id: "check" }, "Domain check"),
      issuer.domain_verified ? badge("good", "Verified") : badge("wait", "Not verified"),
    ),
    h(
      "p",
      null,
      issuer.domain_verified
        ? `${issuer.domain} was shown to be this issuer's. It can be checked anew.`
        : `Until ${issuer.domain} is shown to be this issuer's, it counts as L1.`,
    ),
    h("p", null, button(issuer.domain_verified ? "Check anew" : "Begin the domain check", begin)),
    place,
  );
}

function change(path, issuer, again) {
  const window = dialog(
    `Change ${issuer.name}`,
    form("Change the issuer", inputs(issuer), {
      submit: "Save",
      cancel: () => window.close(),
      send: (data) => patch(path, read(data)),
      sent: () => {
        window.close();
        announce("The issuer is changed");
        again();
      },
    }),
  );
}

function drop(path, issuer, go) {
  const window = dialog(
    `Delete ${issuer.name}?`,
    h("p", null, "No gate takes its passports any more."),
    form("Delete the issuer", [], {
      submit: "Delete for good",
      cancel: () => window.close(),
      send: () => remove(path),
      sent: () => {
        window.close();
        announce("The issuer is deleted");
        go("/console/issuers");
      },
    }),
  );
}
