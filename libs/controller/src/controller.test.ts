import type { Pod } from "@pilothouse/api/types/core-v1";
import { createApiClient } from "@pilothouse/client";
import { memoryApiserver } from "@pilothouse/client/memory";
import { manualClock } from "@pilothouse/clock/manual";
import { seededIds, seededRandom } from "@pilothouse/clock/seeded";
import { leadershipLost } from "@pilothouse/errors";
import { Scope } from "@pilothouse/lifecycle";
import { memoryTelemetry } from "@pilothouse/telemetry/memory";
import { WorkQueue } from "@pilothouse/workqueue";
import { afterEach, describe, expect, it } from "vitest";
import { done, eventRecorder, inParallel, OwnWrites, requeueAfter, retry, runController, slowStart } from "./index.ts";
import type { ControllerOptions, Outcome } from "./index.ts";

const scopes: Scope[] = [];
afterEach(async () => {
  for (const scope of scopes.splice(0)) await scope.close();
});

function setUp() {
  const clock = manualClock(0);
  const random = seededRandom("controller");
  const telemetry = memoryTelemetry({ clock, random });
  const failures: unknown[] = [];
  const scope = new Scope("test", (task, error) => failures.push(task, error));
  scopes.push(scope);
  const queue = new WorkQueue({ name: "test", clock, tracer: telemetry.tracer });
  const server = memoryApiserver({ clock, ids: seededIds(random) });
  const client = createApiClient({ transports: [server.transport], userAgent: "test" });
  return { clock, random, telemetry, failures, scope, queue, server, client };
}

type SetUp = ReturnType<typeof setUp>;

function run({ clock, telemetry, scope, queue }: SetUp, reconcile: ControllerOptions["reconcile"], more = {}): void {
  runController({ name: "test", queue, workers: 2, reconcile, clock, telemetry, scope, ...more });
}

describe("a controller", () => {
  it("retries with back-off what fails or asks for it, and waits as told", async () => {
    const world = setUp();
    const outcomes: (Outcome | Error)[] = [new Error("boom"), retry("not yet"), requeueAfter(500, "later"), done];
    const times: number[] = [];
    run(world, async () => {
      times.push(world.clock.monotonicMs());
      const outcome = outcomes.shift() as Outcome | Error;
      if (outcome instanceof Error) throw outcome;
      return outcome;
    });
    world.queue.add("a");
    await world.clock.advance(1_000);
    expect(times).toEqual([0, 5, 15, 515]);
    expect(world.queue.retries("a")).toBe(0);
    expect(world.telemetry.logs.map(({ message }) => message)).toEqual(["reconcile failed"]);
  });

  it("makes each reconcile a span under what caused it", async () => {
    const world = setUp();
    run(world, async (_key, { trace }) => {
      world.telemetry.tracer.start("write", { parent: trace }).end();
      return done;
    });
    const cause = world.telemetry.tracer.start("request").context;
    world.queue.add("a", cause);
    await world.clock.advance(1);
    const { spans } = world.telemetry;
    expect(spans.map(({ name }) => name)).toEqual(["test queue", "write", "test reconcile"]);
    expect(spans.every(({ context }) => context.traceId === cause.traceId)).toBe(true);
    expect(spans[2]?.parent).toEqual(spans[0]?.context);
  });

  it("tells when it leads no more, and does not try again", async () => {
    const world = setUp();
    let lost = 0;
    let tries = 0;
    const reconcile = async (): Promise<Outcome> => {
      tries++;
      throw leadershipLost("controllers");
    };
    run(world, reconcile, { onLeadershipLost: () => lost++ });
    world.queue.add("a");
    await world.clock.advance(10_000);
    expect([lost, tries]).toEqual([1, 1]);
  });

  it("ends with its scope, waiting for what is under way", async () => {
    const world = setUp();
    let finish = (): void => {};
    let finished = false;
    run(world, async () => {
      await new Promise<void>((resolve) => (finish = resolve));
      finished = true;
      return done;
    });
    world.queue.add("a");
    await world.clock.advance(1);
    const closed = world.scope.close();
    await world.clock.advance(1);
    finish();
    await closed;
    expect(finished).toBe(true);
  });
});

describe("own writes", () => {
  const pod: Pod = {
    metadata: { name: "a", namespace: "x", uid: "u1", resourceVersion: "7" },
    spec: { containers: [] },
  };

  it("are seen when the informer has reached their revision", () => {
    let revision = 6;
    const informer = { get: () => undefined, revision: () => revision };
    const writes = new OwnWrites();
    expect(writes.seen("rs")).toBe(true);
    writes.wrote("rs", informer, pod);
    expect([writes.seen("rs"), writes.seen("other")]).toEqual([false, true]);
    revision = 7;
    expect(writes.seen("rs")).toBe(true);
  });

  it("that delete are seen when the informer shows the object going, gone or replaced", () => {
    const shown: (Pod | undefined)[] = [
      { ...pod, metadata: { ...pod.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" } },
      undefined,
      { ...pod, metadata: { ...pod.metadata, uid: "u2" } },
    ];
    for (const object of shown) {
      let cached: Pod | undefined = pod;
      const writes = new OwnWrites();
      writes.deleted("rs", { get: () => cached, revision: () => 0 }, pod);
      expect(writes.seen("rs")).toBe(false);
      cached = object;
      expect(writes.seen("rs")).toBe(true);
    }
  });
});

describe("a controller that reads its own writes", () => {
  const made: Pod = {
    metadata: { name: "a", namespace: "n", uid: "u1", resourceVersion: "7" },
    spec: { containers: [] },
  };

  it("decides again only when the informer shows them, and looks once more then, though no news tells of them", async () => {
    const world = setUp();
    const ownWrites = new OwnWrites();
    let revision = 6;
    const times: number[] = [];
    const reconcile = async (key: string): Promise<Outcome> => {
      times.push(world.clock.monotonicMs());
      if (times.length === 1) ownWrites.wrote(key, { get: () => undefined, revision: () => revision }, made);
      return done;
    };
    run(world, reconcile, { ownWrites });
    world.queue.add("a");
    await world.clock.advance(500);
    world.queue.add("a");
    await world.clock.advance(1_000);
    expect(times).toEqual([0]);
    // Made and taken back before the informer saw it: it has nothing to tell.
    revision = 9;
    await world.clock.advance(5_000);
    expect(times).toEqual([0, 2_000]);
    expect(world.queue.idle).toBe(true);
  });
});

describe("carrying out", () => {
  it("keeps to its bound, tries all, and then fails with the first failure", async () => {
    let now = 0;
    let most = 0;
    const tried: number[] = [];
    const work = inParallel([1, 2, 3, 4, 5], 2, async (n) => {
      most = Math.max(most, ++now);
      tried.push(n);
      await Promise.resolve();
      now--;
      if (n === 2) throw new Error("two");
    });
    await expect(work).rejects.toThrow("two");
    expect([tried, most]).toEqual([[1, 2, 3, 4, 5], 2]);
  });

  it("starts slowly and stops at the first batch that fails", async () => {
    const tried: number[] = [];
    const act = async (n: number): Promise<void> => {
      tried.push(n);
      if (n === 3) throw new Error("quota");
    };
    await expect(slowStart([1, 2, 3, 4, 5, 6, 7, 8], act)).rejects.toThrow("quota");
    expect(tried).toEqual([1, 2, 3]);
  });

  it("starts no batch that is not wanted any more", async () => {
    const tried: number[] = [];
    const act = async (n: number): Promise<void> => void tried.push(n);
    await slowStart([1, 2, 3, 4, 5, 6, 7, 8], act, () => !tried.includes(3));
    expect(tried).toEqual([1, 2, 3]);
  });
});

describe("events", () => {
  const about = { apiVersion: "v1", kind: "Pod", object: { metadata: { name: "a", namespace: "x", uid: "u1" } } };

  it("are written once and then counted", async () => {
    const { clock, client, scope, telemetry, server } = setUp();
    const events = eventRecorder({ client, clock, scope, telemetry, component: "test" });
    for (let i = 0; i < 3; i++) events.record(about, "Warning", "FailedCreate", "quota");
    events.record(about, "Normal", "Created", "made it");
    await clock.advance(10);
    expect(server.list("events")).toHaveLength(2);
    expect(server.list("events")[0]).toMatchObject({ reason: "FailedCreate", count: 3, source: { component: "test" } });
  });

  it("that differ only in their message are combined, and too many are dropped and counted", async () => {
    const { clock, client, scope, telemetry, server } = setUp();
    const events = eventRecorder({ client, clock, scope, telemetry, component: "test" });
    for (let i = 0; i < 30; i++) events.record(about, "Warning", "FailedMount", `try ${i}`);
    await clock.advance(10);
    const messages = server.list("events").map((event) => String(event["message"]));
    expect(messages).toHaveLength(11);
    expect(messages[10]).toBe("(combined from similar events): try 24");
    expect(server.list("events")[10]?.["count"]).toBe(15);
    expect(telemetry.metric("events_dropped_total", { component: "test" })).toBe(5);
  });

  it("never disturb when they cannot be written", async () => {
    const { clock, client, scope, telemetry, server, failures } = setUp();
    server.intercept = () => {
      throw new Error("down");
    };
    const events = eventRecorder({ client, clock, scope, telemetry, component: "test" });
    events.record(about, "Normal", "Created", "made it");
    await clock.advance(10);
    expect(failures).toEqual([]);
    expect(telemetry.metric("events_dropped_total", { component: "test" })).toBe(1);
  });
});
