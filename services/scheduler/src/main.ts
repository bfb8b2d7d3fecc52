import { apiAccessSettings, openApi } from "@pilothouse/process/api-access";
import { etcdSettings, openEtcd } from "@pilothouse/process/etcd";
import { runProcess } from "@pilothouse/process";
import { leaderSettings, openLeaderDoor } from "@pilothouse/process/leader-door";
import { hostname } from "node:os";
import { defaultConfig, start } from "./service.ts";

await runProcess({
  name: "scheduler",
  description: "Binds pending pods to nodes, one scheduler of a cluster at a time.",
  settings: {
    ...apiAccessSettings,
    ...etcdSettings,
    ...leaderSettings,
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
    const door = await openLeaderDoor(values, ports);
    return start(
      { ...ports, ...door, store, openApi: (fence) => openApi("scheduler", values, ports, fence) },
      { schedulerName: values["scheduler-name"], maxBindings: values["max-bindings"] },
    );
  },
});
