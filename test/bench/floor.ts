/** `floor`: what this machine gives in this run to anybody: bare HTTPS, one etcd call, one container without a kubelet. */
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { systemClock, systemIds } from "@pilothouse/clock/system";
import { plainContainer, plainSandbox } from "@pilothouse/runtime/plain-pod.fixture";
import { criRuntime } from "@pilothouse/runtime-cri";
import type { Store } from "@pilothouse/store";
import { etcdStore } from "@pilothouse/store-etcd";
import { TOOLBOX_IMAGE } from "../../deploy/images.ts";
import { startEtcd } from "../harness/index.ts";
import { startContainerd } from "../harness/containerd.ts";
import { bareStreams, startBareServer } from "./bare.ts";
import { connectClient, load, type Load } from "./client.ts";
import { median, medianFigures, percentile, type Figure, type Section } from "./figures.ts";
import { cpuUs } from "./processes.ts";

export const RUNS = 3;
const VALUE = new Uint8Array(10_000).fill(120);
const CLIENTS = [1, 64] as const;

export async function floor(): Promise<Section> {
  const figures = [
    ...(await bareHttps()),
    ...(await bareStreams(RUNS)),
    ...(await etcdCalls()),
    ...(await rawContainers()),
  ];
  return {
    title: "Floor",
    figures,
    notes: [
      "HTTPS: CPU of the server; etcd: CPU of the caller, through libs/store-etcd; container: containerd's CRI alone.",
    ],
  };
}

async function bareHttps(): Promise<readonly Figure[]> {
  const server = await startBareServer();
  const client = connectClient(server.target, 64);
  try {
    const get = (): Promise<unknown> => client.send({ method: "GET", path: "/" });
    await load(64, 5_000, get);
    const runs: Figure[][] = [];
    for (let run = 0; run < RUNS; run++) {
      const figures: Figure[] = [];
      for (const clients of CLIENTS) {
        const count = clients === 1 ? 4_000 : 16_000;
        figures.push(...(await measureCalls(`bare GET, ${clients}`, () => cpuUs(server.pid), clients, count, get)));
      }
      runs.push(figures);
    }
    return medianFigures(runs);
  } finally {
    client.close();
    await server.stop();
  }
}

async function etcdCalls(): Promise<readonly Figure[]> {
  const etcd = await startEtcd();
  const store = etcdStore({ endpoints: [etcd.endpoint], clock: systemClock });
  const calls = callsOf(store);
  try {
    for (const [, call] of calls) await load(64, 1_000, call);
    const runs: Figure[][] = [];
    for (let run = 0; run < RUNS; run++) {
      const figures: Figure[] = [];
      for (const [name, call] of calls)
        for (const clients of CLIENTS)
          figures.push(
            ...(await measureCalls(`etcd ${name}, ${clients}`, ownCpuUs, clients, clients === 1 ? 500 : 4_000, call)),
          );
      runs.push(figures);
    }
    return medianFigures(runs);
  } finally {
    await store.close();
    await etcd.stop();
  }
}

type Call = (index: number) => Promise<unknown>;

function callsOf(store: Store): readonly (readonly [string, Call])[] {
  const put = (index: number) => ({ op: "put", key: `/bench/${index % 500}`, value: VALUE }) as const;
  return [
    ["put", (index) => store.txn({ compares: [], then: [put(index)] })],
    ["get", () => store.get("/bench/1")],
    [
      "txn",
      (index) =>
        store.txn({
          compares: [{ key: `/bench/none-${index}`, target: "modRevision", equals: 0 }],
          then: [put(index)],
          otherwise: [{ op: "get", key: `/bench/${index % 500}` }],
        }),
    ],
  ];
}

async function rawContainers(): Promise<readonly Figure[]> {
  const containerd = await startContainerd();
  const pipesDir = join(containerd.directory, "pipes");
  const runtime = criRuntime({ clock: systemClock, ids: systemIds, socketPath: containerd.socketPath, pipesDir });
  try {
    const image = await runtime.imageStatus(TOOLBOX_IMAGE);
    if (!image) throw new Error(`${TOOLBOX_IMAGE} is not loaded`);
    const samples: { readonly [K in "sandbox" | "create" | "start" | "up" | "down"]: number }[] = [];
    for (let index = 0; index < 2 + RUNS * 3; index++) {
      const sandbox = plainSandbox(`floor-${index}`, join(containerd.directory, "logs"), containerd.cgroupParent);
      const times = [performance.now()];
      const sandboxId = await runtime.runPodSandbox(sandbox);
      times.push(performance.now());
      const id = await runtime.createContainer(sandboxId, plainContainer("main", image.id, sandbox.name), sandbox);
      times.push(performance.now());
      await runtime.startContainer(id);
      times.push(performance.now());
      await runtime.stopContainer(id, 0);
      await runtime.stopPodSandbox(sandboxId);
      await runtime.removePodSandbox(sandboxId);
      times.push(performance.now());
      const [begin, ran, created, started, gone] = times as [number, number, number, number, number];
      const sample = { sandbox: ran - begin, create: created - ran, start: started - created };
      // The first two warm up what containerd and the kernel load once.
      if (index >= 2) samples.push({ ...sample, up: started - begin, down: gone - started });
    }
    const figure = (name: string, part: keyof (typeof samples)[number]): Figure => ({
      name,
      unit: "ms",
      value: median(samples.map((it) => it[part])),
    });
    return [
      figure("raw container: sandbox + create + start", "up"),
      figure("  of it run sandbox (network, pause)", "sandbox"),
      figure("  of it create", "create"),
      figure("  of it start", "start"),
      figure("raw container: kill + remove", "down"),
    ];
  } finally {
    await runtime.close();
    await containerd.stop();
  }
}

/** CPU per call, and latency, under the names `<name>: CPU`, `<name>: p50` and `<name>: p99`. */
export async function measureCalls(
  name: string,
  usedCpuUs: () => number,
  clients: number,
  count: number,
  call: Call,
  more: { readonly aimUs?: number; readonly floor?: string } = {},
): Promise<readonly Figure[]> {
  const beforeUs = usedCpuUs();
  const done: Load = await load(clients, count, call);
  const cpu = (usedCpuUs() - beforeUs) / count;
  return [
    {
      name: `${name}: CPU`,
      value: cpu,
      unit: "µs",
      ...(more.aimUs === undefined ? {} : { aim: { atMost: more.aimUs } }),
      ...(more.floor === undefined ? {} : { floor: `${more.floor}: CPU` }),
    },
    {
      name: `${name}: p50`,
      value: percentile(done.latenciesMs, 50),
      unit: "ms",
      ...(more.floor === undefined ? {} : { floor: `${more.floor}: p50` }),
    },
    { name: `${name}: p99`, value: percentile(done.latenciesMs, 99), unit: "ms" },
  ];
}

function ownCpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}
