import { busSubjects, changeHeaders, type BusMessage } from "@pilothouse/bus";
import { memoryBroker } from "@pilothouse/bus/memory";
import { manualClock, type ManualClock } from "@pilothouse/clock/manual";
import { kindOf, kinds, type KindDefinition } from "@pilothouse/kinds";
import { StoreUnavailable } from "@pilothouse/store";
import { memoryStore } from "@pilothouse/store/memory";
import { expect, test } from "vitest";
import { COMPACTED_KEY } from "../../cache/load.ts";
import { heldWatch } from "../../held-watch.fixture.ts";
import { startPublishing } from "./publish.ts";
import {
  configMaps,
  newObject,
  nodes,
  pods,
  secrets,
  startWorld,
  type WorldOptions,
} from "../reads/reading.fixture.ts";

const events = kindOf("", "v1", "events") as KindDefinition;

/** A world whose changes are published, and all that was heard on the bus. */
async function startPublished(options: Partial<WorldOptions<ManualClock>> = {}, maxPayloadBytes = 2 ** 20) {
  const world = await startWorld({ clock: manualClock(), ...options });
  const broker = memoryBroker({ maxPayloadBytes });
  const heard: BusMessage[] = [];
  broker.connect().subscribe("changes.>", (message) => heard.push(message));
  const bus = broker.connect();
  startPublishing({ bus, cache: world.cache, clock: world.clock }, { apiserver: "a", kinds }, world.scope);
  return {
    ...world,
    heard,
    ask: broker.connect(),
    of: (subject: string) => heard.filter((message) => message.subject === subject).map(brief),
  };
}

function brief({ headers, payload }: BusMessage): string {
  const { type, previous, revision, key, part } = changeHeaders;
  const words = [headers[type], headers[key], `${headers[previous]}→${headers[revision]}`, headers[part]];
  return `${words.filter(Boolean).join(" ")}${payload.length === 0 ? " empty" : ""}`;
}

test("each change is told with the one before it in its chain; the first begins where the feed did", async () => {
  const world = await startPublished();
  await world.put(configMaps, newObject(configMaps, "a"));
  await world.put(secrets, newObject(secrets, "s", { data: { password: "aHVudGVyMg==" } }));
  const { bytes, object } = await world.put(configMaps, newObject(configMaps, "a", { data: { x: "1" } }));
  await world.remove(configMaps, "a");
  await world.cache.waitUntilCurrent();
  await world.clock.advance(0);

  expect(world.of(busSubjects.changes("a", "", "configmaps"))).toEqual([
    "ADDED shop/a 1→2",
    "MODIFIED shop/a 2→4",
    "DELETED shop/a 4→5",
  ]);
  expect(world.of(busSubjects.changes("a", "", "secrets"))).toEqual(["ADDED shop/s 1→3 empty"]);
  expect(world.heard.some(({ payload }) => Buffer.from(payload).includes("aHVudGVyMg=="))).toBe(false);
  const modified = world.heard.find(({ headers }) => headers[changeHeaders.revision] === "4");
  expect(Buffer.from(modified?.payload ?? [])).toEqual(Buffer.from(bytes));
  expect(modified?.headers).toMatchObject({
    [changeHeaders.epoch]: world.cache.epoch,
    [changeHeaders.uid]: object.metadata.uid,
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  });
  const deleted = world.heard.find(({ headers }) => headers[changeHeaders.type] === "DELETED");
  expect(JSON.parse(Buffer.from(deleted?.payload ?? []).toString())).toMatchObject({
    metadata: { resourceVersion: "5" },
    data: { x: "1" },
  });
  expect(deleted?.headers.traceparent).toBeDefined();
});

test("a pod is told on its node's chain from the moment it is bound", async () => {
  const world = await startPublished();
  const pod = (nodeName: string, label = "") =>
    newObject(pods, "p", { metadata: { labels: { label } }, spec: { containers: [], nodeName } });
  await world.put(pods, pod(""));
  await world.put(pods, pod("n1"));
  await world.put(pods, pod("n1", "x"));
  await world.put(pods, pod("n2"));
  await world.remove(pods, "p");
  await world.cache.waitUntilCurrent();
  await world.clock.advance(0);
  expect(world.of(busSubjects.nodePods("a", "n1"))).toEqual([
    "ADDED shop/p 1→3",
    "MODIFIED shop/p 3→4",
    "DELETED shop/p 4→5",
  ]);
  expect(world.of(busSubjects.nodePods("a", "n2"))).toEqual(["ADDED shop/p 1→5", "DELETED shop/p 5→6"]);
  expect(world.of(busSubjects.changes("a", "", "pods"))).toHaveLength(5);
});

test("an object too large for the bus is told without its contents", async () => {
  const world = await startPublished({}, 10_000);
  await world.put(configMaps, newObject(configMaps, "big", { data: { x: "x".repeat(20_000) } }));
  await world.cache.waitUntilCurrent();
  await world.clock.advance(0);
  expect(world.of(busSubjects.changes("a", "", "configmaps"))).toEqual(["ADDED shop/big 1→2 empty"]);
});

test("objects that go in one revision are parts of one link", async () => {
  const world = await startPublished();
  for (const name of ["e1", "e2", "e3"]) await world.put(events, newObject(events, name));
  const feed = busSubjects.changes("a", "", "events");
  await world.clock.advance(3_700_000);
  expect(world.of(feed).filter((text) => text.startsWith("DELETED"))).toEqual([
    "DELETED shop/e1 4→5 1/3",
    "DELETED shop/e2 4→5 2/3",
    "DELETED shop/e3 4→5 3/3",
  ]);
});

test("bookmarks tell every chain, nodes' without pods too, that nothing is missing; silence while the store does not answer", async () => {
  let isDown = false;
  const world = await startPublished({
    faults: (store) => ({
      ...store,
      revision: (signal) =>
        isDown ? Promise.reject(new StoreUnavailable("no member answers", "none")) : store.revision(signal),
    }),
  });
  await world.put(nodes, newObject(nodes, "n1"));
  await world.put(configMaps, newObject(configMaps, "a"));
  await world.clock.advance(5_000);
  expect(world.of(busSubjects.changes("a", "", "configmaps"))).toEqual(["ADDED shop/a 1→3", "BOOKMARK 3→3 empty"]);
  expect(world.of(busSubjects.changes("a", "apps", "deployments"))).toEqual(["BOOKMARK 1→3 empty"]);
  expect(world.of(busSubjects.nodePods("a", "n1"))).toEqual(["BOOKMARK 1→3 empty"]);
  expect(world.heard.at(-1)?.headers[changeHeaders.interval]).toBe("5000");
  const before = world.heard.length;
  isDown = true;
  await world.clock.advance(20_000);
  expect(world.heard).toHaveLength(before);
});

test("who waits for a revision gets a bookmark of the chain that it names, and nobody of what is no chain", async () => {
  const world = await startPublished();
  const feed = busSubjects.changes("a", "apps", "deployments");
  await world.put(configMaps, newObject(configMaps, "a"));
  const ask = (chain: string): void =>
    void world.ask.publish(busSubjects.bookmarkWanted("a"), new TextEncoder().encode(chain));
  for (const chain of [feed, "changes.b.apps.deployments", "changes.a.apps.nonsense", "leaders.scheduler"]) ask(chain);
  await world.clock.advance(100);
  expect(world.of(feed)).toEqual(["BOOKMARK 1→2 empty"]);
  expect(world.heard).toHaveLength(2);
  ask(feed);
  await world.clock.advance(100);
  expect(world.of(feed)).toHaveLength(2);
});

test("a reload that still replays tells no chain that nothing is missing: what it missed was told to nobody", async () => {
  const clock = manualClock();
  const store = memoryStore({ clock });
  const lag = heldWatch(store);
  const world = await startPublished({ clock, store, faults: () => lag.wrapped });
  const feed = busSubjects.changes("a", "", "configmaps");
  const ask = (): void => void world.ask.publish(busSubjects.bookmarkWanted("a"), new TextEncoder().encode(feed));
  await world.put(configMaps, newObject(configMaps, "told"));
  await clock.advance(0);
  lag.state.holds = true;
  await world.put(configMaps, newObject(configMaps, "missed"));
  ask();
  await clock.advance(100);
  await store.txn({ compares: [], then: [{ op: "put", key: COMPACTED_KEY, value: Buffer.from("4") }] });
  await world.put(configMaps, newObject(configMaps, "replayed"));
  await store.compact(4);
  lag.state.end({ reason: "compacted", compactRevision: 4 });
  await clock.advance(100);
  expect(world.cache.revision()).toBe(4);
  expect(world.of(feed)).toEqual(["ADDED shop/told 1→2"]);

  lag.release();
  ask();
  await clock.advance(100);
  expect(world.of(feed)).toEqual(["ADDED shop/told 1→2", "BOOKMARK 5→5 empty"]);
  expect(world.heard.at(-1)?.headers[changeHeaders.epoch]).toBe(world.cache.epoch);
});

test("a node's chain that was given up begins again behind all it said", async () => {
  const world = await startPublished();
  const pod = (label: string) => newObject(pods, "p", { metadata: { labels: { label } }, spec: { nodeName: "n1" } });
  await world.put(pods, pod("1"));
  await world.clock.advance(5_000);
  await world.put(pods, pod("2"));
  await world.cache.waitUntilCurrent();
  await world.clock.advance(0);
  expect(world.of(busSubjects.nodePods("a", "n1"))).toEqual(["ADDED shop/p 1→2", "MODIFIED shop/p 2→3"]);
});
