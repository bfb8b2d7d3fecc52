/** Watches of any collection of objects: the request, and the events of its body as a history has them. */
import { jsonLines } from "@pilothouse/client/json-lines";
import type { TransportRequest } from "@pilothouse/client";
import type { Change, WatchEvent, WatchRequest } from "./history.ts";

/** The objects of one resource in one namespace. */
export interface Collection {
  readonly namespace: string;
  readonly path: string;
  /** Where the store has them. */
  readonly storePrefix: string;
}

interface WatchedObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly resourceVersion: string;
    readonly annotations?: Readonly<Record<string, string>>;
  };
}

export function watchRequest(
  { path }: Collection,
  { revision, initial, selection }: WatchRequest,
  timeoutSeconds: number,
): TransportRequest {
  const labels = Object.entries(selection.labels ?? {}).map(([name, value]) => `${name}=${value}`);
  const query = new URLSearchParams({
    watch: "true",
    allowWatchBookmarks: "true",
    timeoutSeconds: String(timeoutSeconds),
    ...(revision === undefined ? {} : { resourceVersion: String(revision) }),
    ...(initial ? { sendInitialEvents: "true", resourceVersionMatch: "NotOlderThan" } : {}),
    ...(labels.length === 0 ? {} : { labelSelector: labels.join(",") }),
    ...(selection.name === undefined ? {} : { fieldSelector: `metadata.name=${selection.name}` }),
  });
  return { method: "GET", path: `${path}?${query.toString()}`, headers: {} };
}

type WatchLine =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK"; readonly object: WatchedObject }
  | { readonly type: "ERROR"; readonly object: { readonly code?: number; readonly message?: string } };

/** The events of a watch's body as they come; `instant` gives each its time. */
export async function* watchEvents(body: AsyncIterable<Uint8Array>, instant: () => number): AsyncGenerator<WatchEvent> {
  for await (const value of jsonLines(body)) {
    const line = value as WatchLine;
    const atMs = instant();
    if (line.type === "ERROR") {
      yield { type: "ERROR", atMs, code: line.object.code ?? 0, message: line.object.message ?? "" };
      continue;
    }
    const { metadata } = line.object;
    const revision = Number(metadata.resourceVersion);
    const endsInitial = metadata.annotations?.["k8s.io/initial-events-end"] === "true";
    if (line.type === "BOOKMARK") yield { type: "BOOKMARK", atMs, revision, endsInitial };
    else
      yield {
        type: line.type,
        atMs,
        key: `${metadata.namespace}/${metadata.name}`,
        revision,
        object: textWithoutRevision(line.object),
      };
  }
}

/** As the store holds it: equal objects have equal texts, for the order of names is kept. */
export function textWithoutRevision(object: WatchedObject): string {
  const { resourceVersion: _, ...metadata } = object.metadata;
  return JSON.stringify({ ...object, metadata });
}

/** A change of the store's, if it is one of the collection's. `value`: as stored, with its trailer; undefined: deleted. */
export function changeOf(
  { storePrefix, namespace }: Collection,
  storeKey: string,
  revision: number,
  value: Uint8Array | undefined,
): Change | undefined {
  if (!storeKey.startsWith(storePrefix)) return undefined;
  const key = `${namespace}/${storeKey.slice(storePrefix.length)}`;
  if (value === undefined) return { key, revision, object: undefined };
  const text = Buffer.from(value).toString();
  return { key, revision, object: JSON.stringify(JSON.parse(text.slice(0, text.lastIndexOf("\n")))) };
}
