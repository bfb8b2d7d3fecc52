/** Which nodes run a pod of a DaemonSet, and how such a pod gets there: by affinity to its node, past the taints of trouble. Pure. */
import type { DaemonSet } from "@pilothouse/api/types/apps-v1";
import type { Affinity, Node, Pod, PodSpec, Taint, Toleration } from "@pilothouse/api/types/core-v1";
import { matchesRequiredAffinity } from "@pilothouse/kinds/core/node-selector";
import { tolerates } from "@pilothouse/kinds/core/tolerations";
import { TEMPLATE_GENERATION } from "@pilothouse/kinds/apps/daemon-set";
import { podFromTemplate } from "../../core/pod-from-template.ts";
import { POD_REVISION_LABEL } from "../../core/revisions.ts";

/** On pods: which change of the template they were made of; read by old clients only. */
const GENERATION_LABEL = "pod-template-generation";

export interface Verdict {
  /** A pod is made there. */
  readonly shouldRun: boolean;
  /** A pod that is there stays. */
  readonly mayStay: boolean;
}

interface Rule {
  readonly why: string;
  readonly applies: (pod: Pod, node: Node) => boolean;
  readonly verdict: Verdict;
}

/** The first row that applies decides. */
export const nodeRules: readonly Rule[] = [
  {
    why: "the template names another node",
    applies: ({ spec }, { metadata }) => Boolean(spec.nodeName) && spec.nodeName !== metadata.name,
    verdict: { shouldRun: false, mayStay: false },
  },
  {
    why: "its node selector or affinity does not want this node",
    applies: (pod, node) => !matchesRequiredAffinity(pod, node),
    verdict: { shouldRun: false, mayStay: false },
  },
  {
    why: "the node throws out what does not tolerate its taint",
    applies: (pod, node) => hasUntolerated(pod, node, "NoExecute"),
    verdict: { shouldRun: false, mayStay: false },
  },
  {
    why: "the node takes no new pods that do not tolerate its taint",
    applies: (pod, node) => hasUntolerated(pod, node, "NoSchedule"),
    verdict: { shouldRun: false, mayStay: true },
  },
  { why: "every other node runs one", applies: () => true, verdict: { shouldRun: true, mayStay: true } },
];

export function verdictOn(set: DaemonSet, node: Node): Verdict {
  const { metadata, spec } = podFromTemplate(set.spec.template, ownerOf(set));
  const pod = { metadata, spec: withTolerations(spec) };
  const rule = nodeRules.find(({ applies }) => applies(pod, node));
  return rule?.verdict ?? { shouldRun: false, mayStay: false };
}

/** Without its name. */
export function podFor(set: DaemonSet, nodeName: string, hash: string): Pod {
  const { metadata, spec } = podFromTemplate(set.spec.template, ownerOf(set));
  const generation = set.metadata.annotations?.[TEMPLATE_GENERATION];
  const labels = {
    ...metadata.labels,
    [POD_REVISION_LABEL]: hash,
    ...(generation === undefined ? {} : { [GENERATION_LABEL]: generation }),
  };
  return {
    metadata: { ...metadata, labels },
    spec: { ...withTolerations(spec), affinity: pinned(spec.affinity, nodeName) },
  };
}

export function ownerOf(set: DaemonSet) {
  return { ...set, apiVersion: "apps/v1", kind: "DaemonSet" };
}

/** The node that runs the pod, or that it was made for; undefined when it was made for none. */
export function targetNode({ spec }: Pod): string | undefined {
  if (spec.nodeName) return spec.nodeName;
  const required = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  const fields = required?.nodeSelectorTerms.flatMap(({ matchFields }) => matchFields ?? []) ?? [];
  return fields.find(({ key, operator }) => key === "metadata.name" && operator === "In")?.values?.[0];
}

/** Made of the newest template. */
export function isUpdated({ metadata }: DaemonSet, pod: Pod, hash: string): boolean {
  const generation = metadata.annotations?.[TEMPLATE_GENERATION];
  const { labels } = pod.metadata;
  if (labels?.[POD_REVISION_LABEL] === hash) return true;
  return generation !== undefined && labels?.[GENERATION_LABEL] === generation;
}

/** What is wrong with a node must not keep its daemons away: they may be there to put it right. */
const TROUBLE: readonly (readonly [key: string, effect: "NoExecute" | "NoSchedule"])[] = [
  ["node.kubernetes.io/not-ready", "NoExecute"],
  ["node.kubernetes.io/unreachable", "NoExecute"],
  ["node.kubernetes.io/disk-pressure", "NoSchedule"],
  ["node.kubernetes.io/memory-pressure", "NoSchedule"],
  ["node.kubernetes.io/pid-pressure", "NoSchedule"],
  ["node.kubernetes.io/unschedulable", "NoSchedule"],
];
const NO_NETWORK = ["node.kubernetes.io/network-unavailable", "NoSchedule"] as const;

function withTolerations(spec: PodSpec): PodSpec {
  const trouble = spec.hostNetwork === true ? [...TROUBLE, NO_NETWORK] : TROUBLE;
  const added: Toleration[] = trouble.map(([key, effect]) => ({ key, operator: "Exists", effect }));
  const own = (spec.tolerations ?? []).filter((one) => !added.some((other) => isSameToleration(one, other)));
  return { ...spec, tolerations: [...own, ...added] };
}

/** They differ at most in how long they hold: ours hold for ever. */
function isSameToleration(a: Toleration, b: Toleration): boolean {
  return a.key === b.key && a.operator === b.operator && a.effect === b.effect && (a.value ?? "") === (b.value ?? "");
}

function hasUntolerated({ spec }: Pod, node: Node, effect: Taint["effect"]): boolean {
  return (node.spec.taints ?? []).some((taint) => taint.effect === effect && !tolerates(spec.tolerations, taint));
}

/** The scheduler binds it to this node or to none; where the template wanted to be has been judged before. */
function pinned(affinity: Affinity | undefined, nodeName: string): Affinity {
  const term = { matchFields: [{ key: "metadata.name", operator: "In", values: [nodeName] }] };
  return {
    ...affinity,
    nodeAffinity: {
      ...affinity?.nodeAffinity,
      requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [term] },
    },
  };
}
