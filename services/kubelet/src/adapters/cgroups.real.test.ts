import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { machineCgroups } from "./cgroups.ts";

let mount: string;
beforeEach(async () => (mount = await mkdtemp(join(tmpdir(), "cgroups-"))));
afterEach(() => rm(mount, { recursive: true }));

const LIMITS = { cpuShares: 1024, cpuQuotaUs: 50_000, memoryBytes: 2 ** 26, pids: 100 };

test("on a machine with cgroup v1: limits are set, changed, and leave nothing", async () => {
  // Where there is no v1 the table of core/cgroups.test.ts is all that speaks for it.
  if (existsSync("/sys/fs/cgroup/cgroup.controllers")) return;
  const cgroups = machineCgroups();
  const name = `/ph-test-${process.pid}`;
  const read = (file: string): Promise<string> => readFile(`/sys/fs/cgroup/${file}`, "utf8");
  try {
    await cgroups.ensure(`${name}/kubepods/podu`, LIMITS);
    const quota = (): Promise<string> => read(`cpu${name}/kubepods/podu/cpu.cfs_quota_us`);
    expect(await quota()).toBe("50000\n");
    expect(await read(`memory${name}/kubepods/podu/memory.limit_in_bytes`)).toBe(`${2 ** 26}\n`);
    expect(await read(`pids${name}/kubepods/podu/pids.max`)).toBe("100\n");
    await cgroups.ensure(`${name}/kubepods/podu`, { ...LIMITS, cpuQuotaUs: undefined, memoryBytes: undefined });
    expect(await quota()).toBe("-1\n");
  } finally {
    await cgroups.remove(name);
  }
  expect(existsSync(`/sys/fs/cgroup/cpu${name}`)).toBe(false);
});

test("with cgroup v2: each folder on the way hands its controllers on", async () => {
  // Ordinary folders in the kernel's place: they show where and what is written, and that what is not there is not made.
  await writeFile(join(mount, "cgroup.controllers"), "cpu memory pids\n");
  const pod = join(mount, "kubepods", "podu");
  await mkdir(pod, { recursive: true });
  for (const file of ["cpu.weight", "cpu.max", "memory.max"]) await writeFile(join(pod, file), "max\n");
  await machineCgroups(mount).ensure("/kubepods/podu", LIMITS);
  expect(await readFile(join(mount, "cgroup.subtree_control"), "utf8")).toBe("+pids");
  expect(await readFile(join(pod, "cpu.weight"), "utf8")).toBe("100");
  expect(await readFile(join(pod, "cpu.max"), "utf8")).toBe("50000 100000");
  expect(await readFile(join(pod, "memory.max"), "utf8")).toBe(String(2 ** 26));
  expect(existsSync(join(pod, "pids.max"))).toBe(false);
});
