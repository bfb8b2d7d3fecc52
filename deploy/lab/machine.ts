/**
 * One machine of the lab: a disk of its own over the shared base, systemd as process 1, an interface on the lab's bridge.
 *
 * Promises: every step may be repeated; `powerOff` is a power cut, and whatever lay on the disk is there at the next `powerOn`.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { cgroupHierarchies, cgroupProcesses, removeFolders } from "../cluster/host.ts";
import { isAlive } from "../cluster/marked-processes.ts";
import { LAB_NETWORK, type LabLayout, type LabMachine } from "./layout.ts";
import { run, runQuietly } from "./shell.ts";

const POWER_ON_ATTEMPTS = 15;
const NSPAWN_FAILS_WITHIN_MS = 700;
const DISK_BYTES = 8 * 2 ** 30;
const PREFIX_LENGTH = LAB_NETWORK.slice(LAB_NETWORK.indexOf("/"));

/** Makes the disk where there is none, mounts, writes what a provider's image would: name, address, the key that may log in. */
export async function prepareMachine(machine: LabMachine, base: string, publicKey: string): Promise<void> {
  const { disk, diskMount, root } = machine;
  mkdirSync(diskMount, { recursive: true });
  mkdirSync(root, { recursive: true });
  if (!existsSync(disk)) {
    const making = `${disk}.making`;
    closeSync(openSync(making, "w"));
    truncateSync(making, DISK_BYTES);
    await run("mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1", making);
    await run("mv", making, disk);
  }
  if (!isMounted(diskMount)) await run("mount", "-o", "loop", disk, diskMount);
  for (const folder of ["upper", "work", "containerd"]) mkdirSync(join(diskMount, folder), { recursive: true });
  if (!isMounted(root)) {
    const layers = `lowerdir=${base},upperdir=${diskMount}/upper,workdir=${diskMount}/work`;
    await run("mount", "-t", "overlay", "overlay", "-o", layers, root);
  }
  writeIdentity(machine, publicKey);
}

function writeIdentity({ name, container, address, root }: LabMachine, publicKey: string): void {
  const put = (path: string, text: string, mode = 0o644): void => writeFileSync(join(root, path), text, { mode });
  // Left to itself, each machine would take the id that nspawn finds on the host.
  put("etc/machine-id", `${createHash("sha256").update(container).digest("hex").slice(0, 32)}\n`);
  put("etc/hostname", `${name}\n`);
  put("etc/hosts", `127.0.0.1 localhost\n127.0.1.1 ${name}\n`);
  mkdirSync(join(root, "root/.ssh"), { recursive: true, mode: 0o700 });
  put("root/.ssh/authorized_keys", publicKey, 0o600);
  // It must sort before systemd's own file for a container's interface.
  put(
    "etc/systemd/network/10-lab.network",
    `[Match]\nName=host0\n\n[Network]\nAddress=${address}${PREFIX_LENGTH}\nLinkLocalAddressing=no\nDHCP=no\nLLMNR=no\n`,
  );
}

/**
 * Starts the machine; it is up once its sshd answers. Tried again where nspawn gives up at once: the kernel takes the interface of
 * a machine that was cut off away in its own time, which may be never, so that we take it.
 */
export async function powerOn(layout: LabLayout, machine: LabMachine): Promise<void> {
  if (leaderOf(machine) !== undefined) return;
  for (let attempt = 1; ; attempt++) {
    const ended = await startNspawn(layout, machine);
    if (!ended) return;
    if (attempt === POWER_ON_ATTEMPTS)
      throw new Error(`${machine.name} does not start; its last words are in ${machine.console}`);
    await removeLingeringLink(layout, machine);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
}

/** What nspawn said last tells the name, which it has shortened in its own way. */
async function removeLingeringLink({ netns }: LabLayout, { console }: LabMachine): Promise<void> {
  const refusals = [...readFileSync(console, "utf8").matchAll(/veth interfaces \((\S+):host0\): File exists/g)];
  const link = refusals.at(-1)?.[1];
  if (link !== undefined) await runQuietly("ip", "-n", netns, "link", "delete", link);
}

/** Whether it has ended again by the time that a machine which starts would be on its way. */
async function startNspawn(layout: LabLayout, machine: LabMachine): Promise<boolean> {
  const console = openSync(machine.console, "a");
  // Its own cgroup first: nspawn takes the one that it is started in for the machine's root.
  const enter = cgroupFolders(machine).map((folder) => {
    makeCgroup(folder);
    return `echo $$ > ${folder}/cgroup.procs`;
  });
  const nspawn = [
    `--net=/run/netns/${layout.netns}`,
    "systemd-nspawn",
    "--quiet",
    "--boot",
    "--register=no",
    "--keep-unit",
    "--capability=all",
    "--system-call-filter=@known",
    "--link-journal=no",
    "--resolv-conf=off",
    "--timezone=off",
    `--network-bridge=${layout.bridge}`,
    `--machine=${machine.container}`,
    `--directory=${machine.root}`,
    // containerd stacks its layers on what must not itself be a stack of layers.
    `--bind=${join(machine.diskMount, "containerd")}:/var/lib/containerd`,
  ];
  const script = `${enter.join(" && ")} && exec nsenter "$@"`;
  const child = spawn("sh", ["-c", script, "sh", ...nspawn], { detached: true, stdio: ["ignore", console, console] });
  closeSync(console);
  const ended = new Promise<true>((resolve, reject) => child.once("exit", () => resolve(true)).once("error", reject));
  const starts = new Promise<false>((resolve) => setTimeout(() => resolve(false), NSPAWN_FAILS_WITHIN_MS));
  const hasEnded = await Promise.race([ended, starts]);
  child.unref();
  return hasEnded;
}

export async function waitForSsh(machine: LabMachine, limitMs: number): Promise<boolean> {
  const startedMs = performance.now();
  while (performance.now() - startedMs < limitMs) {
    if (await greets(machine.address)) return true;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return false;
}

/** A power cut: nothing in the machine gets to say goodbye. */
export async function powerOff(machine: LabMachine): Promise<void> {
  thaw(machine);
  const leader = leaderOf(machine);
  const pids = leader === undefined ? cgroupProcesses(machine.cgroup) : [leader, ...cgroupProcesses(machine.cgroup)];
  for (const pid of pids) kill(pid);
  while (pids.some(isAlive)) await new Promise((resolve) => setTimeout(resolve, 10));
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It went with its machine.
  }
}

export function pause(machine: LabMachine): void {
  setFrozen(machine, true);
}

export function thaw(machine: LabMachine): void {
  setFrozen(machine, false);
}

export function isOn(machine: LabMachine): boolean {
  return leaderOf(machine) !== undefined;
}

/** Its mounts, its cgroups and its folder go; it must be off. */
export async function removeMachine(machine: LabMachine): Promise<void> {
  for (const mount of [machine.root, machine.diskMount]) if (isMounted(mount)) await run("umount", mount);
  for (const folder of cgroupFolders(machine)) removeFolders(folder);
  await runQuietly("rm", "-rf", "--one-file-system", machine.directory);
}

/** The nspawn process that keeps the machine running, known by its own arguments. */
function leaderOf({ container }: LabMachine): number | undefined {
  const wanted = `--machine=${container}`;
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .find((pid) => isAlive(pid) && argumentsOf(pid).includes(wanted));
}

function argumentsOf(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return []; // It ended while we looked.
  }
}

function cgroupFolders({ cgroup }: LabMachine): readonly string[] {
  return cgroupHierarchies().map((hierarchy) => join(hierarchy, cgroup));
}

/** A cpuset of cgroup v1 is born without processors, and takes nobody in until it has some. */
function makeCgroup(folder: string): void {
  if (existsSync(folder)) return;
  const parent = dirname(folder);
  if (!existsSync(parent)) makeCgroup(parent);
  mkdirSync(folder);
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    const given = join(parent, file);
    if (existsSync(given)) writeFileSync(join(folder, file), readFileSync(given));
  }
}

function setFrozen(machine: LabMachine, frozen: boolean): void {
  const [v1, v2] = ["freezer", ""].map((hierarchy) => join("/sys/fs/cgroup", hierarchy, machine.cgroup));
  if (existsSync(`${v1}/freezer.state`)) writeFileSync(`${v1}/freezer.state`, frozen ? "FROZEN" : "THAWED");
  else if (existsSync(`${v2}/cgroup.freeze`)) writeFileSync(`${v2}/cgroup.freeze`, frozen ? "1" : "0");
}

function isMounted(path: string): boolean {
  return readFileSync("/proc/self/mounts", "utf8").includes(` ${path} `);
}

function greets(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(22, address);
    const settle = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(1_000, () => settle(false));
    socket.once("error", () => settle(false));
    socket.once("data", (data) => settle(data.toString("latin1").startsWith("SSH-")));
  });
}
