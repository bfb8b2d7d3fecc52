/** What this machine is and what it uses, as its kernel says. */
import { readdir, readFile, statfs } from "node:fs/promises";
import { arch, cpus, hostname, release } from "node:os";
import { join } from "node:path";
import type { Clock } from "@pilothouse/clock";
import { cgroupUsage, interfacesOf, USAGE_FILES, type CgroupUsage } from "../core/cgroup-usage.ts";
import type { MachineFacts } from "../core/node.ts";
import type { FsUsage } from "../core/usage.ts";
import type { MachineProbe } from "../flows/ports.ts";
import { cgroupVersion } from "./cgroups.ts";

/** `dir` is where pods write. */
export async function machineFacts(dir: string, maxPods = 110): Promise<MachineFacts> {
  const [memory, osRelease, machineId, bootId, appArmor, disk] = await Promise.all([
    readFile("/proc/meminfo", "utf8"),
    readFile("/etc/os-release", "utf8").catch(() => ""),
    readFile("/etc/machine-id", "utf8").catch(() => ""),
    readFile("/proc/sys/kernel/random/boot_id", "utf8").catch(() => ""),
    readFile("/sys/module/apparmor/parameters/enabled", "utf8").catch(() => "N"),
    statfs(dir),
  ]);
  return {
    cpus: cpus().length,
    memoryBytes: Number(/^MemTotal:\s+(\d+) kB$/m.exec(memory)?.[1] ?? 0) * 1024,
    diskBytes: disk.blocks * disk.bsize,
    maxPods,
    architecture: arch() === "x64" ? "amd64" : arch(),
    machineId: machineId.trim(),
    bootId: bootId.trim(),
    kernelVersion: release(),
    osImage: /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(osRelease)?.[1] ?? "Linux",
    hostname: hostname(),
    appArmor: appArmor.startsWith("Y"),
  };
}

const NS_PER_TICK = 10_000_000;
/** Of /proc/stat: what idles, and what waits for a disk, uses no core. */
const IDLE_FIELDS: readonly number[] = [3, 4];

/** `podsDir` is where pods write; `imagesDir` says where images are, once that is known. */
export function machineProbe(clock: Clock, podsDir: string, imagesDir: () => Promise<string>): MachineProbe {
  return {
    async usage() {
      const [memory, stat, load, pidMax, nodeFs] = await Promise.all([
        readFile("/proc/meminfo", "utf8"),
        readFile("/proc/stat", "utf8"),
        readFile("/proc/loadavg", "utf8"),
        readFile("/proc/sys/kernel/pid_max", "utf8").catch(() => "32768"),
        fsUsage(podsDir),
      ]);
      const kibibytes = (name: string): number =>
        Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(memory)?.[1] ?? 0);
      // user, nice, system, idle, iowait, irq, softirq, steal; what guests use is in user already.
      const ticks = (/^cpu +(.*)$/m.exec(stat)?.[1] ?? "").split(" ").slice(0, 8).map(Number);
      const busy = ticks.filter((_, index) => !IDLE_FIELDS.includes(index)).reduce((sum, it) => sum + it, 0);
      const images = await imagesDir().catch(() => "");
      return {
        atMs: clock.now(),
        cpuUsageNs: busy * NS_PER_TICK,
        bootedAtMs: Number(/^btime (\d+)$/m.exec(stat)?.[1] ?? 0) * 1000,
        memoryCapacityBytes: kibibytes("MemTotal") * 1024,
        memoryAvailableBytes: kibibytes("MemAvailable") * 1024,
        processes: Number(/\/(\d+) /.exec(load)?.[1] ?? 0),
        maxProcesses: Number(pidMax.trim()),
        nodeFs,
        imageFs: images === "" ? nodeFs : await fsUsage(images).catch(() => nodeFs),
      };
    },
    async network(cgroup) {
      const pid = cgroup === undefined ? "self" : await processIn(cgroup);
      return pid === undefined ? [] : interfacesOf(await readFile(`/proc/${pid}/net/dev`, "utf8"));
    },
    cgroup: readUsage,
  };
}

/** Where the kernel shows cgroups; of v1 each controller has its own tree. */
const CGROUP_MOUNT = "/sys/fs/cgroup";

async function readUsage(cgroup: string): Promise<CgroupUsage | undefined> {
  const version = await cgroupVersion(CGROUP_MOUNT);
  const folderOf = (controller: string): string => join(CGROUP_MOUNT, version === 2 ? "" : controller, cgroup);
  const texts = await Promise.all(
    USAGE_FILES[version].map(([controller, name]) =>
      readFile(join(folderOf(controller), name), "utf8").catch(() => undefined),
    ),
  );
  return texts[0] === undefined
    ? undefined
    : cgroupUsage(
        version,
        texts.map((text) => text ?? ""),
      );
}

/** Any process of it, or of a cgroup below it. */
async function processIn(cgroup: string): Promise<string | undefined> {
  const version = await cgroupVersion(CGROUP_MOUNT);
  const folder = join(CGROUP_MOUNT, version === 2 ? "" : "cpu", cgroup);
  for (const name of ["", ...(await readdir(folder).catch(() => []))]) {
    const text = await readFile(join(folder, name, "cgroup.procs"), "utf8").catch(() => "");
    const [pid = ""] = text.split("\n", 1);
    if (pid !== "") return pid;
  }
  return undefined;
}

export async function fsUsage(path: string): Promise<FsUsage> {
  const { blocks, bavail, bsize, files, ffree } = await statfs(path);
  return { capacityBytes: blocks * bsize, availableBytes: bavail * bsize, inodes: files, inodesFree: ffree };
}
