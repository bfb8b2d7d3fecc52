import { apiAccessSettings, openApi } from "@pilothouse/process/api-access";
import { etcdSettings, openEtcd } from "@pilothouse/process/etcd";
import { runProcess } from "@pilothouse/process";
import { probeLeader } from "@pilothouse/process/probe-leader";
import { hostname } from "node:os";
import { defaultConfig, start } from "./service.ts";

await runProcess({
  name: "scheduler",
  description: "Binds pending pods to nodes, one scheduler of a cluster at a time.",
  settings: {
    ...apiAccessSettings,
    ...etcdSettings,
    "scheduler-name": {
      type: "string",
      help: "Pods that name this scheduler are scheduled.",
      default: defaultConfig.schedulerName,
    },
    "max-bindings": {
      type: "integer",
      help: "Bindings under way at once.",
      min: 1,
      max: 1024,
      default: defaultConfig.maxBindings,
    },
  },
  instance: () => hostname(),
  start: async (values, ports) => {
    const store = openEtcd(values, ports);
    ports.scope.defer(() => store.close());
    return start(
      { ...ports, store, probeLeader, openApi: (fence) => openApi("scheduler", values, ports, fence) },
      { schedulerName: values["scheduler-name"], maxBindings: values["max-bindings"] },
    );
  },
});
