/** Runs proxy with real ports. */
import { nftPacketFilter } from "@pilothouse/packet-filter-nft";
import { runProcess } from "@pilothouse/process";
import { apiAccessSettings, openApi } from "@pilothouse/process/api-access";
import { healthDoor } from "./adapters/health-door.ts";
import { nodeNetwork } from "./adapters/node-network.ts";
import { routeTable } from "./adapters/route-table.ts";
import type { PodNetworkMode } from "./core/pod-routes.ts";
import { start } from "./service.ts";

await runProcess({
  name: "proxy",
  description: "Makes Services work on this node, by nftables.",
  settings: {
    ...apiAccessSettings,
    "node-name": { type: "string", help: "Name of this node's Node object.", required: true },
    "table-name": {
      type: "string",
      help: "Name of the nftables table (family ip) that is ours.",
      default: "pilothouse",
    },
    "cluster-cidr": { type: "string", help: "Range of the pods' addresses.", required: true },
    "service-cluster-ip-range": { type: "string", help: "Range of the Services' addresses.", required: true },
    "bridge-name": { type: "string", help: "Bridge that this node's pods are connected to.", required: true },
    "pod-network": {
      type: "string",
      help: "How other nodes' pods are reached: auto takes a VXLAN tunnel only to nodes that are on none of this node's links.",
      default: "auto",
      oneOf: ["auto", "direct", "tunnel"],
    },
    "nodeport-addresses": {
      type: "list",
      help: "Ranges of the node's addresses on which node ports are; all but loopback when left out.",
    },
    "tunnel-name": { type: "string", help: "This node's end of the VXLAN tunnel.", default: "pilothouse-vx" },
    "cluster-dns": { type: "string", help: "Address on which dns listens on this node; none when left out." },
  },
  instance: (values) => values["node-name"],
  start: async (values, ports) => {
    const client = openApi("proxy", values, ports);
    return start(
      {
        ...ports,
        client,
        filter: nftPacketFilter(),
        network: nodeNetwork(),
        healthDoor: healthDoor(values["nodeport-addresses"]),
        routes: routeTable({ tunnel: values["tunnel-name"] }),
      },
      {
        table: values["table-name"],
        nodeName: values["node-name"],
        mode: values["pod-network"] as PodNetworkMode,
        podRange: values["cluster-cidr"],
        serviceRange: values["service-cluster-ip-range"],
        clusterDns: values["cluster-dns"],
        bridge: values["bridge-name"],
        nodePortAddresses: values["nodeport-addresses"],
      },
    );
  },
});
