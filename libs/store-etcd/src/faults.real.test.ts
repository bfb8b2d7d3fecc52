/** What real networks and real clusters do to the etcd adapter (consistency rules C3 and C4). */
import { sleep } from "@pilothouse/clock";
import { systemClock } from "@pilothouse/clock/system";
import { StoreUnavailable, prefixRange } from "@pilothouse/store";
import type { Store, StoreChange } from "@pilothouse/store";
import { afterAll, afterEach, expect, test } from "vitest";
import { expectNoLeaks, startEtcd, startEtcdCluster, tcpProxy, until } from "../../../test/harness/index.ts";
import type { Etcd, TcpProxy } from "../../../test/harness/index.ts";
import { etcdStore } from "./index.ts";

const opened: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (let close = opened.pop(); close; close = opened.pop()) await close();
});
afterAll(expectNoLeaks);

test("a watch far behind loses and doubles nothing, though its connection breaks all the time", async () => {
  const { store, proxy } = await etcdBehindProxy();
  const start = (await store.revision()) + 1;
  await putMany(store, 5_000, 10_000);
  proxy.cutAfterBytes(4_000_000);
  const watch = follow(store, start);
  await until("all is there", () => watch.revisions.length >= 5_000, 20_000);
  expect(watch.revisions).toEqual(Array.from({ length: 5_000 }, (_, i) => start + i));
  expect(proxy.accepted()).toBeGreaterThan(10);
});

test("a catch-up of nine megabytes comes through", async () => {
  const { store } = await etcdBehindProxy();
  const start = (await store.revision()) + 1;
  await putMany(store, 900, 10_000);
  const watch = follow(store, start);
  await until("all is there", () => watch.revisions.length >= 900);
  expect(watch.health).toEqual([true]);
  const pages = await store.range(prefixRange("/many/"), { maxBytes: 1_000_000 });
  expect(pages.entries.length).toBeGreaterThan(15);
  expect(pages.entries.length).toBeLessThan(100);
  expect(pages).toMatchObject({ more: true, count: 900 });
});

test("a megabyte of news comes without a word of ours in between: who is busy does not fall behind", async () => {
  const { store, proxy, etcd } = await etcdBehindProxy();
  const start = (await store.revision()) + 1;
  const watch = follow(store, start);
  await until("the watch is there", () => watch.health.length > 0);
  proxy.holdRequests();
  await putMany(openStore([etcd.endpoint]), 100, 10_000);
  await until("all is there", () => watch.revisions.length >= 100);
  proxy.thaw();
  expect(watch.health).toEqual([true]);
});

test("a write whose answer is lost is unknown, was done, and is not repeated", async () => {
  const { store, proxy } = await etcdBehindProxy();
  const before = await store.revision();
  proxy.delay(300);
  const writing = put(store, "/lost", "1");
  await sleep(systemClock, 450);
  proxy.cut();
  await expect(writing).rejects.toMatchObject({ name: "StoreUnavailable", outcome: "unknown" });
  proxy.delay(0);
  expect((await store.get("/lost")).entry).toMatchObject({ version: 1, modRevision: before + 1 });
});

test("a write that could not be sent says that it surely was not done", async () => {
  const { store, proxy } = await etcdBehindProxy();
  await store.revision();
  proxy.refuse(true);
  proxy.cut();
  await sleep(systemClock, 50);
  const writing = store.txn({ compares: [], then: [{ op: "delete", key: "/a" }], deadlineMs: 500 });
  await expect(writing).rejects.toMatchObject({ name: "StoreUnavailable", outcome: "none" });
});

test("a silent connection ends a call at its deadline, and the next call dials anew", async () => {
  const { store, proxy } = await etcdBehindProxy();
  await store.revision();
  proxy.freeze();
  const writing = store.txn({ compares: [], then: [{ op: "delete", key: "/a" }], deadlineMs: 300 });
  await expect(writing).rejects.toMatchObject({ name: "StoreUnavailable", outcome: "unknown" });
  proxy.halfOpen();
  proxy.thaw();
  await expect(store.revision()).resolves.toBeGreaterThan(0);
});

test("a frozen watch goes on as soon as it is told to reconnect, and by itself when keepalive gives up", async () => {
  const { store, proxy, etcd } = await etcdBehindProxy();
  const writer = openStore([etcd.endpoint]);
  const start = (await store.revision()) + 1;
  const watch = follow(store, start);
  await until("it is there", () => watch.health.length === 1);
  proxy.halfOpen();
  await putMany(writer, 3, 10);
  await sleep(systemClock, 200);
  expect(watch.revisions).toEqual([]);
  watch.reconnect();
  await until("it goes on", () => watch.revisions.length === 3);
  proxy.halfOpen();
  await putMany(writer, 3, 10);
  await until("it goes on by itself", () => watch.revisions.length === 6, 15_000);
  expect(watch.revisions).toEqual([0, 1, 2, 3, 4, 5].map((i) => start + i));
  expect(watch.health).toEqual([true, false, true, false, true]);
});

test("reads, writes and watches survive the death of a member, and say so when the quorum is lost", async () => {
  const cluster = await openCluster();
  const [first, second, third] = cluster as [Etcd, Etcd, Etcd];
  const store = openStore(cluster.map((member) => member.endpoint));
  const start = (await store.revision()) + 1;
  const watch = follow(store, start);
  await put(store, "/a", "1");
  await until("the first change is there", () => watch.revisions.length === 1);
  await first.kill();
  await until("a write works again", () => succeeds(put(store, "/a", "2")));
  const { entry } = await store.get("/a");
  await until("the watch has it all", () => watch.revisions.at(-1) === entry?.modRevision);
  expect(watch.revisions).toEqual(Array.from({ length: watch.revisions.length }, (_, i) => start + i));
  await second.kill();
  await until("the watch knows that it is blind", () => watch.health.at(-1) === false, 10_000);
  await expect(store.revision()).rejects.toBeInstanceOf(StoreUnavailable);
  expect((await store.get("/a", { serializable: true })).entry?.version).toBe(entry?.version);
  expect(third.pid()).toBeGreaterThan(0);
});

test("reads go round a member that is paused", async () => {
  const cluster = await openCluster();
  const store = openStore(cluster.map((member) => member.endpoint));
  await put(store, "/a", "1");
  cluster[0]?.pause();
  const startMs = systemClock.monotonicMs();
  expect((await store.get("/a")).entry?.version).toBe(1);
  expect(systemClock.monotonicMs() - startMs).toBeLessThan(4_000);
  cluster[0]?.resume();
});

async function etcdBehindProxy(): Promise<{ store: Store; proxy: TcpProxy; etcd: Etcd }> {
  const etcd = await startEtcd();
  opened.push(() => etcd.stop());
  const proxy = await tcpProxy(etcd.port);
  opened.push(() => proxy.close());
  return { etcd, proxy, store: openStore([`http://${proxy.address}`]) };
}

async function openCluster(): Promise<Etcd[]> {
  const cluster = await startEtcdCluster(3);
  opened.push(...cluster.map((member) => () => member.stop()));
  return cluster;
}

function openStore(endpoints: readonly string[]): Store {
  const store = etcdStore({ endpoints, clock: systemClock });
  opened.push(() => store.close());
  return store;
}

function put(store: Store, key: string, text: string): Promise<unknown> {
  return store.txn({ compares: [], then: [{ op: "put", key, value: Buffer.from(text) }] });
}

async function putMany(store: Store, count: number, sizeBytes: number): Promise<void> {
  let next = 0;
  const writer = async (): Promise<void> => {
    for (let i = next++; i < count; i = next++)
      await store.txn({ compares: [], then: [{ op: "put", key: `/many/${i}`, value: Buffer.alloc(sizeBytes, i) }] });
  };
  await Promise.all(Array.from({ length: 64 }, writer));
}

async function succeeds(work: Promise<unknown>): Promise<boolean> {
  const [result] = await Promise.allSettled([work]);
  return result.status === "fulfilled";
}

interface Followed {
  /** The revision of each change, in the order of arrival. */
  readonly revisions: number[];
  readonly health: boolean[];
  reconnect(): void;
}

function follow(store: Store, startRevision: number): Followed {
  const revisions: number[] = [];
  const health: boolean[] = [];
  const watch = store.watch({
    range: prefixRange("/"),
    startRevision,
    onChanges: (changes) => void revisions.push(...changes.map(revisionOf)),
    onEnd: () => undefined,
    onHealth: (healthy) => void health.push(healthy),
  });
  return { revisions, health, reconnect: () => watch.reconnect() };
}

function revisionOf(change: StoreChange): number {
  return change.type === "put" ? change.entry.modRevision : change.modRevision;
}
