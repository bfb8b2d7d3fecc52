/** Runs proxy with real ports. */
import { nftPacketFilter } from "@pilothouse/packet-filter-nft";
import { runProcess } from "@pilothouse/process";
import { apiAccessSettings, openApi } from "@pilothouse/process/api-access";
import { nodeNetwork } from "./adapters/node-network.ts";
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
    "cluster-dns": { type: "string", help: "Address on which dns listens on this node; none when left out." },
  },
  instance: (values) => values["node-name"],
  start: async (values, ports) => {
    const client = openApi("proxy", values, ports);
    return start(
      { ...ports, client, filter: nftPacketFilter(), network: nodeNetwork() },
      {
        table: values["table-name"],
        nodeName: values["node-name"],
        podRange: values["cluster-cidr"],
        serviceRange: values["service-cluster-ip-range"],
        clusterDns: values["cluster-dns"],
        bridge: values["bridge-name"],
      },
    );
  },
});
