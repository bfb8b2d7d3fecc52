import { expect, test } from "vitest";
import { containersOf, figuresOf, longestGapMs, type Moment, type Seen } from "./observed.ts";

const NOTHING: Seen = {
  lastedMs: 10_000,
  moments: [],
  samples: [],
  kept: new Set(),
  before: new Map(),
  after: new Map(),
};
const wrote = (atMs: number, name: string, revision: number): Moment => ({
  what: "write",
  atMs,
  ok: true,
  name,
  revision,
});

test("the longest gap counts from the beginning and to the end", () => {
  expect(longestGapMs([1_000, 1_500], 10_000)).toBe(8_500);
  expect(longestGapMs([4_000, 9_000], 10_000)).toBe(5_000);
  expect(longestGapMs([], 10_000)).toBe(10_000);
});

test("an acknowledged write that is not there is lost, and a revision that is not above the last one runs backwards", () => {
  const moments = [
    wrote(1, "a", 7),
    wrote(2, "b", 8),
    { what: "write", atMs: 3, ok: false, why: "503" } as const,
    wrote(4, "c", 8),
  ];
  const { writes } = figuresOf({ ...NOTHING, moments, kept: new Set(["a", "c", "unclear"]) });
  expect(writes).toMatchObject({ acknowledged: 3, failed: 1, lost: 1, backwards: 1, reasons: ["503"] });
});

test("a container that was started anew has ended and begun; machines that were not seen twice do not count", () => {
  const told = `TASK    PID    STATUS\nweb     17     RUNNING\npause   9      RUNNING\nold     3      STOPPED\n`;
  const before = new Map([
    ["worker-1", containersOf(told)],
    ["worker-2", new Set(["web 4"])],
  ]);
  const after = new Map([["worker-1", containersOf(told.replace("17 ", "18 "))]]);
  expect(figuresOf({ ...NOTHING, before, after }).containers).toEqual({ before: 2, ended: 1, begun: 1 });
});
