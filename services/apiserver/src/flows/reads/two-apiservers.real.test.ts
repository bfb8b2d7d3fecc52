/** Two apiservers' caches on one real etcd: what one writes the other serves, across broken connections and a restart. */
import type { Ids } from "@pilothouse/clock";
import { systemClock } from "@pilothouse/clock/system";
import type { ApiObject } from "@pilothouse/kinds";
import { etcdStore } from "@pilothouse/store-etcd";
import { afterAll, afterEach, beforeEach, expect, test } from "vitest";
import { expectNoLeaks, startEtcd, tcpProxy, type Etcd, type TcpProxy } from "../../../../../test/harness/index.ts";
import { COMPACTED_KEY } from "../../cache/load.ts";
import { configMaps, newObject, startWorld, type World } from "./reading.fixture.ts";

afterAll(expectNoLeaks);

let etcd: Etcd;
let proxy: TcpProxy;
let worlds: World[] = [];

beforeEach(async () => {
  etcd = await startEtcd();
  proxy = await tcpProxy(etcd.port);
});

afterEach(async () => {
  for (const { scope, store } of worlds) {
    await scope.close();
    await store.close();
  }
  worlds = [];
  await proxy.close();
  await etcd.stop();
});

async function apiserver(name: string, endpoint: string): Promise<World> {
  const store = etcdStore({ endpoints: [endpoint], clock: systemClock });
  const world = await startWorld({ clock: systemClock, ids: countingIds(name), store, apiserver: name });
  worlds.push(world);
  return world;
}

/** Write ids must differ between apiservers. */
function countingIds(name: string): Ids {
  let count = 0;
  return { uuid: () => `${name}-${count++}` };
}

async function namesAndRevisions(world: World): Promise<string[]> {
  const { items } = await world.list(configMaps);
  return items.map(({ metadata }) => `${metadata.name}@${metadata.resourceVersion}`);
}

test("each sees at once what the other wrote, while connections break", async () => {
  const a = await apiserver("a", etcd.endpoint);
  const b = await apiserver("b", `http://${proxy.address}`);
  for (let i = 0; i < 60; i++) {
    const writer = i % 2 === 0 ? a : b;
    const reader = i % 2 === 0 ? b : a;
    const { revision } = await writer.put(configMaps, newObject(configMaps, `c${i % 20}`, { data: { i: String(i) } }));
    if (i % 15 === 7) proxy.cut();
    const answer = await reader.ask("get", configMaps, { name: `c${i % 20}` });
    const object = JSON.parse(Buffer.from(answer.body as Uint8Array).toString()) as ApiObject;
    expect(object.metadata.resourceVersion).toBe(String(revision));
  }
  expect(await namesAndRevisions(a)).toEqual(await namesAndRevisions(b));
});

test("a watch through one sees every write through both, and goes on at the other where it stopped", async () => {
  const a = await apiserver("a", etcd.endpoint);
  const b = await apiserver("b", `http://${proxy.address}`);
  const watch = await b.watch(configMaps, { query: "resourceVersion=1" });
  const written: string[] = [];
  for (let i = 0; i < 300; i++) {
    const { revision } = await (i % 3 === 0 ? b : a).put(configMaps, newObject(configMaps, `c${i}`));
    written.push(`ADDED c${i} ${revision}`);
    if (i === 100) proxy.cutAfterBytes(5_000);
    if (i === 200) proxy.cutAfterBytes(undefined);
  }
  expect(await watch.story(150)).toEqual(written.slice(0, 150));
  watch.close();
  const revision = written[149]?.split(" ")[2];
  const resumed = await a.watch(configMaps, { query: `resourceVersion=${revision}` });
  expect(await resumed.story(150)).toEqual(written.slice(150));

  // A cold start replays what is not compacted, so that the same client resumes there as well.
  const value = Buffer.from(String(revision));
  await a.store.txn({ compares: [], then: [{ op: "put", key: COMPACTED_KEY, value }] });
  await a.store.compact(Number(revision));
  const c = await apiserver("c", etcd.endpoint);
  const again = await c.watch(configMaps, { query: `resourceVersion=${revision}` });
  expect(await again.story(150)).toEqual(written.slice(150));
  again.close();
  expect(c.cache.floor(configMaps)).toBe(Number(revision));
  resumed.close();
});

test("5,000 objects of 10 kB behind: loaded, paged and listed as etcd holds them (C4, C6)", async () => {
  const a = await apiserver("a", etcd.endpoint);
  const text = "x".repeat(10_000);
  for (let i = 0; i < 5_000; i += 50)
    await Promise.all(
      Array.from({ length: 50 }, (_, j) =>
        a.put(configMaps, newObject(configMaps, `c${String(i + j).padStart(4, "0")}`, { data: { text } })),
      ),
    );
  const b = await apiserver("b", etcd.endpoint);
  const all = await namesAndRevisions(b);
  expect(all).toHaveLength(5_000);
  const { residentBytes, objects } = b.cache.size();
  expect(objects).toBe(5_000);
  expect(residentBytes).toBeLessThan(5_000 * 10_200 * 1.5 + (32 << 20));

  const paged: string[] = [];
  for (let token: string | undefined = ""; token !== undefined;) {
    const query = `limit=700${token ? `&continue=${token}` : ""}`;
    const page = await (paged.length % 1_400 === 0 ? a : b).list(configMaps, { query });
    paged.push(...page.items.map(({ metadata }) => `${metadata.name}@${metadata.resourceVersion}`));
    token = page.metadata.continue;
  }
  expect(paged).toEqual(all);
});
