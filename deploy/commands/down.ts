/**
 * `npm run down`: leaves nothing of this clone's cluster: no process, container, mount, namespace, interface, rule, route,
 * cgroup or file outside the clone. `--keep-data` keeps `.cluster`. Works on whatever is left, in any state.
 */
import { rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { systemClock, systemIds } from "@pilothouse/clock/system";
import { inParallel } from "@pilothouse/controller";
import { criRuntime } from "@pilothouse/runtime-cri";
import { cniResultsOf } from "../cluster/cni-results.ts";
import { readChoices, thisLayout } from "../cluster/clone.ts";
import { ExplainedError } from "../cluster/errors.ts";
import { cgroupProcesses, removeCgroups, removeNetworking, unmountBelow } from "../cluster/host.ts";
import { isAlive, markedProcesses, runningSupervisor } from "../cluster/marked-processes.ts";
import { SERVICES } from "../cluster/processes.ts";
import { runCommand, step } from "../cluster/steps.ts";
import { stopProcess } from "../cluster/supervisor.ts";

const { values: flags } = parseArgs({ options: { "keep-data": { type: "boolean", default: false } } });
const layout = thisLayout();
const SANDBOXES_AT_ONCE = 8;
/** Folders that containerd and CNI share with others on the machine: ours to remove when nobody's files are in them. */
const SHARED_FOLDERS = [
  "/run/containerd/s",
  "/run/containerd/runc/k8s.io",
  "/run/containerd/runc",
  "/run/containerd",
  "/var/lib/cni/results",
  "/var/lib/cni",
  "/run/pilothouse",
];

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
    for (const path of cniResultsOf(layout.bridge)) rmSync(path, { force: true });
    for (const folder of SHARED_FOLDERS) removeIfEmpty(folder);
  });
  if (!flags["keep-data"])
    await step("Remove the data", "PH-150", () => rmSync(layout.root, { recursive: true, force: true }));
});

/** The supervisor first, so that it restarts nothing; then the services, the last started first. */
async function stopServices(): Promise<void> {
  const supervisor = runningSupervisor(join(layout.run, "supervisor.pid"), layout.root);
  if (supervisor !== undefined) {
    process.kill(supervisor, "SIGUSR1");
    while (isAlive(supervisor)) await new Promise((resolve) => setTimeout(resolve, 20));
  }
  for (const name of [...SERVICES].reverse()) await stopNamed(name);
}

/** By the runtime where it still answers: it takes the network of each sandbox down in order. */
async function removeContainers(): Promise<void> {
  if (!markedProcesses(layout.id).some(({ name }) => name === "containerd")) return;
  const pipesDir = join(layout.runtime, "exec");
  const runtime = criRuntime({ clock: systemClock, ids: systemIds, socketPath: layout.containerdSocket, pipesDir });
  try {
    const sandboxes = await runtime.listPodSandboxes();
    await inParallel(sandboxes, SANDBOXES_AT_ONCE, async ({ id }) => {
      await runtime.stopPodSandbox(id);
      await runtime.removePodSandbox(id);
    });
  } catch {
    // What a broken runtime does not take down is ended by its processes, mounts and cgroups below.
  } finally {
    await runtime.close();
  }
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

function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // It is not there, or somebody else's things are in it.
  }
}
