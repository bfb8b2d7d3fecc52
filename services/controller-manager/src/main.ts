import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { apiAccessSettings, openApi } from "@pilothouse/process/api-access";
import { etcdSettings, openEtcd } from "@pilothouse/process/etcd";
import { runProcess } from "@pilothouse/process";
import { probeLeader } from "@pilothouse/process/probe-leader";
import { start } from "./service.ts";

await runProcess({
  name: "controller-manager",
  description: "Runs the cluster's controllers, one controller-manager of a cluster at a time.",
  settings: {
    ...apiAccessSettings,
    ...etcdSettings,
    "cluster-cidr": {
      type: "string",
      help: "Addresses of pods; each node gets a /24 of them.",
      default: "198.18.0.0/16",
    },
    "root-ca-file": { type: "string", help: "Authority of the API, for the pods' ServiceAccounts.", required: true },
  },
  instance: () => hostname(),
  start: async (values, ports) => {
    const store = openEtcd(values, ports.clock);
    ports.scope.defer(() => store.close());
    return start(
      {
        ...ports,
        store,
        probeLeader,
        openApi: (fence) => openApi("controller-manager", values, ports, fence),
      },
      { clusterCidr: values["cluster-cidr"], rootCa: readFileSync(values["root-ca-file"], "utf8") },
    );
  },
});
