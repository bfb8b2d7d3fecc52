/** Watches: what an event costs the server, and how long after its commit clients have it, by HTTP and by the bus. */
import { busSubjects, changeHeaders } from "@pilothouse/bus";
import { natsBus } from "@pilothouse/bus-nats";
import { systemClock } from "@pilothouse/clock/system";
import { etcdStore } from "@pilothouse/store-etcd";
import { SERVER_NAME, type ApiserverUnderLoad } from "./apiserver.ts";
import { load, type Client } from "./client.ts";
import { ConfigMaps } from "./config-maps.ts";
import { medianFigures, percentile, type Figure, type Section } from "./figures.ts";
import { RUNS } from "./floor.ts";
import { cpuUs } from "./processes.ts";
import { sharedNowMs, startWatching, type Watching } from "./readers.ts";

const BURST = 16;
const SINGLES = 30;
const BURSTS = 5;
const COMMITS = 200;

export async function watches(server: ApiserverUnderLoad): Promise<Section> {
  const client = server.client(BURST);
  const maps = new ConfigMaps("watched");
  await client.send(maps.namespace());
  await load(BURST, BURST, (index) => client.send(maps.create(index)));
  const figures = [...(await commitToClient(server, client, maps))];
  for (const watchers of [200, 1_000]) figures.push(...(await fanOut(server, client, maps, watchers)));
  client.close();
  return {
    title: "Watches: events of 10 kB",
    figures,
    notes: [
      "CPU per event and watcher, the writes' own included. Bursts: 16 writes at once, to an object each.",
      "From commit: since etcd's answer to a transaction that went around the apiserver.",
    ],
  };
}

/** Where a watch of `maps` begins so that it tells of what comes from now on. */
async function watchNow(
  server: ApiserverUnderLoad,
  client: Client,
  maps: ConfigMaps,
  watchers: number,
): Promise<Watching> {
  const { body } = await client.send({ method: "GET", path: `${maps.path}?limit=1` });
  const { resourceVersion } = (JSON.parse(body.toString()) as { metadata: { resourceVersion: string } }).metadata;
  return startWatching(server.target, `${maps.path}?watch=1&resourceVersion=${resourceVersion}`, watchers);
}

async function commitToClient(
  server: ApiserverUnderLoad,
  client: Client,
  maps: ConfigMaps,
): Promise<readonly Figure[]> {
  const store = etcdStore({ endpoints: [server.etcdEndpoint], clock: systemClock });
  const bus = natsBus({ servers: [server.natsEndpoint], name: "bench", onError: () => undefined });
  const onBus: number[] = [];
  bus.subscribe(busSubjects.changes(SERVER_NAME, "", "configmaps"), ({ headers }) => {
    if (headers[changeHeaders.type] !== "BOOKMARK") onBus.push(sharedNowMs());
  });
  const watching = await watchNow(server, client, maps, 1);
  const key = `/registry/core/configmaps/watched/c-0`;
  const { entry } = await store.get(key);
  if (!entry) throw new Error(`${key} is not there`);
  const runs: Figure[][] = [];
  let events = 0;
  for (let run = 0; run <= RUNS; run++) {
    onBus.length = 0;
    const committed: number[] = [];
    const seen: number[] = [];
    for (let i = 0; i < COMMITS; i++) {
      await store.txn({ compares: [], then: [{ op: "put", key, value: entry.value }] });
      committed.push(sharedNowMs());
      seen.push(...(await watching.seen(++events)));
    }
    const since = (times: readonly number[]): readonly number[] =>
      times.map((atMs, i) => Math.max(0, atMs - (committed[i] ?? Number.NaN)));
    if (run > 0) runs.push([...latencies("HTTP", since(seen), 20), ...latencies("bus", since(onBus), 5)]);
  }
  await Promise.all([watching.stop(), bus.close(), store.close()]);
  return medianFigures(runs);
}

function latencies(how: string, lateMs: readonly number[], aimMs: number): readonly Figure[] {
  return [
    { name: `commit → client by ${how}: p50`, value: percentile(lateMs, 50), unit: "ms" },
    { name: `commit → client by ${how}: p99`, value: percentile(lateMs, 99), unit: "ms", aim: { atMost: aimMs } },
  ];
}

async function fanOut(
  server: ApiserverUnderLoad,
  client: Client,
  maps: ConfigMaps,
  watchers: number,
): Promise<readonly Figure[]> {
  const watching = await watchNow(server, client, maps, watchers);
  let events = 0;
  const perEvent = async (rounds: number, writes: number): Promise<{ us: number; lateMs: readonly number[] }> => {
    const lateMs: number[] = [];
    const beforeUs = cpuUs(server.pid());
    for (let round = 0; round < rounds; round++) {
      const put = (index: number): Promise<unknown> => client.send(maps.replace(index, `event-${events + index}`));
      await Promise.all(Array.from({ length: writes }, (_, index) => put(index)));
      const answeredMs = sharedNowMs();
      for (const atMs of await watching.seen((events += writes))) lateMs.push(Math.max(0, atMs - answeredMs));
    }
    return { us: (cpuUs(server.pid()) - beforeUs) / rounds / writes / watchers, lateMs };
  };
  await perEvent(10, 1);
  const runs: Figure[][] = [];
  for (let run = 0; run < RUNS; run++) {
    const singly = await perEvent(SINGLES, 1);
    const burst = await perEvent(BURSTS, BURST);
    const name = `${watchers.toLocaleString("en-US")} watchers`;
    const aims =
      watchers === 1_000 ? ([{ aim: { atMost: 25 } }, { aim: { atMost: 6 } }] as const) : ([{}, {}] as const);
    const floors = ["bare fan-out to 1,000: CPU, one event", "bare fan-out to 1,000: CPU, 16 joined"] as const;
    runs.push([
      { name: `${name}: CPU, events singly`, value: singly.us, unit: "µs", ...aims[0], floor: floors[0] },
      { name: `${name}: CPU, bursts of 16`, value: burst.us, unit: "µs", ...aims[1], floor: floors[1] },
      { name: `${name}: write's answer → event, p99`, value: percentile(singly.lateMs, 99), unit: "ms" },
    ]);
  }
  await watching.stop();
  return medianFigures(runs);
}
