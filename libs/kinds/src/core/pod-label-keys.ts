/** Selectors that speak of the pod's own labels: `matchLabelKeys` names keys, and the pod that is made brings the values. */
import type { Pod, PodAffinityTerm } from "@pilothouse/api/types/core-v1";
import { labelOf } from "@pilothouse/selectors";

type KeysOfLabels = Pick<PodAffinityTerm, "matchLabelKeys" | "mismatchLabelKeys" | "labelSelector">;

/** At a pod's creation: `key in (its value)` goes into each selector that names the key. In place. */
export function selectByOwnLabels({ metadata, spec }: Pod): void {
  const { podAffinity, podAntiAffinity } = spec.affinity ?? {};
  for (const terms of [podAffinity, podAntiAffinity]) {
    const preferred = terms?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
    for (const { podAffinityTerm } of preferred) addKeys(podAffinityTerm ?? {}, metadata.labels ?? {});
    const required = terms?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
    for (const term of required) addKeys(term, metadata.labels ?? {});
  }
  for (const constraint of spec.topologySpreadConstraints ?? []) addKeys(constraint, metadata.labels ?? {});
}

/** No selector matches nothing, whatever is added. */
function addKeys(
  { matchLabelKeys = [], mismatchLabelKeys = [], labelSelector }: KeysOfLabels,
  labels: Readonly<Record<string, string>>,
): void {
  if (!labelSelector) return;
  const added = [
    ...matchLabelKeys.map((key) => ({ key, operator: "In" })),
    ...mismatchLabelKeys.map((key) => ({ key, operator: "NotIn" })),
  ].flatMap(({ key, operator }) => {
    const value = labelOf(labels, key);
    return value === undefined ? [] : [{ key, operator, values: [value] }];
  });
  if (added.length > 0) labelSelector.matchExpressions = [...(labelSelector.matchExpressions ?? []), ...added];
}
