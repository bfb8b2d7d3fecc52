import { Readable } from "node:stream";
import { createApiClient, type TransportRequest } from "@pilothouse/client";
import { memoryApiserver, type MemoryApiserver } from "@pilothouse/client/memory";
import { manualClock, type ManualClock } from "@pilothouse/clock/manual";
import { seededIds, seededRandom } from "@pilothouse/clock/seeded";
import { memoryTelemetry } from "@pilothouse/telemetry/memory";
import { beforeEach, expect, test } from "vitest";
import { KubeletAccess, type Access, type Credentials } from "./access.ts";

let clock: ManualClock;
let api: MemoryApiserver;
let access: KubeletAccess;
/** What was asked, one line each. */
let asked: string[];
/** Subresources that anybody may use. */
let allowed: string[];
let isDown: boolean;

interface Review {
  readonly spec: {
    readonly token?: string;
    readonly user?: string;
    readonly groups?: readonly string[];
    readonly resourceAttributes?: Readonly<Record<string, string>>;
  };
}

beforeEach(() => {
  clock = manualClock();
  const random = seededRandom("access");
  api = memoryApiserver({ clock, ids: seededIds(random) });
  [asked, allowed, isDown] = [[], ["metrics"], false];
  api.intercept = (request) => {
    if (isDown) throw new Error("connection refused");
    return { status: 201, headers: {}, body: Readable.from([encode({ metadata: {}, status: answerTo(request) })]) };
  };
  const client = createApiClient({ transports: [api.transport], userAgent: "test" });
  const { log } = memoryTelemetry({ clock, random });
  access = new KubeletAccess({ client, clock, log }, { nodeName: "node-1", apiServers: ["apiserver"] });
});

function answerTo({ body }: TransportRequest): object {
  const { spec } = JSON.parse(new TextDecoder().decode(body)) as Review;
  if (spec.token !== undefined) {
    asked.push(`who is ${spec.token}`);
    return spec.token === "good" ? { authenticated: true, user: { username: "prometheus", groups: ["g"] } } : {};
  }
  const { verb, resource, subresource = "", name } = spec.resourceAttributes ?? {};
  asked.push(`may ${spec.user} of ${spec.groups?.join("+")} ${verb} ${resource}/${subresource} of ${name}`);
  return { allowed: allowed.includes(subresource) };
}

const encode = (value: object): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const certificate = (commonName: string, ...organizations: string[]): Credentials => ({
  certificate: { commonName, organizations },
  authorization: undefined,
});
const bearer = (token: string): Credentials => ({ certificate: undefined, authorization: `Bearer ${token}` });
const judge = (who: Credentials, path: string, method = "GET"): Promise<Access> => access.judge(who, method, path);

test("the API server need not ask itself", async () => {
  expect(await judge(certificate("apiserver"), "/exec/a/b/c", "POST")).toEqual({ is: "granted" });
  expect(asked).toEqual([]);
});

test("a token says who it is, and what it may is asked for the node and its part", async () => {
  expect(await judge(bearer("good"), "/metrics/cadvisor?x=1")).toEqual({ is: "granted" });
  expect(asked).toEqual(["who is good", "may prometheus of g get nodes/metrics of node-1"]);
});

test("a certificate of the cluster's authority says it too", async () => {
  expect(await judge(certificate("metrics-server", "system:x"), "/metrics/resource")).toEqual({ is: "granted" });
  expect(asked).toEqual(["may metrics-server of system:x+system:authenticated get nodes/metrics of node-1"]);
});

test.each([
  ["GET", "/stats/summary", "get", ["stats"]],
  ["GET", "/logs/x", "get", ["log"]],
  ["GET", "/pods", "get", ["pods", "proxy"]],
  ["GET", "/runningpods/", "get", ["pods", "proxy"]],
  ["GET", "/healthz", "get", ["healthz", "proxy"]],
  ["GET", "/configz", "get", ["configz", "proxy"]],
  ["POST", "/exec/a/b/c", "create", ["proxy"]],
  ["GET", "/metricsx", "get", ["proxy"]],
])("%s %s is %s on nodes/%s", async (method, path, verb, subresources) => {
  allowed = [];
  const body = `Forbidden (user=u, verb=${verb}, resource=nodes, subresource(s)=[${subresources.join(" ")}])\n`;
  expect(await judge(certificate("u"), path, method)).toEqual({ is: "refused", status: 403, body });
  expect(asked.map((line) => line.split("nodes/")[1])).toEqual(subresources.map((it) => `${it} of node-1`));
  const [last = ""] = subresources.slice(-1);
  allowed = [last];
  await clock.advance(31_000);
  expect(await judge(certificate("u"), path, method)).toEqual({ is: "granted" });
});

test("nobody, a wrong token and a wrong scheme are not let in", async () => {
  const refused = { is: "refused", status: 401, body: "Unauthorized" };
  const none = { certificate: undefined, authorization: undefined };
  expect(await judge(none, "/metrics")).toEqual(refused);
  expect(await judge(bearer("bad"), "/metrics")).toEqual(refused);
  expect(await judge({ ...none, authorization: "Basic Z29vZA==" }, "/metrics")).toEqual(refused);
});

test("answers are kept: a token two minutes, leave five, a refusal half a minute", async () => {
  const asks = async (path: string): Promise<number> => {
    asked = [];
    await judge(bearer("good"), path);
    return asked.length;
  };
  expect([await asks("/metrics"), await asks("/metrics")]).toEqual([2, 0]);
  await clock.advance(121_000);
  expect(await asks("/metrics")).toBe(1);
  await clock.advance(180_000);
  expect(await asks("/metrics")).toBe(2);
  expect([await asks("/stats"), await asks("/stats")]).toEqual([1, 0]);
  await clock.advance(31_000);
  expect(await asks("/stats")).toBe(1);
});

test("without an API server nobody new is let in, and it is no refusal for good", async () => {
  isDown = true;
  expect(await judge(bearer("good"), "/metrics")).toEqual({ is: "refused", status: 500, body: "Authorization error" });
  isDown = false;
  expect(await judge(bearer("good"), "/metrics")).toEqual({ is: "granted" });
});
