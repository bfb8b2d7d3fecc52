/**
 * Files and mounts of pods on this machine.
 *
 * Layout: `<root>/pods/<uid>/volumes/<name>` and, beside them, the pod's own files. Volumes made of API objects change in one
 * step: a new folder is filled, then the `..data` link that all names go through is turned to it.
 */
import { execFile } from "node:child_process";
import type { Stats } from "node:fs";
import {
  chmod,
  chown,
  lstat,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { basename, dirname, join, normalize } from "node:path";
import { promisify } from "node:util";
import { parseResolvConf } from "../core/dns.ts";
import { ConfigUnavailable } from "../core/environment.ts";
import type { VolumeFile } from "../core/volumes.ts";
import type { NodeFiles } from "../flows/ports.ts";
import { resolvConfForPods } from "./resolv-conf.ts";
import { linkLog, unlinkLogsIn } from "./log-links.ts";
import { fsUsage } from "./machine.ts";
import { bindSubPath, LeavesVolume } from "./sub-path.ts";

const run = promisify(execFile);

const DATA = "..data";
/** What `mkdtemp` makes for the files behind it. */
const OWN_FOLDER = /^\.\.data_[A-Za-z0-9]{6}$/;

export interface NodeFilesOptions {
  readonly rootDir: string;
  /** Of the node itself, for pods that resolve names as the node does. */
  readonly resolvConf: string;
  /** Where links to all containers' logs are. */
  readonly logLinksDir: string;
}

export function nodeFiles({ rootDir, resolvConf, logLinksDir }: NodeFilesOptions): NodeFiles {
  const podDir = (uid: string): string => join(rootDir, "pods", uid);
  const volumeDir = (uid: string, name: string): string => join(podDir(uid), "volumes", name);
  return {
    async ensureVolume(uid, volume, fsGroup) {
      if (volume.kind === "host") return ensureHostPath(volume.path, volume.type);
      const path = volumeDir(uid, volume.name);
      await mkdir(path, { recursive: true, mode: 0o755 });
      switch (volume.kind) {
        case "directory":
          await shareWith(path, fsGroup, 0o777);
          break;
        case "memory":
          await mountMemory(path, volume.sizeBytes);
          await shareWith(path, fsGroup, 0o777);
          break;
        case "files":
          // Secrets must not reach a disk.
          await mountMemory(path, 0);
          await writeAtomically(path, volume.files, fsGroup);
          break;
      }
      return path;
    },
    async mountImage(uid, name, mounts) {
      const path = volumeDir(uid, name);
      await mkdir(path, { recursive: true, mode: 0o755 });
      if ((await mountPoints()).includes(path)) return path;
      for (const { type, source, options } of mounts) {
        const bound = type === "bind" ? [] : ["-t", type];
        await run("mount", [...bound, "-o", [...options, "ro"].join(","), source, path]);
      }
      return path;
    },
    async subPath(uid, { volume, container, index, volumePath, subPath }) {
      const target = join(podDir(uid), "volume-subpaths", volume, container, String(index));
      // An earlier instance of the container had it: what it was may not be what it is.
      if ((await mountPoints()).includes(target)) await run("umount", ["-l", target]);
      try {
        await bindSubPath(volumePath, subPath, target);
      } catch (error) {
        if (!(error instanceof LeavesVolume)) throw error;
        throw new ConfigUnavailable(
          `failed to prepare subPath for volumeMount "${volume}" of container "${container}"`,
        );
      }
      return target;
    },
    async writePodFile(uid, name, content, mode) {
      const path = join(podDir(uid), name);
      await mkdir(dirname(path), { recursive: true, mode: 0o755 });
      // In place: the file may be mounted into a container already.
      await writeFile(path, content);
      await chmod(path, mode);
      return path;
    },
    readTail,
    volumeBytes: (uid, volume) => diskUsage(volumeDir(uid, volume)),
    async volumeUsage(uid, volume) {
      const path = volumeDir(uid, volume);
      const fs = await fsUsage(path).catch(() => undefined);
      if (!fs) return undefined;
      const { stdout } = await run("du", ["--summarize", "--inodes", "--one-file-system", path]);
      return { usedBytes: await diskUsage(path), inodesUsed: Number.parseInt(stdout, 10) || 0, fs };
    },
    async logFolderBytes(path) {
      const [folder, name] = [dirname(path), basename(path)];
      const names = (await readdir(folder).catch(() => [])).filter((it) => it === name || it.startsWith(`${name}.`));
      const sizes = await Promise.all(
        names.map(async (it) => (await lstat(join(folder, it)).catch(() => undefined))?.size),
      );
      return sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0);
    },
    logBytes: async (path) => (await lstat(path).catch(() => undefined))?.size ?? 0,
    rotateLog,
    async ensureLogDirectory(path) {
      await mkdir(path, { recursive: true, mode: 0o755 });
    },
    linkLog: (name, logPath) => linkLog(logLinksDir, name, logPath),
    unlinkLog: (name) => rm(join(logLinksDir, name), { force: true }),
    async hostFiles() {
      const forPods = await resolvConfForPods(resolvConf);
      const [hosts, resolver] = await Promise.all([readText("/etc/hosts"), readText(forPods)]);
      return { hosts, resolver: parseResolvConf(resolver) };
    },
    async removePod(uid, logDirectory) {
      await unmountBelow(podDir(uid));
      await rm(podDir(uid), { recursive: true, force: true });
      await unlinkLogsIn(logLinksDir, logDirectory);
      await rm(logDirectory, { recursive: true, force: true });
    },
    volumeNames: (uid) => readdir(join(podDir(uid), "volumes")).catch(() => []),
    async listPods() {
      return (await readdir(join(rootDir, "pods")).catch(() => [])).toSorted((a, b) => (a < b ? -1 : 1));
    },
  };
}

async function diskUsage(path: string): Promise<number> {
  const { stdout } = await run("du", ["--summarize", "--bytes", "--one-file-system", path]);
  return Number.parseInt(stdout, 10) || 0;
}

/** As upstream: without a type, and with one that says so, a path that is not there is made; else it must be what it says. */
async function ensureHostPath(path: string, type: string): Promise<string> {
  const found = await lstat(path).catch(() => undefined);
  if (!found && (type === "" || type === "DirectoryOrCreate")) await mkdir(path, { recursive: true, mode: 0o755 });
  if (!found && type === "FileOrCreate") await (await open(path, "a", 0o644)).close();
  const real = await realpath(path).catch(() => path);
  const stats = await lstat(real).catch(() => undefined);
  const wanted = HOST_PATHS[type];
  if (wanted && !(stats && wanted.isRight(stats)))
    throw new ConfigUnavailable(`hostPath type check failed: ${path} is not a ${wanted.what}`);
  return path;
}

const HOST_PATHS: Readonly<Record<string, { readonly what: string; isRight(stats: Stats): boolean }>> = {
  Directory: { what: "directory", isRight: (it) => it.isDirectory() },
  DirectoryOrCreate: { what: "directory", isRight: (it) => it.isDirectory() },
  File: { what: "file", isRight: (it) => it.isFile() },
  FileOrCreate: { what: "file", isRight: (it) => it.isFile() },
  Socket: { what: "socket file", isRight: (it) => it.isSocket() },
  CharDevice: { what: "character device", isRight: (it) => it.isCharacterDevice() },
  BlockDevice: { what: "block device", isRight: (it) => it.isBlockDevice() },
};

async function shareWith(path: string, fsGroup: number | undefined, mode: number): Promise<void> {
  await chmod(path, fsGroup === undefined ? mode : mode | 0o2000);
  if (fsGroup !== undefined) await chown(path, 0, fsGroup);
}

async function mountMemory(path: string, sizeBytes: number): Promise<void> {
  if ((await mountPoints()).includes(path)) return;
  const options = ["rw", "relatime", ...(sizeBytes > 0 ? [`size=${sizeBytes}`] : [])].join(",");
  await run("mount", ["-t", "tmpfs", "-o", options, "tmpfs", path]);
}

/** Writes all files into a new folder and turns `..data` to it; nothing happens when they are as they should be. */
async function writeAtomically(path: string, files: readonly VolumeFile[], fsGroup: number | undefined): Promise<void> {
  const turnedTo = await readlink(join(path, DATA)).catch(() => undefined);
  // Only what we made ourselves is read, and removed in the end.
  const current = turnedTo !== undefined && OWN_FOLDER.test(turnedTo) ? turnedTo : undefined;
  if (current !== undefined && (await sameFiles(join(path, current), files))) return;
  const fresh = await mkdtemp(join(path, "..data_"));
  await chmod(fresh, 0o755);
  for (const file of files) {
    const target = inside(fresh, file.path);
    await mkdir(dirname(target), { recursive: true, mode: 0o755 });
    await writeFile(target, file.content);
    // The group must be able to read what it owns.
    await chmod(target, fsGroup === undefined ? file.mode : file.mode | 0o440);
    if (fsGroup !== undefined || file.uid !== undefined) await chown(target, file.uid ?? 0, fsGroup ?? 0);
  }
  const link = join(path, "..data_tmp");
  await rm(link, { force: true });
  await symlink(fresh.slice(path.length + 1), link);
  await rename(link, join(path, DATA));
  await linkNames(path, files);
  if (current !== undefined) await rm(join(path, current), { recursive: true, force: true });
}

/** One link per first part of a path, through `..data`; links to what is no more are removed. */
async function linkNames(path: string, files: readonly VolumeFile[]): Promise<void> {
  const wanted = new Set(files.map((file) => file.path.split("/", 1)[0] as string));
  for (const name of await readdir(path)) {
    if (!name.startsWith("..") && !wanted.has(name)) await rm(join(path, name), { recursive: true, force: true });
  }
  for (const name of wanted) {
    if (!(await lstat(join(path, name)).catch(() => undefined))) await symlink(join(DATA, name), join(path, name));
  }
}

async function sameFiles(folder: string, files: readonly VolumeFile[]): Promise<boolean> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  if (entries.filter((it) => it.isFile()).length !== new Set(files.map((it) => it.path)).size) return false;
  for (const { path, content } of files) {
    const there = await readFile(join(folder, path)).catch(() => undefined);
    if (!there || Buffer.compare(there, content) !== 0) return false;
  }
  return true;
}

function inside(folder: string, path: string): string {
  const joined = normalize(join(folder, path));
  if (!joined.startsWith(`${folder}/`)) throw new ConfigUnavailable(`path "${path}" leaves its volume`);
  return joined;
}

async function readTail(path: string, maxBytes: number): Promise<string> {
  if (path === "") return "";
  try {
    await using file = await open(path, "r");
    const { size } = await file.stat();
    const length = Math.min(size, maxBytes);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
    return buffer.subarray(0, bytesRead).toString("utf8");
  } catch {
    return "";
  }
}

/** The newest stays as it is, since the runtime may still write to it; older ones are packed. */
async function rotateLog(path: string, stamp: string, maxFiles: number): Promise<void> {
  const [folder, name] = [dirname(path), basename(path)];
  const rotated = (await readdir(folder)).filter((it) => it.startsWith(`${name}.`)).toSorted();
  for (const old of rotated.filter((it) => !it.endsWith(".gz"))) await run("gzip", ["--force", join(folder, old)]);
  const packed = (await readdir(folder)).filter((it) => it.startsWith(`${name}.`)).toSorted();
  const excess = packed.slice(0, Math.max(0, packed.length - (maxFiles - 2)));
  for (const old of excess) await rm(join(folder, old), { force: true });
  await rename(path, `${path}.${stamp}`);
}

async function readText(path: string): Promise<string> {
  return readFile(path, "utf8").catch(() => "");
}

async function mountPoints(): Promise<string[]> {
  const lines = (await readFile("/proc/self/mounts", "utf8")).split("\n");
  const unescape = (text: string): string =>
    text.replaceAll(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
  return lines.map((line) => unescape(line.split(" ")[1] ?? ""));
}

async function unmountBelow(folder: string): Promise<void> {
  const mounts = (await mountPoints()).filter((it) => it.startsWith(`${folder}/`));
  for (const mount of mounts.toReversed()) await run("umount", ["-l", mount]);
}
