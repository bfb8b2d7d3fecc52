/** `pod`: from the creation of a pod to Running as a watcher sees it, and 50 pods at once, on a whole cluster. */
import { join } from "node:path";
import { percentile, type Section } from "./figures.ts";
import { onThreeClusters } from "./cluster.ts";
import type { PodTimes } from "./pod-client.ts";

const RAW = "raw container: sandbox + create + start";

export function pod(): Promise<readonly Section[]> {
  return onThreeClusters(async ({ cluster }) => {
    const script = join(import.meta.dirname, "pod-client.ts");
    const args = ["--disable-warning=ExperimentalWarning", script, cluster.layout.adminConf];
    const times = JSON.parse(await cluster.onNode(process.execPath, args)) as PodTimes;
    const section: Section = {
      title: "Pods, image on the node",
      figures: [
        {
          name: "create → Running: p50",
          value: percentile(times.runningMs, 50),
          unit: "ms",
          aim: { atMost: 350 },
          floor: RAW,
        },
        { name: "create → Running: p99", value: percentile(times.runningMs, 99), unit: "ms" },
        { name: "create → scheduled: p50", value: percentile(times.scheduledMs, 50), unit: "ms" },
        { name: "50 pods, all Ready", value: times.allReadyMs / 1_000, unit: "s", aim: { atMost: 10 } },
      ],
      notes: [`${times.runningMs.length} pods, one after the other, then 50 at once; three times.`],
    };
    return [section];
  });
}
