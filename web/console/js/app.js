// The console: who is signed in, which page is shown, and the frame around it.

import { get, onSignedOut, remove } from "./api.js";
import { h, put } from "./dom.js";
import { announce, button, failed, failing, load, loading, stale } from "./ui.js";
import { logo } from "./logo.js";
import { signIn } from "./pages/signin.js";
import { tracker } from "./tracker.js";

// Each page is loaded when it is first asked for.
const PAGES = [
  ["decisions", "Decisions", "audit", () => import("./pages/decisions.js")],
  ["approvals", "Approvals", "approve", () => import("./pages/approvals.js")],
  ["gates", "Gates", "gates:read", () => import("./pages/gates.js")],
  ["issuers", "Issuers", "issuers:read", () => import("./pages/issuers.js")],
  ["passports", "Passports", "passports:read", () => import("./pages/passports.js")],
  ["catalogs", "Catalogs", "gates:read", () => import("./pages/catalogs.js")],
  ["guardrails", "Guardrails", "audit", () => import("./pages/guardrails.js")],
  ["settlements", "Settlements", "billing:read", () => import("./pages/settlements.js")],
  ["activity", "Activity", "audit:read", () => import("./pages/activity.js")],
];

const root = document.getElementById("console");
let session = null;
let leaving = new AbortController();

/** Whether the session may do something; what it may not is not offered. */
function may(scope) {
  return session.scopes.includes(scope);
}

async function begin() {
  // A link signs in anew, whoever was signed in here.
  if (location.hash.startsWith("#link=")) return ask();
  put(root, h("div", { class: "alone" }, loading("the console", 3)));
  const place = h("main", { class: "alone" });
  const enter = async () => {
    try {
      session = await get("/api/v1/session");
    } catch (error) {
      session = null;
      if (error.status === 401) return ask();
      if (!place.isConnected) put(root, place);
      if (!error.isPassing) return put(place, failed(error, begin));
      failing(place, error, begin);
      return setTimeout(() => place.isConnected && enter(), error.wait * 1000);
    }
    frame();
    show({ first: true });
  };
  enter();
}

/** What stands over a page goes with it. */
function closeDialogs() {
  for (const open of document.querySelectorAll("dialog[open]")) open.close();
}

function ask(message) {
  leaving.abort();
  closeDialogs();
  session = null;
  document.title = "Sign in · Portcullis console";
  signIn(root, { message, done: begin });
}

onSignedOut((refused) => session && ask(refused.message));

function frame() {
  const links = PAGES.map(
    ([name, title, scope]) =>
      may(scope) && h("li", null, h("a", { href: `/console/${name}`, id: `nav-${name}` }, title)),
  );
  const menu = h(
    "nav",
    { class: "rail-nav", id: "menu", "aria-label": "Console" },
    h(
      "ul",
      null,
      links,
      h("li", { class: "apart" }, h("a", { href: "/console/audit/", "data-whole": true }, "Audit an export")),
    ),
  );
  const toggle = button(
    "Menu",
    () => {
      const open = menu.classList.toggle("open");
      toggle.setAttribute("aria-expanded", String(open));
    },
    { class: "menu-button", "aria-expanded": "false", "aria-controls": "menu" },
  );
  put(
    root,
    h("a", { class: "skip", href: "#main" }, "Skip to content"),
    h(
      "header",
      { class: "rail" },
      h(
        "div",
        { class: "rail-head" },
        h("a", { class: "brand", href: "/console/" }, logo(), h("span", null, "Portcullis")),
        toggle,
      ),
      menu,
      h(
        "div",
        { class: "who" },
        h("p", null, h("span", { class: "unseen" }, "Signed in as "), h("b", null, session.key_name ?? session.key_id)),
        h("p", { class: "fine" }, `version ${session.version}`),
        button("Sign out", signOut, { class: "quiet-button" }),
      ),
    ),
    h(
      "div",
      { class: "body" },
      h("section", { id: "tracked", "aria-label": "Revocations under way" }),
      h("main", { id: "main", tabindex: "-1" }),
    ),
    h("div", { id: "announcements", class: "unseen", role: "status", "aria-live": "polite" }),
  );
  tracker.place(document.getElementById("tracked"));
}

async function signOut() {
  try {
    await remove("/api/v1/session");
    ask("You are signed out.");
  } catch (error) {
    ask(error.status === 401 ? "You are signed out." : error.message);
  }
}

/** Goes to a page of the console. */
export function go(address, { replace } = {}) {
  if (replace) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  show({});
}

addEventListener("popstate", () => session && show({}));
addEventListener("hashchange", () => location.hash.startsWith("#link=") && begin());

document.addEventListener("click", (event) => {
  const to = event.target.closest?.("a[href^='/console/']");
  const own = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!to || !own || !session || "whole" in to.dataset || to.target || to.hasAttribute("download")) return;
  event.preventDefault();
  go(to.getAttribute("href"));
});

async function show({ first }) {
  leaving.abort();
  leaving = new AbortController();
  closeDialogs();
  const { signal } = leaving;
  const [name = "", ...rest] = location.pathname
    .replace(/^\/console\/?/, "")
    .split("/")
    .filter(Boolean)
    .map(decodeURIComponent);
  const main = document.getElementById("main");
  const page = PAGES.find(([own, , scope]) => (name === "" ? may(scope) : own === name));
  for (const link of document.querySelectorAll(".rail-nav a")) {
    if (link.id === `nav-${page?.[0]}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.getElementById("menu").classList.remove("open");
  document.querySelector(".menu-button").setAttribute("aria-expanded", "false");
  const title = page?.[1] ?? "There is no such page";
  document.title = `${title} · Portcullis console`;
  const heading = h("h1", { tabindex: "-1" }, title);
  const aside = h("div", { class: "head-end" });
  const place = h("div", { class: "page" });
  const notice = h("div", { role: "status" });
  put(main, h("div", { class: "page-head" }, heading, aside), notice, place);
  if (!first) {
    heading.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
  if (!page) return put(place, h("p", null, "Nothing is shown at this address. The pages are listed beside."));
  put(place, loading(title.toLowerCase()));
  try {
    const module = await page[3]().catch(() => null);
    if (signal.aborted) return;
    if (!module) return missing(place, title.toLowerCase(), signal);
    const { render } = module;
    put(place);
    render({
      place,
      heading,
      aside,
      rest,
      signal,
      may,
      session,
      go,
      every: (seconds, work) => every(seconds, work, signal),
      late: lateness(notice),
    });
  } catch (error) {
    if (!signal.aborted)
      put(
        place,
        failed(error, () => show({})),
      );
  }
  if (!first) announce(title);
}

/** A module that could not be had: a browser asks for it again when the page is loaded anew, and not before. */
function missing(place, what, signal) {
  const again = () =>
    failed(new Error("A part of this page could not be had. Load it anew."), () => location.reload());
  load(place, what, () => get("/api/v1/session", {}, signal), again, { signal });
}

/** Says that what is shown is not of now; without an error, that it is. */
function lateness(notice) {
  let since = new Date().toISOString();
  let said = null;
  return (error) => {
    if (!error) since = new Date().toISOString();
    if ((error?.message ?? null) === said) return;
    said = error?.message ?? null;
    put(notice, error && stale(error, since));
  };
}

/** Does something now and again while the page is shown and seen; answers what does it at once. */
function every(seconds, work, signal) {
  let timer;
  let running = false;
  let asked = false;
  const turn = async () => {
    clearTimeout(timer);
    asked = running;
    if (signal.aborted || running) return;
    running = true;
    try {
      if (!document.hidden) await work();
    } catch (error) {
      console.error(error);
    }
    running = false;
    // What was asked for meanwhile is done now.
    if (!signal.aborted) timer = setTimeout(turn, asked ? 0 : seconds * 1000);
  };
  document.addEventListener("visibilitychange", () => document.hidden || turn(), { signal });
  signal.addEventListener("abort", () => clearTimeout(timer));
  turn();
  return turn;
}

begin();
