import { FITS, unschedulable, type Plugin } from "../../core/framework.ts";
import { clashes, hostPortsOf, type HostPort } from "@pilothouse/kinds/core/host-ports";

export const PORTS_REASON = "node(s) didn't have free ports for the requested pod ports";

/** Host ports are taken once per node, protocol and address; 0.0.0.0 is every address. */
export const nodePorts: Plugin<readonly HostPort[]> = {
  name: "NodePorts",
  undoneBy: ["NodeAdded", "PodDeleted", "PodChanged"],
  prepare: hostPortsOf,
  filter(_pod, node, wanted) {
    const clash = wanted.some((port) => node.hostPorts.some((taken) => clashes(port, taken)));
    return clash ? unschedulable(PORTS_REASON) : FITS;
  },
};
