/**
 * A containerd of a test's own: its directory, its socket, its network namespace, its cgroups. The machine's own containerd,
 * bridges and routes are never touched.
 *
 * `stop()` ends every container and shim it started, and removes mounts, namespaces, cgroups and files.
 */
import { execFile } from "node:child_process";
import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { systemClock, systemIds } from "@pilothouse/clock/system";
import { criRuntime } from "@pilothouse/runtime-cri";
import { containerdConfig } from "../../deploy/containerd-config.ts";
import { buildImages, PAUSE_IMAGE } from "../../deploy/images.ts";
import { makeTestDirectory, removeTestDirectory } from "./directory.ts";
import { startProcess, type TestProcess } from "./process.ts";
import { until } from "./until.ts";

const run = promisify(execFile);

export interface Containerd {
  readonly socketPath: string;
  readonly directory: string;
  readonly cniConfDir: string;
  /** The name of the network namespace that pods' bridge lives in. */
  readonly netns: string;
  /** Give it to sandboxes as their cgroup parent, or as its prefix. */
  readonly cgroupParent: string;
  /** `ctr -n k8s.io …` against this containerd; returns standard output. */
  ctr(...args: readonly string[]): Promise<string>;
  /** Runs a command in the network namespace; returns standard output. */
  inNetns(command: string, ...args: readonly string[]): Promise<string>;
  /** Kills containerd as a crash would; containers go on. */
  kill(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

export interface ContainerdOptions {
  /** Writes a bridge network for 198.18.0.0/24; default true. Without it, somebody else writes to `cniConfDir`. */
  readonly network?: boolean;
}

/** Starts it and loads the images of deploy/images.ts. */
export async function startContainerd(options: ContainerdOptions = {}): Promise<Containerd> {
  const directory = await makeTestDirectory();
  const name = directory.slice(directory.lastIndexOf("/") + 1);
  const socketPath = join(directory, "c.sock");
  const cniConfDir = join(directory, "cni");
  await mkdir(cniConfDir);
  if (options.network ?? true) await writeFile(join(cniConfDir, "10-test.conflist"), bridgeNetwork(directory));
  const paths = { root: join(directory, "root"), state: join(directory, "state"), socket: socketPath, cniConfDir };
  const config = containerdConfig({ ...paths, cniBinDir: "/usr/lib/cni", sandboxImage: PAUSE_IMAGE });
  await writeFile(join(directory, "config.toml"), config);
  await run("ip", ["netns", "add", name]);
  const inNetns = async (command: string, ...args: readonly string[]): Promise<string> =>
    (await run("nsenter", [`--net=/run/netns/${name}`, command, ...args])).stdout;
  await inNetns("ip", "link", "set", "lo", "up");
  const ctr = async (...args: readonly string[]): Promise<string> =>
    (await run("ctr", ["-a", socketPath, "-n", "k8s.io", ...args])).stdout;

  let daemon: TestProcess;
  const start = async (): Promise<void> => {
    const args = [`--net=/run/netns/${name}`, "containerd", "-c", join(directory, "config.toml")];
    daemon = startProcess({ command: "nsenter", args, directory });
    await until(
      "containerd answers",
      () =>
        ctr("version").then(
          () => true,
          () => false,
        ),
      20_000,
    );
  };
  await start();
  for (const { file } of await buildImages(join(directory, "images"))) await ctr("images", "import", file);
  return {
    socketPath,
    directory,
    cniConfDir,
    netns: name,
    cgroupParent: `/${name}`,
    ctr,
    inNetns,
    start,
    async kill() {
      daemon.signal("SIGKILL");
      await daemon.ended;
    },
    async stop() {
      if (!daemon.running()) await start();
      await removeSandboxes(socketPath, directory);
      await daemon.stop();
      await endShims(socketPath);
      await unmountBelow(directory);
      await run("ip", ["netns", "delete", name]);
      await removeCgroups(`/${name}`);
      await removeTestDirectory(directory);
    },
  };
}

function bridgeNetwork(directory: string): string {
  const ipam = {
    type: "host-local",
    dataDir: join(directory, "ipam"),
    ranges: [[{ subnet: "198.18.0.0/24" }]],
    routes: [{ dst: "0.0.0.0/0" }],
  };
  const bridge = { type: "bridge", bridge: "ph0", isGateway: true, ipMasq: false, hairpinMode: true, ipam };
  return JSON.stringify({ cniVersion: "0.4.0", name: "test", plugins: [bridge, { type: "portmap", snat: false }] });
}

/** Through containerd, so that addresses, sockets and network results outside the directory go too. */
async function removeSandboxes(socketPath: string, directory: string): Promise<void> {
  const pipesDir = join(directory, "pipes");
  const runtime = criRuntime({ clock: systemClock, ids: systemIds, socketPath, pipesDir });
  for (const { id } of await runtime.listPodSandboxes()) await runtime.removePodSandbox(id);
  await runtime.close();
}

/** What is left kills every shim of this containerd, known by its address, with the processes it holds. */
async function endShims(socketPath: string): Promise<void> {
  const shims = await processesWith("-address", socketPath);
  const children = await Promise.all(shims.map(childrenOf));
  for (const pid of [...shims, ...children.flat()]) kill(pid);
  await until("the shims are gone", async () => (await processesWith("-address", socketPath)).length === 0);
  for (const pid of children.flat()) await until(`container ${pid} is gone`, async () => !(await isRunning(pid)));
}

async function processesWith(...wanted: readonly string[]): Promise<number[]> {
  const pids = (await readdir("/proc")).filter((entry) => /^\d+$/.test(entry));
  const matches = await Promise.all(
    pids.map(async (pid) => {
      const args = (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).split("\0");
      return /containerd-shim/.test(args[0] ?? "") && wanted.every((it) => args.some((arg) => arg.startsWith(it)));
    }),
  );
  return pids.filter((_, i) => matches[i]).map(Number);
}

async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "");
  const threads = await readdir(`/proc/${pid}/task`).catch(() => []);
  const all = await Promise.all(
    threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/children`, "utf8").catch(() => "")),
  );
  return [...new Set([text, ...all].join(" ").split(" ").filter(Boolean).map(Number))];
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has just ended by itself.
  }
}

async function isRunning(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return stat !== "" && !/\) [ZX] /.test(stat);
}

async function unmountBelow(directory: string): Promise<void> {
  const mounts = (await readFile("/proc/self/mounts", "utf8")).split("\n").map((line) => line.split(" ")[1] ?? "");
  for (const mount of mounts.filter((it) => it.startsWith(`${directory}/`)).reverse())
    await run("umount", ["-l", mount]);
}

async function removeCgroups(parent: string): Promise<void> {
  const controllers = await readdir("/sys/fs/cgroup");
  for (const controller of ["", ...controllers]) await removeTree(join("/sys/fs/cgroup", controller, parent));
}

async function removeTree(directory: string): Promise<void> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) if (entry.isDirectory()) await removeTree(join(directory, entry.name));
  await rmdir(directory).catch(() => {});
}
