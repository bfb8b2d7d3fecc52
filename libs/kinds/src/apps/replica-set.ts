import type { ReplicaSet } from "@pilothouse/api/types/apps-v1";
import { AGE, containerColumns, selectorText, shown, wide } from "../columns.ts";
import { defaultPodTemplate } from "../core/pod-defaults.ts";
import { isOtherGeneration, podTemplateWarnings } from "../core/pod-warnings.ts";
import { firstErrors, immutable, notNegative } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { keepField, nextGeneration, startGeneration } from "../isolation.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { SCALE, STATUS } from "../subresources.ts";
import { countRules, selectorRules, templateRules } from "./workload-rules.ts";

export const replicaSet: KindDefinition<ReplicaSet> = {
  group: "apps",
  version: "v1",
  kind: "ReplicaSet",
  resource: "replicasets",
  singular: "replicaset",
  shortNames: ["rs"],
  categories: ["all"],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [STATUS, SCALE],
  depth: "full",
  defaults: (replicaSet) => {
    replicaSet.spec ??= {};
    const { spec } = replicaSet;
    spec.replicas ??= 1;
    spec.template ??= {};
    defaultPodTemplate(spec.template);
  },
  prepareForCreate: (replicaSet) => {
    startGeneration(replicaSet);
    replicaSet.status = { replicas: 0 };
  },
  prepareForUpdate: (replicaSet, old) => {
    keepField(replicaSet, old, "status");
    nextGeneration(replicaSet, old);
  },
  prepareForStatusUpdate: (replicaSet, old) => keepField(replicaSet, old, "spec"),
  validate: (replicaSet) => firstErrors(rules(replicaSet)),
  validateUpdate: ({ spec }, old) => firstErrors(immutable("spec.selector", spec.selector, old.spec.selector)),
  validateStatusUpdate: ({ status = { replicas: 0 } }) => [
    ...countRules(status, ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"]),
  ],
  warnings: (object, old) =>
    isOtherGeneration(object, old) ? podTemplateWarnings(object.spec.template, "spec.template") : [],
  selectableFields: ({ status }) => ({ "status.replicas": String(status?.replicas ?? 0) }),
  columns: [
    shown("Desired", ({ spec }) => spec.replicas ?? 0, "How many pods are wanted.", "integer"),
    shown("Current", ({ status }) => status?.replicas ?? 0, "How many pods there are.", "integer"),
    shown("Ready", ({ status }) => status?.readyReplicas ?? 0, "How many pods are ready.", "integer"),
    AGE,
    ...containerColumns<ReplicaSet>(({ spec }) => spec.template?.spec?.containers ?? []),
    wide("Selector", ({ spec }) => selectorText(spec.selector), "Which pods are its own."),
  ],
  ageColumn: false,
};

function* rules({ spec }: ReplicaSet): FieldErrors {
  yield* notNegative("spec.replicas", spec.replicas);
  yield* notNegative("spec.minReadySeconds", spec.minReadySeconds);
  yield* selectorRules(spec.selector);
  yield* templateRules(spec.template, spec.selector);
}
