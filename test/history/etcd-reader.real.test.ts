import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { systemClock } from "@pilothouse/clock/system";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  expectNoLeaks,
  makeCertificates,
  makeTestDirectory,
  removeTestDirectory,
  startEtcd,
  type Etcd,
} from "../harness/index.ts";
import { currentRevision, etcdAt, EVERY_KEY, type EtcdReader } from "./etcd-reader.ts";
import { EtcdTruth, type StoreKeyChange } from "./etcd-truth.ts";

const nobodys = { namespace: "n", path: "/", storePrefix: "/nobody's/" };

let directory: string;
let etcd: Etcd;
let reader: EtcdReader;

beforeAll(async () => {
  directory = await makeTestDirectory();
  const { caFile, certFile, keyFile } = await makeCertificates(directory);
  etcd = await startEtcd({ tls: { caFile, certFile, keyFile } });
  const [ca, cert, key] = await Promise.all([caFile, certFile, keyFile].map((file) => readFile(file)));
  reader = etcdAt(etcd.endpoint, systemClock, { ca: ca as Buffer, cert: cert as Buffer, key: key as Buffer });
  const common = ["--endpoints", etcd.endpoint, "--cacert", caFile, "--cert", certFile, "--key", keyFile];
  const env = { ...process.env, ETCDCTL_API: "3" };
  const etcdctl = (...args: string[]): Promise<unknown> =>
    promisify(execFile)("etcdctl", [...common, ...args], { env });
  await etcdctl("put", "/a", "1");
  await etcdctl("put", "/a", "2");
  await etcdctl("del", "/a");
  await etcdctl("put", "!first", "3");
});

afterAll(async () => {
  await etcd.stop();
  await removeTestDirectory(directory);
  await expectNoLeaks();
});

test("every change of every key is read, and where things stood", async () => {
  const told: StoreKeyChange[] = [];
  const truth = new EtcdTruth(nobodys, 0, (change) => told.push(change));
  await truth.readOn(reader);
  expect(told.map(({ key, createRevision, value }) => [key, createRevision, value?.toString()])).toEqual([
    ["/a", 2, "1"],
    ["/a", 2, "2"],
    ["/a", 0, undefined],
    ["!first", 5, "3"],
  ]);
  expect(truth.head).toBe(await currentRevision(reader));
  const { kvs } = await reader.range({ key: EVERY_KEY, range_end: EVERY_KEY, revision: 3 });
  expect(kvs.map(({ key, value }) => `${key.toString()}=${value.toString()}`)).toEqual(["/a=2"]);
  await truth.readOn(reader);
  expect(told, "nothing is told twice").toHaveLength(4);
});

test("what etcd has forgotten is no truth, and who has no certificate reads nothing", async () => {
  const plain = await startEtcd();
  const run = promisify(execFile);
  const env = { ...process.env, ETCDCTL_API: "3" };
  for (const args of [
    ["put", "/a", "1"],
    ["put", "/a", "2"],
    ["compact", "3"],
  ])
    await run("etcdctl", ["--endpoints", plain.endpoint, ...args], { env });
  await expect(new EtcdTruth(nobodys).readOn(etcdAt(plain.endpoint, systemClock))).rejects.toThrow("compacted to 3");
  await plain.stop();
  const stranger = etcdAt(etcd.endpoint.replace("https:", "http:"), systemClock);
  await expect(currentRevision(stranger)).rejects.toThrow(etcd.endpoint.slice("https".length));
});

test("a member that says nothing is given up", { timeout: 20_000 }, async () => {
  etcd.pause();
  const failures = await Promise.allSettled([
    currentRevision(reader),
    new EtcdTruth(nobodys).readOn(reader),
    firstOf(reader),
  ]);
  etcd.resume();
  for (const failure of failures)
    expect(failure).toMatchObject({ status: "rejected", reason: { message: expect.stringContaining(etcd.endpoint) } });
});

async function firstOf(member: EtcdReader): Promise<void> {
  for await (const _ of member.watch({ key: EVERY_KEY, range_end: EVERY_KEY, start_revision: 1 })) return;
}
