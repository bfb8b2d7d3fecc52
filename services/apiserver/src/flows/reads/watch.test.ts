import { readProtobufWatchFrame } from "@pilothouse/api/codec/watch-frame";
import { manualClock, type ManualClock } from "@pilothouse/clock/manual";
import type { ApiObject } from "@pilothouse/kinds";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { configMaps, newObject, pods, startWorld, type ListAnswer, type World } from "./reading.fixture.ts";

const initialEvents = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";

function pod(name: string, labels: Record<string, string>, nodeName = ""): ApiObject {
  return newObject(pods, name, { metadata: { labels }, spec: { nodeName, containers: [] } });
}

test("a watch without a revision tells what there is, then what changes, in order", async () => {
  const world = await startWorld({ clock: manualClock() });
  await world.put(configMaps, newObject(configMaps, "a"));
  const watch = await world.watch(configMaps);
  expect(watch.response).toMatchObject({ status: 200, headers: { "content-type": "application/json" } });
  await world.put(configMaps, newObject(configMaps, "a", { data: { x: "1" } }));
  await world.put(configMaps, newObject(configMaps, "b"));
  await world.put(configMaps, newObject(configMaps, "elsewhere", { metadata: { namespace: "other" } }));
  await world.remove(configMaps, "a");
  expect(await watch.story(4)).toEqual(["ADDED a 2", "MODIFIED a 3", "ADDED b 4", "DELETED a 6"]);
  watch.close();
  expect(await watch.next()).toBeUndefined();
});

test("the end of the initial events is told at once, even when there are none (wire traps 13 and 14)", async () => {
  const world = await startWorld({ clock: manualClock() });
  await world.put(configMaps, newObject(configMaps, "a"));
  const watch = await world.watch(pods, { query: initialEvents });
  expect(await watch.next()).toEqual({
    type: "BOOKMARK",
    object: {
      kind: "Pod",
      apiVersion: "v1",
      metadata: { resourceVersion: "2", annotations: { "k8s.io/initial-events-end": "true" } },
    },
  });
  const other = await world.watch(configMaps, { query: initialEvents });
  expect(await other.story(2)).toEqual(["ADDED a 2", "BOOKMARK - 2"]);
  const partial = await world.watch(configMaps, {
    query: initialEvents,
    accept: "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
  });
  expect((await partial.take(2)).map(({ object }) => object.kind)).toEqual([
    "PartialObjectMetadata",
    "PartialObjectMetadata",
  ]);
});

test("what a selector sees enters and leaves its view", async () => {
  const world = await startWorld({ clock: manualClock() });
  const watch = await world.watch(pods, { query: "labelSelector=app%3Dweb&fieldSelector=spec.nodeName%3Dn1" });
  await world.put(pods, pod("p", { app: "web" }));
  await world.put(pods, pod("p", { app: "web" }, "n1"));
  await world.put(pods, pod("p", { app: "web", tier: "front" }, "n1"));
  await world.put(pods, pod("p", { app: "api" }, "n1"));
  await world.put(pods, pod("p", { app: "other" }, "n1"));
  await world.put(pods, pod("p", { app: "web", again: "yes" }, "n1"));
  await world.remove(pods, "p");
  const events = await watch.take(5);
  expect(events.map(({ type, object }) => [type, object.metadata.resourceVersion, object.metadata.labels])).toEqual([
    ["ADDED", "3", { app: "web" }],
    ["MODIFIED", "4", { app: "web", tier: "front" }],
    ["DELETED", "5", { app: "web", tier: "front" }],
    ["ADDED", "7", { app: "web", again: "yes" }],
    ["DELETED", "8", { app: "web", again: "yes" }],
  ]);
});

test("one object is watched by its name", async () => {
  const world = await startWorld({ clock: manualClock() });
  await world.put(configMaps, newObject(configMaps, "a"));
  await world.put(configMaps, newObject(configMaps, "b"));
  const watch = await world.watch(configMaps, { query: "fieldSelector=metadata.name%3Db" });
  await world.put(configMaps, newObject(configMaps, "a", { data: { x: "1" } }));
  await world.remove(configMaps, "b");
  expect(await watch.story(2)).toEqual(["ADDED b 3", "DELETED b 5"]);
});

test("a watch resumes behind the revision it names; too old is an event, not an answer (wire trap 17)", async () => {
  const world = await startWorld({ clock: manualClock(), history: { maxChanges: 3, maxBytes: 1 << 20 } });
  for (let i = 0; i < 6; i++) await world.put(configMaps, newObject(configMaps, "a", { data: { i: String(i) } }));
  await world.cache.waitUntilCurrent();
  const resumed = await world.watch(configMaps, { query: "resourceVersion=5" });
  expect(await resumed.story(2)).toEqual(["MODIFIED a 6", "MODIFIED a 7"]);
  const tooOld = await world.watch(configMaps, { query: "resourceVersion=2" });
  expect(tooOld.response.status).toBe(200);
  expect(await tooOld.next()).toMatchObject({
    type: "ERROR",
    object: { kind: "Status", code: 410, reason: "Expired", message: "too old resource version: 2 (4)" },
  });
  expect(await tooOld.next()).toBeUndefined();
});

test("a watch from the future waits for it", async () => {
  const world = await startWorld({ clock: manualClock() });
  const watch = await world.watch(configMaps, { query: "resourceVersion=3" });
  for (const name of ["a", "b", "c", "d"]) await world.put(configMaps, newObject(configMaps, name));
  expect(await watch.story(2)).toEqual(["ADDED c 4", "ADDED d 5"]);
});

test("a slow reader of a fast writer is sent 410 when history has moved on, and holds nothing until then", async () => {
  const world = await startWorld({ clock: manualClock(), history: { maxChanges: 10, maxBytes: 1 << 20 } });
  const watch = await world.watch(configMaps, { query: "resourceVersion=1" });
  for (let i = 0; i < 5; i++) await world.put(configMaps, newObject(configMaps, `a${i}`));
  expect(await watch.story(5)).toHaveLength(5);
  for (let i = 0; i < 20; i++) await world.put(configMaps, newObject(configMaps, `b${i}`));
  await world.cache.waitUntilCurrent();
  expect(await watch.next()).toMatchObject({ type: "ERROR", object: { code: 410, reason: "Expired" } });
  expect(await watch.next()).toBeUndefined();
});

test("bookmarks come each minute and before the end, never ahead of a change, and only when asked for", async () => {
  const world = await startWorld({ clock: manualClock() });
  const watch = await world.watch(pods, { query: "resourceVersion=1&allowWatchBookmarks=true&timeoutSeconds=90" });
  const silent = await world.watch(pods, { query: "resourceVersion=1&timeoutSeconds=90" });
  await world.put(configMaps, newObject(configMaps, "a"));
  const first = watch.next();
  await world.clock.advance(60_000);
  expect(await first).toMatchObject({ type: "BOOKMARK", object: { kind: "Pod", metadata: { resourceVersion: "2" } } });
  const seen = silent.next();
  await world.put(pods, pod("p", {}));
  await world.clock.advance(28_000);
  expect(await watch.story(2)).toEqual(["ADDED p 3", "BOOKMARK - 3"]);
  expect(await seen).toMatchObject({ type: "ADDED" });
  const end = Promise.all([watch.next(), silent.next()]);
  await world.clock.advance(2_000);
  expect(await end).toEqual([undefined, undefined]);
  expect(world.clock.pending()).toBe(0);
});

test.each([
  ["sendInitialEvents=true", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"],
  ["resourceVersionMatch=NotOlderThan", "forbidden for watch unless sendInitialEvents is provided"],
])("bad options are 422: %s", async (query, text) => {
  const world = await startWorld({ clock: manualClock() });
  await expect(world.watch(pods, { query })).rejects.toMatchObject({
    code: 422,
    message: expect.stringContaining(text) as string,
  });
});

test("protobuf frames, and tables whose columns come once", async () => {
  const world = await startWorld({ clock: manualClock() });
  await world.put(configMaps, newObject(configMaps, "a"));
  const protobuf = await world.ask("watch", configMaps, { accept: "application/vnd.kubernetes.protobuf" });
  expect(protobuf.headers["content-type"]).toBe("application/vnd.kubernetes.protobuf;stream=watch");
  for await (const frame of protobuf.body as AsyncIterable<Uint8Array>) {
    expect(readProtobufWatchFrame(frame).type).toBe("ADDED");
    break;
  }
  const table = await world.watch(configMaps, { accept: "application/json;as=Table;v=v1;g=meta.k8s.io" });
  await world.put(configMaps, newObject(configMaps, "b"));
  const [first, second] = (await table.take(2)).map(({ object }) => object);
  expect(first).toMatchObject({ kind: "Table", rows: [{ object: { metadata: { name: "a" } } }] });
  expect(first?.["columnDefinitions"]).not.toBeNull();
  expect(second?.["columnDefinitions"]).toBeNull();
});

test("our own clients are told the trace of each change's cause, others get plain events", async () => {
  const world = await startWorld({ clock: manualClock() });
  const traced = await world.watch(configMaps, { headers: { "pilothouse-event-traces": "true" } });
  const plain = await world.watch(configMaps);
  await world.put(configMaps, newObject(configMaps, "a"));
  await world.remove(configMaps, "a");
  const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  expect((await traced.take(2)).map((event) => ({ ...event, object: undefined }))).toEqual([
    { type: "ADDED", traceparent },
    { type: "DELETED", traceparent },
  ]);
  expect((await plain.take(1)).map((event) => Object.keys(event))).toEqual([["type", "object"]]);
});

test("a change is encoded once for all who watch it", async () => {
  const world = await startWorld({ clock: manualClock() });
  const watches = await Promise.all(
    Array.from({ length: 200 }, () => world.ask("watch", configMaps, { query: "resourceVersion=1" })),
  );
  await world.put(configMaps, newObject(configMaps, "a"));
  const frames = await Promise.all(
    watches.map(async ({ body }) => {
      const { value } = await (body as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]().next();
      return value;
    }),
  );
  expect(new Set(frames).size).toBe(1);
});

test("what is ready together is joined once for all who are behind alike", async () => {
  const world = await startWorld({ clock: manualClock() });
  const watching = (query = ""): Promise<AsyncIterator<Uint8Array>[]> =>
    Promise.all(
      Array.from({ length: 20 }, async () => {
        const { body } = await world.ask("watch", configMaps, { query: `resourceVersion=1${query}` });
        return (body as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
      }),
    );
  const [all, red] = [await watching(), await watching("&labelSelector=color%3Dred")];
  for (const color of ["red", "blue", "red"])
    await world.put(configMaps, newObject(configMaps, color, { metadata: { labels: { color } } }));
  const pieces = async (watches: AsyncIterator<Uint8Array>[]): Promise<Set<Uint8Array>> =>
    new Set(await Promise.all(watches.map(async (watch) => (await watch.next()).value as Uint8Array)));
  const joined = [...(await pieces(all)), ...(await pieces(red))];
  const names = joined.map((bytes) =>
    Buffer.from(bytes)
      .toString()
      .match(/"name":"\w+"/g),
  );
  expect(names).toEqual([
    ['"name":"red"', '"name":"blue"', '"name":"red"'],
    ['"name":"red"', '"name":"red"'],
  ]);
});

/** What a client knows that lists, then follows a watch. */
class Informer {
  readonly objects = new Map<string, ApiObject>();
  revision = 0;
  readonly #query: string;

  constructor(query: string) {
    this.#query = query;
  }

  async list(world: World): Promise<void> {
    const { items, metadata }: ListAnswer = await world.list(configMaps, { query: this.#query });
    this.objects.clear();
    for (const item of items) this.objects.set(item.metadata.name as string, item);
    this.revision = Number(metadata.resourceVersion);
  }

  /** Follows a watch from where it is until `until`. */
  async follow(world: World<ManualClock>, until: number): Promise<void> {
    const query = `resourceVersion=${this.revision}&allowWatchBookmarks=true&${this.#query}`;
    const watch = await world.watch(configMaps, { query });
    while (this.revision < until) {
      const pending = watch.next();
      await world.clock.advance(60_000);
      const event = await pending;
      if (!event || event.type === "ERROR") return this.list(world);
      this.#apply(event.type, event.object);
    }
    watch.close();
  }

  #apply(type: string, object: ApiObject): void {
    const name = object.metadata.name as string;
    expect(Number(object.metadata.resourceVersion)).toBeGreaterThanOrEqual(this.revision);
    this.revision = Number(object.metadata.resourceVersion);
    if (type === "BOOKMARK") return;
    expect(this.objects.has(name)).toBe(type !== "ADDED");
    if (type === "DELETED") this.objects.delete(name);
    else this.objects.set(name, object);
  }
}

test(
  "whoever lists and then watches knows what the store holds, whatever was written when",
  { timeout: 30_000 },
  async () => {
    const write = fc.record({
      name: fc.constantFrom("a", "b", "c", "d"),
      kind: fc.constantFrom("put", "put", "remove", "compact"),
      color: fc.constantFrom("red", "blue"),
      follows: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(write, { maxLength: 30 }),
        fc.integer({ min: 2, max: 20 }),
        async (writes, maxChanges) => {
          const world = await startWorld({ clock: manualClock(), history: { maxChanges, maxBytes: 1 << 20 } });
          const informers = [new Informer(""), new Informer("labelSelector=color%3Dred")] as const;
          for (const informer of informers) await informer.list(world);
          for (const { name, kind, color, follows } of writes) {
            if (kind === "remove") await world.remove(configMaps, name);
            else if (kind === "put")
              await world.put(configMaps, newObject(configMaps, name, { metadata: { labels: { color } } }));
            else await world.store.compact(await world.store.revision()).catch(() => undefined);
            const revision = await world.cache.waitUntilCurrent();
            if (follows) for (const informer of informers) await informer.follow(world, revision);
          }
          const revision = await world.cache.waitUntilCurrent();
          for (const informer of informers) await informer.follow(world, revision);
          const truth = await storeState(world);
          expect(new Set(informers[0].objects.values())).toEqual(new Set(truth));
          const red = truth.filter(({ metadata }) => metadata.labels?.["color"] === "red");
          expect(new Set(informers[1].objects.values())).toEqual(new Set(red));
          await world.scope.close();
          expect(world.failures).toEqual([]);
        },
      ),
      { numRuns: 60 },
    );
  },
);

async function storeState(world: World): Promise<ApiObject[]> {
  const found = await Promise.all(["a", "b", "c", "d"].map((name) => world.objects.read(configMaps, "shop", name)));
  return found.flatMap((stored) => (stored ? [stored.object] : []));
}
