import type { Store } from "./gate.js";

/** A Durable Object that remembers what may be used once. Export it from the worker. */
export class UsedOnce {
  constructor(ctx: unknown, env: unknown);
  putIfAbsent(key: string, now: number, until: number): Promise<number | null>;
  alarm(): Promise<void>;
}

/** The store of a binding to `UsedOnce`: all isolates share it. */
export function durableStore(namespace: unknown): Store;
