/** However a file is replaced, the file system's own word is enough: the poll would take ten seconds. */
import { mkdir, rename, symlink, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "@pilothouse/clock/system";
import { seededRandom } from "@pilothouse/clock/seeded";
import { Scope } from "@pilothouse/lifecycle";
import { memoryTelemetry } from "@pilothouse/telemetry/memory";
import { afterEach, beforeEach, expect, test } from "vitest";
import { makeTestDirectory, removeTestDirectory, until } from "../../../test/harness/index.ts";
import { systemFolders } from "./folders.ts";
import { watchFiles } from "./watched-files.ts";

let directory: string;
let scope: Scope;

beforeEach(async () => {
  directory = await makeTestDirectory();
  scope = new Scope("test", () => undefined);
});
afterEach(async () => {
  await scope.close();
  await removeTestDirectory(directory);
});

const file = (name: string): string => join(directory, name);

/** The file says "one" at first, "two" in the end. */
const replacements: readonly (readonly [how: string, prepare: () => Promise<void>, replace: () => Promise<void>])[] = [
  [
    "a file renamed over it",
    () => writeFile(file("tls.crt"), "one"),
    async () => {
      await writeFile(file("tls.crt.new"), "two");
      await rename(file("tls.crt.new"), file("tls.crt"));
    },
  ],
  ["a file written in place", () => writeFile(file("tls.crt"), "one"), () => writeFile(file("tls.crt"), "two")],
  [
    "a file that its link leads to, in another folder",
    async () => {
      await mkdir(file("elsewhere"));
      await writeFile(file("elsewhere/tls.crt"), "one");
      await symlink("elsewhere/tls.crt", file("tls.crt"));
    },
    () => writeFile(file("elsewhere/tls.crt"), "two"),
  ],
  [
    "a folder swapped by its link, as volumes of Secrets are",
    async () => {
      for (const text of ["one", "two"]) {
        await mkdir(file(`..${text}`));
        await writeFile(file(`..${text}/tls.crt`), text);
      }
      await symlink("..one", file("..data"));
      await symlink("..data/tls.crt", file("tls.crt"));
    },
    async () => {
      await symlink("..two", file("..data_tmp"));
      await rename(file("..data_tmp"), file("..data"));
    },
  ],
  [
    "a file removed and made again",
    () => writeFile(file("tls.crt"), "one"),
    async () => {
      await unlink(file("tls.crt"));
      await writeFile(file("tls.crt"), "two");
    },
  ],
];

test.each(replacements)("%s is noticed", async (_how, prepare, replace) => {
  await prepare();
  const telemetry = memoryTelemetry({ clock: systemClock, random: seededRandom("folders") });
  const ports = { clock: systemClock, scope, log: telemetry.log, folders: systemFolders };
  const set = watchFiles({ name: "one file", read: (text) => text(file("tls.crt")) }, ports);
  expect(set.current()).toBe("one");
  // Past the look that follows the first reading.
  await new Promise((resolve) => setTimeout(resolve, 250));
  await replace();
  await until("the new text is in use", () => set.current() === "two", 5_000);
  expect(telemetry.logs.at(-1)?.fields).toMatchObject({ name: "one file", noticedBy: "event" });
});
