/** ConfigMaps as a recorded client speaks of them: requests and answers, over any transport. */
import { readAll } from "@pilothouse/client/json-lines";
import type { Transport, TransportRequest } from "@pilothouse/client";
import type { Clock } from "@pilothouse/clock";
import type { Fields, Request, Version } from "./history.ts";
import { fieldsOf } from "./truth.ts";
import type { Collection } from "./watch-requests.ts";

export const NAMESPACE = "default";
export const configMaps = configMapsOf(NAMESPACE);

export function configMapsOf(namespace: string): Collection {
  return {
    namespace,
    path: `/api/v1/namespaces/${namespace}/configmaps`,
    storePrefix: `/registry/core/configmaps/${namespace}/`,
  };
}

export interface Answer {
  readonly status: number;
  readonly body: Uint8Array;
}

interface ConfigMap {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly data?: Readonly<Record<string, string>>;
}

/** Rejects when no whole answer came within `deadlineMs`. */
export async function ask(
  transport: Transport,
  clock: Clock,
  request: Omit<TransportRequest, "signal">,
  deadlineMs: number,
): Promise<Answer> {
  const patience = new AbortController();
  const timer = clock.setTimer(deadlineMs, () => patience.abort(new Error(`no whole answer within ${deadlineMs} ms`)));
  try {
    const { status, body } = await transport.send({ ...request, deadlineMs, signal: patience.signal });
    return { status, body: await readAll(body) };
  } finally {
    timer.cancel();
  }
}

export function httpRequest(collection: Collection, name: string, request: Request): Omit<TransportRequest, "signal"> {
  const path = `${collection.path}/${name}`;
  switch (request.verb) {
    case "get":
      return { method: "GET", path, headers: {} };
    case "create":
      return withBody("POST", collection.path, objectOf(name, request.fields));
    case "update":
      return withBody("PUT", path, objectOf(name, request.fields, request.revision));
    case "patch":
      return withBody("PATCH", path, partsOf(request.fields), "application/merge-patch+json");
    case "delete": {
      const { uid, revision } = request;
      const resourceVersion = revision === undefined ? undefined : String(revision);
      return withBody("DELETE", path, {
        kind: "DeleteOptions",
        apiVersion: "v1",
        preconditions: { uid, resourceVersion },
      });
    }
  }
}

export function listRequest(
  { path }: Collection,
  limit: number,
  token: string | undefined,
): Omit<TransportRequest, "signal"> {
  const query = new URLSearchParams({ limit: String(limit), ...(token === undefined ? {} : { continue: token }) });
  return { method: "GET", path: `${path}?${query.toString()}`, headers: {} };
}

export function versionOf(body: Uint8Array): Version {
  return versionOfObject(JSON.parse(Buffer.from(body).toString()) as ConfigMap);
}

export interface ListPage {
  readonly revision: number;
  readonly items: Readonly<Record<string, Version>>;
  readonly next: string | undefined;
}

export function listPageOf({ namespace }: Collection, body: Uint8Array): ListPage {
  const { metadata, items } = JSON.parse(Buffer.from(body).toString()) as {
    readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
    readonly items: readonly ConfigMap[] | null;
  };
  return {
    revision: Number(metadata.resourceVersion),
    items: Object.fromEntries(
      (items ?? []).map((item) => [`${namespace}/${item.metadata.name}`, versionOfObject(item)]),
    ),
    next: metadata.continue,
  };
}

function versionOfObject(object: ConfigMap): Version {
  const { uid, resourceVersion } = object.metadata;
  return { uid, revision: Number(resourceVersion), fields: fieldsOf(object) };
}

function withBody(
  method: string,
  path: string,
  body: object,
  type = "application/json",
): Omit<TransportRequest, "signal"> {
  return { method, path, headers: { "content-type": type }, body: Buffer.from(JSON.stringify(body)) };
}

function objectOf(name: string, fields: Fields, revision?: number): object {
  const { metadata, data } = partsOf(fields);
  const resourceVersion = revision === undefined ? undefined : String(revision);
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name, resourceVersion, ...metadata }, data };
}

function partsOf(fields: Fields): { readonly metadata?: { readonly labels: Fields }; readonly data?: Fields } {
  const under = (prefix: string): Fields | undefined => {
    const found = Object.entries(fields).filter(([name]) => name.startsWith(`${prefix}.`));
    return found.length === 0
      ? undefined
      : Object.fromEntries(found.map(([name, value]) => [name.slice(prefix.length + 1), value]));
  };
  const [labels, data] = [under("labels"), under("data")];
  return { ...(labels ? { metadata: { labels } } : {}), ...(data ? { data } : {}) };
}
