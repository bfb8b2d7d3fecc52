/** What the kubelet follows of the API: its pods, its node, and the Services that environments name. */
import type { Node, Pod, Service } from "@pilothouse/api/types/core-v1";
import { resources } from "@pilothouse/client";
import { allSynced, startInformer, type Informer, type InformerChange, type InformerPorts } from "@pilothouse/informer";
import type { PodListener, PodSource } from "./ports.ts";

/** The pods bound to this node, by the node's own chain. */
export function informedPods(ports: InformerPorts, node: string): PodSource {
  return {
    async start(listener) {
      const informer = startInformer(ports, { type: resources.pods, node, fieldSelector: `spec.nodeName=${node}` });
      informer.onChange((change) => tell(listener, change));
      await allSynced([informer], ports.scope.signal);
    },
  };
}

export function informedServices(ports: InformerPorts): Informer<Service> {
  return startInformer<Service>(ports, { type: resources.services });
}

/** Calls back with every state of the Node object; undefined when it was deleted. */
export function informedNode(
  ports: InformerPorts,
  node: string,
  hear: (node: Node | undefined) => void,
): Informer<Node> {
  const informer = startInformer<Node>(ports, { type: resources.nodes, fieldSelector: `metadata.name=${node}` });
  informer.onChange((change) => hear(change.type === "deleted" ? undefined : change.object));
  return informer;
}

function tell(listener: PodListener, change: InformerChange<Pod>): void {
  const { object, trace } = change;
  if (change.type === "deleted") {
    listener.removed(object, trace);
    return;
  }
  // A pod of the same name came after one whose end was not heard.
  if (change.type === "updated" && change.previous.metadata.uid !== object.metadata.uid)
    listener.removed(change.previous, trace);
  listener.changed(object, trace);
}
