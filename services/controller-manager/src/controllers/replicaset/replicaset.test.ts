import type { ReplicaSet } from "@pilothouse/api/types/apps-v1";
import type { Pod } from "@pilothouse/api/types/core-v1";
import { resources } from "@pilothouse/client";
import { OwnWrites } from "@pilothouse/controller";
import { StatusError } from "@pilothouse/errors";
import * as fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { controllerWorld, type ControllerWorld } from "../../world.fixture.ts";
import { BY_CONTROLLER } from "../../informers.ts";
import { plan } from "./plan.ts";
import { startReplicaSetController } from "./reconcile.ts";
import { inDeletionOrder } from "./rules.ts";

const worlds: ControllerWorld[] = [];
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.close();
});

async function started(seed?: string): Promise<ControllerWorld> {
  const world = await controllerWorld(seed);
  worlds.push(world);
  startReplicaSetController(world.ports);
  return world;
}

function replicaSet(replicas: number, more: Partial<ReplicaSet["spec"]> = {}): ReplicaSet {
  const template = { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "web", image: "web:1" }] } };
  const metadata = { name: "web", namespace: "default" };
  return { metadata, spec: { replicas, selector: { matchLabels: { app: "web" } }, template, ...more } };
}

function pod(
  name: string,
  more: { metadata?: Partial<Pod["metadata"]>; node?: string; ready?: boolean; phase?: string } = {},
): Pod {
  return {
    metadata: { name, namespace: "default", uid: name, labels: { app: "web" }, ...more.metadata },
    spec: { containers: [], ...(more.node === undefined ? {} : { nodeName: more.node }) },
    status: {
      phase: more.phase ?? "Running",
      conditions: [
        { type: "Ready", status: more.ready === false ? "False" : "True", lastTransitionTime: "2026-01-01T00:00:00Z" },
      ],
    },
  };
}

describe("the ReplicaSet controller", () => {
  it("makes the pods that are asked for, follows the number, and tells how many are ready", async () => {
    const world = await started();
    await world.client.create(resources.replicaSets, replicaSet(3));
    await world.pass(300);
    expect(world.pods()).toHaveLength(3);
    expect(world.pods()[0]?.metadata).toMatchObject({
      generateName: "web-",
      name: expect.stringMatching(/^web-[b-z2-9]{5}$/),
      ownerReferences: [{ apiVersion: "apps/v1", kind: "ReplicaSet", name: "web", controller: true }],
    });
    expect(world.server.peek("replicasets", "default/web")?.status).toMatchObject({
      replicas: 3,
      readyReplicas: 3,
      availableReplicas: 3,
    });
    const patch = (replicas: number) =>
      world.client.patch(resources.replicaSets, "default", "web", {
        type: "application/merge-patch+json",
        body: { spec: { replicas } },
      });
    await patch(1);
    await world.pass(300);
    expect(world.pods()).toHaveLength(1);
    await patch(0);
    await world.pass(300);
    expect(world.pods()).toHaveLength(0);
    expect(world.failures).toEqual([]);
  });

  it("deletes a pod only as it was judged: one that was taken away meanwhile stays", async () => {
    const world = await started();
    await world.client.create(resources.replicaSets, replicaSet(1));
    await world.pass(300);
    const [mine] = world.pods();
    const merge = (body: object) => ({ type: "application/merge-patch+json", body }) as const;
    const { pods } = world.ports.informers;
    const stale = pods.list();
    const spy = vi.spyOn(pods, "byIndex").mockImplementation((index) => (index === BY_CONTROLLER ? stale : []));
    const relabelled = merge({ metadata: { labels: { app: "mine" } } });
    await world.client.patch(resources.pods, "default", mine?.metadata.name ?? "", relabelled);
    await world.client.patch(resources.replicaSets, "default", "web", merge({ spec: { replicas: 0 } }));
    await world.pass(300);
    spy.mockRestore();
    await world.pass(2_000);
    expect(world.pods().map(({ metadata }) => metadata.labels)).toEqual([{ app: "mine" }]);
    const conditions = (world.server.peek("replicasets", "default/web") as unknown as ReplicaSet).status?.conditions;
    expect(conditions).toBeUndefined();
  });

  it("replaces a pod that is deleted, and stops writing when all is well", async () => {
    const world = await started();
    await world.client.create(resources.replicaSets, replicaSet(2));
    await world.pass(300);
    await world.client.delete(resources.pods, "default", world.pods()[0]?.metadata.name ?? "");
    await world.pass(300);
    expect(world.pods()).toHaveLength(2);
    const revision = world.server.revision();
    await world.pass(3_000);
    expect(world.server.revision()).toBe(revision);
  });

  it("adopts what matches, and lets go what no longer does", async () => {
    const world = await started();
    await world.client.create(resources.pods, {
      ...pod("stray"),
      metadata: { name: "stray", namespace: "default", labels: { app: "web" } },
    });
    await world.client.create(resources.replicaSets, replicaSet(1));
    await world.pass(300);
    expect(world.pods().map(({ metadata }) => metadata.ownerReferences?.[0]?.name)).toEqual(["web"]);
    const body = { metadata: { labels: { app: "other" } } };
    await world.client.patch(resources.pods, "default", "stray", { type: "application/merge-patch+json", body });
    await world.pass(300);
    expect(world.pods()).toHaveLength(2);
    expect(world.pods()[0]?.metadata.ownerReferences).toBeUndefined();
  });

  it("counts a pod as available only after minReadySeconds, without anybody telling", async () => {
    const world = await started();
    await world.client.create(resources.replicaSets, replicaSet(1, { minReadySeconds: 5 }));
    await world.pass(3_000);
    expect(world.server.peek("replicasets", "default/web")?.status).toMatchObject({
      readyReplicas: 1,
      availableReplicas: 0,
    });
    await world.pass(3_000);
    expect(world.server.peek("replicasets", "default/web")?.status).toMatchObject({ availableReplicas: 1 });
  });

  it("says why it cannot make pods, in its status and in an event, and tries one at a time", async () => {
    const world = await started();
    world.server.intercept = ({ method, path }) => {
      if (method === "POST" && path.includes("/pods")) throw new StatusError(403, "Forbidden", "exceeded quota");
      return undefined;
    };
    await world.client.create(resources.replicaSets, replicaSet(10));
    await world.clock.advance(3);
    expect(world.server.requests.filter(({ path }) => path.includes("/pods?fieldManager")).length).toBeLessThan(3);
    expect(world.server.peek("replicasets", "default/web")?.status).toMatchObject({
      conditions: [{ type: "ReplicaFailure", status: "True", reason: "FailedCreate", message: "exceeded quota" }],
    });
    world.server.intercept = undefined;
    await world.pass(10_000);
    expect(world.pods()).toHaveLength(10);
    expect(world.server.peek("replicasets", "default/web")?.status).not.toHaveProperty("conditions");
    expect(world.server.list("events")[0]).toMatchObject({
      reason: "FailedCreate",
      message: "Error creating: exceeded quota",
    });
  });

  it("makes no second pod when the answer to the first create is lost", async () => {
    const world = await started();
    let lost = false;
    const { transport } = world.server;
    const send = transport.send.bind(transport);
    Object.assign(transport, {
      send: async (request: Parameters<typeof send>[0]) => {
        const answer = await send(request);
        if (lost || request.method !== "POST" || !request.path.includes("/pods")) return answer;
        lost = true;
        throw new Error("connection reset");
      },
    });
    await world.client.create(resources.replicaSets, replicaSet(1));
    await world.pass(2_000);
    expect(lost).toBe(true);
    expect(
      world.server.requests.filter(({ method, path }) => method === "POST" && path.includes("/pods")),
    ).toHaveLength(2);
    expect(world.pods()).toHaveLength(1);
  });

  it("does not go on making pods for a number that is not asked for any more, however slow the apiserver", async () => {
    const world = await started();
    const answer = Promise.withResolvers<void>();
    const { transport } = world.server;
    const send = transport.send.bind(transport);
    const isPodCreate = ({ method, path }: { readonly method: string; readonly path: string }): boolean =>
      method === "POST" && path.includes("/pods");
    Object.assign(transport, {
      send: async (request: Parameters<typeof send>[0]) => {
        if (isPodCreate(request)) await answer.promise;
        return send(request);
      },
    });
    await world.client.create(resources.replicaSets, replicaSet(10));
    await world.clock.advance(100);
    const body = { spec: { replicas: 2 } };
    await world.client.patch(resources.replicaSets, "default", "web", { type: "application/merge-patch+json", body });
    await world.clock.advance(100);
    answer.resolve();
    await world.pass(2_000);
    expect(world.server.requests.filter(isPodCreate)).toHaveLength(2);
    expect(world.pods()).toHaveLength(2);
  });

  /** The cache of pods stands still while ReplicaSets go on changing. */
  async function podsAfterBlindChanges(): Promise<number> {
    const world = await started();
    await world.client.create(resources.replicaSets, replicaSet(0));
    await world.pass(300);
    world.server.onPublish = ({ subject }) => !subject.includes(".pods");
    for (const replicas of [2, 2, 2]) {
      const body = { metadata: { annotations: { touched: String(world.server.revision()) } }, spec: { replicas } };
      await world.client.patch(resources.replicaSets, "default", "web", { type: "application/merge-patch+json", body });
      await world.clock.advance(50);
    }
    return world.pods().length;
  }

  it("waits until it sees its own writes before it decides again", async () => {
    expect(await podsAfterBlindChanges()).toBe(2);
  });

  it("would make too many if it did not (the test above can fail)", async () => {
    const blind = vi.spyOn(OwnWrites.prototype, "seen").mockReturnValue(true);
    try {
      expect(await podsAfterBlindChanges()).toBeGreaterThan(2);
    } finally {
      blind.mockRestore();
    }
  });

  it("belongs to one trace, from the request to the pod", async () => {
    const world = await started();
    const cause = world.telemetry.tracer.start("kubectl apply").context;
    await world.client.create(resources.replicaSets, replicaSet(1), { trace: cause });
    await world.clock.advance(20);
    const mine = world.telemetry.spans
      .filter(({ context }) => context.traceId === cause.traceId)
      .map(({ name }) => name);
    expect(mine).toEqual(expect.arrayContaining(["replicaset queue", "create pods", "replicaset reconcile"]));
  });

  it("never has more pods than asked for, whatever the bus does, and converges", async () => {
    const step = fc.record({
      replicas: fc.nat(6),
      waitMs: fc.constantFrom(5, 50, 500),
      fate: fc.constantFrom("pass", "lose"),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 6 }), async (steps) => {
        const world = await started(JSON.stringify(steps));
        await world.client.create(resources.replicaSets, replicaSet(0));
        let most = 0;
        for (const { replicas, waitMs, fate } of steps) {
          // A cache may be behind: no more than were ever asked for.
          most = Math.max(most, replicas);
          world.server.onPublish = () => {
            expect(world.pods().filter(({ metadata }) => !metadata.deletionTimestamp).length).toBeLessThanOrEqual(most);
            return fate === "pass";
          };
          const patch = { type: "application/merge-patch+json", body: { spec: { replicas } } } as const;
          await world.client.patch(resources.replicaSets, "default", "web", patch);
          await world.pass(waitMs);
        }
        world.server.onPublish = undefined;
        await world.pass(5_000);
        expect(world.pods()).toHaveLength(steps.at(-1)?.replicas ?? 0);
        expect(world.failures).toEqual([]);
        await world.close();
      }),
      { numRuns: 25 },
    );
  });
});

describe("a ReplicaSet's plan", () => {
  const owned = {
    ownerReferences: [{ apiVersion: "apps/v1", kind: "ReplicaSet", name: "web", uid: "rs", controller: true }],
  };
  const set = (replicas: number): ReplicaSet => ({
    ...replicaSet(replicas),
    metadata: { name: "web", namespace: "default", uid: "rs" },
  });

  it("leaves alone what belongs to others, and pods that have ended", () => {
    const others = {
      ownerReferences: [{ apiVersion: "apps/v1", kind: "ReplicaSet", name: "x", uid: "x", controller: true }],
    };
    const pods = [pod("a", { metadata: others }), pod("b", { phase: "Failed" })];
    expect(plan(set(0), pods, [], 0).actions).toEqual([]);
  });

  it("does nothing about numbers while it is being deleted", () => {
    const leaving = { ...set(3), metadata: { ...set(3).metadata, deletionTimestamp: "2026-01-01T00:00:00Z" } };
    expect(plan(leaving, [pod("a", { metadata: owned })], [], 0).actions).toEqual([]);
  });

  it("deletes by upstream's order", () => {
    const now = Date.parse("2026-01-02T00:00:00Z");
    const cost = { annotations: { "controller.kubernetes.io/pod-deletion-cost": "-5" } };
    const ranked = [
      { pod: pod("steady", { node: "n1" }), neighbours: 1 },
      { pod: pod("crowded", { node: "n2" }), neighbours: 2 },
      { pod: pod("cheap", { node: "n1", metadata: cost }), neighbours: 1 },
      { pod: pod("unready", { node: "n1", ready: false }), neighbours: 1 },
      { pod: pod("pending", { node: "n1", phase: "Pending" }), neighbours: 1 },
      { pod: pod("unassigned"), neighbours: 0 },
    ];
    expect(inDeletionOrder(ranked, now).map(({ metadata }) => metadata.name)).toEqual([
      "unassigned",
      "pending",
      "unready",
      "cheap",
      "crowded",
      "steady",
    ]);
  });
});
