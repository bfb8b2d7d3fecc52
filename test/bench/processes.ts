/** What the kernel says of a process, and of this machine. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";

/** A tick of /proc/<pid>/stat: USER_HZ is 100 on every Linux that Node runs on. */
const TICK_US = 10_000;

/** CPU that all threads of a process have used so far, in steps of 10 ms. */
export function cpuUs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_US;
}

/** Proportional set size: shared pages count by their share. */
export function pssBytes(pid: number): number {
  return kilobytes(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"), "Pss");
}

export function residentBytes(pid: number): number {
  return kilobytes(readFileSync(`/proc/${pid}/status`, "utf8"), "VmRSS");
}

/** What a reader must know to compare figures. */
export function machineFacts(): Readonly<Record<string, string | number>> {
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    memoryGB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    etcd: firstLine("etcd", "--version"),
    nats: firstLine("nats-server", "--version"),
    containerd: firstLine("containerd", "--version"),
    loadBefore: loadavg()
      .map((load) => load.toFixed(1))
      .join(" "),
  };
}

function kilobytes(text: string, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? Number.NaN) * 1024;
}

function firstLine(command: string, argument: string): string {
  return execFileSync(command, [argument], { encoding: "utf8" }).split("\n")[0] ?? "";
}
