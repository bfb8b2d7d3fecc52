/**
 * The kubelet: makes what the API server says of this node's pods true, and tells what became of them.
 *
 * Promises: a container runs at most once; restarting the kubelet touches no container; what is deleted leaves nothing behind.
 * Does not promise: anything about pods of other nodes. Writes pod and node status, leases, events, and the final delete.
 */
import type { ApiClient } from "@pilothouse/client";
import type { Bus } from "@pilothouse/bus";
import type { Clock, Random } from "@pilothouse/clock";
import { Scope } from "@pilothouse/lifecycle";
import { allSynced, type InformerPorts } from "@pilothouse/informer";
import type { Runtime } from "@pilothouse/runtime";
import type { Telemetry } from "@pilothouse/telemetry";
import { cniConfig } from "./core/cni.ts";
import { allocatableOf, type MachineFacts } from "./core/node.ts";
import { eventRecorder } from "./flows/events.ts";
import { informedPods, informedServices } from "./flows/informed.ts";
import type { KubeletPorts } from "./flows/kubelet-ports.ts";
import { keepNode } from "./flows/node.ts";
import type { NodeSettings } from "./flows/node-settings.ts";
import { PodWorkers } from "./flows/pod-worker.ts";
import type { NetworkProbe, NodeFiles, PodSource } from "./flows/ports.ts";

export interface KubeletServicePorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly client: ApiClient;
  readonly runtime: Runtime;
  readonly files: NodeFiles;
  readonly network: NetworkProbe;
  readonly telemetry: Telemetry;
  /** Absent: changes are heard over HTTP only. */
  readonly bus?: Bus;
  /** Where pods come from, if not from the API server. */
  readonly pods?: PodSource;
  /** Gives the runtime its network configuration once the node's share is known. */
  writeCniConfig(text: string): Promise<void>;
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
}

export interface KubeletService {
  readonly workers: PodWorkers;
  close(): Promise<void>;
}

/** Resolves when the node is registered and its pods are being looked after. */
export async function start(ports: KubeletServicePorts, config: KubeletConfig): Promise<KubeletService> {
  const { clock, random, client, bus, telemetry } = ports;
  const { log, tracer } = telemetry;
  const scope = new Scope("kubelet", (task, error) => log.error("a task failed", { task, error }));
  const events = eventRecorder({ client, clock, random, scope, log, nodeName: config.nodeName });
  const { runtime, files, network } = ports;
  const informerPorts: InformerPorts = { client, bus, clock, random, telemetry, scope };
  const services = informedServices(informerPorts);
  const flowPorts: KubeletPorts = {
    clock,
    random,
    client,
    runtime,
    files,
    network,
    events,
    tracer,
    log,
    services: () => services.list(),
  };
  const workers = new PodWorkers(flowPorts, settingsOf(config), scope);
  let podCidr = "";
  await keepNode(flowPorts, config, informerPorts, (cidr) => {
    if (cidr === podCidr) return;
    podCidr = cidr;
    const { bridgeName, mtu, ipamDir: dataDir } = config;
    scope.run("cni", () => ports.writeCniConfig(cniConfig({ podCidr, bridgeName, mtu, dataDir })));
  });
  await allSynced([services], scope.signal);
  const source = ports.pods ?? informedPods(informerPorts, config.nodeName);
  await source.start(workers);
  await workers.start();
  return { workers, close: () => scope.close() };
}

function settingsOf(config: KubeletConfig): NodeSettings {
  const { nodeName, nodeIp, clusterDomain, cgroupRoot, logsDir, machine } = config;
  return {
    places: { nodeName, clusterDomain, cgroupRoot, logsDir, memoryBytes: machine.memoryBytes },
    nodeIp,
    clusterDns: { servers: config.clusterDns, domain: clusterDomain },
    allocatable: allocatableOf(machine),
  };
}
