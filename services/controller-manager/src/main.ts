import { hostname } from "node:os";
import { apiAccessSettings, openApi } from "@pilothouse/process/api-access";
import { etcdSettings, openEtcd } from "@pilothouse/process/etcd";
import { runProcess } from "@pilothouse/process";
import { watchTls } from "@pilothouse/process/tls-files";
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
    const store = openEtcd(values, ports);
    ports.scope.defer(() => store.close());
    const rootCa = watchTls("root-ca", { ca: values["root-ca-file"], certificate: undefined, key: undefined }, ports);
    const service = start(
      {
        ...ports,
        store,
        probeLeader,
        openApi: (fence) => openApi("controller-manager", values, ports, fence),
      },
      { clusterCidr: values["cluster-cidr"], rootCa: () => rootCa.current().ca ?? "" },
    );
    rootCa.follow(() => service.rootCaChanged());
    return service;
  },
});
