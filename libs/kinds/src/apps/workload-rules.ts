/** What workloads share: pods from a template, found again by a selector. */
import type { PodTemplateSpec } from "@pilothouse/api/types/core-v1";
import type { LabelSelector } from "@pilothouse/api/types/meta-v1";
import { labelSelectorOf, matchesLabels } from "@pilothouse/selectors";
import { checkPercent } from "@pilothouse/selectors/names";
import { podTemplateRules } from "../core/pod-template.ts";
import { forbidden, invalid, invalidEach, notNegative, notSupported, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { labelSelectorRules } from "../meta.ts";

/** @param workload as the text calls it; upstream says "deployment" for ReplicaSets as well */
export function* selectorRules(selector: LabelSelector | undefined, workload = "deployment"): FieldErrors {
  if (!selector) {
    yield required("spec.selector");
    return;
  }
  yield* labelSelectorRules(selector, "spec.selector");
  if (isEmptySelector(selector)) yield invalid("spec.selector", selector, `empty selector is invalid for ${workload}`);
}

export function isEmptySelector({ matchLabels = {}, matchExpressions = [] }: LabelSelector): boolean {
  return Object.keys(matchLabels).length === 0 && matchExpressions.length === 0;
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
  yield* ownLabelsRules(template, selector);
  yield* podTemplateRules(template, path);
  yield* lastingPodRules(template, "ReplicaSet");
}

export function* ownLabelsRules({ metadata }: PodTemplateSpec, selector: LabelSelector | undefined): FieldErrors {
  const labels = metadata?.labels ?? {};
  if (!findsItsOwn(selector, labels)) {
    yield invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`");
  }
}

/** Pods that are always there again. @param owner the kind that the text names */
export function* lastingPodRules({ spec }: PodTemplateSpec, owner: string): FieldErrors {
  const { restartPolicy, activeDeadlineSeconds } = spec ?? { containers: [] };
  if (restartPolicy && restartPolicy !== "Always") {
    yield notSupported("spec.template.spec.restartPolicy", restartPolicy, ["Always"]);
  }
  if (activeDeadlineSeconds !== undefined) {
    yield forbidden("spec.template.spec.activeDeadlineSeconds", `activeDeadlineSeconds in ${owner} is not Supported`);
  }
}

/** No selector finds nothing; a wrong one is told of elsewhere. */
function findsItsOwn(selector: LabelSelector | undefined, labels: Record<string, string>): boolean {
  if (!selector) return false;
  const [wrong] = labelSelectorRules(selector, "");
  return wrong !== undefined || matchesLabels(labelSelectorOf(selector), labels);
}

/** A number of pods, or a share of them. */
export function* amountRules(amount: number | string, path: string): FieldErrors {
  if (typeof amount === "number") yield* notNegative(path, amount);
  else yield* invalidEach(path, amount, checkPercent(amount));
}

export function* notMoreThanAllRules(amount: number | string, path: string): FieldErrors {
  if (typeof amount === "string" && numberIn(amount) > 100)
    yield invalid(path, amount, "must not be greater than 100%");
}

/** 3 of `3`, 25 of `25%`. */
export function numberIn(amount: number | string): number {
  return typeof amount === "number" ? amount : Number.parseInt(amount, 10);
}

/** Names that were taken are never forgotten. */
export function* collisionRules(
  status: { collisionCount?: number },
  old: { collisionCount?: number } | undefined,
): FieldErrors {
  const { collisionCount = 0 } = status;
  yield* notNegative("status.collisionCount", collisionCount);
  if (collisionCount < (old?.collisionCount ?? 0)) {
    yield invalid("status.collisionCount", collisionCount, "cannot be decremented");
  }
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
