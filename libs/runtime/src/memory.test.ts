import { manualClock } from "@pilothouse/clock/manual";
import { systemClock, systemIds } from "@pilothouse/clock/system";
import { expect, test } from "vitest";
import { runtimeConformance } from "./conformance.ts";
import { memoryRuntime } from "./memory.ts";

runtimeConformance("memory", async () => {
  const runtime = memoryRuntime({ clock: systemClock, ids: systemIds, images: { box: {} } });
  await runtime.pullImage("box");
  return {
    runtime,
    image: "box",
    logDirectory: "/logs",
    cgroupParent: "/test",
    async until(what, holds) {
      for (let turns = 0; turns < 100 && !(await holds()); turns++) await systemClock.turn();
      expect(await holds(), what).toBe(true);
    },
    stop: () => runtime.close(),
  };
});

test("an image that does not exist cannot be pulled, and says so", async () => {
  const runtime = memoryRuntime({ clock: manualClock(), ids: systemIds, images: {} });
  await expect(runtime.pullImage("nothing")).rejects.toThrow('failed to resolve reference "nothing": not found');
});
