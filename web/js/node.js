/* A gate in `node:http`. */

import { Bounded } from "./gate.js";
import { Readable } from "node:stream";

/**
 * A listener for `http.createServer` that lets a gate answer. The request's target and headers
 * are judged as they came, before anything is read into a URL. `source` says where a request comes
 * from, where that is not the peer.
 */
export function nodeListener(gated, { env, ctx, source = (message) => message.socket.remoteAddress } = {}) {
  return async (message, response) => {
    try {
      const received = new Received(message, response, source(message));
      const answer = await gated.answer(received, env, ctx);
      // Nobody will read the rest, so nothing can follow it.
      if (received.isCut) response.setHeader("connection", "close");
      await send(answer, message, response);
    } catch (error) {
      console.error(`portcullis: the handler failed: ${error?.stack ?? error}`);
      if (!response.headersSent) response.writeHead(500);
      response.end();
    }
  };
}

/* A request as `node:http` gives it. */
class Received {
  #message;
  #response;
  #body = null;

  constructor(message, response, source) {
    this.#message = message;
    this.#response = response;
    this.method = message.method;
    this.target = message.url;
    this.source = source;
    this.isCut = false;
    this.headers = [];
    let hosts = 0;
    for (let at = 0; at + 1 < message.rawHeaders.length; at += 2) {
      const [name, value] = [message.rawHeaders[at].toLowerCase(), message.rawHeaders[at + 1]];
      hosts += name === "host" ? 1 : 0;
      this.headers.push([name, value]);
    }
    this.authority = message.headers.host ?? "";
    // The authority is the host's, once; a second one stays to be seen.
    if (hosts === 1) this.headers = this.headers.filter(([name]) => name !== "host");
    const length = message.headers["content-length"];
    this.ends = message.headers["transfer-encoding"] === undefined && (length === undefined || length === "0");
  }

  async read(limit) {
    this.#body = await Bounded.read(Readable.toWeb(this.#message), limit);
    this.isCut = !this.#body.isWhole;
    return this.#body.bytes();
  }

  forward(strip, set) {
    this.isCut = false;
    const headers = new Headers();
    for (const [name, value] of this.headers) if (!strip.includes(name)) headers.append(name, value);
    for (const [name, value] of set) headers.set(name, value);
    headers.set("host", this.authority);
    const scheme = this.#message.socket.encrypted ? "https" : "http";
    const aborted = new AbortController();
    this.#response.once("close", () => aborted.abort());
    const init = { method: this.method, headers, signal: aborted.signal, duplex: "half" };
    // `fetch` knows no body of these methods.
    if (!this.ends && this.method !== "GET" && this.method !== "HEAD") {
      init.body = this.#body === null ? Readable.toWeb(this.#message) : this.#body.again();
    }
    return new Request(new URL(`${scheme}://${this.authority}${this.target}`), init);
  }
}

async function send(answer, message, response) {
  const headers = [...answer.headers].filter(([name]) => name !== "set-cookie");
  for (const cookie of answer.headers.getSetCookie()) headers.push(["set-cookie", cookie]);
  response.writeHead(answer.status, headers.flat());
  if (answer.body === null || message.method === "HEAD") {
    response.end();
    return;
  }
  for await (const chunk of answer.body) {
    if (!response.write(chunk)) await new Promise((resolve) => response.once("drain", resolve).once("close", resolve));
    if (response.destroyed) return;
  }
  response.end();
}
