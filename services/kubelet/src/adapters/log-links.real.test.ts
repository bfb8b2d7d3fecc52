import { mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { linkLog, unlinkLogsIn } from "./log-links.ts";

let root: string;
let links: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "log-links-"));
  links = join(root, "containers");
});
afterEach(() => rm(root, { recursive: true }));

test("a log is found by its link until its pod goes; nobody else's links go with it", async () => {
  const pods = ["a_1", "a_10"].map((name) => join(root, "pods", name));
  for (const pod of pods) {
    await mkdir(pod, { recursive: true });
    await writeFile(join(pod, "0.log"), pod);
    await linkLog(links, `${pod.slice(-2)}.log`, join(pod, "0.log"));
    await linkLog(links, "missing.log", join(pod, "1.log"));
  }
  await symlink("/etc/hostname", join(links, "theirs.log"));
  await writeFile(join(links, "file.log"), "");
  const [first = "", second = ""] = pods;
  expect(await readFile(join(links, "_1.log"), "utf8")).toBe(first);
  await linkLog(links, "_1.log", join(second, "0.log"));
  expect(await readFile(join(links, "_1.log"), "utf8")).toBe(second);
  await linkLog(links, "_1.log", join(first, "0.log"));
  await unlinkLogsIn(links, first);
  expect((await readdir(links)).toSorted()).toEqual(["10.log", "file.log", "theirs.log"]);
  await unlinkLogsIn(join(root, "nowhere"), first);
});
