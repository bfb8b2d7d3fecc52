import type {
  StatefulSet,
  StatefulSetSpec,
  StatefulSetStatus,
  StatefulSetUpdateStrategy,
} from "@pilothouse/api/types/apps-v1";
import type { PersistentVolumeClaim, PodTemplateSpec } from "@pilothouse/api/types/core-v1";
import { checkDns1123Label } from "@pilothouse/selectors/names";
import { AGE, containerColumns, shown } from "../columns.ts";
import { defaultPodTemplate } from "../core/pod-defaults.ts";
import { podTemplateRules } from "../core/pod-template.ts";
import { isOtherGeneration, podTemplateWarnings } from "../core/pod-warnings.ts";
import {
  firstErrors,
  forbidden,
  invalid,
  invalidEach,
  notNegative,
  notSupported,
  required,
  sameValue,
} from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { keepField, nextGeneration, startGeneration } from "../isolation.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { labelName } from "../names.ts";
import { SCALE, STATUS } from "../subresources.ts";
import {
  amountRules,
  collisionRules,
  lastingPodRules,
  notMoreThanAllRules,
  numberIn,
  ownLabelsRules,
  selectorRules,
} from "./workload-rules.ts";

const RETENTION = ["Retain", "Delete"];
const MUTABLE = [
  "replicas",
  "ordinals",
  "template",
  "updateStrategy",
  "revisionHistoryLimit",
  "persistentVolumeClaimRetentionPolicy",
  "minReadySeconds",
] as const;

export const statefulSet: KindDefinition<StatefulSet> = {
  group: "apps",
  version: "v1",
  kind: "StatefulSet",
  resource: "statefulsets",
  singular: "statefulset",
  shortNames: ["sts"],
  categories: ["all"],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [STATUS, SCALE],
  depth: "full",
  // Its pods' hostnames begin with its name.
  validateName: labelName,
  defaults: (set) => {
    set.spec ??= { template: {}, serviceName: "" };
    defaultSpec(set.spec);
  },
  prepareForCreate: (set) => {
    startGeneration(set);
    set.status = { replicas: 0, availableReplicas: 0 };
  },
  prepareForUpdate: (set, old) => {
    keepField(set, old, "status");
    nextGeneration(set, old);
  },
  prepareForStatusUpdate: (set, old) => keepField(set, old, "spec"),
  validate: ({ spec }) => firstErrors(rules(spec)),
  validateUpdate: ({ spec }, old) => firstErrors(updateRules(spec, old.spec)),
  validateStatusUpdate: ({ status }, old) => firstErrors(statusRules(status, old.status)),
  warnings: ({ metadata, spec }, old) => [
    ...(isOtherGeneration({ metadata }, old) ? podTemplateWarnings(spec.template, "spec.template") : []),
    ...((spec.revisionHistoryLimit ?? 0) < 0
      ? ["spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"]
      : []),
  ],
  columns: [
    shown(
      "Ready",
      ({ spec, status }) => `${status?.readyReplicas ?? 0}/${spec.replicas ?? 0}`,
      "Number of the pod with ready state",
    ),
    AGE,
    ...containerColumns<StatefulSet>(({ spec }) => spec.template.spec?.containers ?? []),
  ],
  ageColumn: false,
};

function defaultSpec(spec: StatefulSetSpec): void {
  spec.template ??= {};
  defaultPodTemplate(spec.template);
  spec.podManagementPolicy ||= "OrderedReady";
  spec.updateStrategy ??= {};
  const strategy = spec.updateStrategy;
  if (!strategy.type) {
    strategy.type = "RollingUpdate";
    strategy.rollingUpdate ??= {};
  }
  if (strategy.type === "RollingUpdate" && strategy.rollingUpdate) {
    strategy.rollingUpdate.partition ??= 0;
    strategy.rollingUpdate.maxUnavailable ??= 1;
  }
  spec.persistentVolumeClaimRetentionPolicy ??= {};
  spec.persistentVolumeClaimRetentionPolicy.whenDeleted ||= "Retain";
  spec.persistentVolumeClaimRetentionPolicy.whenScaled ||= "Retain";
  spec.replicas ??= 1;
  spec.revisionHistoryLimit ??= 10;
  spec.volumeClaimTemplates?.forEach(defaultClaim);
}

function defaultClaim(claim: PersistentVolumeClaim): void {
  claim.apiVersion = "v1";
  claim.kind = "PersistentVolumeClaim";
  claim.metadata ??= {};
  claim.spec ??= {};
  claim.spec.volumeMode ??= "Filesystem";
  claim.status ??= {};
  claim.status.phase ||= "Pending";
}

function* rules(spec: StatefulSetSpec): FieldErrors {
  if (!spec.podManagementPolicy) yield required("spec.podManagementPolicy");
  else if (spec.podManagementPolicy !== "OrderedReady" && spec.podManagementPolicy !== "Parallel") {
    yield invalid("spec.podManagementPolicy", spec.podManagementPolicy, "must be 'OrderedReady' or 'Parallel'");
  }
  yield* strategyRules(spec.updateStrategy ?? {});
  for (const when of ["whenDeleted", "whenScaled"] as const) {
    const policy = spec.persistentVolumeClaimRetentionPolicy?.[when];
    if (policy !== undefined && !RETENTION.includes(policy)) {
      yield notSupported(`spec.persistentVolumeClaimRetentionPolicy.${when}`, policy, RETENTION);
    }
  }
  yield* notNegative("spec.replicas", spec.replicas);
  yield* notNegative("spec.minReadySeconds", spec.minReadySeconds);
  yield* notNegative("spec.ordinals.start", spec.ordinals?.start);
  if (spec.serviceName) yield* invalidEach("spec.serviceName", spec.serviceName, checkDns1123Label(spec.serviceName));
  yield* selectorRules(spec.selector, "statefulset");
  yield* ownLabelsRules(spec.template, spec.selector);
  yield* podTemplateRules(withClaims(spec), "spec.template");
  yield* lastingPodRules(spec.template, "StatefulSet");
}

/** The template as its pods will be: claims are volumes, and may be mounted. */
function withClaims({ template, volumeClaimTemplates = [] }: StatefulSetSpec): PodTemplateSpec {
  if (!template.spec || volumeClaimTemplates.length === 0) return template;
  const names = volumeClaimTemplates.map(({ metadata }) => metadata.name ?? "");
  const own = (template.spec.volumes ?? []).filter(({ name }) => !names.includes(name));
  const claims = names.map((name) => ({ name, persistentVolumeClaim: { claimName: name } }));
  return { ...template, spec: { ...template.spec, volumes: [...own, ...claims] } };
}

function* strategyRules(strategy: StatefulSetUpdateStrategy): FieldErrors {
  const { type, rollingUpdate } = strategy;
  const path = "spec.updateStrategy.rollingUpdate";
  if (!type) yield required("spec.updateStrategy");
  else if (type === "OnDelete") {
    if (rollingUpdate) yield invalid(path, rollingUpdate, "only allowed for updateStrategy 'RollingUpdate'");
  } else if (type !== "RollingUpdate") {
    yield invalid("spec.updateStrategy", strategy, "must be 'RollingUpdate' or 'OnDelete'");
  } else if (rollingUpdate) {
    const { partition, maxUnavailable } = rollingUpdate;
    yield* notNegative(`${path}.partition`, partition);
    if (maxUnavailable === undefined) return;
    yield* amountRules(maxUnavailable, `${path}.maxUnavailable`);
    if (numberIn(maxUnavailable) === 0) yield invalid(`${path}.maxUnavailable`, maxUnavailable, "cannot be 0");
    yield* notMoreThanAllRules(maxUnavailable, `${path}.maxUnavailable`);
  }
}

function* updateRules(spec: StatefulSetSpec, old: StatefulSetSpec): FieldErrors {
  const rest = (of: StatefulSetSpec): Partial<StatefulSetSpec> => {
    const fields: Partial<StatefulSetSpec> = { ...of };
    for (const name of MUTABLE) delete fields[name];
    return fields;
  };
  if (sameValue(rest(spec), rest(old))) return;
  const names = MUTABLE.map((name) => `'${name}'`);
  const list = `${names.slice(0, -1).join(", ")} and ${names.at(-1) ?? ""}`;
  yield forbidden("spec", `updates to statefulset spec for fields other than ${list} are forbidden`);
}

const COUNTS = ["replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"] as const;

function* statusRules(status: StatefulSetStatus | undefined, old: StatefulSetStatus | undefined): FieldErrors {
  const { replicas = 0, readyReplicas = 0, availableReplicas = 0 } = status ?? {};
  for (const name of [...COUNTS, "observedGeneration"] as const) yield* notNegative(`status.${name}`, status?.[name]);
  for (const name of COUNTS) {
    const count = status?.[name] ?? 0;
    if (count > replicas) yield invalid(`status.${name}`, count, "cannot be greater than status.replicas");
  }
  if (availableReplicas > readyReplicas) {
    yield invalid("status.availableReplicas", availableReplicas, "cannot be greater than status.readyReplicas");
  }
  yield* collisionRules(status ?? {}, old);
}
