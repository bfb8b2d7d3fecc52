/** Rules for what a pod takes from elsewhere: its own fields, its limits, keys of ConfigMaps and Secrets. */
import type { ObjectFieldSelector, ResourceFieldSelector } from "@pilothouse/api/types/core-v1";
import { checkConfigMapKey, checkDns1123Subdomain, checkQualifiedName } from "@pilothouse/selectors/names";
import { invalid, invalidEach, notSupported, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { quantityOf } from "./resource-rules.ts";

type Place = "env" | "volume";

const FIELDS: Readonly<Record<Place, readonly string[]>> = {
  env: [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
  ],
  volume: ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"],
};

const KNOWN_FIELDS = new Set([
  ...FIELDS.env,
  ...FIELDS.volume,
  "spec.restartPolicy",
  "spec.schedulerName",
  "status.phase",
]);

const RESOURCE_FIELDS = ["cpu", "memory", "ephemeral-storage"]
  .flatMap((name) => [`limits.${name}`, `requests.${name}`])
  .sort();

const HUGE_PAGES = /^(limits|requests)\.hugepages-/;

/** What an amount of bytes may be counted in. */
const BYTE_DIVISORS = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/** `metadata.labels['key']`, `metadata.annotations['key']` */
const SUBSCRIPT = /^(metadata\.(?:labels|annotations))\['(.+)'\]$/;

export function* fieldRefRules(
  { apiVersion, fieldPath }: ObjectFieldSelector,
  path: string,
  place: Place,
): FieldErrors {
  if (!apiVersion) {
    yield required(`${path}.apiVersion`);
    return;
  }
  if (!fieldPath) {
    yield required(`${path}.fieldPath`);
    return;
  }
  const at = `${path}.fieldPath`;
  if (apiVersion !== "v1") {
    yield invalid(at, fieldPath, `error converting fieldPath: unsupported pod version: ${apiVersion}`);
    return;
  }
  const [, field, subscript] = SUBSCRIPT.exec(fieldPath) ?? [];
  if (field !== undefined && subscript !== undefined) {
    const key = field === "metadata.annotations" ? subscript.toLowerCase() : subscript;
    yield* invalidEach(path, key, checkQualifiedName(key));
    return;
  }
  // The oldest pods called it so.
  const name = fieldPath === "spec.host" ? "spec.nodeName" : fieldPath;
  if (!KNOWN_FIELDS.has(name)) {
    yield invalid(at, fieldPath, `error converting fieldPath: field label not supported: ${fieldPath}`);
  } else if (!FIELDS[place].includes(name)) {
    yield notSupported(at, name, FIELDS[place]);
  }
}

export function* resourceFieldRules(
  { containerName, resource = "", divisor }: Partial<ResourceFieldSelector>,
  path: string,
  place: Place,
): FieldErrors {
  if (place === "volume" && !containerName) yield required(`${path}.containerName`);
  else if (!resource) yield required(`${path}.resource`);
  else if (!RESOURCE_FIELDS.includes(resource) && !HUGE_PAGES.test(resource)) {
    yield notSupported(`${path}.resource`, resource, RESOURCE_FIELDS);
  }
  yield* divisorRules(resource, divisor, `${path}.divisor`);
}

/** Upstream shows the resource as the wrong value, not the divisor. */
function* divisorRules(resource: string, divisor: string | undefined, path: string): FieldErrors {
  const amount = quantityOf(divisor);
  if (!amount || amount.isZero()) return;
  const text = amount.toString();
  if (/^(limits|requests)\.cpu$/.test(resource)) {
    const only = "only divisor's values 1m and 1 are supported with the cpu resource";
    if (text !== "1m" && text !== "1") yield invalid(path, resource, only);
    return;
  }
  const word = byteResourceWord(resource);
  if (word === undefined || BYTE_DIVISORS.includes(text)) return;
  const list = BYTE_DIVISORS.join(", ");
  yield invalid(path, resource, `only divisor's values ${list} are supported with the ${word} resource`);
}

function byteResourceWord(resource: string): string | undefined {
  if (/^(limits|requests)\.memory$/.test(resource)) return "memory";
  if (/^(limits|requests)\.ephemeral-storage$/.test(resource)) return "local ephemeral storage";
  return HUGE_PAGES.test(resource) ? "hugepages" : undefined;
}

export function* keyRefRules({ name = "", key }: { name?: string; key: string }, path: string): FieldErrors {
  yield* invalidEach(`${path}.name`, name, checkDns1123Subdomain(name));
  if (!key) yield required(`${path}.key`);
  else yield* invalidEach(`${path}.key`, key, checkConfigMapKey(key));
}
