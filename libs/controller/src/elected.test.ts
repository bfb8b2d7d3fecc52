import { memoryBus } from "@pilothouse/bus/memory";
import { manualClock } from "@pilothouse/clock/manual";
import { seededIds, seededRandom } from "@pilothouse/clock/seeded";
import { Scope } from "@pilothouse/lifecycle";
import { memoryStore } from "@pilothouse/store/memory";
import { memoryTelemetry } from "@pilothouse/telemetry/memory";
import { expect, test } from "vitest";
import { electedLife } from "./elected.ts";

test("work begins when the feeds have reached the election; work that fails ends its leadership, and the process leads again", async () => {
  const clock = manualClock();
  const random = seededRandom("elected");
  const telemetry = memoryTelemetry({ clock, random });
  const scope = new Scope("test", (task, error) => expect.fail(`${task}: ${String(error)}`));
  const store = memoryStore({ clock });
  const ports = {
    clock,
    random,
    ids: seededIds(random),
    store,
    bus: memoryBus(),
    telemetry,
    scope,
    identity: "one",
    healthAddress: undefined,
  };
  const life = electedLife(ports, "kube-scheduler");
  const reached: number[] = [];
  const fences: (string | undefined)[] = [];
  life.run([{ waitForRevision: async (revision) => void reached.push(revision) }], async (_scope, signal) => {
    fences.push(life.fence());
    if (fences.length === 1) throw new Error("a bug");
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
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
