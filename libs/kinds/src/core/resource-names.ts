/** Names of resources where amounts of them are limited: LimitRanges and ResourceQuotas. Each place knows other ones. */
import { checkQualifiedName } from "@pilothouse/selectors/names";
import { invalid, invalidEach } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";

const COMPUTE: readonly string[] = ["cpu", "memory", "ephemeral-storage"];
/** What a quota limits beside compute: objects that are counted. */
const COUNTED: readonly string[] = [
  "pods",
  "services",
  "replicationcontrollers",
  "resourcequotas",
  "secrets",
  "configmaps",
  "persistentvolumeclaims",
  "services.nodeports",
  "services.loadbalancers",
];
const REQUESTS = "requests.";
const HUGE_PAGES = "hugepages-";

const QUOTA_NAMES: ReadonlySet<string> = new Set([
  ...COMPUTE,
  ...COMPUTE.map((name) => `${REQUESTS}${name}`),
  ...COMPUTE.map((name) => `limits.${name}`),
  `${REQUESTS}storage`,
  ...COUNTED,
]);
const STANDARD_NAMES: ReadonlySet<string> = new Set([...QUOTA_NAMES, "storage"]);
const INTEGERS: ReadonlySet<string> = new Set(COUNTED);

/** A name of a resource at all, which need not be one that containers ask for. */
export function* resourceNameRules(name: string, path: string): FieldErrors {
  const texts = checkQualifiedName(name);
  yield* invalidEach(path, name, texts);
  const isStandard = STANDARD_NAMES.has(name) || isStandardQuotaResource(name);
  if (texts.length === 0 && !name.includes("/") && !isStandard) {
    yield invalid(path, name, "must be a standard resource type or fully qualified");
  }
}

/** One that containers ask for; what is no name at all is told so twice, as upstream does. */
export function* containerResourceNameRules(name: string, path: string): FieldErrors {
  yield* resourceNameRules(name, path);
  if (!name.includes("/")) {
    const isKnown = COMPUTE.includes(name) || name.startsWith(HUGE_PAGES);
    if (!isKnown) yield invalid(path, name, "must be a standard resource for containers");
  } else if (!isNativeResource(name) && !isExtendedResource(name)) {
    yield invalid(path, name, "doesn't follow extended resource name standard");
  }
}

export function* quotaResourceNameRules(name: string, path: string): FieldErrors {
  yield* resourceNameRules(name, path);
  if (!name.includes("/") && !isStandardQuotaResource(name)) {
    yield invalid(path, name, "must be a standard resource for quota");
  }
}

export function isStandardQuotaResource(name: string): boolean {
  return QUOTA_NAMES.has(name) || name.startsWith(HUGE_PAGES) || name.startsWith(`${REQUESTS}${HUGE_PAGES}`);
}

/** Counted in whole numbers: objects, and devices. */
export function isIntegerResource(name: string): boolean {
  return INTEGERS.has(name) || isExtendedResource(name);
}

/** Kubernetes' own: cpu, memory, and whatever is in its domain. */
export function isNativeResource(name: string): boolean {
  return !name.includes("/") || name.includes("kubernetes.io/");
}

/** A device that a plugin offers, as `example.com/gpu`. */
export function isExtendedResource(name: string): boolean {
  if (isNativeResource(name) || name.startsWith(REQUESTS)) return false;
  return checkQualifiedName(`${REQUESTS}${name}`).length === 0;
}
