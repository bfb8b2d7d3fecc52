import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { resolvConfForPods } from "./resolv-conf.ts";

let directory: string;
let conf: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "ph-resolv-"));
  conf = join(directory, "etc-resolv.conf");
  await writeFile(join(directory, "stub-resolv.conf"), "nameserver 127.0.0.53\n");
});
afterEach(() => rm(directory, { recursive: true }));

test("what the node's own resolver asks is what pods ask", async () => {
  await symlink(join(directory, "stub-resolv.conf"), conf);
  expect(await resolvConfForPods(conf, directory)).toBe(conf);
  await writeFile(join(directory, "resolv.conf"), "nameserver 192.0.2.53\n");
  expect(await resolvConfForPods(conf, directory)).toBe(join(directory, "resolv.conf"));
});

test("a file of the owner's is taken as it is", async () => {
  await writeFile(join(directory, "resolv.conf"), "nameserver 192.0.2.53\n");
  await writeFile(conf, "nameserver 192.0.2.1\n");
  expect(await resolvConfForPods(conf, directory)).toBe(conf);
  expect(await resolvConfForPods("/no/such/file", directory)).toBe("/no/such/file");
});
