import { expect, test } from "vitest";
import { clockConformance, idsConformance } from "./conformance.ts";
import { manualClock } from "./manual.ts";
import { seededIds, seededRandom } from "./seeded.ts";
import { systemClock, systemIds } from "./system.ts";

clockConformance("manual", () => {
  const clock = manualClock();
  return { clock, advance: (ms) => clock.advance(ms) };
});

clockConformance("system", () => ({
  clock: systemClock,
  advance: (ms) => new Promise((resolve) => void systemClock.setTimer(ms + 1, resolve)),
}));

idsConformance("system", () => systemIds);
idsConformance("seeded", () => seededIds(seededRandom("ids")));

test("a seed gives the same numbers again, and a fork depends on its name only", () => {
  const draw = (random: ReturnType<typeof seededRandom>): number[] => Array.from({ length: 5 }, () => random.next());
  expect(draw(seededRandom("a"))).toEqual(draw(seededRandom("a")));
  expect(draw(seededRandom("a"))).not.toEqual(draw(seededRandom("b")));
  const parent = seededRandom("a");
  parent.next();
  expect(draw(parent.fork("x"))).toEqual(draw(seededRandom("a").fork("x")));
  for (const number of draw(parent)) expect(number >= 0 && number < 1).toBe(true);
});
