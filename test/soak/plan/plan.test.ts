import { seededRandom } from "@pilothouse/clock/seeded";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { FAULTS } from "../../../deploy/lab/faults.ts";
import { FAULT_KINDS, type SoakMachine } from "./fault-kinds.ts";
import {
  describePlanned,
  planSoak,
  QUIET_BEGINNING_MS,
  QUIET_END_MS,
  REST_MS,
  toleratedMasters,
  type PlannedFault,
  type PlanRequest,
} from "./plan.ts";

const machines: readonly SoakMachine[] = [
  ...[1, 2, 3].map((number) => ({ name: `master-${number}`, role: "master" }) as const),
  ...[1, 2].map((number) => ({ name: `worker-${number}`, role: "worker" }) as const),
];
const request: PlanRequest = { machines, lastsMs: 3_600_000, faultEveryMs: 30_000 };
const plan = (seed: string, more: Partial<PlanRequest> = {}): PlannedFault[] =>
  planSoak(seededRandom(seed), { ...request, ...more });

/** Machines that are hurt, or rest, when a fault begins; that one among them. */
function hurtWhen(all: readonly PlannedFault[], begins: PlannedFault): string[] {
  return all
    .filter(({ atMs, forMs }) => atMs <= begins.atMs && begins.atMs < atMs + forMs + REST_MS)
    .map(({ machine }) => machine);
}

test("a seed draws the same faults again, another seed others", () => {
  expect(plan("1")).toEqual(plan("1"));
  expect(plan("1")).not.toEqual(plan("2"));
});

test("no plan breaks quorum, or hurts a machine twice at a time, or ends in trouble", () => {
  fc.assert(
    fc.property(
      fc.string(),
      fc.constantFrom(1, 3, 5),
      fc.integer({ min: 1_000, max: 60_000 }),
      (seed, masters, every) => {
        const some: readonly SoakMachine[] = [
          ...Array.from({ length: masters }, (_, i) => ({ name: `master-${i}`, role: "master" }) as const),
          ...machines.filter(({ role }) => role === "worker"),
        ];
        const faults = plan(seed, { machines: some, faultEveryMs: every, lastsMs: 900_000 });
        for (const fault of faults) {
          const hurt = hurtWhen(faults, fault);
          expect(new Set(hurt).size).toBe(hurt.length);
          expect(hurt.filter((name) => name.startsWith("master")).length).toBeLessThanOrEqual(toleratedMasters(some));
          expect(fault.atMs).toBeGreaterThanOrEqual(QUIET_BEGINNING_MS);
          expect(fault.atMs + fault.forMs).toBeLessThanOrEqual(900_000 - QUIET_END_MS);
        }
      },
    ),
    { numRuns: 50 },
  );
});

test("quorum is broken where that is asked for", () => {
  const faults = plan("1", { breaksQuorum: true, faultEveryMs: 5_000 });
  const worst = Math.max(
    ...faults.map((it) => hurtWhen(faults, it).filter((name) => name.startsWith("master")).length),
  );
  expect(worst).toBeGreaterThan(toleratedMasters(machines));
});

test("an hour sees every kind of fault, and masters and workers hurt at the same time", () => {
  const faults = ["1", "2", "3"].flatMap((seed) => plan(seed));
  expect(new Set(faults.map(({ fault }) => fault))).toEqual(new Set(FAULT_KINDS.map(({ fault }) => fault)));
  const first = plan("1");
  expect(first.some((fault) => new Set(hurtWhen(first, fault).map((name) => name.split("-")[0])).size === 2)).toBe(
    true,
  );
});

test("each kind is a fault of the lab, and lasts only if it can be undone", () => {
  for (const kind of FAULT_KINDS) {
    const row = FAULTS.find(({ name }) => name === kind.fault);
    expect(row, kind.fault).toBeDefined();
    expect(row?.undo === undefined, kind.fault).toBe(kind.mostMs === 0);
  }
});

test("a fault is told in a line", () => {
  const fault = { atMs: 61_200, forMs: 9_000, fault: "loss", machine: "worker-1", options: { percent: 7 } };
  expect(describePlanned(fault)).toBe("61 s: loss, worker-1, percent 7 for 9 s");
});
