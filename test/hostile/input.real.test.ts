/** Hostile bodies, paths, selectors and identities against a real apiserver: Kubernetes' answers, no crash, no stall, no growth. */
import type { Socket } from "node:net";
import { sleep } from "@pilothouse/clock";
import { systemClock } from "@pilothouse/clock/system";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { expectNoLeaks, until } from "../harness/index.ts";
import { startTarget, type Answer, type Asked, type HostileTarget } from "./apiserver.ts";

const CONFIG_MAPS = "/api/v1/namespaces/default/configmaps";
const YAML = "application/yaml";
const PROTOBUF = "application/vnd.kubernetes.protobuf";
const MIB = 1024 * 1024;
/**
 * Of the server's loop, in CPU time while somebody waits: the aim for one block is 200 ms, and a wait may see several of them
 * (a hundred handshakes at once are one wait), on a slow machine.
 */
const MAX_STALL_MS = 2_000;
/** Of four more rounds after one: what a process once needed it keeps, but it does not need more each time. */
const MAX_GROWTH_MB = 80;

/** The one kind has shaken hands and asks for nothing, the other is bare TCP. With them a process needs some 10,200 files. */
const IDLE_CONNECTIONS = 6_000;
const MUTE_CONNECTIONS = 4_000;

let target: HostileTarget;
let longestMs = 0;
const over = new AbortController();
let probing: Promise<void>;

beforeAll(async () => {
  target = await startTarget();
  probing = (async () => {
    while (!over.signal.aborted) {
      const startMs = await target.loopCpuMs();
      await target.ask("GET", "/livez");
      longestMs = Math.max(longestMs, (await target.loopCpuMs()) - startMs);
      await sleep(systemClock, 10);
    }
  })();
});

afterAll(async () => {
  over.abort();
  await probing;
  await target.stop();
  await expectNoLeaks();
});

const create = (asked: Asked): Promise<Answer> => target.ask("POST", CONFIG_MAPS, asked);
const named = (rest: string): string => `{"metadata":{"name":"a"},${rest}}`;
const ten = <T>(count: number, make: (index: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));

describe("bodies", () => {
  it.each<[string, Asked, number, RegExp]>([
    ["JSON that ends too early", { body: '{"a":' }, 400, /unexpected end of JSON input/],
    [
      "JSON that is none",
      { body: "{'a':1}" },
      400,
      /invalid character '\\'' looking for beginning of object key string/,
    ],
    ["nothing at all", { body: "" }, 400, /unexpected end of JSON input/],
    ["a list", { body: "[]" }, 400, /cannot unmarshal array into Go value of type v1.ConfigMap/],
    [
      "a wrong type",
      { body: named('"data":{"a":1}') },
      400,
      /cannot unmarshal number into Go struct field ConfigMap.data of type string/,
    ],
    [
      "another kind",
      { body: '{"kind":"Pod","apiVersion":"v1"}' },
      400,
      /Pod in version "v1" cannot be handled as a ConfigMap/,
    ],
    [
      "another version",
      { body: '{"kind":"ConfigMap","apiVersion":"v9"}' },
      400,
      /does not match the expected API version/,
    ],
    ["10,000 levels of lists", { body: "[".repeat(10_000) + "]".repeat(10_000) }, 400, /exceeded max depth/],
    ["10,000 levels of objects", { body: '{"a":'.repeat(10_000) }, 400, /exceeded max depth/],
    ["5 MiB", { body: "x".repeat(5 * MIB) }, 413, /^Request entity too large: limit is 3145728$/],
    [
      "more than etcd takes",
      { body: named(`"data":{"a":"${"x".repeat(2 * MIB)}"}`) },
      413,
      /^etcdserver: request is too large$/,
    ],
    [
      "an unknown media type",
      { body: "{}", contentType: "text/plain" },
      415,
      /the body of the request was in an unknown format/,
    ],
    ["a media type that is a prototype's name", { body: "{}", contentType: "constructor" }, 415, /unknown format/],
    [
      "protobuf that is none",
      { body: "hello", contentType: PROTOBUF },
      400,
      /does not appear to be a protobuf message/,
    ],
    [
      "protobuf that is cut off",
      { body: Buffer.from("k8s\0\x0a\x7f", "latin1"), contentType: PROTOBUF },
      400,
      /unexpected EOF/,
    ],
    [
      "YAML that is none",
      { body: "a: b: c", contentType: YAML },
      400,
      /mapping values are not allowed in this context/,
    ],
    ["a YAML bomb", { body: bomb(), contentType: YAML }, 400, /document contains excessive aliasing/],
    ["YAML keys within keys", { body: "? ".repeat(900), contentType: YAML }, 400, /invalid map key|exceeded max depth/],
    ["YAML without end", { body: "- a\n".repeat(700_000), contentType: YAML }, 400, /send it as JSON/],
    [
      "200,000 keys that no name may be",
      { body: named(`"data":{${ten(200_000, (i) => `"/${i}":""`).join()}}`) },
      413,
      /too large/,
    ],
    [
      "an integer beyond 64 bits",
      { body: '{"metadata":{"name":"a","generation":9223372036854775808}}' },
      400,
      /cannot unmarshal number 9223372036854775808 into Go value of type int64/,
    ],
    [
      "an integer with a fraction",
      { body: '{"metadata":{"name":"a","generation":1.5}}' },
      400,
      /cannot unmarshal number 1.5 into Go struct field/,
    ],
    [
      "a name that is a path",
      { body: '{"metadata":{"name":"../a"}}' },
      422,
      /ConfigMap "..\/a" is invalid: metadata.name: Invalid value/,
    ],
    ["a name of dots", { body: '{"metadata":{"name":".."}}' }, 422, /is invalid: \[?metadata.name/],
    [
      "a name that blows patterns up",
      { body: `{"metadata":{"name":"${"a-".repeat(50_000)}"}}` },
      422,
      /is invalid: \[?metadata.name/,
    ],
    [
      "a label that blows patterns up",
      { body: named(`"x":1,"metadata":{"name":"a","labels":{"${"a.".repeat(50_000)}!":"${"a".repeat(50_000)}!"}}`) },
      422,
      /metadata.labels: Invalid value/,
    ],
  ])("%s", async (_, asked, status, message) => {
    const { said, ...answer } = await create({ contentType: "application/json", ...asked });
    expect({ status: answer.status, code: said.code }).toEqual({ status, code: status });
    expect(said.message).toMatch(message);
  });

  it("with prototype names in them are stored as they are, or their fields dropped, and no prototype changes", async () => {
    const body =
      '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"metadata":{"name":"proto","labels":{"__proto__":"x","constructor":"y"}},"data":{"__proto__":"a","constructor":"b"}}';
    const created = await create({ body, contentType: "application/json" });
    // `__proto__` begins with an underscore, which no label may.
    expect(created.status).toBe(422);
    const kept = await create({ body: body.replace('"__proto__":"x",', ""), contentType: "application/json" });
    expect(kept.status).toBe(201);
    expect(kept.text).toContain('"data":{"__proto__":"a","constructor":"b"}');
    const patched = await target.ask("PATCH", `${CONFIG_MAPS}/proto`, {
      body: '{"data":{"__proto__":null,"toString":"c"}}',
      contentType: "application/merge-patch+json",
    });
    expect(patched.text).toContain('"data":{"constructor":"b","toString":"c"}');
    const other = await create({ body: '{"metadata":{"name":"clean"}}', contentType: "application/json" });
    expect(other.text).not.toContain("polluted");
  });

  it("with an integer that a double would round are refused, and the largest int64 is kept", async () => {
    const withDeadline = (value: string): string =>
      `{"metadata":{"name":"large"},"data":{},"immutable":false,"metadata":{"name":"large","deletionGracePeriodSeconds":${value}}}`;
    const rounded = await create({ body: withDeadline("9007199254740993"), contentType: "application/json" });
    expect(rounded.said.message).toContain("cannot unmarshal number 9007199254740993 into Go value of type int64");
    const kept = await create({ body: withDeadline("9223372036854775807"), contentType: "application/json" });
    expect(kept.status).toBe(201);
  });
});

describe("patches", () => {
  it.each([
    [
      "10,001 operations",
      "application/json-patch+json",
      `[${ten(10_001, () => '{"op":"test","path":""}').join()}]`,
      413,
      /^Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001$/,
    ],
    [
      "copies that double",
      "application/json-patch+json",
      `[{"op":"add","path":"/data","value":{"a":"${"x".repeat(1_000)}"}},${ten(60, (i) => `{"op":"copy","from":"/data","path":"/data/k${i}"}`).join()}]`,
      422,
      /the server rejected our request due to an error in our request/,
    ],
    ["no operations at all", "application/json-patch+json", "{}", 400, /error decoding patch/],
    ["a media type of a prototype", "constructor", "{}", 415, /unknown format/],
    ["a depth of 10,000", "application/merge-patch+json", '{"a":'.repeat(10_000), 400, /exceeded max depth/],
  ])("%s", async (_, contentType, body, status, message) => {
    await create({ body: '{"metadata":{"name":"patched"}}', contentType: "application/json" });
    const answer = await target.ask("PATCH", `${CONFIG_MAPS}/patched`, { body, contentType });
    expect(answer.status).toBe(status);
    expect(answer.said.message).toMatch(message);
  });
});

describe("paths and parameters", () => {
  it.each([
    ["/api/v1/namespaces/default/configmaps/..%2f..%2fkube-system", 400],
    ["/api/v1/namespaces/default%2f..%2fkube-system/configmaps", 400],
    ["/api/v1/namespaces/default/configmaps/%ff", 400],
    ["/api/v1/namespaces/default/configmaps/%00", 404],
    [`/api/v1/namespaces/default/configmaps/${"a".repeat(5_000)}`, 404],
    ["/api/v1/namespaces/default/__proto__", 404],
    ["/apis/constructor/v1/pods", 404],
    ["/healthz/__proto__", 404],
    ["/api/v1/namespaces/default/configmaps?labelSelector=a%20in%20(", 400],
    [`/api/v1/namespaces/default/configmaps?labelSelector=${"(".repeat(20_000)}`, 400],
    ["/api/v1/namespaces/default/configmaps?fieldSelector=a", 400],
    ["/api/v1/namespaces/default/configmaps?fieldSelector=spec.x%3Da", 400],
    ["/api/v1/namespaces/default/configmaps?resourceVersion=abc", 400],
    ["/api/v1/namespaces/default/configmaps?resourceVersion=99999999999999999999", 400],
    ["/api/v1/namespaces/default/configmaps?continue=abc", 400],
    ["/api/v1/namespaces/default/configmaps?limit=abc", 400],
    ["/api/v1/namespaces/default/configmaps?watch=1&resourceVersion=abc", 400],
    [`/api/v1/namespaces/default/configmaps?${ten(20_000, (i) => `p${i}=1`).join("&")}`, 200],
  ])("%s", async (path, status) => {
    const answer = await target.ask("GET", path);
    expect({ status: answer.status, text: answer.text.slice(0, 200) }).toMatchObject({ status });
    if (status >= 400) expect(answer.said.code).toBe(status);
  });
});

describe("identities", () => {
  it("with a token that is none, or has expired, get 401", async () => {
    for (const token of [
      "x",
      "a.b.c",
      "x".repeat(100_000),
      `${Buffer.from('{"alg":"none"}').toString("base64url")}.e30.`,
    ]) {
      const answer = await target.ask("GET", CONFIG_MAPS, {
        as: "nobody",
        headers: { authorization: `Bearer ${token}` },
      });
      expect(answer).toMatchObject({ status: 401, said: { reason: "Unauthorized", message: "Unauthorized" } });
    }
  });

  it("of a node reach their own node only, and no Secret that no pod of theirs names", async () => {
    const node1 = await target.credentials.user("system:node:node-1", ["system:nodes"]);
    await target.ask("POST", "/api/v1/namespaces/default/secrets", {
      body: '{"metadata":{"name":"s"},"data":{"a":"aGk="}}',
      contentType: "application/json",
    });
    const secret = await target.ask("GET", "/api/v1/namespaces/default/secrets/s", { as: node1 });
    expect(secret).toMatchObject({ status: 403, said: { reason: "Forbidden" } });
    const other = await target.ask("PATCH", "/api/v1/nodes/node-2/status", {
      as: node1,
      body: '{"status":{}}',
      contentType: "application/merge-patch+json",
    });
    expect(other.status).toBe(403);
  });

  it("that are none may ask for health and version, and nothing else", async () => {
    for (const path of ["/livez", "/readyz", "/healthz", "/version"]) {
      expect((await target.ask("GET", path, { as: "nobody" })).status).toBe(200);
    }
    for (const path of ["/metrics", "/api/v1/nodes", "/openapi/v3", "/debug/pprof", "/logs", "/configz"]) {
      const answer = await target.ask("GET", path, { as: "nobody" });
      expect({ path, status: answer.status }).toEqual({ path, status: 403 });
    }
  });
});

describe("connections", () => {
  it("that watch and never read cost no memory, and others hear of changes all the same", async () => {
    const stuck = await Promise.all(ten(20, () => target.open()));
    for (const socket of stuck) {
      socket.pause();
      socket.write(`GET ${CONFIG_MAPS}?watch=1 HTTP/1.1\r\nhost: a\r\n\r\n`);
    }
    const text = "x".repeat(100_000);
    for (let i = 0; i < 100; i++) {
      const body = JSON.stringify({ metadata: { name: "churn" }, data: { text: `${i}${text}` } });
      const path = i === 0 ? CONFIG_MAPS : `${CONFIG_MAPS}/churn`;
      expect(
        (await target.ask(i === 0 ? "POST" : "PUT", path, { body, contentType: "application/json" })).status,
      ).toBeLessThan(300);
    }
    for (const socket of stuck) socket.destroy();
  });

  it("by ten thousand at once are held, whether they speak or not, and others are served all the while", async (context) => {
    const beforeMb = await target.rssMb();
    const sockets: Socket[] = [];
    for (let i = 0; i < IDLE_CONNECTIONS; i += 100) sockets.push(...(await Promise.all(ten(100, () => target.open()))));
    // These never begin their handshake, and are cut only when its time is over.
    for (let i = 0; i < MUTE_CONNECTIONS; i += 100) sockets.push(...(await Promise.all(ten(100, () => target.dial()))));
    const held = sockets.filter(({ closed }) => !closed).length;
    expect(held).toBe(IDLE_CONNECTIONS + MUTE_CONNECTIONS);
    const created = await create({ body: '{"metadata":{"name":"crowd"}}', contentType: "application/json" });
    expect(created.status).toBe(201);
    expect((await target.ask("GET", CONFIG_MAPS)).status).toBe(200);
    const perConnectionKb = (((await target.rssMb()) - beforeMb) * 1024) / held;
    await context.annotate(`${held} connections, ${perConnectionKb.toFixed(0)} kB each`);
    expect(perConnectionKb).toBeLessThan(100);
    for (const socket of sockets) socket.destroy();
    await until("the process has let go of them", async () => (await target.openFiles()) < 500, 30_000);
  }, 180_000);
});

describe("after all this", () => {
  it("the process lives and no request waited long", async (context) => {
    expect(target.apiserver.running()).toBe(true);
    expect(longestMs).toBeLessThan(MAX_STALL_MS);
    expect(await target.apiserver.output()).not.toContain("a request failed");
    await context.annotate(`the longest wait was ${Math.round(longestMs)} ms of CPU`);
  });

  it("memory does not grow when it comes again", async (context) => {
    const round = async (): Promise<void> => {
      const sockets = await Promise.all(ten(200, () => target.open()));
      for (let i = 0; i < 8; i++) await target.ask("POST", CONFIG_MAPS, { body: "x".repeat(3 * MIB) });
      for (const socket of sockets) socket.destroy();
    };
    await round();
    const beforeMb = await target.rssMb();
    for (let i = 0; i < 4; i++) await round();
    const grownMb = (await target.rssMb()) - beforeMb;
    await context.annotate(`${Math.round(grownMb)} MB more than ${Math.round(beforeMb)}`);
    expect(grownMb).toBeLessThan(MAX_GROWTH_MB);
  });
});

/** Each level is ten times the one below it. */
function bomb(): string {
  const levels = ten(12, (n) => `l${n + 1}: &l${n + 1} [${`*l${n}, `.repeat(9)}*l${n}]`);
  return `l0: &l0 x\n${levels.join("\n")}`;
}
