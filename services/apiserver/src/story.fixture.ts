/** A whole apiserver in memory, asked without HTTP. */
import { encodeProtobuf, schemaOf } from "@pilothouse/api";
import { memoryBus } from "@pilothouse/bus/memory";
import { manualClock, type ManualClock } from "@pilothouse/clock/manual";
import { seededIds, seededRandom } from "@pilothouse/clock/seeded";
import { memoryCrypto } from "@pilothouse/crypto/memory";
import type { Store } from "@pilothouse/store";
import { memoryStore } from "@pilothouse/store/memory";
import { memoryTelemetry, type MemoryTelemetry } from "@pilothouse/telemetry/memory";
import type { NodeProxy } from "./flows/node-proxy.ts";
import { noKubelets } from "./flows/no-kubelets.ts";
import { start, type ApiserverConfig, type ApiserverService } from "./service.ts";

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly text: string;
  // What tests look into freely.
  readonly json: Json;
}

export interface Json {
  readonly [field: string]: Json;
  readonly [index: number]: Json;
}

export interface Asked {
  readonly body?: unknown;
  /** Sent as it is. */
  readonly raw?: string | Uint8Array;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Default: an administrator. */
  readonly as?: { readonly name: string; readonly groups: readonly string[] } | "anonymous";
}

export interface Story {
  readonly service: ApiserverService;
  readonly store: Store;
  readonly clock: ManualClock;
  readonly telemetry: MemoryTelemetry;
  readonly ask: (method: string, target: string, asked?: Asked) => Promise<Answer>;
  close(): Promise<void>;
}

export const ADMIN = { name: "admin", groups: ["system:masters"] } as const;

export interface StoryOptions {
  readonly store?: Store;
  readonly clock?: ManualClock;
  readonly nodeProxy?: NodeProxy;
  readonly config?: Partial<ApiserverConfig>;
}

export async function apiserverStory(name = "a", shared?: StoryOptions): Promise<Story> {
  const clock = shared?.clock ?? manualClock();
  const random = seededRandom(name);
  const store = shared?.store ?? memoryStore({ clock });
  const telemetry = memoryTelemetry({ clock, random: random.fork("telemetry") });
  const service = await start(
    {
      time: { clock, random, ids: seededIds(random.fork("ids")) },
      store,
      bus: memoryBus(),
      crypto: memoryCrypto(),
      telemetry,
      nodeProxy: shared?.nodeProxy ?? noKubelets("no kubelet in this story"),
    },
    { name, advertiseAddress: "198.51.100.11", securePort: 6443, ...shared?.config },
  );
  return {
    service,
    store,
    clock,
    telemetry,
    close: () => service.close(),
    async ask(method, target, asked = {}) {
      const [path = "", query = ""] = target.split("?");
      const body = asked.raw ?? (asked.body === undefined ? "" : JSON.stringify(asked.body));
      const user = asked.as ?? ADMIN;
      const response = await service.handle({
        method,
        path,
        query: new URLSearchParams(query),
        headers: {
          ...(asked.contentType ? { "content-type": asked.contentType } : {}),
          "user-agent": "story/1.0",
          ...asked.headers,
        },
        body: typeof body === "string" ? Buffer.from(body) : body,
        peer:
          user === "anonymous"
            ? { address: "198.51.100.1" }
            : { address: "198.51.100.1", certificate: { commonName: user.name, organizations: user.groups } },
        signal: new AbortController().signal,
      });
      const text = await textOf(response.body);
      return { status: response.status, headers: response.headers, text, json: parsed(text) };
    },
  };
}

export function protobuf(apiVersion: string, kind: string, object: Record<string, unknown>): Uint8Array {
  const schema = schemaOf(apiVersion, kind);
  if (!schema) throw new Error(`no ${kind}`);
  return encodeProtobuf({ apiVersion, kind, ...object }, schema);
}

async function textOf(body: Uint8Array | AsyncIterable<Uint8Array>): Promise<string> {
  if (body instanceof Uint8Array) return Buffer.from(body).toString("utf8");
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

function parsed(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return {};
  }
}
