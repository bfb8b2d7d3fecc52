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
import type { Bus } from "@pilothouse/bus";
import type { ApiClient, KubernetesObject, ResourceType } from "@pilothouse/client";
import type { Clock, Random } from "@pilothouse/clock";
import type { Scope } from "@pilothouse/lifecycle";
import type { Telemetry } from "@pilothouse/telemetry";
import { Feed } from "./feed.ts";
import type { IndexFunction, InformerChange } from "./object-store.ts";
import type { Selection } from "./selection.ts";

export { keyOf, revisionOf, splitKey, type IndexFunction, type InformerChange } from "./object-store.ts";

export interface InformerPorts {
  readonly client: ApiClient;
  /** Absent: HTTP only. */
  readonly bus?: Bus | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly scope: Scope;
}

export interface InformerOptions<T extends KubernetesObject> extends Selection {
  readonly type: ResourceType<T>;
  /** Pods of this node only, by the node's own chain. */
  readonly node?: string;
  readonly indexes?: Readonly<Record<string, IndexFunction<T>>>;
  /** How far apart bookmarks on the bus are when they do not say; default 5,000. */
  readonly bookmarkIntervalMs?: number;
}

export interface Informer<T extends KubernetesObject> {
  readonly type: ResourceType<T>;
  get(namespace: string, name: string): T | undefined;
  list(): readonly T[];
  byIndex(index: string, value: string): readonly T[];
  /** Calls back with every change from now on, after the store holds it. Returns what ends it. */
  onChange(hear: (change: InformerChange<T>) => void): () => void;
  /** True once the first list is in. */
  synced(): boolean;
  /** All of this informer's own reading is at least at this revision (resourceVersion). */
  revision(): number;
  /** Resolves when `revision()` has reached `revision`; asks for a new list when that takes more than a second (C10). */
  waitForRevision(revision: number, signal?: AbortSignal): Promise<void>;
  /** Where the changes came from, and how often it had to begin again. */
  readonly stats: InformerStats;
}

export interface InformerStats {
  readonly changesByBus: number;
  readonly changesByHttp: number;
  readonly lists: number;
  readonly resumes: number;
  /** True while the bus serves. */
  readonly onBus: boolean;
}

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
