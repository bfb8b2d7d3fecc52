import type { Pod } from "@pilothouse/api/types/core-v1";
import { StatusError } from "@pilothouse/errors";
import { parseTraceparent } from "@pilothouse/telemetry";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createApiClient, resources, Unreachable } from "./index.ts";
import type { Transport, TransportRequest, TransportResponse, WatchEvent } from "./index.ts";

type Answer = (request: TransportRequest) => {
  status?: number;
  headers?: Record<string, string>;
  chunks: Uint8Array[];
};

function transport(endpoint: string, answer: Answer): Transport & { readonly requests: TransportRequest[] } {
  const requests: TransportRequest[] = [];
  return {
    endpoint,
    requests,
    async send(request): Promise<TransportResponse> {
      requests.push(request);
      const { status = 200, headers = {}, chunks } = answer(request);
      return { status, headers, body: bodyOf(chunks) };
    },
    close: async () => {},
  };
}

async function* bodyOf(chunks: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

function json(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

function pod(name: string, resourceVersion = "5"): Pod {
  return { metadata: { name, namespace: "default", resourceVersion }, spec: { containers: [] } };
}

const trace = parseTraceparent(`00-${"a".repeat(32)}-${"b".repeat(16)}-01`);

describe("the client", () => {
  it("writes with type, cause, field manager and the leader's fence", async () => {
    const server = transport("a", () => ({ status: 201, chunks: [json(pod("web"))] }));
    const client = createApiClient({ transports: [server], fence: () => "controllers/42", userAgent: "test" });
    await client.create(resources.pods, pod("web"), { trace, fieldManager: "me" });
    const [request] = server.requests;
    expect(request?.method).toBe("POST");
    expect(request?.path).toBe("/api/v1/namespaces/default/pods?fieldManager=me");
    expect(request?.headers).toMatchObject({
      "pilothouse-fence": "controllers/42",
      traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01`,
      "content-type": "application/json",
    });
    expect(JSON.parse(new TextDecoder().decode(request?.body))).toMatchObject({ kind: "Pod", apiVersion: "v1" });
  });

  it("reads without the fence", async () => {
    const server = transport("a", () => ({ chunks: [json(pod("web"))] }));
    const client = createApiClient({ transports: [server], fence: () => "controllers/42", userAgent: "test" });
    expect((await client.get(resources.pods, "default", "web")).metadata.name).toBe("web");
    expect(server.requests[0]?.headers).not.toHaveProperty("pilothouse-fence");
  });

  it("says which apiserver a list came from", async () => {
    const server = transport("a", () => ({
      headers: { "pilothouse-apiserver": "m1", "pilothouse-epoch": "e1" },
      chunks: [json({ items: [pod("web")], metadata: { resourceVersion: "7" } })],
    }));
    const client = createApiClient({ transports: [server], userAgent: "test" });
    const list = await client.list(resources.deployments, "", { labelSelector: "a=b", limit: 10 });
    expect(server.requests[0]?.path).toBe("/apis/apps/v1/deployments?labelSelector=a%3Db&limit=10");
    expect(list).toMatchObject({ resourceVersion: "7", apiserver: { name: "m1", epoch: "e1" } });
  });

  it("throws the server's Status", async () => {
    const status = { kind: "Status", status: "Failure", code: 409, reason: "Conflict", message: "modified" };
    const server = transport("a", () => ({ status: 409, chunks: [json(status)] }));
    const client = createApiClient({ transports: [server], userAgent: "test" });
    const error = await client.update(resources.pods, pod("web")).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(StatusError);
    expect(error).toMatchObject({ code: 409, reason: "Conflict", message: "modified" });
  });

  it("makes a Status of what a balancer says", async () => {
    const server = transport("a", () => ({ status: 503, chunks: [new TextEncoder().encode("<html>")] }));
    const client = createApiClient({ transports: [server], userAgent: "test" });
    await expect(client.get(resources.pods, "default", "web")).rejects.toMatchObject({
      code: 503,
      reason: "ServiceUnavailable",
    });
  });

  it("deletes with preconditions", async () => {
    const server = transport("a", () => ({ chunks: [json({})] }));
    const client = createApiClient({ transports: [server], userAgent: "test" });
    await client.delete(resources.pods, "default", "web", { uid: "u1", resourceVersion: "9", gracePeriodSeconds: 0 });
    expect(JSON.parse(new TextDecoder().decode(server.requests[0]?.body))).toEqual({
      kind: "DeleteOptions",
      apiVersion: "v1",
      gracePeriodSeconds: 0,
      preconditions: { uid: "u1", resourceVersion: "9" },
    });
  });
});

describe("several apiservers", () => {
  const down = (endpoint: string, error: Error) =>
    transport(endpoint, () => {
      throw error;
    });

  it("are asked in turn when one cannot be reached, and the one that answered is kept", async () => {
    const [a, b] = [down("a", new Unreachable("a", "refused")), transport("b", () => ({ chunks: [json(pod("web"))] }))];
    const client = createApiClient({ transports: [a, b], userAgent: "test" });
    await client.create(resources.pods, pod("web"));
    await client.get(resources.pods, "default", "web");
    expect([a.requests.length, b.requests.length]).toEqual([1, 2]);
  });

  it("never get a request twice that may have been carried out", async () => {
    const [a, b] = [down("a", new Error("reset")), transport("b", () => ({ chunks: [json(pod("web"))] }))];
    const client = createApiClient({ transports: [a, b], userAgent: "test" });
    await expect(client.create(resources.pods, pod("web"))).rejects.toThrow("reset");
    expect(b.requests).toHaveLength(0);
    await client.get(resources.pods, "default", "web");
    expect(b.requests).toHaveLength(1);
  });

  it("all out of reach make the call fail, each asked once", async () => {
    const servers = ["a", "b", "c"].map((name) => down(name, new Unreachable(name, "refused")));
    const client = createApiClient({ transports: servers, userAgent: "test" });
    await expect(client.get(resources.pods, "default", "web")).rejects.toThrow(Unreachable);
    expect(servers.map(({ requests }) => requests.length)).toEqual([1, 1, 1]);
  });
});

describe("a watch", () => {
  const lines = [
    { type: "ADDED", object: pod("ä", "6"), traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01` },
    { type: "DELETED", object: pod("b", "7") },
    { type: "BOOKMARK", object: { metadata: { resourceVersion: "9" } } },
  ];
  const bytes = new TextEncoder().encode(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));

  async function watched(chunks: Uint8Array[]): Promise<WatchEvent<Pod>[]> {
    const client = createApiClient({ transports: [transport("a", () => ({ chunks }))], userAgent: "test" });
    const events: WatchEvent<Pod>[] = [];
    for await (const event of client.watch(resources.pods, "", { resourceVersion: "5" })) events.push(event);
    return events;
  }

  it("yields the same events however its bytes are cut", async () => {
    const whole = await watched([bytes]);
    expect(whole).toEqual([
      { type: "ADDED", object: lines[0]?.object, trace },
      { type: "DELETED", object: lines[1]?.object },
      { type: "BOOKMARK", resourceVersion: "9" },
    ]);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(bytes.length)), async (cuts) => {
        const places = [0, ...cuts.sort((a, b) => a - b), bytes.length];
        const chunks = places.slice(1).map((end, i) => bytes.subarray(places[i], end));
        expect(await watched(chunks)).toEqual(whole);
      }),
      { numRuns: 50 },
    );
  });

  it("drops an object that was cut off in the middle", async () => {
    expect(await watched([bytes.subarray(0, bytes.length - 3)])).toHaveLength(2);
  });

  it("ends with the Status of an ERROR event", async () => {
    const error = { type: "ERROR", object: { kind: "Status", code: 410, reason: "Expired", message: "too old" } };
    await expect(watched([json(error), new TextEncoder().encode("\n")])).rejects.toMatchObject({ reason: "Expired" });
  });
});
