import { readFile, readdir } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { testDirectoryPrefix } from "./directory.ts";
import { HARNESS_VARIABLE } from "./process.ts";

/** Fails if a process or a temporary directory that this test process made is still there. */
export async function expectNoLeaks(): Promise<void> {
  const leaks = await findLeaks();
  if (leaks.length > 0) throw new Error(`left behind by this test file:\n${leaks.join("\n")}`);
}

/** One line for each process and directory left behind. Looks at the machine, not at a list that could be wrong. */
export async function findLeaks(): Promise<string[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const processes = await Promise.all(pids.map(describeIfOurs));
  const prefix = testDirectoryPrefix(process.pid);
  const directories = (await readdir(dirname(prefix))).filter((name) => name.startsWith(basename(prefix)));
  return [...processes.filter((line) => line !== undefined), ...directories.map((name) => `directory ${name}`)];
}

async function describeIfOurs(pid: string): Promise<string | undefined> {
  try {
    const environment = (await readFile(`/proc/${pid}/environ`, "latin1")).split("\0");
    if (!environment.includes(`${HARNESS_VARIABLE}=${process.pid}`)) return undefined;
    const command = (await readFile(`/proc/${pid}/cmdline`, "utf8")).split("\0").join(" ");
    return `process ${pid}: ${command}`;
  } catch {
    return undefined; // It ended while we looked, or belongs to somebody else.
  }
}
