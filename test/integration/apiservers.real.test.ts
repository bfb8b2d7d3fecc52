/**
 * Three apiservers on three etcd members and two NATS servers: what clients may rely on whichever they ask, and through
 * restarts (C5, C7, C16).
 */
import { natsBus } from "@pilothouse/bus-nats";
import { createApiClient, resources, type ApiClient, type Transport } from "@pilothouse/client";
import { sleep } from "@pilothouse/clock";
import { systemClock, systemTimeAndChance } from "@pilothouse/clock/system";
import { startInformer } from "@pilothouse/informer";
import { Scope } from "@pilothouse/lifecycle";
import { memoryTelemetry } from "@pilothouse/telemetry/memory";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startControlPlane, type ControlPlane, type ControlPlaneApiserver } from "../harness/control-plane.ts";
import { expectNoLeaks, until } from "../harness/index.ts";

const { configMaps, namespaces } = resources;
const NAMESPACE = "default";

let plane: ControlPlane;
let b: ControlPlaneApiserver;
/** One transport to each apiserver. */
let transports: readonly [Transport, Transport, Transport];
let atA: ApiClient;
let atB: ApiClient;

beforeAll(async () => {
  plane = await startControlPlane();
  [, b] = plane.apiservers as [ControlPlaneApiserver, ControlPlaneApiserver];
  const [toA, toB, toC] = plane.apiservers.map((apiserver) => apiserver.connect());
  transports = [toA, toB, toC] as [Transport, Transport, Transport];
  [atA, atB] = [clientOf(transports[0]), clientOf(transports[1])];
});

afterAll(async () => {
  for (const transport of transports) await transport.close();
  await plane.stop();
  await expectNoLeaks();
});

test("without faults informers hear more than nine tenths of all changes from the bus, over either NATS server (C16)", async () => {
  const { clock, random } = systemTimeAndChance;
  const scope = new Scope("informers", () => undefined);
  const telemetry = memoryTelemetry({ clock, random });
  const informers = plane.nats.map(({ endpoint }) => {
    const bus = natsBus({ servers: [endpoint], name: "informer", onError: () => undefined });
    scope.defer(() => bus.close());
    return startInformer({ client: atA, bus, clock, random, telemetry, scope }, { type: configMaps });
  });
  await until("the bus serves both", () => informers.every(({ stats }) => stats.onBus), 20_000);
  for (let i = 0; i < 100; i++) await create(i % 2 === 0 ? atA : atB, `c16-${i}`);
  const { resourceVersion } = await atA.list(configMaps, NAMESPACE, { limit: 1 });
  await Promise.all(informers.map((informer) => informer.waitForRevision(Number(resourceVersion))));
  for (const { stats } of informers) {
    const heard = stats.changesByBus + stats.changesByHttp;
    expect(heard).toBeGreaterThanOrEqual(100);
    expect(stats.changesByBus / heard).toBeGreaterThan(0.9);
    expect(stats.resumes).toBe(0);
  }
  await scope.close();
});

test("a cache whose stream is silent says that it is not ready, and goes on at another member (C7)", async () => {
  // The member of its own number is what it prefers, and where its watch is.
  const own = b.toEtcd[1];
  own?.freeze();
  await create(atA, "while-silent");
  const startMs = systemClock.monotonicMs();
  const reading = atB.get(configMaps, NAMESPACE, "while-silent");
  await until("b says that it is not ready", async () => !(await isReady(transports[1])));
  expect((await reading).metadata.name).toBe("while-silent");
  await until("b is ready again", () => isReady(transports[1]));
  // Bounds: 1.5 s to try another member for the read, a second's patience with the stream, the dialling.
  expect(systemClock.monotonicMs() - startMs).toBeLessThan(8_000);
  own?.thaw();
});

test("what was created through A is used through B at once, though all that B hears of etcd is late (C7)", async () => {
  b.toEtcd.forEach((proxy) => proxy.delay(250));
  await atA.create(namespaces, { metadata: { name: "new" }, spec: {} });
  await create(atA, "new");
  const [inNew, found] = await Promise.all([
    atB.create(configMaps, { metadata: { name: "first", namespace: "new" } }),
    atB.get(configMaps, NAMESPACE, "new"),
  ]);
  expect([inNew.metadata.namespace, found.metadata.name]).toEqual(["new", "new"]);
  b.toEtcd.forEach((proxy) => {
    proxy.cut();
    proxy.delay(0);
  });
  await until("b has recovered", () => isReady(transports[1]));
});

test("a revision from the future is waited for three seconds, then refused as Kubernetes does (C7)", async () => {
  const startMs = systemClock.monotonicMs();
  await expect(atB.list(configMaps, NAMESPACE, { resourceVersion: "1000000" })).rejects.toMatchObject({
    code: 504,
    message: expect.stringMatching(/^Timeout: Too large resource version: 1000000, current: \d+$/) as unknown,
  });
  const waitedMs = systemClock.monotonicMs() - startMs;
  expect(waitedMs).toBeGreaterThan(2_900);
  expect(waitedMs).toBeLessThan(6_000);
});

const WATCHERS = 100;

test("a hundred watchers live through the restart of each apiserver: no 410, no event lost or doubled (C5)", async () => {
  const { resourceVersion } = await atA.list(configMaps, NAMESPACE, { limit: 1 });
  const stop = new AbortController();
  const watchers = Array.from({ length: WATCHERS }, (_, i) => startWatcher(i, resourceVersion, stop.signal));
  const written: string[] = [];
  const writing = new AbortController();
  const writer = writeUntil(writing.signal, written);

  for (const [i, apiserver] of plane.apiservers.entries()) {
    await sleep(systemClock, 500);
    await (i === 1 ? apiserver.kill() : apiserver.stop());
    apiserver.start();
    await apiserver.untilReady();
  }
  await sleep(systemClock, 500);
  writing.abort();
  await writer;

  expect(written.length).toBeGreaterThan(20);
  await until(
    "all watchers have heard the last write",
    () => watchers.every(({ heard }) => heard.length >= written.length),
    20_000,
  );
  stop.abort();
  await Promise.all(watchers.map(({ ended }) => ended));
  for (const { heard } of watchers) expect(heard).toEqual(written);
  expect(watchers.flatMap(({ refusals }) => refusals)).toEqual([]);
});

interface Watcher {
  /** `ADDED name revision`. */
  readonly heard: string[];
  /** Answers to a resumed watch that were Expired or no watch at all, other than "ask again". */
  readonly refusals: string[];
  readonly ended: Promise<void>;
}

/** A client as there are many: it resumes at the last revision it has seen, at whichever apiserver answers. */
function startWatcher(number: number, resourceVersion: string, signal: AbortSignal): Watcher {
  const heard: string[] = [];
  const refusals: string[] = [];
  const [own, ...others] = [...transports.slice(number % 3), ...transports.slice(0, number % 3)] as Transport[];
  // Every other one knows no other apiserver: it comes back to its own, which has begun anew, with a revision of before.
  const known = number % 2 === 0 ? [own as Transport] : [own as Transport, ...others];
  const client = createApiClient({ transports: known, userAgent: "watcher" });
  const run = async (): Promise<void> => {
    for (let from = resourceVersion; !signal.aborted;) {
      try {
        for await (const event of client.watch(configMaps, NAMESPACE, { resourceVersion: from, signal })) {
          if (event.type === "BOOKMARK") continue;
          from = event.object.metadata.resourceVersion ?? "";
          heard.push(`${event.type} ${event.object.metadata.name} ${from}`);
        }
      } catch (error) {
        if (error instanceof Error && "code" in error && error.code === 410) refusals.push(error.message);
        if (!signal.aborted) await sleep(systemClock, 50);
      }
    }
  };
  return { heard, refusals, ended: run() };
}

/** Writes at whichever apiserver takes it, one after the other; what is not surely done is not counted on: it is looked up. */
async function writeUntil(signal: AbortSignal, written: string[]): Promise<void> {
  for (let i = 0; !signal.aborted; i++) {
    const name = `c5-${i}`;
    for (let turn = i; ; turn++) {
      const revision = await createdAt(clientOf(transports[turn % 3] as Transport), name);
      if (revision === undefined) continue;
      written.push(`ADDED ${name} ${revision}`);
      break;
    }
    await sleep(systemClock, 10);
  }
}

/** The revision of the object's creation; undefined when it is not known to be there. */
async function createdAt(client: ApiClient, name: string): Promise<string | undefined> {
  try {
    const made = await create(client, name);
    return made.metadata.resourceVersion;
  } catch {
    const found = await client.get(configMaps, NAMESPACE, name).catch(() => undefined);
    if (!found) await sleep(systemClock, 20);
    return found?.metadata.resourceVersion;
  }
}

function clientOf(transport: Transport): ApiClient {
  return createApiClient({ transports: [transport], userAgent: "test" });
}

function create(client: ApiClient, name: string) {
  return client.create(configMaps, { metadata: { name, namespace: NAMESPACE } });
}

async function isReady(transport: Transport): Promise<boolean> {
  const { status, body } = await transport.send({ method: "GET", path: "/readyz", headers: {}, deadlineMs: 2_000 });
  for await (const _ of body); // To its end, or its connection would not be free again.
  return status === 200;
}
