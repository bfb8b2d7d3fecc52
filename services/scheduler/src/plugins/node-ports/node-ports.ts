import type { Pod } from "@pilothouse/api/types/core-v1";
import { FITS, unschedulable, type Plugin } from "../../core/framework.ts";
import { clashes, hostPortsOf, type HostPort } from "@pilothouse/kinds/core/host-ports";
import { podKey } from "../../core/snapshot.ts";

export const PORTS_REASON = "node(s) didn't have free ports for the requested pod ports";

/** Host ports are taken once per node, protocol and address; 0.0.0.0 is every address. */
export const nodePorts: Plugin<readonly HostPort[]> = {
  name: "NodePorts",
  undoneBy: {
    "node added": () => true,
    "pod left": (pod, event) => wantsPortOf(pod, event.pod),
  },
  prepare: hostPortsOf,
  filter(_pod, node, wanted) {
    const clash = wanted.some((port) => node.hostPorts.some((taken) => clashes(port, taken)));
    return clash ? unschedulable(PORTS_REASON) : FITS;
  },
  explain: (_pod, node, wanted) =>
    wanted.flatMap((port) =>
      node.pods
        .filter((other) => hostPortsOf(other).some((taken) => clashes(port, taken)))
        .map((other) => ({
          detail: `host port ${port.protocol} ${port.port} is taken by pod ${podKey(other)}`,
          remedy: { do: "change the pod", field: "containers.ports.hostPort" } as const,
        })),
    ),
};

function wantsPortOf(pod: Pod, other: Pod): boolean {
  const taken = hostPortsOf(other);
  return hostPortsOf(pod).some((port) => taken.some((one) => clashes(port, one)));
}
