/** Grants resizes of pods, and says how far they are. What is decided is in core/resize.ts. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import { nodeAllocatable } from "@pilothouse/kinds/core/pod-resources";
import { isStatic } from "../core/admission.ts";
import { resizeStepOf, type PodSituation } from "../core/pod-machine.ts";
import { allContainers, instancesOf } from "../core/pod-runtime.ts";
import {
  judgeResize,
  knownAllocation,
  resizeMessage,
  sameAllocation,
  wantedAllocation,
  type ResizeState,
  type ResizeVerdict,
} from "../core/resize.ts";
import type { KubeletPorts } from "./kubelet-ports.ts";
import { grantedPod, type PodRecord } from "./pod-record.ts";

/** How long a change of limits that failed rests. */
export const RESIZE_RETRY_MS = 10_000;

/** Brings the record's allocation to what the pod asks for, if the node has it. `others` are the pods that hold room. */
export function grantResize(ports: KubeletPorts, record: PodRecord, others: readonly PodRecord[]): void {
  const { pod } = record;
  record.allocation ??= knownAllocation(pod);
  const wanted = wantedAllocation(pod);
  if (sameAllocation(wanted, record.allocation)) {
    record.resizePending = undefined;
    return;
  }
  const verdict = verdictOf(ports, pod, others);
  if (verdict === undefined) return;
  if (verdict.is === "granted") {
    record.allocation = wanted;
    record.resizePending = undefined;
    record.resizeHolds.clear();
    ports.events.pod(pod, "Normal", "ResizeStarted", resizeMessage("Pod resize started", pod));
    return;
  }
  if (record.resizePending?.is !== verdict.is || record.resizePending.message !== verdict.message) {
    const message = resizeMessage(`Pod resize ${verdict.is}`, pod, verdict.message);
    ports.events.pod(pod, "Warning", `Resize${verdict.is}`, message);
  }
  record.resizePending = verdict;
}

/** Undefined while the node is not known. */
function verdictOf(ports: KubeletPorts, pod: Pod, others: readonly PodRecord[]): ResizeVerdict | undefined {
  if (isStatic(pod)) return { is: "Infeasible", message: "In-place resize of static-pods is not supported" };
  const node = ports.node();
  return node && judgeResize(pod, { allocatable: nodeAllocatable(node) }, others.map(grantedPod));
}

/** `situation.pod` has what was granted. */
export function resizeStateOf(record: PodRecord, situation: PodSituation): ResizeState {
  const behind = allContainers(situation.pod).flatMap((container) => {
    const [last] = instancesOf(situation.runtime, container.name);
    return last?.state === "running" && resizeStepOf(situation, container, last) !== "none" ? [last.id] : [];
  });
  const [error] = behind.flatMap((id) => record.resizeHolds.get(id)?.message ?? []);
  return { pending: record.resizePending, inProgress: behind.length > 0 ? { error } : undefined };
}
