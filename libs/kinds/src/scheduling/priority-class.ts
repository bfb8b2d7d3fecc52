import type { PriorityClass } from "@pilothouse/api/types/scheduling-v1";
import { AGE, shown } from "../columns.ts";
import { firstErrors, forbidden, immutable, notSupported, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { startGeneration } from "../isolation.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";

/** Above it are the classes that keep the cluster itself alive. */
const HIGHEST_USER_PRIORITY = 1_000_000_000;
const SYSTEM_PREFIX = "system-";

/** The classes that every cluster has; nobody else's name may begin with `system-`. */
export const SYSTEM_PRIORITY_CLASSES: readonly PriorityClass[] = [
  {
    metadata: { name: "system-node-critical" },
    value: 2_000_001_000,
    description: "Used for system critical pods that must not be moved from their current node.",
  },
  {
    metadata: { name: "system-cluster-critical" },
    value: 2_000_000_000,
    description:
      "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
  },
];

export const priorityClass: KindDefinition<PriorityClass> = {
  group: "scheduling.k8s.io",
  version: "v1",
  kind: "PriorityClass",
  resource: "priorityclasses",
  singular: "priorityclass",
  shortNames: ["pc"],
  categories: [],
  namespaced: false,
  verbs: ALL_VERBS,
  subresources: [],
  depth: "full",
  defaults: (priorityClass) => {
    priorityClass.preemptionPolicy ??= "PreemptLowerPriority";
  },
  prepareForCreate: startGeneration,
  validate: (priorityClass) => firstErrors(rules(priorityClass)),
  validateUpdate: (priorityClass, old) => firstErrors(updateRules(priorityClass, old)),
  columns: [
    shown("Value", ({ value }) => value ?? 0, "How important pods of this class are.", "integer"),
    shown(
      "Global-Default",
      ({ globalDefault }) => globalDefault === true,
      "Whether pods that name no class are of this one.",
      "boolean",
    ),
    AGE,
    shown(
      "PreemptionPolicy",
      ({ preemptionPolicy }) => preemptionPolicy ?? "",
      "Whether its pods may take the place of less important ones.",
    ),
  ],
  ageColumn: false,
};

function* rules({ metadata, value, globalDefault = false, preemptionPolicy }: PriorityClass): FieldErrors {
  const { name = "" } = metadata;
  if (name.startsWith(SYSTEM_PREFIX)) {
    const problem = systemClassProblem(name, value, globalDefault);
    if (problem !== undefined) {
      const reserved = `priority class names with '${SYSTEM_PREFIX}' prefix are reserved for system use only`;
      yield forbidden("metadata.name", `${reserved}. error: ${problem}`);
    }
  } else if (value > HIGHEST_USER_PRIORITY) {
    yield forbidden("value", `maximum allowed value of a user defined priority is ${HIGHEST_USER_PRIORITY}`);
  }
  const policies = ["Never", "PreemptLowerPriority"];
  if (preemptionPolicy === "") yield required("preemptionPolicy");
  else if (preemptionPolicy !== undefined && !policies.includes(preemptionPolicy)) {
    yield notSupported("preemptionPolicy", preemptionPolicy, policies);
  }
}

function systemClassProblem(name: string, value: number, globalDefault: boolean): string | undefined {
  const known = SYSTEM_PRIORITY_CLASSES.find(({ metadata }) => metadata.name === name);
  if (!known) return `${name} is not a known system priority class`;
  if (known.value !== value) return `value of ${name} PriorityClass must be ${known.value}`;
  return globalDefault ? `globalDefault of ${name} PriorityClass must be false` : undefined;
}

function* updateRules(priorityClass: PriorityClass, old: PriorityClass): FieldErrors {
  if ((priorityClass.value ?? 0) !== (old.value ?? 0)) yield forbidden("value", "may not be changed in an update.");
  yield* immutable("preemptionPolicy", priorityClass.preemptionPolicy, old.preemptionPolicy);
}
