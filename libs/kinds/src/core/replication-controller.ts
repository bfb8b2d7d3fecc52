import type { ReplicationController, ReplicationControllerSpec } from "@pilothouse/api/types/core-v1";
import { checkDns1123Label } from "@pilothouse/selectors/names";
import { countRules, lastingPodRules, ownLabelsRules } from "../apps/workload-rules.ts";
import { AGE, containerColumns, labelsText, shown, wide } from "../columns.ts";
import { firstErrors, invalid, notNegative, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { keepField, nextGeneration, startGeneration } from "../isolation.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { SCALE, STATUS } from "../subresources.ts";
import { defaultPodTemplate } from "./pod-defaults.ts";
import { podTemplateRules } from "./pod-template.ts";
import { isOtherGeneration, podTemplateWarnings } from "./pod-warnings.ts";

export const replicationController: KindDefinition<ReplicationController> = {
  group: "",
  version: "v1",
  kind: "ReplicationController",
  resource: "replicationcontrollers",
  singular: "replicationcontroller",
  shortNames: ["rc"],
  categories: ["all"],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [STATUS, SCALE],
  depth: "full",
  orphansByDefault: true,
  defaults: (controller) => {
    controller.spec ??= {};
    const { spec, metadata } = controller;
    if (spec.template) defaultPodTemplate(spec.template);
    const labels = spec.template?.metadata?.labels;
    if (labels && isEmpty(spec.selector)) spec.selector = { ...labels };
    if (labels && isEmpty(metadata.labels)) metadata.labels = { ...labels };
    spec.replicas ??= 1;
  },
  prepareForCreate: (controller) => {
    startGeneration(controller);
    controller.status = { replicas: 0 };
  },
  prepareForUpdate: (controller, old) => {
    keepField(controller, old, "status");
    nextGeneration(controller, old);
  },
  prepareForStatusUpdate: (controller, old) => keepField(controller, old, "spec"),
  validate: ({ spec }) => firstErrors(rules(spec)),
  validateStatusUpdate: ({ status = { replicas: 0 } }) =>
    firstErrors(countRules(status, ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"])),
  warnings: ({ metadata, spec }, old) => [
    ...(old ? [] : nameWarnings(metadata.name ?? "")),
    ...(isOtherGeneration({ metadata }, old) ? podTemplateWarnings(spec.template, "spec.template") : []),
  ],
  selectableFields: ({ status }) => ({ "status.replicas": String(status?.replicas ?? 0) }),
  columns: [
    shown("Desired", ({ spec }) => spec.replicas ?? 0, "How many pods are wanted.", "integer"),
    shown("Current", ({ status }) => status?.replicas ?? 0, "How many pods there are.", "integer"),
    shown("Ready", ({ status }) => status?.readyReplicas ?? 0, "How many pods are ready.", "integer"),
    AGE,
    ...containerColumns<ReplicationController>(({ spec }) => spec.template?.spec?.containers ?? []),
    wide("Selector", ({ spec }) => labelsText(spec.selector), "Which pods are its own."),
  ],
  ageColumn: false,
};

function isEmpty(map: Readonly<Record<string, string>> | undefined): boolean {
  return Object.keys(map ?? {}).length === 0;
}

function* rules({ minReadySeconds, selector, replicas, template }: ReplicationControllerSpec): FieldErrors {
  yield* notNegative("spec.minReadySeconds", minReadySeconds);
  if (isEmpty(selector)) yield required("spec.selector");
  yield* notNegative("spec.replicas", replicas);
  if (!template) {
    yield required("spec.template");
    return;
  }
  if (!isEmpty(selector)) yield* ownLabelsRules(template, { matchLabels: { ...selector } });
  yield* podTemplateRules(template, "spec.template");
  if ((replicas ?? 0) > 1) yield* sharedDiskRules(template.spec?.volumes ?? []);
  yield* lastingPodRules(template, "ReplicationController");
}

/** A disk that only one machine may write. */
function* sharedDiskRules(
  volumes: readonly { readonly gcePersistentDisk?: { readonly readOnly?: boolean } }[],
): FieldErrors {
  for (const [index, { gcePersistentDisk }] of volumes.entries()) {
    if (!gcePersistentDisk || gcePersistentDisk.readOnly === true) continue;
    yield invalid(
      `spec.template.spec.volumes[${index}].gcePersistentDisk.readOnly`,
      false,
      "must be true for replicated pods > 1; GCE PD can only be mounted on multiple machines if it is read-only",
    );
  }
}

function nameWarnings(name: string): readonly string[] {
  const texts = checkDns1123Label(name);
  if (texts.length === 0) return [];
  return [
    "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; " +
      `a DNS label is recommended: [${texts.join(" ")}]`,
  ];
}
