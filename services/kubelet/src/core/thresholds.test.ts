import { expect, test } from "vitest";
import { HARD_THRESHOLDS, type Shortage, type Threshold } from "./eviction.ts";
import { graceFor, keptFree, parseThresholds, thresholdsMet } from "./thresholds.ts";

const MIB = 2 ** 20;

test("thresholds are read as upstream's kubelet reads them; without any its defaults hold", () => {
  expect(parseThresholds([], [], [])).toEqual(HARD_THRESHOLDS);
  expect(
    parseThresholds(
      ["nodefs.available<10%", "memory.available<200Mi"],
      ["memory.available<1Gi"],
      ["memory.available=1m30s"],
    ),
  ).toEqual([
    { signal: "memory.available", least: { bytes: 200 * MIB } },
    { signal: "memory.available", least: { bytes: 1024 * MIB }, graceMs: 90_000 },
    { signal: "nodefs.available", least: { share: 0.1 } },
  ]);
});

test.each([
  [["memory<1Gi"], [], [], '"memory<1Gi" is not a threshold'],
  [["memory.available<much"], [], [], '"memory.available<much" is not a threshold'],
  [[], ["memory.available<1Gi"], [], "grace period must be specified for the soft eviction threshold memory.available"],
  [[], [], ["memory.available=soon"], '"memory.available=soon" is not a signal and a duration'],
])("what is not understood is quoted: %j %j %j", (hard, soft, grace, message) => {
  expect(() => parseThresholds(hard, soft, grace)).toThrow(message);
});

test("a soft threshold counts once it was crossed for its grace without a break", () => {
  const soft: Threshold = { signal: "memory.available", least: { bytes: 10 }, graceMs: 60_000 };
  const hard: Threshold = { signal: "nodefs.available", least: { bytes: 10 } };
  const short = (threshold: Threshold): Shortage => ({ threshold, available: 1, least: 10 });
  const since = new Map<Threshold, number>();
  const met = (nowMs: number, ...crossed: Threshold[]): Threshold[] =>
    thresholdsMet(crossed.map(short), since, nowMs).map((it) => it.threshold);
  expect(met(0, soft, hard)).toEqual([hard]);
  expect(met(59_999, soft)).toEqual([]);
  expect(met(60_000, soft)).toEqual([soft]);
  expect(met(70_000)).toEqual([]);
  expect(met(80_000, soft)).toEqual([]);
  expect(met(140_000, soft)).toEqual([soft]);
  expect([graceFor(short(hard), 30, 60), graceFor(short(soft), 30, 60), graceFor(short(soft), 30, 10)]).toEqual([
    0, 30, 10,
  ]);
});

test("what hard thresholds keep free is not promised to pods; soft ones promise nothing away", () => {
  const machine = { memoryBytes: 1_000 * MIB, diskBytes: 1_000 * MIB };
  expect(keptFree(HARD_THRESHOLDS, machine)).toEqual({ memoryBytes: 100 * MIB, diskBytes: 100 * MIB });
  const own = parseThresholds(["memory.available<5%"], ["nodefs.available<20%"], ["nodefs.available=1s"]);
  expect(keptFree(own, machine)).toEqual({ memoryBytes: 50 * MIB, diskBytes: 0 });
});
