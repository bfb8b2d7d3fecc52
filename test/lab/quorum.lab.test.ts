/** etcd without a quorum, and an etcd without a byte left on its disk: what users see meanwhile, and how soon all goes on. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { sleep } from "@pilothouse/clock";
import { systemClock } from "@pilothouse/clock/system";
import { FAULTS } from "../../deploy/lab/faults.ts";
import { findMachine, requireLab, thisLab } from "../../deploy/lab/lab.ts";
import { until } from "../harness/index.ts";
import { tell, type Figures } from "./observed.ts";
import { observe } from "./observer.ts";
import { ensureProvisioned, kubectl } from "./provisioned.ts";

const PATIENCE_MS = 900_000;
const CUT_OFF_MS = 20_000;
const FULL_MS = 90_000;
/** Beyond the fault's own time: an election of etcd, one of ours, and what a busy machine adds. */
const BACK_WITHIN_MS = 15_000;

beforeAll(ensureProvisioned, 1_800_000);
afterAll(async () => {
  for (const machine of ["master-1", "master-2", "master-3"])
    for (const name of ["partition", "full-disk"]) await undo(name, machine);
}, PATIENCE_MS);

test("after a lost quorum writes and controllers go on within seconds", { timeout: PATIENCE_MS }, async () => {
  const figures = await observed(async () => {
    for (const machine of ["master-1", "master-2"]) await apply("partition", machine);
    await sleep(systemClock, CUT_OFF_MS);
    for (const machine of ["master-1", "master-2"]) await undo("partition", machine);
  });
  expect(figures.writes.longestGapMs).toBeGreaterThan(CUT_OFF_MS * 0.7);
  for (const idleMs of [figures.writes.longestGapMs, figures.controllersIdleMs, figures.schedulerIdleMs])
    expect(idleMs).toBeLessThan(CUT_OFF_MS + BACK_WITHIN_MS);
});

test("a master's disk is full for a minute and a half, and writes go on", { timeout: PATIENCE_MS }, async () => {
  const figures = await observed(async () => {
    await apply("full-disk", "master-1");
    await sleep(systemClock, FULL_MS);
    await undo("full-disk", "master-1");
  });
  expect(figures.writes.longestGapMs).toBeLessThan(BACK_WITHIN_MS);
});

async function observed(work: () => Promise<void>): Promise<Figures> {
  const end = await observe(requireLab(thisLab()), systemClock);
  await sleep(systemClock, 5_000);
  await work();
  await sleep(systemClock, 25_000);
  const figures = await end();
  process.stdout.write(`${tell(figures)}\n`);
  expect(figures.writes).toMatchObject({ lost: 0, backwards: 0 });
  expect(figures.containers.ended).toBe(0);
  await until(
    "all nodes are Ready",
    async () => !/ NotReady/.test(await kubectl(["get", "nodes"]).catch(() => " NotReady")),
    60_000,
  );
  return figures;
}

async function apply(name: string, machine: string): Promise<void> {
  const lab = requireLab(thisLab());
  await FAULTS.find((row) => row.name === name)?.apply(lab, findMachine(lab, machine), {});
}

async function undo(name: string, machine: string): Promise<void> {
  const lab = requireLab(thisLab());
  await FAULTS.find((row) => row.name === name)?.undo?.(lab, findMachine(lab, machine));
}
