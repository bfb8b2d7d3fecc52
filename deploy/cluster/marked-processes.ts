/** Finds a cluster's processes by the mark in their environment: also those whose pid file is lost, and shims of containerd. */
import { readdirSync, readFileSync } from "node:fs";

export const MARK_CLUSTER = "PILOTHOUSE_CLUSTER";
export const MARK_PROCESS = "PILOTHOUSE_PROCESS";
export const MARK_VERSION = "PILOTHOUSE_VERSION";

export interface MarkedProcess {
  readonly pid: number;
  /** The process of the cluster that it is, or that started it (a shim carries containerd's name). */
  readonly name: string;
  readonly version: string;
  readonly program: string;
}

/** Live processes that carry the mark of cluster `id`; of shims and other children only with `descendants`. */
export function markedProcesses(id: string, options: { descendants?: boolean } = {}): readonly MarkedProcess[] {
  const found: MarkedProcess[] = [];
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const marked = look(Number(entry), id);
    if (marked && (options.descendants || !marked.program.startsWith("containerd-shim"))) found.push(marked);
  }
  return found;
}

/**
 * The pid of the supervisor whose pid file this is; undefined when it does not run. A pid file may outlive its process by a
 * reboot, and the number be somebody else's now: only a process that was started for `root` counts.
 */
export function runningSupervisor(pidFile: string, root: string): number | undefined {
  try {
    const pid = Number(readFileSync(pidFile, "utf8"));
    const args = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    return isAlive(pid) && args.includes(root) ? pid : undefined;
  } catch {
    return undefined; // There is no file, or no such process.
  }
}

/** Alive, and not a zombie. */
export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

function look(pid: number, id: string): MarkedProcess | undefined {
  try {
    const env = new Map(
      readFileSync(`/proc/${pid}/environ`, "utf8")
        .split("\0")
        .map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)] as const),
    );
    if (env.get(MARK_CLUSTER) !== id || !isAlive(pid)) return undefined;
    const program = readFileSync(`/proc/${pid}/comm`, "utf8").trim();
    return { pid, name: env.get(MARK_PROCESS) ?? "", version: env.get(MARK_VERSION) ?? "", program };
  } catch {
    return undefined; // It ended while we looked, or is a kernel thread.
  }
}
