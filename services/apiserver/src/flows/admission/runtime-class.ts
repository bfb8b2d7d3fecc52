/** A pod costs what its RuntimeClass says, and runs only where that runs. */
import type { RuntimeClass } from "@pilothouse/api/types/node-v1";
import type { Pod } from "@pilothouse/api/types/core-v1";
import { forbidden } from "@pilothouse/errors";
import { amountsOf, sameAmounts } from "@pilothouse/kinds/core/amounts";
import { mergedTolerations } from "@pilothouse/kinds/core/pod-tolerations";
import { known } from "../../registry/known.ts";
import type { AdmissionDeps, AdmissionPlugin, AdmissionRequest } from "./admission.ts";

const POD = { group: "", resource: "pods" } as const;
const OTHER_OVERHEAD = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";

export const runtimeClass: AdmissionPlugin = {
  name: "RuntimeClass",
  operations: ["CREATE"],
  resources: ["pods"],
  async admit(deps, request) {
    const pod = request.object as unknown as Pod;
    const found = await classOf(deps, request, pod);
    if (!found) return;
    setOverhead(pod, found);
    setScheduling(pod, found);
  },
  async validate(deps, request) {
    const pod = request.object as unknown as Pod;
    const wanted = (await classOf(deps, request, pod))?.overhead;
    if (wanted) {
      if (!hasOverhead(pod, wanted.podFixed)) throw refused(pod, OTHER_OVERHEAD);
    } else if (pod.spec.overhead !== undefined) {
      throw refused(pod, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead");
    }
  },
};

async function classOf({ cached }: AdmissionDeps, { context }: AdmissionRequest, pod: Pod) {
  const { runtimeClassName } = pod.spec;
  if (runtimeClassName === undefined) return undefined;
  return cached.judge((): RuntimeClass => {
    const found = cached.get(known.runtimeClasses, "", runtimeClassName);
    if (found) return found;
    throw refused(pod, `pod rejected: RuntimeClass ${JSON.stringify(runtimeClassName)} not found`);
  }, context.request.signal);
}

function setOverhead(pod: Pod, { overhead }: RuntimeClass): void {
  if (!overhead) return;
  if (pod.spec.overhead !== undefined && !hasOverhead(pod, overhead.podFixed)) throw refused(pod, OTHER_OVERHEAD);
  if (overhead.podFixed) pod.spec.overhead = { ...overhead.podFixed };
}

function hasOverhead({ spec }: Pod, wanted: Record<string, string> | undefined): boolean {
  const asked = amountsOf(spec.overhead);
  // Nothing is validated yet: what is no amount is not the same as none.
  return asked.size === Object.keys(spec.overhead ?? {}).length && sameAmounts(asked, amountsOf(wanted));
}

function setScheduling(pod: Pod, { scheduling }: RuntimeClass): void {
  if (!scheduling) return;
  const { nodeSelector = {}, tolerations = [] } = scheduling;
  for (const [key, value] of Object.entries(nodeSelector)) {
    const asked = pod.spec.nodeSelector?.[key];
    if (asked === undefined || asked === value) continue;
    const ours = `runtimeClass.scheduling.nodeSelector[${key}] = ${value}`;
    throw refused(pod, `conflict: ${ours}; pod.spec.nodeSelector[${key}] = ${asked}`);
  }
  if (Object.keys(nodeSelector).length > 0) pod.spec.nodeSelector = { ...pod.spec.nodeSelector, ...nodeSelector };
  if (tolerations.length > 0) pod.spec.tolerations = mergedTolerations(pod.spec.tolerations ?? [], tolerations);
}

function refused({ metadata }: Pod, why: string) {
  return forbidden(POD, metadata.name ?? "", why);
}
