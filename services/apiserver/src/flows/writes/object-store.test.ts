import { expect, test } from "vitest";
import { seededIds, seededRandom } from "@pilothouse/clock/seeded";
import { manualClock } from "@pilothouse/clock/manual";
import { kindOf, type KindDefinition } from "@pilothouse/kinds";
import { StoreRefused, StoreUnavailable, type Store } from "@pilothouse/store";
import { memoryStore } from "@pilothouse/store/memory";
import { raiseRvBase, readRvBase } from "@pilothouse/store/rv-base";
import { electionKey, storeKey, type EncodedObject, type WriteCause, type WriteOutcome } from "../../core/model.ts";
import { decodeDeleteCause, deleteCauseKey, encodeObject } from "../../core/stored/stored.ts";
import { createObjectStore, NamespaceChanged } from "./object-store.ts";

const configMaps = kindOf("", "v1", "configmaps") as KindDefinition;
const trace = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", sampled: true };
const cause: WriteCause = { trace };

function configMap(name: string, value = "1"): EncodedObject {
  return encodeObject({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name, namespace: "shop", uid: `uid-${name}` },
    data: { value },
  });
}

/** What was written; a lost race fails the test. */
function written<T>(outcome: WriteOutcome<T>): T {
  if (outcome.kind === "lost") throw new Error("the race was lost");
  return outcome.stored;
}

function setUp(overrides: Partial<Store> = {}, rvBase = 0) {
  const clock = manualClock();
  const store = memoryStore({ clock });
  const ids = seededIds(seededRandom("object-store"));
  return { clock, store, objects: createObjectStore({ store: { ...store, ...overrides }, clock, ids }, rvBase) };
}

test("create, read, replace and remove, each at its own revision", async () => {
  const { objects, store } = setUp();
  const created = await objects.create(configMaps, configMap("a"), cause);
  expect(await objects.read(configMaps, "shop", "a")).toEqual(created);
  expect(created.object.metadata.resourceVersion).toBe(String(created.revision));

  const replaced = written(await objects.replace(configMaps, configMap("a", "2"), created.revision, cause));
  expect(replaced.revision).toBe(created.revision + 1);
  expect(JSON.parse(Buffer.from(replaced.bytes).toString())).toEqual(replaced.object);

  const removed = written(await objects.remove(configMaps, "shop", "a", replaced.revision, cause));
  expect(removed.revision).toBe(created.revision + 2);
  expect(await objects.read(configMaps, "shop", "a")).toBeUndefined();

  const key = storeKey(configMaps, "shop", "a");
  const { entry } = await store.get(deleteCauseKey(key));
  expect(decodeDeleteCause(entry!.value)).toMatchObject({ key, trace });
});

test("a store without space takes a delete, without its cause", async () => {
  const { objects, store } = setUp();
  const created = await objects.create(configMaps, configMap("a"), cause);
  const full = createObjectStore(
    {
      store: {
        ...store,
        txn(transaction) {
          const puts = transaction.then.some(({ op }) => op === "put");
          if (puts) return Promise.reject(new StoreRefused("noSpace", "etcdserver: mvcc: database space exceeded"));
          return store.txn(transaction);
        },
      },
      clock: manualClock(),
      ids: seededIds(seededRandom("full")),
    },
    0,
  );
  await expect(full.replace(configMaps, configMap("a", "2"), created.revision, cause)).rejects.toThrow(
    "space exceeded",
  );
  // Its preconditions hold as ever.
  expect(await full.remove(configMaps, "shop", "a", created.revision - 1, cause)).toMatchObject({ kind: "lost" });
  written(await full.remove(configMaps, "shop", "a", created.revision, cause));
  expect(await objects.read(configMaps, "shop", "a")).toBeUndefined();
});

test("a lost race writes nothing and brings what is there", async () => {
  const { objects } = setUp();
  const created = await objects.create(configMaps, configMap("a"), cause);
  const replaced = written(await objects.replace(configMaps, configMap("a", "2"), created.revision, cause));
  const lost = { kind: "lost", found: replaced };
  expect(await objects.replace(configMaps, configMap("a", "3"), created.revision, cause)).toEqual(lost);
  expect(await objects.remove(configMaps, "shop", "a", created.revision, cause)).toEqual(lost);
  expect(await objects.read(configMaps, "shop", "a")).toEqual(replaced);

  await objects.remove(configMaps, "shop", "a", replaced.revision, cause);
  const gone = { kind: "lost", found: undefined };
  expect(await objects.replace(configMaps, configMap("a", "3"), replaced.revision, cause)).toEqual(gone);
  expect(await objects.remove(configMaps, "shop", "a", replaced.revision, cause)).toEqual(gone);
});

test("a name taken is 409", async () => {
  const { objects } = setUp();
  await objects.create(configMaps, configMap("a"), cause);
  await expect(objects.create(configMaps, configMap("a"), cause)).rejects.toMatchObject({
    code: 409,
    message: 'configmaps "a" already exists',
  });
});

test("a deposed leader's write is refused, whatever else holds", async () => {
  const { objects, store } = setUp();
  const key = electionKey("scheduler");
  await store.txn({ compares: [], then: [{ op: "put", key, value: Buffer.from("one") }] });
  const fence = { election: "scheduler", createRevision: (await store.get(key)).entry!.createRevision };
  const led: WriteCause = { trace, fence };
  const created = await objects.create(configMaps, configMap("a"), led);

  await store.txn({ compares: [], then: [{ op: "delete", key }] });
  await store.txn({ compares: [], then: [{ op: "put", key, value: Buffer.from("two") }] });
  for (const write of [
    objects.create(configMaps, configMap("b"), led),
    objects.create(configMaps, configMap("a"), led),
    objects.replace(configMaps, configMap("a", "2"), created.revision, led),
    objects.remove(configMaps, "shop", "a", created.revision, led),
  ])
    await expect(write).rejects.toMatchObject({ reason: "LeadershipLost" });
  expect(await objects.read(configMaps, "shop", "a")).toEqual(created);
});

test("nothing is written for a client that has gone: it may have asked another apiserver meanwhile", async () => {
  const { objects } = setUp();
  const gone = { ...cause, signal: AbortSignal.abort() };
  await expect(objects.create(configMaps, configMap("a"), gone)).rejects.toMatchObject({ code: 504 });
  expect(await objects.read(configMaps, "shop", "a")).toBeUndefined();
});

test("a create into a namespace that changed since admission is handed back", async () => {
  const { objects, store } = setUp({}, 1_000);
  const key = "/registry/core/namespaces/shop";
  await store.txn({ compares: [], then: [{ op: "put", key, value: Buffer.from("{}") }] });
  const seen = (await store.get(key)).entry!.modRevision + 1_000;
  await objects.create(configMaps, configMap("a"), { trace, namespaceRevision: { key, modRevision: seen } });
  await store.txn({ compares: [], then: [{ op: "put", key, value: Buffer.from("{}") }] });
  await expect(
    objects.create(configMaps, configMap("b"), { trace, namespaceRevision: { key, modRevision: seen } }),
  ).rejects.toBeInstanceOf(NamespaceChanged);
});

test("a write that landed but whose answer was lost is a success; one that did not is 504 and not written twice (C3)", async () => {
  const backing = memoryStore({ clock: manualClock() });
  let calls = 0;
  let lands = true;
  const lossy: Partial<Store> = {
    get: (key, options) => backing.get(key, options),
    txn: async (txn) => {
      calls++;
      if (lands) await backing.txn(txn);
      throw new StoreUnavailable("deadline exceeded", "unknown");
    },
  };
  const { objects } = setUp(lossy);
  const created = await objects.create(configMaps, configMap("a"), cause);
  expect(created.revision).toBe(2);
  const replaced = written(await objects.replace(configMaps, configMap("a", "2"), created.revision, cause));
  expect(replaced.revision).toBe(3);
  expect(written(await objects.remove(configMaps, "shop", "a", replaced.revision, cause)).revision).toBe(4);

  lands = false;
  await expect(objects.create(configMaps, configMap("b"), cause)).rejects.toMatchObject({ code: 504 });
  expect(calls).toBe(4);
});

test("a store that surely did nothing is 503; an object too large for it is 413", async () => {
  const down = (): never => {
    throw new StoreUnavailable("no member answers", "none");
  };
  const { objects } = setUp({ txn: async () => down() });
  await expect(objects.create(configMaps, configMap("a"), cause)).rejects.toMatchObject({ code: 503 });
  await expect(objects.create(configMaps, configMap("a", "x".repeat(1_600_000)), cause)).rejects.toMatchObject({
    code: 413,
  });
});

test("after a restore all revisions are ahead of etcd's by the base (C8)", async () => {
  const { objects, store } = setUp({}, 1_000_000_000);
  expect(await readRvBase(store)).toBe(0);
  expect(await raiseRvBase(store)).toBe(1_000_000_000);
  expect(await readRvBase(store)).toBe(1_000_000_000);
  const created = await objects.create(configMaps, configMap("a"), cause);
  expect(created.revision).toBe(1_000_000_003);
  const replaced = written(await objects.replace(configMaps, configMap("a", "2"), created.revision, cause));
  expect(await objects.read(configMaps, "shop", "a")).toEqual(replaced);
});

test("Events expire by a lease, other kinds never", async () => {
  const { objects, store, clock } = setUp();
  const events = kindOf("", "v1", "events") as KindDefinition;
  await objects.create(configMaps, configMap("a"), cause);
  await objects.create(events, configMap("e"), cause);
  await clock.advance(3_600_000 - 1);
  expect(await objects.read(events, "shop", "e")).toBeDefined();
  await clock.advance(61_000);
  expect(await objects.read(events, "shop", "e")).toBeUndefined();
  expect(await objects.read(configMaps, "shop", "a")).toBeDefined();
  await store.close();
});
