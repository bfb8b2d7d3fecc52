/** What a cgroup uses, and what an interface has carried, as the kernel writes it. Pure. */
import type { CgroupVersion } from "./cgroups.ts";

export interface CgroupUsage {
  readonly memoryBytes: number;
  /** Of processes alone, without files. */
  readonly rssBytes: number;
  readonly cacheBytes: number;
  readonly pageFaults: number;
  readonly majorPageFaults: number;
  readonly cpuPeriods: number;
  readonly throttledPeriods: number;
  readonly throttledNs: number;
  readonly processes: number;
}

/** The files that are read, by controller (v1's hierarchy). */
export const USAGE_FILES: Readonly<Record<CgroupVersion, readonly (readonly [controller: string, name: string])[]>> = {
  1: [
    ["memory", "memory.usage_in_bytes"],
    ["memory", "memory.stat"],
    ["cpu", "cpu.stat"],
    ["pids", "pids.current"],
  ],
  2: [
    ["memory", "memory.current"],
    ["memory", "memory.stat"],
    ["cpu", "cpu.stat"],
    ["pids", "pids.current"],
  ],
};

/** `texts` are the contents of USAGE_FILES, in that order; "" for one that is not there. */
export function cgroupUsage(version: CgroupVersion, texts: readonly string[]): CgroupUsage {
  const [usage = "", memoryText = "", cpuText = "", pids = ""] = texts;
  const memory = numbersOf(memoryText);
  const cpu = numbersOf(cpuText);
  const one = version === 1;
  return {
    memoryBytes: Number(usage.trim()) || 0,
    rssBytes: memory(one ? "total_rss" : "anon"),
    cacheBytes: memory(one ? "total_cache" : "file"),
    pageFaults: memory(one ? "total_pgfault" : "pgfault"),
    majorPageFaults: memory(one ? "total_pgmajfault" : "pgmajfault"),
    cpuPeriods: cpu("nr_periods"),
    throttledPeriods: cpu("nr_throttled"),
    throttledNs: one ? cpu("throttled_time") : cpu("throttled_usec") * 1_000,
    processes: Number(pids.trim()) || 0,
  };
}

/** `name number` lines; 0 for what is not among them. */
function numbersOf(text: string): (name: string) => number {
  const numbers = new Map(
    text.split("\n").map((line): [string, number] => {
      const [name = "", value = "0"] = line.split(" ");
      return [name, Number(value)];
    }),
  );
  return (name) => numbers.get(name) ?? 0;
}

/** What an interface has carried since it was made. */
export interface InterfaceUsage {
  readonly name: string;
  readonly rxBytes: number;
  readonly rxPackets: number;
  readonly rxErrors: number;
  readonly rxDropped: number;
  readonly txBytes: number;
  readonly txPackets: number;
  readonly txErrors: number;
  readonly txDropped: number;
}

/** Reads `/proc/<pid>/net/dev`. The loopback carries nothing anywhere. */
export function interfacesOf(text: string): readonly InterfaceUsage[] {
  return text.split("\n").flatMap((line) => {
    const [, name = "", rest = ""] = /^\s*([^:\s]+):(.*)$/.exec(line) ?? [];
    if (name === "" || name === "lo") return [];
    const numbers = rest.trim().split(/\s+/).map(Number);
    const at = (index: number): number => numbers[index] ?? 0;
    return [
      {
        name,
        rxBytes: at(0),
        rxPackets: at(1),
        rxErrors: at(2),
        rxDropped: at(3),
        txBytes: at(8),
        txPackets: at(9),
        txErrors: at(10),
        txDropped: at(11),
      },
    ];
  });
}
