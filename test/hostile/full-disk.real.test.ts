/** etcd's space has run out: writes are refused in clear words, reads go on, and what was acknowledged is there afterwards. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { expectNoLeaks, until } from "../harness/index.ts";
import { startTarget, type HostileTarget } from "./apiserver.ts";

const run = promisify(execFile);
const CONFIG_MAPS = "/api/v1/namespaces/default/configmaps";
/** etcd refuses what would make its file larger. */
const QUOTA_BYTES = 16 << 20;

let target: HostileTarget;

beforeAll(async () => {
  target = await startTarget({ flags: [`--quota-backend-bytes=${QUOTA_BYTES}`] });
});

afterAll(async () => {
  await target.stop();
  await expectNoLeaks();
});

/** Each write is a new version of one of a few objects: it is their history that fills the disk. */
function write(version: number): ReturnType<HostileTarget["ask"]> {
  const name = `c${version % 4}`;
  const body = JSON.stringify({ metadata: { name }, data: { version: String(version), text: "x".repeat(500_000) } });
  const asked = { body, contentType: "application/json" };
  return version < 4 ? target.ask("POST", CONFIG_MAPS, asked) : target.ask("PUT", `${CONFIG_MAPS}/${name}`, asked);
}

async function etcdctl(...args: string[]): Promise<string> {
  const { stdout } = await run("etcdctl", ["--endpoints", target.etcd.endpoint, ...args], {
    env: { ...process.env, ETCDCTL_API: "3" },
  });
  return stdout;
}

it("refuses writes with a Status, serves reads, and loses nothing that it acknowledged", async () => {
  const acknowledged = new Map<string, string>();
  let refusal;
  let version = 0;
  for (; version < 100 && !refusal; version++) {
    const answer = await write(version);
    if (answer.status < 300) acknowledged.set(`c${version % 4}`, `"version":"${version}"`);
    else refusal = answer;
  }
  expect(refusal?.said).toMatchObject({ kind: "Status", status: "Failure", code: 500, reason: "InternalError" });
  expect(refusal?.said.message).toContain("etcdserver: mvcc: database space exceeded");
  const expectAll = async (): Promise<void> => {
    for (const [name, held] of acknowledged) {
      expect((await target.ask("GET", `${CONFIG_MAPS}/${name}`)).text).toContain(held);
    }
  };
  await expectAll();

  // What makes room goes through: etcd itself takes deletes. A delete that would only mark is a write, and is refused.
  expect((await target.ask("DELETE", `${CONFIG_MAPS}/c0`)).said).toMatchObject({ kind: "Status", status: "Success" });
  acknowledged.delete("c0");
  await until("the delete is seen", async () => (await target.ask("GET", `${CONFIG_MAPS}/c0`)).status === 404);
  const other = version % 4 === 0 ? version + 1 : version;
  expect((await write(other)).status).toBe(500);

  // What the documentation of etcd says: compact, defragment, disarm.
  const [{ Status }] = JSON.parse(await etcdctl("endpoint", "status", "-w", "json")) as [EndpointStatus];
  await etcdctl("compact", String(Status.header.revision));
  await etcdctl("defrag");
  await etcdctl("alarm", "disarm");
  await expectAll();
  await until("writes are taken again", async () => (await write(other)).status === 200, 30_000);
}, 120_000);

interface EndpointStatus {
  readonly Status: { readonly header: { readonly revision: number } };
}
