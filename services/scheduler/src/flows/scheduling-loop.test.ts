import type { Pod } from "@pilothouse/api/types/core-v1";
import { createApiClient, resources, type ApiClient } from "@pilothouse/client";
import { memoryApiserver } from "@pilothouse/client/memory";
import { manualClock, type ManualClock } from "@pilothouse/clock/manual";
import { seededIds, seededRandom } from "@pilothouse/clock/seeded";
import { eventRecorder } from "@pilothouse/controller";
import { startInformer } from "@pilothouse/informer";
import { Scope } from "@pilothouse/lifecycle";
import { memoryTelemetry, type MemoryTelemetry } from "@pilothouse/telemetry/memory";
import { afterEach, expect, test } from "vitest";
import { node, pod } from "../core/cluster.fixture.ts";
import { SchedulingLoop } from "./scheduling-loop.ts";

interface World {
  readonly clock: ManualClock;
  readonly client: ApiClient;
  readonly telemetry: MemoryTelemetry;
  readonly failures: unknown[];
  /** Pods that the API does not let the scheduler bind. */
  readonly unbindable: Set<string>;
  readonly nodeOf: (name: string) => Promise<string | undefined>;
  /** Decisions so far that found no node. */
  readonly refused: () => number;
  readonly close: () => Promise<void>;
}

const JSON_TYPE = { "content-type": "application/json" };
const CONFLICT = JSON.stringify({ kind: "Status", apiVersion: "v1", status: "Failure", reason: "Conflict", code: 409 });

async function* once(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

const opened: World[] = [];
afterEach(async () => {
  for (const one of opened.splice(0)) {
    await one.close();
    expect(one.failures).toEqual([]);
  }
});

async function started(): Promise<World> {
  const clock = manualClock();
  const random = seededRandom("loop");
  const telemetry = memoryTelemetry({ clock, random });
  const failures: unknown[] = [];
  const unbindable = new Set<string>();
  const scope = new Scope("test", (task, error) => failures.push(task, error));
  const server = memoryApiserver({ clock, ids: seededIds(random) });
  const client = createApiClient({ transports: [server.transport], userAgent: "user" });
  const own = createApiClient({
    transports: [
      {
        ...server.transport,
        send: async (request) => {
          const isRefused = [...unbindable].some((name) => request.path.endsWith(`/pods/${name}/binding`));
          return isRefused ? { status: 409, headers: JSON_TYPE, body: once(CONFLICT) } : server.transport.send(request);
        },
      },
    ],
    userAgent: "scheduler",
  });
  const ports = { client: own, clock, random, telemetry, scope };
  const informed = {
    pods: startInformer(ports, { type: resources.pods }),
    nodes: startInformer(ports, { type: resources.nodes }),
    budgets: startInformer(ports, { type: resources.podDisruptionBudgets }),
    namespaces: startInformer(ports, { type: resources.namespaces }),
    claims: startInformer(ports, { type: resources.persistentVolumeClaims }),
    volumes: startInformer(ports, { type: resources.persistentVolumes }),
    storageClasses: startInformer(ports, { type: resources.storageClasses }),
  };
  const world: World = {
    clock,
    client,
    telemetry,
    failures,
    unbindable,
    nodeOf: async (name) => (await client.get<Pod>(resources.pods, "default", name)).spec.nodeName,
    refused: () => telemetry.spans.filter((span) => span.attributes["scheduler.unschedulable"] !== undefined).length,
    close: () => scope.close(),
  };
  opened.push(world);
  await clock.advance(50);
  const events = eventRecorder({ ...ports, component: "default-scheduler" });
  const options = { schedulerName: "default-scheduler", maxBindings: 4 };
  const loop = new SchedulingLoop({ ...ports, events }, options, informed);
  scope.run("scheduler", (signal) => loop.run(signal));
  return world;
}

const dedicated = { key: "dedicated", value: "db", effect: "NoSchedule" };
const patch = (body: object) => ({ type: "application/merge-patch+json", body }) as const;

test("a pod that no node takes is let alone by what cannot help, and goes where it can once something helps", async () => {
  const { client, clock, nodeOf, refused } = await started();
  await client.create(resources.nodes, node("a", { cpu: "1" }));
  await client.create(resources.pods, pod("big", {}, { cpu: "2" }));
  await clock.advance(20_000);
  expect([await nodeOf("big"), refused()]).toEqual([undefined, 1]);
  for (const disk of ["ssd", "hdd"])
    await client.patch(resources.nodes, "", "a", patch({ metadata: { labels: { disk } } }));
  await client.create(resources.pods, pod("small", {}, { cpu: "1" }));
  await clock.advance(20_000);
  expect([await nodeOf("small"), refused()]).toEqual(["a", 1]);
  await client.create(resources.nodes, node("b"));
  await clock.advance(100);
  expect([await nodeOf("big"), refused()]).toEqual(["b", 1]);
});

test("what nothing wakes is tried again after five minutes", async () => {
  const { client, clock, refused } = await started();
  await client.create(resources.nodes, node("a", { cpu: "1" }));
  await client.create(resources.pods, pod("big", {}, { cpu: "2" }));
  await clock.advance(299_000);
  expect(refused()).toBe(1);
  await clock.advance(2_000);
  expect(refused()).toBe(2);
});

test("a pod that waits and learns to tolerate a taint is tried at once; what we write of it ourselves is no reason", async () => {
  const { client, clock, nodeOf, refused } = await started();
  await client.create(resources.nodes, node("a", { taints: [dedicated] }));
  await client.create(resources.pods, pod("web"));
  await clock.advance(20_000);
  expect([await nodeOf("web"), refused()]).toEqual([undefined, 1]);
  const tolerations = [{ key: "dedicated", operator: "Exists" }];
  await client.patch(resources.pods, "default", "web", patch({ spec: { tolerations } }));
  await clock.advance(100);
  expect(await nodeOf("web")).toBe("a");
});

test("a place that a failed binding does not take goes to a pod that was refused for it", async () => {
  const { client, clock, nodeOf, unbindable } = await started();
  unbindable.add("first");
  await client.create(resources.nodes, node("a", { cpu: "1" }));
  await client.create(resources.pods, pod("first", {}, { cpu: "1" }));
  await client.create(resources.pods, pod("second", {}, { cpu: "1" }));
  await clock.advance(20_000);
  expect([await nodeOf("first"), await nodeOf("second")]).toEqual([undefined, "a"]);
});
