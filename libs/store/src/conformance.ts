/**
 * What every adapter of the store port must do. Both the memory and the etcd adapter run it, so that whoever builds on the
 * one may trust the other.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { RevisionCompacted, RevisionInFuture, StoreRefused, keyAfter, keyRange, prefixRange } from "./index.ts";
import type { KeyRange, RangeOptions, Store, StoreChange, StoreEntry, StoreOp, WatchEnd } from "./index.ts";

export interface StoreUnderTest {
  readonly store: Store;
  /** Lets this much time pass: virtual or real. Called with 0 it lets answers and watches come in. */
  pass(ms: number): Promise<void>;
  /** Breaks all connections, where there are any. */
  breakConnections(): void;
  stop(): Promise<void>;
}

/** Defines the suite. `make` is called once; each test works below a prefix of its own. */
export function storeConformance(name: string, make: () => Promise<StoreUnderTest>): void {
  describe(name, () => {
    let under: StoreUnderTest;
    let store: Store;
    let tests = 0;
    /** A fresh prefix for each test. */
    const place = (): string => `/test-${++tests}/`;
    beforeAll(async () => {
      under = await make();
      store = under.store;
    });
    afterAll(() => under.stop());

    test("a write raises the revision by one, whatever number of keys it changes", async () => {
      const at = place();
      const before = await store.revision();
      const first = await store.txn({ compares: [], then: [put(`${at}a`, "1"), put(`${at}b`, "1")] });
      expect(first).toMatchObject({ succeeded: true, revision: before + 1 });
      const second = await store.txn({ compares: [], then: [put(`${at}a`, "2")] });
      expect(second.revision).toBe(before + 2);
      const { entry, revision } = await store.get(`${at}a`);
      expect(revision).toBe(before + 2);
      expect(told(entry)).toEqual({ key: `${at}a`, value: "2", create: before + 1, mod: before + 2, version: 2 });
      expect((await store.get(`${at}b`)).entry).toMatchObject({ modRevision: before + 1, version: 1 });
    });

    test("nothing raises the revision but a change", async () => {
      const at = place();
      const before = await store.revision();
      await store.txn({ compares: [absent(`${at}a`)], then: [{ op: "delete", key: `${at}a` }] });
      await store.txn({ compares: [absent(`${at}a`)], then: [{ op: "get", key: `${at}a` }] });
      const { leaseId } = await store.grantLease(60);
      await store.keepLeaseAlive(leaseId);
      await store.revokeLease(leaseId);
      expect(await store.revision()).toBe(before);
    });

    test("a key that is created again begins again", async () => {
      const key = `${place()}a`;
      await write(store, put(key, "1"), put(key, "2"), { op: "delete", key });
      expect((await store.get(key)).entry).toBeUndefined();
      const { revision } = await store.txn({ compares: [absent(key)], then: [put(key, "3")] });
      expect(told((await store.get(key)).entry)).toEqual({
        key,
        value: "3",
        create: revision,
        mod: revision,
        version: 1,
      });
    });

    test("compares choose the branch, and only that branch runs", async () => {
      const key = `${place()}a`;
      const { revision } = await store.txn({ compares: [absent(key)], then: [put(key, "1")] });
      const refused = await store.txn({
        compares: [absent(key)],
        then: [put(key, "2")],
        otherwise: [
          { op: "get", key },
          { op: "get", key: keyAfter(key) },
        ],
      });
      expect(refused.succeeded).toBe(false);
      expect(refused.gets.map(told)).toEqual([
        { key, value: "1", create: revision, mod: revision, version: 1 },
        undefined,
      ]);
      const both = [
        { key, target: "modRevision", equals: revision } as const,
        { key, target: "createRevision", equals: revision } as const,
      ];
      expect(await store.txn({ compares: both, then: [put(key, "2")] })).toMatchObject({ succeeded: true });
      expect(await store.txn({ compares: both, then: [put(key, "3")] })).toMatchObject({ succeeded: false, gets: [] });
    });

    test("a get sees the writes before it in its branch, and not those after", async () => {
      const key = `${place()}a`;
      const { gets } = await store.txn({
        compares: [],
        then: [{ op: "get", key }, put(key, "1"), { op: "get", key }],
      });
      expect(gets.map((entry) => told(entry)?.value)).toEqual([undefined, "1"]);
    });

    test("what etcd refuses is refused, with nothing done", async () => {
      const at = place();
      const before = await store.revision();
      const refused = async (reason: string, ...then: StoreOp[]): Promise<void> => {
        await expect(store.txn({ compares: [], then })).rejects.toMatchObject({ name: "StoreRefused", reason });
      };
      await refused("duplicateKey", put(`${at}a`, "1"), { op: "delete", key: `${at}a` });
      await refused("duplicateKey", put(`${at}a`, "1"), put(`${at}a`, "2"));
      await refused("leaseNotFound", { ...put(`${at}a`, "1"), leaseId: "7777" });
      await refused("invalid", put("", "1"));
      await refused("tooLarge", { op: "put", key: `${at}a`, value: new Uint8Array(1.5 * 2 ** 20 + 1) });
      await refused("tooManyOperations", ...Array.from({ length: 129 }, (_, i) => put(`${at}${i}`, "1")));
      expect(await store.revision()).toBe(before);
      expect((await store.range(prefixRange(at))).count).toBe(0);
    });

    test("a range comes in pages of one snapshot, in the order of bytes", async () => {
      const at = place();
      const keys = ["a", "a/b", "a0", "b", "z", "é", "ﬀ", "😀"].map((name) => at + name);
      await write(store, ...keys.toReversed().map((key) => put(key, key)));
      const pages = await readPages(store, prefixRange(at), { limit: 3 }, async () => {
        await write(store, put(`${at}c`, "late"), put(`${at}z`, "late"));
      });
      expect(pages.map((page) => page.length)).toEqual([3, 3, 2]);
      expect(pages.flat().map((entry) => told(entry)?.value)).toEqual(keys);
      expect(await store.range(prefixRange(at), { countOnly: true })).toMatchObject({ entries: [], count: 9 });
      const bare = await store.range({ from: `${at}a`, to: `${at}b` }, { keysOnly: true });
      expect(bare.entries.map(told)).toMatchObject(["a", "a/b", "a0"].map((name) => ({ key: at + name, value: "" })));
      expect((await store.range({ from: `${at}z`, to: "\0" }, { limit: 1 })).entries[0]?.key).toBe(`${at}z`);
    });

    test("a page is cut by bytes, but holds at least one entry", async () => {
      const at = place();
      for (let i = 0; i < 9; i++) await write(store, { op: "put", key: `${at}${i}`, value: new Uint8Array(100_000) });
      const pages = await readPages(store, prefixRange(at), { maxBytes: 250_000 });
      expect(pages.map((page) => page.length)).toEqual([2, 2, 2, 2, 1]);
      expect((await readPages(store, prefixRange(at), { maxBytes: 1 })).length).toBe(9);
    });

    test("the past can be read until it is compacted", async () => {
      const key = `${place()}a`;
      const [first, second, third] = await write(store, put(key, "1"), put(key, "2"), put(key, "3"));
      expect(told((await store.get(key, { revision: first })).entry)?.value).toBe("1");
      await expect(store.get(key, { revision: third + 1 })).rejects.toBeInstanceOf(RevisionInFuture);
      await expect(store.compact(third + 1)).rejects.toBeInstanceOf(RevisionInFuture);
      await store.compact(second);
      await expect(store.compact(second)).rejects.toBeInstanceOf(RevisionCompacted);
      await expect(store.get(key, { revision: first })).rejects.toBeInstanceOf(RevisionCompacted);
      await expect(store.range(keyRange(key), { revision: first })).rejects.toBeInstanceOf(RevisionCompacted);
      expect(told((await store.get(key, { revision: second })).entry)).toMatchObject({ value: "2", version: 2 });
      expect(told((await store.get(key, { serializable: true })).entry)?.value).toBe("3");
    });

    test("a watch tells the past and then the present, each change once, with the value before", async () => {
      const at = place();
      const [first] = await write(store, put(`${at}a`, "1"), put(`${at}a`, "2"));
      const watch = follow(store, prefixRange(at), first);
      await write(store, { op: "delete", key: `${at}a` }, put(`${at}a`, "3"));
      await store.txn({
        compares: [],
        then: [put(`${at}b`, "4"), { op: "delete", key: `${at}a` }, put(`${at}c`, "4")],
      });
      await write(store, put("/elsewhere", "5"));
      await untilTrue(under, () => watch.changes.length >= 7);
      expect(watch.changes.map(toldChange)).toEqual([
        `${first} put a=1 was nothing`,
        `${first + 1} put a=2 was 1`,
        `${first + 2} delete a was 2`,
        `${first + 3} put a=3 was nothing`,
        `${first + 4} put b=4 was nothing`,
        `${first + 4} delete a was 3`,
        `${first + 4} put c=4 was nothing`,
      ]);
      watch.close();
    });

    test("a watch from a later revision begins there, also from the future", async () => {
      const at = place();
      const [first] = await write(store, put(`${at}a`, "1"), put(`${at}a`, "2"));
      const late = follow(store, prefixRange(at), first + 1);
      const future = follow(store, prefixRange(at), first + 3);
      await under.pass(0);
      await write(store, put(`${at}a`, "3"), put(`${at}a`, "4"));
      await untilTrue(under, () => late.changes.length >= 3 && future.changes.length >= 1);
      expect(late.changes.map(revisionOf)).toEqual([first + 1, first + 2, first + 3]);
      expect(future.changes.map(revisionOf)).toEqual([first + 3]);
      late.close();
      future.close();
      expect(() => follow(store, prefixRange(at), 0)).toThrow(RangeError);
    });

    test("a closed watch is silent", async () => {
      const at = place();
      const watch = follow(store, prefixRange(at), (await store.revision()) + 1);
      watch.close();
      await write(store, put(`${at}a`, "1"));
      await under.pass(50);
      expect(watch.changes).toEqual([]);
      expect(watch.ends).toEqual([]);
    });

    test("a watch of compacted history ends and says where history begins", async () => {
      const at = place();
      const [first, second] = await write(store, put(`${at}a`, "1"), put(`${at}a`, "2"), put(`${at}a`, "3"));
      await store.compact(second);
      const watch = follow(store, prefixRange(at), first);
      const whole = follow(store, prefixRange(at), second + 1);
      await untilTrue(under, () => watch.ends.length > 0 && whole.changes.length > 0);
      expect(watch.ends).toEqual([{ reason: "compacted", compactRevision: second }]);
      expect(watch.changes).toEqual([]);
      expect(whole.changes.map(toldChange)).toEqual([`${second + 1} put a=3 was 2`]);
      whole.close();
    });

    // etcd's own nine properties of watches, those that one client can see: ordered, unique, reliable, atomic, resumable, and
    // previous values right; each across broken connections.
    test("a watch is ordered, unique, reliable and atomic, whatever breaks", async () => {
      const at = place();
      const start = (await store.revision()) + 1;
      const watches = [1, 2, 3].map(() => follow(store, prefixRange(at), start));
      const [watch] = watches as [Followed, Followed, Followed];
      for (let i = 0; i < 60; i++) {
        const then = [put(`${at}x${i % 7}`, `${i}`), put(`${at}y${i % 3}`, `${i}`)];
        await store.txn({
          compares: [],
          then: i % 5 === 4 ? [...then, { op: "delete", key: `${at}x${i % 6}z` }] : then,
        });
        if (i % 20 === 9) watches[0]?.reconnect();
        if (i % 20 === 14) {
          watches[2]?.reconnect();
          await under.pass(5);
        }
      }
      const last = await store.revision();
      await untilTrue(under, () => watches.every((one) => lastRevision(one) === last));
      for (const one of watches) {
        expect(one.changes.map(toldChange)).toEqual(watch.changes.map(toldChange));
        expect(one.torn).toBe(0);
        one.close();
      }
      expect(watch.changes).toHaveLength(120);
      const seen = new Map<string, StoreEntry>();
      let revision = 0;
      for (const change of watch.changes) {
        expect(revisionOf(change)).toBeGreaterThanOrEqual(revision);
        revision = revisionOf(change);
        if (change.type !== "put") continue;
        expect(told(change.previous)).toEqual(told(seen.get(change.entry.key)));
        seen.set(change.entry.key, change.entry);
      }
      const { entries } = await store.range(prefixRange(at));
      expect(entries.map(told)).toEqual(
        [...seen.values()].map(told).sort((a, b) => ((a?.key ?? "") < (b?.key ?? "") ? -1 : 1)),
      );
    });

    test("writes go on when connections break, and a watch misses none of them", async () => {
      const at = place();
      const watch = follow(store, prefixRange(at), (await store.revision()) + 1);
      let done = 0;
      for (let i = 0; i < 12; i++) {
        if (i % 4 === 3) under.breakConnections();
        // An unclear outcome is settled by reading (C3).
        await store.txn({ compares: [absent(`${at}${i}`)], then: [put(`${at}${i}`, "1")] }).catch(() => undefined);
        await untilTrue(under, async () => (await store.get(`${at}${i}`).catch(() => undefined)) !== undefined);
        if ((await store.get(`${at}${i}`)).entry) done++;
      }
      await untilTrue(under, () => watch.changes.length === done);
      expect(done).toBeGreaterThanOrEqual(9);
      watch.close();
    });

    test("a lease takes its keys with it, in one revision", async () => {
      const at = place();
      const { leaseId, ttlSeconds } = await store.grantLease(60);
      expect(ttlSeconds).toBe(60);
      await store.txn({
        compares: [],
        then: [leased(`${at}a`, leaseId), leased(`${at}b`, leaseId), leased(`${at}c`, leaseId)],
      });
      expect((await store.get(`${at}a`)).entry?.leaseId).toBe(leaseId);
      const [revision] = await write(store, put(`${at}c`, "free"));
      expect((await store.get(`${at}c`)).entry?.leaseId).toBeUndefined();
      const watch = follow(store, prefixRange(at), revision + 1);
      await store.revokeLease(leaseId);
      await untilTrue(under, () => watch.changes.length >= 2);
      expect(watch.changes.map(toldChange)).toEqual([
        `${revision + 1} delete a was 1`,
        `${revision + 1} delete b was 1`,
      ]);
      expect(await store.keepLeaseAlive(leaseId)).toBe(0);
      await expect(store.revokeLease(leaseId)).rejects.toBeInstanceOf(StoreRefused);
      watch.close();
    });

    test("a lease lives while it is kept alive, and ends by itself", async () => {
      const key = `${place()}a`;
      const { leaseId, ttlSeconds } = await store.grantLease(2);
      await store.txn({ compares: [], then: [leased(key, leaseId)] });
      for (let i = 0; i < 3; i++) {
        await under.pass((ttlSeconds * 1_000) / 2);
        expect(await store.keepLeaseAlive(leaseId)).toBe(ttlSeconds);
      }
      expect((await store.get(key)).entry).toBeDefined();
      await under.pass(ttlSeconds * 1_000 + 1_000);
      await untilTrue(under, async () => (await store.get(key)).entry === undefined);
      expect(await store.keepLeaseAlive(leaseId)).toBe(0);
    });

    test("a call whose signal has aborted is not made", async () => {
      await expect(store.get("/a", { signal: AbortSignal.abort(new Error("enough")) })).rejects.toThrow("enough");
      await expect(store.revision(AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
    });

    // The last one: there is no store after it.
    test("closing ends the watches", async () => {
      const watch = follow(store, prefixRange(place()), (await store.revision()) + 1);
      await store.close();
      expect(watch.ends).toEqual([{ reason: "closed" }]);
    });
  });
}

interface Followed {
  readonly changes: StoreChange[];
  readonly ends: WatchEnd[];
  /** How often a revision came in two pieces. */
  torn: number;
  close(): void;
  reconnect(): void;
}

function follow(store: Store, range: KeyRange, startRevision: number): Followed {
  const changes: StoreChange[] = [];
  const ends: WatchEnd[] = [];
  const watch = store.watch({
    range,
    startRevision,
    withPrevious: true,
    onChanges(batch) {
      const before = changes.at(-1);
      const first = batch[0];
      if (before && first && revisionOf(before) === revisionOf(first)) followed.torn++;
      changes.push(...batch);
    },
    onEnd: (end) => void ends.push(end),
  });
  const followed: Followed = { changes, ends, torn: 0, close: () => watch.close(), reconnect: () => watch.reconnect() };
  return followed;
}

/** Reads a range page by page at the first page's revision; `between` runs after the first page. */
async function readPages(
  store: Store,
  range: KeyRange,
  options: RangeOptions,
  between?: () => Promise<void>,
): Promise<(readonly StoreEntry[])[]> {
  const first = await store.range(range, options);
  const pages = [first.entries];
  await between?.();
  for (let page = first; page.more;) {
    const from = keyAfter(page.entries.at(-1)?.key ?? "");
    page = await store.range({ ...range, from }, { ...options, revision: first.revision });
    pages.push(page.entries);
  }
  return pages;
}

/** Each operation in a transaction of its own; returns their revisions. */
async function write<Operations extends StoreOp[]>(
  store: Store,
  ...operations: Operations
): Promise<{ [I in keyof Operations]: number }> {
  const revisions: number[] = [];
  for (const operation of operations) revisions.push((await store.txn({ compares: [], then: [operation] })).revision);
  return revisions as { [I in keyof Operations]: number };
}

async function untilTrue(under: StoreUnderTest, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 500; i++) {
    if (await holds()) return;
    await under.pass(20);
  }
  throw new Error("it did not become true within 10 s");
}

function put(key: string, text: string): StoreOp & { op: "put" } {
  return { op: "put", key, value: Buffer.from(text) };
}

function leased(key: string, leaseId: string): StoreOp {
  return { ...put(key, "1"), leaseId };
}

function absent(key: string): { key: string; target: "modRevision"; equals: 0 } {
  return { key, target: "modRevision", equals: 0 };
}

interface ToldEntry {
  readonly key: string;
  readonly value: string;
  readonly create: number;
  readonly mod: number;
  readonly version: number;
}

/** An entry in a form that compares well. */
function told(entry: StoreEntry | undefined): ToldEntry | undefined {
  if (!entry) return undefined;
  const { key, createRevision, modRevision, version } = entry;
  return { key, value: Buffer.from(entry.value).toString(), create: createRevision, mod: modRevision, version };
}

function toldChange(change: StoreChange): string {
  const was = `was ${told(change.previous)?.value ?? "nothing"}`;
  const lastName = (key: string): string => key.slice(key.lastIndexOf("/") + 1);
  return change.type === "put"
    ? `${change.entry.modRevision} put ${lastName(change.entry.key)}=${told(change.entry)?.value} ${was}`
    : `${change.modRevision} delete ${lastName(change.key)} ${was}`;
}

function revisionOf(change: StoreChange): number {
  return change.type === "put" ? change.entry.modRevision : change.modRevision;
}

function lastRevision(watch: Followed): number {
  const last = watch.changes.at(-1);
  return last ? revisionOf(last) : 0;
}
