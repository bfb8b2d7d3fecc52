/** Cgroups of this machine: one folder in the one hierarchy of v2, or one in each that is needed of v1. */
import { mkdir, readdir, readFile, rmdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cgroupFiles, type CgroupVersion } from "../core/cgroups.ts";
import type { Cgroups } from "../flows/ports.ts";

/** On v2 a folder has no files of a controller unless its parent says so. */
const CONTROLLERS = ["cpuset", "cpu", "io", "memory", "hugetlb", "pids"] as const;

/** `mount` is where the kernel shows them. */
export function machineCgroups(mount = "/sys/fs/cgroup"): Cgroups {
  return {
    async ensure(cgroup, limits) {
      const version = await cgroupVersion(mount);
      const files = cgroupFiles(version, limits);
      if (version === 2) await makeFolders(mount, cgroup);
      for (const { controller, name, value } of files) {
        const folder = version === 2 ? join(mount, cgroup) : join(mount, controller, cgroup);
        if (version === 1) {
          // A hierarchy that the machine has not limits nothing.
          if (!(await exists(join(mount, controller)))) continue;
          await mkdir(folder, { recursive: true });
        }
        await write(join(folder, name), value);
      }
    },
    async remove(cgroup) {
      const controllers = await readdir(mount).catch(() => []);
      for (const controller of ["", ...controllers]) await removeFolders(join(mount, controller, cgroup));
    },
  };
}

/** By what the kernel shows there. */
export async function cgroupVersion(mount: string): Promise<CgroupVersion> {
  return (await exists(join(mount, "cgroup.controllers"))) ? 2 : 1;
}

/** From the mount down, each with the controllers that its parent hands on. */
async function makeFolders(mount: string, cgroup: string): Promise<void> {
  let folder = mount;
  for (const name of cgroup.split("/").filter((it) => it !== "")) {
    const offered = (await readFile(join(folder, "cgroup.controllers"), "utf8").catch(() => "")).trim().split(" ");
    for (const controller of CONTROLLERS.filter((it) => offered.includes(it)))
      await writeFile(join(folder, "cgroup.subtree_control"), `+${controller}`).catch(() => {});
    folder = join(folder, name);
    await mkdir(folder).catch(unlessThere);
  }
}

/** What is as it should be is not written: the kernel would take back memory for it. A file that is not there limits nothing. */
async function write(path: string, value: string): Promise<void> {
  const before = await readFile(path, "utf8").catch(() => undefined);
  if (before === undefined || before.trim() === value) return;
  await writeFile(path, value);
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

function unlessThere(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
}

async function removeFolders(folder: string): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) if (entry.isDirectory()) await removeFolders(join(folder, entry.name));
  await rmdir(folder).catch(() => {});
}
