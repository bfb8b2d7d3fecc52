/**
 * Processes that keep a fault going after the command that began it: each belongs to one fault of one machine, is found by the
 * mark in its environment, and is ended by the fault's undo or by `lab:down`.
 */
import { spawn } from "node:child_process";
import { MARK_CLUSTER, MARK_PROCESS, isAlive, markedProcesses } from "../cluster/marked-processes.ts";
import type { LabLayout, LabMachine } from "./layout.ts";

/** Starts it in the lab's network. */
export async function startHelper(
  { netns, cgroup }: LabLayout,
  machine: LabMachine,
  fault: string,
  command: string,
  ...args: readonly string[]
): Promise<void> {
  const env = { ...process.env, [MARK_CLUSTER]: cgroup, [MARK_PROCESS]: nameOf(machine, fault) };
  const inNetwork = [`--net=/run/netns/${netns}`, command, ...args];
  const child = spawn("nsenter", inNetwork, { detached: true, stdio: "ignore", env });
  child.unref();
  await new Promise<void>((resolve, reject) => child.once("spawn", resolve).once("error", reject));
}

export function hasHelper(layout: LabLayout, machine: LabMachine, fault: string): boolean {
  return helpers(layout, nameOf(machine, fault)).length > 0;
}

/** Resolves when it is gone; without a machine: all helpers of the lab. */
export async function endHelpers(layout: LabLayout, machine?: LabMachine, fault = ""): Promise<void> {
  const pids = helpers(layout, machine && nameOf(machine, fault));
  for (const pid of pids) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It ended by itself.
    }
  }
  while (pids.some(isAlive)) await new Promise((resolve) => setTimeout(resolve, 10));
}

function helpers({ cgroup }: LabLayout, name: string | undefined): readonly number[] {
  return markedProcesses(cgroup)
    .filter((found) => name === undefined || found.name === name)
    .map(({ pid }) => pid);
}

function nameOf(machine: LabMachine, fault: string): string {
  return `${fault} ${machine.name}`;
}
