/** Faults of single processes, on a worker of a provisioned lab: what they do to the process, and that each is undone. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { FAULTS, lastingFaults, type FaultOptions } from "../../deploy/lab/faults.ts";
import { findMachine, requireLab, thisLab } from "../../deploy/lab/lab.ts";
import { answerOf } from "../soak/machines/ssh.ts";
import { until } from "../harness/index.ts";
import { ensureProvisioned } from "./provisioned.ts";

const MACHINE = "worker-1";
/** The wall clock as a process sees it is asked of dns: it can be started anew at any time. */
const PROCESS = "dns";

beforeAll(ensureProvisioned, 1_800_000);
afterAll(async () => {
  for (const name of ["stop", "clock"]) await undo(name);
});

test("a killed process is started again, as another one", async () => {
  const before = await pidOf(PROCESS);
  await apply("kill", { process: PROCESS });
  await until("it runs again", async () => ![before, 0].includes(await pidOf(PROCESS)), 20_000);
});

test("a stopped process stands still until that is undone", async () => {
  const before = await pidOf(PROCESS);
  await apply("stop", { process: PROCESS });
  expect(await stateOf(before)).toBe("T");
  expect(lasting()).toContain(`stop ${MACHINE}`);
  await undo("stop");
  expect(await stateOf(before)).not.toBe("T");
  expect(lasting()).not.toContain(`stop ${MACHINE}`);
  expect(await pidOf(PROCESS)).toBe(before);
});

test("a process' clock is off until that is undone, or the lab says why it cannot be", async () => {
  const before = await pidOf(PROCESS);
  const refusal = await apply("clock", { process: PROCESS, offsetS: 3_600 }).catch((error: unknown) => String(error));
  if (refusal !== undefined) {
    expect(refusal).toMatch(/^Error: worker-1 has no libfaketime[^\n]*$/);
    expect(lasting()).not.toContain(`clock ${MACHINE}`);
    return;
  }
  await until("it runs anew", async () => ![before, 0].includes(await pidOf(PROCESS)), 30_000);
  expect(lasting()).toContain(`clock ${MACHINE}`);
  expect(await asked(`cat /etc/lab-clock-${PROCESS}`)).toBe("+3600s");
  expect(await asked(`grep -c libfaketime /proc/${await pidOf(PROCESS)}/maps`)).not.toBe("0");
  const late = await pidOf(PROCESS);
  await apply("clock", { process: PROCESS, offsetS: -3_600 });
  expect(await asked(`cat /etc/lab-clock-${PROCESS}`)).toBe("-3600s");
  expect(await pidOf(PROCESS)).toBe(late);
  await undo("clock");
  await until(
    "it runs with the right clock",
    async () => (await asked(`grep -c libfaketime /proc/${await pidOf(PROCESS)}/maps || true`)) === "0",
    30_000,
  );
  expect(lasting()).not.toContain(`clock ${MACHINE}`);
});

async function apply(name: string, options: FaultOptions): Promise<void> {
  const lab = requireLab(thisLab());
  await FAULTS.find((row) => row.name === name)?.apply(lab, findMachine(lab, MACHINE), options);
}

async function undo(name: string): Promise<void> {
  const lab = requireLab(thisLab());
  await FAULTS.find((row) => row.name === name)?.undo?.(lab, findMachine(lab, MACHINE));
}

function lasting(): readonly string[] {
  return lastingFaults(requireLab(thisLab()));
}

async function asked(script: string): Promise<string> {
  const lab = requireLab(thisLab());
  return (await answerOf(lab.layout, findMachine(lab, MACHINE), script)).trim();
}

async function pidOf(name: string): Promise<number> {
  return Number(await asked(`systemctl show --property=MainPID --value pilothouse-${name}`));
}

async function stateOf(pid: number): Promise<string> {
  return (await asked(`ps -o state= -p ${pid}`)).slice(0, 1);
}
