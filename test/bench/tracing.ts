/**
 * `tracing`: what spans cost. Each request comes with the context of a trace that is sampled, or of one that is not; sampled
 * spans go to the ring, and in a third turn also on the bus to somebody who listens (`pilot trace`). The turns alternate.
 */
import { natsBus } from "@pilothouse/bus-nats";
import { systemClock } from "@pilothouse/clock/system";
import { Scope } from "@pilothouse/lifecycle";
import { followSpans } from "@pilothouse/telemetry/span-listener";
import { startApiserver, type ApiserverUnderLoad } from "./apiserver.ts";
import { load, type Client, type Request } from "./client.ts";
import { ConfigMaps } from "./config-maps.ts";
import { medianFigures, percentile, type Figure, type Section } from "./figures.ts";
import { RUNS } from "./floor.ts";
import { cpuUs } from "./processes.ts";
import { until } from "../harness/index.ts";

const CLIENTS = 64;
const OBJECTS = 1_000;
const TURNS = ["off", "on", "on and heard"] as const;
const REQUESTS: readonly (readonly [name: string, count: number, request: (maps: ConfigMaps, i: number) => Request])[] =
  [
    ["GET", 4_000, (maps, i) => maps.get(i % OBJECTS, "consistent")],
    ["PUT", 1_500, (maps, i) => maps.replace(i % OBJECTS, `put-${i}`)],
  ];

interface Cost {
  readonly cpuUs: number;
  readonly p50Ms: number;
}

export async function tracing(): Promise<Section> {
  const server = await startApiserver();
  try {
    const client = server.client(CLIENTS);
    const maps = new ConfigMaps("traced");
    await client.send(maps.namespace());
    await load(CLIENTS, OBJECTS, (i) => client.send(maps.create(i)));
    const runs: Figure[][] = [];
    // The first run warms the server up.
    for (let run = 0; run <= RUNS; run++) {
      const figures: Figure[] = [];
      for (const [name, count, request] of REQUESTS) {
        figures.push(...(await compared(server, client, name, count, (i) => request(maps, i))));
      }
      if (run > 0) runs.push(figures);
    }
    return {
      title: `Tracing: ${CLIENTS} clients, objects of 10 kB`,
      figures: medianFigures(runs),
      notes: ["Off: the caller's trace is not sampled; a span's id is still made, since every write names its cause."],
    };
  } finally {
    await server.stop();
  }
}

async function compared(
  server: ApiserverUnderLoad,
  client: Client,
  name: string,
  count: number,
  request: (index: number) => Request,
): Promise<readonly Figure[]> {
  const costs = new Map<string, Cost>();
  for (const turn of TURNS) {
    const scope = new Scope("listener", (_task, error) => {
      throw error;
    });
    if (turn === "on and heard") await listen(server, scope);
    costs.set(turn, await cost(server, client, count, request, turn === "off" ? "00" : "01"));
    await scope.close();
  }
  const off = costs.get("off") as Cost;
  return TURNS.flatMap((turn): readonly Figure[] => {
    const { cpuUs: cpu, p50Ms } = costs.get(turn) as Cost;
    const absolute: readonly Figure[] = [
      { name: `${name}, tracing ${turn}: CPU`, value: cpu, unit: "µs" },
      { name: `${name}, tracing ${turn}: p50`, value: p50Ms, unit: "ms" },
    ];
    if (turn === "off") return absolute;
    const more = (value: number, base: number): number => (value / base - 1) * 100;
    return [
      ...absolute,
      {
        name: `${name}, tracing ${turn}: CPU more than off`,
        value: more(cpu, off.cpuUs),
        unit: "%",
        aim: { atMost: 5 },
      },
      {
        name: `${name}, tracing ${turn}: p50 more than off`,
        value: more(p50Ms, off.p50Ms),
        unit: "%",
        aim: { atMost: 5 },
      },
    ];
  });
}

/** Asks for all spans until the scope closes. */
async function listen({ natsEndpoint }: ApiserverUnderLoad, scope: Scope): Promise<void> {
  const bus = natsBus({ servers: [natsEndpoint], name: "bench", onError: () => undefined });
  scope.defer(() => bus.close());
  await until("the listener is connected", async () => bus.connected());
  followSpans(bus, systemClock, scope, () => undefined);
}

async function cost(
  server: ApiserverUnderLoad,
  client: Client,
  count: number,
  request: (index: number) => Request,
  flags: "00" | "01",
): Promise<Cost> {
  const traceparent = `00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-${flags}`;
  const beforeUs = cpuUs(server.pid());
  const { latenciesMs } = await load(CLIENTS, count, (i) => client.send({ ...request(i), headers: { traceparent } }));
  return { cpuUs: (cpuUs(server.pid()) - beforeUs) / count, p50Ms: percentile(latenciesMs, 50) };
}
