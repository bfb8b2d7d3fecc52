/** The words of the informer; index.ts says what it promises. */
import type { Bus } from "@pilothouse/bus";
import type { ApiClient, KubernetesObject, ResourceType } from "@pilothouse/client";
import type { Clock, Random } from "@pilothouse/clock";
import type { Scope } from "@pilothouse/lifecycle";
import type { Telemetry } from "@pilothouse/telemetry";
import type { IndexFunction, InformerChange } from "./object-store.ts";
import type { Selection } from "./selection.ts";

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
  /** What of an object is held and told of; its name, namespace, uid and resourceVersion must be. Absent: all. */
  readonly keep?: (object: T) => T;
  /** How far apart bookmarks on the bus are when they do not say; default 5,000. */
  readonly bookmarkIntervalMs?: number;
}

export interface Informer<T extends KubernetesObject> {
  readonly type: ResourceType<T>;
  /** It holds every object of its resource, not those of a namespace, a node or a selector. */
  readonly isWhole: boolean;
  get(namespace: string, name: string): T | undefined;
  list(): readonly T[];
  byIndex(index: string, value: string): readonly T[];
  /** Calls back with every change from now on, after the store holds it. Returns what ends it. */
  onChange(hear: (change: InformerChange<T>) => void): () => void;
  /** True once the first list is in. */
  synced(): boolean;
  /** All of this informer's own reading is at least at this revision (resourceVersion). */
  revision(): number;
  /**
   * Resolves when `revision()` has reached `revision`: at once asks the apiserver for a bookmark on the bus, and for a new list
   * when that takes more than a second (C10).
   */
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
