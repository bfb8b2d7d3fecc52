import { createApiClient, resources } from "@pilothouse/client";
import { memoryApiserver } from "@pilothouse/client/memory";
import { manualClock } from "@pilothouse/clock/manual";
import { seededIds, seededRandom } from "@pilothouse/clock/seeded";
import { Scope } from "@pilothouse/lifecycle";
import { memoryTelemetry } from "@pilothouse/telemetry/memory";
import type { Packet } from "dns-packet";
import { expect, test } from "vitest";
import type { Responder } from "./flows/respond.ts";
import { start } from "./service.ts";

test("listens when everything was read, answers with what it knows, forwards the rest, and says when nobody knows", async () => {
  const clock = manualClock();
  const random = seededRandom("dns");
  const server = memoryApiserver({ clock, ids: seededIds(random) });
  const client = createApiClient({ transports: [server.transport], userAgent: "test" });
  const scope = new Scope("test", (task, error) => expect.unreachable(`${task}: ${String(error)}`));
  let respond: Responder | undefined;
  let isUpstreamDown = false;
  const foreign = Buffer.from("as it came");
  server.intercept = () => {
    throw new Error("the API is down");
  };
  const dns = start(
    {
      client,
      bus: undefined,
      clock,
      random,
      telemetry: memoryTelemetry({ clock, random }),
      scope,
      upstream: { ask: () => (isUpstreamDown ? Promise.reject(new Error("down")) : Promise.resolve(foreign)) },
      listen: (given) => Promise.resolve(void (respond = given)),
    },
    { domain: "cluster.local", ranges: ["198.19.0.0/16"] },
  );
  await clock.advance(10);
  expect(respond).toBeUndefined();
  expect(dns.problems()).toHaveLength(1);
  server.intercept = undefined;
  await client.create(resources.services, {
    metadata: { namespace: "default", name: "web" },
    spec: { clusterIP: "198.19.1.1", ports: [{ port: 80 }] },
  });
  for (let second = 0; second < 12; second++) await clock.advance(1_000);
  expect(dns.problems()).toEqual([]);

  const ask = async (name: string): Promise<Packet | Uint8Array | undefined> =>
    respond?.({ type: "query", id: 1, questions: [{ type: "A", name }] }, Buffer.from("query"));
  const name = "web.default.svc.cluster.local";
  expect(await ask(name)).toMatchObject({ answers: [{ type: "A", data: "198.19.1.1" }] });
  await client.delete(resources.services, "default", "web");
  await clock.advance(10);
  expect(await ask(name)).toMatchObject({ answers: [] });
  expect(await ask("example.com")).toBe(foreign);
  isUpstreamDown = true;
  expect(((await ask("example.com")) as Packet).flags).toBe((1 << 10) | (1 << 7) | 2);
  // It never reads Pods: names of pods are computed from addresses (C17).
  const read = server.requests.filter(({ method }) => method === "GET").map(({ path }) => path.split("?")[0]);
  expect(new Set(read)).toEqual(new Set(["/api/v1/services", "/apis/discovery.k8s.io/v1/endpointslices"]));
  await scope.close();
});
