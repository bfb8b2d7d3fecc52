import { memoryBus } from "@pilothouse/bus/memory";
import { manualClock } from "@pilothouse/clock/manual";
import { seededIds, seededRandom } from "@pilothouse/clock/seeded";
import { Scope } from "@pilothouse/lifecycle";
import { memoryStore } from "@pilothouse/store/memory";
import { memoryTelemetry } from "@pilothouse/telemetry/memory";
import { raiseRvBase } from "@pilothouse/store/rv-base";
import { expect, test } from "vitest";
import { electedLife } from "./elected.ts";

function setUp() {
  const clock = manualClock();
  const random = seededRandom("elected");
  const scope = new Scope("test", (task, error) => expect.fail(`${task}: ${String(error)}`));
  const ports = {
    clock,
    random,
    ids: seededIds(random),
    store: memoryStore({ clock }),
    bus: memoryBus(),
    telemetry: memoryTelemetry({ clock, random }),
    scope,
    identity: "one",
    healthAddress: undefined,
  };
  return { clock, scope, ports };
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

test("after a restore feeds are waited for in resourceVersions, which are ahead of the election's own revision (C8, C10)", async () => {
  const { clock, scope, ports } = setUp();
  const base = await raiseRvBase(ports.store);
  const life = electedLife(ports, "kube-scheduler");
  const asked: number[] = [];
  let reach = (): void => undefined;
  const feed = {
    waitForRevision: (revision: number): Promise<void> => {
      asked.push(revision);
      return new Promise((resolve) => (reach = resolve));
    },
  };
  let isActing = false;
  life.run([feed], async (_scope, signal) => {
    isActing = true;
    await untilAborted(signal);
  });
  await clock.advance(1_000);
  const createRevision = Number(life.fence()?.split("/")[1]);
  expect([asked, isActing]).toEqual([[base + createRevision], false]);
  reach();
  await clock.advance(0);
  expect(isActing).toBe(true);
  const closed = scope.close();
  await clock.advance(5_000);
  await closed;
});

test("work begins when the feeds have reached the election; work that fails ends its leadership, and the process leads again", async () => {
  const { clock, scope, ports } = setUp();
  const life = electedLife(ports, "kube-scheduler");
  const reached: number[] = [];
  const fences: (string | undefined)[] = [];
  life.run([{ waitForRevision: async (revision) => void reached.push(revision) }], async (_scope, signal) => {
    fences.push(life.fence());
    if (fences.length === 1) throw new Error("a bug");
    await untilAborted(signal);
  });
  await clock.advance(30_000);
  expect(fences).toEqual(reached.map((revision) => `kube-scheduler/${revision}`));
  expect(fences).toHaveLength(2);
  expect(new Set(fences).size).toBe(2);
  expect(life.leading()).toBe(true);
  const closed = scope.close();
  await clock.advance(5_000);
  await closed;
  expect(life.leading()).toBe(false);
});
