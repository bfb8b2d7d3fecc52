/** The file system under etcd is full: nothing that was acknowledged is lost, and with room again all goes on. */
import { execFile } from "node:child_process";
import { mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { makeTestDirectory, removeTestDirectory } from "../harness/directory.ts";
import { expectNoLeaks, until } from "../harness/index.ts";
import { startTarget, type Answer, type HostileTarget } from "./apiserver.ts";

const run = promisify(execFile);
const CONFIG_MAPS = "/api/v1/namespaces/default/configmaps";
/** etcd takes 64 MB for each of its two logs at once, before anything is written. */
const DISK_MB = 192;
const MIB = 1024 * 1024;

let directory: string;
let disk: string;
let target: HostileTarget;

beforeAll(async () => {
  directory = await makeTestDirectory();
  disk = join(directory, "disk");
  await mkdir(disk);
  await run("mount", ["-t", "tmpfs", "-o", `size=${DISK_MB}m`, "pilothouse-test", disk]);
  target = await startTarget({ flags: [`--data-dir=${disk}/data`] });
});

afterAll(async () => {
  await target.stop();
  await run("umount", [disk]);
  await removeTestDirectory(directory);
  await expectNoLeaks();
});

async function write(version: number): Promise<Answer> {
  const name = `c${version % 4}`;
  const body = JSON.stringify({ metadata: { name }, data: { version: String(version), text: "x".repeat(500_000) } });
  const asked = { body, contentType: "application/json" };
  return version < 4 ? target.ask("POST", CONFIG_MAPS, asked) : target.ask("PUT", `${CONFIG_MAPS}/${name}`, asked);
}

/** Takes all the room that is left. */
async function fill(path: string): Promise<void> {
  const file = await open(path, "w");
  try {
    for (;;) await file.write(Buffer.alloc(MIB));
  } catch (error) {
    expect(error).toMatchObject({ code: "ENOSPC" });
  } finally {
    await file.close();
  }
}

it("refuses writes with a Status, serves what it holds, loses nothing, and recovers with room", async () => {
  const acknowledged = new Map<string, number>();
  const taken = async (version: number): Promise<Answer> => {
    const answer = await write(version);
    if (answer.status < 300) acknowledged.set(`c${version % 4}`, version);
    return answer;
  };
  let version = 0;
  for (; version < 8; version++) expect((await taken(version)).status).toBeLessThan(300);

  const filler = join(disk, "filler");
  await fill(filler);
  let refused: Answer | undefined;
  for (; version < 400 && !refused; version++) {
    const answer = await taken(version);
    if (answer.status >= 300) refused = answer;
  }
  // etcd ends itself when it cannot write: an answer that it owes may be lost, so the outcome may be unknown (504).
  expect(refused?.said).toMatchObject({ kind: "Status", status: "Failure" });
  expect([500, 503, 504]).toContain(refused?.said.code);
  expect(target.apiserver.running()).toBe(true);
  const cached = await target.ask("GET", `${CONFIG_MAPS}?resourceVersion=0`);
  expect(cached.status).toBe(200);

  // As systemd does, again and again; without room etcd does not come up, or only until it writes again.
  await target.etcd.kill();
  await target.etcd.start().catch(() => undefined);
  await rm(filler);
  await target.etcd.kill();
  await target.etcd.start();

  await until("writes are taken again", async () => (await taken(version)).status === 200, 60_000);
  for (const [name, atLeast] of acknowledged) {
    const { text } = await target.ask("GET", `${CONFIG_MAPS}/${name}`);
    const held = Number(/"version":"(\d+)"/.exec(text)?.[1]);
    // The write whose outcome was unknown may have happened after all.
    expect(held).toBeGreaterThanOrEqual(atLeast);
  }
}, 180_000);
