/** The cache against a store that lags, compacts, fails and holds nonsense (C1, C4, C5, C7, C8). */
import { manualClock } from "@pilothouse/clock/manual";
import { Scope } from "@pilothouse/lifecycle";
import { allKeys, type Store } from "@pilothouse/store";
import { memoryStore } from "@pilothouse/store/memory";
import { memoryTelemetry } from "@pilothouse/telemetry/memory";
import { seededRandom } from "@pilothouse/clock/seeded";
import { expect, test } from "vitest";
import { COMPACTED_KEY } from "../../cache/load.ts";
import { heldWatch } from "../../held-watch.fixture.ts";
import { startCompacting } from "../upkeep/compact.ts";
import { cause, configMaps, newObject, nodes, startWorld } from "./reading.fixture.ts";

test("use through B what was created through A, while B's stream lags (C7)", async () => {
  const clock = manualClock();
  const store = memoryStore({ clock });
  const lag = heldWatch(store);
  const a = await startWorld({ clock, store, apiserver: "a" });
  const b = await startWorld({ clock, store, apiserver: "b", faults: () => lag.wrapped });
  lag.state.holds = true;
  await a.put(configMaps, newObject(configMaps, "new"));
  const read = b.ask("get", configMaps, { name: "new" });
  await clock.advance(500);
  lag.release();
  expect((await read).status).toBe(200);
  expect(b.cache.ready()).toBe(true);
  expect(lag.state.reconnects).toBe(0);
});

test("a stream that stays silent is broken after a second and not ready; reads go to the store itself (C7)", async () => {
  const clock = manualClock();
  const store = memoryStore({ clock });
  const lag = heldWatch(store);
  const world = await startWorld({ clock, store, faults: () => lag.wrapped });
  lag.state.holds = true;
  await world.put(configMaps, newObject(configMaps, "new"));
  const read = world.ask("get", configMaps, { name: "new" });
  const list = world.list(configMaps);
  await clock.advance(1_000);
  expect([world.cache.ready(), lag.state.reconnects]).toEqual([false, 1]);
  await clock.advance(2_000);
  expect((await read).status).toBe(200);
  const { items, metadata } = await list;
  expect([items.length, metadata.resourceVersion]).toEqual([1, "2"]);
  lag.release();
  expect(world.cache.ready()).toBe(true);
});

test("a write of our own that the stream does not show within a second is enough to break it (C7)", async () => {
  const clock = manualClock();
  const store = memoryStore({ clock });
  const lag = heldWatch(store);
  const world = await startWorld({ clock, store, faults: () => lag.wrapped });
  lag.state.holds = true;
  await world.put(configMaps, newObject(configMaps, "new"));
  await clock.advance(1_000);
  expect([world.cache.ready(), lag.state.reconnects]).toEqual([false, 1]);
});

test("a reload ends watches, raises the floor and begins a new epoch (C5)", async () => {
  const clock = manualClock();
  const store = memoryStore({ clock });
  const lag = heldWatch(store);
  const world = await startWorld({ clock, store, faults: () => lag.wrapped });
  await world.put(configMaps, newObject(configMaps, "a"));
  const watch = await world.watch(configMaps, { query: "resourceVersion=1" });
  expect(await watch.story(1)).toEqual(["ADDED a 2"]);
  const { epoch } = world.cache;

  lag.state.holds = true;
  await world.put(configMaps, newObject(configMaps, "b"));
  await world.remove(configMaps, "a");
  await store.compact(await store.revision());
  lag.state.holds = false;
  lag.state.end({ reason: "compacted", compactRevision: 4 });
  expect(await watch.next()).toBeUndefined();
  await world.cache.waitUntilCurrent();
  expect(world.cache.epoch).not.toBe(epoch);
  expect(world.cache.floor(configMaps)).toBe(4);
  expect((await world.list(configMaps)).items.map(({ metadata }) => metadata.name)).toEqual(["b"]);
  const old = await world.watch(configMaps, { query: "resourceVersion=3" });
  expect(await old.next()).toMatchObject({ type: "ERROR", object: { code: 410 } });
  await world.put(configMaps, newObject(configMaps, "c"));
  expect((await world.list(configMaps)).items).toHaveLength(2);
  expect(world.failures).toEqual([]);
});

test("after a restart clients resume: a cold start replays the history that the store still has (C5)", async () => {
  const clock = manualClock();
  const before = await startWorld({ clock });
  for (let i = 0; i < 10; i++) await before.put(configMaps, newObject(configMaps, `c${i}`));
  await before.remove(configMaps, "c3");
  const { store } = before;
  await store.txn({ compares: [], then: [{ op: "put", key: COMPACTED_KEY, value: Buffer.from("5") }] });
  await store.compact(5);
  await before.scope.close();

  const after = await startWorld({ clock, store, apiserver: "b" });
  await after.cache.waitUntilCurrent();
  expect(after.cache.ready()).toBe(true);
  const watch = await after.watch(configMaps, { query: "resourceVersion=9" });
  expect(await watch.story(3)).toEqual(["ADDED c8 10", "ADDED c9 11", "DELETED c3 12"]);
  const tooOld = await after.watch(configMaps, { query: "resourceVersion=4" });
  expect(await tooOld.next()).toMatchObject({ type: "ERROR", object: { message: "too old resource version: 4 (5)" } });
});

test("what a cold start replays is history to watchers, and news to nobody (C5, C15)", async () => {
  const clock = manualClock();
  const before = await startWorld({ clock });
  for (let i = 0; i < 5; i++) await before.put(configMaps, newObject(configMaps, `c${i}`));
  const lag = heldWatch(before.store);
  lag.state.holds = true;
  const after = await startWorld({ clock, store: before.store, apiserver: "b", faults: () => lag.wrapped });
  const heard: string[] = [];
  after.cache.listen({
    onChanges: (_kind, changes) => void heard.push(...changes.map(({ entry }) => entry.name)),
    onEpoch: () => void heard.push(`epoch at ${after.cache.revision()}`),
  });
  const watch = await after.watch(configMaps, { query: "resourceVersion=4" });
  await clock.advance(0);
  expect([after.cache.ready(), heard]).toEqual([false, []]);
  lag.release();
  await before.put(configMaps, newObject(configMaps, "new"));
  await after.cache.waitUntilCurrent();
  expect([after.cache.ready(), heard]).toEqual([true, ["epoch at 6", "new"]]);
  expect(await watch.story(3)).toEqual(["ADDED c3 5", "ADDED c4 6", "ADDED new 7"]);
});

test("a load that the compactor overtakes begins again where the compactor left word: clients still resume (C5)", async () => {
  const clock = manualClock();
  const before = await startWorld({ clock });
  for (let i = 0; i < 10; i++) await before.put(configMaps, newObject(configMaps, `c${i}`));
  const { store } = before;
  const overtake = async (): Promise<void> => {
    await store.txn({ compares: [], then: [{ op: "put", key: COMPACTED_KEY, value: Buffer.from("5") }] });
    await store.compact(5);
  };
  let pages = 0;
  const overtaken = (inner: Store): Store => ({
    ...inner,
    range: async (range, options) => {
      if (range.from === allKeys.from && pages++ === 0) await overtake();
      return inner.range(range, options);
    },
  });
  const starting = startWorld({ clock, store, apiserver: "b", faults: overtaken });
  await clock.advance(500);
  const after = await starting;
  await after.cache.waitUntilCurrent();
  expect([pages, after.cache.floor(configMaps)]).toEqual([2, 5]);
  const watch = await after.watch(configMaps, { query: "resourceVersion=9" });
  expect(await watch.story(2)).toEqual(["ADDED c8 10", "ADDED c9 11"]);
});

test("a delete knows its cause; an expiry or a delete by hand has none (C1)", async () => {
  const world = await startWorld({ clock: manualClock() });
  const deleted: unknown[] = [];
  world.cache.listen({
    onChanges: (_kind, changes) => {
      for (const { type, entry } of changes) if (type === "DELETED") deleted.push(entry.trace);
    },
    onEpoch: () => undefined,
  });
  await world.put(nodes, newObject(nodes, "n1"));
  await world.put(nodes, newObject(nodes, "n2"));
  await world.remove(nodes, "n1");
  await world.store.txn({ compares: [], then: [{ op: "delete", key: "/registry/core/nodes/n2" }] });
  await world.cache.waitUntilCurrent();
  expect(deleted).toEqual([cause.trace, undefined]);
});

test("a value that cannot be read is an error to who asks for it, never a delete (C9)", async () => {
  const world = await startWorld({ clock: manualClock() });
  await world.put(configMaps, newObject(configMaps, "a"));
  await world.put(configMaps, newObject(configMaps, "b"));
  const watch = await world.watch(configMaps, { query: "resourceVersion=3" });
  const key = "/registry/core/configmaps/shop/a";
  await world.store.txn({ compares: [], then: [{ op: "put", key, value: Buffer.from("nonsense") }] });
  await expect(world.ask("get", configMaps, { name: "a" })).rejects.toMatchObject({ code: 500 });
  await expect(world.list(configMaps)).rejects.toMatchObject({ code: 500 });
  expect((await world.ask("get", configMaps, { name: "b" })).status).toBe(200);
  const good = Buffer.from(JSON.stringify(newObject(configMaps, "a", { data: { by: "hand" } })));
  await world.store.txn({ compares: [], then: [{ op: "put", key, value: good }] });
  expect(await watch.story(1)).toEqual(["MODIFIED a 5"]);
  expect((await world.list(configMaps)).items).toHaveLength(2);
});

test("all revisions are ahead of the store's by the base, and what is older is gone (C8)", async () => {
  const world = await startWorld({ clock: manualClock(), rvBase: 1_000_000_000 });
  const { revision } = await world.put(configMaps, newObject(configMaps, "a"));
  expect(revision).toBe(1_000_000_002);
  await world.put(configMaps, newObject(configMaps, "b"));
  const first = await world.list(configMaps, { query: "limit=1" });
  expect(first.metadata.resourceVersion).toBe("1000000003");
  const second = await world.list(configMaps, { query: `limit=1&continue=${first.metadata.continue}` });
  expect(second.items.map(({ metadata }) => metadata.resourceVersion)).toEqual(["1000000003"]);
  const watch = await world.watch(configMaps, { query: "resourceVersion=7" });
  expect(await watch.next()).toMatchObject({ type: "ERROR", object: { code: 410 } });
  const exact = world.list(configMaps, { query: "resourceVersion=7&resourceVersionMatch=Exact" });
  await expect(exact).rejects.toMatchObject({ code: 410 });
});

test("history of ten minutes is kept, older is compacted, by one of two apiservers", async () => {
  const clock = manualClock();
  const store = memoryStore({ clock });
  const compacted: number[] = [];
  /** The store's revision after each minute's write. */
  const revisions: number[] = [];
  const counting: Store = {
    ...store,
    compact: (revision) => {
      compacted.push(revision);
      // What the store was ten minutes ago, and all since, is kept.
      expect(revision).toBeLessThanOrEqual(revisions.at(-11) ?? 1);
      return store.compact(revision);
    },
  };
  const failures: unknown[] = [];
  const scope = new Scope("test", (_task, error) => failures.push(error));
  const { log } = memoryTelemetry({ clock, random: seededRandom("log") });
  startCompacting({ store: counting, clock, log }, scope);
  await clock.advance(1_000);
  startCompacting({ store: counting, clock, log }, scope);
  for (let minute = 0; minute < 60; minute++) {
    await store.txn({ compares: [], then: [{ op: "put", key: "/minute", value: Buffer.from(String(minute)) }] });
    revisions.push(await store.revision());
    await clock.advance(60_000);
  }
  expect(compacted.length).toBeGreaterThanOrEqual(8);
  expect(compacted.length).toBeLessThanOrEqual(12);
  expect([...compacted].sort((a, b) => a - b)).toEqual(compacted);
  // What may go does go: at most an interval of each apiserver's is kept beyond the ten minutes.
  expect(compacted.at(-1)).toBeGreaterThan(revisions.at(-25) ?? 0);
  expect((await store.get(COMPACTED_KEY)).entry).toBeDefined();
  await scope.close();
  expect([failures, clock.pending()]).toEqual([[], 0]);
});
