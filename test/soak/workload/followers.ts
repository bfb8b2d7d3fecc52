/** Follows Deployments, ReplicaSets, Jobs and pods through the apiservers, and shows them to the monitors as they happened. */
import { sleep, type Random } from "@pilothouse/clock";
import type { WatchRequest } from "../../history/history.ts";
import { watchEvents, watchRequest, type Collection } from "../../history/watch-requests.ts";
import type { Door } from "../../history/writers.ts";
import { InOrder } from "../checkers/in-order.ts";
import { JobMonitor } from "../checkers/jobs.ts";
import { SurgeMonitor, type WorkloadEvent, type WorkloadObject } from "../checkers/surge.ts";
import type { Access } from "./access.ts";

/** Where each is, before and after its namespace. */
const KINDS = {
  Deployment: ["/apis/apps/v1", "deployments"],
  ReplicaSet: ["/apis/apps/v1", "replicasets"],
  Job: ["/apis/batch/v1", "jobs"],
  Pod: ["/api/v1", "pods"],
} as const;
const STREAM_SECONDS = 5;
const SILENCE_MS = 3_000;
const RETRY_MS = 200;

export interface Monitors {
  readonly surges: SurgeMonitor;
  readonly jobs: JobMonitor;
}

/** Until the signal. */
export async function followWorkloads(
  access: Access,
  namespace: string,
  random: Random,
  signal: AbortSignal,
): Promise<Monitors> {
  const monitors: Monitors = { surges: new SurgeMonitor(), jobs: new JobMonitor() };
  const order = new InOrder<WorkloadEvent>(Object.keys(KINDS));
  const show = (events: readonly WorkloadEvent[]): void =>
    events.forEach((event) =>
      Object.values(monitors).forEach((monitor: SurgeMonitor | JobMonitor) => monitor.observe(event)),
    );
  await Promise.all(
    (Object.keys(KINDS) as (keyof typeof KINDS)[]).map((kind) =>
      follow(access, kind, namespace, random.fork(kind), signal, {
        event: (event) => show(order.offer(kind, event)),
        bookmark: (revision) => show(order.advance(kind, revision)),
        lost: (message) => void monitors.surges.findings.push({ checker: "workloads", message: `${kind}: ${message}` }),
      }),
    ),
  );
  return monitors;
}

interface Listener {
  event(event: WorkloadEvent): void;
  bookmark(revision: number): void;
  lost(message: string): void;
}

/** One stream after the other, each from where the last one ended; lost places are an error, for what came between is unknown. */
async function follow(
  { clock, doors }: Access,
  kind: keyof typeof KINDS,
  namespace: string,
  random: Random,
  signal: AbortSignal,
  listener: Listener,
): Promise<void> {
  const [group, plural] = KINDS[kind];
  const collection: Collection = {
    namespace,
    path: `${group}/namespaces/${namespace}/${plural}`,
    storePrefix: "",
  };
  let place: number | undefined;
  while (!signal.aborted) {
    const { transport } = doors[Math.floor(random.next() * doors.length)] as Door;
    const wanted: WatchRequest = {
      namespace,
      selection: {},
      initial: place === undefined,
      ...(place === undefined ? {} : { revision: place }),
    };
    const patience = new AbortController();
    const timer = clock.setTimer(STREAM_SECONDS * 1_000 + SILENCE_MS, () => patience.abort());
    try {
      const request = watchRequest(collection, wanted, STREAM_SECONDS);
      const { status, body } = await transport.send({ ...request, signal: AbortSignal.any([signal, patience.signal]) });
      if (status !== 200) continue;
      for await (const event of watchEvents(body, () => clock.monotonicMs())) {
        if (event.type === "ERROR" && event.code === 410)
          return listener.lost(`the watch lost its place: ${event.message}`);
        if (event.type === "ERROR") break;
        if (event.type === "BOOKMARK") {
          place = Math.max(place ?? 0, event.revision);
          listener.bookmark(event.revision);
        } else {
          const object = JSON.parse(event.object) as WorkloadObject;
          listener.event({ revision: event.revision, atMs: event.atMs, kind, type: event.type, object });
          // Among what there is at first revisions come in no order: only the mark behind it is a place.
          if (place !== undefined) place = Math.max(place, event.revision);
        }
      }
    } catch {
      // The connection broke, or the apiserver is in trouble: on from the same place, at another one.
    } finally {
      timer.cancel();
      await sleep(clock, RETRY_MS, signal).catch(() => undefined);
    }
  }
}
