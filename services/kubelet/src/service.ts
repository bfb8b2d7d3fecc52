/**
 * The kubelet: makes what the API server says of this node's pods true, and tells what became of them.
 *
 * Promises: a container runs at most once; restarting the kubelet touches no container; what is deleted leaves nothing behind.
 * Does not promise: anything about pods of other nodes. Writes pod and node status, leases, events, and the final delete.
 */
import type { Node } from "@pilothouse/api/types/core-v1";
import type { ApiClient } from "@pilothouse/client";
import type { Bus } from "@pilothouse/bus";
import type { Clock, Random } from "@pilothouse/clock";
import type { Scope } from "@pilothouse/lifecycle";
import { allSynced, type Informer, type InformerPorts } from "@pilothouse/informer";
import type { Runtime } from "@pilothouse/runtime";
import type { Telemetry } from "@pilothouse/telemetry";
import { isStatic, type Pressure } from "./core/admission.ts";
import { cniConfig } from "./core/cni.ts";
import { allocatableOf, initialNode, shareOfPods, type MachineFacts, type Registration } from "./core/node.ts";
import { KubeletAccess } from "./flows/access.ts";
import { DEFAULT_EVICTION, type EvictionSettings } from "./core/thresholds.ts";
import { eventRecorder } from "./flows/events.ts";
import { informedPods, informedServices } from "./flows/informed.ts";
import type { KubeletPorts } from "./flows/kubelet-ports.ts";
import { keepNode } from "./flows/node.ts";
import type { NodeSettings } from "./flows/node-settings.ts";
import { KubeletRequests } from "./flows/requests.ts";
import { PodWorkers } from "./flows/pod-workers.ts";
import { NodeHealth } from "./flows/node-health.ts";
import type {
  Cgroups,
  LogFiles,
  MachineProbe,
  ManifestFiles,
  NetworkProbe,
  NodeFiles,
  PodSource,
} from "./flows/ports.ts";
import { ProbeResults } from "./flows/probe-results.ts";
import { Stats } from "./flows/stats.ts";
import { WatchedObjects } from "./flows/watched-objects.ts";
import { StaticPods } from "./flows/static-pods.ts";

export interface KubeletServicePorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly client: ApiClient;
  readonly runtime: Runtime;
  readonly files: NodeFiles;
  /** Absent: pods have no limits beside those of their containers. */
  readonly cgroups?: Cgroups;
  readonly network: NetworkProbe;
  readonly logs: LogFiles;
  /** Absent: nobody looks whether the node runs short of anything. */
  readonly machine?: MachineProbe;
  readonly telemetry: Telemetry;
  /** Owns all that the kubelet opens. */
  readonly scope: Scope;
  /** Absent: changes are heard over HTTP only. */
  readonly bus?: Bus;
  /** Where pods come from, if not from the API server. */
  readonly pods?: PodSource;
  /** The node's own pods; absent: it has none. */
  readonly manifests?: ManifestFiles | undefined;
  /** Gives the runtime its network configuration once the node's share is known. */
  readonly writeCniConfig: (text: string) => Promise<void>;
}

export interface KubeletConfig {
  readonly nodeName: string;
  readonly nodeIp: string;
  readonly port: number;
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  readonly cgroupRoot: string;
  readonly logsDir: string;
  readonly machine: MachineFacts;
  readonly bridgeName: string;
  readonly mtu: number;
  /** Where pod addresses in use are noted. */
  readonly ipamDir: string;
  readonly registration: Registration;
  /** Absent: upstream's defaults. */
  readonly eviction?: EvictionSettings;
  /** Common names of the API servers' client certificates: they may all. */
  readonly apiServers?: readonly string[];
  /** What `/configz` shows, in the shape of a KubeletConfiguration. */
  readonly configuration?: Readonly<Record<string, unknown>>;
  /** The most processes of one pod; absent: as many as the node has. */
  readonly podPids?: number;
  /** The most images brought at the same time; 0 or absent: no bound. */
  readonly maxParallelPulls?: number;
  /** Sysctls beside the safe ones that pods may set; `net.core.*` allows all that begin so. */
  readonly allowedUnsafeSysctls?: readonly string[];
}

export interface KubeletService {
  readonly workers: PodWorkers;
  /** Answers what the API server asks; the kubelet's HTTPS server stands before it. */
  readonly requests: KubeletRequests;
  /** Who may ask it. */
  readonly access: KubeletAccess;
  /** Resolves when the node is registered and its pods are being looked after. */
  readonly ready: Promise<void>;
  /** What is unwell; empty when all is well. */
  problems(): Promise<readonly string[]>;
}

/** Begins at once and ends with the scope; waits for the API server and the runtime if need be. */
export function start(ports: KubeletServicePorts, config: KubeletConfig): KubeletService {
  const { clock, random, client, bus, telemetry, scope, runtime, files, network } = ports;
  const { log, tracer } = telemetry;
  const events = eventRecorder({ client, clock, random, scope, log, nodeName: config.nodeName });
  const informerPorts: InformerPorts = { client, bus, clock, random, telemetry, scope };
  const services = informedServices(informerPorts);
  let node: Informer<Node> | undefined;
  const probeResults = new ProbeResults();
  // The API's pods are judged beside each other, and none before all are known.
  let known = false;
  const flowPorts: KubeletPorts = {
    clock,
    random,
    client,
    runtime,
    files,
    cgroups: ports.cgroups ?? noCgroups,
    probeResults,
    watched: () => watched,
    network,
    events,
    tracer,
    log,
    services: () => services.list(),
    node: () => (known ? node?.get("", config.nodeName) : undefined),
    shownAs: (pod) => (isStatic(pod) ? statics.mirrorOf(pod) : pod),
  };
  let health: NodeHealth | undefined;
  const pressures = (): readonly Pressure[] => health?.pressures() ?? [];
  const workers = new PodWorkers(flowPorts, settingsOf(config, pressures), scope);
  const watched: WatchedObjects = new WatchedObjects(informerPorts, (...change) => workers.mountedChanged(...change));
  const stats = statsOf(ports, config, workers);
  if (ports.machine && stats)
    health = new NodeHealth(flowPorts, ports.machine, workers, stats, config.eviction ?? DEFAULT_EVICTION);
  const staticPorts = { ...flowPorts, scope, manifests: ports.manifests };
  const statics: StaticPods = new StaticPods(staticPorts, config.nodeName, workers);
  const ready = Promise.withResolvers<void>();
  scope.run("begin", async () => {
    // A node's own pods run before there is an API: they may be what the API needs.
    await workers.enforceAllocatable();
    await statics.start();
    workers.start();
    node = await keepNode(flowPorts, { ...config, pressures }, informerPorts, cniWriter(ports, config));
    await allSynced([services, node], scope.signal);
    await statics.source(ports.pods ?? informedPods(informerPorts, config.nodeName)).start(workers);
    known = true;
    await workers.adoptOrphans();
    health?.start(scope);
    ready.resolve();
  });
  const requests = new KubeletRequests({
    clock,
    runtime,
    workers,
    logs: ports.logs,
    metrics: telemetry.metrics,
    probeResults,
    cgroupRoot: config.cgroupRoot,
    readStats: () => stats?.read(),
    configuration: config.configuration ?? {},
  });
  const { nodeName, apiServers = [] } = config;
  const access = new KubeletAccess({ client, clock, log }, { nodeName, apiServers });
  return { workers, requests, access, ready: ready.promise, problems: () => problemsOf(runtime) };
}

function statsOf(ports: KubeletServicePorts, config: KubeletConfig, workers: PodWorkers): Stats | undefined {
  const { nodeName, cgroupRoot, machine: facts } = config;
  const { machine } = ports;
  return machine && new Stats({ ...ports, machine }, workers, { nodeName, cgroupRoot, cpus: facts.cpus });
}

const noCgroups: Cgroups = { ensure: () => Promise.resolve(), remove: () => Promise.resolve() };

/** Gives the runtime its network as soon as the node's share is known, and whenever it changes. */
function cniWriter({ scope, writeCniConfig }: KubeletServicePorts, config: KubeletConfig): (podCidr: string) => void {
  let written = "";
  return (podCidr) => {
    if (podCidr === written) return;
    written = podCidr;
    const { bridgeName, mtu, ipamDir: dataDir } = config;
    scope.run("cni", () => writeCniConfig(cniConfig({ podCidr, bridgeName, mtu, dataDir })));
  };
}

async function problemsOf(runtime: Runtime): Promise<readonly string[]> {
  try {
    const { conditions } = await runtime.status();
    return conditions.filter((it) => !it.ok).map((it) => `${it.type}: ${it.message}`);
  } catch (error) {
    return [`the container runtime does not answer: ${error instanceof Error ? error.message : String(error)}`];
  }
}

function settingsOf(config: KubeletConfig, pressures: NodeSettings["pressures"]): NodeSettings {
  const { nodeName, nodeIp, clusterDomain, cgroupRoot, logsDir, machine } = config;
  return {
    places: { nodeName, clusterDomain, cgroupRoot, logsDir, memoryBytes: machine.memoryBytes },
    nodeIp,
    clusterDns: { servers: config.clusterDns, domain: clusterDomain },
    allowedUnsafeSysctls: config.allowedUnsafeSysctls ?? [],
    appArmor: machine.appArmor ?? false,
    podPids: config.podPids ?? 0,
    maxParallelPulls: config.maxParallelPulls ?? 0,
    share: shareOfPods(machine),
    pressures,
    initialNode: initialNode({ ...config, runtimeVersion: "" }, config.registration),
    allocatable: allocatableOf(machine),
  };
}
