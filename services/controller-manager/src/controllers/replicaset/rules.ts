/** Which pods of a ReplicaSet go first when there are too many: upstream's ActivePodsWithRanks, row by row. Pure. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import { isPodReady, podReadySinceMs } from "../../core/pods.ts";

export interface RankedPod {
  readonly pod: Pod;
  /** How many active pods of the same Deployment share the pod's node. */
  readonly neighbours: number;
}

interface Rule {
  readonly name: string;
  readonly why: string;
  /** The pod with the smaller value goes first. */
  readonly rank: (ranked: RankedPod, nowMs: number) => number;
}

const PHASE_RANK: Readonly<Record<string, number>> = { Pending: 0, Unknown: 1, Running: 2 };

/** The first row in which two pods differ decides. */
export const deletionRules: readonly Rule[] = [
  { name: "unassigned", why: "nothing runs yet", rank: ({ pod }) => (pod.spec?.nodeName ? 1 : 0) },
  { name: "phase", why: "pending before running", rank: ({ pod }) => PHASE_RANK[pod.status?.phase ?? "Pending"] ?? 0 },
  { name: "not ready", why: "serves nobody", rank: ({ pod }) => (isPodReady(pod) ? 1 : 0) },
  { name: "deletion cost", why: "the user says so", rank: ({ pod }) => deletionCost(pod) },
  { name: "crowded node", why: "leaves the pods spread", rank: ({ neighbours }) => -neighbours },
  {
    name: "ready for a short time",
    why: "the others have proved themselves; in powers of two, so that equals are picked at random",
    rank: ({ pod }, nowMs) => logAge(podReadySinceMs(pod) ?? nowMs, nowMs),
  },
  { name: "restarts", why: "unstable", rank: ({ pod }) => -restarts(pod) },
  { name: "young", why: "the others have proved themselves", rank: ({ pod }, nowMs) => logAge(createdMs(pod), nowMs) },
];

/** Those that go first, first. Ties are broken by uid, which is as good as chance and the same every time. */
export function inDeletionOrder(pods: readonly RankedPod[], nowMs: number, rules = deletionRules): Pod[] {
  const sorted = [...pods].sort((a, b) => {
    for (const { rank } of rules) {
      const difference = rank(a, nowMs) - rank(b, nowMs);
      if (difference !== 0) return difference;
    }
    return (a.pod.metadata.uid ?? "") < (b.pod.metadata.uid ?? "") ? -1 : 1;
  });
  return sorted.map(({ pod }) => pod);
}

function deletionCost({ metadata }: Pod): number {
  const cost = Number(metadata.annotations?.["controller.kubernetes.io/pod-deletion-cost"] ?? 0);
  return Number.isInteger(cost) ? cost : 0;
}

function restarts({ status }: Pod): number {
  return Math.max(0, ...(status?.containerStatuses ?? []).map(({ restartCount }) => restartCount));
}

function createdMs({ metadata }: Pod): number {
  return Date.parse(metadata.creationTimestamp ?? "") || 0;
}

function logAge(sinceMs: number, nowMs: number): number {
  const ageSeconds = Math.floor((nowMs - sinceMs) / 1_000);
  return ageSeconds <= 0 ? -1 : Math.floor(Math.log2(ageSeconds));
}
