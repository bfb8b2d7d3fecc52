/** A store, its cache and the reading flows, for tests: requests in, parsed answers out. */
import type { ApiResponse } from "@pilothouse/api/http";
import type { Clock, Ids } from "@pilothouse/clock";
import { seededIds, seededRandom } from "@pilothouse/clock/seeded";
import { kindOf, kinds, type ApiObject, type KindDefinition } from "@pilothouse/kinds";
import { Scope } from "@pilothouse/lifecycle";
import type { Store } from "@pilothouse/store";
import { memoryStore } from "@pilothouse/store/memory";
import { memoryTelemetry } from "@pilothouse/telemetry/memory";
import { Encodings } from "../../cache/encodings.ts";
import { WatchCache, type CacheOptions } from "../../cache/watch-cache.ts";
import type { Flow, RequestContext, StoredObject, WriteCause, WriteOutcome } from "../../core/model.ts";
import { encodeObject } from "../../core/stored/stored.ts";
import { createObjectStore } from "../writes/object-store.ts";
import { getFlow } from "./read.ts";
import { listFlow } from "./list.ts";
import { watchFlow, type WatchPorts } from "./watch.ts";

export const pods = knownKind("pods");
export const configMaps = knownKind("configmaps");
export const secrets = knownKind("secrets");
export const nodes = knownKind("nodes");

export const cause: WriteCause = {
  trace: { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", sampled: true },
};

function knownKind(resource: string): KindDefinition {
  const kind = kindOf("", "v1", resource);
  if (!kind) throw new Error(`no kind ${resource}`);
  return kind;
}

export function newObject(kind: KindDefinition, name: string, rest: Record<string, unknown> = {}): ApiObject {
  const { metadata, ...fields } = rest;
  return {
    kind: kind.kind,
    apiVersion: "v1",
    metadata: { name, ...(kind.namespaced ? { namespace: "shop" } : {}), uid: `uid-${name}`, ...(metadata as object) },
    ...fields,
  };
}

export interface WorldOptions<C extends Clock> extends Partial<CacheOptions> {
  readonly clock: C;
  readonly store?: Store;
  readonly apiserver?: string;
  readonly ids?: Ids;
  /** Wraps the store that the cache sees. */
  readonly faults?: (store: Store) => Store;
}

export async function startWorld<C extends Clock>(options: WorldOptions<C>) {
  const { clock } = options;
  const store = options.store ?? memoryStore({ clock });
  const name = options.apiserver ?? "a";
  const random = seededRandom(name);
  const ids = options.ids ?? seededIds(random);
  const telemetry = memoryTelemetry({ clock, random });
  const failures: unknown[] = [];
  const scope = new Scope("test", (_task, error) => failures.push(error));
  const rvBase = options.rvBase ?? 0;
  const cache = new WatchCache(
    { store: options.faults?.(store) ?? store, clock, ids, log: telemetry.log },
    { kinds, rvBase, ...options },
  );
  const objects = createObjectStore({ store, clock, ids }, rvBase);
  const ports: WatchPorts = {
    cache,
    objects,
    store,
    clock,
    random,
    rvBase,
    encodings: new Encodings(8 << 20),
    apiserver: name,
  };
  const flows: Readonly<Record<"get" | "list" | "watch", Flow>> = {
    get: getFlow(ports),
    list: listFlow(ports),
    watch: watchFlow(ports),
  };
  await cache.start(scope);

  const ask = (
    verb: "get" | "list" | "watch",
    kind: KindDefinition,
    { query = "", name: objectName = "", namespace = "shop", accept, headers = {} }: Question = {},
    abort = new AbortController(),
  ): Promise<ApiResponse> =>
    flows[verb]({
      kind,
      user: { name: "me", groups: [] },
      span: telemetry.tracer.start("test"),
      warn: () => undefined,
      info: {
        isResourceRequest: true,
        verb,
        group: kind.group,
        version: kind.version,
        resource: kind.resource,
        namespace: kind.namespaced ? namespace : "",
        name: objectName,
        subresource: "",
        rest: [],
      },
      request: {
        method: "GET",
        path: "/",
        query: new URLSearchParams(query),
        headers: accept === undefined ? headers : { ...headers, accept },
        body: new Uint8Array(),
        peer: { address: "192.0.2.1" },
        signal: abort.signal,
      },
    } satisfies RequestContext);

  return {
    clock,
    store,
    cache,
    objects,
    scope,
    failures,
    telemetry,
    ports,
    ask,
    /** Creates or replaces. */
    put: async (kind: KindDefinition, object: ApiObject): Promise<StoredObject> => {
      const { namespace = "", name: objectName = "" } = object.metadata;
      const before = await objects.read(kind, namespace, objectName);
      const encoded = encodeObject(object);
      const stored = before
        ? written(await objects.replace(kind, encoded, before.revision, cause))
        : await objects.create(kind, encoded, cause);
      cache.learn(stored.revision);
      return stored;
    },
    /** The revision of the delete. */
    remove: async (kind: KindDefinition, objectName: string): Promise<{ readonly revision: number } | undefined> => {
      const namespace = kind.namespaced ? "shop" : "";
      const before = await objects.read(kind, namespace, objectName);
      return before && written(await objects.remove(kind, namespace, objectName, before.revision, cause));
    },
    list: async (kind: KindDefinition, question: Question = {}): Promise<ListAnswer> =>
      JSON.parse(await textOf(await ask("list", kind, question))) as ListAnswer,
    watch: async (kind: KindDefinition, question: Question = {}): Promise<WatchReader> => {
      const abort = new AbortController();
      return new WatchReader(await ask("watch", kind, question, abort), abort);
    },
  };
}

function written<T>(outcome: WriteOutcome<T>): T {
  if (outcome.kind === "lost") throw new Error("somebody else was faster");
  return outcome.stored;
}

export type World<C extends Clock = Clock> = Awaited<ReturnType<typeof startWorld<C>>>;

export interface Question {
  readonly query?: string;
  readonly name?: string;
  readonly namespace?: string;
  readonly accept?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface ListAnswer {
  readonly kind: string;
  readonly metadata: { resourceVersion: string; continue?: string; remainingItemCount?: number };
  readonly items: readonly ApiObject[];
}

export interface SeenEvent {
  readonly type: string;
  readonly object: ApiObject & { message?: string; code?: number };
}

/** Reads a JSON watch event by event. */
export class WatchReader {
  readonly response: ApiResponse;
  readonly #abort: AbortController;
  readonly #frames: AsyncIterator<Uint8Array>;
  #pending: SeenEvent[] = [];

  constructor(response: ApiResponse, abort: AbortController) {
    this.response = response;
    this.#abort = abort;
    if (response.body instanceof Uint8Array) throw new Error("a watch's body is a stream");
    this.#frames = response.body[Symbol.asyncIterator]();
  }

  /** The next event; undefined at the end of the watch. */
  async next(): Promise<SeenEvent | undefined> {
    if (this.#pending.length === 0) {
      const { done, value } = await this.#frames.next();
      if (done) return undefined;
      const lines = Buffer.from(value).toString().trimEnd().split("\n");
      this.#pending = lines.map((line) => JSON.parse(line) as SeenEvent);
    }
    return this.#pending.shift();
  }

  async take(count: number): Promise<SeenEvent[]> {
    const events: SeenEvent[] = [];
    while (events.length < count) {
      const event = await this.next();
      if (!event) break;
      events.push(event);
    }
    return events;
  }

  /** `ADDED web 5`, to compare by. */
  async story(count: number): Promise<string[]> {
    return (await this.take(count)).map(
      ({ type, object }) => `${type} ${object.metadata.name ?? "-"} ${object.metadata.resourceVersion ?? "-"}`,
    );
  }

  close(): void {
    this.#abort.abort();
  }
}

export async function textOf({ body }: ApiResponse): Promise<string> {
  return Buffer.from(await bytesOf(body)).toString();
}

export async function bytesOf(body: ApiResponse["body"]): Promise<Uint8Array> {
  if (body instanceof Uint8Array) return body;
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}
