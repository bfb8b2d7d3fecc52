import { seededRandom } from "@pilothouse/clock/seeded";
import { expect, test } from "vitest";
import { describeFault, planFaults } from "./fault-plan.ts";

const plan = planFaults(seededRandom("7"), 120_000);

test("a seed draws the same faults again, another seed others", () => {
  expect(planFaults(seededRandom("7"), 120_000)).toEqual(plan);
  expect(planFaults(seededRandom("8"), 120_000)).not.toEqual(plan);
});

test("the faults of a lane never overlap, and all are over in time", () => {
  for (const events of Map.groupBy(plan, ({ lane }) => lane).values()) {
    let overMs = 0;
    for (const { atMs, forMs } of events) {
      expect(atMs).toBeGreaterThan(overMs);
      overMs = atMs + forMs;
    }
    expect(overMs).toBeLessThanOrEqual(120_000);
  }
});

test("every kind of harm befalls every kind of thing", () => {
  const kinds = new Set(plan.map(({ fault }) => `${fault.harm} ${fault.on === "edge" ? fault.edge : fault.on}`));
  for (const kind of [
    "cut etcd",
    "halfOpen door",
    "freeze etcd",
    "loseAnswers etcd",
    "refuse nats",
    "delay door",
    "trickle etcd",
  ])
    expect(kinds).toContain(kind);
  for (const kind of ["kill etcd", "pause etcd", "kill apiserver", "pause apiserver", "kill nats", "pause nats"])
    expect(kinds).toContain(kind);
  expect(describeFault(plan[0] as (typeof plan)[number])).toMatch(/^\d+\.\d s: \w+ .* for \d+\.\d s$/);
});
