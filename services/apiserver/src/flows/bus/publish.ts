/**
 * This apiserver's bus feed: every change as the cache takes it in, and bookmarks by which followers know that silence means
 * that nothing happened. The bus is news, never truth: what is lost here costs followers one resume over HTTP.
 */
import { busSubjects, type Bus } from "@pilothouse/bus";
import { sleep, type Clock } from "@pilothouse/clock";
import type { KindDefinition } from "@pilothouse/kinds/kind";
import type { Scope } from "@pilothouse/lifecycle";
import type { WatchCache } from "../../cache/watch-cache.ts";
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
  // A reload has begun an epoch that the feed does not tell of yet: what came between the two was told to nobody.
  const isWhole = async (signal: AbortSignal): Promise<boolean> =>
    (await reachedNewRevision(cache, signal)) && feed.epoch === cache.epoch;
  const tellOf = async (chains: readonly string[], signal: AbortSignal): Promise<void> => {
    if (await isWhole(signal)) send(chains.map((chain) => feed.bookmark(chain, cache.revision(), bookmarkEveryMs)));
  };
  answerAsks(bus, options, scope, tellOf);
  scope.run("bookmarks", async (signal) => {
    for (;;) {
      await sleep(clock, bookmarkEveryMs, signal);
      if (!(await isWhole(signal))) continue;
      const names = nodes ? cache.list(nodes, "").entries.map(({ name }) => name) : [];
      send(feed.bookmarks(kinds, names, cache.revision(), bookmarkEveryMs));
    }
  });
}

/** Bookmarks for those who wait: one read of the revision for all that ask before it begins, the next for who comes later. */
function answerAsks(
  bus: Bus,
  { apiserver, kinds }: PublishOptions,
  scope: Scope,
  tellOf: (chains: readonly string[], signal: AbortSignal) => Promise<void>,
): void {
  const own = new Set(kinds.map(({ group, resource }) => busSubjects.changes(apiserver, group, resource)));
  const wanted = new Set<string>();
  let isAnswering = false;
  const answer = async (signal: AbortSignal): Promise<void> => {
    isAnswering = true;
    while (wanted.size > 0) {
      const chains = [...wanted];
      wanted.clear();
      await tellOf(chains, signal);
    }
    isAnswering = false;
  };
  const asks = bus.subscribe(busSubjects.bookmarkWanted(apiserver), ({ payload }) => {
    const chain = new TextDecoder().decode(payload);
    if (!own.has(chain)) return;
    wanted.add(chain);
    if (!isAnswering) scope.run("bookmarks for who waits", answer);
  });
  scope.defer(() => asks.unsubscribe());
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
