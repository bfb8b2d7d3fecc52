/**
 * The node IPAM controller: each node gets a block of the cluster's pod addresses for its life.
 *
 * Promises: no block is held by two nodes. One worker decides; it counts what the API shows (the feeds have reached this
 * leader's election, and a deposed leader's writes are refused) and what it has promised itself. A promise is kept until
 * the node shows its block or is gone; each write names the state it was decided upon, so of two only one can succeed.
 * Does not promise: IPv6, or moving a node's block.
 */
import type { Node } from "@pilothouse/api/types/core-v1";
import { done, followChanges, OwnWrites, type Outcome } from "@pilothouse/controller";
import type { ReconcileContext } from "@pilothouse/controller";
import type { InformerChange } from "@pilothouse/informer";
import { WorkQueue } from "@pilothouse/workqueue";
import { startWorkers } from "../../start-workers.ts";
import type { ControllerPorts } from "../../controller-ports.ts";
import { plan, podCidrs } from "./plan.ts";
import { blockSpace, type BlockSpace } from "./rules.ts";

/** Each node gets 256 addresses. */
const NODE_BITS = 24;

export function startNodeIpamController(ports: ControllerPorts): void {
  const { clock, telemetry, scope, informers } = ports;
  const queue = new WorkQueue({ name: "node-ipam", clock, tracer: telemetry.tracer });
  const controller = new NodeIpamController(ports);
  followChanges(scope, informers.nodes, (change) => {
    const { object, trace } = change;
    const gone = goneNode(change);
    if (gone) {
      controller.release(gone);
      // What is free again may be what another node waits for.
      for (const node of informers.nodes.list())
        if (podCidrs(node).length === 0) queue.add(node.metadata.name ?? "", trace);
    }
    if (change.type !== "deleted") queue.add(object.metadata.name ?? "", trace);
  });
  startWorkers(ports, { name: "node-ipam", queue, workers: 1, controller });
}

/** Also one whose name another node has already. */
function goneNode(change: InformerChange<Node>): Node | undefined {
  if (change.type === "deleted") return change.object;
  const isAnother = change.type === "updated" && change.previous.metadata.uid !== change.object.metadata.uid;
  return isAnother ? change.previous : undefined;
}

class NodeIpamController {
  readonly #ports: ControllerPorts;
  readonly #space: BlockSpace;
  readonly #events;
  readonly ownWrites = new OwnWrites();
  readonly #promised = new Map<string, number>();
  #last = -1;

  constructor(ports: ControllerPorts) {
    this.#ports = ports;
    this.#space = blockSpace(ports.config.clusterCidr, NODE_BITS);
    this.#events = ports.events("cidrAllocator");
  }

  release({ metadata }: Node): void {
    this.#promised.delete(metadata.uid ?? "");
  }

  async reconcile(key: string, { trace, signal }: ReconcileContext): Promise<Outcome> {
    const { informers, executor } = this.#ports;
    const node = informers.nodes.get("", key);
    if (!node) {
      this.ownWrites.forget(key);
      return done;
    }
    const { uid = "", resourceVersion = "" } = node.metadata;
    if (podCidrs(node).length > 0) this.#promised.delete(uid);
    const action = plan(node, {
      space: this.#space,
      nodes: informers.nodes.list(),
      promised: this.#promised,
      last: this.#last,
    });
    switch (action.do) {
      case "nothing":
        return done;
      case "tell exhausted":
        this.#tell(node, "CIDRNotAvailable", trace);
        return done;
      case "assign": {
        this.#promised.set(uid, action.block);
        this.#last = action.block;
        const spec = { podCIDR: action.podCidr, podCIDRs: [action.podCidr] };
        const body = { metadata: { uid, resourceVersion }, spec };
        await executor.patch(informers.nodes, node, body, { key, trace, signal, ownWrites: this.ownWrites });
        return done;
      }
    }
  }

  #tell(object: Node, status: string, trace: ReconcileContext["trace"]): void {
    const message = `Node ${object.metadata.name ?? ""} status is now: ${status}`;
    this.#events.record({ apiVersion: "v1", kind: "Node", object }, "Normal", status, message, trace);
  }
}
