import type { PodDisruptionBudget, PodDisruptionBudgetSpec } from "@pilothouse/api/types/policy-v1";
import { AGE, shown } from "../columns.ts";
import { amountRules, notMoreThanAllRules } from "../apps/workload-rules.ts";
import { firstErrors, invalid, notNegative, notSupported } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { keepField, nextGeneration, startGeneration } from "../isolation.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { labelSelectorRules } from "../meta.ts";
import { STATUS } from "../subresources.ts";

const POLICIES: readonly string[] = ["AlwaysAllow", "IfHealthyBudget"];
const COUNTS = ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] as const;

export const podDisruptionBudget: KindDefinition<PodDisruptionBudget> = {
  group: "policy",
  version: "v1",
  kind: "PodDisruptionBudget",
  resource: "poddisruptionbudgets",
  singular: "poddisruptionbudget",
  shortNames: ["pdb"],
  categories: [],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [STATUS],
  depth: "full",
  prepareForCreate: (budget) => {
    startGeneration(budget);
    budget.status = { disruptionsAllowed: 0, currentHealthy: 0, desiredHealthy: 0, expectedPods: 0 };
  },
  prepareForUpdate: (budget, old) => {
    keepField(budget, old, "status");
    nextGeneration(budget, old);
  },
  prepareForStatusUpdate: (budget, old) => keepField(budget, old, "spec"),
  validate: ({ spec }) => firstErrors(rules(spec ?? {})),
  validateStatusUpdate: (budget) => firstErrors(statusRules(budget)),
  columns: [
    shown("Min Available", ({ spec }) => String(spec?.minAvailable ?? "N/A"), "How many of its pods must stay."),
    shown("Max Unavailable", ({ spec }) => String(spec?.maxUnavailable ?? "N/A"), "How many may be away."),
    shown(
      "Allowed Disruptions",
      ({ status }) => status?.disruptionsAllowed ?? 0,
      "How many pods may be evicted now.",
      "integer",
    ),
    AGE,
  ],
  ageColumn: false,
};

function* rules(spec: PodDisruptionBudgetSpec): FieldErrors {
  if (spec.minAvailable !== undefined && spec.maxUnavailable !== undefined) {
    yield invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set");
  }
  for (const field of ["minAvailable", "maxUnavailable"] as const) {
    const amount = spec[field];
    if (amount === undefined) continue;
    yield* amountRules(amount, `spec.${field}`);
    yield* notMoreThanAllRules(amount, `spec.${field}`);
  }
  yield* labelSelectorRules(spec.selector, "spec.selector");
  const { unhealthyPodEvictionPolicy: policy } = spec;
  if (policy !== undefined && !POLICIES.includes(policy)) {
    yield notSupported("spec.unhealthyPodEvictionPolicy", policy, POLICIES);
  }
}

function* statusRules({ status }: PodDisruptionBudget): FieldErrors {
  for (const field of COUNTS) yield* notNegative(`status.${field}`, status?.[field]);
}
