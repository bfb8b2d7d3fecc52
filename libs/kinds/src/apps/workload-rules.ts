/** What Deployments and ReplicaSets share: pods from a template, found again by a selector. */
import type { PodTemplateSpec } from "@pilothouse/api/types/core-v1";
import type { LabelSelector } from "@pilothouse/api/types/meta-v1";
import { labelSelectorOf, matchesLabels } from "@pilothouse/selectors";
import { podTemplateRules } from "../core/pod-template.ts";
import { forbidden, invalid, notNegative, notSupported, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { labelSelectorRules } from "../meta.ts";

export function* selectorRules(selector: LabelSelector | undefined): FieldErrors {
  if (!selector) {
    yield required("spec.selector");
    return;
  }
  yield* labelSelectorRules(selector, "spec.selector");
  const isEmpty =
    Object.keys(selector.matchLabels ?? {}).length === 0 && (selector.matchExpressions ?? []).length === 0;
  // Upstream says "deployment" for ReplicaSets as well.
  if (isEmpty) yield invalid("spec.selector", selector, "empty selector is invalid for deployment");
}

export function* templateRules(
  template: PodTemplateSpec | undefined,
  selector: LabelSelector | undefined,
): FieldErrors {
  const path = "spec.template";
  if (!template) {
    yield required(path);
    return;
  }
  const labels = template.metadata?.labels ?? {};
  if (!findsItsOwn(selector, labels)) {
    yield invalid(`${path}.metadata.labels`, labels, "`selector` does not match template `labels`");
  }
  yield* podTemplateRules(template, path);
  const { restartPolicy, activeDeadlineSeconds } = template.spec ?? { containers: [] };
  if (restartPolicy && restartPolicy !== "Always") {
    yield notSupported(`${path}.spec.restartPolicy`, restartPolicy, ["Always"]);
  }
  if (activeDeadlineSeconds !== undefined) {
    yield forbidden(`${path}.spec.activeDeadlineSeconds`, "activeDeadlineSeconds in ReplicaSet is not Supported");
  }
}

/** No selector finds nothing; a wrong one is told of elsewhere. */
function findsItsOwn(selector: LabelSelector | undefined, labels: Record<string, string>): boolean {
  if (!selector) return false;
  const [wrong] = labelSelectorRules(selector, "");
  return wrong !== undefined || matchesLabels(labelSelectorOf(selector), labels);
}

interface Counts {
  replicas?: number;
  readyReplicas?: number;
  availableReplicas?: number;
  [count: string]: unknown;
}

/** Counts of a status: none is negative, none counts more pods than there are. */
export function* countRules(status: object, counts: readonly string[]): FieldErrors {
  const values: Counts = { ...status };
  const replicas = values.replicas ?? 0;
  for (const name of ["replicas", ...counts, "observedGeneration"]) {
    const value = values[name];
    if (typeof value !== "number") continue;
    yield* notNegative(`status.${name}`, value);
    if (counts.includes(name) && value > replicas) {
      yield invalid(`status.${name}`, value, "cannot be greater than status.replicas");
    }
  }
  const { availableReplicas = 0, readyReplicas = 0 } = values;
  if (availableReplicas > readyReplicas) {
    yield invalid("status.availableReplicas", availableReplicas, "cannot be greater than readyReplicas");
  }
}
