/**
 * proxy: makes Services work on this node, and the pods of other nodes reachable. Reads Services, EndpointSlices and Nodes;
 * writes one nftables table, a route for each of the two ranges and to each other node's pods, and the cluster's DNS address.
 *
 * Promises: from the first moment no packet for a pod or a Service leaves by the uplink; a change is in the kernel one
 * transaction after it was heard, and there is never a moment with half of the rules; a restart replaces the table at once
 * and touches no connection; connections to endpoints that ended are left to finish, new ones go elsewhere.
 * Does not promise: IPv6; node ports on 127.0.0.1; that session affinity survives a restart.
 */
import { resources, type ApiClient } from "@pilothouse/client";
import type { Bus } from "@pilothouse/bus";
import { sleep, type Clock, type Random } from "@pilothouse/clock";
import { allSynced, startInformer } from "@pilothouse/informer";
import type { Scope } from "@pilothouse/lifecycle";
import type { PacketFilter } from "@pilothouse/packet-filter";
import type { Telemetry } from "@pilothouse/telemetry";
import { HealthChecks, type HealthDoor } from "./flows/health-checks.ts";
import { PodRoutes, type RouteOptions, type RouteTable } from "./flows/pod-routes.ts";
import { Program, type NodeNetwork, type ProgramOptions } from "./flows/program.ts";

export interface ProxyPorts {
  readonly client: ApiClient;
  readonly bus: Bus | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly scope: Scope;
  readonly filter: PacketFilter;
  readonly network: NodeNetwork;
  readonly routes: RouteTable;
  readonly healthDoor: HealthDoor;
}

export type ProxyOptions = ProgramOptions & RouteOptions;

export interface ProxyService {
  /** What is unwell; empty when the kernel has what the API says. */
  problems(): readonly string[];
}

const RETRY_MS = 1_000;
const ZONE_LABEL = "topology.kubernetes.io/zone";

/** Starts in the background and ends with the scope; the rules stay. */
export function start(ports: ProxyPorts, options: ProxyOptions): ProxyService {
  const { healthDoor: door, scope, telemetry } = ports;
  const checks = new HealthChecks({ door, log: telemetry.log, problem: () => program.problem() });
  const programmed = (services: readonly string[]): void => {
    for (const service of services) checks.set(service, program.healthCheck(service));
    checking = checking
      .then(() => checks.sync())
      .catch((error: unknown) => telemetry.log.error("health checks of Services are not as they should be", { error }));
  };
  let checking = Promise.resolve();
  const program: Program = new Program({ ...ports, programmed }, options);
  scope.defer(() => checking.then(() => checks.close()));
  const routes = new PodRoutes({ ...ports, table: ports.routes }, options);
  ports.scope.defer(() => ports.filter.close());
  ports.scope.run("proxy", async (signal) => {
    await prepare(ports, options, signal);
    const services = startInformer(ports, { type: resources.services });
    const slices = startInformer(ports, { type: resources.endpointSlices });
    const nodes = startInformer(ports, { type: resources.nodes });
    services.onChange(({ type, object, trace }) => program.serviceChanged(type, object, trace));
    slices.onChange(({ type, object, trace }) => program.sliceChanged(type, object, trace));
    nodes.onChange(({ trace }) => routes.changed(trace));
    nodes.onChange(({ type, object, trace }) => {
      if (object.metadata.name !== options.nodeName) return;
      program.zoneChanged(type === "deleted" ? undefined : object.metadata.labels?.[ZONE_LABEL], trace);
    });
    await allSynced([services, slices, nodes], signal);
    await Promise.all([program.run(signal), routes.run(nodes, signal)]);
  });
  return { problems: () => [program.problem(), routes.problem()].filter((problem) => problem !== undefined) };
}

/** Before anything else, and again until it works: nothing is served on a node that leaks. */
async function prepare(
  { network, clock, telemetry }: ProxyPorts,
  options: ProgramOptions,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    try {
      for (const missing of await network.prepare(options)) telemetry.log.warn(missing);
      return;
    } catch (error) {
      telemetry.log.error("the node's routes could not be made", { error });
      await sleep(clock, RETRY_MS, signal);
    }
  }
}
