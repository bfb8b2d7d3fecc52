/**
 * This apiserver's bus feed: every change as the cache takes it in, and bookmarks by which followers know that silence means
 * that nothing happened. The bus is news, never truth: what is lost here costs followers one resume over HTTP.
 */
import type { Bus } from "@pilothouse/bus";
import { sleep, type Clock } from "@pilothouse/clock";
import type { KindDefinition } from "@pilothouse/kinds/kind";
import type { Scope } from "@pilothouse/lifecycle";
import type { WatchCache } from "../cache/watch-cache.ts";
import { Feed, type FeedMessage } from "./feed.ts";

export interface PublishPorts {
  readonly bus: Bus;
  readonly cache: WatchCache;
  readonly clock: Clock;
}

export interface PublishOptions {
  /** This apiserver's name, a token of its subjects. */
  readonly apiserver: string;
  readonly kinds: readonly KindDefinition[];
  /** Default 5,000. */
  readonly bookmarkEveryMs?: number;
}

/** Publishes until the scope closes. The cache must have been loaded. */
export function startPublishing({ bus, cache, clock }: PublishPorts, options: PublishOptions, scope: Scope): void {
  const { apiserver, kinds, bookmarkEveryMs = 5_000 } = options;
  const feed = new Feed(apiserver, bus.maxPayloadBytes);
  const nodes = kinds.find(({ group, resource }) => group === "" && resource === "nodes");
  const send = (messages: readonly FeedMessage[]): void => {
    // A message that is not taken is a gap to followers, as any other loss.
    for (const { subject, headers, payload } of messages) bus.publish(subject, payload, headers);
  };

  feed.begin(cache.epoch, cache.revision());
  scope.defer(
    cache.listen({
      onChanges: (kind, changes) => send(feed.changes(kind, changes)),
      onEpoch: () => feed.begin(cache.epoch, cache.revision()),
    }),
  );
  scope.run("bookmarks", async (signal) => {
    for (;;) {
      await sleep(clock, bookmarkEveryMs, signal);
      if (!(await reachedNewRevision(cache, signal))) continue;
      const names = nodes ? cache.list(nodes, "").entries.map(({ name }) => name) : [];
      send(feed.bookmarks(kinds, names, cache.revision(), bookmarkEveryMs));
    }
  });
}

/** C15: a bookmark needs a linearizable revision asked for since the last one, and reached; else silence. */
async function reachedNewRevision(cache: WatchCache, signal: AbortSignal): Promise<boolean> {
  try {
    await cache.waitUntilCurrent(signal);
    return true;
  } catch {
    return false;
  }
}
