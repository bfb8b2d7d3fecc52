import { readFile } from "node:fs/promises";
import { systemClock } from "@pilothouse/clock/system";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  expectNoLeaks,
  makeCertificates,
  makeTestDirectory,
  removeTestDirectory,
  startEtcd,
} from "../../../test/harness/index.ts";
import type { Etcd, TestCertificates } from "../../../test/harness/index.ts";
import { etcdStore } from "./index.ts";
import type { TlsFiles } from "./index.ts";

let directory: string;
let files: TestCertificates;
let etcd: Etcd;

beforeAll(async () => {
  directory = await makeTestDirectory();
  files = await makeCertificates(directory);
  etcd = await startEtcd({ tls: files });
});

afterAll(async () => {
  await etcd.stop();
  await removeTestDirectory(directory);
  await expectNoLeaks();
});

test("calls and watches go over mutual TLS", async () => {
  const store = etcdStore({ endpoints: [etcd.endpoint], tls: await readTls(files), clock: systemClock });
  const seen = Promise.withResolvers<string>();
  store.watch({
    range: { from: "/", to: "0" },
    startRevision: 1,
    onChanges: ([change]) => seen.resolve(change?.type ?? "nothing"),
    onEnd: () => undefined,
  });
  await store.txn({ compares: [], then: [{ op: "put", key: "/a", value: Buffer.from("1") }] });
  expect(await seen.promise).toBe("put");
  await store.close();
});

test("a stranger's CA is refused before anything is sent", async () => {
  const elsewhere = await makeTestDirectory();
  const tls = { ...(await readTls(files)), ca: (await readTls(await makeCertificates(elsewhere))).ca };
  const store = etcdStore({ endpoints: [etcd.endpoint], tls, clock: systemClock });
  const writing = store.txn({ compares: [], then: [{ op: "delete", key: "/a" }], deadlineMs: 500 });
  await expect(writing).rejects.toMatchObject({ name: "StoreUnavailable", outcome: "none" });
  await store.close();
  await removeTestDirectory(elsewhere);
});

async function readTls({ caFile, certFile, keyFile }: TestCertificates): Promise<TlsFiles> {
  const [ca, cert, key] = await Promise.all([caFile, certFile, keyFile].map((file) => readFile(file)));
  return { ca: ca as Buffer, cert: cert as Buffer, key: key as Buffer };
}
