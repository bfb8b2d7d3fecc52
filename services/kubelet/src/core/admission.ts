/**
 * Whether this node takes a pod that was bound to it: the scheduler may have been wrong, late or passed over. Upstream's predicates,
 * in its order and words. Pure.
 */
import type { Node, Pod } from "@pilothouse/api/types/core-v1";
import { clashes, hostPortsOf } from "@pilothouse/kinds/core/host-ports";
import { matchesRequiredAffinity } from "@pilothouse/kinds/core/node-selector";
import { nodeAllocatable, podRequests } from "@pilothouse/kinds/core/pod-resources";
import { tolerates } from "@pilothouse/kinds/core/tolerations";
import { needsAppArmor } from "./app-armor.ts";
import { ANNOTATION_SOURCE } from "./static-pods.ts";
import { forbiddenSysctl } from "./sysctls.ts";

export interface Rejection {
  readonly reason: string;
  readonly message: string;
}

export interface AdmissionInput {
  readonly pod: Pod;
  readonly node: Node;
  /** All pods that were taken and are not over, without this one. */
  readonly others: readonly Pod[];
  /** Sysctls beside the safe ones; `net.core.*` allows all that begin so. */
  readonly allowedUnsafeSysctls: readonly string[];
  /** The machine enforces AppArmor's profiles. */
  readonly appArmor: boolean;
  /** Conditions of the node that keep new pods away, as it feels them now. */
  readonly pressures: readonly Pressure[];
}

export type Pressure = "MemoryPressure" | "DiskPressure" | "PIDPressure";

const SYSTEM_CRITICAL = 2_000_000_000;

/** Undefined: it is taken. */
export function judgeAdmission(input: AdmissionInput): Rejection | undefined {
  for (const rule of RULES) {
    const rejection = rule(input);
    if (rejection) return rejection;
  }
  return undefined;
}

type Rule = (input: AdmissionInput) => Rejection | undefined;

const RULES: readonly Rule[] = [
  pressureRule,
  sysctlRule,
  osRule,
  groupsPolicyRule,
  resourcesRule,
  affinityRule,
  portsRule,
  taintRule,
  appArmorRule,
];

export function isStatic({ metadata }: Pod): boolean {
  const source = metadata.annotations?.[ANNOTATION_SOURCE];
  return source !== undefined && source !== "api";
}

/** Without these the node does not work: nothing is ended for others' sake. */
export function isCritical(pod: Pod): boolean {
  return isStatic(pod) || (pod.spec.priority ?? 0) >= SYSTEM_CRITICAL;
}

/** Memory that runs short keeps away only pods that asked for none. */
function pressureRule({ pod, pressures }: AdmissionInput): Rejection | undefined {
  if (pressures.length === 0 || isCritical(pod)) return undefined;
  if (pressures.length === 1 && pressures[0] === "MemoryPressure") {
    if (pod.status?.qosClass !== "BestEffort") return undefined;
    const taint = { key: "node.kubernetes.io/memory-pressure", effect: "NoSchedule" };
    if (tolerates(pod.spec.tolerations, taint)) return undefined;
  }
  return { reason: "Evicted", message: `The node had condition: [${pressures.join(" ")}]. ` };
}

function sysctlRule({ pod, allowedUnsafeSysctls }: AdmissionInput): Rejection | undefined {
  const message = forbiddenSysctl(pod, allowedUnsafeSysctls);
  return message === undefined ? undefined : { reason: "SysctlForbidden", message };
}

function osRule({ pod }: AdmissionInput): Rejection | undefined {
  const label = pod.metadata.labels?.["kubernetes.io/os"];
  if (label !== undefined && label !== "linux") {
    return {
      reason: "PodOSSelectorNodeLabelDoesNotMatch",
      message: "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label",
    };
  }
  if (pod.spec.os === undefined || pod.spec.os.name === "linux") return undefined;
  return { reason: "PodOSNotSupported", message: "Failed to admit pod as the OS field doesn't match node OS" };
}

function groupsPolicyRule({ pod, node }: AdmissionInput): Rejection | undefined {
  const policy = pod.spec.securityContext?.supplementalGroupsPolicy;
  if (policy !== "Strict" || node.status?.features?.supplementalGroupsPolicy) return undefined;
  return {
    reason: "SupplementalGroupsPolicyNotSupported",
    message: "SupplementalGroupsPolicy=Strict is not supported in this node",
  };
}

/** Resources that the node does not know are the cluster's, and not ours to judge. */
function resourcesRule({ pod, node, others }: AdmissionInput): Rejection | undefined {
  const offered = nodeAllocatable(node);
  const requests = new Map([["pods", 1], ...podRequests(pod)]);
  const theirs = others.map((other) => new Map([["pods", 1], ...podRequests(other)]));
  for (const [name, requested] of requests) {
    const isKnown = offered.has(name) || name === "cpu" || name === "memory";
    if (requested === 0 || !isKnown) continue;
    const capacity = offered.get(name) ?? 0;
    const used = theirs.reduce((sum, other) => sum + (other.get(name) ?? 0), 0);
    if (requested <= capacity - used) continue;
    const amounts = `requested: ${requested}, used: ${used}, capacity: ${capacity}`;
    return { reason: `OutOf${name}`, message: `Node didn't have enough resource: ${name}, ${amounts}` };
  }
  return undefined;
}

function affinityRule({ pod, node }: AdmissionInput): Rejection | undefined {
  if (matchesRequiredAffinity(pod, node)) return undefined;
  return predicateFailed("NodeAffinity", "node(s) didn't match Pod's node affinity/selector");
}

function portsRule({ pod, others }: AdmissionInput): Rejection | undefined {
  const taken = others.flatMap(hostPortsOf);
  if (!hostPortsOf(pod).some((port) => taken.some((other) => clashes(port, other)))) return undefined;
  return predicateFailed("NodePorts", "node(s) didn't have free ports for the requested pod ports");
}

function taintRule({ pod, node }: AdmissionInput): Rejection | undefined {
  if (isStatic(pod)) return undefined;
  const taints = (node.spec?.taints ?? []).filter(({ effect }) => effect === "NoExecute");
  if (taints.every((taint) => tolerates(pod.spec.tolerations, taint))) return undefined;
  return predicateFailed("TaintToleration", "node(s) had taints that the pod didn't tolerate");
}

function appArmorRule({ pod, appArmor }: AdmissionInput): Rejection | undefined {
  if (appArmor || !needsAppArmor(pod)) return undefined;
  return { reason: "AppArmor", message: "Cannot enforce AppArmor: AppArmor is not enabled on the host" };
}

function predicateFailed(name: string, why: string): Rejection {
  return { reason: name, message: `Predicate ${name} failed: ${why}` };
}
