import type { DaemonSet, DaemonSetSpec, DaemonSetStatus, DaemonSetUpdateStrategy } from "@pilothouse/api/types/apps-v1";
import { AGE, containerColumns, labelsText, selectorText, shown, wide } from "../columns.ts";
import { defaultPodTemplate } from "../core/pod-defaults.ts";
import { podTemplateRules } from "../core/pod-template.ts";
import { isOtherGeneration, podTemplateWarnings } from "../core/pod-warnings.ts";
import { firstErrors, immutable, invalid, notNegative, notSupported, required, sameValue } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { keepField, nextGeneration, startGeneration } from "../isolation.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { labelSelectorRules } from "../meta.ts";
import { STATUS } from "../subresources.ts";
import {
  amountRules,
  collisionRules,
  isEmptySelector,
  lastingPodRules,
  notMoreThanAllRules,
  numberIn,
  ownLabelsRules,
} from "./workload-rules.ts";

/** How often the template has changed: a field once, which old clients still read. */
export const TEMPLATE_GENERATION = "deprecated.daemonset.template.generation";

export const daemonSet: KindDefinition<DaemonSet> = {
  group: "apps",
  version: "v1",
  kind: "DaemonSet",
  resource: "daemonsets",
  singular: "daemonset",
  shortNames: ["ds"],
  categories: ["all"],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [STATUS],
  depth: "full",
  defaults: (set) => {
    set.spec ??= { template: {} };
    defaultSpec(set.spec);
  },
  prepareForCreate: (set) => {
    startGeneration(set);
    setTemplateGeneration(set, Math.max(1, templateGeneration(set)));
    set.status = { currentNumberScheduled: 0, numberMisscheduled: 0, desiredNumberScheduled: 0, numberReady: 0 };
  },
  prepareForUpdate: (set, old) => {
    keepField(set, old, "status");
    const isOtherTemplate = !sameValue(set.spec.template, old.spec.template);
    setTemplateGeneration(set, templateGeneration(old) + (isOtherTemplate ? 1 : 0));
    nextGeneration(set, old);
  },
  prepareForStatusUpdate: (set, old) => keepField(set, old, "spec"),
  validate: ({ spec }) => firstErrors(rules(spec)),
  validateUpdate: ({ spec }, old) => firstErrors(immutable("spec.selector", spec.selector, old.spec.selector)),
  validateStatusUpdate: ({ status }, old) => firstErrors(statusRules(status, old.status)),
  warnings: (object, old) =>
    isOtherGeneration(object, old) ? podTemplateWarnings(object.spec.template, "spec.template") : [],
  columns: [
    count("Desired", (status) => status.desiredNumberScheduled, "How many nodes should run a pod."),
    count("Current", (status) => status.currentNumberScheduled, "How many of those run one."),
    count("Ready", (status) => status.numberReady, "How many of those run one that is ready."),
    count("Up-to-date", (status) => status.updatedNumberScheduled, "How many of those run the newest template."),
    count(
      "Available",
      (status) => status.numberAvailable,
      "How many of those run one that has been ready long enough.",
    ),
    shown("Node Selector", ({ spec }) => labelsText(spec.template.spec?.nodeSelector), "Which nodes run a pod."),
    AGE,
    ...containerColumns<DaemonSet>(({ spec }) => spec.template.spec?.containers ?? []),
    wide("Selector", ({ spec }) => selectorText(spec.selector), "Which pods are its own."),
  ],
  ageColumn: false,
};

function count(name: string, of: (status: DaemonSetStatus) => number | undefined, description: string) {
  return shown<DaemonSet>(name, ({ status }) => (status && of(status)) ?? 0, description, "integer");
}

function templateGeneration({ metadata }: DaemonSet): number {
  const generation = Number(metadata.annotations?.[TEMPLATE_GENERATION] ?? 0);
  return Number.isSafeInteger(generation) ? generation : 0;
}

function setTemplateGeneration({ metadata }: DaemonSet, generation: number): void {
  metadata.annotations = { ...metadata.annotations, [TEMPLATE_GENERATION]: String(generation) };
}

function defaultSpec(spec: DaemonSetSpec): void {
  spec.template ??= {};
  defaultPodTemplate(spec.template);
  spec.updateStrategy ??= {};
  spec.updateStrategy.type ||= "RollingUpdate";
  if (spec.updateStrategy.type === "RollingUpdate") {
    spec.updateStrategy.rollingUpdate = { maxUnavailable: 1, maxSurge: 0, ...spec.updateStrategy.rollingUpdate };
  }
  spec.revisionHistoryLimit ??= 10;
}

function* rules(spec: DaemonSetSpec): FieldErrors {
  const { selector, template } = spec;
  if (selector) yield* labelSelectorRules(selector, "spec.selector");
  yield* ownLabelsRules(template, selector);
  if (selector && isEmptySelector(selector)) {
    yield invalid("spec.selector", selector, "empty selector is invalid for daemonset");
  }
  yield* podTemplateRules(template, "spec.template");
  yield* lastingPodRules(template, "DaemonSet");
  yield* notNegative("spec.minReadySeconds", spec.minReadySeconds);
  yield* strategyRules(spec.updateStrategy ?? {});
  yield* notNegative("spec.revisionHistoryLimit", spec.revisionHistoryLimit);
}

function* strategyRules(strategy: DaemonSetUpdateStrategy): FieldErrors {
  const path = "spec.updateStrategy.rollingUpdate";
  if (strategy.type === "OnDelete") return;
  if (strategy.type !== "RollingUpdate") {
    yield notSupported("spec.updateStrategy", strategy, ["RollingUpdate", "OnDelete"]);
    return;
  }
  if (!strategy.rollingUpdate) {
    yield required(path);
    return;
  }
  const { maxUnavailable = 1, maxSurge = 0 } = strategy.rollingUpdate;
  const amounts = [
    [maxUnavailable, `${path}.maxUnavailable`],
    [maxSurge, `${path}.maxSurge`],
  ] as const;
  for (const [amount, at] of amounts) yield* amountRules(amount, at);
  for (const [amount, at] of amounts) yield* notMoreThanAllRules(amount, at);
  const [isUnavailable, isSurging] = [numberIn(maxUnavailable) !== 0, numberIn(maxSurge) !== 0];
  if (isUnavailable && isSurging) {
    yield invalid(`${path}.maxSurge`, maxSurge, "may not be set when maxUnavailable is non-zero");
  }
  if (!isUnavailable && !isSurging) yield required(`${path}.maxUnavailable`, "cannot be 0 when maxSurge is 0");
}

const COUNTS = [
  "currentNumberScheduled",
  "numberMisscheduled",
  "desiredNumberScheduled",
  "numberReady",
  "observedGeneration",
  "updatedNumberScheduled",
  "numberAvailable",
  "numberUnavailable",
] as const;

function* statusRules(status: DaemonSetStatus | undefined, old: DaemonSetStatus | undefined): FieldErrors {
  for (const name of COUNTS) yield* notNegative(`status.${name}`, status?.[name]);
  yield* collisionRules(status ?? {}, old);
}
