import { appendFile, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sleep } from "@pilothouse/clock";
import { systemClock } from "@pilothouse/clock/system";
import { afterEach, beforeEach, expect, test } from "vitest";
import { until } from "../../../../test/harness/index.ts";
import { logFiles } from "./log-files.ts";

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "logs-"));
  path = join(folder, "0.log");
});
afterEach(() => rm(folder, { recursive: true }));

/** Follows the log until `over`; what was read so far is in `text`. */
function follower(): { text: string; over: boolean; done: Promise<void> } {
  const self = { text: "", over: false, done: Promise.resolve() };
  const reading = {
    path,
    tailLines: undefined,
    growing: () => Promise.resolve(!self.over),
    signal: new AbortController().signal,
  };
  const read = async (): Promise<void> => {
    for await (const chunk of logFiles(systemClock).read(reading)) self.text += Buffer.from(chunk).toString();
  };
  self.done = read();
  return self;
}

test("who follows goes over to the new file when the old one is put aside, and misses nothing", async () => {
  await writeFile(path, "one\n");
  const followed = follower();
  await until("the beginning is read", () => followed.text === "one\n", 5_000);
  for (const stamp of ["a", "b", "c"]) {
    await rename(path, `${path}.${stamp}`);
    // The runtime writes to the old file until it is told to open the new one.
    await appendFile(`${path}.${stamp}`, `late ${stamp}\n`);
    await writeFile(path, `after ${stamp}\n`);
    await until("the new file is read", () => followed.text.endsWith(`after ${stamp}\n`), 5_000);
  }
  await appendFile(path, "end\n");
  followed.over = true;
  await followed.done;
  expect(followed.text).toBe(
    ["one", "late a", "after a", "late b", "after b", "late c", "after c", "end", ""].join("\n"),
  );
});

test("while the file is away for a moment the follower waits", async () => {
  await writeFile(path, "one\n");
  const followed = follower();
  await until("the beginning is read", () => followed.text === "one\n", 5_000);
  await rename(path, `${path}.a`);
  await sleep(systemClock, 700);
  await writeFile(path, "two\n");
  await until("it goes on", () => followed.text === "one\ntwo\n", 5_000);
  followed.over = true;
  await followed.done;
});

test("a log that becomes a link is not followed there", async () => {
  await writeFile(join(folder, "secret"), "secret\n");
  await writeFile(path, "one\n");
  const followed = follower();
  await until("the beginning is read", () => followed.text === "one\n", 5_000);
  await rm(path);
  await symlink(join(folder, "secret"), path);
  await expect(followed.done).rejects.toThrow("ELOOP");
  expect(followed.text).toBe("one\n");
});
