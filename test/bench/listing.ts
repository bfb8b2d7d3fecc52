/** LISTs of many objects, what others feel of them, and a start with them. */
import { setTimeout as wait } from "node:timers/promises";
import { systemClock } from "@pilothouse/clock/system";
import { etcdStore } from "@pilothouse/store-etcd";
import type { ApiserverUnderLoad } from "./apiserver.ts";
import { load, type Client } from "./client.ts";
import { ConfigMaps, OBJECT_BYTES } from "./config-maps.ts";
import { median, medianFigures, percentile, type Figure, type Section } from "./figures.ts";
import { RUNS } from "./floor.ts";
import { cpuUs, residentBytes } from "./processes.ts";
import { probed, readList } from "./readers.ts";

const CLIENTS = 64;
const STORED = 10_000;
const MB = 1e6;

export async function reads(server: ApiserverUnderLoad): Promise<Section> {
  const client = server.client(CLIENTS);
  const maps = new ConfigMaps("listed");
  await client.send(maps.namespace());
  await load(CLIENTS, STORED, (index) => client.send(maps.create(index)));
  const first = await longList(server, client, maps);
  const runs: Figure[][] = [];
  for (let run = 0; run < RUNS; run++)
    runs.push([...(await longList(server, client, maps)), ...(await consistentWait(server, client, maps))]);
  const firstCpu = first.filter(({ name }) => name === "LIST: CPU per object");
  client.close();
  return {
    title: `LIST of ${STORED.toLocaleString("en-US")} objects of 10 kB, and consistent LISTs beside writes`,
    figures: [...medianFigures(runs), ...firstCpu.map((figure) => ({ ...figure, name: `${figure.name}, the first` }))],
    notes: [
      "Others' GETs need no word of etcd's. Extra memory: the highest resident size while 8 more readers have stopped",
      "reading, per LIST. The first LIST comes right after the writes.",
    ],
  };
}

async function longList(server: ApiserverUnderLoad, client: Client, maps: ConfigMaps): Promise<readonly Figure[]> {
  const path = `${maps.path}?resourceVersion=0`;
  const beforeUs = cpuUs(server.pid());
  const alone = await readList(server.target, path);
  const listUs = cpuUs(server.pid()) - beforeUs;
  const fast = await beside(server, client, maps, () => readList(server.target, path));
  const slowReaders = 8;
  const slow = await beside(server, client, maps, () => readList(server.target, path, slowReaders));
  return [
    {
      name: "LIST: objects/s",
      value: STORED / (alone.wallMs / 1_000),
      unit: "objects/s",
      aim: { atLeast: 100_000 },
      floor: "bare LIST: objects/s",
    },
    { name: "LIST: wall", value: alone.wallMs, unit: "ms" },
    { name: "LIST: first byte", value: alone.firstByteMs, unit: "ms" },
    { name: "LIST: CPU per object", value: listUs / STORED, unit: "µs", floor: "bare LIST: CPU per object" },
    {
      name: "LIST: others' GET p50 meanwhile",
      value: percentile(fast.latenciesMs, 50),
      unit: "ms",
      floor: "bare GET, 1: p50",
    },
    {
      name: "LIST: others' GET p99 meanwhile",
      value: percentile(fast.latenciesMs, 99),
      unit: "ms",
      aim: { atMost: 5 },
      floor: "bare LIST: others' GET p99",
    },
    {
      name: "LIST: extra memory, slow readers",
      value: slow.extraBytes / (slowReaders + 1) / MB,
      unit: "MB",
      aim: { atMost: 1 },
    },
  ];
}

/** The server's resident bytes at their highest while others' GETs run beside `work`, over those before; and the latencies. */
async function beside(
  server: ApiserverUnderLoad,
  client: Client,
  maps: ConfigMaps,
  work: () => Promise<unknown>,
): Promise<{ readonly latenciesMs: readonly number[]; readonly extraBytes: number }> {
  const beforeBytes = residentBytes(server.pid());
  let mostBytes = beforeBytes;
  const latenciesMs = await probed(async (index) => {
    await client.send(maps.get(index % STORED, "at hand"));
    mostBytes = Math.max(mostBytes, residentBytes(server.pid()));
  }, work);
  return { latenciesMs, extraBytes: mostBytes - beforeBytes };
}

/** What consistency costs a LIST of nothing while 8 clients write, and what etcd itself takes to answer then. */
async function consistentWait(
  server: ApiserverUnderLoad,
  client: Client,
  maps: ConfigMaps,
): Promise<readonly Figure[]> {
  const nothing = `${maps.path.replace("listed", "nowhere")}?labelSelector=app%3Dnone`;
  const store = etcdStore({ endpoints: [server.etcdEndpoint], clock: systemClock });
  const measured = async (call: () => Promise<unknown>): Promise<readonly number[]> =>
    (await load(1, 300, call)).latenciesMs;
  const done = new AbortController();
  const writing = Promise.all(
    Array.from({ length: 8 }, async (_, writer) => {
      for (let round = 0; !done.signal.aborted; round++) await client.send(maps.replace(writer, `round-${round}`));
    }),
  );
  await wait(200);
  const atHand = await measured(() => client.send({ method: "GET", path: `${nothing}&resourceVersion=1` }));
  const consistent = await measured(() => client.send({ method: "GET", path: nothing }));
  const etcds = await measured(() => store.revision());
  done.abort();
  await Promise.all([writing, store.close()]);
  return [
    {
      name: "consistent LIST: wait p50",
      value: percentile(consistent, 50) - percentile(atHand, 50),
      unit: "ms",
      aim: { atMost: 2 },
    },
    {
      name: "consistent LIST: wait p99",
      value: percentile(consistent, 99) - median(atHand),
      unit: "ms",
      aim: { atMost: 10 },
    },
    { name: "etcd's revision asked for meanwhile: p50", value: percentile(etcds, 50), unit: "ms" },
    { name: "etcd's revision asked for meanwhile: p99", value: percentile(etcds, 99), unit: "ms" },
  ];
}

export async function startWithObjects(server: ApiserverUnderLoad, emptyBytes: number): Promise<Section> {
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
