import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { until } from "../../../../test/harness/index.ts";
import { manifestFiles } from "./manifest-files.ts";

let folder: string;
beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), "manifests-"))));
afterEach(() => rm(folder, { recursive: true }));

async function names(path: string): Promise<readonly string[]> {
  return (await manifestFiles(path).read()).map((it) => it.path.slice(folder.length + 1));
}

test("files of the directory in the order of their names; no hidden ones, no folders, but what a link leads to", async () => {
  const path = join(folder, "manifests");
  expect(await names(path)).toEqual([]);
  await mkdir(join(path, "folder"), { recursive: true });
  for (const name of ["b.yaml", "a.yaml", ".hidden"]) await writeFile(join(path, name), "x");
  await writeFile(join(folder, "elsewhere"), "x");
  await symlink(join(folder, "elsewhere"), join(path, "c.yaml"));
  await symlink(join(folder, "nowhere"), join(path, "d.yaml"));
  expect(await names(path)).toEqual(["manifests/a.yaml", "manifests/b.yaml", "manifests/c.yaml"]);
  expect(await names(join(path, "a.yaml"))).toEqual(["manifests/a.yaml"]);
});

test("a file that is written is heard of", async () => {
  let heard = 0;
  const end = manifestFiles(folder).watch(() => heard++);
  await writeFile(join(folder, "a.yaml"), "x");
  await until("the change is heard of", () => heard > 0, 5_000);
  end();
});
