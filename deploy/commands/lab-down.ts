/** `npm run lab:down`: leaves nothing of the lab but its base root in `.cache`, in whatever state it is. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { cgroupHierarchies, removeFolders, unmountBelow } from "../cluster/host.ts";
import { runCommand, step } from "../cluster/steps.ts";
import { endHelpers } from "../lab/helpers.ts";
import { readLab, thisLab } from "../lab/lab.ts";
import { powerOff, removeMachine } from "../lab/machine.ts";
import { removeNetwork } from "../lab/network.ts";

const layout = thisLab();

await runCommand(async () => {
  const machines = readLab(layout)?.machines ?? [];
  await step("End what keeps faults going", "PH-150", () => endHelpers(layout));
  await step("Pull the plugs", "PH-150", async () => void (await Promise.all(machines.map(powerOff))));
  await step("Remove the machines", "PH-150", async () => {
    for (const machine of machines) await removeMachine(machine);
    await unmountBelow([layout.root]);
    for (const hierarchy of cgroupHierarchies()) removeFolders(join(hierarchy, layout.cgroup));
  });
  await step("Remove the network", "PH-150", () => removeNetwork(layout));
  rmSync(layout.root, { recursive: true, force: true });
});
