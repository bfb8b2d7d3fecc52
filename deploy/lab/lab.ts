/** The lab of this clone: what `npm run lab` made, read back by the commands that act on it. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { ExplainedError } from "../cluster/errors.ts";
import {
  labLayout,
  labMachines,
  MOST_MACHINES,
  type Lab,
  type LabLayout,
  type LabMachine,
  type LabSize,
} from "./layout.ts";

/** `PILOTHOUSE_LAB` puts its files elsewhere. */
export function thisLab(): LabLayout {
  return labLayout(dirname(dirname(import.meta.dirname)), process.env["PILOTHOUSE_LAB"]);
}

export function readLab(layout: LabLayout): Lab | undefined {
  if (!existsSync(layout.sizeFile)) return undefined;
  const size = JSON.parse(readFileSync(layout.sizeFile, "utf8")) as LabSize;
  return { layout, machines: labMachines(layout, size) };
}

export function requireLab(layout: LabLayout): Lab {
  const lab = readLab(layout);
  if (!lab) throw new ExplainedError("PH-201", "There is no lab in this clone.");
  return lab;
}

/** Keeps the larger of what is there and what is asked for: machines are added, never taken away, by a second run. */
export function writeLab(layout: LabLayout, wanted: LabSize): Lab {
  const known = existsSync(layout.sizeFile)
    ? (JSON.parse(readFileSync(layout.sizeFile, "utf8")) as LabSize)
    : { masters: 0, workers: 0 };
  const size = { masters: Math.max(known.masters, wanted.masters), workers: Math.max(known.workers, wanted.workers) };
  mkdirSync(layout.machinesDirectory, { recursive: true });
  writeFileSync(layout.sizeFile, `${JSON.stringify(size)}\n`);
  return { layout, machines: labMachines(layout, size) };
}

export function findMachine({ machines }: Lab, name: string | undefined): LabMachine {
  const found = machines.find((machine) => machine.name === name);
  if (found) return found;
  const names = machines.map((machine) => machine.name).join(", ");
  throw new ExplainedError("PH-202", `There is no machine ${name ?? "without a name"} in the lab.`, {
    next: `Name one of ${names}.`,
  });
}

export function countOf(text: string, what: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 0 && count <= MOST_MACHINES) return count;
  throw new ExplainedError("PH-202", `--${what} ${text}: a whole number from 0 to ${MOST_MACHINES} is wanted.`);
}
