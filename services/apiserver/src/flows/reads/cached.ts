/** Objects out of the watch cache, parsed once for each entry; and refusals that rest on them, judged twice (C7). */
import { StatusError } from "@pilothouse/errors";
import type { CacheEntry, ObjectCache } from "../../core/model.ts";
import type { Known } from "../../registry/known.ts";

export interface CachedObjects {
  readonly cache: ObjectCache;
  /** Read-only: shared by all who ask. */
  get<T>(type: Known<T>, namespace: string, name: string): T | undefined;
  list<T>(type: Known<T>, namespace: string): Generator<T>;
  parsed<T>(type: Known<T>, entry: CacheEntry): T;
  /**
   * Runs `attempt`; when it refuses (throws a StatusError), waits until the cache has what the store had, and runs it again:
   * what an apiserver's cache does not know yet is no reason to refuse.
   */
  judge<T>(attempt: () => T, signal?: AbortSignal): Promise<T>;
}

export function createCachedObjects(cache: ObjectCache): CachedObjects {
  const memo = new WeakMap<CacheEntry, unknown>();
  const parsed = <T>(_type: Known<T>, entry: CacheEntry): T => {
    const known = memo.get(entry);
    if (known !== undefined) return known as T;
    const value: unknown = JSON.parse(Buffer.from(entry.bytes).toString("utf8"));
    memo.set(entry, value);
    return value as T;
  };
  return {
    cache,
    parsed,
    get: (type, namespace, name) => {
      const entry = cache.get(type.kind, namespace, name);
      return entry && parsed(type, entry);
    },
    *list(type, namespace) {
      for (const entry of cache.list(type.kind, namespace).entries) yield parsed(type, entry);
    },
    async judge(attempt, signal) {
      try {
        return attempt();
      } catch (error) {
        if (!(error instanceof StatusError)) throw error;
      }
      await cache.waitUntilCurrent(signal);
      return attempt();
    },
  };
}
