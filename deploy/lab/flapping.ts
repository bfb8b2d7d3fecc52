/** A partition that comes and goes: a shell loop sets and removes a table of its own, so that other faults may change meanwhile. */
import { execFileSync } from "node:child_process";
import { endHelpers, hasHelper, startHelper } from "./helpers.ts";
import type { Lab, LabLayout, LabMachine } from "./layout.ts";
import { faultTable, type Partition } from "./network-faults.ts";
import { run } from "./shell.ts";

const LOOP = `while :; do
  printf %s "$1" | nft -f - || exit
  sleep "$3"
  nft delete table bridge "$2" || exit
  sleep "$3"
done`;

/** On for one period, off for the next. */
export async function startFlapping(
  lab: Lab,
  machine: LabMachine,
  partition: Partition,
  periodMs: number,
  addressOf: (name: string) => string,
): Promise<void> {
  const table = flapTableOf(machine);
  const text = faultTable([partition], addressOf, table);
  await stopFlapping(lab, machine);
  const seconds = String(periodMs / 1_000);
  await startHelper(lab.layout, machine, "flapping", "sh", "-c", LOOP, "flapping", text, table, seconds);
}

export async function stopFlapping({ layout }: Lab, machine: LabMachine): Promise<void> {
  await endHelpers(layout, machine, "flapping");
  if (hasTable(layout, machine))
    await run("nsenter", `--net=/run/netns/${layout.netns}`, "nft", "delete", "table", "bridge", flapTableOf(machine));
}

/** Also where the loop was killed while the partition was on. */
export function isFlapping({ layout }: Lab, machine: LabMachine): boolean {
  return hasHelper(layout, machine, "flapping") || hasTable(layout, machine);
}

function flapTableOf({ name }: LabMachine): string {
  return `labflap-${name}`;
}

function hasTable({ netns }: LabLayout, machine: LabMachine): boolean {
  try {
    const list = ["nft", "list", "table", "bridge", flapTableOf(machine)];
    execFileSync("nsenter", [`--net=/run/netns/${netns}`, ...list], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
