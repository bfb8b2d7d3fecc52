/** A process that takes part in the election `test` and does nothing else; health port and beats as every service of ours. */
import { electedLife } from "@pilothouse/controller/elected";
import { runProcess } from "@pilothouse/process";
import { etcdSettings, openEtcd } from "@pilothouse/process/etcd";
import { probeLeader } from "@pilothouse/process/probe-leader";

await runProcess({
  name: "candidate",
  description: "Takes part in an election.",
  settings: { ...etcdSettings, name: { type: "string", required: true, help: "Unique name." } },
  instance: ({ name }) => name,
  start: async (values, ports) => {
    const store = openEtcd(values, ports);
    ports.scope.defer(() => store.close());
    const life = electedLife({ ...ports, store, probeLeader }, "test");
    life.run(
      [],
      (_scope, signal) => new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true })),
    );
    return { problems: () => [] };
  },
});
