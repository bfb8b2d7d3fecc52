/** A cluster for tests of controllers whose world is more than pods: the real apiserver over a store in memory, and real informers. */
import type { ApiRequest } from "@pilothouse/api/http";
import { start as startApiserver } from "@pilothouse/apiserver";
import { noKubelets } from "@pilothouse/apiserver/no-kubelets";
import type { Bus } from "@pilothouse/bus";
import { memoryBroker } from "@pilothouse/bus/memory";
import { createApiClient, type ApiClient, type KubernetesObject, type ResourceType } from "@pilothouse/client";
import type { Transport, TransportRequest, TransportResponse } from "@pilothouse/client";
import { sleep } from "@pilothouse/clock";
import { manualClock, type ManualClock } from "@pilothouse/clock/manual";
import { seededIds, seededRandom } from "@pilothouse/clock/seeded";
import { eventRecorder } from "@pilothouse/controller";
import { memoryCrypto } from "@pilothouse/crypto/memory";
import { isStatus } from "@pilothouse/errors";
import { Scope } from "@pilothouse/lifecycle";
import { memoryStore } from "@pilothouse/store/memory";
import { memoryTelemetry, type MemoryTelemetry } from "@pilothouse/telemetry/memory";
import type { ControllerManagerConfig, ControllerPorts } from "./controller-ports.ts";
import { Executor } from "./executor.ts";
import { startInformers } from "./informers.ts";

export interface Cluster {
  readonly clock: ManualClock;
  /** A user's, an administrator; nothing of what is done to the controllers' connections happens to it. */
  readonly client: ApiClient;
  readonly ports: ControllerPorts;
  readonly telemetry: MemoryTelemetry;
  /** Background tasks that failed; empty in a good test. */
  readonly failures: unknown[];
  /** Every write of the controllers, in order: `DELETE /api/v1/namespaces/x/pods/y`. */
  readonly writes: string[];
  /** Resources (plural) of which the controllers hear no news; single objects they may read. */
  readonly frozen: Set<string>;
  /** Sees each request of the controllers first; what it throws is the transport's failure. */
  intercept: ((request: TransportRequest) => void) | undefined;
  /** Sees each answer; what it throws is a lost answer. */
  afterwards: ((request: TransportRequest) => void) | undefined;
  /** Lets `ms` pass in small steps, so that news travels. */
  pass(ms: number): Promise<void>;
  find<T extends KubernetesObject>(type: ResourceType<T>, namespace: string, name: string): Promise<T | undefined>;
  all<T extends KubernetesObject>(type: ResourceType<T>, namespace?: string): Promise<readonly T[]>;
  /** Tells the controllers that `config.rootCa` says something new. */
  rootCaChanged(): void;
  /** Another leader's ports, with caches of its own, over the same apiserver. */
  anotherLeader(name: string): Promise<{ readonly ports: ControllerPorts; close(): Promise<void> }>;
  close(): Promise<void>;
}

const CRYPTO = memoryCrypto();
const CONFIG: ControllerManagerConfig = {
  clusterCidr: "198.18.0.0/16",
  rootCa: () => "-----CA-----\n",
  signAccountToken: (claims) => CRYPTO.signToken(claims),
};
const STEP_MS = 50;

export async function cluster(seed = "cluster", config: Partial<ControllerManagerConfig> = {}): Promise<Cluster> {
  const clock = manualClock();
  const random = seededRandom(seed);
  const telemetry = memoryTelemetry({ clock, random: random.fork("telemetry") });
  const failures: unknown[] = [];
  const writes: string[] = [];
  const rootCaListeners: (() => void)[] = [];
  const scope = new Scope("test", (task, error) => failures.push(task, error));
  const broker = memoryBroker();
  const apiserver = await startApiserver(
    {
      time: { clock, random, ids: seededIds(random.fork("ids")) },
      store: memoryStore({ clock }),
      bus: broker.connect(),
      crypto: memoryCrypto(),
      telemetry,
      nodeProxy: noKubelets("no kubelet in this story"),
    },
    { name: "a", advertiseAddress: "198.51.100.11", securePort: 6443 },
  );
  const frozen = new Set<string>();
  const direct: Transport = {
    endpoint: "memory",
    close: async () => {},
    send: (request) => answerOf(apiserver.handle(asAdmin(request))),
  };
  const transport: Transport = {
    endpoint: "memory",
    close: async () => {},
    async send(request) {
      made.intercept?.(request);
      const resource = /\/([a-z]+)(\?|$)/.exec(request.path)?.[1] ?? "";
      if (request.method === "GET" && frozen.has(resource)) throw new Error(`${resource} are frozen`);
      if (request.method !== "GET") writes.push(`${request.method} ${request.path.replace(/\?.*/, "")}`);
      const answer = await direct.send(request);
      made.afterwards?.(request);
      return { ...answer, body: whileNotFrozen(answer.body, resource, request.signal) };
    },
  };
  async function* whileNotFrozen(
    body: AsyncIterable<Uint8Array>,
    resource: string,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Uint8Array> {
    for await (const chunk of body) {
      while (frozen.has(resource)) await sleep(clock, STEP_MS, signal);
      yield chunk;
    }
  }
  const connect = (): Bus => {
    const bus = broker.connect();
    const subscribe = bus.subscribe.bind(bus);
    bus.subscribe = (pattern, handle) =>
      subscribe(pattern, (message) => {
        if (!message.subject.split(".").some((token) => frozen.has(token))) handle(message);
      });
    return bus;
  };
  const userClient = createApiClient({ transports: [direct], userAgent: "story" });
  const client = createApiClient({ transports: [transport], userAgent: "controllers" });
  const portsIn = (scope: Scope): ControllerPorts => {
    const bus = connect();
    return {
      client,
      clock,
      random,
      telemetry,
      scope,
      bus,
      informers: startInformers({ client, bus, clock, random, telemetry, scope }),
      executor: new Executor({ client, clock, tracer: telemetry.tracer }),
      events: (component) => eventRecorder({ client, clock, scope, telemetry, component }),
      onLeadershipLost: () => void failures.push("leadership lost"),
      onRootCaChange: (hear) => void rootCaListeners.push(hear),
      config: { ...CONFIG, ...config },
    };
  };
  const made: Cluster = {
    clock,
    client: userClient,
    ports: portsIn(scope),
    telemetry,
    failures,
    writes,
    frozen,
    intercept: undefined,
    afterwards: undefined,
    async pass(ms) {
      for (let passed = 0; passed < ms; passed += STEP_MS) await clock.advance(Math.min(STEP_MS, ms - passed));
    },
    async find(type, namespace, name) {
      try {
        return await userClient.get(type, namespace, name);
      } catch (error) {
        if (isStatus(error, "NotFound")) return undefined;
        throw error;
      }
    },
    async all(type, namespace = "") {
      return (await userClient.list(type, namespace)).items;
    },
    rootCaChanged: () => rootCaListeners.forEach((hear) => hear()),
    async anotherLeader(name) {
      const own = new Scope(name, (task, error) => failures.push(task, error));
      scope.defer(() => own.close());
      const ports = portsIn(own);
      await made.pass(100);
      return { ports, close: () => own.close() };
    },
    async close() {
      await scope.close();
      await apiserver.close();
    },
  };
  await made.pass(100);
  return made;
}

function asAdmin({ method, path, headers, body, signal }: TransportRequest): ApiRequest {
  const [bare = "", query = ""] = path.split("?");
  return {
    method,
    path: bare,
    query: new URLSearchParams(query),
    headers,
    body: body ?? new Uint8Array(),
    peer: { address: "198.51.100.1", certificate: { commonName: "admin", organizations: ["system:masters"] } },
    signal: signal ?? new AbortController().signal,
  };
}

async function answerOf(
  answer: ReturnType<Awaited<ReturnType<typeof startApiserver>>["handle"]>,
): Promise<TransportResponse> {
  const { status, headers, body } = await answer;
  const single = Object.entries(headers).map(([name, value]) => [
    name,
    typeof value === "string" ? value : value.join(),
  ]);
  return {
    status,
    headers: Object.fromEntries(single) as Record<string, string>,
    body: body instanceof Uint8Array ? once(body) : body,
  };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
