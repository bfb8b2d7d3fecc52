/** Watches: what an event costs the server, and how long after its commit clients have it, by HTTP and by the bus. */
import { busSubjects, changeHeaders } from "@pilothouse/bus";
import { natsBus } from "@pilothouse/bus-nats";
import { systemClock } from "@pilothouse/clock/system";
import type { Store } from "@pilothouse/store";
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
  const store = etcdStore({ endpoints: [server.etcdEndpoint], clock: systemClock });
  const around = await puttingAround(store, maps);
  const figures = [...(await commitToClient(server, client, maps, around))];
  for (const watchers of [200, 1_000]) figures.push(...(await fanOut(server, client, maps, watchers, around)));
  client.close();
  await store.close();
  return {
    title: "Watches: events of 10 kB",
    figures,
    notes: [
      "CPU per event and watcher. Singly, and 16 ready: transactions of 1 and 16 objects that go around the apiserver;",
      "16 PUTs at once: by its own door, the writes' CPU included. Latencies are from etcd's answer on.",
    ],
  };
}

/** Puts the first `count` objects again, as they are stored, in one transaction that the apiserver does not know of. */
type PutAround = (count: number) => Promise<void>;

async function puttingAround(store: Store, maps: ConfigMaps): Promise<PutAround> {
  const puts = await Promise.all(
    Array.from({ length: BURST }, async (_, index) => {
      const key = maps.storeKey(index);
      const { entry } = await store.get(key);
      if (!entry) throw new Error(`${key} is not there`);
      return { op: "put", key, value: entry.value } as const;
    }),
  );
  return async (count) => void (await store.txn({ compares: [], then: puts.slice(0, count) }));
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
  putAround: PutAround,
): Promise<readonly Figure[]> {
  const bus = natsBus({ servers: [server.natsEndpoint], name: "bench", onError: () => undefined });
  const onBus: number[] = [];
  bus.subscribe(busSubjects.changes(SERVER_NAME, "", "configmaps"), ({ headers }) => {
    if (headers[changeHeaders.type] !== "BOOKMARK") onBus.push(sharedNowMs());
  });
  const watching = await watchNow(server, client, maps, 1);
  const runs: Figure[][] = [];
  let events = 0;
  // The first run warms up.
  for (let run = 0; run <= RUNS; run++) {
    onBus.length = 0;
    const committed: number[] = [];
    const seen: number[] = [];
    for (let i = 0; i < COMMITS; i++) {
      await putAround(1);
      committed.push(sharedNowMs());
      seen.push(...(await watching.seen(++events)));
    }
    const since = (times: readonly number[]): readonly number[] =>
      times.map((atMs, i) => Math.max(0, atMs - (committed[i] ?? Number.NaN)));
    if (run > 0) runs.push([...latencies("HTTP", since(seen), 20), ...latencies("bus", since(onBus), 5)]);
  }
  await Promise.all([watching.stop(), bus.close()]);
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
  putAround: PutAround,
): Promise<readonly Figure[]> {
  const watching = await watchNow(server, client, maps, watchers);
  const lateMs: number[] = [];
  let events = 0;
  const perEvent = async (rounds: number, count: number, write: () => Promise<unknown>): Promise<number> => {
    lateMs.length = 0;
    const beforeUs = cpuUs(server.pid());
    for (let round = 0; round < rounds; round++) {
      await write();
      const answeredMs = sharedNowMs();
      for (const atMs of await watching.seen((events += count))) lateMs.push(Math.max(0, atMs - answeredMs));
    }
    return (cpuUs(server.pid()) - beforeUs) / rounds / count / watchers;
  };
  const putAll = (): Promise<unknown> =>
    Promise.all(Array.from({ length: BURST }, (_, index) => client.send(maps.replace(index, `event-${events}`))));
  await perEvent(10, 1, () => putAround(1));
  const runs: Figure[][] = [];
  for (let run = 0; run < RUNS; run++) {
    const singlyUs = await perEvent(SINGLES, 1, () => putAround(1));
    const p99Ms = percentile(lateMs, 99);
    const readyUs = await perEvent(BURSTS, BURST, () => putAround(BURST));
    const putsUs = await perEvent(BURSTS, BURST, putAll);
    runs.push(fanOutFigures(watchers, { singlyUs, p99Ms, readyUs, putsUs }));
  }
  await watching.stop();
  return medianFigures(runs);
}

interface FanOut {
  readonly singlyUs: number;
  readonly p99Ms: number;
  readonly readyUs: number;
  readonly putsUs: number;
}

function fanOutFigures(watchers: number, { singlyUs, p99Ms, readyUs, putsUs }: FanOut): Figure[] {
  const name = `${watchers.toLocaleString("en-US")} watchers`;
  const aim = (atMostUs: number): Pick<Figure, "aim"> => (watchers === 1_000 ? { aim: { atMost: atMostUs } } : {});
  const [one, joined] = ["bare fan-out to 1,000: CPU, one event", "bare fan-out to 1,000: CPU, 16 joined"] as const;
  return [
    { name: `${name}: CPU, events singly`, value: singlyUs, unit: "µs", floor: one, ...aim(25) },
    { name: `${name}: CPU, 16 ready`, value: readyUs, unit: "µs", floor: joined, ...aim(6) },
    { name: `${name}: CPU, 16 PUTs at once`, value: putsUs, unit: "µs", floor: joined },
    { name: `${name}: commit → each client, singly, p99`, value: p99Ms, unit: "ms" },
  ];
}
