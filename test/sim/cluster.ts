/**
 * A whole cluster in a world: two apiservers, two controller-managers, two schedulers, two nodes with their kubelets, runtimes,
 * proxies and packet filters, a dns, each started by its own `service.ts`, over one store and one bus. No Kubernetes logic
 * lives here.
 */
import { start as startApiserver, type ApiserverService } from "@pilothouse/apiserver";
import { noKubelets } from "@pilothouse/apiserver/no-kubelets";
import { createApiClient, type ApiClient } from "@pilothouse/client";
import { start as startControllerManager } from "@pilothouse/controller-manager";
import { memoryCrypto } from "@pilothouse/crypto/memory";
import type { SeenKey } from "@pilothouse/election";
import { start as startDns, type DnsPorts } from "@pilothouse/dns";
import { start as startKubelet } from "@pilothouse/kubelet";
import { memoryFiles } from "@pilothouse/kubelet/memory-files";
import { Scope } from "@pilothouse/lifecycle";
import type { PacketFilter } from "@pilothouse/packet-filter";
import { memoryPacketFilter } from "@pilothouse/packet-filter/memory";
import { start as startProxy } from "@pilothouse/proxy";
import { memoryHealthDoor } from "@pilothouse/proxy/memory-health-door";
import { memoryRouteTable } from "@pilothouse/proxy/memory-route-table";
import { readTable, type TracedTable } from "@pilothouse/proxy/trace-packet";
import { memoryRuntime } from "@pilothouse/runtime/memory";
import { defaultConfig, start as startScheduler } from "@pilothouse/scheduler";
import { seededIds } from "@pilothouse/clock/seeded";
import type { Logger, LogFields, Metrics, Telemetry } from "@pilothouse/telemetry";
import { memoryTelemetry } from "@pilothouse/telemetry/memory";
import type { Door } from "../history/writers.ts";
import { kindOf, plannedFaults, type FaultPlan, type Faults, type Incident, type Victims } from "./faults.ts";
import { Machine, type Life } from "./machine.ts";
import { SimulatedBus, simulatedTransport, type Identity, type Server } from "./network.ts";
import { portOf, storeOf, Truth, type Commit } from "./store.ts";
import { inContext } from "./traps.ts";
import type { World } from "./world.ts";

export const victims: Victims = {
  apiservers: ["apiserver-1", "apiserver-2"],
  leaders: ["controller-manager-1", "controller-manager-2", "scheduler-1", "scheduler-2"],
  nodes: ["node-1", "node-2"],
  servants: ["proxy-1", "proxy-2", "dns-1"],
};

export const RANGES = { pods: "198.18.0.0/16", services: "198.19.0.0/16" } as const;
const TABLE = "pilothouse";
const ADMIN: Identity = { user: "admin", groups: ["system:masters"] };
/** What the store keeps of its history differs from world to world: sometimes less than a process sleeps. */
const COMPACTION_INTERVALS_MS = [5_000, 10_000, 60_000] as const;

export const IMAGES = { "web:v1": { pullMs: 300, stopMs: 400 }, "web:v2": { pullMs: 700, stopMs: 900 } };
export const DOMAIN = "cluster.local";
const RESTARTS_AFTER_MS = 1_000;
const PROBE_MS = 1;

/** Gives the answer to a DNS query. */
type Responder = Parameters<DnsPorts["listen"]>[0];

export class Cluster {
  readonly world: World;
  readonly truth: Truth;
  readonly faults: Faults;
  readonly client: ApiClient;
  /** The same user's, asking the other apiserver first. */
  readonly otherClient: ApiClient;
  readonly clientLife: Life;
  /** What each node's kernel does to packets, by proxy. */
  readonly filters = new Map<string, PacketFilter>();
  /** What answers the cluster's DNS, once it listens. */
  dns: Responder | undefined;
  readonly #incidents: readonly Incident[];
  readonly #bus: SimulatedBus;
  readonly #processes = new Map<string, Process>();
  readonly #servers: Server[];
  /** Kinds of processes of which the next one to write stops in it. */
  readonly #armed = new Map<string, { readonly incident: Incident; writes: number }>();

  constructor(world: World, plan: FaultPlan) {
    this.world = world;
    this.truth = new Truth(world);
    this.faults = plannedFaults(world, plan);
    this.#bus = new SimulatedBus(world, this.faults);
    this.#servers = victims.apiservers.map((name) => this.#apiserver(name));
    for (const name of victims.leaders) this.#add(name, (life, scope) => this.#startLeader(name, life, scope));
    for (const [index, name] of victims.nodes.entries()) this.#addNode(name, index + 1);
    for (const name of victims.servants)
      if (kindOf(name) === "proxy") this.#addProxy(name);
      else this.#addDns(name);
    this.clientLife = new Machine(world, "client").boot();
    [this.client, this.otherClient] = this.clientsOf(this.clientLife);
    this.#incidents = plan.incidents;
    for (const incident of plan.incidents) this.#expect(incident);
    world.at(plan.untilMs, "no more faults", () => this.#armed.clear());
  }

  /** A user's clients: one that asks the first apiserver first, and one that asks the other first. */
  clientsOf(life: Life): readonly [ApiClient, ApiClient] {
    const reversed = this.#servers.toReversed();
    return [this.#clientOf(life, ADMIN, "kubectl", this.#servers), this.#clientOf(life, ADMIN, "kubectl", reversed)];
  }

  /** A user's ways to each single apiserver. */
  doorsOf(life: Life): Door[] {
    const { world, faults } = this;
    return this.#servers.map((server) => ({
      server: server.name,
      transport: simulatedTransport(world, faults, life, server, ADMIN),
    }));
  }

  /** Starts every process. */
  begin(): void {
    for (const process of this.#processes.values()) process.boot();
  }

  /** To be told of every commit: some incidents wait for one. */
  committed({ cause }: Commit): void {
    const armed = cause && this.#armed.get(kindOf(cause.client));
    if (!armed || --armed.writes > 0) return;
    const { incident } = armed;
    this.#armed.delete(incident.machine);
    const what = incident.kind === "crashInWrite" ? "CRASH" : "PAUSE";
    this.world.tell(cause.client, `${what} in the middle of a write, for ${seconds(incident)}`);
    const process = this.#processes.get(cause.client);
    if (incident.kind === "crashInWrite") process?.crash(incident.forMs);
    else process?.pause(incident.forMs);
  }

  #expect(incident: Incident): void {
    const { world } = this;
    world.at(incident.atMs, `incident: ${incident.kind} ${incident.machine}`, () => {
      const process = this.#processes.get(incident.machine);
      switch (incident.kind) {
        case "pauseInWrite":
        case "crashInWrite":
          this.#armed.set(incident.machine, { incident, writes: incident.writes });
          return;
        case "crash":
          world.tell(incident.machine, `CRASH, down for ${seconds(incident)}`);
          process?.crash(incident.forMs);
          return;
        case "pause":
          world.tell(incident.machine, `PAUSE for ${seconds(incident)}`);
          process?.pause(incident.forMs);
          return;
        case "busDown":
          world.tell("bus", `DOWN for ${seconds(incident)}`);
          this.#bus.setUp(false);
          world.at(incident.forMs, "the bus may be up", () => this.#endOutage());
          return;
        case "lag":
        case "memberLag":
          world.tell(
            incident.machine,
            `LAG: the store's news come up to ${incident.lagMs} ms late for ${seconds(incident)}`,
          );
          return;
        case "behind":
          world.tell(incident.machine, `BEHIND: no news of the store for ${seconds(incident)}`);
          return;
        case "freeze":
          world.tell(incident.machine, `FROZEN: no news of ${incident.resource} for ${seconds(incident)}`);
          return;
        case "partition":
          world.tell(incident.machine, `PARTITION from ${incident.from} for ${seconds(incident)}`);
      }
    });
  }

  #endOutage(): void {
    const { nowMs } = this.world;
    const isDown = this.#incidents.some(
      ({ kind, atMs, forMs }) => kind === "busDown" && atMs <= nowMs && nowMs < atMs + forMs,
    );
    if (!isDown) this.#bus.setUp(true);
  }

  #add(name: string, start: Process["start"]): Process {
    const process = new Process(new Machine(this.world, name), start);
    this.#processes.set(name, process);
    return process;
  }

  #apiserver(name: string): Server {
    let service: { readonly of: Life; readonly api: ApiserverService } | undefined;
    const intervals = COMPACTION_INTERVALS_MS;
    const luck = this.world.random.fork("compaction").next();
    const compactionIntervalMs = intervals[Math.floor(luck * intervals.length)] ?? intervals[0];
    const { machine } = this.#add(name, async (life) => {
      const api = await startApiserver(
        {
          time: life.time,
          store: storeOf(life, this.truth.store, this.world, this.faults),
          bus: this.#bus.connect(life),
          crypto: memoryCrypto(),
          telemetry: this.#telemetry(life),
          nodeProxy: noKubelets("kubelets are not proxied to in the simulation"),
        },
        { name, advertiseAddress: `198.51.100.${10 + Number(name.at(-1))}`, securePort: 6443, compactionIntervalMs },
      );
      service = { of: life, api };
    });
    return {
      name,
      listening() {
        const { life } = machine;
        if (!life || service?.of !== life) return undefined;
        const { api } = service;
        return { life, handle: (request) => api.handle(request) };
      },
    };
  }

  #startLeader(name: string, life: Life, scope: Scope): Promise<void> {
    const component = kindOf(name);
    const user = `system:kube-${component}`;
    const ports = {
      ...life.time,
      store: storeOf(life, this.truth.store, this.world, this.faults),
      bus: this.#bus.connect(life),
      telemetry: this.#telemetry(life),
      scope,
      identity: life.name,
      healthAddress: name,
      probeLeader: (leader: SeenKey) => this.#probe(life, leader),
      openApi: (fence: () => string | undefined) =>
        this.#clientOf(life, { user, groups: [] }, component, this.#serversFor(life), fence),
    };
    if (component === "scheduler") startScheduler(ports, defaultConfig);
    else startControllerManager(ports, { clusterCidr: RANGES.pods, rootCa: () => "CA" });
    return Promise.resolve();
  }

  /** Containers and files outlive the kubelet that looks after them. */
  #addNode(name: string, index: number): void {
    const ids = seededIds(this.world.random.fork(`runtime/${name}`));
    const podIp = (n: number): string => `198.18.${index}.${n + 1}`;
    const runtime = memoryRuntime({ clock: this.world.clock, ids, images: IMAGES, podIp });
    const files = memoryFiles();
    this.#add(name, async (life, scope) => {
      const identity = { user: `system:node:${name}`, groups: ["system:nodes"] };
      startKubelet(
        {
          ...life.time,
          client: this.#clientOf(life, identity, "kubelet", this.#serversFor(life)),
          runtime: portOf(life, "runtime", runtime, {
            subscribe: (handle) => {
              const end = runtime.subscribe((event) => life.run(() => handle(event)));
              life.onEnd(end);
              return end;
            },
          }),
          files: portOf(life, "files", files),
          logs: { read: noLogs },
          network: { http: answers, tcp: answers, grpc: answers },
          telemetry: this.#telemetry(life),
          scope,
          bus: this.#bus.connect(life),
          writeCniConfig: () => Promise.resolve(),
        },
        nodeConfig(name, `198.51.100.${20 + index}`),
      );
    });
  }

  /** The kernel's rules outlive the proxy. */
  #addProxy(name: string): void {
    const filter = memoryPacketFilter();
    this.filters.set(name, filter);
    const routes = memoryRouteTable("198.51.100.0/24");
    this.#add(name, async (life, scope) => {
      const identity = { user: "system:kube-proxy", groups: [] };
      startProxy(
        {
          ...life.time,
          client: this.#clientOf(life, identity, "proxy", this.#serversFor(life)),
          bus: this.#bus.connect(life),
          telemetry: this.#telemetry(life),
          scope,
          filter: portOf(life, "filter", filter),
          network: { prepare: () => Promise.resolve([]), forgetUdp: () => Promise.resolve() },
          routes: portOf(life, "routes", routes),
          healthDoor: memoryHealthDoor(),
        },
        {
          table: TABLE,
          nodeName: name.replace("proxy", "node"),
          mode: "auto",
          podRange: RANGES.pods,
          serviceRange: RANGES.services,
          clusterDns: undefined,
          bridge: "ph0",
        },
      );
    });
  }

  #addDns(name: string): void {
    this.#add(name, async (life, scope) => {
      this.dns = undefined;
      const identity = { user: "system:dns", groups: [] };
      startDns(
        {
          ...life.time,
          client: this.#clientOf(life, identity, "dns", this.#serversFor(life)),
          bus: this.#bus.connect(life),
          telemetry: this.#telemetry(life),
          scope,
          upstream: { ask: () => Promise.reject(new Error("there is no other name server")) },
          listen: (respond) => Promise.resolve(void (this.dns = respond)),
        },
        { domain: DOMAIN, ranges: Object.values(RANGES) },
      );
    });
  }

  /** The rules in a proxy's kernel, as services/proxy reads them. */
  async tableOf(proxy: string): Promise<TracedTable> {
    return readTable((await this.filters.get(proxy)?.list({ family: "ip", name: TABLE })) ?? []);
  }

  /** Asks `servers` in their order. */
  #clientOf(
    life: Life,
    identity: Identity,
    userAgent: string,
    servers: readonly Server[],
    fence?: () => string | undefined,
  ): ApiClient {
    const transports = servers.map((server) => simulatedTransport(this.world, this.faults, life, server, identity));
    return createApiClient({ transports, userAgent, ...(fence ? { fence } : {}) });
  }

  /** Half of the processes prefer the second apiserver. */
  #serversFor(life: Life): readonly Server[] {
    return life.random.fork("preferred").next() < 0.5 ? this.#servers : this.#servers.toReversed();
  }

  /** The leader's health port: answers only while that very incarnation lives and runs. */
  #probe(life: Life, leader: SeenKey): Promise<boolean> {
    const address = leader.healthAddress ?? "";
    return new Promise((resolve) => {
      this.world.at(PROBE_MS, `${life.name} probes ${address}`, () => {
        const asked = this.#processes.get(address)?.machine.life;
        const answer = (alive: boolean): void => void life.after(PROBE_MS, "probe answered", () => resolve(alive));
        if (asked) asked.run(() => answer(asked.name === leader.identity));
        else answer(false);
      });
    });
  }

  #telemetry(life: Life): Telemetry {
    const memory = memoryTelemetry({ clock: life.clock, random: life.random.fork("telemetry"), maxRecords: 100 });
    return { ...memory, metrics: NO_METRICS, log: storyLog(this.world, life.name, {}) };
  }
}

/** A process under its supervisor: started again a second after it fails to start. */
class Process {
  readonly machine: Machine;
  readonly start: (life: Life, scope: Scope) => Promise<void>;
  #downUntilMs = 0;

  constructor(machine: Machine, start: (life: Life, scope: Scope) => Promise<void>) {
    this.machine = machine;
    this.start = start;
  }

  boot(): void {
    const { world } = this.machine;
    const life = this.machine.boot();
    world.tell(life.name, "starts");
    const scope = new Scope(life.machine.name, (task, error) =>
      world.tell(life.name, `${task} failed: ${textOf(error)}`),
    );
    const starting = inContext({ life: life.name }, () => this.start(life, scope));
    starting.catch((error: unknown) => {
      world.tell(life.name, `could not start: ${textOf(error)}`);
      if (life.alive) this.crash(RESTARTS_AFTER_MS);
    });
  }

  crash(forMs: number): void {
    const { world } = this.machine;
    this.machine.crash();
    this.machine.resume();
    this.#downUntilMs = Math.max(this.#downUntilMs, world.nowMs + forMs);
    world.at(forMs, `${this.machine.name} may start`, () => {
      if (!this.machine.life && world.nowMs >= this.#downUntilMs) this.boot();
    });
  }

  pause(forMs: number): void {
    const { world, life } = this.machine;
    if (!life || this.machine.paused) return;
    this.machine.pause();
    world.at(forMs, `${this.machine.name} wakes`, () => {
      if (this.machine.life !== life) return;
      world.tell(life.name, "wakes up");
      this.machine.resume();
    });
  }
}

function seconds({ forMs }: Incident): string {
  return `${(forMs / 1_000).toFixed(1)} s`;
}

/** Nobody reads them here. */
const NO_METRICS: Metrics = {
  counter: () => ({ add: () => undefined }),
  gauge: () => ({ set: () => undefined }),
  histogram: () => ({ observe: () => undefined }),
  expose: () => Promise.resolve(""),
};

/** What a service logs for people, as lines of the story. Requests are no news. */
export function storyLog(world: World, who: string, base: LogFields): Logger {
  const at =
    (level: string) =>
    (message: string, fields: LogFields = {}): void => {
      if (message === "request") return;
      const { error, trace: _, ...rest } = { ...base, ...fields };
      const details = Object.keys(rest).length === 0 ? "" : ` ${JSON.stringify(rest)}`;
      world.tell(who, `[${level}] ${message}${details}${error === undefined ? "" : `: ${textOf(error)}`}`);
    };
  return {
    debug: () => undefined,
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    with: (fields) => storyLog(world, who, { ...base, ...fields }),
  };
}

export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function* noLogs(): AsyncGenerator<Uint8Array> {}

function answers(): Promise<{ readonly ok: boolean; readonly detail: string }> {
  return Promise.resolve({ ok: true, detail: "" });
}

export function nodeConfig(nodeName: string, nodeIp: string): Parameters<typeof startKubelet>[1] {
  return {
    nodeName,
    nodeIp,
    port: 10250,
    clusterDns: ["198.19.0.10"],
    clusterDomain: DOMAIN,
    cgroupRoot: "/sim",
    logsDir: "/logs",
    bridgeName: "ph0",
    mtu: 1500,
    ipamDir: "/ipam",
    registration: { labels: {}, taints: [] },
    machine: {
      cpus: 8,
      memoryBytes: 16 * 2 ** 30,
      diskBytes: 100 * 2 ** 30,
      maxPods: 110,
      architecture: "amd64",
      machineId: nodeName,
      bootId: nodeName,
      kernelVersion: "6.1",
      osImage: "Debian",
      hostname: nodeName,
    },
  };
}
