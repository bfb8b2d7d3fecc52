/** Which objects a scoped quota is about. Pure. */
import type {
  PersistentVolumeClaim,
  Pod,
  PodAffinityTerm,
  ResourceQuotaSpec,
  ScopedResourceSelectorRequirement,
} from "@pilothouse/api/types/core-v1";
import { qosClassOf } from "../core/resource-rules.ts";

export type ScopeRequirement = ScopedResourceSelectorRequirement;

export const SCOPES: readonly string[] = [
  "Terminating",
  "NotTerminating",
  "BestEffort",
  "NotBestEffort",
  "PriorityClass",
  "CrossNamespacePodAffinity",
  "VolumeAttributesClass",
];

/** Both ways of saying scopes as one list; an object must meet each. */
export function scopesOf({ scopes, scopeSelector }: ResourceQuotaSpec): readonly ScopeRequirement[] {
  const plain = (scopes ?? []).map((scopeName) => ({ scopeName, operator: "Exists" }));
  return [...plain, ...(scopeSelector?.matchExpressions ?? [])];
}

/** A pod that ends by itself: it says for how long it may run. */
export function isTerminating({ spec }: Pod): boolean {
  return spec.activeDeadlineSeconds !== undefined && spec.activeDeadlineSeconds >= 0;
}

export function podMeets(requirement: ScopeRequirement, pod: Pod): boolean {
  switch (requirement.scopeName) {
    case "Terminating":
      return isTerminating(pod);
    case "NotTerminating":
      return !isTerminating(pod);
    case "BestEffort":
      return qosClassOf(pod) === "BestEffort";
    case "NotBestEffort":
      return qosClassOf(pod) !== "BestEffort";
    case "PriorityClass":
      return isAmong(requirement, pod.spec.priorityClassName ? [pod.spec.priorityClassName] : []);
    case "CrossNamespacePodAffinity":
      return looksIntoOtherNamespaces(pod);
    default:
      return false;
  }
}

/** The class that a claim asks for, the one that it has, and the one that it is changing to. */
export function claimMeets(requirement: ScopeRequirement, { spec, status }: PersistentVolumeClaim): boolean {
  if (requirement.scopeName !== "VolumeAttributesClass") return false;
  const classes = [
    spec?.volumeAttributesClassName,
    status?.currentVolumeAttributesClassName,
    status?.modifyVolumeStatus?.targetVolumeAttributesClassName,
  ];
  return isAmong(
    requirement,
    classes.filter((name) => name !== undefined && name !== ""),
  );
}

function isAmong({ operator, values = [] }: ScopeRequirement, names: readonly (string | undefined)[]): boolean {
  const isOneOf = names.some((name) => name !== undefined && values.includes(name));
  switch (operator) {
    case "In":
      return isOneOf;
    case "NotIn":
      return !isOneOf;
    case "Exists":
      return names.length > 0;
    default:
      return operator === "DoesNotExist" && names.length === 0;
  }
}

function looksIntoOtherNamespaces({ spec }: Pod): boolean {
  const isAcross = ({ namespaces = [], namespaceSelector }: PodAffinityTerm): boolean =>
    namespaces.length > 0 || namespaceSelector !== undefined;
  return [spec.affinity?.podAffinity, spec.affinity?.podAntiAffinity].some((affinity) =>
    [
      ...(affinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []),
      ...(affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map((term) => term.podAffinityTerm),
    ].some(isAcross),
  );
}
