// Signing in: with an API key, or by the link that brought us here.

import { call } from "../api.js";
import { h, put } from "../dom.js";
import { logo } from "../logo.js";
import { field, form, loading } from "../ui.js";

/** Shows the form; a link's token in the address is used at once, and taken out of it. */
export function signIn(root, { message, done }) {
  const token = new URLSearchParams(location.hash.slice(1)).get("link");
  if (token) {
    history.replaceState(null, "", location.pathname + location.search);
    put(root, h("main", { class: "alone" }, h("h1", null, "Signing in"), loading("your session", 2)));
    send(token).then(done, (error) => shown(root, error.message, done));
    return;
  }
  shown(root, message, done);
}

function send(token) {
  return call("POST", "/api/v1/session", { headers: { authorization: `Bearer ${token}` } });
}

function shown(root, message, done) {
  const key = field("key", "API key", {
    kind: "password",
    required: true,
    autocomplete: "off",
    placeholder: "mod_live_…",
    maxlength: 200,
  });
  put(
    root,
    h(
      "main",
      { class: "alone signin" },
      h("div", { class: "signin-brand" }, logo(), h("span", null, "Portcullis")),
      h("h1", null, "Sign in"),
      h("p", { class: "said", role: "status" }, message ?? ""),
      form("Sign in", [key], {
        submit: "Sign in",
        send: (data) => send(String(data.get("key")).trim()),
        sent: done,
      }),
      h(
        "details",
        { class: "more" },
        h("summary", null, "No key at hand?"),
        h("p", null, "Whoever runs the service makes a link that signs in once, within ten minutes:"),
        h("pre", null, "portcullis-control console-link"),
      ),
      h("p", { class: "fine" }, "The key is exchanged for a session of this browser, and is not kept here."),
    ),
  );
  key.control.focus();
}
