import type { Deployment, DeploymentSpec, DeploymentStrategy } from "@pilothouse/api/types/apps-v1";
import { AGE, containerColumns, selectorText, shown, wide } from "../columns.ts";
import { defaultPodTemplate } from "../core/pod-defaults.ts";
import { isOtherGeneration, podTemplateWarnings } from "../core/pod-warnings.ts";
import {
  firstErrors,
  forbidden,
  immutable,
  invalid,
  notNegative,
  notSupported,
  required,
  sameValue,
} from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { keepField, nextGeneration, startGeneration } from "../isolation.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { SCALE, STATUS } from "../subresources.ts";
import {
  amountRules,
  collisionRules,
  countRules,
  notMoreThanAllRules,
  numberIn,
  selectorRules,
  templateRules,
} from "./workload-rules.ts";

export const deployment: KindDefinition<Deployment> = {
  group: "apps",
  version: "v1",
  kind: "Deployment",
  resource: "deployments",
  singular: "deployment",
  shortNames: ["deploy"],
  categories: ["all"],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [STATUS, SCALE],
  depth: "full",
  defaults: (deployment) => {
    deployment.spec ??= { template: {} };
    defaultDeployment(deployment.spec);
  },
  prepareForCreate: (deployment) => {
    startGeneration(deployment);
    deployment.status = {};
  },
  prepareForUpdate: (deployment, old) => {
    keepField(deployment, old, "status");
    const annotationsChanged = !sameValue(deployment.metadata.annotations ?? {}, old.metadata.annotations ?? {});
    nextGeneration(deployment, old, annotationsChanged);
  },
  prepareForStatusUpdate: (deployment, old) => {
    keepField(deployment, old, "spec");
    keepField(deployment.metadata, old.metadata, "labels");
  },
  validate: (deployment) => firstErrors(rules(deployment.spec)),
  validateUpdate: ({ spec }, old) => firstErrors(immutable("spec.selector", spec.selector, old.spec.selector)),
  validateStatusUpdate: (deployment, old) => firstErrors(statusRules(deployment, old)),
  warnings: (object, old) =>
    isOtherGeneration(object, old) ? podTemplateWarnings(object.spec.template, "spec.template") : [],
  columns: [
    shown(
      "Ready",
      ({ spec, status }) => `${status?.readyReplicas ?? 0}/${spec.replicas ?? 0}`,
      "Number of the pod with ready state",
    ),
    shown("Up-to-date", ({ status }) => status?.updatedReplicas ?? 0, "How many pods are of the newest template."),
    shown("Available", ({ status }) => status?.availableReplicas ?? 0, "How many pods have been ready long enough."),
    AGE,
    ...containerColumns<Deployment>(({ spec }) => spec.template.spec?.containers ?? []),
    wide("Selector", ({ spec }) => selectorText(spec.selector), "Which pods are its own."),
  ],
  ageColumn: false,
};

function defaultDeployment(spec: DeploymentSpec): void {
  spec.template ??= {};
  defaultPodTemplate(spec.template);
  spec.replicas ??= 1;
  spec.strategy ??= {};
  spec.strategy.type ||= "RollingUpdate";
  if (spec.strategy.type === "RollingUpdate") {
    spec.strategy.rollingUpdate = { maxUnavailable: "25%", maxSurge: "25%", ...spec.strategy.rollingUpdate };
  }
  spec.revisionHistoryLimit ??= 10;
  spec.progressDeadlineSeconds ??= 600;
}

function* rules(spec: DeploymentSpec): FieldErrors {
  yield* notNegative("spec.replicas", spec.replicas);
  yield* selectorRules(spec.selector);
  yield* templateRules(spec.template, spec.selector);
  yield* strategyRules(spec.strategy ?? {});
  yield* notNegative("spec.minReadySeconds", spec.minReadySeconds);
  yield* notNegative("spec.revisionHistoryLimit", spec.revisionHistoryLimit);
  const { progressDeadlineSeconds, minReadySeconds = 0 } = spec;
  yield* notNegative("spec.progressDeadlineSeconds", progressDeadlineSeconds);
  if (progressDeadlineSeconds !== undefined && progressDeadlineSeconds <= minReadySeconds) {
    yield invalid("spec.progressDeadlineSeconds", progressDeadlineSeconds, "must be greater than minReadySeconds");
  }
}

function* strategyRules({ type = "", rollingUpdate }: DeploymentStrategy): FieldErrors {
  const path = "spec.strategy.rollingUpdate";
  if (type === "Recreate") {
    if (rollingUpdate) yield forbidden(path, "may not be specified when strategy `type` is 'Recreate'");
    return;
  }
  if (type !== "RollingUpdate") {
    yield notSupported("spec.strategy.type", type, ["Recreate", "RollingUpdate"]);
    return;
  }
  if (!rollingUpdate) {
    yield required(path, "this should be defaulted and never be nil");
    return;
  }
  const { maxUnavailable = 0, maxSurge = 0 } = rollingUpdate;
  yield* amountRules(maxUnavailable, `${path}.maxUnavailable`);
  yield* amountRules(maxSurge, `${path}.maxSurge`);
  if (numberIn(maxUnavailable) === 0 && numberIn(maxSurge) === 0) {
    yield invalid(`${path}.maxUnavailable`, maxUnavailable, "may not be 0 when `maxSurge` is 0");
  }
  yield* notMoreThanAllRules(maxUnavailable, `${path}.maxUnavailable`);
}

function* statusRules({ status = {} }: Deployment, { status: old = {} }: Deployment): FieldErrors {
  yield* countRules(status, ["updatedReplicas", "readyReplicas", "availableReplicas"]);
  yield* notNegative("status.unavailableReplicas", status.unavailableReplicas);
  yield* collisionRules(status, old);
}
