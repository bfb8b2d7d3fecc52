import type { Pod, Secret } from "@pilothouse/api/types/core-v1";
import { busSubjects } from "@pilothouse/bus";
import { memoryBroker } from "@pilothouse/bus/memory";
import { createApiClient, resources, type ApiClient, type Transport } from "@pilothouse/client";
import { memoryApiserver, type MemoryApiserver, type PublishedChange } from "@pilothouse/client/memory";
import type { Clock } from "@pilothouse/clock";
import { manualClock } from "@pilothouse/clock/manual";
import { seededIds, seededRandom } from "@pilothouse/clock/seeded";
import { Scope } from "@pilothouse/lifecycle";
import { formatTraceparent } from "@pilothouse/telemetry";
import { memoryTelemetry } from "@pilothouse/telemetry/memory";
import * as fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { startInformer, type InformerChange, type InformerOptions } from "./index.ts";

const scopes: Scope[] = [];
afterEach(async () => {
  for (const scope of scopes.splice(0)) await scope.close();
});

function setUp({ withBus = true, timersEarlyMs = 0 } = {}) {
  const clock = manualClock();
  const delays: number[] = [];
  const ofInformers: Clock = {
    now: () => clock.now(),
    monotonicMs: () => clock.monotonicMs(),
    turn: () => clock.turn(),
    setTimer(delayMs, run) {
      delays.push(delayMs);
      return clock.setTimer(Math.max(0, delayMs - timersEarlyMs), run);
    },
  };
  const random = seededRandom("informer");
  const broker = memoryBroker();
  const server = memoryApiserver({ clock, ids: seededIds(random), name: "m1", bus: broker.connect() });
  const client = createApiClient({ transports: [server.transport], userAgent: "test" });
  let watchBody: WatchBody | undefined;
  const send: Transport["send"] = async (request) => {
    const response = await server.transport.send(request);
    return watchBody && request.path.includes("watch=true")
      ? { ...response, body: watchBody(request.signal) }
      : response;
  };
  const transport: Transport = { endpoint: "m1", send, close: () => Promise.resolve() };
  const clientOfInformers = createApiClient({ transports: [transport], userAgent: "informers" });
  const failures: unknown[] = [];
  const scope = new Scope("test", (task, error) => failures.push(task, error));
  scopes.push(scope);
  const telemetry = memoryTelemetry({ clock, random });
  const start = <T extends Pod | Secret>(options: InformerOptions<T>) => {
    const bus = withBus ? broker.connect() : undefined;
    const ports = { client: clientOfInformers, bus, clock: ofInformers, random, telemetry, scope };
    const informer = startInformer(ports, options);
    const changes: InformerChange<T>[] = [];
    informer.onChange((change) => changes.push(change));
    return { informer, changes };
  };
  /** Time for what is under way, less than a watch lasts. */
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 4; i++) await clock.advance(10);
  };
  /** Watches that are opened until the answer is called show this, and not the server's changes. */
  const showWatchers = (body: WatchBody): (() => void) => {
    watchBody = body;
    return () => void (watchBody = undefined);
  };
  const deafen = (): (() => void) => showWatchers(silence);
  return { clock, delays, broker, server, client, scope, failures, settle, start, showWatchers, deafen };
}

type WatchBody = (signal: AbortSignal | undefined) => AsyncIterable<Uint8Array>;

async function* endsAtOnce(): AsyncGenerator<Uint8Array> {}

async function* tooOld(): AsyncGenerator<Uint8Array> {
  const object = { kind: "Status", status: "Failure", code: 410, reason: "Expired", message: "too old" };
  yield new TextEncoder().encode(`${JSON.stringify({ type: "ERROR", object })}\n`);
}

/** Nothing, for ever. */
async function* silence(signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  yield new Uint8Array();
  await new Promise((_, reject) => signal?.addEventListener("abort", () => reject(new Error("aborted"))));
}

function pod(name: string, fields: Partial<Pod["spec"] & object> = {}): Pod {
  return { metadata: { name, namespace: "default" }, spec: { containers: [], ...fields } };
}

/** As `list` has them, to compare with the server's truth. */
function states(objects: readonly { metadata: Pod["metadata"] }[]): string[] {
  return objects.map(({ metadata }) => `${metadata.name}@${metadata.resourceVersion}`).sort();
}

const watches = (server: MemoryApiserver): number =>
  server.requests.filter(({ path }) => path.includes("watch=true")).length;

describe("an informer", () => {
  it("lists, watches, joins the bus at the first bookmark and is served by it from then on", async () => {
    const { server, client, settle, start } = setUp();
    await client.create(resources.pods, pod("a"));
    const { informer, changes } = start({ type: resources.pods });
    await settle();
    expect(informer.stats).toMatchObject({ onBus: false, lists: 1 });
    server.bookmark();
    await settle();
    expect(informer.stats.onBus).toBe(true);
    const cause = { traceId: "a".repeat(32), spanId: "b".repeat(16), sampled: true };
    await client.create(resources.pods, pod("b"), { trace: cause });
    await client.delete(resources.pods, "default", "a");
    await settle();
    expect(changes.map(({ type, object }) => `${type} ${object.metadata.name}`)).toEqual([
      "added a",
      "added b",
      "deleted a",
    ]);
    expect(formatTraceparent(changes[1]?.trace as typeof cause)).toBe(formatTraceparent(cause));
    expect(informer.stats).toMatchObject({ changesByBus: 2, changesByHttp: 1, resumes: 0 });
    expect(watches(server)).toBe(1);
  });

  it("waits for a revision that its own chain says nothing of by a bookmark, not by a new list", async () => {
    const { broker, server, client, settle, start } = setUp();
    const { informer } = start({ type: resources.pods });
    await settle();
    server.bookmark();
    await settle();
    const wanted: string[] = [];
    broker.connect().subscribe(busSubjects.bookmarkWanted("m1"), ({ payload }) => {
      wanted.push(new TextDecoder().decode(payload));
      server.bookmark();
    });
    const { metadata } = await client.create(resources.secrets, { metadata: { name: "s", namespace: "default" } });
    const revision = Number(metadata.resourceVersion);
    expect(informer.revision()).toBeLessThan(revision);
    const [both] = [Promise.all([informer.waitForRevision(revision), informer.waitForRevision(revision)])];
    await settle();
    await both;
    expect(informer.stats.lists).toBe(1);
    expect(wanted).toEqual([busSubjects.changes("m1", "", "pods")]);
  });

  it("who begins to wait after a bookmark was asked for gets one of its own", async () => {
    const { clock, broker, server, client, settle, start } = setUp();
    const { informer } = start({ type: resources.pods });
    await settle();
    server.bookmark();
    await settle();
    let asked = 0;
    broker.connect().subscribe(busSubjects.bookmarkWanted("m1"), () => void asked++);
    const write = async (name: string): Promise<number> => {
      const { metadata } = await client.create(resources.secrets, { metadata: { name, namespace: "default" } });
      return Number(metadata.resourceVersion);
    };
    const first = informer.waitForRevision(await write("a"));
    await clock.advance(10);
    server.bookmark();
    const second = informer.waitForRevision(await write("b"));
    await settle();
    await first;
    expect(asked).toBe(2);
    server.bookmark();
    await settle();
    await second;
    expect(informer.stats.lists).toBe(1);
  });

  it("leaves a watch over HTTP that is dead as soon as the bus tells what it should have shown", async () => {
    const { clock, server, client, settle, start, deafen } = setUp();
    const hearAgain = deafen();
    const { informer } = start({ type: resources.pods });
    await settle();
    server.onPublish = () => false;
    await client.create(resources.pods, pod("lost on both ways"));
    server.onPublish = undefined;
    await client.create(resources.pods, pod("shows the gap"));
    hearAgain();
    await clock.advance(2_500);
    await settle();
    expect(states(informer.list())).toEqual(states(server.list("pods")));
    expect(informer.stats).toMatchObject({ lists: 1, resumes: 1 });
  });

  it("of a part that never changes finds back to the bus by a list: a watch has nothing to show", async () => {
    const { clock, server, client, settle, start } = setUp();
    const { informer } = start({ type: resources.pods, fieldSelector: "spec.nodeName=n1" });
    await settle();
    server.onPublish = () => false;
    await client.create(resources.pods, pod("lost, and another's"));
    server.onPublish = undefined;
    const told = await client.create(resources.pods, pod("another's too"));
    await clock.advance(2_500);
    await settle();
    expect(informer.revision()).toBeGreaterThanOrEqual(Number(told.metadata.resourceVersion));
    expect(informer.stats.lists).toBe(2);
    server.bookmark();
    await settle();
    expect(informer.stats.onBus).toBe(true);
    expect(informer.list()).toEqual([]);
  });

  it("sets no timer for what is less than a millisecond: it would run hot", async () => {
    const { clock, server, settle, start, delays } = setUp({ timersEarlyMs: 0.3 });
    const { informer } = start({ type: resources.pods });
    await settle();
    server.bookmark();
    await settle();
    expect(informer.stats.onBus).toBe(true);
    await clock.advance(11_000);
    expect(informer.stats.onBus).toBe(false);
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(1);
  });

  it("holds and tells only what is to be kept of an object, whichever way it came", async () => {
    const { server, client, settle, start } = setUp();
    await client.create(resources.pods, pod("by list", { nodeName: "n1" }));
    const keep = ({ metadata }: Pod): Pod => ({ metadata, spec: { containers: [] } });
    const { informer, changes } = start({ type: resources.pods, keep, fieldSelector: "spec.nodeName=n1" });
    await settle();
    await client.create(resources.pods, pod("by watch", { nodeName: "n1" }));
    await settle();
    server.bookmark();
    await settle();
    await client.create(resources.pods, pod("by bus", { nodeName: "n1" }));
    await client.delete(resources.pods, "default", "by list", { gracePeriodSeconds: 0 });
    await settle();
    expect(informer.list().map(({ metadata }) => metadata.name)).toEqual(["by watch", "by bus"]);
    expect([...informer.list(), ...changes.map(({ object }) => object)].every(({ spec }) => !spec.nodeName)).toBe(true);
    expect(changes.at(-1)?.type).toBe("deleted");
  });

  it("works without any bus", async () => {
    const { server, client, settle, start } = setUp({ withBus: false });
    const { informer } = start({ type: resources.pods });
    await settle();
    await client.create(resources.pods, pod("a"));
    await settle();
    server.endWatches();
    await client.create(resources.pods, pod("b"));
    await settle();
    expect(states(informer.list())).toEqual(states(server.list("pods")));
  });

  it("goes back to HTTP when a message was lost, misses nothing, and comes back to the bus", async () => {
    const { server, client, settle, start } = setUp();
    const { informer } = start({ type: resources.pods });
    await settle();
    server.bookmark();
    await settle();
    server.onPublish = () => false;
    await client.create(resources.pods, pod("lost"));
    server.onPublish = undefined;
    await client.create(resources.pods, pod("shows the gap"));
    await settle();
    expect(states(informer.list())).toEqual(states(server.list("pods")));
    server.bookmark();
    await settle();
    expect(informer.stats).toMatchObject({ onBus: true, resumes: 1, lists: 1 });
  });

  it("notices by silence that the bus has died, within two bookmark intervals", async () => {
    const { clock, server, client, settle, start } = setUp();
    const { informer } = start({ type: resources.pods });
    await settle();
    server.bookmark();
    await settle();
    server.onPublish = () => false;
    await client.create(resources.pods, pod("a"));
    await clock.advance(1_900);
    expect(informer.list()).toEqual([]);
    await clock.advance(200);
    expect(states(informer.list())).toEqual(states(server.list("pods")));
  });

  it("leaves the bus at once when the connection says it is gone", async () => {
    const { broker, server, client, settle, start } = setUp();
    const { informer } = start({ type: resources.pods });
    await settle();
    server.bookmark();
    await settle();
    broker.setUp(false);
    await client.create(resources.pods, pod("a"));
    await settle();
    expect(states(informer.list())).toEqual(states(server.list("pods")));
  });

  it("does not mistake another life of the apiserver for its chain", async () => {
    const { server, client, settle, start } = setUp();
    const { informer } = start({ type: resources.pods });
    await settle();
    server.bookmark();
    await settle();
    server.onPublish = () => false;
    await client.create(resources.pods, pod("before the restart"));
    server.onPublish = undefined;
    server.endWatches(true);
    await client.create(resources.pods, pod("after"));
    await settle();
    expect(states(informer.list())).toEqual(states(server.list("pods")));
  });

  it("lists again when its revision is too old, and tells what vanished meanwhile", async () => {
    const { server, client, settle, start } = setUp({ withBus: false });
    await client.create(resources.pods, pod("a"));
    const { informer, changes } = start({ type: resources.pods });
    await settle();
    server.intercept = ({ path }) => {
      if (path.includes("watch=true")) throw new Error("cut off");
      return undefined;
    };
    server.endWatches();
    await settle();
    await client.delete(resources.pods, "default", "a");
    await client.create(resources.pods, pod("b"));
    server.compact();
    await client.create(resources.pods, pod("c"));
    server.intercept = undefined;
    for (let i = 0; i < 10; i++) await settle();
    expect(changes.map(({ type, object }) => `${type} ${object.metadata.name}`)).toEqual([
      "added a",
      "deleted a",
      "added b",
      "added c",
    ]);
    expect(informer.stats.lists).toBe(2);
  });

  it.each([
    ["end at once", endsAtOnce],
    ["say that the list's own revision is too old", tooOld],
  ])("asks less and less often while watches %s, and is quick again once one serves", async (_, body) => {
    const { clock, server, client, settle, start, showWatchers } = setUp({ withBus: false });
    const serve = showWatchers(body);
    const { informer } = start({ type: resources.pods });
    await settle();
    await clock.advance(60_000);
    const asked = watches(server);
    expect(asked, "over a minute, at most every 2.5 to 7.5 s in the end").toBeGreaterThan(8);
    expect(asked).toBeLessThan(32);
    await client.create(resources.pods, pod("a"));
    serve();
    await clock.advance(7_500);
    expect(states(informer.list())).toEqual(states(server.list("pods")));
    const lists = informer.stats.lists;
    server.endWatches();
    await clock.advance(150);
    expect(watches(server), "after the first failure since").toBeGreaterThan(asked + 1);
    expect(informer.stats.lists).toBe(lists);
  });

  it("follows the pods of one node by the node's own chain", async () => {
    const { server, client, settle, start } = setUp();
    const { informer, changes } = start({ type: resources.pods, node: "n1" });
    await settle();
    server.bookmark();
    await settle();
    expect(informer.stats.onBus).toBe(true);
    await client.create(resources.pods, pod("a"));
    await client.create(resources.pods, pod("elsewhere", { nodeName: "n2" }));
    await client.createSubresource(resources.pods, "default", "a", "binding", { metadata: {}, target: { name: "n1" } });
    await settle();
    expect(changes.map(({ type, object }) => `${type} ${object.metadata.name}`)).toEqual(["added a"]);
    expect(informer.stats).toMatchObject({ changesByBus: 1, resumes: 0 });
  });

  it("selects by labels what the bus tells of all", async () => {
    const { server, client, settle, start } = setUp();
    const { informer, changes } = start({ type: resources.pods, labelSelector: "app=web" });
    await settle();
    server.bookmark();
    await settle();
    const web = await client.create(resources.pods, {
      ...pod("a"),
      metadata: { name: "a", namespace: "x", labels: { app: "web" } },
    });
    await client.create(resources.pods, pod("b"));
    await client.update(resources.pods, { ...web, metadata: { ...web.metadata, labels: {} } });
    await settle();
    expect(changes.map(({ type }) => type)).toEqual(["added", "deleted"]);
    expect(informer.list()).toEqual([]);
  });

  it("asks for secrets, which never travel on the bus, and counts them as read only when they are here", async () => {
    const { server, client, settle, start } = setUp();
    const { informer } = start({ type: resources.secrets });
    await settle();
    server.bookmark();
    await settle();
    const secret = await client.create(resources.secrets, {
      metadata: { name: "s", namespace: "x" },
      data: { a: "MQ==" },
    });
    expect(informer.revision()).toBeLessThan(Number(secret.metadata.resourceVersion));
    await settle();
    await client.update(resources.secrets, { ...secret, data: { a: "Mg==" } });
    await settle();
    expect(informer.get("x", "s")?.data).toEqual({ a: "Mg==" });
    expect(informer.revision()).toBe(server.revision());
    await client.delete(resources.secrets, "x", "s");
    await settle();
    expect(informer.list()).toEqual([]);
    expect(informer.stats).toMatchObject({ lists: 1, resumes: 0 });
  });

  it("is found by indexes that keep up", async () => {
    const { client, settle, start } = setUp({ withBus: false });
    const byNode = { node: ({ spec }: Pod) => (spec?.nodeName ? [spec.nodeName] : []) };
    const { informer } = start({ type: resources.pods, indexes: byNode });
    await client.create(resources.pods, pod("a"));
    await settle();
    expect(informer.byIndex("node", "n1")).toEqual([]);
    await client.createSubresource(resources.pods, "default", "a", "binding", { metadata: {}, target: { name: "n1" } });
    await settle();
    expect(states(informer.byIndex("node", "n1"))).toEqual(states(informer.list()));
  });

  it("lists again for a leader that needs to know a revision which nothing tells of (C10)", async () => {
    const { clock, client, settle, start } = setUp();
    const { informer } = start({ type: resources.pods });
    await settle();
    const lease = await client.create(resources.leases, { metadata: { name: "l", namespace: "x" }, spec: {} });
    let reached = false;
    const waiting = informer.waitForRevision(Number(lease.metadata.resourceVersion)).then(() => (reached = true));
    await clock.advance(900);
    expect(reached).toBe(false);
    await clock.advance(200);
    await settle();
    await waiting;
    expect(informer.stats.lists).toBe(2);
  });

  it("leaves no timer behind when its scope closes", async () => {
    const { clock, server, scope, settle, start } = setUp();
    start({ type: resources.pods });
    await settle();
    server.bookmark();
    await settle();
    await scope.close();
    expect(clock.pending()).toBe(0);
  });
});

describe("a pod's life on a bus that loses, doubles and reorders", () => {
  const fate = fc.constantFrom("pass" as const, "lose" as const, "double" as const, "delay" as const);

  async function live(client: ApiClient, settle: () => Promise<void>): Promise<void> {
    await client.create(resources.pods, pod("p"));
    await settle();
    await client.createSubresource(resources.pods, "default", "p", "binding", { metadata: {}, target: { name: "n1" } });
    for (const phase of ["Pending", "Running", "Succeeded"]) {
      const status = { ...pod("p"), status: { phase } };
      await client.update(resources.pods, status, { subresource: "status" });
    }
    await settle();
    await client.delete(resources.pods, "default", "p", { gracePeriodSeconds: 0 });
    await client.create(resources.pods, pod("p", { nodeName: "n2" }));
  }

  it("ends as etcd has it, and never goes back in between", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fate, { minLength: 10, maxLength: 10 }), fc.boolean(), async (fates, bookmarkFirst) => {
        const { clock, broker, server, client, failures, settle, start } = setUp();
        const wire = broker.connect();
        const held: PublishedChange[] = [];
        const send = ({ subject, payload, headers }: PublishedChange): boolean =>
          wire.publish(subject, payload, headers);
        let i = 0;
        const { informer, changes } = start({ type: resources.pods });
        await settle();
        if (bookmarkFirst) server.bookmark();
        await settle();
        server.onPublish = (message) => {
          const now = fates[i++ % fates.length];
          if (now === "delay") held.push(message);
          if (now === "lose" || now === "delay") return false;
          if (now === "double") send(message);
          for (const late of held.splice(0)) queueMicrotask(() => send(late));
          return true;
        };
        await live(client, settle);
        await clock.advance(2_100);
        server.onPublish = undefined;
        server.bookmark();
        await clock.advance(2_100);
        expect(states(informer.list())).toEqual(states(server.list("pods")));
        const revisions = changes.map(({ object }) => Number(object.metadata.resourceVersion));
        expect(revisions).toEqual([...revisions].sort((a, b) => a - b));
        expect(failures).toEqual([]);
      }),
      { numRuns: 150 },
    );
  });
});
