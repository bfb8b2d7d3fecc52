import type { ResourceQuota, ResourceQuotaSpec } from "@pilothouse/api/types/core-v1";
import { AGE, shown } from "../columns.ts";
import { firstErrors, FIELD_IMMUTABLE, invalid, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { keepField } from "../isolation.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { SCOPES } from "../quota/scopes.ts";
import { STATUS } from "../subresources.ts";
import { isIntegerResource, isStandardQuotaResource, quotaResourceNameRules } from "./resource-names.ts";
import { amountRules, quantityOf } from "./resource-rules.ts";

export const resourceQuota: KindDefinition<ResourceQuota> = {
  group: "",
  version: "v1",
  kind: "ResourceQuota",
  resource: "resourcequotas",
  singular: "resourcequota",
  shortNames: ["quota"],
  categories: [],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [STATUS],
  depth: "full",
  prepareForCreate: (quota) => {
    quota.status = {};
  },
  prepareForUpdate: (quota, old) => keepField(quota, old, "status"),
  prepareForStatusUpdate: (quota, old) => keepField(quota, old, "spec"),
  validate: (quota) => firstErrors(specRules(quota.spec ?? {}), statusRules(quota)),
  validateUpdate: (quota, old) => firstErrors(scopesStay(quota, old)),
  validateStatusUpdate: (quota) => firstErrors(statusRules(quota)),
  columns: [
    shown(
      "Request",
      (quota) => amountsLine(quota, (name) => !name.startsWith("limits.")),
      "What is used of what may be requested.",
    ),
    shown(
      "Limit",
      (quota) => amountsLine(quota, (name) => name.startsWith("limits.")),
      "What is used of what may be the limit.",
    ),
    AGE,
  ],
  ageColumn: false,
};

/** `pods: 1/10, requests.cpu: 0/4` */
function amountsLine({ status }: ResourceQuota, isShown: (name: string) => boolean): string {
  return Object.entries(status?.hard ?? {})
    .filter(([name]) => isShown(name))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, hard]) => `${name}: ${status?.used?.[name] ?? "0"}/${hard}`)
    .join(", ");
}

function* specRules(spec: ResourceQuotaSpec): FieldErrors {
  yield* hardRules(spec.hard, "spec.hard");
  yield* scopesRules(spec);
  yield* selectorRules(spec);
}

function* statusRules({ status }: ResourceQuota): FieldErrors {
  yield* hardRules(status?.hard, "status.hard");
  yield* hardRules(status?.used, "status.used");
}

function* hardRules(amounts: Readonly<Record<string, string>> | undefined, path: string): FieldErrors {
  for (const [name, text] of Object.entries(amounts ?? {})) {
    const at = `${path}[${name}]`;
    yield* quotaResourceNameRules(name, at);
    yield* amountRules(text, at);
    const amount = quantityOf(text);
    if (amount && isIntegerResource(name) && amount.milliValue() % 1_000n !== 0n) {
      yield invalid(at, text, "must be an integer");
    }
  }
}

function* scopesRules(spec: ResourceQuotaSpec): FieldErrors {
  const { scopes = [] } = spec;
  const path = "spec.scopes";
  for (const scope of scopes) {
    if (!SCOPES.includes(scope)) yield invalid(path, scopes, "unsupported scope");
    yield* resourcesOfScope(scope, spec, path, scopes);
  }
  yield* conflictRules(scopes, spec, path);
}

function* selectorRules(spec: ResourceQuotaSpec): FieldErrors {
  if (!spec.scopeSelector) return;
  const path = "spec.scopeSelector.matchExpressions";
  const requirements = spec.scopeSelector.matchExpressions ?? [];
  for (const { scopeName, operator, values = [] } of requirements) {
    if (!SCOPES.includes(scopeName)) yield invalid(`${path}.scopeName`, scopeName ?? "", "unsupported scope");
    yield* resourcesOfScope(scopeName, spec, path, spec.scopeSelector);
    if (ONLY_EXISTS.includes(scopeName) && operator !== "Exists") {
      yield invalid(`${path}.operator`, operator ?? "", MUST_EXIST);
    }
    if (operator === "In" || operator === "NotIn") {
      const detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
      if (values.length === 0) yield required(`${path}.values`, detail);
    } else if (operator === "Exists" || operator === "DoesNotExist") {
      const detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
      if (values.length > 0) yield invalid(`${path}.values`, values, detail);
    } else yield invalid(`${path}.operator`, operator ?? "", "not a valid selector operator");
  }
  yield* conflictRules(
    requirements.map(({ scopeName }) => scopeName),
    spec,
    path,
  );
}

const ONLY_EXISTS: readonly string[] = [
  "BestEffort",
  "NotBestEffort",
  "Terminating",
  "NotTerminating",
  "CrossNamespacePodAffinity",
];
const MUST_EXIST =
  "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, " +
  "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";

const POD_COUNTS: readonly string[] = ["pods"];
const POD_COMPUTE: readonly string[] = [
  "cpu",
  "memory",
  "limits.cpu",
  "limits.memory",
  "requests.cpu",
  "requests.memory",
];
const CLAIM_NAMES: readonly string[] = ["persistentvolumeclaims", "requests.storage"];

/** Standard resources that the scope says nothing about may not be limited under it. */
function* resourcesOfScope(scope: string, { hard }: ResourceQuotaSpec, path: string, shownValue: unknown): FieldErrors {
  for (const name of Object.keys(hard ?? {}).sort()) {
    if (!isStandardQuotaResource(name) || appliesTo(scope, name)) continue;
    yield invalid(path, shownValue, "unsupported scope applied to resource");
  }
}

function appliesTo(scope: string, name: string): boolean {
  switch (scope) {
    case "BestEffort":
      return POD_COUNTS.includes(name);
    case "Terminating":
    case "NotTerminating":
    case "NotBestEffort":
    case "PriorityClass":
    case "CrossNamespacePodAffinity":
      return POD_COUNTS.includes(name) || POD_COMPUTE.includes(name);
    case "VolumeAttributesClass":
      return CLAIM_NAMES.includes(name);
    default:
      return true;
  }
}

function* conflictRules(scopes: readonly string[], spec: ResourceQuotaSpec, path: string): FieldErrors {
  for (const both of [
    ["BestEffort", "NotBestEffort"],
    ["Terminating", "NotTerminating"],
  ]) {
    if (both.every((scope) => scopes.includes(scope))) yield invalid(path, spec.scopes ?? [], "conflicting scopes");
  }
}

function* scopesStay({ spec }: ResourceQuota, old: ResourceQuota): FieldErrors {
  const [now, before] = [spec, old.spec].map((one) => [...new Set(one?.scopes ?? [])].sort().join());
  if (now !== before) yield invalid("spec.scopes", spec?.scopes ?? [], FIELD_IMMUTABLE);
}
