/** Runs dns with real ports. */
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { sleep } from "@pilothouse/clock";
import { apiAccessSettings, openApi } from "@pilothouse/process/api-access";
import { runProcess } from "@pilothouse/process";
import { listen } from "./adapters/udp-tcp.ts";
import { nameServersOf, upstream } from "./adapters/upstream.ts";
import { start } from "./service.ts";

/** The address is put on the node by proxy, which may come up after us. */
const BIND_AGAIN_MS = 100;

await runProcess({
  name: "dns",
  description: "Answers the cluster's names on this node.",
  settings: {
    ...apiAccessSettings,
    "bind-address": { type: "string", help: "The cluster's DNS address.", required: true },
    port: { type: "port", help: "Port of the DNS server.", default: 53 },
    "cluster-domain": { type: "string", help: "Domain of the cluster's names.", default: "cluster.local" },
    "cluster-cidr": { type: "string", help: "Range of the pods' addresses.", required: true },
    "service-cluster-ip-range": { type: "string", help: "Range of the Services' addresses.", required: true },
    "resolv-conf": {
      type: "string",
      help: "Names the servers that know the rest of the world.",
      default: "/etc/resolv.conf",
    },
  },
  instance: () => hostname(),
  start: async (values, ports) => {
    const address = values["bind-address"];
    // Read for each question that is forwarded: the machine may get other name servers at any time.
    const servers = (): readonly string[] => nameServersOf(readFileSync(values["resolv-conf"], "utf8"), address);
    return start(
      {
        ...ports,
        client: openApi("dns", values, ports),
        upstream: upstream(servers, ports.clock),
        listen: async (respond, signal) => {
          for (;;) {
            const scope = ports.scope.child("listen");
            try {
              await listen(address, values.port, respond, scope);
              return;
            } catch (error) {
              await scope.close();
              ports.telemetry.log.debug("address not there yet", { error });
              await sleep(ports.clock, BIND_AGAIN_MS, signal);
            }
          }
        },
      },
      { domain: values["cluster-domain"], ranges: [values["cluster-cidr"], values["service-cluster-ip-range"]] },
    );
  },
});
