/**
 * Why we use etcd3 for its transport only: what its own watch, calls and lease do, beside what ours do on the same bad
 * connection. Should a test fail because etcd3 does well one day, that row may go, and the adapter be reconsidered.
 *
 * | Fault of etcd3 1.1.2, or of grpc-js under it | Shown here, or by |
 * |---|---|
 * | its watch skips changes after a reconnect | "loses changes when its connection breaks during a catch-up" |
 * | compaction: an error without the revision, and the end of the process if nobody listens | "a compacted watch" |
 * | throws in a stream's handler when a cancelled watch still gets an answer | "watches that are closed in the midst of changes" |
 * | no keepalive: a half-open connection is silent for ever | "a frozen watch goes on …" in faults.real.test.ts |
 * | no `hasleader`: a watch at a member without a quorum stays open and silent | "a member that has lost its quorum" |
 * | no deadline: a server that never speaks HTTP/2 is waited for for ever | "a server that never answers" |
 * | 4 MB an answer, no fragments | "more than four megabytes at once", "a catch-up of nine megabytes …" in faults.real.test.ts |
 * | repeats writes whose outcome is unknown | "a write whose answer is lost" |
 * | circuit breaker: fails for 5 s after the server is back | "a server that is back" |
 * | large integers lose digits | messages.test.ts |
 * | a lease counts as lost only after twice its time, by the wall clock | "steps down before its lease can have ended" in election.test.ts |
 * | no release since 2023, with an old grpc-js | "one grpc-js" in test/lint/dependencies.test.ts: the overrides pin it |
 * | its election lets more than one lead, and throws `unreachable` | "never two valid fences …" in election.test.ts |
 */
import { createServer, type AddressInfo, type Socket } from "node:net";
import { sleep } from "@pilothouse/clock";
import { systemClock } from "@pilothouse/clock/system";
import { prefixRange, StoreUnavailable, type Store, type WatchEnd } from "@pilothouse/store";
import { Etcd3 } from "etcd3";
import { afterAll, afterEach, expect, test } from "vitest";
import { expectNoLeaks, startEtcd, startEtcdCluster, tcpProxy, until } from "../../../test/harness/index.ts";
import type { Etcd, TcpProxy } from "../../../test/harness/index.ts";
import { etcdStore } from "./index.ts";

const opened: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (let close = opened.pop(); close; close = opened.pop()) await close();
});
afterAll(expectNoLeaks);

const CHANGES = 3_000;

test("etcd3's own watch loses changes when its connection breaks during a catch-up; ours loses none", async () => {
  const { proxy, store, etcd3 } = await both();
  const start = (await store.revision()) + 1;
  await putMany(store, CHANGES, 150);

  const theirs = new Set<string>();
  const ours = new Set<number>();
  // One batch of a catch-up, 1,000 revisions, comes through; the connection breaks in the next.
  proxy.cutAfterBytes(300_000);
  const watcher = await etcd3.watch().prefix("/many/").startRevision(String(start)).create();
  watcher.on("put", (kv) => theirs.add(kv.mod_revision));
  watcher.on("error", () => undefined);
  store.watch({
    range: prefixRange("/many/"),
    startRevision: start,
    onChanges: (changes) => changes.forEach((change) => change.type === "put" && ours.add(change.entry.modRevision)),
    onEnd: () => undefined,
  });
  await until("ours has half", () => ours.size >= CHANGES / 2);
  proxy.cutAfterBytes(undefined);
  proxy.cut();
  await until("ours has all", () => ours.size === CHANGES);
  // Both have caught up when both have seen a last change.
  await put(store, "/many/last");
  const last = await store.revision();
  await until("theirs is at the end", () => theirs.has(String(last)));
  expect(theirs.size).toBeLessThan(CHANGES);
  expect(ours.size).toBeGreaterThanOrEqual(CHANGES);
});

test("a compacted watch: ours says from where history is left, which etcd3's error does not", async () => {
  const { store, etcd3 } = await both();
  await putMany(store, 5, 10);
  const compactRevision = await store.revision();
  await store.compact(compactRevision);
  const theirs = await etcd3
    .watch()
    .prefix("/many/")
    .startRevision("2")
    .create()
    .then(
      (watcher) => new Promise<unknown>((resolve) => watcher.once("error", resolve)),
      (error: unknown) => error,
    );
  expect(String(theirs)).toMatch(/Watcher canceled/);
  expect(String(theirs)).not.toContain(String(compactRevision));
  const ended = Promise.withResolvers<WatchEnd>();
  store.watch({
    range: prefixRange("/many/"),
    startRevision: 2,
    onChanges: () => undefined,
    onEnd: (cause) => ended.resolve(cause),
  });
  expect(await ended.promise).toEqual({ reason: "compacted", compactRevision });
});

test("watches that are closed in the midst of changes throw nothing and hear nothing more", async () => {
  const { store, proxy } = await both();
  const writing = putMany(store, 500, 1_000).catch(() => "cut off");
  const heardAfter: string[] = [];
  for (let i = 0; i < 50; i++) {
    let isClosed = false;
    const watch = store.watch({
      range: prefixRange("/many/"),
      startRevision: 1,
      onChanges: () => void (isClosed && heardAfter.push("change")),
      onEnd: () => heardAfter.push("end"),
    });
    await sleep(systemClock, i % 10);
    if (i % 7 === 0) proxy.cut();
    isClosed = true;
    watch.close();
  }
  await writing;
  // An error in a stream's handler has no caller: it would end this test's process.
  expect(heardAfter).toEqual([]);
});

test("a member that has lost its quorum: ours knows that it is blind, etcd3's watch stays silent", async () => {
  const cluster = (await startEtcdCluster(3)) as [Etcd, Etcd, Etcd];
  opened.push(...cluster.map((member) => () => member.stop()));
  const [left, ...others] = cluster;
  const store = openStore(left.endpoint);
  const etcd3 = openEtcd3(left.endpoint);
  const health: boolean[] = [];
  store.watch({
    range: prefixRange("/many/"),
    startRevision: 1,
    onChanges: () => undefined,
    onEnd: () => undefined,
    onHealth: (healthy) => health.push(healthy),
  });
  const watcher = await etcd3.watch().prefix("/many/").create();
  const theirs: string[] = [];
  watcher.on("disconnected", () => theirs.push("disconnected"));
  watcher.on("error", () => theirs.push("error"));
  await until("both watch", () => health.length === 1);
  await Promise.all(others.map((member) => member.kill()));
  await until("ours knows", () => health.at(-1) === false, 10_000);
  expect(theirs).toEqual([]);
});

test("a server that never answers, not even with HTTP/2's first frame: ours says so in time, etcd3 waits on", async () => {
  const sockets = new Set<Socket>();
  const mute = createServer((socket) => void sockets.add(socket.on("error", () => undefined)));
  await new Promise<void>((resolve) => mute.listen(0, "127.0.0.1", resolve));
  opened.push(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => mute.close(resolve));
  });
  const endpoint = `http://127.0.0.1:${(mute.address() as AddressInfo).port}`;
  const [store, etcd3] = [openStore(endpoint), openEtcd3(endpoint)];
  const theirs = outcome(etcd3.get("/a").exec());
  const ours = store.txn({ compares: [], then: [{ op: "delete", key: "/a" }], deadlineMs: 300 });
  await expect(ours).rejects.toMatchObject({ name: "StoreUnavailable", outcome: "none" });
  expect(await Promise.race([theirs, Promise.resolve("still waiting")])).toBe("still waiting");
});

test("more than four megabytes at once: ours reads them in pages, etcd3 cannot", async () => {
  const { store, etcd3 } = await both();
  await putMany(store, 60, 100_000);
  expect(await outcome(etcd3.getAll().prefix("/many/").exec())).toMatch(/larger than max/);
  const page = await store.range(prefixRange("/many/"), { maxBytes: 32 << 20 });
  expect([page.entries.length, page.more]).toEqual([60, false]);
});

test("a write whose answer is lost: ours was done once and says that it does not know, etcd3 writes it again", async () => {
  const { store, etcd3, proxy } = await both();
  await Promise.all([store.revision(), etcd3.get("/a").exec()]);
  proxy.delay(300);
  const [ours, theirs] = [outcome(put(store, "/ours")), outcome(etcd3.put("/theirs").value("1").exec())];
  await sleep(systemClock, 450);
  proxy.cut();
  proxy.delay(0);
  expect([await ours, await theirs]).toEqual([expect.stringMatching(/^StoreUnavailable/), "done"]);
  expect((await store.get("/ours")).entry?.version).toBe(1);
  expect((await store.get("/theirs")).entry?.version).toBeGreaterThan(1);
});

test("a server that is back is used at once by ours; etcd3's circuit breaker goes on refusing", async () => {
  const { store, etcd3, proxy } = await both();
  await Promise.all([store.revision(), etcd3.get("/a").exec()]);
  proxy.refuse(true);
  proxy.cut();
  expect(await outcome(etcd3.get("/a").exec())).not.toBe("done");
  await expect(put(store, "/a", 300)).rejects.toBeInstanceOf(StoreUnavailable);
  proxy.refuse(false);
  await put(store, "/a");
  expect(await outcome(etcd3.get("/a").exec())).toMatch(/circuit breaker is open/);
});

async function both(): Promise<{ readonly proxy: TcpProxy; readonly store: Store; readonly etcd3: Etcd3 }> {
  const etcd = await startEtcd();
  opened.push(() => etcd.stop());
  const proxy = await tcpProxy(etcd.port);
  opened.push(() => proxy.close());
  const endpoint = `http://${proxy.address}`;
  return { proxy, store: openStore(endpoint), etcd3: openEtcd3(endpoint) };
}

function openStore(endpoint: string): Store {
  const store = etcdStore({ endpoints: [endpoint], clock: systemClock });
  opened.push(() => store.close());
  return store;
}

function openEtcd3(endpoint: string): Etcd3 {
  const etcd3 = new Etcd3({ hosts: endpoint });
  opened.push(async () => etcd3.close());
  return etcd3;
}

function put(store: Store, key: string, deadlineMs?: number): Promise<unknown> {
  const value = Buffer.from("1");
  return store.txn({ compares: [], then: [{ op: "put", key, value }], ...(deadlineMs ? { deadlineMs } : {}) });
}

async function putMany(store: Store, count: number, sizeBytes: number): Promise<void> {
  const value = Buffer.alloc(sizeBytes);
  for (let i = 0; i < count; i += 50)
    await Promise.all(
      Array.from({ length: Math.min(50, count - i) }, (_, j) =>
        store.txn({ compares: [], then: [{ op: "put", key: `/many/${i + j}`, value }] }),
      ),
    );
}

/** "done", or what it failed with. */
function outcome(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "done",
    (error: unknown) => String(error),
  );
}
