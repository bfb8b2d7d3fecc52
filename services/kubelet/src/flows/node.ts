/** The Node object of this machine and its lease: registered once, kept up to date, renewed every 10 s. */
import type { Node, NodeStatus } from "@pilothouse/api/types/core-v1";
import type { Lease, LeaseSpec } from "@pilothouse/api/types/coordination-v1";
import { sleep } from "@pilothouse/clock";
import { resources } from "@pilothouse/client";
import { isStatus } from "@pilothouse/errors";
import type { Informer, InformerPorts } from "@pilothouse/informer";
import type { RuntimeStatus } from "@pilothouse/runtime";
import type { Pressure } from "../core/admission.ts";
import {
  initialNode,
  isTold,
  nodeConditions,
  nodeImages,
  nodeRuntime,
  nodeStatus,
  withExtended,
  type MachineFacts,
  type Registration,
} from "../core/node.ts";
import { seconds } from "../core/container-status.ts";
import { eventsOfStart, nodeEvents, type NodeEvent } from "../core/node-events.ts";
import { informedNode } from "./informed.ts";
import type { KubeletPorts } from "./kubelet-ports.ts";

export interface NodeOptions {
  readonly nodeName: string;
  readonly nodeIp: string;
  readonly port: number;
  readonly machine: MachineFacts;
  readonly registration: Registration;
  /** What runs short now. */
  readonly pressures?: () => readonly Pressure[];
}

const LEASE_SECONDS = 40;
const RENEW_MS = 10_000;
const CHECK_MS = 10_000;
/** While not ready, look more often: readiness is what everybody waits for. */
const CHECK_UNREADY_MS = 500;
const REPORT_MS = 300_000;
const RETRY_MS = 500;
const LEASE_NAMESPACE = "kube-node-lease";

const REGISTER_FAILED = "the node could not be registered; trying again";

/**
 * Registers the node (waiting for the API server if need be), then keeps node and lease fresh until the scope closes. Answers with who
 * follows the Node object.
 */
export async function keepNode(
  ports: KubeletPorts,
  options: NodeOptions,
  informerPorts: InformerPorts,
  podCidr: (cidr: string) => void,
): Promise<Informer<Node>> {
  const { scope } = informerPorts;
  const registered = (signal: AbortSignal): Promise<void> =>
    untilDone(ports, signal, REGISTER_FAILED, () => register(ports, options));
  await registered(scope.signal);
  const informer = informedNode(informerPorts, options.nodeName, (node) => {
    if (!node) scope.run("register again", registered);
    else if (node.spec.podCIDR !== undefined) podCidr(node.spec.podCIDR);
  });
  const shown = (): Node | undefined => informer.get("", options.nodeName);
  scope.run("node status", (signal) => keepStatus(ports, options, shown, signal));
  scope.run("node lease", (signal) => keepLease(ports, options, signal));
  ports.events.node("Normal", "Starting", "Starting kubelet.");
  return informer;
}

async function register(ports: KubeletPorts, options: NodeOptions): Promise<void> {
  const { client } = ports;
  const { nodeName, registration } = options;
  const initial = initialNode({ ...options, runtimeVersion: "" }, registration);
  const { labels } = initial.metadata;
  const status = await currentStatus(ports, options, undefined);
  try {
    await client.create(resources.nodes, { ...initial, status });
    tell(ports, eventsOfStart(nodeName, undefined, status));
  } catch (error) {
    if (!isStatus(error, "AlreadyExists")) throw error;
    const patch = { type: "application/strategic-merge-patch+json" as const, body: { metadata: { labels } } };
    const before = await client.patch(resources.nodes, "", nodeName, patch);
    const own = await currentStatus(ports, options, before.status);
    await patchStatus(ports, nodeName, own);
    tell(ports, eventsOfStart(nodeName, before.status, own));
  }
}

function tell({ events }: KubeletPorts, news: readonly NodeEvent[]): void {
  for (const { type, reason, message } of news) events.node(type, reason, message);
}

/** @param shown the Node object as others see it; none while it is being registered, which tells the status too */
async function keepStatus(
  ports: KubeletPorts,
  options: NodeOptions,
  shown: () => Node | undefined,
  signal: AbortSignal,
): Promise<void> {
  const { clock, log } = ports;
  let toldAtMs = clock.monotonicMs();
  let written: Node | undefined;
  while (!signal.aborted) {
    let ready = false;
    try {
      // What was written a moment ago is not always heard of yet: it would be told, and be an event, twice.
      const node = newer(shown(), written);
      if (node) {
        const status = await currentStatus(ports, options, node.status);
        if (!isTold(node.status, status) || clock.monotonicMs() - toldAtMs > REPORT_MS) {
          written = await patchStatus(ports, options.nodeName, status);
          toldAtMs = clock.monotonicMs();
          tell(ports, nodeEvents(options.nodeName, node.status, status));
        }
        ready = status.conditions?.some((it) => it.type === "Ready" && it.status === "True") ?? false;
      }
    } catch (error) {
      log.warn("the node's status could not be told; trying again", { error });
    }
    await sleep(clock, ready ? CHECK_MS : CHECK_UNREADY_MS, signal);
  }
}

async function currentStatus(
  ports: KubeletPorts,
  options: NodeOptions,
  before: NodeStatus | undefined,
): Promise<NodeStatus> {
  const down = (error: unknown): RuntimeStatus => {
    ports.log.warn("the container runtime does not answer", { error });
    return { conditions: [] };
  };
  const runtime = await ports.runtime.status().catch(down);
  const images = await ports.runtime.listImages().catch(() => undefined);
  const version = await ports.runtime.version().catch(() => undefined);
  const { nodeIp, nodeName, port, machine } = options;
  const runtimeVersion = version ? `${version.name}://${version.version}` : "";
  const own = withExtended(nodeStatus({ nodeIp, nodeName, port, machine, runtimeVersion }), before);
  const now = seconds(ports.clock.now());
  const told = nodeConditions(runtime.conditions, before?.conditions ?? [], now, options.pressures?.());
  return { ...own, ...nodeRuntime(runtime), ...(images ? { images: nodeImages(images) } : {}), conditions: told };
}

/** A node that is gone, or another one of its name, is what is shown. */
function newer(shown: Node | undefined, written: Node | undefined): Node | undefined {
  if (shown?.metadata.uid !== written?.metadata.uid) return shown;
  const revision = (node: Node | undefined): number => Number(node?.metadata.resourceVersion ?? 0);
  return revision(written) > revision(shown) ? written : shown;
}

async function patchStatus({ client }: KubeletPorts, nodeName: string, status: NodeStatus): Promise<Node> {
  const patch = { type: "application/strategic-merge-patch+json" as const, body: { status } };
  return await client.patch(resources.nodes, "", nodeName, patch, { subresource: "status" });
}

async function keepLease(ports: KubeletPorts, { nodeName }: NodeOptions, signal: AbortSignal): Promise<void> {
  const { client, clock, log } = ports;
  let lease: Lease | undefined;
  while (!signal.aborted) {
    const renewTime = `${new Date(clock.now()).toISOString().slice(0, 23)}000Z`;
    const spec = { holderIdentity: nodeName, leaseDurationSeconds: LEASE_SECONDS, renewTime };
    let waitMs = RENEW_MS;
    try {
      lease ??= await findLease(ports, nodeName);
      lease = lease
        ? await client.update(resources.leases, { ...lease, spec: { ...lease.spec, ...spec } })
        : await client.create(resources.leases, await newLease(ports, nodeName, spec));
    } catch (error) {
      log.warn("the node's lease could not be renewed; trying again", { error });
      lease = undefined;
      waitMs = RETRY_MS * 2;
    }
    await sleep(clock, waitMs, signal);
  }
}

async function findLease({ client }: KubeletPorts, nodeName: string): Promise<Lease | undefined> {
  try {
    return await client.get(resources.leases, LEASE_NAMESPACE, nodeName);
  } catch (error) {
    if (isStatus(error, "NotFound")) return undefined;
    throw error;
  }
}

/** The lease belongs to the node, and goes with it. */
async function newLease({ client }: KubeletPorts, nodeName: string, spec: LeaseSpec): Promise<Lease> {
  const node = await client.get(resources.nodes, "", nodeName);
  const owner = { apiVersion: "v1", kind: "Node", name: nodeName, uid: node.metadata.uid ?? "" };
  return {
    kind: "Lease",
    apiVersion: "coordination.k8s.io/v1",
    metadata: { name: nodeName, namespace: LEASE_NAMESPACE, ownerReferences: [owner] },
    spec,
  };
}

async function untilDone(
  { clock, log }: KubeletPorts,
  signal: AbortSignal,
  complaint: string,
  work: () => Promise<void>,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await work();
      return;
    } catch (error) {
      log.warn(complaint, { error });
      await sleep(clock, RETRY_MS, signal);
    }
  }
}
