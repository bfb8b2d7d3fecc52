/** Rules for what a pod takes from elsewhere: its own fields, its limits, keys of ConfigMaps and Secrets. */
import type { ObjectFieldSelector, ResourceFieldSelector } from "@pilothouse/api/types/core-v1";
import { checkConfigMapKey, checkQualifiedName } from "@pilothouse/selectors/names";
import { invalid, invalidEach, notSupported, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";

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

/** `metadata.labels['key']`, `metadata.annotations['key']` */
const SUBSCRIPT = /^(metadata\.(?:labels|annotations))\['(.*)'\]$/;

export function* fieldRefRules(
  { apiVersion, fieldPath }: ObjectFieldSelector,
  path: string,
  place: Place,
): FieldErrors {
  if (!apiVersion) yield required(`${path}.apiVersion`);
  if (!fieldPath) {
    yield required(`${path}.fieldPath`);
    return;
  }
  const [, field, key] = SUBSCRIPT.exec(fieldPath) ?? [];
  if (field !== undefined && key !== undefined) {
    const name = field === "metadata.annotations" ? key.toLowerCase() : key;
    yield* invalidEach(`${path}.fieldPath`, key, checkQualifiedName(name));
  } else if (!KNOWN_FIELDS.has(fieldPath)) {
    yield invalid(
      `${path}.fieldPath`,
      fieldPath,
      `error converting fieldPath: field label not supported: ${fieldPath}`,
    );
  } else if (!FIELDS[place].includes(fieldPath)) {
    yield notSupported(`${path}.fieldPath`, fieldPath, FIELDS[place]);
  }
}

export function* resourceFieldRules(selector: ResourceFieldSelector, path: string, place: Place): FieldErrors {
  if (place === "volume" && !selector.containerName) yield required(`${path}.containerName`);
  if (!selector.resource) yield required(`${path}.resource`);
  else if (!RESOURCE_FIELDS.includes(selector.resource) && !/^(limits|requests)\.hugepages-/.test(selector.resource)) {
    yield notSupported(`${path}.resource`, selector.resource, RESOURCE_FIELDS);
  }
}

export function* keyRefRules({ name, key }: { name?: string; key: string }, path: string): FieldErrors {
  if (!name) yield required(`${path}.name`);
  if (!key) yield required(`${path}.key`);
  else yield* invalidEach(`${path}.key`, key, checkConfigMapKey(key));
}
