/** Volumes of a pod that tries to reach the node's own files through them. */
import { lstat, mkdir, mkdtemp, readFile, readdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { once } from "node:events";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "@pilothouse/clock/system";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ConfigUnavailable } from "../core/environment.ts";
import type { NodeFiles } from "../flows/ports.ts";
import { nodeFiles } from "./files.ts";
import { logFiles } from "./log-files.ts";

const UID = "pod-uid";

let root: string;
/** The node's own, which no pod may see. */
let secrets: string;
let files: NodeFiles;
let volumePath: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "ph-volumes-"));
  secrets = join(root, "node-secrets");
  await mkdir(secrets);
  await writeFile(join(secrets, "key"), "the node's key");
  files = nodeFiles({
    rootDir: join(root, "kubelet"),
    resolvConf: "/etc/resolv.conf",
    logLinksDir: join(root, "links"),
  });
  volumePath = await files.ensureVolume(UID, { kind: "directory", name: "data" }, undefined);
});

afterAll(async () => {
  await files.removePod(UID, "/nonexistent");
  expect(await readFile("/proc/self/mounts", "utf8")).not.toContain(root);
  expect(await readFile(join(secrets, "key"), "utf8")).toBe("the node's key");
  await rm(root, { recursive: true });
});

function part(subPath: string, index = 0): Promise<string> {
  return files.subPath(UID, { volume: "data", container: "c", index, volumePath, subPath });
}

test("a part of a volume is what the volume holds there, and is made if it is missing", async () => {
  await mkdir(join(volumePath, "a/b"), { recursive: true });
  await writeFile(join(volumePath, "a/b/hello"), "hello");
  await symlink("a/b", join(volumePath, "inner"));
  expect(await readFile(join(await part("a/b"), "hello"), "utf8")).toBe("hello");
  expect(await readFile(await part("a/b/hello"), "utf8")).toBe("hello");
  expect(await readFile(join(await part("inner"), "hello"), "utf8")).toBe("hello");
  await writeFile(join(await part("inner/new/deep"), "x"), "written");
  expect(await readFile(join(volumePath, "a/b/new/deep/x"), "utf8")).toBe("written");
});

test.each([
  ["up and out", "../../../../node-secrets"],
  ["within and out", "a/../../../x"],
  ["an absolute path", "/etc"],
])("a way %s is refused", async (_, subPath) => {
  await expect(part(subPath)).rejects.toThrow(ConfigUnavailable);
});

test("a link out of the volume is refused, and nothing is made behind it", async () => {
  await symlink(secrets, join(volumePath, "out"));
  await symlink(join(secrets, "key"), join(volumePath, "key"));
  for (const subPath of ["out", "out/new", "key", "out/key"]) {
    await expect(part(subPath)).rejects.toThrow('failed to prepare subPath for volumeMount "data" of container "c"');
  }
  expect(await readdir(secrets)).toEqual(["key"]);
});

test("a folder that changes with a link all the time never leads out", async () => {
  await mkdir(join(volumePath, "real/target"), { recursive: true });
  await writeFile(join(volumePath, "real/target/key"), "the pod's own");
  await symlink(root, join(volumePath, "evil"));
  await mkdir(join(root, "target"));
  await writeFile(join(root, "target/key"), "the node's key");
  const over = new AbortController();
  const race = (async () => {
    const swap = join(volumePath, "swap");
    while (!over.signal.aborted) {
      await rename(join(volumePath, "real"), swap).catch(() => undefined);
      await rename(join(volumePath, "evil"), join(volumePath, "real")).catch(() => undefined);
      await rename(join(volumePath, "real"), join(volumePath, "evil")).catch(() => undefined);
      await rename(swap, join(volumePath, "real")).catch(() => undefined);
      await systemClock.turn();
    }
  })();
  const outcomes = { own: 0, refused: 0 };
  // On a busy machine all of 150 looks may fall into the moments when the link is there.
  for (let round = 0; round < 150 || (outcomes.own === 0 && round < 50_000); round++) {
    const path = await part("real/target", round % 3).catch(() => undefined);
    if (path === undefined) outcomes.refused++;
    else {
      expect(await readFile(join(path, "key"), "utf8").catch(() => "the pod's own")).toBe("the pod's own");
      outcomes.own++;
    }
  }
  over.abort();
  await race;
  expect(outcomes.own).toBeGreaterThan(0);
});

test("a link in the place of a volume's own data is neither read nor removed", async () => {
  const contents = (text: string) =>
    ({ kind: "files", name: "config", files: [{ path: "a", mode: 0o644, content: Buffer.from(text) }] }) as const;
  const path = await files.ensureVolume(UID, contents("one"), undefined);
  await rm(join(path, "..data"));
  await symlink(secrets, join(path, "..data"));
  await files.ensureVolume(UID, contents("two"), undefined);
  expect(await readFile(join(path, "a"), "utf8")).toBe("two");
  expect(await readdir(secrets)).toEqual(["key"]);
  expect((await lstat(join(path, "..data"))).isSymbolicLink()).toBe(true);
});

// DirectoryOrCreate and FileOrCreate once took whatever was there.
test("a path of the host is what its type says, or it is not mounted", async () => {
  const at = join(root, "host");
  const mounted = (name: string, type: string): Promise<string> =>
    files.ensureVolume(UID, { kind: "host", name: "h", path: join(at, name), type }, undefined);
  await mkdir(join(at, "folder"), { recursive: true });
  await writeFile(join(at, "file"), "x");
  const socket = createServer().listen(join(at, "socket"));
  await once(socket, "listening");
  const outcomes: string[] = [];
  const types = ["", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket", "CharDevice", "BlockDevice"];
  for (const type of types) {
    for (const name of ["folder", "file", "socket"]) {
      const outcome = await mounted(name, type).then(
        () => "yes",
        (error: unknown) => (error instanceof ConfigUnavailable ? "no" : String(error)),
      );
      outcomes.push(`${type} ${name}: ${outcome}`);
    }
  }
  socket.close();
  expect(outcomes.filter((it) => it.endsWith("no"))).toEqual(
    [
      "Directory file",
      "Directory socket",
      "DirectoryOrCreate file",
      "DirectoryOrCreate socket",
      "File folder",
      "File socket",
      "FileOrCreate folder",
      "FileOrCreate socket",
      "Socket folder",
      "Socket file",
      ...["CharDevice", "BlockDevice"].flatMap((type) => ["folder", "file", "socket"].map((name) => `${type} ${name}`)),
    ].map((it) => `${it}: no`),
  );
  await expect(mounted("nothing", "Directory")).rejects.toThrow(
    `hostPath type check failed: ${join(at, "nothing")} is not a directory`,
  );
  await mounted("new-folder", "DirectoryOrCreate");
  await mounted("new-file", "FileOrCreate");
  expect([(await lstat(join(at, "new-folder"))).isDirectory(), (await lstat(join(at, "new-file"))).isFile()]).toEqual([
    true,
    true,
  ]);
});

test("a log that is a link is not read", async () => {
  const link = join(root, "0.log");
  await symlink(join(secrets, "key"), link);
  const read = async (): Promise<string> => {
    let text = "";
    const reading = { path: link, tailLines: undefined, growing: undefined, signal: new AbortController().signal };
    for await (const chunk of logFiles(systemClock).read(reading)) text += Buffer.from(chunk).toString();
    return text;
  };
  await expect(read()).rejects.toThrow("ELOOP");
});
