/** The whole handler over a store in memory: a few requests in a row, each answered with a Status or with what was asked for. */
import type { ApiResponse } from "@pilothouse/api/http";
import type { Random } from "@pilothouse/clock";
import { apiserverStory, ADMIN, type Story } from "../../../services/apiserver/src/story.fixture.ts";
import { fixtures, fullKinds, randomObject } from "../corpus.ts";
import { below, chance, HOSTILE_TEXTS, mutateBytes, mutateJsonText, mutateText, pick } from "../mutate.ts";
import { bytesOf, partOf, utf8PartOf, type Input, type Target } from "../target.ts";
import { METHODS, PATH_TOKENS, PATHS, QUERIES, QUERY_TOKENS } from "./paths.ts";

/** Parts of one request; an input is some of them in a row. */
const REQUEST_PARTS = ["method", "target", "headers", "body"] as const;
const MOST_REQUESTS = 12;
/** A watch has no end: this many frames are taken. */
const MOST_FRAMES = 3;

export const requests: Target = {
  name: "requests",
  casesInTests: 400,
  parts: REQUEST_PARTS,
  fixed: Array.from({ length: MOST_REQUESTS }, (_, index) => index * REQUEST_PARTS.length),
  input: (random) => Array.from({ length: 1 + below(random, MOST_REQUESTS) }, () => randomRequest(random)).flat(),
  async check(input) {
    const story = await apiserverStory();
    try {
      for (let at = 0; at < input.length; at += REQUEST_PARTS.length) {
        await judgeAnswer(story, input.slice(at, at + REQUEST_PARTS.length));
      }
    } finally {
      await story.close();
    }
  },
};

async function judgeAnswer(
  { service, clock }: Story,
  [method = "", target = "", headers = "", body = ""]: Input,
): Promise<void> {
  const [path = "", query = ""] = target.split("?");
  const abort = new AbortController();
  const answering = service.handle({
    method,
    path,
    query: new URLSearchParams(query),
    headers: headersOf(headers),
    body: bytesOf(body),
    peer: { address: "192.0.2.1", certificate: { commonName: ADMIN.name, organizations: ADMIN.groups } },
    signal: abort.signal,
  });
  const response = await settled(answering, clock, 40);
  if (!response) throw new Error(`no answer within 40 virtual seconds: ${method} ${target}`);
  const text = await textOf(response, clock);
  abort.abort();
  const asked = `${response.status} for ${method} ${target.slice(0, 300)}: ${text.slice(0, 300)}`;
  if (response.status === 500 && !isUpstreams500(text)) throw new Error(asked);
  if (response.status >= 400 && method !== "HEAD" && !isStatus(response, text)) throw new Error(`no Status: ${asked}`);
}

/** Upstream answers these with 500 too. */
const UPSTREAMS_500: readonly string[] = [
  "resourceVersion should not be set on objects to be created",
  "failed to create typed patch object",
  " check failed",
];

function isUpstreams500(text: string): boolean {
  return UPSTREAMS_500.some((words) => text.includes(words));
}

function isStatus({ headers, status }: ApiResponse, text: string): boolean {
  if (headers["content-type"] !== "application/json") return text.length > 0;
  const { kind, code } = JSON.parse(text) as { kind?: string; code?: number };
  return kind === "Status" && code === status;
}

async function textOf({ body }: ApiResponse, clock: Story["clock"]): Promise<string> {
  if (body instanceof Uint8Array) return Buffer.from(body).toString();
  const frames: Uint8Array[] = [];
  const read = async (): Promise<true> => {
    for await (const frame of body) {
      frames.push(frame);
      if (frames.length === MOST_FRAMES) break;
    }
    return true;
  };
  await settled(read(), clock, 15);
  return Buffer.concat(frames).toString();
}

/** What `work` gives, while time is moved on second by second; undefined if that is not enough. */
async function settled<T>(work: Promise<T>, clock: Story["clock"], seconds: number): Promise<T | undefined> {
  const done = new AbortController();
  const result = work.finally(() => done.abort());
  for (let second = 0; second < seconds && !done.signal.aborted; second++) await clock.advance(second < 5 ? 0 : 1_000);
  if (done.signal.aborted) return result;
  result.catch(() => undefined);
  return undefined;
}

function headersOf(text: string): Record<string, string> {
  try {
    return JSON.parse(Buffer.from(text, "latin1").toString()) as Record<string, string>;
  } catch {
    return {};
  }
}

function randomRequest(random: Random): string[] {
  const kind = pick(random, fullKinds);
  const prefix = kind.group === "" ? `/api/${kind.version}` : `/apis/${kind.group}/${kind.version}`;
  const namespace = pick(random, ["default", "default", "kube-system", ...HOSTILE_TEXTS.slice(0, 12)]);
  const collection = `${prefix}${kind.namespaced ? `/namespaces/${encoded(namespace)}` : ""}/${kind.resource}`;
  const method = pick(random, [...METHODS, "POST", "POST", "POST", "PATCH", "PATCH"]);
  const isOne = method !== "POST" || chance(random, 0.1);
  const name = chance(random, 0.8) ? "web" : encoded(pick(random, HOSTILE_TEXTS));
  const subresource = chance(random, 0.3)
    ? `/${pick(random, ["status", "scale", "log", "exec", "binding", "eviction", "token", "finalize", "x"])}`
    : "";
  const path = isOne && chance(random, 0.85) ? `${collection}/${name}${subresource}` : collection;
  const spoilt = chance(random, 0.1)
    ? mutateText(random, chance(random, 0.5) ? path : pick(random, PATHS), PATH_TOKENS)
    : path;
  const query = chance(random, 0.4) ? `?${mutateText(random, pick(random, QUERIES), QUERY_TOKENS)}` : "";
  const { contentType, body } = randomBody(random, method, randomObject(random, kind));
  const headers = {
    "content-type": contentType,
    accept: pick(random, ACCEPTS),
    "user-agent": pick(random, ["kubectl/v1", ...HOSTILE_TEXTS]),
  };
  return [method, spoilt + query, utf8PartOf(JSON.stringify(headers)), body];
}

const ACCEPTS: readonly string[] = [
  "application/json",
  "application/vnd.kubernetes.protobuf",
  "application/yaml",
  "application/json;as=Table;v=v1;g=meta.k8s.io",
  "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
  "text/html",
];

const PATCH_TYPES: readonly string[] = [
  "application/json-patch+json",
  "application/merge-patch+json",
  "application/apply-patch+yaml",
  "application/strategic-merge-patch+json",
];

function randomBody(
  random: Random,
  method: string,
  object: object,
): { readonly contentType: string; readonly body: string } {
  const text = chance(random, 0.3) ? JSON.stringify(object) : mutateJsonText(random, object);
  if (method === "PATCH")
    return { contentType: pick(random, [...PATCH_TYPES, "application/json"]), body: utf8PartOf(text) };
  if (method === "DELETE" && chance(random, 0.7)) return { contentType: "application/json", body: "" };
  if (chance(random, 0.2)) {
    const { protobuf } = pick(random, fixtures);
    return { contentType: "application/vnd.kubernetes.protobuf", body: partOf(mutateBytes(random, protobuf)) };
  }
  return { contentType: pick(random, ["application/json", "application/yaml", "text/plain"]), body: utf8PartOf(text) };
}

function encoded(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}
