/**
 * Wall clocks that jump an hour ahead and an hour back under running processes, one after the other: every leader among them. Leases,
 * timeouts and elections count by clocks that do not jump, so that users notice nothing.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { sleep } from "@pilothouse/clock";
import { systemClock } from "@pilothouse/clock/system";
import { FAULTS } from "../../deploy/lab/faults.ts";
import { requireLab, thisLab } from "../../deploy/lab/lab.ts";
import type { LabMachine } from "../../deploy/lab/layout.ts";
import { until } from "../harness/index.ts";
import { answerOf } from "../soak/machines/ssh.ts";
import { tell } from "./observed.ts";
import { observe } from "./observer.ts";
import { ensureProvisioned, kubectl } from "./provisioned.ts";

const PATIENCE_MS = 1_800_000;
const PROCESSES = { master: ["etcd", "nats", "apiserver", "scheduler", "controller-manager"], worker: ["kubelet"] };
const JUMP_S = 3_600;
const STAY_MS = 6_000;

beforeAll(ensureProvisioned, PATIENCE_MS);
afterAll(async () => {
  for (const machine of requireLab(thisLab()).machines) {
    await FAULTS.find(({ name }) => name === "clock")?.undo?.(requireLab(thisLab()), machine);
    await untilWell();
  }
}, PATIENCE_MS);

test("clocks jump an hour ahead and back, and nobody notices", { timeout: PATIENCE_MS }, async () => {
  const lab = requireLab(thisLab());
  const all = lab.machines.flatMap((machine) => PROCESSES[machine.role].map((process) => ({ machine, process })));
  // From here on its clock is one that can jump.
  for (const { machine, process } of all) {
    await offset(machine, process, 0);
    await untilWell();
  }
  const readySince = await readiness();
  const end = await observe(lab, systemClock);
  for (const { machine, process } of all)
    for (const offsetS of [JUMP_S, 0]) {
      await offset(machine, process, offsetS);
      await sleep(systemClock, STAY_MS);
      if (process === "apiserver") expect(Math.round((await aheadS(machine)) / 60)).toBe(offsetS / 60);
    }
  const figures = await end();
  process.stdout.write(`${tell(figures)}\n`);
  expect(figures.writes).toMatchObject({ lost: 0, backwards: 0 });
  expect(figures.containers.ended).toBe(0);
  expect(figures.writes.longestGapMs).toBeLessThan(4_000);
  expect(figures.controllersIdleMs).toBeLessThan(10_000);
  expect(figures.schedulerIdleMs).toBeLessThan(10_000);
  expect(await readiness()).toBe(readySince);
});

async function offset(machine: LabMachine, process: string, offsetS: number): Promise<void> {
  await FAULTS.find(({ name }) => name === "clock")?.apply(requireLab(thisLab()), machine, { process, offsetS });
}

/** How far ahead an apiserver dates what it makes. */
async function aheadS({ address }: LabMachine): Promise<number> {
  const made = ["create", "configmap", "when", "--dry-run=server", "-o", "jsonpath={.metadata.creationTimestamp}"];
  return (Date.parse(await kubectl(["--server", `https://${address}:6443`, ...made])) - systemClock.now()) / 1_000;
}

/** Each node, and since when it is Ready. */
function readiness(): Promise<string> {
  const conditions = `{range .status.conditions[?(@.type=="Ready")]}{.status} {.lastTransitionTime}{end}`;
  return kubectl(["get", "nodes", "-o", `jsonpath={range .items[*]}{.metadata.name} ${conditions}{"\\n"}{end}`]);
}

/** Every master well, every node Ready. */
async function untilWell(): Promise<void> {
  const { layout, machines } = requireLab(thisLab());
  await sleep(systemClock, 1_000);
  await until(
    "all is well",
    async () => {
      const told = answerOf(layout, machines[0] as LabMachine, "pilothouse-machine masters-well");
      const isWell = await told.then(
        () => true,
        () => false,
      );
      return isWell && !/ (False|Unknown) /.test(await readiness().catch(() => " Unknown "));
    },
    120_000,
  );
}
