/**
 * The memory adapter of the Transport port: a small API server in the process, for tests of what stands on the client.
 *
 * It knows objects, revisions, watches, preconditions, finalizers and the bus feed; it knows no kinds: no defaults, no
 * validation, no authorisation. (The simulation runs the real apiserver.)
 */
import { busSubjects, changeHeaders, type Bus } from "@pilothouse/bus";
import type { Clock, Ids } from "@pilothouse/clock";
import { alreadyExists, conflict, expired, notFound, OBJECT_MODIFIED, StatusError } from "@pilothouse/errors";
import type { ObjectMeta } from "@pilothouse/api/types/meta-v1";
import { Signal } from "./signal.ts";
import type { Transport, TransportRequest, TransportResponse } from "./transport.ts";

export interface MemoryApiserverOptions {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly name?: string;
  /** Gets the feed of changes, as an apiserver's. */
  readonly bus?: Bus;
}

export interface MemoryApiserver {
  readonly transport: Transport;
  /** Every request it has carried out or refused, in order. */
  readonly requests: readonly TransportRequest[];
  revision(): number;
  epoch(): string;
  /** The object at `namespace/name` (or `name`) of a plural resource, as any. */
  peek(resource: string, key: string): StoredObject | undefined;
  list(resource: string): readonly StoredObject[];
  /** Tells all chains on the bus how far they are. */
  bookmark(): void;
  /** Ends all open watches, as a server that restarts does; with `newEpoch` its feed begins a new life. */
  endWatches(newEpoch?: boolean): void;
  /** Forgets history: watches from before it get 410. */
  compact(): void;
  /** Sees each request first; what it returns is the answer, what it throws is the transport's failure. */
  intercept: ((request: TransportRequest) => TransportResponse | undefined) | undefined;
  /** Sees each message for the bus; false loses it. */
  onPublish: ((message: PublishedChange) => boolean) | undefined;
}

export interface StoredObject {
  metadata: ObjectMeta;
  spec?: unknown;
  status?: unknown;
  [field: string]: unknown;
}

export interface PublishedChange {
  readonly subject: string;
  readonly payload: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
}

interface Change {
  readonly revision: number;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly target: Target;
  readonly object: StoredObject;
  readonly previous: StoredObject | undefined;
  readonly traceparent: string | undefined;
}

interface Target {
  readonly group: string;
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  readonly subresource: string;
}

export function memoryApiserver(options: MemoryApiserverOptions): MemoryApiserver {
  return new InMemory(options);
}

class InMemory implements MemoryApiserver {
  readonly requests: TransportRequest[] = [];
  readonly transport: Transport;
  intercept: MemoryApiserver["intercept"];
  onPublish: MemoryApiserver["onPublish"];
  readonly #options: MemoryApiserverOptions;
  readonly #name: string;
  readonly #objects = new Map<string, StoredObject>();
  readonly #log: Change[] = [];
  readonly #chains = new Map<string, number>();
  readonly #changed = new Signal();
  #revision = 100;
  #floor = 0;
  #feedBegan = 100;
  #life = 1;

  constructor(options: MemoryApiserverOptions) {
    this.#options = options;
    this.#name = options.name ?? "memory";
    this.transport = { endpoint: this.#name, send: (request) => this.#send(request), close: async () => {} };
  }

  revision(): number {
    return this.#revision;
  }

  epoch(): string {
    return `${this.#name}-${this.#life}`;
  }

  peek(resource: string, key: string): StoredObject | undefined {
    return this.#objects.get(`${resource}/${key}`);
  }

  list(resource: string): readonly StoredObject[] {
    return [...this.#objects].filter(([key]) => key.startsWith(`${resource}/`)).map(([, object]) => object);
  }

  bookmark(): void {
    for (const [subject, previous] of this.#chains)
      this.#publish(subject, new Uint8Array(), { type: "BOOKMARK", revision: this.#revision, previous });
  }

  endWatches(newEpoch = false): void {
    if (newEpoch) {
      this.#life++;
      this.#feedBegan = this.#revision;
      for (const subject of this.#chains.keys()) this.#chains.set(subject, this.#revision);
    }
    this.#changed.raise("end");
  }

  compact(): void {
    this.#floor = this.#revision;
    this.#log.length = 0;
  }

  async #send(request: TransportRequest): Promise<TransportResponse> {
    await Promise.resolve();
    this.requests.push(request);
    const intercepted = this.intercept?.(request);
    if (intercepted) return intercepted;
    try {
      return this.#serve(request);
    } catch (error) {
      if (error instanceof StatusError) return this.#answer(error.code, error.status);
      throw error;
    }
  }

  #serve(request: TransportRequest): TransportResponse {
    const url = new URL(request.path, "http://memory");
    const target = targetOf(url.pathname);
    switch (request.method) {
      case "GET":
        if (url.searchParams.get("watch") === "true") return this.#watch(target, url.searchParams, request.signal);
        return target.name === "" ? this.#list(target, url.searchParams) : this.#answer(200, this.#existing(target));
      case "POST":
        return this.#create(target, request);
      case "PUT":
        return this.#update(target, request, parse(request));
      case "PATCH":
        return this.#update(target, request, merge(this.#existing(target), parse(request)) as StoredObject);
      case "DELETE":
        return this.#delete(target, request);
      default:
        throw new StatusError(405, "MethodNotAllowed", request.method);
    }
  }

  #list(target: Target, parameters: URLSearchParams): TransportResponse {
    const items = [...this.#objects]
      .filter(([key]) => key.startsWith(prefixOf(target)))
      .map(([, object]) => object)
      .filter((object) => selected(object, parameters));
    return this.#answer(200, { items, metadata: { resourceVersion: String(this.#revision) } });
  }

  #watch(target: Target, parameters: URLSearchParams, signal?: AbortSignal): TransportResponse {
    const from = Number(parameters.get("resourceVersion"));
    this.#openChains(target, parameters);
    if (from < this.#floor) throw expired(`too old resource version: ${from} (${this.#floor})`);
    return this.#answer(200, undefined, this.#watchLines(target, parameters, from, signal));
  }

  /** So that bookmarks go out on chains that have had no change yet. */
  #openChains(target: Target, parameters: URLSearchParams): void {
    const node = new Map(terms(parameters.get("fieldSelector"))).get("spec.nodeName");
    const subjects = [busSubjects.changes(this.#name, target.group, target.resource)];
    if (node !== undefined) subjects.push(busSubjects.nodePods(this.#name, node));
    for (const subject of subjects) if (!this.#chains.has(subject)) this.#chains.set(subject, this.#feedBegan);
  }

  async *#watchLines(
    target: Target,
    parameters: URLSearchParams,
    from: number,
    signal?: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    let position = from;
    for (let end = ""; end !== "end";) {
      const raised = this.#changed.next(signal);
      for (const change of this.#log.filter(({ revision }) => revision > position)) {
        position = change.revision;
        const line = watchLine(change, target, parameters);
        if (line) yield encode(line, "\n");
      }
      end = await raised;
    }
  }

  #create(target: Target, request: TransportRequest): TransportResponse {
    const body = parse(request);
    if (target.subresource === "binding") return this.#bind(target, request, body);
    const { metadata } = body;
    const suffix = metadata.name ?? `${metadata.generateName ?? ""}${this.#options.ids.uuid().slice(0, 5)}`;
    const named = { ...target, name: suffix };
    if (this.#objects.has(keyOf(named))) throw alreadyExists(target, suffix);
    const object: StoredObject = {
      ...body,
      metadata: {
        ...metadata,
        name: suffix,
        ...(target.namespace === "" ? {} : { namespace: target.namespace }),
        uid: this.#options.ids.uuid(),
        generation: 1,
        creationTimestamp: this.#timestamp(),
      },
    };
    return this.#answer(201, this.#put("ADDED", named, object, request));
  }

  #bind(target: Target, request: TransportRequest, body: StoredObject): TransportResponse {
    const pod = this.#existing({ ...target, subresource: "" });
    const node = (body["target"] as { name: string }).name;
    const bound = { ...pod, spec: { ...(pod.spec as object), nodeName: node } };
    this.#put("MODIFIED", target, bound, request);
    return this.#answer(201, { kind: "Status", status: "Success" });
  }

  #update(target: Target, request: TransportRequest, body: StoredObject): TransportResponse {
    const existing = this.#existing(target);
    const asked = body.metadata.resourceVersion;
    if (asked !== undefined && asked !== existing.metadata.resourceVersion)
      throw conflict(target, target.name, OBJECT_MODIFIED);
    if (body.metadata.uid !== undefined && body.metadata.uid !== existing.metadata.uid)
      throw conflict(target, target.name, "Precondition failed: UID in precondition does not match");
    const { uid, creationTimestamp, deletionTimestamp, generation = 1 } = existing.metadata;
    const status = target.subresource === "status";
    const changed = !status && JSON.stringify(body.spec) !== JSON.stringify(existing.spec);
    const object: StoredObject = status
      ? { ...existing, status: body.status, metadata: withAnnotationsOf(existing, body) }
      : {
          ...body,
          ...(existing.status === undefined ? {} : { status: existing.status }),
          metadata: {
            ...body.metadata,
            ...(uid ? { uid } : {}),
            ...(creationTimestamp ? { creationTimestamp } : {}),
            ...(deletionTimestamp ? { deletionTimestamp } : {}),
            generation: changed ? generation + 1 : generation,
          },
        };
    if (
      deletionTimestamp !== undefined &&
      (object.metadata.finalizers ?? []).length === 0 &&
      !isRunning(target, object)
    )
      return this.#answer(200, this.#remove(target, object, request));
    return this.#answer(200, this.#put("MODIFIED", target, object, request));
  }

  #delete(target: Target, request: TransportRequest): TransportResponse {
    const existing = this.#existing(target);
    const options = (request.body ? parse(request) : {}) as unknown as {
      preconditions?: { uid?: string; resourceVersion?: string };
      gracePeriodSeconds?: number;
      propagationPolicy?: string;
    };
    for (const field of ["uid", "resourceVersion"] as const) {
      const asked = options.preconditions?.[field];
      if (asked !== undefined && asked !== existing.metadata[field])
        throw conflict(target, target.name, `Precondition failed: ${field} does not match`);
    }
    const finalizers = [...(existing.metadata.finalizers ?? []), ...finalizersOf(options.propagationPolicy)];
    const graceful = isRunning(target, existing) && options.gracePeriodSeconds !== 0;
    if (finalizers.length === 0 && !graceful) return this.#answer(200, this.#remove(target, existing, request));
    const deletionTimestamp = existing.metadata.deletionTimestamp ?? this.#timestamp();
    const metadata = { ...existing.metadata, deletionTimestamp, ...(finalizers.length > 0 ? { finalizers } : {}) };
    return this.#answer(200, this.#put("MODIFIED", target, { ...existing, metadata }, request));
  }

  #existing(target: Target): StoredObject {
    const object = this.#objects.get(keyOf(target));
    if (!object) throw notFound(target, target.name);
    return object;
  }

  #put(type: "ADDED" | "MODIFIED", target: Target, object: StoredObject, request: TransportRequest): StoredObject {
    const previous = this.#objects.get(keyOf(target));
    const stored = this.#stamped(object);
    this.#objects.set(keyOf(target), stored);
    this.#tell({ type, target, object: stored, previous, ...this.#cause(request) });
    return stored;
  }

  #remove(target: Target, object: StoredObject, request: TransportRequest): StoredObject {
    this.#objects.delete(keyOf(target));
    const last = this.#stamped(object);
    this.#tell({ type: "DELETED", target, object: last, previous: object, ...this.#cause(request) });
    return last;
  }

  #stamped(object: StoredObject): StoredObject {
    const resourceVersion = String(++this.#revision);
    return { ...object, metadata: { ...object.metadata, resourceVersion } };
  }

  #cause(request: TransportRequest): Pick<Change, "revision" | "traceparent"> {
    return { revision: this.#revision, traceparent: request.headers["traceparent"] };
  }

  #tell(change: Change): void {
    this.#log.push(change);
    this.#changed.raise("change");
    const { target, object, type, revision, traceparent } = change;
    const key = target.namespace === "" ? target.name : `${target.namespace}/${target.name}`;
    const subjects = [busSubjects.changes(this.#name, target.group, target.resource)];
    const node = (object.spec as { nodeName?: string } | undefined)?.nodeName;
    if (target.resource === "pods" && node) subjects.push(busSubjects.nodePods(this.#name, node));
    const payload = target.resource === "secrets" ? new Uint8Array() : encode(object);
    for (const subject of subjects) {
      const previous = this.#chains.get(subject) ?? this.#feedBegan;
      this.#chains.set(subject, revision);
      this.#publish(subject, payload, { type, revision, previous, key, ...(traceparent ? { traceparent } : {}) });
    }
  }

  #publish(
    subject: string,
    payload: Uint8Array,
    change: { type: string; revision: number; previous: number; key?: string; traceparent?: string },
  ): void {
    const headers = {
      [changeHeaders.type]: change.type,
      [changeHeaders.revision]: String(change.revision),
      [changeHeaders.previous]: String(change.previous),
      [changeHeaders.epoch]: this.epoch(),
      ...(change.key === undefined ? { [changeHeaders.interval]: "1000" } : { [changeHeaders.key]: change.key }),
      ...(change.traceparent ? { [changeHeaders.traceparent]: change.traceparent } : {}),
    };
    if (this.onPublish && !this.onPublish({ subject, payload, headers })) return;
    this.#options.bus?.publish(subject, payload, headers);
  }

  #timestamp(): string {
    return new Date(this.#options.clock.now()).toISOString().replace(/\.\d+Z$/, "Z");
  }

  #answer(status: number, body: unknown, stream?: AsyncIterable<Uint8Array>): TransportResponse {
    return {
      status,
      headers: { "pilothouse-apiserver": this.#name, "pilothouse-epoch": this.epoch() },
      body: stream ?? once(encode(body)),
    };
  }
}

function targetOf(path: string): Target {
  const parts = path.split("/").filter((part) => part !== "");
  const group = parts[0] === "apis" ? (parts[1] as string) : "";
  const rest = parts.slice(parts[0] === "apis" ? 3 : 2).map(decodeURIComponent);
  const namespaced = rest[0] === "namespaces" && rest.length > 2 && rest[2] !== "status" && rest[2] !== "finalize";
  const [resource = "", name = "", subresource = ""] = namespaced ? rest.slice(2) : rest;
  return { group, resource, namespace: namespaced ? (rest[1] as string) : "", name, subresource };
}

function keyOf({ resource, namespace, name }: Target): string {
  return namespace === "" ? `${resource}/${name}` : `${resource}/${namespace}/${name}`;
}

function prefixOf({ resource, namespace }: Target): string {
  return namespace === "" ? `${resource}/` : `${resource}/${namespace}/`;
}

function isRunning({ resource }: Target, object: StoredObject): boolean {
  return resource === "pods" && Boolean((object.spec as { nodeName?: string } | undefined)?.nodeName);
}

/** Upstream's status writes of workloads may change annotations, and controllers rely on it. */
function withAnnotationsOf({ metadata }: StoredObject, { metadata: { annotations } }: StoredObject): ObjectMeta {
  return annotations ? { ...metadata, annotations } : metadata;
}

function finalizersOf(propagationPolicy: string | undefined): string[] {
  if (propagationPolicy === "Foreground") return ["foregroundDeletion"];
  return propagationPolicy === "Orphan" ? ["orphan"] : [];
}

function watchLine(change: Change, target: Target, parameters: URLSearchParams): unknown {
  if (change.target.resource !== target.resource || change.target.group !== target.group) return undefined;
  if (target.namespace !== "" && change.target.namespace !== target.namespace) return undefined;
  const { object, previous, traceparent } = change;
  const before = previous !== undefined && selected(previous, parameters);
  const now = change.type !== "DELETED" && selected(object, parameters);
  if (!before && !now) return undefined;
  const type = now ? (before ? "MODIFIED" : "ADDED") : "DELETED";
  return { type, object, ...(traceparent ? { traceparent } : {}) };
}

/** Equality terms only. */
function selected(object: StoredObject, parameters: URLSearchParams): boolean {
  const fields = terms(parameters.get("fieldSelector")).every(([path, value]) => fieldAt(object, path) === value);
  return (
    fields && terms(parameters.get("labelSelector")).every(([key, value]) => object.metadata.labels?.[key] === value)
  );
}

function terms(selector: string | null): [string, string][] {
  return (selector ?? "")
    .split(",")
    .filter((term) => term !== "")
    .map((term) => term.split("=") as [string, string]);
}

function fieldAt(object: unknown, path: string): unknown {
  let value = object;
  for (const step of path.split(".")) value = (value as Record<string, unknown> | undefined)?.[step];
  return value ?? "";
}

/** RFC 7386: lists are replaced. What a strategic merge patch deletes from a list is not in the list that replaces it. */
function merge(target: unknown, patch: unknown): unknown {
  if (Array.isArray(patch)) return patch.filter((it: unknown) => !(isRecord(it) && it["$patch"] === "delete"));
  if (typeof patch !== "object" || patch === null) return patch;
  const merged: Record<string, unknown> = { ...(target as Record<string, unknown> | undefined) };
  for (const [field, value] of Object.entries(patch)) {
    if (value === null) delete merged[field];
    else merged[field] = merge(merged[field], value);
  }
  return merged;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function parse(request: TransportRequest): StoredObject {
  return JSON.parse(new TextDecoder().decode(request.body)) as StoredObject;
}

function encode(value: unknown, end = ""): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value) + end);
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
