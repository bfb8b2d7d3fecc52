/**
 * An informer: the objects of one resource type as they are now, kept true by news from the bus and by HTTP (C14 to C16).
 *
 * It follows exactly one apiserver's chain and holds one whole revision. LIST first, then an HTTP watch; once the bus shows
 * that it joins what is held without a gap, the watch ends and the bus serves. A gap, another life of the apiserver, a lost
 * connection or silence beyond two bookmark intervals bring the watch back, from the revision held, at any apiserver.
 *
 * Promises: every change of etcd is seen in the end, whatever the bus loses, doubles or reorders; an object never goes back to
 * an earlier state; handlers hear each change after the store holds it. Without a bus it is a plain HTTP informer.
 * Does not promise: that all states between two are seen; that what is absent here is absent (C13: ask the API first).
 * Limits: all objects of the selection are in memory, parsed. An HTTP watch does not show where a revision ends: its first
 * event counts as the whole. Only the end of a lease changes several objects of a type at once, and those are Events.
 * Handlers are synchronous and only put keys into queues.
 */
import type { KubernetesObject } from "@pilothouse/client";
import type { Informer, InformerOptions, InformerPorts } from "./contract.ts";
import { Feed } from "./feed.ts";

export type * from "./contract.ts";
export { keyOf, revisionOf, splitKey, type IndexFunction, type InformerChange } from "./object-store.ts";

/** Starts at once and ends with the scope. */
export function startInformer<T extends KubernetesObject>(
  ports: InformerPorts,
  options: InformerOptions<T>,
): Informer<T> {
  const feed = new Feed(ports, options);
  ports.scope.run(`informer ${options.type.resource}`, (signal) => feed.run(signal));
  return feed;
}

/** Resolves when all informers have their first list. */
export async function allSynced(
  informers: readonly Pick<Informer<KubernetesObject>, "waitForRevision">[],
  signal?: AbortSignal,
): Promise<void> {
  await Promise.all(informers.map((informer) => informer.waitForRevision(1, signal)));
}
