/** What this machine is, as its kernel says. */
import { readFile, statfs } from "node:fs/promises";
import { arch, cpus, hostname, release } from "node:os";
import type { MachineFacts } from "../core/node.ts";

const MAX_PODS = 110;

/** `dir` is where pods write. */
export async function machineFacts(dir: string): Promise<MachineFacts> {
  const [memory, osRelease, machineId, bootId, disk] = await Promise.all([
    readFile("/proc/meminfo", "utf8"),
    readFile("/etc/os-release", "utf8").catch(() => ""),
    readFile("/etc/machine-id", "utf8").catch(() => ""),
    readFile("/proc/sys/kernel/random/boot_id", "utf8").catch(() => ""),
    statfs(dir),
  ]);
  return {
    cpus: cpus().length,
    memoryBytes: Number(/^MemTotal:\s+(\d+) kB$/m.exec(memory)?.[1] ?? 0) * 1024,
    diskBytes: disk.blocks * disk.bsize,
    maxPods: MAX_PODS,
    architecture: arch() === "x64" ? "amd64" : arch(),
    machineId: machineId.trim(),
    bootId: bootId.trim(),
    kernelVersion: release(),
    osImage: /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(osRelease)?.[1] ?? "Linux",
    hostname: hostname(),
  };
}
