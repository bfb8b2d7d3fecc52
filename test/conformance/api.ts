/** The API as a client of no particular language sees it: paths, JSON, and the Status that says why something was refused. */
import { createInterface } from "node:readline";
import type { IncomingMessage } from "node:http";
import type { Status } from "@pilothouse/api/types/meta-v1";
import type { ApiObject } from "@pilothouse/kinds/kind";
import type { JsonClient } from "../harness/json-client.ts";

/** What is in an object is the behaviour's to know. */
// oxlint-disable-next-line typescript/no-explicit-any
export type Loose = ApiObject & Record<string, any>;

export interface Listed {
  readonly metadata: {
    readonly resourceVersion: string;
    readonly continue?: string;
    readonly remainingItemCount?: number;
  };
  readonly items: readonly Loose[];
}

export interface WatchEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR";
  readonly object: Loose;
}

export interface Watch {
  /** The next event for which `wanted` holds; those before it are passed over. Fails after 60 s. */
  next(wanted: (event: WatchEvent) => boolean): Promise<WatchEvent>;
  /** All that was told so far. */
  readonly told: readonly WatchEvent[];
  close(): void;
}

export type PatchType = "merge" | "strategic" | "json" | "apply";

export type Query = Readonly<Record<string, string | number | boolean>>;

/** One resource, in one namespace where it has one. */
export interface Resource {
  readonly path: string;
  create(object: object, query?: Query): Promise<Loose>;
  get(name: string, subresource?: string): Promise<Loose>;
  list(query?: Query): Promise<Listed>;
  update(object: Loose, subresource?: string): Promise<Loose>;
  patch(
    name: string,
    patch: object,
    options?: { type?: PatchType; subresource?: string; query?: Query },
  ): Promise<Loose>;
  /** POST of a subresource: eviction, token, binding. */
  post(name: string, subresource: string, object: object): Promise<Loose>;
  delete(name: string, options?: object): Promise<Loose>;
  deleteCollection(query: Query): Promise<void>;
  watch(query?: Query): Promise<Watch>;
}

/** An answer that is no success. */
export class Refused extends Error {
  override readonly name = "Refused";
  readonly code: number;
  readonly status: Status;
  constructor(what: string, code: number, status: Status) {
    super(`${what}: ${code} ${status.reason ?? ""} ${status.message ?? ""}`);
    this.code = code;
    this.status = status;
  }
}

const PATCH_TYPES: Readonly<Record<PatchType, string>> = {
  merge: "application/merge-patch+json",
  strategic: "application/strategic-merge-patch+json",
  json: "application/json-patch+json",
  apply: "application/apply-patch+yaml",
};
const EVENT_PATIENCE_MS = 60_000;

/** `groupVersion` as objects write it: `v1`, `apps/v1`; without a namespace for what has none, and for all namespaces. */
export function resourceOf(client: JsonClient, groupVersion: string, plural: string, namespace?: string): Resource {
  const base = groupVersion.includes("/") ? `/apis/${groupVersion}` : `/api/${groupVersion}`;
  const path = namespace === undefined ? `${base}/${plural}` : `${base}/namespaces/${namespace}/${plural}`;
  const at = (name: string, subresource = ""): string =>
    `${path}/${name}${subresource === "" ? "" : `/${subresource}`}`;
  const send = (method: string, to: string, body?: object, type?: string): Promise<Loose> =>
    call(client, method, to, body, type);
  return {
    path,
    create: (object, query) => send("POST", withQuery(path, query), object),
    get: (name, subresource) => send("GET", at(name, subresource)),
    list: async (query) => (await send("GET", withQuery(path, query))) as unknown as Listed,
    update: (object, subresource) => send("PUT", at(object.metadata.name ?? "", subresource), object),
    patch: (name, patch, { type = "merge", subresource, query } = {}) =>
      send("PATCH", withQuery(at(name, subresource), query), patch, PATCH_TYPES[type]),
    post: (name, subresource, object) => send("POST", at(name, subresource), object),
    delete: (name, options) => send("DELETE", at(name), options),
    deleteCollection: async (query) => void (await send("DELETE", withQuery(path, query))),
    watch: async (query) => watchOf(await opened(client, withQuery(path, { ...query, watch: true }))),
  };
}

/** @throws Refused */
export async function call(
  client: JsonClient,
  method: string,
  path: string,
  body?: object,
  type?: string,
): Promise<Loose> {
  const { status, text } = await client.send({
    method,
    path,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    ...(type === undefined ? {} : { type }),
  });
  const answer = JSON.parse(text) as Loose;
  if (status < 200 || status > 299) throw new Refused(`${method} ${path}`, status, answer as Status);
  return answer;
}

/** What a request was refused with; throws if it was not. */
export async function refusal(work: Promise<unknown>): Promise<Refused> {
  try {
    await work;
  } catch (error) {
    if (error instanceof Refused) return error;
    throw error;
  }
  throw new Error("it was not refused");
}

function withQuery(path: string, query: Query = {}): string {
  const text = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) text.set(name, String(value));
  return text.size === 0 ? path : `${path}?${text.toString()}`;
}

async function opened(client: JsonClient, path: string): Promise<IncomingMessage> {
  const response = await client.open({ method: "GET", path });
  if (response.statusCode === 200) return response;
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  throw new Refused(`GET ${path}`, response.statusCode ?? 0, JSON.parse(Buffer.concat(chunks).toString()) as Status);
}

function watchOf(response: IncomingMessage): Watch {
  const told: WatchEvent[] = [];
  let seen = 0;
  let wake = (): void => undefined;
  const lines = createInterface({ input: response });
  lines.on("line", (line) => {
    told.push(JSON.parse(line) as WatchEvent);
    wake();
  });
  lines.on("error", () => undefined);
  response.once("close", () => wake());
  return {
    told,
    async next(wanted) {
      const deadline = setTimeout(() => response.destroy(), EVENT_PATIENCE_MS);
      try {
        for (;;) {
          for (; seen < told.length; seen++) {
            const event = told[seen] as WatchEvent;
            if (wanted(event)) return told[seen++] as WatchEvent;
          }
          if (response.destroyed || response.complete)
            throw new Error(`the watch has not told it; it told ${said(told)}`);
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      } finally {
        clearTimeout(deadline);
      }
    },
    close: () => void response.destroy(),
  };
}

function said(told: readonly WatchEvent[]): string {
  return told.map(({ type, object }) => `${type} ${object.metadata.name ?? ""}`).join(", ") || "nothing";
}
