/** What `up` and `down` do to the machine itself: network namespace, addresses, kernel settings, mounts, cgroups. */
import { execFile, execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { hostname } from "node:os";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { ExplainedError } from "./errors.ts";
import { DEFAULT_PORTS, FALLBACK_NODE_IP, type ClusterChoices, type ClusterPorts, type Layout } from "./layout.ts";

const run = promisify(execFile);

/** Settings that a node needs; `down` puts the old values back. */
const NODE_SYSCTLS: Readonly<Record<string, string>> = {
  "net/ipv4/ip_forward": "1",
  "net/bridge/bridge-nf-call-iptables": "1",
};

/** Refuses a machine on which containers cannot work, naming what is missing. */
export function checkKernel(): void {
  const missing: string[] = [];
  if (!existsSync("/proc/self/ns/net")) missing.push("network namespaces");
  if (!hasOverlay()) missing.push("the overlay file system");
  if (!hasCgroupController("memory") || !hasCgroupController("cpu"))
    missing.push("cgroup controllers for memory and cpu");
  try {
    execFileSync("nft", ["list", "tables"], { stdio: "ignore" });
  } catch {
    missing.push("nftables");
  }
  if (missing.length > 0) throw new ExplainedError("PH-104", `This kernel has not: ${missing.join(", ")}.`);
}

/** The kernel lists a file system once it is loaded: Debian's has this one as a module that nobody has used yet. */
function hasOverlay(): boolean {
  const isListed = (): boolean => /\boverlay$/m.test(readFileSync("/proc/filesystems", "utf8"));
  if (isListed()) return true;
  try {
    execFileSync("modprobe", ["overlay"], { stdio: "ignore" });
  } catch {
    return false;
  }
  return isListed();
}

function hasCgroupController(name: string): boolean {
  if (existsSync(`/sys/fs/cgroup/${name}`)) return true;
  const file = "/sys/fs/cgroup/cgroup.controllers";
  return existsSync(file) && readFileSync(file, "utf8").split(/\s/).includes(name);
}

/** Decides the node's name, address and ports at the first `up`. */
export async function chooseCluster(isolated: boolean): Promise<ClusterChoices> {
  const nodeName =
    hostname()
      .toLowerCase()
      .replaceAll(/[^a-z0-9.-]+/g, "-")
      .replaceAll(/^[-.]+|[-.]+$/g, "") || "node";
  const nodeIp = isolated ? FALLBACK_NODE_IP : ((await uplinkAddress()) ?? FALLBACK_NODE_IP);
  const sysctlsBefore = isolated ? {} : readSysctls();
  return { isolated, nodeName, nodeIp, ports: isolated ? DEFAULT_PORTS : await choosePorts(), sysctlsBefore };
}

/** The address this machine uses towards its default route. */
async function uplinkAddress(): Promise<string | undefined> {
  const { stdout } = await run("ip", ["-j", "-4", "route", "show", "default"]);
  const [route] = JSON.parse(stdout || "[]") as { dev?: string; prefsrc?: string }[];
  if (!route?.dev) return undefined;
  if (route.prefsrc) return route.prefsrc;
  const { stdout: links } = await run("ip", ["-j", "-4", "addr", "show", "dev", route.dev, "scope", "global"]);
  const [link] = JSON.parse(links) as { addr_info?: { local?: string }[] }[];
  return link?.addr_info?.[0]?.local;
}

/** Clients know 6443 and 10250, so these must be free; the others move when they are taken. */
async function choosePorts(): Promise<ClusterPorts> {
  const ports: Record<string, number> = {};
  for (const [name, port] of Object.entries(DEFAULT_PORTS)) {
    const fixed = name === "apiserver" || name === "kubelet";
    if (fixed) await checkPortFree(port, name);
    ports[name] = fixed || (await isPortFree(port)) ? port : await anyFreePort();
  }
  return ports as unknown as ClusterPorts;
}

export async function checkPortFree(port: number, forWhat: string): Promise<void> {
  if (await isPortFree(port)) return;
  const { stdout } = await run("ss", ["-Hltnp", `sport = :${port}`]);
  const pid = /pid=(\d+)/.exec(stdout)?.[1];
  const who = pid === undefined ? "" : ` by ${programOf(pid)} (pid ${pid})`;
  throw new ExplainedError("PH-110", `Port ${port}, which the ${forWhat} needs, is taken${who}.`);
}

/** What the process was started as; its thread's name says nothing for Node programs. */
function programOf(pid: string): string {
  return basename(readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0")[0] ?? "") || "a program";
}

function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ port, host: "0.0.0.0", exclusive: true }, () => server.close(() => resolve(true)));
  });
}

function anyFreePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() =>
        address && typeof address === "object" ? resolve(address.port) : reject(new Error("no port")),
      );
    });
  });
}

/** Makes the namespace of an isolated cluster; harmless when it is there. */
export async function ensureNetns(netns: string): Promise<void> {
  if (!existsSync(`/run/netns/${netns}`)) await run("ip", ["netns", "add", netns]);
  await run("ip", ["-n", netns, "link", "set", "lo", "up"]);
}

/**
 * The command that runs another one in the namespace. Not `ip netns exec`: that mounts a fresh /sys, and the cgroup
 * controllers are gone.
 */
export function inNetns(netns: string, command: string, args: readonly string[]): { command: string; args: string[] } {
  return { command: "nsenter", args: [`--net=/run/netns/${netns}`, command, ...args] };
}

/** True when this process already runs in the named namespace. */
export function isInNetns(netns: string): boolean {
  return execFileSync("ip", ["netns", "identify", String(process.pid)], { encoding: "utf8" }).trim() === netns;
}

/** Gives the node its address where the machine has none, and the kernel settings of a router. Runs in the node's namespace. */
export async function prepareNode(choices: ClusterChoices): Promise<void> {
  if (choices.nodeIp === FALLBACK_NODE_IP) await run("ip", ["addr", "replace", `${FALLBACK_NODE_IP}/32`, "dev", "lo"]);
  for (const [name, value] of Object.entries(NODE_SYSCTLS)) writeSysctl(name, value);
}

/** Refuses ranges that this machine already routes elsewhere. */
export async function checkRangesFree(bridge: string): Promise<void> {
  const { stdout } = await run("ip", ["-j", "-4", "route", "show"]);
  const routes = JSON.parse(stdout || "[]") as { dst?: string; dev?: string; type?: string }[];
  const foreign = routes.find(
    ({ dst, dev, type }) => /^198\.1[89]\./.test(dst ?? "") && dev !== bridge && dev !== "lo" && type !== "unreachable",
  );
  if (foreign)
    throw new ExplainedError("PH-111", `This machine already routes ${foreign.dst} to ${foreign.dev ?? "elsewhere"}.`);
}

export function restoreSysctls(before: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(before)) writeSysctl(name, value);
}

function readSysctls(): Record<string, string> {
  const known = Object.keys(NODE_SYSCTLS).filter((name) => existsSync(`/proc/sys/${name}`));
  return Object.fromEntries(known.map((name) => [name, readFileSync(`/proc/sys/${name}`, "utf8").trim()]));
}

function writeSysctl(name: string, value: string): void {
  if (existsSync(`/proc/sys/${name}`)) writeFileSync(`/proc/sys/${name}`, value);
}

/**
 * Takes everything of the cluster out of the kernel's network tables: the namespace as a whole, for an isolated one. Without
 * choices `up` did not get far: there can be no more than an empty namespace.
 */
export async function removeNetworking(layout: Layout, choices: ClusterChoices | undefined): Promise<void> {
  if (existsSync(`/run/netns/${layout.netns}`)) await run("ip", ["netns", "delete", layout.netns]);
  if (!choices || choices.isolated) return;
  const quietly = async (command: string, ...args: string[]): Promise<void> => {
    await run(command, args).catch(() => {}); // Absent already is what we want.
  };
  await quietly("nft", "delete", "table", "ip", layout.nftTable);
  await quietly("ip", "link", "delete", layout.bridge);
  for (const range of ["198.18.0.0/16", "198.19.0.0/16"]) await quietly("ip", "route", "flush", "root", range);
  await quietly("ip", "addr", "del", `${FALLBACK_NODE_IP}/32`, "dev", "lo");
  await quietly("ip", "addr", "del", "198.19.0.10/32", "dev", "lo");
  restoreSysctls(choices.sysctlsBefore);
}

/** Unmounts what is mounted under one of the folders, deepest first. */
export async function unmountBelow(folders: readonly string[]): Promise<void> {
  const points = readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) => (line.split(" ")[1] ?? "").replaceAll("\\040", " "))
    .filter((point) => folders.some((folder) => point.startsWith(`${folder}/`)))
    .sort((a, b) => b.length - a.length);
  for (const point of points) await run("umount", ["--lazy", point]).catch(() => {});
}

/** Process ids in the cluster's cgroups, in every hierarchy. */
export function cgroupProcesses(cgroup: string): readonly number[] {
  const pids = new Set<number>();
  const walk = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (entry.isDirectory()) walk(join(folder, entry.name));
      else if (entry.name === "cgroup.procs") {
        for (const pid of readFileSync(join(folder, entry.name), "utf8").split("\n"))
          if (pid !== "") pids.add(Number(pid));
      }
    }
  };
  for (const hierarchy of cgroupHierarchies()) if (existsSync(join(hierarchy, cgroup))) walk(join(hierarchy, cgroup));
  return [...pids];
}

/** Removes the cluster's cgroups in every hierarchy; they must be empty of processes. */
export function removeCgroups(cgroup: string): void {
  for (const hierarchy of cgroupHierarchies()) removeFolders(join(hierarchy, cgroup));
}

/** The one folder of cgroup v2, or one for each controller of v1. */
export function cgroupHierarchies(): readonly string[] {
  if (existsSync("/sys/fs/cgroup/cgroup.controllers")) return ["/sys/fs/cgroup"];
  return readdirSync("/sys/fs/cgroup").map((name) => join("/sys/fs/cgroup", name));
}

/** A cgroup goes by rmdir only, children first. */
export function removeFolders(folder: string): void {
  if (!existsSync(folder)) return;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) removeFolders(join(folder, entry.name));
  }
  rmdirSync(folder);
}
