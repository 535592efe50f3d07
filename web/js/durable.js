/* A store for gates on Cloudflare: Durable Objects, which all isolates share. */

import { DurableObject } from "cloudflare:workers";

/* How often what is over is forgotten, and how much at once: as much as one call may delete. */
const SWEEP_MS = 60_000;
const SWEPT = 128;

/** Remembers what may be used once. */
export class UsedOnce extends DurableObject {
  async putIfAbsent(key, now, until) {
    const { storage } = this.ctx;
    // While an object waits for its storage, nothing else comes to it: this is one step.
    const known = await storage.get(key);
    if (known !== undefined && known.until >= now) return known.now;
    await storage.put(key, { now, until });
    if ((await storage.getAlarm()) === null) await storage.setAlarm(Date.now() + SWEEP_MS);
    return null;
  }

  async alarm() {
    const { storage } = this.ctx;
    const now = Date.now();
    let last;
    let left = 0;
    do {
      last = await storage.list({ limit: SWEPT, ...(last && { startAfter: [...last.keys()].at(-1) }) });
      const over = [...last].filter(([, { until }]) => until < now).map(([key]) => key);
      if (over.length > 0) await storage.delete(over);
      left += last.size - over.length;
    } while (last.size === SWEPT);
    if (left > 0) await storage.setAlarm(now + SWEEP_MS);
  }
}

/** The store of a binding to `UsedOnce`: 64 objects, by the first character of the key. */
export function durableStore(namespace) {
  return {
    putIfAbsent: (key, now, until) =>
      namespace.get(namespace.idFromName(key.slice(0, 1))).putIfAbsent(key, now, until),
  };
}
