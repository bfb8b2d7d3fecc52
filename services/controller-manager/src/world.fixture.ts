/** A small cluster for tests of controllers: a memory apiserver, real informers, and a hand that plays kubelet. */
import type { Deployment, ReplicaSet } from "@pilothouse/api/types/apps-v1";
import type { Pod } from "@pilothouse/api/types/core-v1";
import { memoryBroker } from "@pilothouse/bus/memory";
import { createApiClient, resources, type ApiClient } from "@pilothouse/client";
import { memoryApiserver, type MemoryApiserver } from "@pilothouse/client/memory";
import { manualClock, type ManualClock } from "@pilothouse/clock/manual";
import { seededIds, seededRandom } from "@pilothouse/clock/seeded";
import { eventRecorder } from "@pilothouse/controller";
import { Scope } from "@pilothouse/lifecycle";
import { memoryTelemetry, type MemoryTelemetry } from "@pilothouse/telemetry/memory";
import type { ControllerPorts } from "./controller-ports.ts";
import { timestampOf } from "./core/values.ts";
import { Executor } from "./executor.ts";
import { startInformers } from "./informers.ts";

const CONFIG = { clusterCidr: "198.18.0.0/16", rootCa: () => "CA" };

export interface ControllerWorld {
  readonly clock: ManualClock;
  readonly server: MemoryApiserver;
  /** As a user. */
  readonly client: ApiClient;
  readonly ports: ControllerPorts;
  readonly telemetry: MemoryTelemetry;
  readonly failures: unknown[];
  /** Lets `ms` pass, in steps in which the kubelet starts what is new and ends what goes. */
  pass(ms: number): Promise<void>;
  pods(): Pod[];
  replicaSets(): ReplicaSet[];
  deployment(name: string): Deployment;
  /** Pods whose image is in here never become ready. */
  readonly brokenImages: Set<string>;
  close(): Promise<void>;
}

export async function controllerWorld(seed = "controllers"): Promise<ControllerWorld> {
  const clock = manualClock();
  const random = seededRandom(seed);
  const telemetry = memoryTelemetry({ clock, random });
  const failures: unknown[] = [];
  const scope = new Scope("test", (task, error) => failures.push(task, error));
  const broker = memoryBroker();
  const server = memoryApiserver({ clock, ids: seededIds(random), bus: broker.connect() });
  const client = createApiClient({ transports: [server.transport], userAgent: "user" });
  const informers = startInformers({ client, bus: broker.connect(), clock, random, telemetry, scope });
  const events = (component: string) => eventRecorder({ client, clock, scope, telemetry, component });
  const executor = new Executor({ client, clock, tracer: telemetry.tracer });
  const onLeadershipLost = (): void => void failures.push("leadership lost");
  const ports = {
    client,
    clock,
    random,
    telemetry,
    scope,
    informers,
    executor,
    events,
    onLeadershipLost,
    onRootCaChange: () => undefined,
    config: CONFIG,
  };
  const brokenImages = new Set<string>();
  await clock.advance(10);
  server.bookmark();
  await clock.advance(10);
  const list = <T>(resource: string): T[] => server.list(resource) as unknown as T[];
  return {
    clock,
    server,
    client,
    ports,
    telemetry,
    failures,
    brokenImages,
    pods: () => list<Pod>("pods"),
    replicaSets: () => list<ReplicaSet>("replicasets"),
    deployment: (name) => server.peek("deployments", `default/${name}`) as unknown as Deployment,
    async pass(ms) {
      const STEP_MS = 100;
      for (let passed = 0; passed < ms; passed += STEP_MS) {
        for (const pod of list<Pod>("pods")) await playKubelet(client, pod, brokenImages, clock.now());
        server.bookmark();
        await clock.advance(STEP_MS);
      }
    },
    close: () => scope.close(),
  };
}

async function playKubelet(client: ApiClient, pod: Pod, broken: ReadonlySet<string>, nowMs: number): Promise<void> {
  const { name = "", namespace = "", deletionTimestamp } = pod.metadata;
  if (deletionTimestamp !== undefined) await client.delete(resources.pods, namespace, name, { gracePeriodSeconds: 0 });
  else if (pod.status?.phase === undefined) {
    const ready = pod.spec.containers.every(({ image }) => !broken.has(image ?? ""));
    const condition = { type: "Ready", status: ready ? "True" : "False", lastTransitionTime: timestampOf(nowMs) };
    const index = Number.parseInt(pod.metadata.uid?.slice(0, 2) ?? "0", 16);
    const status = { phase: "Running", conditions: [condition], podIP: `198.18.0.${index}` };
    await client.update(resources.pods, { ...pod, metadata: { name, namespace }, status }, { subresource: "status" });
  }
}
