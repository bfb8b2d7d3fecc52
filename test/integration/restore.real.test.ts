/**
 * A restore never runs backwards (C8): a real etcd is backed up, written on, restored from the backup, and written on
 * otherwise, so that the same revisions of etcd come to mean other things. Clients that lived through it are not fooled.
 */
import { execFile } from "node:child_process";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { natsBus } from "@pilothouse/bus-nats";
import { createApiClient, resources, type ApiClient, type KubernetesObject, type Transport } from "@pilothouse/client";
import { systemTimeAndChance } from "@pilothouse/clock/system";
import { electedLife } from "@pilothouse/controller/elected";
import { keyOf, revisionOf, startInformer, type Informer } from "@pilothouse/informer";
import { Scope } from "@pilothouse/lifecycle";
import type { Store } from "@pilothouse/store";
import { raiseRvBase, RV_BASE_STEP } from "@pilothouse/store/rv-base";
import { memoryTelemetry } from "@pilothouse/telemetry/memory";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startControlPlane, type ControlPlane, type ControlPlaneApiserver } from "../harness/control-plane.ts";
import { expectNoLeaks, until, type Etcd } from "../harness/index.ts";

const run = promisify(execFile);
const { configMaps } = resources;

let plane: ControlPlane;
let apiserver: ControlPlaneApiserver;
let etcd: Etcd;
let transport: Transport;
let client: ApiClient;
let store: Store;
const scope = new Scope("test", () => undefined);

beforeAll(async () => {
  plane = await startControlPlane({ masters: 1 });
  [apiserver] = plane.apiservers as [ControlPlaneApiserver];
  [etcd] = plane.etcd as [Etcd];
  transport = apiserver.connect();
  client = createApiClient({ transports: [transport], userAgent: "test" });
  store = plane.openStore();
});

afterAll(async () => {
  await scope.close();
  await store.close();
  await transport.close();
  await plane.stop();
  await expectNoLeaks();
});

test("informers, paged lists, watches and a new leader across a backup, writes, a restore and other writes", async () => {
  const informer = followConfigMaps();
  const backwards = watchForStepsBack(informer);
  await write("kept", 5);
  const pageBefore = await client.list(configMaps, "default", { limit: 2 });

  await backUp();
  await write("lost", 20);
  await client.delete(configMaps, "default", "kept-0");
  await informer.waitForRevision(await resourceVersionNow());
  const pageAfter = await client.list(configMaps, "default", { limit: 2 });
  const lastBefore = Number(pageAfter.resourceVersion);
  expect(informer.get("default", "lost-19")).toBeDefined();

  await apiserver.stop();
  await restore();
  const base = await raiseRvBase(store);
  apiserver.start();
  await apiserver.untilReady();
  await write("other", 60);
  expect(await store.revision()).toBeGreaterThan(lastBefore);
  const now = await client.list(configMaps, "default");
  expect(Number(now.resourceVersion)).toBeGreaterThan(base);
  expect(now.items.map(nameOf).filter((name) => /kept|lost/.test(name))).toEqual(numbered("kept", 5));

  await until("the informer has what etcd has", () => {
    const names = (objects: readonly KubernetesObject[]): string[] => objects.map(nameOf).toSorted();
    const inDefault = informer.list().filter(({ metadata }) => metadata.namespace === "default");
    return names(inDefault).join() === names(now.items).join();
  });
  expect(informer.revision()).toBeGreaterThan(base);
  expect(backwards).toEqual([]);

  for (const token of [pageBefore.continue, pageAfter.continue] as string[])
    await expect(client.list(configMaps, "default", { limit: 2, continue: token })).rejects.toMatchObject({
      code: 410,
    });
  for (const resourceVersion of [pageBefore.resourceVersion, pageAfter.resourceVersion]) {
    const watch = client.watch(configMaps, "default", { resourceVersion })[Symbol.asyncIterator]();
    await expect(watch.next()).rejects.toMatchObject({ code: 410 });
    const atLeast = await client.list(configMaps, "default", { resourceVersion });
    expect(Number(atLeast.resourceVersion)).toBeGreaterThan(base);
  }

  const leader = await leadOnce(informer);
  expect(leader.resourceVersion).toBe(leader.createRevision + RV_BASE_STEP);
  expect(leader.feedAt).toBeGreaterThanOrEqual(leader.resourceVersion);
});

function followConfigMaps(): Informer<KubernetesObject> {
  const { clock, random } = systemTimeAndChance;
  const bus = natsBus({ servers: [plane.nats[0]?.endpoint ?? ""], name: "test", onError: () => undefined });
  scope.defer(() => bus.close());
  const telemetry = memoryTelemetry({ clock, random });
  return startInformer({ client, bus, clock, random, telemetry, scope }, { type: configMaps });
}

/** Fills with each change at which the informer, or the object, was older than before. */
function watchForStepsBack(informer: Informer<KubernetesObject>): readonly string[] {
  const backwards: string[] = [];
  const objects = new Map<string, number>();
  let whole = 0;
  informer.onChange(({ object }) => {
    const [key, revision] = [keyOf(object), revisionOf(object)];
    if (revision < (objects.get(key) ?? 0)) backwards.push(`${key}: ${revision} after ${objects.get(key)}`);
    if (informer.revision() < whole) backwards.push(`all: ${informer.revision()} after ${whole}`);
    objects.set(key, revision);
    whole = informer.revision();
  });
  return backwards;
}

/** Wins an election, and says how far the feed was when the work began. */
async function leadOnce(feed: Informer<KubernetesObject>) {
  const { clock, random } = systemTimeAndChance;
  const telemetry = memoryTelemetry({ clock, random });
  const bus = natsBus({ servers: [plane.nats[0]?.endpoint ?? ""], name: "leader", onError: () => undefined });
  const leading = new Scope("leader", () => undefined);
  leading.defer(() => bus.close());
  const life = electedLife(
    { ...systemTimeAndChance, store, bus, telemetry, scope: leading, identity: "test", healthAddress: undefined },
    "test",
  );
  let asked = 0;
  const asking = {
    waitForRevision: (revision: number, signal?: AbortSignal): Promise<void> => {
      asked = revision;
      return feed.waitForRevision(revision, signal);
    },
  };
  const begun = Promise.withResolvers<number>();
  life.run([asking], (_scope, signal) => {
    begun.resolve(feed.revision());
    return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  });
  const feedAt = await begun.promise;
  const createRevision = Number(life.fence()?.split("/")[1]);
  await leading.close();
  return { createRevision, resourceVersion: asked, feedAt };
}

async function write(name: string, count: number): Promise<void> {
  for (const each of numbered(name, count))
    await client.create(configMaps, { metadata: { name: each, namespace: "default" } });
}

function numbered(name: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${name}-${i}`);
}

function nameOf({ metadata }: KubernetesObject): string {
  return metadata.name ?? "";
}

async function resourceVersionNow(): Promise<number> {
  return Number((await client.list(configMaps, "default", { limit: 1 })).resourceVersion);
}

async function backUp(): Promise<void> {
  await run("etcdctl", ["--endpoints", etcd.endpoint, "snapshot", "save", backupFile()]);
}

/** As an operator does it: etcd down, its data replaced by the backup's, etcd up. */
async function restore(): Promise<void> {
  await etcd.kill();
  const data = join(etcd.directory, "data");
  await rm(data, { recursive: true });
  await run("etcdctl", ["snapshot", "restore", backupFile(), "--data-dir", data]);
  await etcd.start();
}

function backupFile(): string {
  return join(etcd.directory, "backup.db");
}
