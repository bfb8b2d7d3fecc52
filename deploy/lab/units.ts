/**
 * Faults of single processes of a machine: its `pilothouse-<name>` units. Everything is done from outside, by the machine's
 * own process 1 or the kernel, so that it works while nothing on the network reaches the machine.
 */
import { readdirSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cgroupProcesses } from "../cluster/host.ts";
import type { LabMachine } from "./layout.ts";
import { run } from "./shell.ts";

const SYSTEMCTL_LIMIT_S = "20";
const DROP_IN = "lab-clock.conf";

/** Only the process itself: what it started (shims, containers) goes on. */
export async function signalUnit(machine: LabMachine, name: string, signal: "SIGKILL" | "SIGSTOP"): Promise<void> {
  await systemctl(machine, "kill", "--kill-who=main", `--signal=${signal}`, unitOf(name));
}

/** Continues whatever of the machine's units stands still. */
export function continueUnits(machine: LabMachine): void {
  for (const pid of stoppedProcesses(machine)) process.kill(pid, "SIGCONT");
}

export function hasStoppedUnit(machine: LabMachine): boolean {
  return stoppedProcesses(machine).length > 0;
}

/**
 * The unit is started anew with a wall clock that is off; its monotonic clock is nobody's to change. One that was started so before
 * runs on, and its clock jumps: to see that, begin with an offset of 0.
 */
export async function offsetClock(machine: LabMachine, name: string, offsetS: number): Promise<void> {
  const library = fakeTimeLibrary(machine);
  if (library === undefined)
    throw new Error(
      `${machine.name} has no libfaketime (Debian's package of that name), without which no clock is off.`,
    );
  const folder = dropInFolder(machine, name);
  const isNew = !existsSync(join(folder, DROP_IN));
  writeFileSync(join(machine.root, offsetFile(name)), `${offsetS < 0 ? "-" : "+"}${Math.abs(offsetS)}s\n`);
  if (!isNew) return;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, DROP_IN), clockDropIn(library, offsetFile(name)));
  await restart(machine, [name]);
}

export async function rightClocks(machine: LabMachine): Promise<void> {
  const names = namesWithWrongClock(machine);
  for (const name of names) {
    rmSync(join(dropInFolder(machine, name), DROP_IN));
    rmSync(join(machine.root, offsetFile(name)), { force: true });
  }
  if (names.length > 0 && initOf(machine) !== undefined) await restart(machine, names);
}

export function hasWrongClock(machine: LabMachine): boolean {
  return namesWithWrongClock(machine).length > 0;
}

/** The offset lies in a file that the library reads again each second. */
export function clockDropIn(library: string, file: string): string {
  return `[Service]
Environment=LD_PRELOAD=${library}
Environment=FAKETIME_TIMESTAMP_FILE=${file} FAKETIME_CACHE_DURATION=1
Environment=FAKETIME_DONT_FAKE_MONOTONIC=1 DONT_FAKE_MONOTONIC=1
`;
}

function offsetFile(name: string): string {
  return `/etc/lab-clock-${name}`;
}

function unitOf(name: string): string {
  return `pilothouse-${name}.service`;
}

function dropInFolder({ root }: LabMachine, name: string): string {
  return join(root, "etc/systemd/system", `${unitOf(name)}.d`);
}

function namesWithWrongClock(machine: LabMachine): readonly string[] {
  const units = join(machine.root, "etc/systemd/system");
  if (!existsSync(units)) return [];
  return readdirSync(units)
    .map((entry) => /^pilothouse-(.+)\.service\.d$/.exec(entry)?.[1])
    .filter((name) => name !== undefined)
    .filter((name) => existsSync(join(dropInFolder(machine, name), DROP_IN)));
}

/** Its path inside the machine. */
function fakeTimeLibrary({ root }: LabMachine): string | undefined {
  const libraries = join(root, "usr/lib");
  const found = readdirSync(libraries)
    .map((folder) => join(libraries, folder, "faketime/libfaketimeMT.so.1"))
    .find((file) => existsSync(file));
  return found?.slice(root.length);
}

async function restart(machine: LabMachine, names: readonly string[]): Promise<void> {
  await systemctl(machine, "daemon-reload");
  await systemctl(machine, "restart", "--no-block", ...names.map(unitOf));
}

async function systemctl(machine: LabMachine, ...words: readonly string[]): Promise<void> {
  const init = initOf(machine);
  if (init === undefined) throw new Error(`${machine.name} is off.`);
  const inside = ["--target", String(init), "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd"];
  await run("timeout", SYSTEMCTL_LIMIT_S, "nsenter", ...inside, "systemctl", ...words);
}

/** The machine's process 1, as the host numbers it. */
function initOf({ cgroup }: LabMachine): number | undefined {
  return cgroupProcesses(cgroup).find((pid) => /^NSpid:\t\d+\t1$/m.test(fileOf(pid, "status")));
}

function stoppedProcesses({ cgroup }: LabMachine): readonly number[] {
  return cgroupProcesses(cgroup).filter(
    (pid) => /^State:\tT/m.test(fileOf(pid, "status")) && /\/pilothouse-[^/]+\.service$/m.test(fileOf(pid, "cgroup")),
  );
}

function fileOf(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8");
  } catch {
    return ""; // It ended while we looked.
  }
}
