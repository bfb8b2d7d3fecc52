/** Those who list and watch for long: over restarts, beside fast writers, when they are slow or stop (C5, C6). */
import { manualClock } from "@pilothouse/clock/manual";
import type { ApiObject } from "@pilothouse/kinds";
import { memoryStore } from "@pilothouse/store/memory";
import { expect, test } from "vitest";
import { COMPACTED_KEY } from "../../cache/load.ts";
import { configMaps, newObject, startWorld, type ListAnswer, type SeenEvent, type World } from "./reading.fixture.ts";

/** What a client knows from the events it has seen. Each must follow from those before it. */
class Follower {
  readonly objects = new Map<string, ApiObject>();
  revision: number;

  constructor({ items, metadata }: ListAnswer) {
    for (const item of items) this.objects.set(item.metadata.name as string, item);
    this.revision = Number(metadata.resourceVersion);
  }

  see({ type, object }: SeenEvent): void {
    const name = object.metadata.name as string;
    expect(type).not.toBe("ERROR");
    expect(Number(object.metadata.resourceVersion)).toBeGreaterThan(this.revision);
    this.revision = Number(object.metadata.resourceVersion);
    expect(this.objects.has(name)).toBe(type !== "ADDED");
    if (type === "DELETED") this.objects.delete(name);
    else this.objects.set(name, object);
  }

  async followTo(world: World, revision: number): Promise<void> {
    const watch = await world.watch(configMaps, { query: `resourceVersion=${this.revision}` });
    while (this.revision < revision) {
      const event = await watch.next();
      if (!event) throw new Error(`the watch ended at ${this.revision}, before ${revision}`);
      this.see(event);
    }
    watch.close();
  }
}

async function truth(world: World): Promise<readonly ApiObject[]> {
  return (await world.list(configMaps)).items;
}

/** The ith of many writes: some create, some change, some delete. */
async function write(world: World, i: number, data: Record<string, string> = { i: String(i) }): Promise<number> {
  const name = `c${(i * 7) % 20}`;
  const removed = i % 5 === 4 ? await world.remove(configMaps, name) : undefined;
  return removed?.revision ?? (await world.put(configMaps, newObject(configMaps, name, { data }))).revision;
}

test("a hundred watchers resume over a restart: no 410 for what the store still has, and nothing is missed or doubled (C5)", async () => {
  const clock = manualClock();
  const store = memoryStore({ clock });
  const before = await startWorld({ clock, store });
  for (let i = 0; i < 30; i++) await write(before, i);
  const window = await store.revision();
  const followers: Follower[] = [];
  for (let i = 0; i < 100; i++) {
    followers.push(new Follower(await before.list(configMaps)));
    if (i % 2 === 0) await write(before, 30 + i);
  }
  await store.txn({ compares: [], then: [{ op: "put", key: COMPACTED_KEY, value: Buffer.from(String(window)) }] });
  await store.compact(window);
  await before.scope.close();

  const after = await startWorld({ clock, store, apiserver: "b" });
  let last = 0;
  const following = followers.map((follower) => follower.followTo(after, window + 60));
  for (let i = 0; i < 40; i++) last = await write(after, i);
  await Promise.all(following);
  for (const follower of followers) await follower.followTo(after, last);
  const items = await truth(after);
  for (const { objects } of followers) expect(new Set(objects.values())).toEqual(new Set(items));
});

test("a slow reader that lists and then watches beside a fast writer ends with what the store holds (C6)", async () => {
  const world = await startWorld({ clock: manualClock() });
  const text = "x".repeat(20_000);
  for (let i = 0; i < 20; i++) await world.put(configMaps, newObject(configMaps, `c${i}`, { data: { text } }));
  let writes = 0;
  let last = 0;
  const hurry = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) last = await write(world, writes++, { text, i: String(writes) });
    await world.cache.waitUntilCurrent();
  };
  const pieces: Uint8Array[] = [];
  for await (const piece of (await world.ask("list", configMaps)).body as AsyncIterable<Uint8Array>) {
    pieces.push(piece);
    await hurry(3);
  }
  const follower = new Follower(JSON.parse(Buffer.concat(pieces).toString()) as ListAnswer);
  expect(last - follower.revision).toBeGreaterThan(60);
  const watch = await world.watch(configMaps, { query: `resourceVersion=${follower.revision}` });
  while (follower.revision < last) {
    if (writes < 200) await hurry(2);
    for (const event of await watch.take(1)) follower.see(event);
  }
  expect(new Set(follower.objects.values())).toEqual(new Set(await truth(world)));
});

test("a watcher that stops reading costs the others nothing, holds nothing, and has lost its place when it comes back", async () => {
  const history = { maxChanges: 1_000, maxBytes: 200_000 };
  const world = await startWorld({ clock: manualClock(), history });
  const query = "resourceVersion=1";
  const stopped = await world.watch(configMaps, { query });
  const others = await Promise.all(Array.from({ length: 20 }, () => world.watch(configMaps, { query })));
  const before = world.cache.size().residentBytes;
  for (let i = 0; i < 300; i++) {
    await world.put(configMaps, newObject(configMaps, `c${i % 10}`, { data: { text: "x".repeat(10_000), i: `${i}` } }));
    const seen = await Promise.all(others.map((watch) => watch.story(1)));
    expect(new Set(seen.flat()).size).toBe(1);
  }
  // 3 MB were written: ten objects, a history of 200 kB with what it replaced, and slabs of a megabyte are held.
  expect(world.cache.size().residentBytes - before).toBeLessThan(2 << 20);
  expect(await stopped.take(2)).toMatchObject([{ type: "ERROR", object: { code: 410, reason: "Expired" } }]);
});

test("history is bounded by bytes as by number, and its floor says from where", async () => {
  const world = await startWorld({ clock: manualClock(), history: { maxChanges: 1_000, maxBytes: 50_000 } });
  for (let i = 0; i < 20; i++)
    await world.put(configMaps, newObject(configMaps, "a", { data: { text: "x".repeat(10_000), i: `${i}` } }));
  await world.cache.waitUntilCurrent();
  const floor = world.cache.floor(configMaps);
  expect(world.cache.revision() - floor).toBe(4);
  const within = await world.watch(configMaps, { query: `resourceVersion=${floor}` });
  expect(await within.take(4)).toMatchObject([{ type: "MODIFIED" }, {}, {}, {}]);
  const below = await world.watch(configMaps, { query: `resourceVersion=${floor - 1}` });
  expect(await below.next()).toMatchObject({ type: "ERROR", object: { code: 410 } });
});
