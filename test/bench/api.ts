/** `api`: one apiserver on real etcd and NATS under load from another process; CPU is the server's alone. */
import { startApiserver, type ApiserverUnderLoad } from "./apiserver.ts";
import type { Request } from "./client.ts";
import { ConfigMaps, OBJECT_BYTES } from "./config-maps.ts";
import { medianFigures, type Figure, type Section } from "./figures.ts";
import { measureCalls, RUNS } from "./floor.ts";
import { reads, startWithObjects } from "./listing.ts";
import { cpuUs, residentBytes } from "./processes.ts";
import { watches } from "./watching.ts";

const CLIENTS = 64;
const WRITES = 3_000;

export async function api(): Promise<readonly Section[]> {
  const server = await startApiserver();
  try {
    const emptyBytes = residentBytes(server.pid());
    const sections = [await requests(server), await watches(server), await reads(server)];
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
