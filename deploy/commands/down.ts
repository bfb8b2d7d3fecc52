/**
 * `npm run down`: leaves nothing of this clone's cluster: no process, container, mount, namespace, interface, rule, route,
 * cgroup or file outside the clone. `--keep-data` keeps `.cluster`. Works on whatever is left, in any state.
 */
import { execFile } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs, promisify } from "node:util";
import { readChoices, thisLayout } from "../cluster/clone.ts";
import { ExplainedError } from "../cluster/errors.ts";
import { cgroupProcesses, removeCgroups, removeNetworking, unmountBelow } from "../cluster/host.ts";
import { isAlive, markedProcesses } from "../cluster/marked-processes.ts";
import { SERVICES } from "../cluster/processes.ts";
import { runCommand, step } from "../cluster/steps.ts";
import { stopProcess } from "../cluster/supervisor.ts";

const run = promisify(execFile);
const { values: flags } = parseArgs({ options: { "keep-data": { type: "boolean", default: false } } });
const layout = thisLayout();

await runCommand(async () => {
  const choices = readChoices(layout);
  await step("Stop the services", "PH-150", stopServices);
  await step("Remove the containers", "PH-150", removeContainers);
  await step("Stop containerd, NATS and etcd", "PH-150", stopBackbone);
  await step("Remove mounts, interfaces, rules and cgroups", "PH-150", async () => {
    await unmountBelow([layout.root, layout.runtime]);
    await removeNetworking(layout, choices);
    removeCgroups(layout.cgroup);
    rmSync(layout.runtime, { recursive: true, force: true });
  });
  if (!flags["keep-data"])
    await step("Remove the data", "PH-150", () => rmSync(layout.root, { recursive: true, force: true }));
});

/** The supervisor first, so that it restarts nothing; then the services, the last started first. */
async function stopServices(): Promise<void> {
  const pidFile = join(layout.run, "supervisor.pid");
  if (existsSync(pidFile)) {
    const pid = Number(readFileSync(pidFile, "utf8"));
    if (isAlive(pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(layout.root)) {
      process.kill(pid, "SIGUSR1");
      while (isAlive(pid)) await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  for (const name of [...SERVICES].reverse()) await stopNamed(name);
}

/** By containerd where it still answers: it takes the network of each sandbox down in order. */
async function removeContainers(): Promise<void> {
  if (!markedProcesses(layout.id).some(({ name }) => name === "containerd")) return;
  const ctr = async (...args: string[]): Promise<string[]> => {
    const { stdout } = await run("ctr", [
      "--address",
      layout.containerdSocket,
      "--namespace",
      "k8s.io",
      "--timeout",
      "10s",
      ...args,
    ]);
    return stdout.split("\n").filter((line) => line !== "");
  };
  const tasks = await ctr("tasks", "list", "-q").catch(() => []);
  await Promise.all(tasks.map((id) => ctr("tasks", "delete", "--force", id).catch(() => [])));
  const containers = await ctr("containers", "list", "-q").catch(() => []);
  await Promise.all(containers.map((id) => ctr("containers", "delete", id).catch(() => [])));
}

async function stopBackbone(): Promise<void> {
  for (const name of ["containerd", "nats", "etcd"]) await stopNamed(name);
  // Shims outlive containerd; what they hold is ended with them.
  for (const { pid } of markedProcesses(layout.id, { descendants: true })) await stopProcess(pid, 1_000);
  await endCgroupProcesses();
}

async function stopNamed(name: string): Promise<void> {
  const found = markedProcesses(layout.id).filter((one) => one.name === name);
  await Promise.all(found.map(({ pid }) => stopProcess(pid)));
}

/** Containers whose shim has gone still sit in the cluster's cgroup. */
async function endCgroupProcesses(): Promise<void> {
  const pids = cgroupProcesses(layout.cgroup);
  await Promise.all(pids.map((pid) => stopProcess(pid, 0)));
  const stuck = pids.filter(isAlive);
  if (stuck.length > 0) throw new ExplainedError("PH-150", `Processes ${stuck.join(", ")} could not be ended.`);
}
