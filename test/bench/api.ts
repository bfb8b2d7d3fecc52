/** `api`: one apiserver on real etcd and NATS under load from another process; CPU is the server's alone. */
import { setTimeout as wait } from "node:timers/promises";
import { performance } from "node:perf_hooks";
import { startApiserver, type ApiserverUnderLoad } from "./apiserver.ts";
import { load, type Client, type Request } from "./client.ts";
import { ConfigMaps, OBJECT_BYTES } from "./config-maps.ts";
import { median, medianFigures, percentile, type Figure, type Section } from "./figures.ts";
import { measureCalls, RUNS } from "./floor.ts";
import { cpuUs, residentBytes } from "./processes.ts";
import { readList, sharedNowMs, startWatching } from "./readers.ts";

const CLIENTS = 64;
const WRITES = 3_000;
const STORED = 10_000;
const MB = 1e6;

export async function api(): Promise<readonly Section[]> {
  const server = await startApiserver();
  try {
    const emptyBytes = residentBytes(server.pid());
    const sections = [await requests(server), await fanOut(server), await reads(server)];
    return [...sections, await startWithObjects(server, emptyBytes)];
  } finally {
    await server.stop();
  }
}

type Row = readonly [name: string, count: number, aimUs: number, floor: string, request: (index: number) => Request];

async function requests(server: ApiserverUnderLoad): Promise<Section> {
  const client = server.client(CLIENTS);
  const maps = new ConfigMaps("requests");
  await client.send(maps.namespace());
  const rows: readonly Row[] = [
    ["POST", WRITES, 500, "etcd txn, 64", (i) => maps.create(i)],
    ["GET, cache", 12_000, 60, "bare GET, 64", (i) => maps.get(i % WRITES, "cache")],
    ["GET, consistent", 8_000, 90, "bare GET, 64", (i) => maps.get(i % WRITES, "consistent")],
    ["PUT", WRITES, 500, "etcd txn, 64", (i) => maps.replace(i, "put")],
    ["merge PATCH", WRITES, 600, "etcd txn, 64", (i) => maps.mergePatch(i, "patched")],
    ["apply", WRITES, 1_000, "etcd txn, 64", (i) => maps.apply(i, "applied")],
    ["DELETE", WRITES, 400, "etcd txn, 64", (i) => maps.delete(i)],
  ];
  const runs: Figure[][] = [];
  // The first run warms the server up.
  for (let run = 0; run <= RUNS; run++) {
    const figures: Figure[] = [];
    for (const [name, count, aimUs, floor, request] of rows) {
      const call = (index: number): Promise<unknown> => client.send(request(index));
      figures.push(...(await measureCalls(name, () => cpuUs(server.pid()), CLIENTS, count, call, { aimUs, floor })));
    }
    if (run > 0) runs.push(figures);
  }
  client.close();
  return { title: `Requests: objects of ${OBJECT_BYTES / 1000} kB, ${CLIENTS} clients`, figures: medianFigures(runs) };
}

async function fanOut(server: ApiserverUnderLoad): Promise<Section> {
  const client = server.client(CLIENTS);
  const maps = new ConfigMaps("watched");
  await client.send(maps.namespace());
  await client.send(maps.create(0));
  const figures: Figure[] = [];
  for (const watchers of [1, 200, 1_000]) figures.push(...(await fanOutTo(server, client, maps, watchers)));
  client.close();
  return {
    title: "Watch fan-out: events of 10 kB",
    figures,
    notes: [
      "CPU per event and watcher, the write's own included; latency from the write's answer to the event at each watcher.",
    ],
  };
}

async function fanOutTo(
  server: ApiserverUnderLoad,
  client: Client,
  maps: ConfigMaps,
  watchers: number,
): Promise<readonly Figure[]> {
  const singles = watchers === 1 ? 300 : 40;
  const bursts = watchers === 1 ? 20 : 5;
  const burst = 16;
  const { resourceVersion } = JSON.parse((await client.send({ method: "GET", path: maps.path })).body.toString())
    .metadata as {
    resourceVersion: string;
  };
  const watching = await startWatching(
    server.target,
    `${maps.path}?watch=1&resourceVersion=${resourceVersion}`,
    watchers,
  );
  let events = 0;
  const lateMs: number[] = [];
  const single = async (): Promise<void> => {
    await client.send(maps.replace(0, `event-${events++}`));
    const answeredMs = sharedNowMs();
    for (const atMs of await watching.seen(events)) lateMs.push(Math.max(0, atMs - answeredMs));
  };
  for (let i = 0; i < 10; i++) await single();
  lateMs.length = 0;
  let beforeUs = cpuUs(server.pid());
  for (let i = 0; i < singles; i++) await single();
  const singleUs = (cpuUs(server.pid()) - beforeUs) / singles / watchers;
  beforeUs = cpuUs(server.pid());
  for (let i = 0; i < bursts; i++) {
    await Promise.all(Array.from({ length: burst }, () => client.send(maps.replace(0, `event-${events++}`))));
    await watching.seen(events);
  }
  const burstUs = (cpuUs(server.pid()) - beforeUs) / bursts / burst / watchers;
  await watching.stop();
  const name = `${watchers} watcher${watchers === 1 ? "" : "s"}`;
  const isMany = watchers === 1_000;
  return [
    ...(watchers === 1
      ? []
      : [
          {
            name: `${name}: CPU, events singly`,
            value: singleUs,
            unit: "µs",
            ...(isMany ? { aim: { atMost: 25 } } : {}),
          } as const,
          {
            name: `${name}: CPU, 16 writes at once`,
            value: burstUs,
            unit: "µs",
            ...(isMany ? { aim: { atMost: 6 } } : {}),
          } as const,
        ]),
    { name: `${name}: p50`, value: percentile(lateMs, 50), unit: "ms" },
    {
      name: `${name}: p99`,
      value: percentile(lateMs, 99),
      unit: "ms",
      ...(watchers === 1 ? { aim: { atMost: 20 } } : {}),
    },
  ];
}

async function reads(server: ApiserverUnderLoad): Promise<Section> {
  const client = server.client(CLIENTS);
  const maps = new ConfigMaps("listed");
  await client.send(maps.namespace());
  await load(CLIENTS, STORED, (index) => client.send(maps.create(index)));
  const runs: Figure[][] = [];
  for (let run = 0; run < RUNS; run++)
    runs.push([...(await longList(server, client, maps)), ...(await consistentWait(client, maps))]);
  client.close();
  return {
    title: `LIST of ${STORED.toLocaleString("en-US")} objects of 10 kB, and consistent LISTs beside writes`,
    figures: medianFigures(runs),
    notes: ["Extra memory: the highest resident size while 8 more readers have stopped reading, per LIST."],
  };
}

async function longList(server: ApiserverUnderLoad, client: Client, maps: ConfigMaps): Promise<readonly Figure[]> {
  const path = `${maps.path}?resourceVersion=0`;
  const beforeUs = cpuUs(server.pid());
  const alone = await readList(server.target, path);
  const listUs = cpuUs(server.pid()) - beforeUs;
  const beside = await probing(server, client, maps, () => readList(server.target, path));
  const slowReaders = 8;
  const slow = await probing(server, client, maps, () => readList(server.target, path, slowReaders));
  return [
    { name: "LIST: objects/s", value: STORED / (alone.wallMs / 1_000), unit: "objects/s", aim: { atLeast: 100_000 } },
    { name: "LIST: wall", value: alone.wallMs, unit: "ms" },
    { name: "LIST: first byte", value: alone.firstByteMs, unit: "ms" },
    { name: "LIST: CPU per object", value: listUs / STORED, unit: "µs" },
    {
      name: "LIST: others' GET p50 meanwhile",
      value: percentile(beside.latenciesMs, 50),
      unit: "ms",
      floor: "bare GET, 1: p50",
    },
    {
      name: "LIST: others' GET p99 meanwhile",
      value: percentile(beside.latenciesMs, 99),
      unit: "ms",
      aim: { atMost: 5 },
    },
    {
      name: "LIST: extra memory, slow readers",
      value: slow.extraBytes / (slowReaders + 1) / MB,
      unit: "MB",
      aim: { atMost: 1 },
    },
  ];
}

interface Probed {
  readonly latenciesMs: readonly number[];
  readonly extraBytes: number;
}

/** One GET after the other while `work` runs; and how far the server's resident size went up. */
async function probing(
  server: ApiserverUnderLoad,
  client: Client,
  maps: ConfigMaps,
  work: () => Promise<unknown>,
): Promise<Probed> {
  const latenciesMs: number[] = [];
  const beforeBytes = residentBytes(server.pid());
  let mostBytes = beforeBytes;
  const done = new AbortController();
  const working = work().finally(() => done.abort());
  for (let index = 0; !done.signal.aborted; index++) {
    const sentMs = performance.now();
    await client.send(maps.get(index % STORED, "cache"));
    latenciesMs.push(performance.now() - sentMs);
    mostBytes = Math.max(mostBytes, residentBytes(server.pid()));
  }
  await working;
  return { latenciesMs, extraBytes: mostBytes - beforeBytes };
}

/** What a LIST of nothing costs with and without consistency while 8 clients write. */
async function consistentWait(client: Client, maps: ConfigMaps): Promise<readonly Figure[]> {
  const nothing = `${maps.path.replace("listed", "nowhere")}?labelSelector=app%3Dnone`;
  const measured = async (query: string): Promise<readonly number[]> =>
    (await load(1, 300, () => client.send({ method: "GET", path: `${nothing}${query}` }))).latenciesMs;
  const done = new AbortController();
  const writing = Promise.all(
    Array.from({ length: 8 }, async (_, writer) => {
      for (let round = 0; !done.signal.aborted; round++) await client.send(maps.replace(writer, `round-${round}`));
    }),
  );
  await wait(200);
  const [cached, consistent] = [await measured("&resourceVersion=0"), await measured("")];
  done.abort();
  await writing;
  const more = (percent: number): number => percentile(consistent, percent) - percentile(cached, percent);
  return [
    { name: "consistent LIST: wait p50", value: more(50), unit: "ms", aim: { atMost: 2 }, floor: "etcd get, 1: p50" },
    {
      name: "consistent LIST: wait p99",
      value: percentile(consistent, 99) - median(cached),
      unit: "ms",
      aim: { atMost: 10 },
    },
  ];
}

async function startWithObjects(server: ApiserverUnderLoad, emptyBytes: number): Promise<Section> {
  const runs: Figure[][] = [];
  for (let run = 0; run < RUNS; run++) {
    const readyMs = await server.restart();
    await wait(2_000);
    const perByte = (residentBytes(server.pid()) - emptyBytes) / (STORED * OBJECT_BYTES);
    runs.push([
      { name: "start: process to ready", value: readyMs / 1_000, unit: "s", aim: { atMost: 1.5 } },
      { name: "start: resident bytes per stored byte", value: perByte, unit: "bytes/byte", aim: { atMost: 1.5 } },
    ]);
  }
  return { title: `Start with ${STORED.toLocaleString("en-US")} objects of 10 kB`, figures: medianFigures(runs) };
}
